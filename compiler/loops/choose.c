/* choose.c -- which index runs over the lanes and which block of the result stays in registers.
 *
 * Everything follows from the roles of indices: the batch; those in the result, of which the last one has neighbours
 * in memory; those that are reduced. Costs are cycles of one core, roughly; the order of additions into one element never depends on
 * the tile, so the machine changes speed and not bits. */
#include "loops/build.h"

#include "graph/rewrite.h"

enum { SUM_OF_LANES = 9 };  /* cycles of one horizontal sum and its scalar store */
enum { SIDE_BY_SIDE = 2 };  /* of one of sixteen neighbours */
enum { FEW_SUMS = 1024 };   /* which the tile of a small result can be */
static const double STORE_APART = 0.5; /* of one lane */

bool is_batch(const Expr *e)
{
    return e->kind == EXPR_INDEX && e->index->batch;
}

/* --- the loads of an equation --- */

static void note_load(const Expr *load, void *user)
{
    Loads *l = user;

    for (int i = 0; i < l->n; i++)
        if (expr_same(l->at[i], load))
            return;
    if (l->n == MAX_LOADS)
        bug("an equation with more than %d loads", MAX_LOADS);
    l->at[l->n++] = load;
}

Loads *loads_of(Arena *a, const Expr *e)
{
    static const Loads none;
    Loads l;

    if (!e)
        return (Loads *)&none;
    l.n = 0;
    expr_loads(e, note_load, &l);
    size_t bytes = offsetof(Loads, at) + (size_t)l.n * sizeof *l.at;
    return memcpy(arena_alloc(a, bytes), &l, bytes);
}

static int count_operations(const Expr *e, unsigned walk)
{
    if (e->walk == walk || e->kind != EXPR_OP)
        return 0;
    ((Expr *)e)->walk = walk;
    int n = 1;
    for (int i = 0; i < e->nargs; i++)
        n += count_operations(e->args[i], walk);
    return n;
}

/* Operations of one point; those in subscripts cost next to nothing. */
static int operations(const Expr *e) { return count_operations(e, expr_walk()); }

/* --- flat: a map over all elements of tensors with the same sizes --- */

static bool same_place(const Equation *q, const Expr *load)
{
    const Tensor *t = load->tensor, *out = q->out;

    if (t->rank == 0)
        return true;
    if (t->batched || t->integer != out->integer || t->rank != out->rank || load->padded)
        return false;
    for (int i = 0; i < t->rank; i++)
        if (t->size[i] != out->size[i] || !expr_same(load->args[i], q->at[i]))
            return false;
    return true;
}

/* Indices may appear as numbers in counters of random numbers only, and there as the position in the tensor. */
static bool numbers_flat(const Equation *q, const Expr *e, const Layout *l)
{
    Affine f;

    switch (e->kind) {
    case EXPR_INDEX: return false;
    case EXPR_LOAD: return true;
    case EXPR_RANDOM:
        if (!expr_affine(e->args[0], &f) || f.n != q->out->rank)
            return false;
        for (int a = 0; a < q->out->rank; a++) {
            int k = 0;
            while (k < f.n && f.index[k] != q->at[a]->index)
                k++;
            if (k == f.n || f.coef[k] != l->stride[a])
                return false;
        }
        return true;
    default:
        for (int i = 0; i < e->nargs; i++)
            if (!numbers_flat(q, e->args[i], l))
                return false;
        return true;
    }
}

static bool is_flat(const Equation *q, const Loads *loads)
{
    Layout l;

    if (q->how != EQ_MAP || q->out->batched || q->out->rank == 0 ||
        !subscripts_plain(q->at, q->out->rank, q->out->size))
        return false;
    for (int i = 0; i < loads->n; i++)
        if (!same_place(q, loads->at[i]))
            return false;
    layout_kept(&l, q->out->rank, q->out->size, q->out->integer);
    return numbers_flat(q, q->value, &l);
}

/* --- the lane --- */

static Index *batch_of(const Equation *q)
{
    for (int i = 0; i < q->nbox; i++)
        if (q->box[i]->batch)
            return q->box[i];
    return NULL;
}

/* How often index x stands in the address of a load: its stride, natural order; -1 when it is not that simple. */
static int64_t stride_of(const Expr *load, const Index *x)
{
    const Tensor *t = load->tensor;
    int64_t stride = 1, sum = 0;

    for (int a = t->rank; a-- > 0;) {
        Affine f;
        if (expr_affine(load->args[a], &f)) {
            for (int k = 0; k < f.n; k++)
                if (f.index[k] == x)
                    sum += f.coef[k] * stride;
        } else if (expr_has_index(load->args[a], x)) {
            return -1;
        }
        stride *= t->size[a];
    }
    return sum;
}

/* Cycles for one vector of x's neighbours, of all loads: contiguous, constant or one by one. */
static double loads_cost(const Loads *l, const Index *x, int vectors)
{
    double cost = 0;

    for (int i = 0; i < l->n; i++) {
        int64_t stride = stride_of(l->at[i], x);
        cost += stride == 0 ? 0.5 : stride == 1 ? 1 : stride == 2 && l->at[i]->tensor->role == ROLE_TEMP && !l->at[i]->tensor->batched ? 3 : 20;
    }
    return cost * vectors;
}

static double volume(const Equation *q, int from, int to)
{
    double n = 1;

    for (int i = from; i < to; i++)
        n *= (double)q->box[i]->size;
    return n;
}

static double vectors_in(int64_t n) { return (double)((n + LANES - 1) / LANES); }

/* The index of the result whose neighbours are neighbours there, as j's are at 5 * i + j. */
static Index *last_index(const Equation *q)
{
    Index *last = NULL;
    Affine f;

    if (!expr_affine(q->at[q->out->rank - 1], &f))
        return NULL;
    for (int k = 0; k < f.n; k++)
        if (f.coef[k] == 1 && !f.index[k]->batch)
            last = f.index[k];
    for (int a = 0; last && a + 1 < q->out->rank; a++)
        if (expr_has_index(q->at[a], last))
            return NULL;
    return last;
}

/* Reduced indices, best first: the one with the fewest loads that must go lane by lane. */
static Index *lane_of_sum(const Equation *q, int outer, const Loads *l, double *cycles)
{
    Index *best = NULL;

    for (int i = outer; i < q->nbox; i++) {
        Index *x = q->box[i];
        if (x->batch)
            continue;
        double v = vectors_in(x->size);
        double cost = volume(q, 0, q->nbox) / (double)x->size * loads_cost(l, x, 1) * v;
        cost += volume(q, 0, outer) * SUM_OF_LANES;
        if (!best || cost < *cycles) {
            best = x;
            *cycles = cost;
        }
    }
    return best;
}

/* All that is read has x's neighbours side by side. */
static bool is_side_by_side(const Loads *l, const Index *x)
{
    for (int i = 0; i < l->n; i++)
        if (stride_of(l->at[i], x) != 1)
            return false;
    return l->n > 0;
}

/* Such an index of a map; what it makes is stored one by one. */
static Index *lane_of_map(const Equation *q, const Loads *l, double *cycles)
{
    for (int i = 0; i < q->nbox && q->how == EQ_MAP; i++)
        if (!q->box[i]->batch && is_side_by_side(l, q->box[i])) {
            double vectors = volume(q, 0, q->nbox) / (double)q->box[i]->size * vectors_in(q->box[i]->size);
            *cycles = vectors * (1 + 0.3 * l->n + LANES * STORE_APART);
            return q->box[i];
        }
    return NULL;
}

static bool scatters(const Equation *q)
{
    if (q->how != EQ_SUM)
        return false;
    if (q->padded)
        return true;
    return !subscripts_injective(q->at, q->out->rank, q->box, equation_outer(q)) || !equation_covers(q);
}

static void set_lane(Choice *c, LaneKind kind, Index *x, const char *why)
{
    c->lane = kind;
    c->lane_index = x;
    c->why = why;
}

/* Neighbours of a batched tensor stand side by side in a form of its own only, made for whoever asks. The caller's
 * inputs come like that. */
static double unpacking_cost(const Loads *l, const Index *x)
{
    double cost = 0;

    for (int i = 0; i < l->n; i++) {
        const Tensor *t = l->at[i]->tensor;
        if (!t->batched || t->role == ROLE_INPUT || !expr_has_index(l->at[i], x))
            continue;
        /* sixteen by sixteen, the rest one by one, of all lanes */
        int64_t sample = tensor_count(t) / t->size[0], whole = sample / LANES;
        cost += (double)(blocks_of(t->size[0]) * (whole * 4 * LANES + sample % LANES * LANES));
    }
    return cost;
}

/* A result without the batch: the cheapest of samples (reduced), a reduced axis, the result's last axis, no lanes. */
static void choose_unbatched(Choice *c)
{
    const Equation *q = c->q;
    const Loads *l = c->value;
    double points = volume(q, 0, q->nbox), none = points * (2 + l->n), sum = 1e30, axis = 1e30, samples = 1e30, apart = 1e30;
    Index *last = q->out->rank > 0 ? last_index(q) : NULL, *summed = NULL, *read = lane_of_map(q, l, &apart);

    if (q->how == EQ_ARGMAX) {
        set_lane(c, LANE_NONE, NULL, "a position is searched one by one");
        return;
    }
    if (c->batch)
        samples = points / (double)c->batch->size * vectors_in(c->batch->size) * (1 + 0.3 * l->n) +
                  volume(q, 0, c->outer) * (tensor_count(q->out) <= FEW_SUMS ? SIDE_BY_SIDE : SUM_OF_LANES);
    else if (c->outer < q->nbox)
        summed = lane_of_sum(q, c->outer, l, &sum);
    if (last)
        axis = points / (double)last->size * vectors_in(last->size) * (1 + 0.3 * loads_cost(l, last, 1)) +
               unpacking_cost(l, last);
    if (last && read && apart < axis && apart < samples && apart < none)
        set_lane(c, LANE_AXIS, read, "neighbours in what is read");
    else if (axis <= samples && axis <= sum && axis <= none)
        set_lane(c, LANE_AXIS, last,
                 c->batch ? "few additions for each element, so its neighbours in lanes" : "neighbours in the result");
    else if (samples <= none)
        set_lane(c, LANE_SAMPLES_SUM, c->batch, "many additions for each element: samples in lanes, summed at the end");
    else if (summed && sum <= none)
        set_lane(c, LANE_AXIS_SUM, summed, "neighbours in what is summed");
    else
        set_lane(c, LANE_NONE, NULL, "too small for lanes");
}

/* Indices only in subscripts: their values are no numbers on lanes. */
static bool only_places(const Expr *e)
{
    if (e->kind == EXPR_INDEX || e->kind == EXPR_RANDOM)
        return false;
    for (int i = 0; e->kind == EXPR_OP && i < e->nargs; i++)
        if (!only_places(e->args[i]))
            return false;
    return true;
}

/* Rows of eight fill half of the lanes: two rows at once fill all. Of an odd number of rows one is carried out twice. */
static void fold_rows(Choice *c)
{
    const Equation *q = c->q;
    int rank = q->out->rank;
    const Expr *row = rank > 1 ? q->at[rank - 2] : NULL;

    if (c->lane != LANE_AXIS || c->lane_index->size > LANES / 2 || q->out->integer || !row || row->kind != EXPR_INDEX ||
        row->index->size < 2 || !only_places(q->value) || (q->tail && !only_places(q->tail)))
        return;
    for (int a = 0; a < rank; a++)
        if (a != rank - 2 && expr_has_index(q->at[a], row->index))
            return;
    c->fold = row->index;
}

Choice *choose_lane(Build *b, Equation *q)
{
    Choice *c = NEW(b->arena, Choice);

    c->q = q;
    c->value = loads_of(b->arena, q->value);
    c->tail = loads_of(b->arena, q->tail);
    c->batch = batch_of(q);
    c->outer = equation_outer(q);
    c->scatter = scatters(q);
    c->flops = volume(q, 0, q->nbox) * ((q->how != EQ_MAP) + operations(q->value)) +
               (q->tail ? volume(q, 0, c->outer) * operations(q->tail) : 0);
    if (q->out->batched && q->out->rank > 0 && is_batch(q->at[0]))
        set_lane(c, LANE_SAMPLES, c->batch, "sixteen samples side by side");
    else if (c->scatter || q->out->batched)
        set_lane(c, LANE_NONE, NULL, "places of the result are met more than once");
    else if (!b->graph->single && (c->flat = is_flat(q, c->value)))
        set_lane(c, LANE_AXIS, NULL, "all elements in one row");
    else if (q->out->rank == 0 && q->how == EQ_MAP)
        set_lane(c, LANE_NONE, NULL, "a single number");
    else
        choose_unbatched(c);
    if (b->graph->single)
        fold_rows(c);
    return c;
}
