/* sums.c -- the sums of a tile: what they are called, how they begin, and how they become the result. */
#include "loops/nest.h"

const char *sums_neutral(How how, bool doubles)
{
    switch (how) {
    case EQ_SUM: return doubles ? "0.0" : "0.0f";
    case EQ_PROD: return doubles ? "1.0" : "1.0f";
    case EQ_MIN: return doubles ? "__builtin_inf()" : "__builtin_inff()";
    default: return doubles ? "-__builtin_inf()" : "-__builtin_inff()";
    }
}

void sums_over_tile(Nest *n, const char *format, const char *what, const char *value)
{
    const Choice *c = n->c;

    for (int d = 0; d < c->ntiles; d++)
        line(&n->out, n->depth + d, "NN_TILE(%s, %d)", n->step_name[d], n->tile[d]);
    line(&n->out, n->depth + c->ntiles, format, what, value);
}

static int product(const int *size, int n) { return n > 0 ? size[0] * product(size + 1, n - 1) : 1; }

static int tile_sums(const Nest *n) { return product(n->tile, n->c->ntiles); }

/* Of the largest tile. */
int sums_most(const Choice *c) { return product(c->tile, c->ntiles); }

/* Fewer sums over lanes than this are finished one by one. */
enum { FEWEST_TOGETHER = 5 };

/* The sums of a tile are finished sixteen side by side. */
static bool ends_together(const Nest *n)
{
    const Choice *c = n->c;

    return sums_lanes(c) && c->q->how == EQ_SUM && c->q->out->rank > 0 && tile_sums(n) >= FEWEST_TOGETHER;
}

/* The number of the tile's element. */
static const char *sum_number(const Nest *n)
{
    if (n->c->ntiles < 2)
        return n->step_name[0];
    return arena_print(n->b->arena, "%d * %s + %s", n->tile[1], n->step_name[0], n->step_name[1]);
}

/* The sum of the tile's element: those that end together are in one row. */
const char *sums_text(const Nest *n)
{
    if (!ends_together(n))
        return nest_steps(n, n->sum);
    return arena_print(n->b->arena, "%s[%s]", n->sum, sum_number(n));
}

/* The sums of a tile; `format` says how each gets its value. */
void sums_declare_as(Nest *n, const char *name, const char *format, const char *value)
{
    Text t = {.arena = n->b->arena};

    text_print(&t, "%s %s", n->doubles ? "double" : "nn_v", name);
    if (n->c->ntiles == 0) {
        line(&n->out, n->depth, format, t.s, value);
        return;
    }
    for (int d = 0; d < n->c->ntiles && !ends_together(n); d++)
        text_print(&t, "[%d]", n->tile[d]);
    if (ends_together(n))
        text_print(&t, "[%d]", (int)blocks_of(tile_sums(n)) * LANES);
    line(&n->out, n->depth, "%s;", t.s);
    sums_over_tile(n, format, name == n->sum ? sums_text(n) : nest_steps(n, name), value);
}

void sums_declare(Nest *n, const char *name, const char *value)
{
    sums_declare_as(n, name, n->doubles ? "%s = %s;" : "%s = nn_set(%s);", value);
}

/* Strip by strip what is added is added to what is there. */
static const char *with_strips_before(const Nest *n, const char *place, const char *sum)
{
    const Choice *c = n->c;

    for (int i = c->outer; c->strip && i < c->q->nbox; i++)
        if (c->q->box[i] == c->strip)
            return arena_print(n->b->arena, "%s ? %s + %s : %s", nest_var(n, c->strip)->name, place, sum, sum);
    return sum;
}

/* Sixteen sums at once. */
static void print_together(Nest *n)
{
    unsigned dims = 0;
    const Place *p = place_written(n->b, n->c);
    const char *name = nest_arg(n, p, true), *at = address_text(n, p, n->c->q->at, NULL, &dims);
    const char *total = nest_fresh_name(n, "total");
    int sums = tile_sums(n), rows = (int)blocks_of(sums);

    if (sums < rows * LANES || sums_most(n->c) % LANES)
        line(&n->out, n->depth, "NN_UNROLL for (int l = %d; l < %d; l++) %s[l] = nn_set(0.0f);", sums, rows * LANES, n->sum);
    at = arena_print(n->b->arena, "%s[%s]", name, at);
    if (sums_most(n->c) <= LANES) {
        line(&n->out, n->depth, "const nn_v %s = nn_sum16(%s);", total, n->sum);
        total = arena_print(n->b->arena, "%s[%s]", total, sum_number(n));
    } else {
        line(&n->out, n->depth, "nn_v %s[%d];", total, rows);
        line(&n->out, n->depth, "NN_UNROLL for (int l = 0; l < %d; l++) %s[l] = nn_sum16(%s + 16 * l);", rows, total, n->sum);
        total = arena_print(n->b->arena, "%s[(%s) / 16][(%s) %% 16]", total, sum_number(n), sum_number(n));
    }
    sums_over_tile(n, "%s = %s;", at, with_strips_before(n, at, total));
}

static const char *horizontal(How how)
{
    return how == EQ_SUM ? "nn_sum" : how == EQ_MAX ? "nn_hmax" : how == EQ_MIN ? "nn_hmin" : "nn_hprod";
}

/* result = tail(sums) */
void sums_end(Nest *n)
{
    const Choice *c = n->c;
    const Equation *q = c->q;
    Arena *a = n->b->arena;
    const char *acc = sums_text(n);
    const Place *p = place_written(n->b, c);
    Scope s;

    scope_start(&s, n, n->depth);
    if (q->tail)
        scope_users(q->tail);
    if (ends_together(n)) {
        print_together(n);
        return;
    }
    if (sums_lanes(c) && q->out->rank > 0) {
        unsigned dims = 0;
        const char *at = arena_print(a, "%s[%s]", nest_arg(n, p, true), address_text(n, p, q->at, NULL, &dims));
        const char *sum = arena_print(a, "%s(%s)", horizontal(q->how), acc);
        scope_end(&s, arena_print(a, "%s = %s;", at, with_strips_before(n, at, sum)));
        return;
    }
    s.result = (Piece){n->doubles ? TYPE_DOUBLE : TYPE_VECTOR, nest_dims(n), acc, true};
    if (sums_lanes(c)) {
        n->doubles = true;
        s.result = (Piece){TYPE_DOUBLE, 0, arena_print(a, "(double)%s(acc)", horizontal(q->how)), true};
    }
    Piece v = q->tail ? scope_value(&s, q->tail) : s.result;
    nest_finish(n, &s, v);
    n->doubles = c->lane == LANE_NONE;
}
