/* list.c -- a graph of many kernels as a table of numbers, and the functions that carry such a table out.
 *
 * Written as calls, the kernels of a large net are more text than everything else, and compile more slowly than they
 * run. In the table a kernel is a position in a second one, which holds a case of one switch and the sizes that the
 * case's function wants; a pointer is a position in a third one, of places. */
#include "emit/parts.h"

enum { LONG_LIST = 200, LINE = 120 };

typedef LIST(const Function *) FunctionList;

struct Lists {
    FunctionList cases; /* by number of the case */
    FunctionList rows;  /* kernels with their sizes; where each begins in the table: */
    LIST(int) at;
};

static bool is_listed(const Plan *plan)
{
    for (GraphKind g = 0; g < GRAPHS; g++)
        if (plan->work[g].loops && plan->work[g].loops->kernels.n > LONG_LIST)
            return true;
    return false;
}

static int position(const FunctionList *list, const Function *f)
{
    int i = 0;

    while (i < list->n && list->at[i] != f)
        i++;
    return i;
}

static const Function *called(const Kernel *k) { return k->function->shared ? k->function->shared : k->function; }

/* --- numbers in lines --- */

typedef struct Numbers {
    Text *t;
    size_t column;
} Numbers;

static void end_line(Numbers *n)
{
    if (n->column)
        text_add(n->t, "\n", 1);
    n->column = 0;
}

static void put_text(Numbers *n, const char *s)
{
    size_t length = strlen(s);

    if (n->column + length > LINE)
        end_line(n);
    text_print(n->t, "%s%s", n->column == 0 ? "    " : "", s);
    n->column += length;
}

static void put(Numbers *n, int64_t x) { put_text(n, arena_print(n->t->arena, "%lld,", (long long)x)); }

/* --- the kernels of all lists --- */

static void print_case(Text *t, const Kernel *k, int number)
{
    int args = k->nargs + k->nnumbers;
    const Function *f = called(k);
    const char *comma = args ? ", " : "";

    text_print(t, "    case %d: " KERNEL_PREFIX "%s(", number, f->name);
    for (int i = 0; i < k->nargs; i++)
        text_print(t, "%sAT(%d)", i ? ", " : "", i);
    for (int i = k->nargs; i < args; i++)
        text_print(t, "%sc[%d]", i ? ", " : "", i);
    if (k->takes_n) {
        text_print(t, "%sl->n", comma);
        comma = ", ";
    }
    if (!k->blocked)
        text_print(t, "%sfirst, end", comma);
    else if (k->takes_block) {
        text_print(t, "%sl->block", comma);
        comma = ", ";
    }
    if (k->strip)
        text_print(t, "%sl->strip", comma);
    for (int i = 0; i < f->nsizes; i++)
        text_print(t, ", k[%d]", i + 1);
    text_print(t, "); return %d;\n", args);
}

static void add_kernel(Arena *a, Lists *all, const Kernel *k, Text *cases, Numbers *table, int *at)
{
    int number = position(&all->cases, called(k));

    if (number == all->cases.n) {
        PUSH(a, all->cases, called(k));
        print_case(cases, k, number);
    }
    if (position(&all->rows, k->function) < all->rows.n)
        return;
    PUSH(a, all->rows, k->function);
    PUSH(a, all->at, *at);
    put(table, number);
    for (int i = 0; i < k->function->nsizes; i++)
        put(table, k->function->size[i]);
    *at += 1 + k->function->nsizes;
}

static const char helpers[] =
    "/* A graph of many kernels is a table of numbers (--emit=loops shows it with names). Of each phase: how it runs, on how\n"
    " * many threads at most, how many numbers follow, and the place of the room that each thread has in it, counted from 1,\n"
    " * or 0. Then each call: its kernel (where its case and its sizes stand in @_kernels), unless block by block its tasks,\n"
    " * where all threads share them how many at most; the places of its pointers, its streams of random numbers. Block by\n"
    " * block, before some calls that are made again for every strip: how many strips, and how many numbers the calls take. */\n"
    "enum { @_END, @_BLOCKS, @_TASKS, @_SERIAL, @_FINITE };\n\n"
    "/* A place is two numbers: bytes from the start of a part of memory, with the part in the last three bits, and bytes from\n"
    " * one block of samples to the next. */\n"
    "enum { @_IN_CONTEXT, @_IN_WORK, @_IN_SCALARS, @_IN_ROOM, @_GIVEN, @_PARTS = @_GIVEN };\n\n"
    "typedef struct @_list {\n"
    "    const uint32_t *calls;\n"
    "    const int64_t *places;\n"
    "    const void *const *given; /* the caller's arrays */\n"
    "    const unsigned char *part[@_PARTS];\n"
    "    long n, blocks, block, strip;\n"
    "    int thread, threads;\n"
    "} @_list;\n\n"
    "static void *@_at(const @_list *l, uint32_t place)\n"
    "{\n"
    "    const int64_t *p = &l->places[2 * place], part = p[0] & 7;\n\n"
    "    if (part == @_GIVEN)\n"
    "        return (void *)l->given[p[0] / 8];\n"
    "    return (void *)(l->part[part] + (p[0] - part) + p[1] * l->block);\n"
    "}\n\n";

static const char carry_out[] =
    "static void @_carry_out(@_list *l)\n"
    "{\n"
    "    for (const uint32_t *c = l->calls; *c != @_END;) {\n"
    "        const uint32_t how = c[0], *const calls = c + 4, *const after = calls + c[2];\n"
    "        const int most = (int)c[1];\n\n"
    "        if (c != l->calls) {\n"
    "            NN_BARRIER;\n"
    "        }\n"
    "        l->block = l->thread;\n"
    "        if (c[3])\n"
    "            l->part[@_IN_ROOM] = @_at(l, c[3] - 1);\n"
    "        if (how == @_FINITE && !isfinite(*(const double *)l->part[@_IN_ROOM]))\n"
    "            return; /* a loss that is not finite changes nothing */\n"
    "        l->block = 0;\n"
    "        if (how == @_BLOCKS) {\n"
    "            const long end = @_share(l->blocks, l->thread + 1, l->threads, most);\n"
    "            for (l->block = @_share(l->blocks, l->thread, l->threads, most); l->block < end; l->block++)\n"
    "                for (const uint32_t *turn = calls, *next; turn < after; turn = next) {\n"
    "                    next = turn + 2 + turn[1];\n"
    "                    for (l->strip = 0; l->strip < (long)turn[0]; l->strip++)\n"
    "                        for (c = turn + 2; c < next;)\n"
    "                            c += 1 + @_call(l, @_kernels + c[0], c + 1, 0, 1);\n"
    "                }\n"
    "        } else if (how == @_TASKS) {\n"
    "            for (c = calls; c < after;)\n"
    "                c += 3 + @_call(l, @_kernels + c[0], c + 3, @_share(c[1], l->thread, l->threads, (int)c[2]),\n"
    "                                @_share(c[1], l->thread + 1, l->threads, (int)c[2]));\n"
    "        } else if (l->thread == 0) {\n"
    "            for (c = calls; c < after;)\n"
    "                c += 2 + @_call(l, @_kernels + c[0], c + 2, 0, c[1]);\n"
    "        }\n"
    "        c = after;\n"
    "    }\n"
    "}\n\n";

/* The text with the model's name for each @. */
static void print_named(Text *t, const char *s, const char *prefix, const char *up)
{
    for (; *s; s++)
        if (*s == '@')
            text_print(t, "%s", s[1] == '_' && s[2] >= 'A' && s[2] <= 'Z' ? up : prefix);
        else
            text_add(t, s, 1);
}

const Lists *print_lists(Text *t, const Program *p, const Plan *plan)
{
    const char *prefix = emit_prefix(t->arena, p), *up = upper(t->arena, prefix);
    Lists *all = NEW(t->arena, Lists);
    Text cases = {.arena = t->arena};
    Text rows = {.arena = t->arena};
    Numbers table = {.t = &rows};
    int at = 0;

    if (!is_listed(plan))
        return NULL;
    for (GraphKind g = 0; g < GRAPHS; g++) {
        const Loops *l = plan->work[g].loops;
        for (int i = 0; l && i < l->kernels.n; i++)
            add_kernel(t->arena, all, l->kernels.at[i], &cases, &table, &at);
    }
    end_line(&table);
    print_named(t, helpers, prefix, up);
    text_print(t, "static const uint32_t %s_kernels[] = {\n%s};\n\n", prefix, rows.s);
    text_print(t, "/* Calls the kernel whose case is k[0]; how many numbers of c it took. */\n"
                  "static int %s_call(const %s_list *l, const uint32_t *k, const uint32_t *c, long first, long end)\n{\n"
                  "#define AT(i) %s_at(l, c[i])\n    switch (k[0]) {\n%s    default: return 0;\n    }\n#undef AT\n}\n\n",
               prefix, prefix, prefix, cases.s);
    print_named(t, carry_out, prefix, up);
    return all;
}

/* --- one list --- */

/* For one graph. */
typedef struct Listing {
    const Program *program;
    const Work *work;
    const Plan *plan;
    LIST(int64_t) at;
    LIST(int64_t) step;
    Numbers places, calls;
} Listing;

/* As in the text of `helpers`. */
enum { HOW_END, HOW_BLOCKS, HOW_TASKS, HOW_SERIAL, HOW_FINITE };
enum { PART_CONTEXT, PART_WORK, PART_SCALARS, PART_ROOM, PART_GIVEN };

static int64_t place_of(const Listing *l, const Storage *s)
{
    switch (s->kind) {
    case STORAGE_FIELD: return s->field * 8 + PART_GIVEN;
    case STORAGE_OUTPUT: return (l->program->fields.n + s->field) * 8 + PART_GIVEN;
    case STORAGE_KEPT: return kept_offset(l->plan, l->program, s->name) + PART_CONTEXT;
    case STORAGE_SCALAR: return scalar_position(s->name) * 8 + PART_SCALARS;
    case STORAGE_WORK: break;
    }
    return l->work->buffers[l->work->buffer[s->id]].offset + (s->phase < 0 ? PART_WORK : PART_ROOM);
}

/* Its number. Many storages lie at the same place, one after the other. */
static int place(Listing *l, int64_t at, int64_t step)
{
    Arena *a = l->calls.t->arena;

    for (int i = 0; i < l->at.n; i++)
        if (l->at.at[i] == at && l->step.at[i] == step)
            return i;
    PUSH(a, l->at, at);
    PUSH(a, l->step, step);
    put_text(&l->places, arena_print(a, "%lld,%lld,", (long long)at, (long long)step));
    return l->at.n - 1;
}

static void put_place(Listing *l, const Storage *s, bool at_block)
{
    put(&l->calls, place(l, place_of(l, s), at_block && s->phase < 0 ? s->layout.stride[0] * 4 : 0));
}

static void put_call(Listing *l, const Lists *all, const Kernel *k, PhaseKind kind)
{
    put(&l->calls, all->at.at[position(&all->rows, k->function)]);
    if (kind != PHASE_BLOCKS)
        put(&l->calls, k->tasks);
    if (kind == PHASE_TASKS)
        put(&l->calls, k->threads);
    for (int i = 0; i < k->nargs; i++)
        put_place(l, k->arg[i], k->at_block[i]);
    for (int i = 0; i < k->nnumbers; i++)
        put(&l->calls, k->number[i]);
}

static int count_numbers(const Loops *l, PhaseKind kind, int first, int end)
{
    static const int before[] = {[PHASE_BLOCKS] = 1, [PHASE_TASKS] = 3, [PHASE_SERIAL] = 2};
    int n = 0;

    for (int i = first; i < end; i++)
        n += before[kind] + l->kernels.at[i]->nargs + l->kernels.at[i]->nnumbers;
    return n;
}

/* Where the kernels end that take turns with the first, or those with one strip each. */
static int turn_end(const Loops *l, int first, int end)
{
    int i = first;

    if (l->kernels.at[i]->strips)
        return i + l->kernels.at[i]->in_turn;
    while (i < end && !l->kernels.at[i]->strips)
        i++;
    return i;
}

static int count_turns(const Loops *l, const Phase *p)
{
    int n = 0;

    for (int i = p->first; i < p->first + p->count; i = turn_end(l, i, p->first + p->count))
        n++;
    return n;
}

static void put_calls(Listing *l, const Lists *all, const Loops *loops, const Phase *p)
{
    for (int i = p->first, next = i; i < p->first + p->count; i++) {
        const Kernel *k = loops->kernels.at[i];
        if (p->kind == PHASE_BLOCKS && i == next) {
            next = turn_end(loops, i, p->first + p->count);
            put(&l->calls, k->strips ? k->strips : 1);
            put(&l->calls, count_numbers(loops, p->kind, i, next));
        }
        put_call(l, all, k, p->kind);
    }
}

static void put_phase(Listing *l, int how, int most, int numbers, int room)
{
    end_line(&l->calls);
    put_text(&l->calls, arena_print(l->calls.t->arena, "%d,%d,%d,%d, ", how, most, numbers, room));
}

void print_list(Text *t, const Lists *all, const Program *p, const Plan *plan, GraphKind kind, const char *name,
                const Storage *loss, int update)
{
    static const int how[] = {[PHASE_BLOCKS] = HOW_BLOCKS, [PHASE_TASKS] = HOW_TASKS, [PHASE_SERIAL] = HOW_SERIAL};
    const Work *work = &plan->work[kind];
    const Loops *loops = work->loops;
    Text places = {.arena = t->arena}, calls = {.arena = t->arena};
    Listing l = {.program = p, .work = work, .plan = plan, .places = {.t = &places}, .calls = {.t = &calls}};

    for (int i = 0; i < loops->phases.n; i++) {
        const Phase *phase = &loops->phases.at[i];
        const Room *room = &work->room[i];
        if (i == update)
            put_phase(&l, HOW_FINITE, 0, 0, 1 + place(&l, place_of(&l, loss), 0));
        int numbers = count_numbers(loops, phase->kind, phase->first, phase->first + phase->count);
        if (phase->kind == PHASE_BLOCKS)
            numbers += 2 * count_turns(loops, phase);
        put_phase(&l, how[phase->kind], phase->threads, numbers,
                  room->bytes ? 1 + place(&l, work->buffers[room->buffer].offset + PART_WORK, room->bytes) : 0);
        put_calls(&l, all, loops, phase);
    }
    end_line(&l.calls);
    end_line(&l.places);
    text_print(t, "static const int64_t %s_places[] = {\n%s};\n", name, places.s);
    text_print(t, "static const uint32_t %s_calls[] = {\n%s    %d};\n\n", name, calls.s, HOW_END);
}
