/* rewrite.h -- what the passes share: looking at loads, whole-number algebra, expressions in the place of indices. */
#ifndef NNC_REWRITE_H
#define NNC_REWRITE_H

#include "graph/graph.h"

/* Calls `see` for every load in e, also those in subscripts, each node once. `see` must not walk itself. */
void expr_loads(const Expr *e, void (*see)(const Expr *load, void *user), void *user);
/* The same for value, tail and `at` of an equation. */
void equation_loads(const Equation *q, void (*see)(const Expr *load, void *user), void *user);
/* Nodes of e, a shared one counted once. */
int expr_nodes(const Expr *e);
/* Nodes of e as it is written out, a shared one counted where it stands; no more than MOST_WRITTEN. */
enum { MOST_WRITTEN = 1 << 20 };
int expr_written(Expr *e);
/* Any operation below e (e included) for which op->dear holds, or a random number. */
bool expr_dear(const Expr *e);
/* A whole constant. */
bool expr_constant(const Expr *e, int64_t *out);

/* A whole expression as offset + sum of coef[k] * atom[k], the atoms being indices, loads, idiv, mod ...: more than
 * Affine, which knows indices only. */
enum { MAX_TERMS = 24 };
typedef struct Linear {
    int n;
    Expr *atom[MAX_TERMS];
    int64_t coef[MAX_TERMS];
    int64_t offset;
} Linear;
bool expr_linear(Expr *e, Linear *out); /* false: not whole, or too long */
Expr *linear_expr(Arena *a, const Linear *l);
void linear_add(Linear *l, const Linear *other, int64_t times); /* bug() when it does not fit */
bool linear_range(const Linear *l, int64_t *low, int64_t *high);

/* Algebra that holds for all floats; subscripts in one normal form; loads padded only where they must be; conditions
 * that ranges decide. (algebra.c) */
Expr *expr_simplify(Arena *a, Expr *e);
/* Indices replaced as `r` says, the result simplified. A load whose subscripts may then be outside gives 0 there. */
Expr *expr_place(Arena *a, Expr *e, const Rename *r);
/* Loads of the tensors whose maker is given in by_id (maps that write every place, `at` plain) replaced by what the maker
 * computes; the result simplified. */
Expr *expr_inline(Arena *a, Expr *e, Equation *const *by_id);
/* e is 0 wherever index i (and what is put in its place) is outside 0..size-1, provided that loads give 0 outside. */
bool expr_vanishes(const Expr *e, const Index *i);
/* The condition 0 <= e < size, or NULL when it always holds. */
Expr *expr_inside(Arena *a, Expr *e, int64_t size);

/* The box: the indices in `at`, then those of `reduced` that are not there. A reduced index need not stand in the value:
 * a sum over it still counts every point. */
void equation_set_box(Equation *q, int n, Index *const *reduced);
/* Adds i to the box unless it is there. */
void equation_add_index(Equation *q, Index *i);
/* A reduction of one point is that point: if q is one, it becomes a map. */
void reduction_to_map(Arena *a, Equation *q);

/* Indices of size 1, but for the batch, become the number 0. */
void drop_single_indices(Graph *g, Equation *q);
/* Parts of graph_gather (scatter.c): a window on a scattering sum becomes a scattering sum itself; and a sum into places
 * of which most stay empty is summed into a small tensor first, which q then spreads (the small sum, or NULL). */
void graph_move_windows(Graph *g);
Equation *sum_before_spreading(Graph *g, Equation *q);
/* By tensor id, in the graph's arena: parameters, states, and what follows from them alone. (weights.c) */
bool *graph_weights(const Graph *g);
/* The order in which equations are best carried out: scalars and updates of what is kept as soon as they can, but the
 * next value of a tensor after the last reader of the old one, where there is such an order. (order.c) */
void graph_order(Graph *g);

#endif
