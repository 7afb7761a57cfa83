/* loops.c -- the door: a graph in, kernels in phases out; and what --emit=loops shows of them. */
#include "loops/build.h"

#include <math.h>

static const Machine machines[] = {
    /* name        registers  l1         l2               gflops  gbytes */
    {"x86-64-v4",  30,        32 * 1024, 1024 * 1024,     100,    20},
    {"native",     30,        32 * 1024, 1024 * 1024,     100,    20},
    {"x86-64-v3",  7,         32 * 1024, 512 * 1024,      60,     15}, /* sixteen of eight floats */
    {"generic",    4,         32 * 1024, 256 * 1024,      15,     10},
};

const Machine *loops_machine = &machines[0];

const Machine *machine_find(const char *target)
{
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++)
        if (strcmp(machines[i].name, target) == 0)
            return &machines[i];
    return &machines[0];
}

/* --- kernels --- */

static void add_kernel(Build *b, Kernel *k)
{
    for (int i = 0; k->kind == KERNEL_EQUATION && i < k->nargs; i++)
        k->bytes += (double)layout_bytes(&k->arg[i]->layout);
    PUSH(b->arena, b->loops->kernels, k);
}

static bool has_halo(const Layout *l)
{
    for (int a = 0; a < l->rank; a++)
        if (l->low[a] || l->high[a])
            return true;
    return false;
}

/* The form of t that its maker wrote is there: makes the other one, if somebody reads it. */
static void add_forms(Build *b, Tensor *t)
{
    Place *lanes = &b->lanes[t->id], *rows = &b->rows[t->id];

    if (t->batched && t->role == ROLE_TEMP && b->want_rows[t->id])
        add_kernel(b, kernel_unpack(b, t, lanes, rows));
}

/* A result of the graph with the batch goes to the caller, sample after sample. */
static void add_output(Build *b, Tensor *t, int number)
{
    Place out = {0};
    const Program *p = b->program;

    out.layout = (Layout){.order = ORDER_ROWS, .integer = t->integer, .rank = t->rank};
    int64_t stride = 1;
    for (int a = t->rank; a-- > 0;) {
        out.layout.size[a] = t->size[a];
        out.layout.stride[a] = stride;
        stride *= t->size[a];
    }
    out.layout.count = stride;
    out.storage = storage_new(b, arena_print(b->arena, "%s (output)", t->name), STORAGE_OUTPUT, t, &out.layout);
    out.storage->field = number;
    for (int i = 0; p && i < p->outputs.n; i++)
        if (strcmp(b->graph->name, "predict") == 0 && strcmp(p->outputs.at[i].tensor, t->name) == 0)
            out.storage->field = i;
    add_kernel(b, kernel_unpack(b, t, &b->lanes[t->id], &out));
}

/* The kernel of an equation and those that follow it at every point. */
static void add_group(Build *b, Choice *leader)
{
    for (const Choice *c = leader; c; c = c->next)
        if (c->stored && has_halo(&place_written(b, c)->layout))
            add_kernel(b, kernel_clear(b, place_written(b, c), !parts_block(b, leader)));
    for (const Choice *c = leader; c; c = c->next)
        b->loops->cycles += choice_cycles(c);
    add_kernel(b, kernel_equation(b, leader));
    for (const Choice *c = leader; c; c = c->next)
        add_forms(b, c->q->out);
}

/* What is kept begins as zeros: init clears the context before it runs the graph. */
static bool is_zero_already(Build *b, const Choice *c)
{
    const Equation *q = c->q;

    return strcmp(b->graph->name, "init") == 0 && !c->next && q->how == EQ_MAP && expr_is_number(q->value, 0) &&
           !signbit(q->value->number) && place_written(b, c)->storage->kind == STORAGE_KEPT;
}

static void add_kernels(Build *b)
{
    Graph *g = b->graph;
    int outputs = 0;

    for (int i = 0; i < g->tensors.n; i++) {
        Tensor *t = g->tensors.at[i];
        if (t->role != ROLE_INPUT || !b->want_lanes[t->id])
            continue;
        if (has_halo(&b->lanes[t->id].layout))
            add_kernel(b, kernel_clear(b, &b->lanes[t->id], true));
        add_kernel(b, kernel_pack(b, t, &b->rows[t->id], &b->lanes[t->id]));
    }
    for (int i = 0; i < b->choices.n; i++) {
        Choice *c = b->choices.at[i];
        if (!b->is_view[i] && !c->leader && !is_zero_already(b, c))
            add_group(b, c);
        else if (b->is_view[i])
            add_forms(b, c->q->out);
    }
    for (int i = 0; i < g->tensors.n; i++) {
        Tensor *t = g->tensors.at[i];
        if (t->next && !b->in_place[t->id])
            add_kernel(b, kernel_copy(b, &b->rows[t->next->id], &b->rows[t->id]));
        if (t->wanted && t->batched && t->role == ROLE_TEMP)
            add_output(b, t, outputs++);
    }
}

/* A sum over lanes ends in single numbers: its tail is an equation of its own, over whole vectors. */
static void part_tail(Build *b, Equation *q)
{
    Graph *g = b->graph;
    Tensor *sum = graph_tensor(g, arena_print(b->arena, "%s.sum", q->out->name), ROLE_TEMP, q->out->rank, q->out->size);
    Equation *tail = NEW(b->arena, Equation);
    Expr *load = expr_load(b->arena, sum, q->at, false);

    *tail = *q;
    tail->how = EQ_MAP;
    tail->tail = NULL;
    tail->value = expr_rename(b->arena, q->tail, &(Rename){.result = load});
    equation_collect_box(tail);
    q->out = sum;
    q->tail = NULL;
    PUSH(b->arena, b->choices, choose_lane(b, tail));
}

static void choose_lanes(Build *b)
{
    Graph *g = b->graph;
    const Readers readers = readers_of(b->arena, g);

    for (int i = 0; i < g->equations.n; i++) {
        Equation *q = g->equations.at[i], *first = turn_weights(b, q);
        if (first)
            PUSH(b->arena, b->choices, choose_lane(b, first));
        Choice *c = choose_lane(b, q);
        Equation *sum = part_blocks(b, c, &readers);
        PUSH(b->arena, b->choices, c);
        if (sum)
            PUSH(b->arena, b->choices, choose_lane(b, sum));
        if (sums_lanes(c) && c->q->out->rank > 0 && c->q->tail) {
            part_tail(b, c->q);
            c->tail = loads_of(b->arena, NULL);
        }
    }
    g->equations.n = 0;
    for (int i = 0; i < b->choices.n; i++)
        PUSH(b->arena, g->equations, b->choices.at[i]->q);
}

static void choose_loops(Choice *c)
{
    choose_bounds(c);
    choose_tile(c);
    drop_bounds(c);
}

/* The tile goes before the layouts: it says which padded loads need a halo. */
static void choose_tiles(Build *b)
{
    for (int i = 0; i < b->choices.n; i++)
        if (!b->choices.at[i]->leader)
            choose_once(b, b->choices.at[i], choose_loops);
}

static void find_makers(Build *b)
{
    Graph *g = b->graph;

    b->maker = NEW_ARRAY(b->arena, Choice *, g->tensors.n);
    b->last_reader = NEW_ARRAY(b->arena, int, g->tensors.n);
    for (int i = 0; i < b->choices.n; i++) {
        Choice *c = b->choices.at[i];
        c->number = i;
        b->maker[c->q->out->id] = c;
        for (int k = 0; k < c->value->n; k++)
            b->last_reader[c->value->at[k]->tensor->id] = i;
        for (int k = 0; k < c->tail->n; k++)
            b->last_reader[c->tail->at[k]->tensor->id] = i;
    }
}

Loops *loops_make(Arena *a, const Program *p, const Graph *g, Functions *f)
{
    Build b = {.arena = a, .program = p, .graph = graph_copy(g, g->name), .functions = f, .loops = NEW(a, Loops)};

    b.loops->graph = b.graph;
    graph_scalar(b.graph, "seed"); /* random numbers read them though no equation does */
    graph_scalar(b.graph, "steps");
    choose_lanes(&b);
    choose_groups(&b);
    choose_strips(&b);
    choose_tiles(&b);
    find_makers(&b);
    layouts_make(&b);
    add_kernels(&b);
    phases_make(&b);
    b.loops->rows = b.rows;
    b.loops->lanes = b.lanes;
    return b.loops;
}

Storage *loops_storage(const Loops *l, const char *tensor)
{
    const Tensor *t = graph_find(l->graph, tensor);

    if (!t)
        return NULL;
    const struct Place *p = t->batched && l->lanes[t->id].storage ? &l->lanes[t->id] : &l->rows[t->id];
    return p->storage;
}

/* --- --emit=loops --- */

static const char *const lane_names[] = {"samples", "samples, summed", "axis", "axis, summed", "none"};
static const char *const role_names[] = {"parallel", "serial", "tile", "lane", "reduce", "strip"};
static const char *const kind_names[] = {"equation", "pack", "unpack", "clear", "copy"};
static const char *const phase_names[] = {"block by block", "tasks", "one thread"};

static void print_kernel(Text *t, const Loops *l, const Kernel *k)
{
    text_print(t, "    %s  %s\n", k->function->name, kind_names[k->kind]);
    for (const Choice *c = k->choice; c; c = c->next) {
        text_print(t, "        ");
        equation_print(t, c->q);
        text_print(t, "\n");
    }
    text_print(t, "        lane: %s%s%s (%s)\n", lane_names[k->lane], k->lane_index ? " " : "",
               k->lane_index ? k->lane_index->name : "", k->why);
    if (k->nloops)
        text_print(t, "        loops:");
    for (int i = 0; i < k->nloops; i++) {
        const Loop *x = &k->loop[i];
        text_print(t, " %s %lld %s", x->index->name, (long long)x->size, role_names[x->role]);
        if (x->role == LOOP_TILE || (x->role == LOOP_LANE && x->tile > 1))
            text_print(t, " by %lld", (long long)x->tile);
        text_print(t, "%s", i + 1 < k->nloops ? "," : "\n");
    }
    text_print(t, "        tasks: %lld%s, threads: %d, %.3g Mflop, %.3g MB\n", (long long)k->tasks,
               k->blocked ? " a block" : "", k->threads < l->threads ? k->threads : l->threads, k->flops / 1e6, k->bytes / 1e6);
}

void loops_print(Text *t, const Loops *l)
{
    text_print(t, "graph %s: %d kernels in %d phases, %.3g Mflop, %.3g MB, %s\n", l->graph->name, l->kernels.n,
               l->phases.n, l->flops / 1e6, l->bytes / 1e6, l->threads > 1 ? "parallel" : "one thread");
    for (int i = 0; i < l->phases.n; i++) {
        const Phase *p = &l->phases.at[i];
        text_print(t, "  phase %d, %s\n", i + 1, phase_names[p->kind]);
        for (int j = 0; j < p->count; j++) {
            const Kernel *k = l->kernels.at[p->first + j];
            if (k->strips)
                text_print(t, "    %d kernels in turn, %lld strips\n", k->in_turn, (long long)k->strips);
            print_kernel(t, l, k);
        }
    }
}

void loops_prelude(Text *t)
{
    text_print(t, "%s",
               "/* Kernels stay functions: inlined into one another they would compile slowly and run no faster. */\n"
               "#if defined NN_KERNEL\n"
               "#elif defined __GNUC__\n"
               "#define NN_KERNEL static __attribute__((noinline))\n"
               "#else\n"
               "#define NN_KERNEL static\n"
               "#endif\n\n"
               "/* What a kernel reads and writes: nothing of it lies in the same place. */\n"
               "typedef const float *restrict nn_in;\n"
               "typedef float *restrict nn_out;\n\n"
               "/* The steps of a tile. */\n"
               "#define NN_TILE(step, steps) NN_UNROLL for (int step = 0; step < steps; step++)\n\n"
               "/* Division and remainder that floor. */\n"
               "NN_INLINE long nn_idiv(long a, long b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }\n"
               "NN_INLINE long nn_mod(long a, long b) { return a - b * nn_idiv(a, b); }\n"
               "NN_INLINE long nn_larger(long a, long b) { return a > b ? a : b; }\n"
               "NN_INLINE long nn_smaller(long a, long b) { return a < b ? a : b; }\n"
               "NN_INLINE float nn_hprod(nn_v a)\n"
               "{\n"
               "    for (int half = 8; half > 0; half /= 2)\n"
               "        for (int i = 0; i < half; i++)\n"
               "            a[i] *= a[i + half];\n"
               "    return a[0];\n"
               "}\n");
}
