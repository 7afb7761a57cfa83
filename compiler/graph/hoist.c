/* hoist.c -- dear scalar work that stands in a loop is done once, before it.
 *
 * A subexpression without indices, over numbers and scalars only, that contains a dear operation (1 - b1^steps in
 * Adam) gets an equation of rank 0 of its own, which is computed once and in double.
 *
 * needs:  equations in order
 * leaves: the same, with equations of rank 0 in front of those that read them; equal subexpressions share one */
#include "graph/rewrite.h"

typedef struct Hoist {
    Graph *graph;
    LIST(Equation *) done;    /* the new list of equations */
    LIST(Equation *) hoisted; /* those made here */
} Hoist;

static bool is_scalar(const Expr *e)
{
    if (e->kind == EXPR_NUMBER)
        return true;
    if (e->kind == EXPR_LOAD)
        return e->tensor->rank == 0;
    if (e->kind != EXPR_OP)
        return false;
    for (int i = 0; i < e->nargs; i++)
        if (!is_scalar(e->args[i]))
            return false;
    return true;
}

static Expr *own_equation(Hoist *h, const Equation *reader, Expr *e)
{
    Arena *a = h->graph->arena;

    for (int i = 0; i < h->hoisted.n; i++)
        if (expr_same(h->hoisted.at[i]->value, e))
            return expr_scalar(a, h->hoisted.at[i]->out);
    Tensor *t = graph_tensor(h->graph, "scalar", ROLE_TEMP, 0, NULL);
    t->where = reader->where;
    Equation *q = NEW(a, Equation);
    *q = (Equation){.out = t, .how = EQ_MAP, .value = e, .layer = reader->layer, .where = reader->where,
                    .backward = reader->backward};
    PUSH(a, h->done, q);
    PUSH(a, h->hoisted, q);
    return expr_scalar(a, t);
}

static Expr *hoist(Hoist *h, const Equation *reader, Expr *e)
{
    Arena *a = h->graph->arena;
    Expr *args[MAX_RANK];
    bool changed = false;

    if (e->kind == EXPR_OP && is_scalar(e))
        return expr_dear(e) ? own_equation(h, reader, e) : e;
    for (int i = 0; i < e->nargs; i++) {
        args[i] = hoist(h, reader, e->args[i]);
        changed |= args[i] != e->args[i];
    }
    if (!changed)
        return e;
    if (e->kind == EXPR_OP)
        return expr_apply(a, e->op, args);
    /* Subscripts and counters are whole: nothing dear to find there. */
    return e;
}

void graph_hoist(Graph *g)
{
    Hoist h = {.graph = g};

    for (int i = 0; i < g->equations.n; i++) {
        Equation *q = g->equations.at[i];
        if (q->nbox)
            q->value = hoist(&h, q, q->value);
        if (q->tail && q->out->rank)
            q->tail = hoist(&h, q, q->tail);
        PUSH(g->arena, h.done, q);
    }
    g->equations.at = h.done.at;
    g->equations.n = h.done.n;
    g->equations.room = h.done.room;
}
