/* verify.c -- the invariants of graph.h, checked after every pass. What is broken is a bug of ours: the message names
 * the pass and shows the equation. */
#include "graph/graph.h"

typedef struct Check {
    const Graph *graph;
    const char *after;
    const Equation *equation;
    bool *made; /* by tensor id: can be read by now */
    bool in_tail;
    int nbox;   /* indices that may be used: in a tail, only those in `at` */
    unsigned walk;
} Check;

static void fail(const Check *c, const char *what, const char *name)
{
    Text t = {.arena = c->graph->arena};

    if (c->equation)
        equation_print(&t, c->equation);
    bug("after %s, graph %s: %s '%s'\n    %s", c->after, c->graph->name, what, name, t.s ? t.s : "");
}

static bool belongs(const Check *c, const Tensor *t)
{
    return t->id >= 0 && t->id < c->graph->tensors.n && c->graph->tensors.at[t->id] == t;
}

static void check_expr(Check *c, Expr *e);

/* One subscript into an axis. Affine ranges are exact; of others only what is surely outside is wrong. */
static void check_subscript(Check *c, const Tensor *t, int axis, Expr *e, bool padded)
{
    int64_t low, high;
    Affine f;

    if (!expr_whole(e))
        fail(c, "a subscript that may not be whole of", t->name);
    if (axis == 0 && t->batched && !(e->kind == EXPR_INDEX && e->index->batch))
        fail(c, "the batch axis needs an index over the batch:", t->name);
    if (!padded && expr_range(e, &low, &high)) {
        bool exact = expr_affine(e, &f);
        if ((exact && (low < 0 || high >= t->size[axis])) || low >= t->size[axis] || high < 0)
            fail(c, "a subscript leaves", t->name);
    }
    check_expr(c, e);
}

static void check_load(Check *c, Expr *e)
{
    if (!belongs(c, e->tensor))
        fail(c, "a load of a tensor of another graph:", e->tensor->name);
    if (!c->made[e->tensor->id])
        fail(c, "a load before the equation that makes", e->tensor->name);
    if (e->nargs != e->tensor->rank)
        fail(c, "too many or too few subscripts of", e->tensor->name);
    for (int i = 0; i < e->nargs; i++)
        check_subscript(c, e->tensor, i, e->args[i], e->padded);
}

static void check_op(Check *c, Expr *e)
{
    OpId op = e->op->id;
    int conditions = op == OP_and || op == OP_or || op == OP_not ? e->nargs : op == OP_select;

    if (e->nargs != e->op->arity)
        fail(c, "a wrong number of operands for", e->op->name);
    for (int i = 0; i < e->nargs; i++) {
        if (i < conditions && !expr_is_condition(e->args[i]) && e->args[i]->kind != EXPR_NUMBER)
            fail(c, "an operand that is no condition for", e->op->name);
        check_expr(c, e->args[i]);
    }
}

static void check_expr(Check *c, Expr *e)
{
    if (e->walk == c->walk)
        return;
    e->walk = c->walk;
    switch (e->kind) {
    case EXPR_NUMBER: break;
    case EXPR_INDEX:
        for (int i = 0; i < c->nbox; i++)
            if (c->equation->box[i] == e->index)
                return;
        fail(c, "an index outside of the box:", e->index->name);
        break;
    case EXPR_LOAD: check_load(c, e); break;
    case EXPR_OP: check_op(c, e); break;
    case EXPR_RESULT:
        if (!c->in_tail)
            fail(c, "the result is read outside of a tail of", c->equation->out->name);
        break;
    case EXPR_RANDOM:
        if (e->nargs != 1 || !expr_whole(e->args[0]) || e->number < 0 || e->number >= 4294967296.0)
            fail(c, "a random number without whole stream and counter in", c->equation->out->name);
        check_expr(c, e->args[0]);
        break;
    }
}

static void check_box(const Check *c)
{
    const Equation *q = c->equation;
    int outer = equation_outer(q);

    if (q->nbox > MAX_BOX)
        fail(c, "too many indices for", q->out->name);
    for (int i = 0; i < q->nbox; i++) {
        const Index *x = q->box[i];
        if (x->size < 1)
            fail(c, "an empty index", x->name);
        if (x->batch && x->size != c->graph->batch)
            fail(c, "an index over the batch of another size:", x->name);
        for (int k = 0; k < i; k++)
            if (q->box[k] == x)
                fail(c, "twice in the box:", x->name);
        for (int k = 0; i >= outer && k < q->out->rank; k++)
            if (expr_has_index(q->at[k], x))
                fail(c, "behind the reduced indices in the box:", x->name);
    }
}

static void check_equation(Check *c)
{
    const Equation *q = c->equation;
    Tensor *out = q->out;

    if (!belongs(c, out))
        fail(c, "an equation for a tensor of another graph:", out->name);
    if (out->role != ROLE_TEMP)
        fail(c, "an equation for something given from outside:", out->name);
    if (c->made[out->id])
        fail(c, "a second equation for", out->name);
    check_box(c);
    if (q->padded && q->how != EQ_SUM && q->how != EQ_MAP)
        fail(c, "only sums and maps may drop what falls outside:", out->name);
    if (q->how == EQ_MAP && (q->tail || equation_outer(q) != q->nbox))
        fail(c, "a map with a tail or with indices to reduce:", out->name);
    if ((q->how != EQ_SUM || q->tail) && !equation_covers(q))
        fail(c, "not every place is written exactly once:", out->name);

    c->nbox = q->nbox;
    c->walk = expr_walk();
    for (int i = 0; i < out->rank; i++)
        check_subscript(c, out, i, q->at[i], q->padded);
    check_expr(c, q->value);
    if (q->tail) {
        c->in_tail = true;
        c->nbox = equation_outer(q);
        c->walk = expr_walk();
        check_expr(c, q->tail);
        c->in_tail = false;
    }
    c->made[out->id] = true;
}

static void check_tensor(const Check *c, const Tensor *t, int i)
{
    if (t->id != i)
        fail(c, "a wrong id of", t->name);
    if (graph_find(c->graph, t->name) != t)
        fail(c, "two tensors named", t->name);
    for (int k = 0; k < t->rank; k++)
        if (t->size[k] < 1)
            fail(c, "an empty axis of", t->name);
    if (t->batched && (t->rank < 1 || t->size[0] != c->graph->batch))
        fail(c, "the first axis is not the batch:", t->name);
}

static void check_outputs(const Check *c, const Tensor *t)
{
    const Tensor *next = t->next;

    if (t->wanted && !c->made[t->id])
        fail(c, "nothing makes", t->name);
    if (!next)
        return;
    if (t->role != ROLE_PARAM && t->role != ROLE_STATE)
        fail(c, "only parameters and states change:", t->name);
    if (!belongs(c, next) || !c->made[next->id])
        fail(c, "nothing makes the next value of", t->name);
    if (next->rank != t->rank || memcmp(next->size, t->size, sizeof *t->size * (size_t)t->rank) != 0)
        fail(c, "the next value has another shape than", t->name);
}

void graph_verify(const Graph *g, const char *after)
{
    Check c = {.graph = g, .after = after, .made = NEW_ARRAY(g->arena, bool, g->tensors.n + 1)};

    for (int i = 0; i < g->tensors.n; i++) {
        check_tensor(&c, g->tensors.at[i], i);
        c.made[i] = g->tensors.at[i]->role != ROLE_TEMP;
    }
    for (int i = 0; i < g->equations.n; i++) {
        c.equation = g->equations.at[i];
        check_equation(&c);
    }
    c.equation = NULL;
    for (int i = 0; i < g->tensors.n; i++)
        check_outputs(&c, g->tensors.at[i]);
}
