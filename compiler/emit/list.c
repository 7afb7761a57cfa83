/* list.c -- graphs of many kernels as tables of numbers.
 *
 * Written as calls, the kernels of a large net are more text than everything else, and compile more slowly than they
 * run. In the table a kernel is a position in a second one, which holds a case of one switch and the sizes that the
 * case's function wants; a pointer is a place in a third one (place.c). Numbers that lists have in common are written
 * once. carry.c is how such a table is carried out. */
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
    const char *line_end; /* NULL: nothing but a new line */
} Numbers;

/* Numbers that stand in several places of the lists: those of the first one. */
typedef struct Repeat {
    int first, n;
} Repeat;

struct Lists {
    const Program *program;
    const Plan *plan;
    FunctionList cases; /* by number of the case */
    LIST(Row) rows;
    int most_pointers; /* of a case */
    Text cases_text, rows_text, reals_text;
    Numbers table, reals;
    Names real_names; /* doubles that kernels take: their numbers in a table of their own */
    Places *places;
    LIST(uint32_t) calls; /* of all graphs, one after the other */
    int end[GRAPHS];      /* of each graph's */
    int *repeat;            /* by number of the calls: of the repeat that begins here, plus one; -1 inside of one; or 0 */
    LIST(Repeat) repeats;
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
        text_print(n->t, "%s\n", n->line_end ? n->line_end : "");
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

/* --- the calls of one graph --- */

static void add(Lists *all, int64_t x) { PUSH(all->program->arena, all->calls, (uint32_t)x); }

static void add_call(Lists *all, GraphKind graph, const Kernel *k)
{
    add(all, row_of(all, k)->at);
    for (int i = 0; i < k->nargs; i++)
        add(all, place_of_pointer(all->places, graph, k, i));
    for (int i = 0; i < k->nnumbers; i++)
        add(all, k->number[i]);
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

static void add_calls(Lists *all, GraphKind graph, const Phase *p)
{
    const Loops *l = all->plan->work[graph].loops;

    for (int i = p->first, next = i; i < p->first + p->count; i++) {
        const Kernel *k = l->kernels.at[i];
        if (p->kind == PHASE_BLOCKS && i == next) {
            next = turn_end(l, i, p->first + p->count);
            add(all, k->strips ? k->strips : 1);
            add(all, count_numbers(l, i, next));
        }
        add_call(all, graph, k);
    }
}

/* As in the text of carry.c. */
enum { HOW_END, HOW_BLOCKS, HOW_TASKS, HOW_SERIAL, HOW_FINITE };

static void add_phase(Lists *all, GraphKind graph, int number)
{
    static const int how[] = {[PHASE_BLOCKS] = HOW_BLOCKS, [PHASE_TASKS] = HOW_TASKS, [PHASE_SERIAL] = HOW_SERIAL};
    const Work *work = &all->plan->work[graph];
    const Phase *phase = &work->loops->phases.at[number];
    int numbers = count_numbers(work->loops, phase->first, phase->first + phase->count);

    add(all, how[phase->kind]);
    if (phase->kind == PHASE_BLOCKS) {
        add(all, phase->threads);
        add(all, work->room[number].bytes ? 1 + place_of_room(all->places, graph, number) : 0);
        numbers += 2 * count_turns(work->loops, phase);
    }
    add(all, numbers);
    add_calls(all, graph, phase);
}

static void add_graph(Lists *all, GraphKind graph)
{
    const Loops *l = all->plan->work[graph].loops;
    const Storage *loss = is_step(graph) ? loops_storage(l, "loss") : NULL;
    int update = loss ? first_update(l, loss) : -1;

    for (int i = 0; i < l->phases.n; i++) {
        if (i == update) {
            add(all, HOW_FINITE);
            add(all, place_of_storage(all->places, graph, loss));
        }
        add_phase(all, graph, i);
    }
    add(all, HOW_END);
}

/* --- what lists have in common --- */

enum { SHORTEST = 32 /* numbers */ };

/* FNV-1a of the numbers from here on. */
static uint64_t hash_numbers(const uint32_t *x)
{
    uint64_t hash = 14695981039346656037u;

    for (int i = 0; i < SHORTEST; i++)
        hash = (hash ^ x[i]) * 1099511628211u;
    return hash ^ hash >> 32;
}

/* Of the calls of the graph that number i belongs to. */
static int list_end(const Lists *all, int i)
{
    int graph = 0;

    while (all->end[graph] <= i)
        graph++;
    return all->end[graph];
}

/* Numbers that are the same from both places on: a whole repeat, or as many as there are outside of others. */
static int common_length(const Lists *all, int from, int to)
{
    const uint32_t *x = all->calls.at;
    int known = all->repeat[from], n = 0, most = list_end(all, from) - from;

    if (known < 0)
        return 0;
    most = known > 0 ? all->repeats.at[known - 1].n : most < to - from ? most : to - from;
    most = most < list_end(all, to) - to ? most : list_end(all, to) - to;
    while (n < most && x[from + n] == x[to + n] && (known > 0 || all->repeat[from + n] == 0))
        n++;
    return known > 0 && n < all->repeats.at[known - 1].n ? 0 : n;
}

static void mark_repeat(Lists *all, int at, int number)
{
    for (int i = 1; i < all->repeats.at[number].n; i++)
        all->repeat[at + i] = -1;
    all->repeat[at] = number + 1;
}

/* Where so many numbers stood before, the latest place is remembered. */
static void find_repeats(Lists *all)
{
    Arena *a = all->program->arena;
    size_t room = 1;

    while (room < 2 * (size_t)all->calls.n)
        room *= 2;
    int *met = NEW_ARRAY(a, int, room); /* by hash: where, plus one */
    all->repeat = NEW_ARRAY(a, int, all->calls.n + 1);
    for (int i = 0, n; i < all->calls.n; i += n) {
        n = 1;
        if (i + SHORTEST > list_end(all, i))
            continue;
        int *slot = &met[hash_numbers(&all->calls.at[i]) % room], before = *slot - 1;
        int length = before < 0 ? 0 : common_length(all, before, i);
        if (length < SHORTEST) {
            *slot = i + 1;
            continue;
        }
        if (all->repeat[before] == 0) {
            PUSH(a, all->repeats, ((Repeat){before, length}));
            mark_repeat(all, before, all->repeats.n - 1);
        }
        mark_repeat(all, i, all->repeat[before] - 1);
        n = length;
    }
}

static const char *repeat_name(const Lists *all, int number)
{
    Arena *a = all->program->arena;

    return arena_print(a, "%s_REPEAT_%d", upper(a, emit_prefix(a, all->program)), number);
}

/* --- the text --- */

Lists *lists_make(const Program *p, const Plan *plan)
{
    Arena *a = p->arena;
    Lists *all = NEW(a, Lists);

    if (!is_listed(plan))
        return NULL;
    *all = (Lists){.program = p, .plan = plan, .places = places_make(p, plan)};
    all->cases_text.arena = all->rows_text.arena = all->reals_text.arena = a;
    all->table.t = &all->rows_text;
    all->reals.t = &all->reals_text;
    for (GraphKind g = 0; g < GRAPHS; g++) {
        const Loops *l = plan->work[g].loops;
        for (int i = 0; l && i < l->kernels.n; i++)
            note_kernel(a, all, l->kernels.at[i], emit_prefix(a, p));
    }
    put_rows(a, all);
    end_line(&all->table);
    end_line(&all->reals);
    for (GraphKind g = 0; g < GRAPHS; g++) {
        if (plan->work[g].loops)
            add_graph(all, g);
        all->end[g] = all->calls.n;
    }
    find_repeats(all);
    return all;
}

void print_lists_begin(Text *t, const Lists *all)
{
    print_list_types(t, all->program);
    for (int k = 0; k < all->repeats.n; k++) {
        Numbers n = {.t = t, .line_end = " \\"};
        text_print(t, "%s#define %s \\\n", k ? "" : "/* Numbers that stand in several tables. */\n", repeat_name(all, k));
        for (int i = 0; i < all->repeats.at[k].n; i++)
            put(&n, all->calls.at[all->repeats.at[k].first + i]);
        text_print(t, "\n\n");
    }
}

void print_list(Text *t, const Lists *all, GraphKind graph, const char *name)
{
    Numbers n = {.t = t};

    text_print(t, "static const uint32_t %s_calls[] = {\n", name);
    for (int i = graph ? all->end[graph - 1] : 0; i < all->end[graph];) {
        int known = all->repeat[i];
        if (known > 0)
            put_text(&n, arena_print(t->arena, "%s ", repeat_name(all, known - 1)));
        else
            put(&n, all->calls.at[i]);
        i += known > 0 ? all->repeats.at[known - 1].n : 1;
    }
    end_line(&n);
    text_print(t, "};\n\n");
}

/* P3 is the first three pointers of a call. */
static void print_pointers(Text *t, int most, const char *prefix)
{
    for (int i = 0; i < most; i++)
        text_print(t, "#define P%d %s%s_at(l, c[%d])\n", i + 1, i ? arena_print(t->arena, "P%d, ", i) : "", prefix, i);
}

void print_lists_end(Text *t, const Lists *all)
{
    const char *prefix = emit_prefix(t->arena, all->program);

    text_print(t, "static const %s_sixteen %s_places[] = {\n", prefix, prefix);
    print_places(t, all->places);
    text_print(t, "};\n\n");
    print_list_pointers(t, all->program);
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
    print_list_loops(t, all->program);
}

