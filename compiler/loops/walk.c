/* walk.c -- in which order a kernel visits the tiles of its result.
 *
 * A tile reads a part of each tensor. What the next tile reads again is still in the cache if what lies between fits
 * there; so the loops outside of a tile are put into the order in which the least must come from further away: in a
 * wide layer the places of a picture stay while the channels pass.
 *
 * needs:  the lane and the tile
 * leaves: the indices of the result in the order of their loops; sums are not touched by it */
#include "loops/build.h"

#include "graph/rewrite.h"

#include <math.h>

enum { MOST_WALKED = 5, LINE = 64 }; /* indices whose order is tried; bytes that are fetched at once */

/* Bytes a cycle from the second-level cache, and from what lies behind it. */
enum { NEAR = 32, FAR = 8 };

typedef struct Walk {
    const Choice *choice;
    int64_t extent[MAX_BOX]; /* by position in the box: values that the loops so far go through */
    int n;
    int position[MOST_WALKED]; /* in the box, outermost first */
} Walk;

static int64_t tile_of(const Choice *c, const Index *x)
{
    int64_t n = lanes_of(c, x);

    for (int d = 0; d < c->ntiles; d++)
        if (c->tile_index[d] == x)
            n *= c->tile[d];
    return n < x->size ? n : x->size;
}

static int64_t trips(const Choice *c, const Index *x) { return (x->size + tile_of(c, x) - 1) / tile_of(c, x); }

static int64_t extent_of(const Walk *w, const Index *x)
{
    for (int i = 0; i < w->choice->q->nbox; i++)
        if (w->choice->q->box[i] == x)
            return w->extent[i];
    return 1;
}

/* Between the smallest and the largest value of a subscript, or 1e30. */
static double spread(const Walk *w, const Expr *e)
{
    int64_t k;

    if (e->kind == EXPR_NUMBER)
        return 0;
    if (e->kind == EXPR_INDEX)
        return (double)extent_of(w, e->index) - 1;
    if (expr_is(e, OP_add) || expr_is(e, OP_sub))
        return spread(w, e->args[0]) + spread(w, e->args[1]);
    if (expr_is(e, OP_mul) && expr_constant(e->args[0], &k))
        return fabs((double)k) * spread(w, e->args[1]);
    if (expr_is(e, OP_mul) && expr_constant(e->args[1], &k))
        return fabs((double)k) * spread(w, e->args[0]);
    if (expr_is(e, OP_idiv) && expr_constant(e->args[1], &k) && k > 0)
        return spread(w, e->args[0]) / (double)k;
    if (expr_is(e, OP_mod) && expr_constant(e->args[1], &k) && k > 0)
        return fmin(spread(w, e->args[0]), (double)(k - 1));
    return 1e30;
}

/* Bytes of a load's tensor that the loops so far meet. */
static double footprint(const Walk *w, const Expr *load)
{
    const Tensor *t = load->tensor;
    bool samples = t->batched && over_samples(w->choice);
    double bytes = samples ? LINE : 4;

    for (int a = samples; a < load->nargs; a++)
        bytes *= fmin(1 + spread(w, load->args[a]), (double)t->size[a]);
    return bytes;
}

static double footprints(const Walk *w)
{
    double bytes = 0;

    for (int i = 0; i < w->choice->value->n; i++)
        bytes += footprint(w, w->choice->value->at[i]);
    return bytes;
}

/* Bytes that come from behind a cache of this size. */
static double traffic(Walk *w, double cache)
{
    const Choice *c = w->choice;
    double bytes[MAX_LOADS], sum = 0;

    for (int i = 0; i < c->q->nbox; i++)
        w->extent[i] = i < c->outer ? tile_of(c, c->q->box[i]) : c->q->box[i]->size;
    for (int i = 0; i < c->value->n; i++)
        bytes[i] = footprint(w, c->value->at[i]);
    for (int k = w->n; k-- > 0;) {
        const Index *x = c->q->box[w->position[k]];
        double before[MAX_LOADS], inside = footprints(w);
        for (int i = 0; i < c->value->n; i++)
            before[i] = footprint(w, c->value->at[i]);
        w->extent[w->position[k]] = x->size;
        for (int i = 0; i < c->value->n; i++)
            bytes[i] *= inside > cache ? (double)trips(c, x) : footprint(w, c->value->at[i]) / before[i];
    }
    for (int i = 0; i < c->value->n; i++)
        sum += bytes[i];
    return sum;
}

static double walk_cycles(Walk *w)
{
    return traffic(w, (double)loops_machine->l1) / NEAR + traffic(w, 0.75 * (double)loops_machine->l2) / FAR;
}

/* Tries every order of the positions from k on. */
static void try_orders(Walk *w, int k, Walk *best, double *least)
{
    if (k == w->n) {
        double cycles = walk_cycles(w);
        if (cycles < *least) {
            *least = cycles;
            *best = *w;
        }
        return;
    }
    for (int i = k; i < w->n; i++) {
        int chosen = w->position[i];
        memmove(&w->position[k + 1], &w->position[k], (size_t)(i - k) * sizeof w->position[0]);
        w->position[k] = chosen;
        try_orders(w, k + 1, best, least);
        memmove(&w->position[k], &w->position[k + 1], (size_t)(i - k) * sizeof w->position[0]);
        w->position[i] = chosen;
    }
}

double choose_walk(Choice *c)
{
    Walk w = {.choice = c}, best;

    for (int i = 0; i < c->outer; i++)
        c->walk[i] = c->q->box[i];
    if (c->q->how == EQ_MAP || c->scatter || c->lane == LANE_NONE)
        return 0;
    for (int i = 0; i < c->outer; i++)
        if (!c->q->box[i]->batch && trips(c, c->q->box[i]) > 1) {
            if (w.n == MOST_WALKED)
                return 0;
            w.position[w.n++] = i;
        }
    best = w;
    double plain = walk_cycles(&w), least = plain;
    try_orders(&w, 0, &best, &least);
    if (plain - least < 0.1 * c->cycles)
        return plain; /* as in the box, unless it matters */
    /* whoever takes one step keeps his place */
    for (int i = 0, k = 0; i < c->outer; i++)
        if (!c->q->box[i]->batch && trips(c, c->q->box[i]) > 1)
            c->walk[i] = c->q->box[best.position[k++]];
    return least;
}
