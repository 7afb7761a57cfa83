/* interp.c -- the interpreter: carries equations out in double, point by point. The oracle of every pass.
 *
 * An equation is translated once into straight code over registers, a register for each distinct expression, and the
 * code is run for each point of the box. Loads and places whose subscripts are affine and surely inside follow the
 * point by steps (a Stream); all others are computed and checked at every point. */
#include "graph/graph.h"

#include "../../runtime/nn_random.h"

#include <math.h>

/* A place in row-major data that moves with the point: `now` is kept up to date by the odometer. */
typedef struct Stream {
    int64_t now;
    int64_t step[MAX_BOX]; /* when index k counts up and those after it go back to 0 */
} Stream;

typedef enum { DO_OP, DO_STREAM, DO_LOAD, DO_RANDOM } Action;

typedef struct Instr {
    Action action;
    int out;              /* register */
    int args[MAX_RANK];   /* registers: operands, subscripts */
    const Op *op;
    const Tensor *tensor; /* loads */
    bool padded;
    int stream;
    uint32_t key; /* DO_RANDOM */
} Instr;

typedef struct Code {
    Arena *arena;
    const Run *run;
    int nbox;
    Index *const *box; /* indices of the loops, outermost first; their values are registers 0..nbox-1 */
    int64_t size[MAX_BOX], count[MAX_BOX];
    LIST(double) reg;
    LIST(Instr) code;
    LIST(Stream) streams;
    int result; /* register of EXPR_RESULT */
    unsigned walk;
} Code;

static int new_register(Code *c, double x)
{
    PUSH(c->arena, c->reg, x);
    return c->reg.n - 1;
}

static Code *code_new(Arena *a, const Run *r, Index *const *box, int nbox)
{
    Code *c = NEW(a, Code);

    c->arena = a;
    c->run = r;
    c->box = box;
    c->nbox = nbox;
    for (int k = 0; k < nbox; k++) {
        c->size[k] = box[k]->batch && r->samples < box[k]->size ? r->samples : box[k]->size;
        new_register(c, 0);
    }
    c->result = new_register(c, 0);
    c->walk = expr_walk();
    return c;
}

/* The stream of an affine place, or -1 when some subscript is not affine or not surely inside. */
static int stream_new(Code *c, const Tensor *t, Expr *const *at)
{
    Stream s = {0};
    int64_t coef[MAX_BOX] = {0}, stride = 1;

    for (int i = t->rank; i-- > 0; stride *= t->size[i]) {
        Affine f;
        int64_t low, high;
        if (!expr_affine(at[i], &f) || !expr_range(at[i], &low, &high) || low < 0 || high >= t->size[i])
            return -1;
        s.now += f.offset * stride;
        for (int k = 0; k < c->nbox; k++)
            coef[k] += affine_coef(&f, c->box[k]) * stride;
    }
    int64_t back = 0;
    for (int k = c->nbox; k-- > 0;) {
        s.step[k] = coef[k] - back;
        back += coef[k] * (c->size[k] - 1);
    }
    PUSH(c->arena, c->streams, s);
    return c->streams.n - 1;
}

static uint32_t random_key(const Run *r, double stream)
{
    const Tensor *seed = graph_find(r->graph, "seed"), *steps = graph_find(r->graph, "steps");

    return nn_random_key(seed ? (uint64_t)r->data[seed->id][0] : 0, steps ? (uint64_t)r->data[steps->id][0] : 0,
                         (uint32_t)stream);
}

/* Code for e; the register that will hold it. */
static int compile(Code *c, Expr *e)
{
    if (e->kind == EXPR_RESULT)
        return c->result;
    for (int k = 0; e->kind == EXPR_INDEX && k < c->nbox; k++)
        if (c->box[k] == e->index)
            return k;
    if (e->kind == EXPR_INDEX)
        bug("index '%s' is not in the box", e->index->name);
    if (e->walk == c->walk)
        return e->slot;

    Instr i = {.padded = e->padded};
    switch (e->kind) {
    case EXPR_LOAD:
        i.tensor = e->tensor;
        i.stream = stream_new(c, e->tensor, e->args);
        i.action = i.stream >= 0 ? DO_STREAM : DO_LOAD;
        break;
    case EXPR_RANDOM:
        i.action = DO_RANDOM;
        i.key = random_key(c->run, e->number);
        break;
    case EXPR_OP:
        i.action = DO_OP;
        i.op = e->op;
        break;
    default: break;
    }
    for (int k = 0; k < e->nargs && i.action != DO_STREAM; k++)
        i.args[k] = compile(c, e->args[k]);
    i.out = new_register(c, e->kind == EXPR_NUMBER ? e->number : 0);
    if (e->kind != EXPR_NUMBER)
        PUSH(c->arena, c->code, i);
    e->walk = c->walk;
    e->slot = i.out;
    return i.out;
}

/* The place subscripts in registers point to, or -1 when it is outside and may be. */
static int64_t place(const Code *c, const Tensor *t, const int *args, bool padded)
{
    int64_t at = 0;

    for (int i = 0; i < t->rank; i++) {
        double x = c->reg.at[args[i]];
        if (!(x >= 0 && x < (double)t->size[i])) {
            if (padded)
                return -1;
            bug("'%s': subscript %d is %g, its size is %lld", t->name, i, x, (long long)t->size[i]);
        }
        if (x != floor(x))
            bug("'%s': subscript %d is %g", t->name, i, x);
        at = at * t->size[i] + (int64_t)x;
    }
    return at;
}

static void run_op(const Op *op, double *out, const int *args, const double *reg)
{
    switch (op->id) { /* the commonest without a call */
    case OP_add: *out = reg[args[0]] + reg[args[1]]; break;
    case OP_sub: *out = reg[args[0]] - reg[args[1]]; break;
    case OP_mul: *out = reg[args[0]] * reg[args[1]]; break;
    default: {
        double v[3] = {0};
        for (int k = 0; k < op->arity; k++)
            v[k] = reg[args[k]];
        *out = op->eval(v);
    }
    }
}

static void run_code(Code *c)
{
    double *reg = c->reg.at;

    for (int n = 0; n < c->code.n; n++) {
        const Instr *i = &c->code.at[n];
        switch (i->action) {
        case DO_OP: run_op(i->op, &reg[i->out], i->args, reg); break;
        case DO_STREAM: reg[i->out] = c->run->data[i->tensor->id][c->streams.at[i->stream].now]; break;
        case DO_LOAD: {
            int64_t at = place(c, i->tensor, i->args, i->padded);
            reg[i->out] = at < 0 ? 0 : c->run->data[i->tensor->id][at];
            break;
        }
        case DO_RANDOM: reg[i->out] = (double)nn_random(i->key, (uint32_t)(int64_t)reg[i->args[0]]); break;
        }
    }
}

/* The next point, row-major; false after the last. */
static bool advance(Code *c)
{
    int k = c->nbox;

    while (k-- > 0) {
        if (++c->count[k] < c->size[k])
            break;
        c->count[k] = 0;
        c->reg.at[k] = 0;
    }
    if (k < 0)
        return false;
    c->reg.at[k] = (double)c->count[k];
    for (int s = 0; s < c->streams.n; s++)
        c->streams.at[s].now += c->streams.at[s].step[k];
    return true;
}

/* Where the equation writes: a stream, or subscripts in registers. */
typedef struct Target {
    int stream, at[MAX_RANK];
} Target;

static Target target_new(Code *c, const Equation *q)
{
    Target t = {.stream = stream_new(c, q->out, q->at)};

    for (int i = 0; i < q->out->rank && t.stream < 0; i++)
        t.at[i] = compile(c, q->at[i]);
    return t;
}

static int64_t target_place(const Code *c, const Target *t, const Equation *q)
{
    return t->stream >= 0 ? c->streams.at[t->stream].now : place(c, q->out, t->at, q->padded);
}

static double start(How how)
{
    return how == EQ_PROD ? 1 : how == EQ_MIN ? HUGE_VAL : how == EQ_MAX || how == EQ_ARGMAX ? -HUGE_VAL : 0;
}

static double combine(How how, double old, double x)
{
    switch (how) {
    case EQ_SUM: return old + x;
    case EQ_PROD: return old * x;
    case EQ_MAX: return x > old || isnan(x) ? x : old;
    case EQ_MIN: return x < old || isnan(x) ? x : old;
    default: return x;
    }
}

/* Position of the point among the reduced indices, row-major. */
static double position(const Code *c, int outer)
{
    int64_t at = 0;

    for (int k = outer; k < c->nbox; k++)
        at = at * c->box[k]->size + c->count[k];
    return (double)at;
}

static void run_tail(Arena *a, const Run *r, const Equation *q, double *out, int outer)
{
    Code *c = code_new(a, r, q->box, outer);
    Target target = target_new(c, q);
    int value = compile(c, q->tail);

    do {
        int64_t at = target_place(c, &target, q);
        c->reg.at[c->result] = out[at];
        run_code(c);
        out[at] = c->reg.at[value];
    } while (advance(c));
}

void run_equation(Run *r, const Equation *q)
{
    Arena *a = arena_new();
    Code *c = code_new(a, r, q->box, q->nbox);
    Target target = target_new(c, q);
    int value = compile(c, q->value), outer = equation_outer(q);
    int64_t count = tensor_count(q->out);
    double *out = r->data[q->out->id];
    double *best = q->how == EQ_ARGMAX ? NEW_ARRAY(a, double, count) : NULL;

    for (int64_t i = 0; i < count; i++)
        (best ? best : out)[i] = start(q->how);
    for (int64_t i = 0; best && i < count; i++)
        out[i] = 0;
    do {
        run_code(c);
        int64_t at = target_place(c, &target, q);
        double x = c->reg.at[value];
        if (at >= 0 && best && x > best[at]) {
            best[at] = x;
            out[at] = position(c, outer);
        } else if (at >= 0 && !best) {
            out[at] = combine(q->how, out[at], x);
        }
    } while (advance(c));
    if (q->tail)
        run_tail(a, r, q, out, outer);
    arena_free(a);
}

Run *run_new(Arena *a, const Graph *g)
{
    Run *r = NEW(a, Run);

    r->graph = g;
    r->samples = g->batch;
    r->data = NEW_ARRAY(a, double *, g->tensors.n + 1);
    for (int i = 0; i < g->tensors.n; i++)
        r->data[i] = NEW_ARRAY(a, double, tensor_count(g->tensors.at[i]));
    return r;
}

void run_graph(Run *r)
{
    for (int i = 0; i < r->graph->equations.n; i++)
        run_equation(r, r->graph->equations.at[i]);
}
