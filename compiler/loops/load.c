/* load.c -- what a value begins with: loads, indices and random numbers. A load is the same for all lanes, one vector, or
 * gathered lane by lane. */
#include "loops/nest.h"

/* Lane by lane: a vector filled in a loop, at its level, if not all lanes are equally far apart. */
static Piece gathered(Scope *s, const Expr *e, const Place *p)
{
    Nest *n = s->n;
    Arena *a = n->b->arena;
    unsigned dims = 0;
    const char *name = nest_arg(n, p, false), *at = address_text(n, p, e->args, "l", &dims);
    const char *inside = inside_text(n, p, e, "l", &dims);
    int64_t step = lane_step(n, p, e->args);
    if (step > 0 && !n->c->fold && !inside && !p->layout.integer) {
        at = address_text(n, p, e->args, NULL, &dims);
        return scope_keep(s, piece(TYPE_VECTOR, dims, false, arena_print(a, "nn_gather_first(%s + %s, %lld, %d)", name, at, (long long)step, n->partial)), name);
    }
    const char *value = arena_print(a, p->layout.integer ? "(float)%s[%s]" : "%s[%s]", name, at);
    const char *kept = nest_fresh_name(n, arena_print(a, "%s%d", name, ++n->ntemps));
    int level = level_of(dims);

    if (inside)
        value = arena_print(a, "%s ? %s : 0.0f", inside, value);
    if (level >= 0) {
        line(&s->level[level], s->depth + level, "nn_v %s = nn_set(0.0f);", kept);
        line(&s->level[level], s->depth + level, "%s", each_lane(n));
        line(&s->level[level], s->depth + level + 1, "%s[l] = %s;", kept, value);
        return piece(TYPE_VECTOR, dims, true, kept);
    }
    line(&s->level[0], s->depth, "nn_v %s[%d] = {0};", kept, n->tile[1]);
    line(&s->level[0], s->depth, "for (int %s = 0; %s < %d; %s++)", n->step_name[1], n->step_name[1], n->tile[1],
         n->step_name[1]);
    line(&s->level[0], s->depth + 1, "%s", each_lane(n));
    line(&s->level[0], s->depth + 2, "%s[%s][l] = %s;", kept, n->step_name[1], value);
    return piece(TYPE_VECTOR, dims, true, arena_print(a, "%s[%s]", kept, n->step_name[1]));
}

/* What stands where a padded load is outside. */
static Piece guarded(Scope *s, Piece p, const char *inside)
{
    const char *zero = p.type == TYPE_VECTOR ? "nn_set(0.0f)" : p.type == TYPE_FLOAT ? "0.0f" : p.type == TYPE_DOUBLE ? "0.0" : "0";

    if (!inside)
        return p;
    return piece(p.type, p.dims, false, arena_print(s->n->b->arena, "%s ? %s : %s", inside, p.text, zero));
}

/* From the element at `from` to that at `to`: set and true if it is always the same. */
static bool elements_between(const Place *p, Expr *const *from, Expr *const *to, int64_t *distance)
{
    *distance = 0;
    for (int a = 0; a < p->layout.rank; a++) {
        Affine f, g;
        if (!expr_affine(from[a], &f) || !expr_affine(to[a], &g) || f.n != g.n)
            return false;
        for (int k = 0; k < f.n; k++)
            if (affine_coef(&g, f.index[k]) != f.coef[k])
                return false;
        *distance += (g.offset - f.offset) * p->layout.stride[a];
    }
    return true;
}

/* From one step of x to the next, or 0. */
static int64_t step_along(const Place *p, const Expr *e, const Index *x)
{
    int64_t step = 0;

    for (int a = 1; a < e->nargs; a++) {
        Affine f;
        if (!expr_affine(e->args[a], &f))
            return 0;
        step += affine_coef(&f, x) * p->layout.stride[a];
    }
    return step;
}

static bool is_tile(const Choice *c, const Index *x)
{
    for (int d = 0; d < c->ntiles; d++)
        if (c->tile_index[d] == x)
            return true;
    return false;
}

/* The load is at this distance from another one of the same point: what is asked for is there already. */
static bool is_loaded_at(const Nest *n, const Place *p, const Expr *e, int64_t distance)
{
    const Loads *l = n->c->value;
    int64_t between;

    for (int i = 0; i < l->n; i++)
        if (l->at[i]->tensor == e->tensor && elements_between(p, e->args, l->at[i]->args, &between) && between == distance)
            return true;
    return false;
}

/* A transform of small squares reads a few rows of each channel: too little for the processor to foresee. How far off is
 * what it loads in the next channel, or else in the next strip, or 0. */
static int64_t next_load(const Nest *n, const Place *p, const Expr *e)
{
    enum { FEWEST = 4, FAR = 1024 }; /* steps, of which the last asks for nothing; floats */
    const Choice *c = n->c;
    int64_t next = 0, inside = 1;

    if (c->lane != LANE_SAMPLES || c->q->how != EQ_MAP || c->ntiles == 0 || !e->tensor->batched)
        return 0;
    for (int i = c->outer; i-- > 0 && !next;) {
        const Index *x = c->walk[i];
        if (x->batch || x == c->strip || is_tile(c, x))
            continue;
        int64_t step = step_along(p, e, x);
        if (inside >= FEWEST && x->size >= FEWEST && step >= FAR)
            next = step;
        inside *= x->size;
    }
    if (!next && c->strip && c->strip->size >= FEWEST)
        next = step_along(p, e, c->strip);
    return next && !is_loaded_at(n, p, e, next) ? next : 0;
}

Piece scope_load(Scope *s, const Expr *e)
{
    Nest *n = s->n;
    Arena *a = n->b->arena;
    const Place *p = place_read(n->b, n->c, e);
    const char *name = nest_arg(n, p, false), *text;
    bool varies = lane_dependent(n, e) || (n->c->flat && e->nargs > 0), integer = p->layout.integer;
    unsigned dims = 0;

    if (p->layout.order == ORDER_DOUBLE) {
        if (n->doubles)
            return piece(TYPE_DOUBLE, 0, true, arena_print(a, "%s[0]", name));
        return piece(TYPE_FLOAT, 0, true, arena_print(a, "(float)%s[0]", name));
    }
    if (!varies) {
        const char *at = address_text(n, p, e->args, NULL, &dims), *inside = inside_text(n, p, e, NULL, &dims);
        Type type = integer ? TYPE_WHOLE : n->doubles ? TYPE_DOUBLE : TYPE_FLOAT;
        text = arena_print(a, integer ? "(long)%s[%s]" : n->doubles ? "(double)%s[%s]" : "%s[%s]", name, at);
        return scope_keep(s, guarded(s, piece(type, dims, false, text), inside), name);
    }
    bool uniform_bounds = true;
    for (int i = 0; e->padded && i < e->nargs; i++)
        uniform_bounds = uniform_bounds && (!lane_dependent(n, e->args[i]) || is_batch(e->args[i]) || within_halo(&p->layout, e, i));
    bool over = may_run_over(n, p), pairs = over && !integer && lane_step(n, p, e->args) == 2;
    if ((!is_contiguous(n, p, e->args) && !pairs) || !uniform_bounds || (integer && (n->partial < LANES || n->c->fold)))
        return gathered(s, e, p);
    const char *at = address_text(n, p, e->args, NULL, &dims), *inside = inside_text(n, p, e, NULL, &dims);
    long long half = (long long)fold_step(n, p, e->args);
    if (integer)
        text = arena_print(a, "nn_float(nn_loadi(%s + %s))", name, at);
    else if (pairs)
        text = arena_print(a, "nn_load_even(%s + %s, %s + %s + %lld)", name, at, name, at, half);
    else if (n->c->fold)
        text = arena_print(a, "nn_load_halves(%s + %s, %s + %s + %lld, %d)", name, at, name, at, half, over ? LANES / 2 : half_lanes(n));
    else if (n->partial < LANES && !over)
        text = arena_print(a, "nn_load_first(%s + %s, %d)", name, at, n->partial);
    else if (next_load(n, p, e))
        text = arena_print(a, "nn_load_ahead(%s + %s, %lld)", name, at, (long long)next_load(n, p, e));
    else
        text = arena_print(a, "nn_load(%s + %s)", name, at);
    return scope_keep(s, guarded(s, piece(TYPE_VECTOR, dims, false, text), inside), name);
}

/* --- indices, random numbers --- */

/* The whole-valued e on lanes, as nn_i: its value in lane 0 and its step from lane to lane. */
static const char *lanes_text(Scope *s, const Expr *e, unsigned *dims)
{
    Nest *n = s->n;
    Arena *a = n->b->arena;
    Affine f;
    int64_t step = 0;

    if (n->c->flat)
        return arena_print(a, "nn_iota() + nn_seti((int32_t)%s)", n->step_name[0]);
    if (!expr_affine(e, &f))
        return NULL;
    for (int k = 0; k < f.n; k++)
        if (f.index[k] == n->c->lane_index)
            step = f.coef[k];
    const char *base = whole_text(n, e, NULL, dims);
    if (step == 0)
        return arena_print(a, "nn_seti((int32_t)%s)", base);
    if (step == 1)
        return arena_print(a, "nn_iota() + nn_seti((int32_t)%s)", base);
    return arena_print(a, "nn_iota() * %lld + nn_seti((int32_t)%s)", (long long)step, base);
}

Piece scope_index(Scope *s, const Expr *e)
{
    unsigned dims = 0;

    if (lane_dependent(s->n, e)) {
        const char *text = lanes_text(s, e, &dims);
        return scope_keep(s, piece(TYPE_VECTOR, dims, true, arena_print(s->n->b->arena, "nn_float(%s)", text)),
                          e->index->name[0] ? "index" : "at");
    }
    const char *text = whole_text(s->n, e, NULL, &dims);
    return piece(TYPE_WHOLE, dims, true, text);
}

/* The key of a stream, a variable at the top of the function: the stream is a number given to the kernel. */
static int key_of(Nest *n, uint32_t stream)
{
    Graph *g = n->b->graph;
    Tensor *seed = graph_scalar(g, "seed"), *steps = graph_scalar(g, "steps");
    int i = 0;

    while (i < n->nkeys && n->key[i] != stream)
        i++;
    if (i < n->nkeys)
        return i;
    if (i == MAX_NUMBERS)
        bug("more than %d streams of random numbers in one equation", MAX_NUMBERS);
    n->key[n->nkeys++] = stream;
    n->k->number[n->k->nnumbers++] = stream;
    line(&n->head, 1, "const uint32_t key%d = nn_random_key((uint64_t)%s[0], (uint64_t)%s[0], stream%d);", i,
         nest_arg(n, &n->b->rows[seed->id], false), nest_arg(n, &n->b->rows[steps->id], false), i);
    return i;
}

Piece scope_random(Scope *s, const Expr *e)
{
    Nest *n = s->n;
    Arena *a = n->b->arena;
    unsigned dims = 0;
    int key = key_of(n, (uint32_t)e->number);

    if (n->doubles)
        return piece(TYPE_DOUBLE, dims, true,
                     arena_print(a, "(double)nn_random(key%d, (uint32_t)%s)", key,
                                 whole_text(n, e->args[0], NULL, &dims)));
    const char *counter = lanes_text(s, e->args[0], &dims);
    if (!counter)
        bug("a random number whose counter is not affine");
    return scope_keep(s, piece(TYPE_VECTOR, dims, true, arena_print(a, "nn_random_v(key%d, %s)", key, counter)),
                      "random");
}
