/* dead.c -- drop the equations whose result nobody wants.
 *
 * needs:  outputs marked wanted; what replaces a parameter or state after the step counts as an output
 * leaves: the other equations, in order, each wanted by a later one */
#include "graph/graph.h"
#include "graph/rewrite.h"

static void want(const Expr *load, void *needed)
{
    ((bool *)needed)[load->tensor->id] = true;
}

static void want_loads(const Equation *q, bool *needed)
{
    expr_loads(q->value, want, needed);
    for (int k = 0; k < q->out->rank; k++)
        expr_loads(q->at[k], want, needed);
    if (q->tail)
        expr_loads(q->tail, want, needed);
}

void graph_drop_dead(Graph *g)
{
    bool *needed = NEW_ARRAY(g->arena, bool, g->tensors.n);
    int first = g->equations.n;

    for (int i = 0; i < g->tensors.n; i++) {
        const Tensor *t = g->tensors.at[i];
        needed[i] |= t->wanted;
        if (t->next)
            needed[t->next->id] = true;
    }
    /* Last to first: when an equation is judged, all its readers have spoken. */
    for (int i = g->equations.n; i-- > 0;) {
        Equation *q = g->equations.at[i];
        if (!needed[q->out->id])
            continue;
        want_loads(q, needed);
        g->equations.at[--first] = q;
    }
    g->equations.at += first;
    g->equations.n -= first;
    g->equations.room -= first;
}
