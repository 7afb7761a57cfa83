/* weights.c -- which tensors follow from parameters and states alone: the same for every sample, until a step. */
#include "graph/rewrite.h"

typedef struct Weights {
    bool *given; /* by tensor id */
    bool only;   /* the equation at hand reads nothing else */
} Weights;

static void note_load(const Expr *load, void *user)
{
    Weights *w = user;

    w->only &= w->given[load->tensor->id];
}

static bool draws(const Expr *e, unsigned walk)
{
    if (e->walk == walk)
        return false;
    ((Expr *)e)->walk = walk;
    for (int i = 0; i < e->nargs; i++)
        if (draws(e->args[i], walk))
            return true;
    return e->kind == EXPR_RANDOM;
}

bool *graph_weights(const Graph *g)
{
    Weights w = {.given = NEW_ARRAY(g->arena, bool, g->tensors.n + 1)};

    for (int i = 0; i < g->tensors.n; i++)
        w.given[i] = g->tensors.at[i]->role == ROLE_PARAM || g->tensors.at[i]->role == ROLE_STATE;
    for (int i = 0; i < g->equations.n; i++) {
        const Equation *q = g->equations.at[i];
        w.only = !q->out->wanted && !draws(q->value, expr_walk());
        equation_loads(q, note_load, &w);
        w.given[q->out->id] = w.only;
    }
    return w.given;
}
