/* check_gradients.c -- derived gradients compared with differences of the loss, in double.
 *
 * The loss is differenced by the five-point formula, whose error is h^4. A step that crosses a kink (relu, max) gives
 * a wrong difference, so smaller steps are tried before a derivative is called wrong. What detach() holds back stays
 * at its first value while the loss is differenced. */
#include "graph/check_gradients.h"

#include "../../runtime/nn_random.h"

#include <math.h>

enum {
    SAMPLES = 3,        /* of a batch: enough for statistics over it to have a slope */
    ALL_ELEMENTS = 16,  /* up to so many elements are compared one by one */
    SOME_ELEMENTS = 3,
    DIRECTIONS = 4,
};

static const double TOLERANCE = 1e-6;

typedef struct Trial {
    Arena *arena;
    const Program *program;
    Graph *graph; /* forward equations up to the loss, then the derived ones */
    Run *run;
    Tensor *loss;
    int forward;
    uint32_t key, drawn;
} Trial;

/* Uniform in -1..1. */
static double draw(Trial *t)
{
    return 2 * (double)nn_random(t->key, t->drawn++) - 1;
}

/* --- values to start from --- */

static int64_t classes_of(const Program *p, const Tensor *x)
{
    for (int i = 0; i < p->fields.n; i++)
        if (strcmp(p->fields.at[i].name, x->name) == 0 && p->fields.at[i].classes > 0)
            return p->fields.at[i].classes;
    return x->below ? x->below : 2;
}

static void fill_scalar(const Graph *g, Run *r, const char *name, double x)
{
    const Tensor *s = graph_find(g, name);

    if (s)
        r->data[s->id][0] = x;
}

static void fill_clock(const Graph *g, Run *r, uint64_t seed)
{
    static const char *const ones[] = {"last", "steps", "epoch", "steps_per_epoch", "total_steps", "valid_loss"};

    for (size_t i = 0; i < sizeof ones / sizeof *ones; i++)
        fill_scalar(g, r, ones[i], 1);
    fill_scalar(g, r, "count", (double)r->samples);
    fill_scalar(g, r, "total", (double)r->samples);
    fill_scalar(g, r, "base_lr", 0.1);
    fill_scalar(g, r, "seed", (double)seed);
}

static Run *run_init(Arena *a, const Program *p, uint64_t seed)
{
    if (!p->init)
        return NULL;
    Run *r = run_new(a, p->init);
    fill_scalar(p->init, r, "seed", (double)seed);
    run_graph(r);
    return r;
}

static void fill_kept(Trial *t, const Run *init, const Tensor *x)
{
    const Tensor *drawn = init ? graph_find(init->graph, x->name) : NULL;
    const Kept *kept = program_kept(t->program, x->name);
    double *data = t->run->data[x->id];

    for (int64_t i = 0; i < tensor_count(x); i++) {
        if (kept && kept->measure != MEASURE_NONE)
            data[i] = kept->measure == MEASURE_STD;
        else if (drawn)
            data[i] = init->data[drawn->id][i];
        else if (x->role == ROLE_PARAM)
            data[i] = draw(t);
    }
}

/* A number of the data, or a class, drawn in one of several ways. */
enum { WAYS = 9 };
static double sample_element(Trial *t, const Tensor *x, int way)
{
    double u = draw(t);
    int64_t classes = x->integer ? classes_of(t->program, x) >> way : 0;

    if (x->integer)
        return floor((u + 1) / 2 * (double)(classes > 2 ? classes : 2));
    return way == 0 ? 1.5 * u : way == 1 ? (u + 1) / 2 : way == 2 ? (u > 0 ? 1 : -1) : u > 0;
}

/* Runs the graph; false where the data is not what the loss demands. */
static bool run_with(Trial *t, int way)
{
    for (int i = 0; i < t->graph->tensors.n; i++) {
        const Tensor *x = t->graph->tensors.at[i];
        for (int64_t k = 0; x->role == ROLE_INPUT && k < tensor_count(x); k++)
            t->run->data[i][k] = sample_element(t, x, way);
    }
    run_graph(t->run);
    return !t->program->demands.n || t->run->data[t->loss->id][0] != -HUGE_VAL;
}

static void fill_all(Trial *t, uint64_t seed)
{
    const Run *init = run_init(t->arena, t->program, seed);

    fill_clock(t->graph, t->run, seed);
    for (int i = 0; i < t->graph->tensors.n; i++) {
        const Tensor *x = t->graph->tensors.at[i];
        if (x->role == ROLE_PARAM || x->role == ROLE_STATE)
            fill_kept(t, init, x);
    }
    for (int way = 0; way < WAYS && !run_with(t, way); way++)
        ;
}

/* --- what depends on what --- */

static bool reads(Expr *e, const bool *tensors, unsigned walk)
{
    if (e->walk == walk)
        return false;
    e->walk = walk;
    if (expr_is(e, OP_detach))
        return false;
    if (e->kind == EXPR_LOAD && tensors[e->tensor->id])
        return true;
    for (int i = 0; i < e->nargs; i++)
        if (reads(e->args[i], tensors, walk))
            return true;
    return false;
}

/* By tensor id: x and what forward equations make of it; what is detached stays as it is. */
static bool *dependent_on(const Trial *t, const Tensor *x)
{
    bool *depends = NEW_ARRAY(t->arena, bool, t->graph->tensors.n);

    depends[x->id] = true;
    for (int i = 0; i < t->forward; i++) {
        const Equation *q = t->graph->equations.at[i];
        depends[q->out->id] |= reads(q->value, depends, expr_walk());
    }
    return depends;
}

static bool has_surrogate(Expr *e, unsigned walk)
{
    if (e->walk == walk)
        return false;
    e->walk = walk;
    if (expr_is(e, OP_surrogate))
        return true;
    for (int i = 0; e->kind == EXPR_OP && i < e->nargs; i++)
        if (has_surrogate(e->args[i], walk))
            return true;
    return false;
}

/* A hand-written derivative lies between the parameter and the loss. */
static bool by_hand(const Trial *t, const bool *depends)
{
    for (int i = 0; i < t->graph->customs.n; i++)
        if (depends[t->graph->customs.at[i]->in->id])
            return true;
    for (int i = 0; i < t->forward; i++) {
        Expr *value = t->graph->equations.at[i]->value;
        if (reads(value, depends, expr_walk()) && has_surrogate(value, expr_walk()))
            return true;
    }
    return false;
}

/* --- one comparison --- */

typedef struct Line {
    double *x;             /* the parameter's values */
    const double *at, *to; /* x = at + h * to */
    int64_t n;
    const bool *depends;
} Line;

static double loss_at(Trial *t, const Line *l, double h)
{
    for (int64_t i = 0; i < l->n; i++)
        l->x[i] = l->at[i] + h * l->to[i];
    for (int i = 0; i < t->forward; i++)
        if (l->depends[t->graph->equations.at[i]->out->id])
            run_equation(t->run, t->graph->equations.at[i]);
    return t->run->data[t->loss->id][0];
}

static double slope(Trial *t, const Line *l, double h)
{
    return (loss_at(t, l, -2 * h) - 8 * loss_at(t, l, -h) + 8 * loss_at(t, l, h) - loss_at(t, l, 2 * h)) / (12 * h);
}

/* Compares along a line; `size` is what a component of this gradient is like. */
static void compare(Trial *t, GradientRow *row, const Line *l, double derived, double size, int64_t element)
{
    static const double steps[] = {1e-4, 1e-5, 1e-6};
    double best = HUGE_VAL, numeric = 0;

    for (int i = 0; i < 3 && !(best <= TOLERANCE); i++) {
        double s = slope(t, l, steps[i]);
        double error = fabs(derived - s) / fmax(fmax(fabs(s), fabs(derived)), size);
        if (error < best) {
            best = error;
            numeric = s;
        }
    }
    row->compared++;
    if (best > row->worst || row->compared == 1) {
        row->worst = best;
        row->derived = derived;
        row->numeric = numeric;
        row->element = element;
    }
}

static void compare_parameter(Trial *t, GradientRow *row, const Tensor *x, const double *gradient)
{
    int64_t n = tensor_count(x);
    double *at = NEW_ARRAY(t->arena, double, n), *to = NEW_ARRAY(t->arena, double, n), square = 0;
    Line l = {t->run->data[x->id], at, to, n, dependent_on(t, x)};

    row->by_hand = by_hand(t, l.depends);
    memcpy(at, l.x, sizeof *at * (size_t)n);
    for (int64_t i = 0; i < n; i++)
        square += gradient[i] * gradient[i];
    /* A gradient that is zero but for rounding is measured by the loss. */
    double size = fmax(sqrt(square / (double)n), 1e-4 * (1 + fabs(t->run->data[t->loss->id][0])));
    int64_t elements = n <= ALL_ELEMENTS ? n : SOME_ELEMENTS;
    for (int64_t k = 0; k < elements; k++) {
        int64_t i = n <= ALL_ELEMENTS ? k : (int64_t)((draw(t) + 1) / 2 * (double)n);
        to[i] = 1;
        compare(t, row, &l, gradient[i], size, i);
        to[i] = 0;
    }
    for (int k = 0; k < DIRECTIONS && n > ALL_ELEMENTS; k++) {
        double norm = 0, derived = 0;
        for (int64_t i = 0; i < n; i++) {
            to[i] = draw(t);
            norm += to[i] * to[i];
        }
        for (int64_t i = 0; i < n; i++) {
            to[i] /= sqrt(norm);
            derived += gradient[i] * to[i];
        }
        compare(t, row, &l, derived, size, -1);
    }
    loss_at(t, &l, 0);
    memcpy(l.x, at, sizeof *at * (size_t)n);
    row->good = row->by_hand || row->worst <= TOLERANCE;
}

/* --- detached values become tensors of their own --- */

/* The outermost detach in e, or NULL. */
static Expr *find_detach(Expr *e, unsigned walk)
{
    if (e->walk == walk)
        return NULL;
    e->walk = walk;
    if (expr_is(e, OP_detach))
        return e;
    for (int i = 0; e->kind == EXPR_OP && i < e->nargs; i++) {
        Expr *found = find_detach(e->args[i], walk);
        if (found)
            return found;
    }
    return NULL;
}

static Expr *replace(Arena *a, Expr *e, const Expr *old, Expr *fresh)
{
    Expr *args[3];
    bool changed = false;

    if (e == old)
        return fresh;
    if (e->kind != EXPR_OP)
        return e;
    for (int i = 0; i < e->nargs; i++) {
        args[i] = replace(a, e->args[i], old, fresh);
        changed |= args[i] != e->args[i];
    }
    return changed ? expr_apply(a, e->op, args) : e;
}

/* held[indices] = detach(e) before equation q, which reads that instead. NULL when it has too many indices. */
static Equation *hold(Graph *g, Equation *q, Expr *detached)
{
    Equation probe = {.out = graph_scalar(g, "count"), .value = detached};
    int64_t size[MAX_RANK];
    Expr *at[MAX_RANK];

    equation_collect_box(&probe);
    if (probe.nbox > MAX_RANK)
        return NULL;
    for (int k = 0; k < probe.nbox; k++) /* the batch is the first axis */
        if (probe.box[k]->batch) {
            Index *first = probe.box[0];
            probe.box[0] = probe.box[k];
            probe.box[k] = first;
        }
    for (int k = 0; k < probe.nbox; k++) {
        at[k] = expr_index(g->arena, probe.box[k]);
        size[k] = probe.box[k]->size;
    }
    Tensor *held = graph_tensor(g, arena_print(g->arena, "held.%s", q->out->name), ROLE_TEMP, probe.nbox, size);
    held->batched = probe.nbox > 0 && probe.box[0]->batch;
    q->value = replace(g->arena, q->value, detached, expr_load(g->arena, held, at, false));
    graph_equation(g, held, at, EQ_MAP, detached);
    return g->equations.at[--g->equations.n];
}

static void hold_detached(Graph *g)
{
    Equation **old = g->equations.at;
    int n = g->equations.n;
    LIST(Equation *) all = {0};
    int *now = NEW_ARRAY(g->arena, int, n + 1); /* where old equation i is */

    for (int i = 0; i < n; i++) {
        Expr *found;
        now[i] = all.n;
        while (!expr_is(old[i]->value, OP_detach) && (found = find_detach(old[i]->value, expr_walk()))) {
            Equation *held = hold(g, old[i], found);
            if (!held)
                break;
            PUSH(g->arena, all, held);
        }
        PUSH(g->arena, all, old[i]);
    }
    now[n] = all.n;
    int customs = 0;
    for (int i = 0; i < g->customs.n; i++) {
        CustomGrad *c = g->customs.at[i];
        if (c->last > n) /* behind the loss */
            continue;
        c->first = now[c->first];
        c->last = now[c->last];
        g->customs.at[customs++] = c;
    }
    g->customs.n = customs;
    g->equations.n = 0;
    for (int i = 0; i < all.n; i++)
        PUSH(g->arena, g->equations, all.at[i]);
}

/* A copy of step up to the equation that makes the loss. */
static void take_forward(Trial *t, const Graph *step)
{
    t->graph = graph_copy(step, "check-gradients");
    t->loss = graph_find(t->graph, "loss");
    if (!t->loss)
        bug("graph %s has no loss", step->name);
    for (int i = 0; i < t->graph->equations.n; i++)
        if (t->graph->equations.at[i]->out == t->loss)
            t->forward = i + 1;
    t->graph->equations.n = t->forward;
    hold_detached(t->graph);
    t->forward = t->graph->equations.n;
    for (int i = 0; i < t->graph->tensors.n; i++) {
        t->graph->tensors.at[i]->next = NULL;
        t->graph->tensors.at[i]->wanted = t->graph->tensors.at[i] == t->loss;
    }
}

GradientCheck *check_gradients(Arena *a, const Program *p, uint64_t seed)
{
    GradientCheck *c = NEW(a, GradientCheck);
    Trial t = {.arena = a, .program = p, .key = nn_random_key(seed, 0, 0x67726164)};
    LIST(Tensor *) of = {0};

    take_forward(&t, p->step);
    for (int i = 0; i < t.graph->tensors.n; i++) {
        Tensor *x = t.graph->tensors.at[i];
        const Kept *kept = program_kept(p, x->name);
        if (x->role == ROLE_PARAM && !x->integer && !(kept && kept->frozen))
            PUSH(a, of, x);
    }
    Tensor **gradient = NEW_ARRAY(a, Tensor *, of.n + 1);
    graph_gradient(t.graph, t.loss, of.n, of.at, gradient);
    graph_verify(t.graph, "gradient");

    t.run = run_new(a, t.graph);
    if (t.run->samples > SAMPLES)
        t.run->samples = SAMPLES;
    fill_all(&t, seed);
    c->samples = (int)t.run->samples;
    c->loss = t.run->data[t.loss->id][0];
    c->good = isfinite(c->loss);
    for (int i = 0; i < of.n; i++) {
        GradientRow row = {.name = of.at[i]->name, .elements = tensor_count(of.at[i]), .unused = !gradient[i], .good = true};
        if (gradient[i])
            compare_parameter(&t, &row, of.at[i], t.run->data[gradient[i]->id]);
        c->good &= row.good;
        PUSH(a, c->rows, row);
    }
    return c;
}

void gradient_check_print(Text *t, const GradientCheck *c)
{
    int wide = 9;

    for (int i = 0; i < c->rows.n; i++)
        wide = (int)strlen(c->rows.at[i].name) > wide ? (int)strlen(c->rows.at[i].name) : wide;
    text_print(t, "%-*s %9s %9s  %s\n", wide, "parameter", "elements", "compared", "largest relative difference");
    for (int i = 0; i < c->rows.n; i++) {
        const GradientRow *r = &c->rows.at[i];
        text_print(t, "%-*s %9lld %9d  ", wide, r->name, (long long)r->elements, r->compared);
        if (r->unused)
            text_print(t, "the loss does not depend on it\n");
        else if (r->good)
            text_print(t, "%.1e%s\n", r->worst, r->by_hand ? ", with a derivative by hand" : "");
        else
            text_print(t, "%.1e  WRONG: %.9g derived, %.9g measured at %s %lld\n", r->worst, r->derived, r->numeric,
                       r->element < 0 ? "a random direction, sample of" : "element",
                       (long long)(r->element < 0 ? r->elements : r->element));
    }
    text_print(t, "loss %.6g of %d samples: %s\n", c->loss, c->samples,
               c->good ? "all gradients agree" : isfinite(c->loss) ? "some gradients are wrong" : "not finite");
}
