/* bounds.c -- where a padded load is a factor of what is summed, there is nothing to add while it is outside: a reduced
 * index then runs only as far as the load is inside, instead of through zeros. The gradient of a 5 x 5 window's input
 * multiplies half as often.
 *
 *     d[o, i - p] inside, 0 <= i - p < 10, with p in 0..4:   for p from max(0, i - 9) to min(5, i + 1)
 *
 * An index of the result with a tile asks for all that some step of it needs; the halo is zero there. */
#include "loops/build.h"

/* Loops whose length changes are worth it when they leave out so much. */
static const double most_inside = 0.85;

void bound_ends(const Bound *b, int64_t tile, int64_t *slope, int64_t *low, int64_t *end)
{
    int64_t from = b->offset, to = b->offset; /* of the subscript without the reduced index */

    if (b->coef > 0)
        to += b->coef * (tile - 1);
    else
        from += b->coef * (tile - 1);
    *slope = -b->sign * b->coef;
    *low = b->sign > 0 ? -to : from - b->size + 1;
    *end = b->sign > 0 ? b->size - from : to + 1;
}

/* How many of all steps are left with so many steps of the result's index in the tile. */
double bound_share(const Bound *b, int64_t tile)
{
    double steps = 0, all = 0;

    for (int64_t i = 0; i < b->with->size; i += tile) {
        int64_t slope, low, end;
        bound_ends(b, tile < b->with->size - i ? tile : b->with->size - i, &slope, &low, &end);
        low = low + slope * i > 0 ? low + slope * i : 0;
        end = end + slope * i < b->index->size ? end + slope * i : b->index->size;
        steps += end > low ? (double)(end - low) : 0;
        all += (double)b->index->size;
    }
    return steps / all;
}

const Bound *bound_of(const Choice *c, const Index *x)
{
    for (int i = 0; i < c->nbounds; i++)
        if (c->bound[i].index == x)
            return &c->bound[i];
    return NULL;
}

static int tile_of(const Choice *c, const Index *x)
{
    for (int d = 0; d < c->ntiles; d++)
        if (c->tile_index[d] == x)
            return c->tile[d];
    return 1;
}

/* Subscript a of the load as sign * index + coef * with + offset. */
static bool find_bound(const Choice *c, const Expr *load, int a, Bound *b)
{
    Affine f;
    bool summed[2];

    if (!expr_affine(load->args[a], &f) || f.n != 2)
        return false;
    for (int i = 0; i < 2; i++) {
        summed[i] = false;
        for (int k = c->outer; k < c->q->nbox; k++)
            summed[i] |= c->q->box[k] == f.index[i];
        if (f.index[i]->batch || f.index[i] == c->lane_index || f.index[i] == c->fold)
            return false;
    }
    int i = summed[0] ? 0 : 1;
    if (summed[0] == summed[1] || (f.coef[i] != 1 && f.coef[i] != -1))
        return false;
    *b = (Bound){f.index[i], f.index[1 - i], (int)f.coef[i], f.coef[1 - i], f.offset, load->tensor->size[a]};
    return true;
}

static void find_factors(Choice *c, const Expr *e)
{
    if (e->kind == EXPR_OP && e->op->id == OP_mul) {
        find_factors(c, e->args[0]);
        find_factors(c, e->args[1]);
    }
    for (int a = 0; e->kind == EXPR_LOAD && e->padded && a < e->nargs; a++) {
        Bound b;
        if (c->nbounds < MAX_BOUNDS && find_bound(c, e, a, &b) && !bound_of(c, b.index) && bound_share(&b, 1) <= most_inside)
            c->bound[c->nbounds++] = b;
    }
}

void choose_bounds(Choice *c)
{
    if (c->q->how == EQ_SUM && !c->scatter && !c->leader && !(c->next && c->next->q->how == EQ_SUM))
        find_factors(c, c->q->value);
}

/* Those that the tile makes worthless. */
void drop_bounds(Choice *c)
{
    int n = 0;

    for (int i = 0; i < c->nbounds; i++) {
        double share = bound_share(&c->bound[i], tile_of(c, c->bound[i].with));
        if (share > most_inside)
            continue;
        c->flops *= share;
        c->bound[n++] = c->bound[i];
    }
    c->nbounds = n;
}

bool is_bounded(const Choice *c, const Expr *load, int a)
{
    Bound x;

    if (c->nbounds == 0 || !find_bound(c, load, a, &x))
        return false;
    const Bound *b = bound_of(c, x.index);
    return b && b->with == x.with && b->sign == x.sign && b->coef == x.coef && b->offset == x.offset && b->size == x.size &&
           tile_of(c, x.with) == 1;
}
