/* chain.h -- the chain rule inside of one expression. In all of this a NULL expression is zero. */
#ifndef NNC_CHAIN_H
#define NNC_CHAIN_H

#include "graph/graph.h"

/* A load in an expression, and the derivative of the loss by what it reads. */
typedef struct Adjoint {
    Expr *load, *adjoint;
} Adjoint;

typedef LIST(Adjoint) Adjoints;

/* The adjoint of every load in e of an active tensor (by id) that the loss depends on, each load once. `seed` is the
 * derivative by e; `known` is a load of e's own value, or NULL. */
Adjoints chain_back(Arena *a, const bool *active, Expr *e, Expr *seed, Expr *known);

Expr *chain_times(Arena *a, Expr *g, Expr *d);
Expr *chain_plus(Arena *a, Expr *p, Expr *q);
Expr *chain_choose(Arena *a, Expr *c, Expr *x, Expr *y); /* select(c, x, y) */

#endif
