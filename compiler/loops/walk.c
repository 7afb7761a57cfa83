/* walk.c -- in which order a kernel visits the tiles of its result.
 *
 * A tile reads a part of each tensor. What the next tile reads again is still in the cache if what lies between fits
 * there; so the loops outside of a tile are put into the order in which the least must come from further away: in a
 * wide layer the places of a picture stay while the channels pass.
 *
 * Two loops may be cut into strips of tiles, so that both share what they read. Where already one tile reads too much, its
 * sum is taken in pieces: the first loops of the reduction go outside of the strips, whose sums are kept in memory
 * meanwhile. Each sum is still added up in the same order, so the bits are the same.
 *
 * needs:  the lane and the tile
 * leaves: the indices of the result in the order of their loops, and the pieces */
#include "loops/build.h"

#include "graph/rewrite.h"

#include <math.h>

enum { MOST_WALKED = 5, LINE = 64, MOST_TERMS = 6 }; /* indices whose order is tried; bytes that are fetched at once; see Subscript */

/* Bytes a cycle from the second-level cache; from what lies behind it, line by line, or in long rows that the processor
 * foresees. */
enum { NEAR = 32, FAR = 8, FAR_ROWS = 24 };

/* A subscript as a sum of indices with factors, which is looked at for every order that is tried; other ones keep
 * terms = -1. */
typedef struct Subscript {
    int terms;
    int position[MOST_TERMS]; /* in the box */
    double factor[MOST_TERMS];
} Subscript;

typedef struct Walk {
    const Choice *choice;
    const Subscript (*subscript)[MAX_RANK]; /* of each load */
    int64_t extent[MAX_BOX]; /* by position in the box: values that the loops so far go through */
    int n;
    int position[MOST_WALKED]; /* in the box, outermost first */
    bool strips; /* to be tried */
    Pieces pieces;
} Walk;

static int64_t tile_of(const Choice *c, const Index *x)
{
    int64_t n = lanes_of(c, x);

    for (int d = 0; d < c->ntiles; d++)
        if (c->tile_index[d] == x)
            n *= c->tile[d];
    return n < x->size ? n : x->size;
}

/* Of a strip, which is outside, one. */
static int64_t trips(const Choice *c, const Index *x)
{
    return x == c->strip ? 1 : (x->size + tile_of(c, x) - 1) / tile_of(c, x);
}

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

/* Combinations of the values of the indices in e, each of which stands there once. */
static double combinations(const Walk *w, const Expr *e)
{
    double n = e->kind == EXPR_INDEX ? (double)extent_of(w, e->index) : 1;

    for (int i = 0; e->kind == EXPR_OP && i < e->nargs; i++)
        n *= combinations(w, e->args[i]);
    return n;
}

static double lesser(double a, double b) { return a < b ? a : b; }

/* Different values of a subscript: places with a stride leave out those between, of which `pairs` brings one along. */
static double values(const Walk *w, const Subscript *s, const Expr *e, bool pairs)
{
    double spread_of = 1, combined = pairs ? 2 : 1;

    if (s->terms < 0)
        return e->kind == EXPR_LOAD ? 1e30 : lesser(1 + spread(w, e), combinations(w, e));
    for (int i = 0; i < s->terms; i++) {
        double n = (double)w->extent[s->position[i]];
        spread_of += s->factor[i] * (n - 1);
        combined *= n;
    }
    return lesser(spread_of, combined);
}

static void note_subscript(const Equation *q, const Expr *e, Subscript *s)
{
    Affine f;

    s->terms = -1;
    if (!expr_affine(e, &f) || f.n > MOST_TERMS)
        return;
    for (int i = 0; i < f.n; i++) {
        int k = 0;
        while (k < q->nbox && q->box[k] != f.index[i])
            k++;
        if (k == q->nbox)
            return;
        s->position[i] = k;
        s->factor[i] = fabs((double)f.coef[i]);
    }
    s->terms = f.n;
}

/* Bytes of a load's tensor that the loops so far meet. In a sum over places lines of the cache come in pairs. */
static double footprint(const Walk *w, int load)
{
    const Expr *e = w->choice->value->at[load];
    const Tensor *t = e->tensor;
    double bytes = t->batched && over_samples(w->choice) ? LINE : 4;

    for (int a = 0; a < e->nargs; a++)
        bytes *= lesser(values(w, &w->subscript[load][a], e->args[a], a == e->nargs - 1 && sums_lanes(w->choice)), (double)t->size[a]);
    return bytes;
}

/* The loop over index i of the box goes from where it is to `extent` values, in so many steps: bytes that come from behind
 * the cache grow as what is met does, if what was met before fits there, else with the steps. The last cache loses a part only. */
static void widen(Walk *w, double *bytes, double cache, int i, int64_t extent, double steps)
{
    int n = w->choice->value->n;
    double before[MAX_LOADS], inside = 0;

    for (int k = 0; k < n; k++)
        inside += before[k] = footprint(w, k);
    double fits = inside <= cache ? 1 : cache > (double)loops_machine->l2 ? cache / inside : 0;
    w->extent[i] = extent;
    for (int k = 0; k < n; k++)
        bytes[k] *= fits * footprint(w, k) / before[k] + (1 - fits) * steps;
}

/* A sum over places reads the tensor from one place to the next. */
static bool in_rows(const Choice *c, const Expr *load)
{
    Affine f;

    if (!sums_lanes(c) || load->nargs == 0 || !expr_affine(load->args[load->nargs - 1], &f))
        return false;
    int64_t step = affine_coef(&f, c->q->box[c->q->nbox - 1]);
    return step == 1 || step == -1;
}

/* Bytes that come from behind a cache of this size: all, or those that do not come in rows. */
static double traffic(Walk *w, double cache, bool all)
{
    const Choice *c = w->choice;
    const Pieces *p = &w->pieces;
    double bytes[MAX_LOADS], sum = 0;
    int innermost = w->n - 1;

    for (int i = 0; i < c->q->nbox; i++)
        w->extent[i] = i >= c->outer + p->n ? steps_of_sum(c, c->q->box[i]) : i < c->outer && !c->q->box[i]->batch ? tile_of(c, c->q->box[i]) : 1;
    if (p->n > 0)
        w->extent[c->outer + p->n - 1] = p->step;
    for (int i = 0; i < c->value->n; i++)
        bytes[i] = footprint(w, i);
    if (p->strip[0] > 0) {
        for (int k = STRIPS; k-- > 0;) {
            int i = w->position[w->n - STRIPS + k];
            widen(w, bytes, cache, i, tile_of(c, c->q->box[i]) * p->strip[k], (double)p->strip[k]);
        }
        for (int k = c->outer + p->n; k-- > c->outer;)
            widen(w, bytes, cache, k, steps_of_sum(c, c->q->box[k]), (double)steps_of_sum(c, c->q->box[k]) / (double)w->extent[k]);
        for (int k = STRIPS; k-- > 0; innermost--) {
            const Index *x = c->q->box[w->position[innermost]];
            widen(w, bytes, cache, w->position[innermost], x->size, (double)trips(c, x) / (double)p->strip[k]);
        }
    }
    for (int k = innermost; k >= 0; k--) {
        const Index *x = c->q->box[w->position[k]];
        widen(w, bytes, cache, w->position[k], x->size, (double)trips(c, x));
    }
    for (int i = 0; i < c->value->n; i++)
        sum += all || !in_rows(c, c->value->at[i]) ? bytes[i] : 0;
    return sum;
}

/* All cycles of the kernel. What is near comes while the processor computes; so do the rows of a sum over places. */
static double walk_cycles(const Walk *from)
{
    Walk w = *from;
    double l2 = (double)loops_machine->l2, near = traffic(&w, (double)loops_machine->l1, true) / NEAR;
    double far = traffic(&w, 0.75 * l2, true), apart = traffic(&w, 0.75 * l2, false);
    double cycles = fmax(fmax(w.choice->cycles, near), (far - apart) / FAR_ROWS) + near / 8 + apart / FAR;

    return sums_lanes(w.choice) ? cycles + memory_cycles(traffic(&w, 0.5 * LAST_CACHE * l2, true)) : cycles;
}

/* --- strips and pieces --- */

/* Sums that are kept at once, in vectors: a part of the second-level cache, and a small one of any thread's stack. */
enum { MOST_KEPT = 1024, LEAST_TASKS = 8, COST_OF_KEEPING = 4 /* cycles */ };

/* The first loops of the reduction, so that about `steps` are left inside. */
static bool cut(const Choice *c, int64_t steps, Pieces *p)
{
    int64_t inside = 1;
    int i = c->q->nbox;

    while (i > c->outer && inside * steps_of_sum(c, c->q->box[i - 1]) <= steps)
        inside *= steps_of_sum(c, c->q->box[--i]);
    p->n = i - c->outer;
    p->step = 1;
    if (p->n == 0)
        return false;
    int64_t size = steps_of_sum(c, c->q->box[i - 1]);
    for (int64_t d = 2; d * inside <= steps && !c->q->box[i - 1]->batch; d++)
        p->step = size % d == 0 ? d : p->step;
    return inside * p->step >= steps / 3;
}

/* Every sum is put away and fetched again for each piece. */
static double keeping_cycles(const Walk *w)
{
    const Choice *c = w->choice;
    double sums = COST_OF_KEEPING;

    for (int i = 0; i < c->outer + w->pieces.n; i++)
        sums *= i < c->outer && c->q->box[i]->batch ? 1 : (double)steps_of_sum(c, c->q->box[i]);
    return sums / (double)w->pieces.step;
}

static bool takes_strips(const Choice *c)
{
    return over_samples(c) && !c->by_block && c->q->how == EQ_SUM && c->ntiles > 0 && c->nbounds == 0 && !(c->next && c->next->q->how == EQ_SUM);
}

static void note_best(const Walk *w, Walk *best, double *least)
{
    double cycles = walk_cycles(w) + (w->pieces.n > 0 ? keeping_cycles(w) : 0);

    if (cycles < *least) {
        *least = cycles;
        *best = *w;
    }
}

/* Not more than `most` tiles; where few less leave no rest, which would be one more copy of the code, these. */
static int64_t strip_length(const Choice *c, const Index *x, int64_t most)
{
    int64_t tiles = x->size / tile_of(c, x), n = most < tiles ? most : tiles, d = n;

    while (d > 1 && tiles % d != 0)
        d--;
    return 3 * d >= 2 * n ? d : n;
}

/* Strips as long as may be, of which enough are left for tasks. */
static void try_strips(Walk *w, Walk *best, double *least)
{
    const Choice *c = w->choice;
    const Index *x[STRIPS];
    int64_t sums = 1, tasks = 1;

    for (int d = 0; d < c->ntiles; d++)
        sums *= c->tile[d];
    for (int i = 0; i + STRIPS < w->n; i++)
        tasks *= trips(c, c->q->box[w->position[i]]);
    for (int k = 0; k < STRIPS; k++)
        x[k] = c->q->box[w->position[w->n - STRIPS + k]];
    for (int64_t strip = 1; strip <= 16 && strip <= trips(c, x[0]); strip *= 2) {
        int64_t one = strip_length(c, x[0], strip), other = strip_length(c, x[1], MOST_KEPT / sums / one);
        w->pieces.strip[0] = one;
        w->pieces.strip[1] = other;
        if (other >= 1 && tasks * (trips(c, x[0]) / one) * (trips(c, x[1]) / other) >= LEAST_TASKS)
            note_best(w, best, least);
    }
}

/* --- the order --- */

/* Tries every order of the positions from k on. */
static void try_orders(Walk *w, int k, Walk *best, double *least)
{
    if (k == w->n) {
        if (w->strips)
            try_strips(w, best, least);
        else
            note_best(w, best, least);
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

/* The better one only if it matters. */
static double take_if_better(Choice *c, const Walk *best, double cycles, double least)
{
    if (cycles - least < 0.1 * c->cycles)
        return cycles;
    c->pieces = best->pieces;
    int single = 0;
    for (int i = 0; i < c->outer; i++)
        if (c->q->box[i]->batch || trips(c, c->q->box[i]) == 1)
            c->walk[single++] = c->q->box[i];
    for (int i = 0; i < best->n; i++)
        c->walk[single + i] = c->q->box[best->position[i]];
    return least;
}

/* A map over neighbours of the result that lie apart in what is read takes single numbers from as many lines of the cache as
 * there are lanes. The next ones lie in the same lines along another index: so the loop over the lanes goes outside, unless
 * every point makes several vectors, which would lie apart in the result. */
static bool reads_across(const Choice *c)
{
    for (int i = 0; i < c->value->n && c->q->how == EQ_MAP && c->lane == LANE_AXIS && c->lane_index && c->ntiles == 0; i++) {
        const Expr *load = c->value->at[i];
        Affine f;
        if (load->nargs > 0 && expr_has_index(load, c->lane_index) && expr_affine(load->args[load->nargs - 1], &f) &&
            affine_coef(&f, c->lane_index) == 0)
            return true;
    }
    return false;
}

static void lanes_first(Choice *c)
{
    int k = 0;

    while (c->walk[k] != c->lane_index)
        k++;
    memmove(&c->walk[1], &c->walk[0], (size_t)k * sizeof c->walk[0]);
    c->walk[0] = c->lane_index;
}

double choose_walk(Choice *c)
{
    Subscript subscript[MAX_LOADS][MAX_RANK];
    Walk w = {.choice = c, .subscript = subscript}, best;

    c->pieces = w.pieces;
    for (int i = 0; i < c->outer; i++)
        c->walk[i] = c->q->box[i];
    if (reads_across(c))
        lanes_first(c);
    if (c->q->how == EQ_MAP || c->scatter || c->lane == LANE_NONE)
        return c->cycles;
    for (int i = 0; i < c->outer; i++)
        if (!c->q->box[i]->batch && trips(c, c->q->box[i]) > 1) {
            if (w.n == MOST_WALKED)
                return c->cycles;
            w.position[w.n++] = i;
        }
    best = w;
    for (int i = 0; i < c->value->n; i++)
        for (int a = 0; a < c->value->at[i]->nargs; a++)
            note_subscript(c->q, c->value->at[i]->args[a], &subscript[i][a]);
    double cycles = walk_cycles(&w), least = cycles;
    try_orders(&w, 0, &best, &least);
    cycles = take_if_better(c, &best, cycles, least);
    least = cycles;
    w.strips = true;
    /* Sums over places read rows from end to end, which the processor foresees unless they are short. */
    int64_t inside = sums_lanes(c) ? 128 : 64, step = sums_lanes(c) ? 2 : 4;
    for (; inside <= 1024 && w.n >= STRIPS && takes_strips(c) && least > 1.25 * c->cycles; inside *= step)
        if (cut(c, inside, &w.pieces))
            try_orders(&w, 0, &best, &least);
    return take_if_better(c, &best, cycles, least);
}
