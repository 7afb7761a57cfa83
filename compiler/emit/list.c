/* list.c -- a graph of many kernels as a table of numbers, and the functions that carry such a table out.
 *
 * Written as calls, the kernels of a large net are more text than everything else, and compile more slowly than they
 * run. In the table a kernel is a position in a second one, which holds a case of one switch and the sizes that the
 * case's function wants; a pointer is a position in a third one, of places. */
#include "emit/parts.h"

#include <stdlib.h>

enum { LONG_LIST = 200, LINE = 120 };

typedef LIST(const Function *) FunctionList;

/* A function with its sizes, and how its work is shared out. */
typedef struct Row {
    const Function *function;
    bool blocked;
    int64_t tasks;
    int threads;
    int uses, number; /* how often it is called; in which order they were met */
    int at;           /* where it begins in the table */
} Row;

typedef struct Numbers {
    Text *t;
    size_t column;
} Numbers;

enum { BUCKETS = 4096 };

/* Bytes from the start of a part of memory, and from one block of samples to the next. */
typedef struct Spot {
    int64_t at, step;
    int uses, met;     /* how often it is needed; in which order they were met */
    int number;        /* where it stands in the table */
    struct Spot *next; /* of the same bucket */
} Spot;

struct Lists {
    FunctionList cases; /* by number of the case */
    LIST(Row) rows;
    int most_pointers; /* of a case */
    Text cases_text, rows_text, reals_text, places_text;
    Numbers table, reals, places;
    Names real_names; /* doubles that kernels take: their numbers in a table of their own */
    int nplaces; /* numbers in the table */
    LIST(Spot *) spots;
    Spot *bucket[BUCKETS];
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
    text_add(n->t, s, length);
    n->column += length;
}

static void put(Numbers *n, int64_t x) { put_text(n, arena_print(n->t->arena, "%lld,", (long long)x)); }

/* --- the kernels of all lists --- */

static void print_case(Text *t, const Kernel *k, int number, const char *prefix)
{
    int args = k->nargs + k->nnumbers;
    const Function *f = called(k);
    const char *comma = args ? ", " : "";

    text_print(t, "    case %d: " KERNEL_PREFIX "%s(", number, f->name);
    if (k->nargs > 0)
        text_print(t, "P%d", k->nargs);
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
    for (int i = 0; i < f->nreals; i++)
        text_print(t, ", %s_reals[k[%d]]", prefix, f->nsizes + i + 1);
    text_print(t, "); return %d;\n", args);
}

static Row *row_of(const Lists *all, const Kernel *k)
{
    for (int i = 0; i < all->rows.n; i++) {
        Row *r = &all->rows.at[i];
        if (r->function == k->function && r->tasks == k->tasks && r->threads == k->threads)
            return r;
    }
    return NULL;
}

static void note_kernel(Arena *a, Lists *all, const Kernel *k, const char *prefix)
{
    int number = position(&all->cases, called(k));
    Row *r = row_of(all, k);

    if (number == all->cases.n) {
        PUSH(a, all->cases, called(k));
        all->most_pointers = k->nargs > all->most_pointers ? k->nargs : all->most_pointers;
        print_case(&all->cases_text, k, number, prefix);
    }
    if (r)
        r->uses++;
    else
        PUSH(a, all->rows, ((Row){k->function, k->blocked, k->tasks, k->threads, .uses = 1, .number = all->rows.n}));
}

/* What is called often comes first: small numbers are short. */
static int compare_rows(const void *a, const void *b)
{
    const Row *x = a, *y = b;

    return x->uses != y->uses ? y->uses - x->uses : x->number - y->number;
}

static void put_real(Arena *a, Lists *all, const char *real)
{
    int number = names_find(&all->real_names, real);

    if (number < 0) {
        number = (int)all->real_names.n;
        names_add(a, &all->real_names, real, number);
        put_text(&all->reals, arena_print(a, "%s,", real));
    }
    put(&all->table, number);
}

static void put_rows(Arena *a, Lists *all)
{
    int at = 0;

    qsort(all->rows.at, (size_t)all->rows.n, sizeof *all->rows.at, compare_rows);
    for (int i = 0; i < all->rows.n; i++) {
        Row *r = &all->rows.at[i];
        const Function *f = r->function;
        if (!r->blocked) {
            put(&all->table, r->tasks);
            put(&all->table, r->threads);
            at += 2;
        }
        r->at = at;
        put(&all->table, position(&all->cases, f->shared ? f->shared : f));
        for (int k = 0; k < f->nsizes; k++)
            put(&all->table, f->size[k]);
        for (int k = 0; k < f->nreals; k++)
            put_real(a, all, f->real[k]);
        at += 1 + f->nsizes + f->nreals;
    }
}

static const char helpers[] =
    "/* A graph of many kernels is a table of numbers (--emit=loops shows it with names). Of each phase: how it runs; block by\n"
    " * block then on how many threads at most, and the place of the room that each thread has, counted from 1, or 0; how many\n"
    " * numbers follow. Then each call: its kernel (where it stands in @_kernels), the places of its pointers, its streams of\n"
    " * random numbers. Block by block, before some calls that are made again for every strip: how many strips, and how many\n"
    " * numbers the calls take. A kernel is its case, its sizes, and where its doubles stand in @_reals; unless it runs block by\n"
    " * block, its tasks and how many threads share them at most come before. */\n"
    "enum { @_END, @_BLOCKS, @_TASKS, @_SERIAL, @_FINITE };\n\n"
    "/* A place is one number or two: lines of 64 bytes from the start of a part of memory, times 16, and the part; if eight is\n"
    " * added, the bytes from one block of samples to the next follow. Scalars and what is given are counted, not lines. */\n"
    "enum { @_IN_CONTEXT, @_IN_WORK, @_IN_SCALARS, @_IN_ROOM, @_DERIVED, @_GIVEN, @_PARTS = @_GIVEN };\n\n"
    "typedef struct @_list {\n"
    "    const uint32_t *calls;\n"
    "    const void *const *given; /* the caller's arrays */\n"
    "    const unsigned char *part[@_PARTS];\n"
    "    long n, blocks, block, strip;\n"
    "    int thread, threads;\n"
    "} @_list;\n\n"
    "static void @_carry_out(@_list *l);\n\n";

static const char pointers[] =
    "static void *@_at(const @_list *l, uint32_t place)\n"
    "{\n"
    "    const int64_t *p = &@_places[place], part = p[0] & 7, number = p[0] >> 4;\n\n"
    "    if (part == @_GIVEN)\n"
    "        return (void *)l->given[number];\n"
    "    return (void *)(l->part[part] + (part == @_IN_SCALARS ? 8 : 64) * number + (p[0] & 8 ? p[1] * l->block : 0));\n"
    "}\n\n";

static const char carry_out[] =
    "static void @_carry_out(@_list *l)\n"
    "{\n"
    "    for (const uint32_t *c = l->calls, *after; *c != @_END; c = after) {\n"
    "        const uint32_t how = *c, *k;\n\n"
    "        if (c++ != l->calls) {\n"
    "            NN_BARRIER;\n"
    "        }\n"
    "        if (how == @_FINITE) {\n"
    "            after = c + 1;\n"
    "            if (!isfinite(*(const double *)@_at(l, c[0])))\n"
    "                return; /* a loss that is not finite changes nothing */\n"
    "        } else if (how == @_BLOCKS) {\n"
    "            const int most = (int)c[0];\n"
    "            const long end = @_share(l->blocks, l->thread + 1, l->threads, most);\n"
    "            const uint32_t *const calls = c + 3;\n"
    "            after = calls + c[2];\n"
    "            l->block = l->thread;\n"
    "            if (c[1])\n"
    "                l->part[@_IN_ROOM] = @_at(l, c[1] - 1);\n"
    "            for (l->block = @_share(l->blocks, l->thread, l->threads, most); l->block < end; l->block++)\n"
    "                for (const uint32_t *turn = calls, *next; turn < after; turn = next) {\n"
    "                    next = turn + 2 + turn[1];\n"
    "                    for (l->strip = 0; l->strip < (long)turn[0]; l->strip++)\n"
    "                        for (c = turn + 2; c < next;)\n"
    "                            c += 1 + @_call(l, @_kernels + c[0], c + 1, 0, 1);\n"
    "                }\n"
    "            l->block = 0;\n"
    "        } else {\n"
    "            after = c + 1 + c[0];\n"
    "            for (c++; c < after && (how == @_TASKS || l->thread == 0);) {\n"
    "                k = @_kernels + c[0];\n"
    "                if (how == @_TASKS)\n"
    "                    c += 1 + @_call(l, k, c + 1, @_share(k[-2], l->thread, l->threads, (int)k[-1]),\n"
    "                                    @_share(k[-2], l->thread + 1, l->threads, (int)k[-1]));\n"
    "                else\n"
    "                    c += 1 + @_call(l, k, c + 1, 0, k[-2]);\n"
    "            }\n"
    "        }\n"
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

void print_lists_begin(Text *t, const Program *p)
{
    const char *prefix = emit_prefix(t->arena, p);

    print_named(t, helpers, prefix, upper(t->arena, prefix));
}

/* P3 is the first three pointers of a call. */
static void print_pointers(Text *t, int most, const char *prefix)
{
    for (int i = 0; i < most; i++)
        text_print(t, "#define P%d %s%s_at(l, c[%d])\n", i + 1, i ? arena_print(t->arena, "P%d, ", i) : "", prefix, i);
}

void print_lists_end(Text *t, const Program *p, Lists *all)
{
    const char *prefix = emit_prefix(t->arena, p), *up = upper(t->arena, prefix);

    end_line(&all->places);
    text_print(t, "static const int64_t %s_places[] = {\n%s};\n\n", prefix, all->places_text.s);
    print_named(t, pointers, prefix, up);
    text_print(t, "static const uint32_t %s_kernels[] = {\n%s};\n\n", prefix, all->rows_text.s);
    if (all->reals_text.n)
        text_print(t, "static const double %s_reals[] = {\n%s};\n\n", prefix, all->reals_text.s);
    text_print(t, "/* Calls the kernel k; how many numbers of c it took. */\n"
                  "static int %s_call(const %s_list *l, const uint32_t *k, const uint32_t *c, long first, long end)\n{\n",
               prefix, prefix);
    print_pointers(t, all->most_pointers, prefix);
    text_print(t, "    switch (k[0]) {\n%s    default: return 0;\n    }\n", all->cases_text.s);
    for (int i = 0; i < all->most_pointers; i++)
        text_print(t, "#undef P%d\n", i + 1);
    text_print(t, "}\n\n");
    print_named(t, carry_out, prefix, up);
}

/* --- one list --- */

/* For one graph. */
typedef struct Listing {
    const Program *program;
    const Work *work;
    const Plan *plan;
    Lists *all;
    Numbers calls;
} Listing;

/* As in the text of `helpers`. */
enum { HOW_END, HOW_BLOCKS, HOW_TASKS, HOW_SERIAL, HOW_FINITE };
enum { PART_CONTEXT, PART_WORK, PART_SCALARS, PART_ROOM, PART_DERIVED, PART_GIVEN, PART_STEPS = 8, PART_ALL = 16, LINE_BYTES = 64 };

static int64_t lines_from(int64_t bytes, int part)
{
    if (bytes % LINE_BYTES)
        bug("a place at %lld is not at the beginning of a line", (long long)bytes);
    return bytes / LINE_BYTES * PART_ALL + part;
}

static int64_t place_of(const Listing *l, const Storage *s)
{
    switch (s->kind) {
    case STORAGE_FIELD: return s->field * PART_ALL + PART_GIVEN;
    case STORAGE_OUTPUT: return (l->program->fields.n + s->field) * PART_ALL + PART_GIVEN;
    case STORAGE_KEPT:
        return lines_from(kept_offset(l->plan, l->program, s->name), is_derived(l->program, s) ? PART_DERIVED : PART_CONTEXT);
    case STORAGE_SCALAR: return scalar_position(s->name) * PART_ALL + PART_SCALARS;
    case STORAGE_WORK: break;
    }
    return lines_from(l->work->buffers[l->work->buffer[s->id]].offset, s->phase < 0 ? PART_WORK : PART_ROOM);
}

/* Many storages lie at the same place, one after the other. */
static Spot *spot(Lists *all, int64_t at, int64_t step)
{
    Arena *a = all->places_text.arena;
    Spot **bucket = &all->bucket[(uint64_t)(at / PART_ALL * 31 + at + step) % BUCKETS], *x = *bucket;

    while (x && (x->at != at || x->step != step))
        x = x->next;
    if (x)
        return x;
    x = NEW(a, Spot);
    *x = (Spot){at, step, .met = all->spots.n, .number = -1, .next = *bucket};
    PUSH(a, all->spots, x);
    return *bucket = x;
}

/* Its number in the table. */
static int place(Lists *all, Spot *x)
{
    if (x->number >= 0)
        return x->number;
    x->number = all->nplaces;
    put(&all->places, x->step ? x->at + PART_STEPS : x->at);
    if (x->step)
        put(&all->places, x->step);
    all->nplaces += x->step ? 2 : 1;
    return x->number;
}

static Spot *spot_of_pointer(const Listing *l, const Kernel *k, int i)
{
    const Storage *s = k->arg[i];
    bool given = s->kind == STORAGE_FIELD || s->kind == STORAGE_OUTPUT;

    return spot(l->all, place_of(l, s), k->at_block[i] && s->phase < 0 && !given ? s->layout.stride[0] * 4 : 0);
}

static Spot *spot_of_room(const Listing *l, const Room *room)
{
    return spot(l->all, lines_from(l->work->buffers[room->buffer].offset, PART_WORK), room->bytes);
}

static int compare_spots(const void *a, const void *b)
{
    const Spot *x = *(Spot *const *)a, *y = *(Spot *const *)b;

    return x->uses != y->uses ? y->uses - x->uses : x->met - y->met;
}

static void put_places(Lists *all, const Program *p, const Plan *plan)
{
    for (GraphKind g = 0; g < GRAPHS; g++) {
        const Loops *loops = plan->work[g].loops;
        Listing l = {.program = p, .work = &plan->work[g], .plan = plan, .all = all};
        for (int i = 0; loops && i < loops->kernels.n; i++)
            for (int k = 0; k < loops->kernels.at[i]->nargs; k++)
                spot_of_pointer(&l, loops->kernels.at[i], k)->uses++;
    }
    qsort(all->spots.at, (size_t)all->spots.n, sizeof *all->spots.at, compare_spots);
    for (int i = 0; i < all->spots.n; i++)
        place(all, all->spots.at[i]);
}

Lists *lists_make(const Program *p, const Plan *plan)
{
    Arena *a = p->arena;
    Lists *all = NEW(a, Lists);

    if (!is_listed(plan))
        return NULL;
    all->cases_text.arena = all->rows_text.arena = all->reals_text.arena = all->places_text.arena = a;
    all->table.t = &all->rows_text;
    all->reals.t = &all->reals_text;
    all->places.t = &all->places_text;
    for (GraphKind g = 0; g < GRAPHS; g++) {
        const Loops *l = plan->work[g].loops;
        for (int i = 0; l && i < l->kernels.n; i++)
            note_kernel(a, all, l->kernels.at[i], emit_prefix(a, p));
    }
    put_rows(a, all);
    put_places(all, p, plan);
    end_line(&all->table);
    end_line(&all->reals);
    return all;
}

static void put_call(Listing *l, const Kernel *k)
{
    put(&l->calls, row_of(l->all, k)->at);
    for (int i = 0; i < k->nargs; i++)
        put(&l->calls, place(l->all, spot_of_pointer(l, k, i)));
    for (int i = 0; i < k->nnumbers; i++)
        put(&l->calls, k->number[i]);
}

static int count_numbers(const Loops *l, int first, int end)
{
    int n = 0;

    for (int i = first; i < end; i++)
        n += 1 + l->kernels.at[i]->nargs + l->kernels.at[i]->nnumbers;
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

static void put_calls(Listing *l, const Loops *loops, const Phase *p)
{
    for (int i = p->first, next = i; i < p->first + p->count; i++) {
        const Kernel *k = loops->kernels.at[i];
        if (p->kind == PHASE_BLOCKS && i == next) {
            next = turn_end(loops, i, p->first + p->count);
            put(&l->calls, k->strips ? k->strips : 1);
            put(&l->calls, count_numbers(loops, i, next));
        }
        put_call(l, k);
    }
}

static void put_phase(Listing *l, const Loops *loops, int number)
{
    static const int how[] = {[PHASE_BLOCKS] = HOW_BLOCKS, [PHASE_TASKS] = HOW_TASKS, [PHASE_SERIAL] = HOW_SERIAL};
    const Phase *phase = &loops->phases.at[number];
    const Room *room = &l->work->room[number];
    int numbers = count_numbers(loops, phase->first, phase->first + phase->count);

    put(&l->calls, how[phase->kind]);
    if (phase->kind == PHASE_BLOCKS) {
        put(&l->calls, phase->threads);
        put(&l->calls, room->bytes ? 1 + place(l->all, spot_of_room(l, room)) : 0);
        numbers += 2 * count_turns(loops, phase);
    }
    put(&l->calls, numbers);
    put_calls(l, loops, phase);
}

void print_list(Text *t, Lists *all, const Program *p, const Plan *plan, GraphKind kind, const char *name, const Storage *loss,
                int update)
{
    const Work *work = &plan->work[kind];
    Text calls = {.arena = t->arena};
    Listing l = {.program = p, .work = work, .plan = plan, .all = all, .calls = {.t = &calls}};

    for (int i = 0; i < work->loops->phases.n; i++) {
        if (i == update) {
            put(&l.calls, HOW_FINITE);
            put(&l.calls, place(all, spot(all, place_of(&l, loss), 0)));
        }
        put_phase(&l, work->loops, i);
    }
    put(&l.calls, HOW_END);
    end_line(&l.calls);
    text_print(t, "static const uint32_t %s_calls[] = {\n%s};\n\n", name, calls.s);
}
