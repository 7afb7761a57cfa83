/* simplify.c -- algebra on every equation; equal equations computed once; copies and constants not computed at all.
 *
 * Sums are taken for sums of real numbers in one respect: a factor (or a condition) that is the same for all their
 * points leaves the sum; a map behind it applies it (two sums that only differ there become one; graph_fuse puts the
 * map back into the tail). Everything else holds for all floats.
 *
 * needs:  equations in order
 * leaves: the same results; readers of a copy read the original (graph_drop_dead then takes the copy away) */
#include "graph/rewrite.h"

/* --- factors leave their sum --- */

/* The factors of a product; those that no reduced index touches go to `same`, the others stay in `inner`. */
typedef struct Factors {
    Arena *arena;
    const Equation *q;
    int outer;
    Expr *inner, *same;
} Factors;

static bool stays_same(const Factors *f, const Expr *e)
{
    for (int k = f->outer; k < f->q->nbox; k++)
        if (expr_has_index(e, f->q->box[k]))
            return false;
    return true;
}

static Expr *times(const Factors *f, Expr *x, Expr *y)
{
    return x ? expr_op(f->arena, "mul", x, y, NULL) : y;
}

static void split_factors(Factors *f, Expr *e)
{
    if (stays_same(f, e))
        f->same = times(f, f->same, e);
    else if (expr_is(e, OP_mul)) {
        split_factors(f, e->args[0]);
        split_factors(f, e->args[1]);
    } else
        f->inner = times(f, f->inner, e);
}

/* One step: *value loses what need not be in the sum, and the result is what becomes of the sum `x`; NULL when there
 * is nothing to take out. */
static Expr *take_out(const Equation *q, Arena *a, Expr **value, Expr *x)
{
    Factors f = {.arena = a, .q = q, .outer = equation_outer(q)};
    Expr *e = *value;

    if (stays_same(&f, e))
        return NULL;
    if (expr_is(e, OP_neg)) {
        *value = e->args[0];
        return expr_op(a, "neg", x, NULL, NULL);
    }
    if (expr_is(e, OP_div) && stays_same(&f, e->args[1])) {
        *value = e->args[0];
        return expr_op(a, "div", x, e->args[1], NULL);
    }
    if (expr_is(e, OP_select) && expr_is_number(e->args[2], 0)) {
        Expr *inner = e->args[1];
        if (stays_same(&f, e->args[0])) {
            *value = inner;
            return expr_op(a, "select", e->args[0], x, e->args[2]);
        }
        x = take_out(q, a, &inner, x);
        *value = x ? expr_op(a, "select", e->args[0], inner, e->args[2]) : e;
        return x;
    }
    if (expr_is(e, OP_mul)) {
        split_factors(&f, e);
        if (!f.same)
            return NULL;
        *value = f.inner;
        return expr_op(a, "mul", x, f.same, NULL);
    }
    return NULL;
}

/* The sum of `value` over q's reduced indices as an equation of its own; its result at q's places. */
static Equation *own_sum(Graph *g, const Equation *q, Expr *value, Expr **result)
{
    Arena *a = g->arena;
    int outer = equation_outer(q);
    Equation *sum = NEW(a, Equation);

    *sum = *q;
    sum->out = graph_tensor(g, arena_print(a, "%s.sum", q->out->name), ROLE_TEMP, q->out->rank, q->out->size);
    sum->out->batched = q->out->batched;
    sum->out->where = q->out->where;
    sum->value = value;
    sum->tail = NULL;
    /* The two equations must not share indices that one of them may rename: the sum gets its own. */
    Rename r = {.nindex = q->nbox};
    for (int k = 0; k < q->nbox; k++) {
        sum->box[k] = index_new(a, q->box[k]->name, q->box[k]->size);
        sum->box[k]->batch = q->box[k]->batch;
        r.from[k] = q->box[k];
        r.to[k] = expr_index(a, sum->box[k]);
    }
    for (int k = 0; k < q->out->rank; k++)
        sum->at[k] = expr_place(a, q->at[k], &r);
    sum->value = expr_place(a, value, &r);
    equation_set_box(sum, q->nbox - outer, sum->box + outer);
    *result = expr_load(a, sum->out, q->at, false);
    return sum;
}

/* q becomes a map behind the sum that is returned; NULL when there is nothing to take out. */
static Equation *take_factors_out(Graph *g, Equation *q)
{
    int outer = equation_outer(q);

    if (q->how != EQ_SUM || q->nbox == outer || !equation_covers(q))
        return NULL;
    Factors f = {.arena = g->arena, .q = q, .outer = outer};
    if (stays_same(&f, q->value)) {
        for (; q->nbox > outer; q->nbox--)
            q->value = times(&f, q->value, expr_number(g->arena, (double)q->box[q->nbox - 1]->size));
        return NULL;
    }
    if (!subscripts_plain(q->at, q->out->rank, q->out->size))
        return NULL;
    Expr *mark = expr_result(g->arena), *after = mark, *more, *value = q->value, *result;
    while ((more = take_out(q, g->arena, &value, after)))
        after = more;
    if (after == mark && !q->tail)
        return NULL;
    Equation *sum = own_sum(g, q, value, &result);
    Rename r = {.result = after};
    if (q->tail)
        after = expr_place(g->arena, q->tail, &r);
    r.result = result;
    q->value = expr_place(g->arena, after, &r);
    q->tail = NULL;
    q->how = EQ_MAP;
    q->nbox = outer;
    return sum;
}

/* --- equal equations --- */

typedef struct Seen {
    Equation **slot; /* open addressing by hash */
    int room;
} Seen;

static unsigned mix(unsigned h, unsigned x)
{
    return (h ^ x) * 0x9E3779B1u ^ (h >> 15);
}

static int position(const Equation *q, const Index *i)
{
    for (int k = 0; k < q->nbox; k++)
        if (q->box[k] == i)
            return k;
    bug("index '%s' is not in the box of '%s'", i->name, q->out->name);
}

static unsigned hash_expr(const Equation *q, Expr *e, unsigned walk)
{
    if (e->walk == walk)
        return (unsigned)e->slot;
    unsigned h = mix(17, (unsigned)e->kind);
    if (e->kind == EXPR_NUMBER || e->kind == EXPR_RANDOM)
        h = mix(mix(h, (unsigned)e->bits), (unsigned)(e->bits >> 32));
    if (e->kind == EXPR_INDEX)
        h = mix(h, (unsigned)position(q, e->index));
    if (e->kind == EXPR_LOAD)
        h = mix(h, (unsigned)e->tensor->id);
    if (e->kind == EXPR_OP)
        h = mix(h, (unsigned)e->op->id);
    for (int i = 0; i < e->nargs; i++)
        h = mix(h, hash_expr(q, e->args[i], walk));
    e->walk = walk;
    e->slot = (int)h;
    return h;
}

static unsigned hash_equation(Equation *q)
{
    unsigned walk = expr_walk(), h = mix(3, (unsigned)q->how);

    for (int k = 0; k < q->nbox; k++)
        h = mix(h, (unsigned)q->box[k]->size);
    for (int k = 0; k < q->out->rank; k++)
        h = mix(h, hash_expr(q, q->at[k], walk));
    h = mix(h, hash_expr(q, q->value, walk));
    return q->tail ? mix(h, hash_expr(q, q->tail, walk)) : h;
}

/* The same expression when p's indices are called as q's. */
static bool alike(const Equation *p, Expr *x, const Equation *q, Expr *y, unsigned walk)
{
    if (x->walk == walk)
        return x->image == y;
    if (x->kind != y->kind || x->nargs != y->nargs || x->padded != y->padded)
        return false;
    if (x->kind == EXPR_INDEX ? position(p, x->index) != position(q, y->index) : x->bits != y->bits)
        return false;
    for (int i = 0; i < x->nargs; i++)
        if (!alike(p, x->args[i], q, y->args[i], walk))
            return false;
    if (x->nargs) {
        x->walk = walk;
        x->image = y;
    }
    return true;
}

static bool equal_equations(const Equation *p, const Equation *q)
{
    const Tensor *s = p->out, *t = q->out;
    unsigned walk = expr_walk();

    if (p->how != q->how || p->nbox != q->nbox || !p->tail != !q->tail || p->padded != q->padded ||
        s->rank != t->rank || s->batched != t->batched || s->integer != t->integer)
        return false;
    for (int k = 0; k < p->nbox; k++)
        if (p->box[k]->size != q->box[k]->size || p->box[k]->batch != q->box[k]->batch)
            return false;
    for (int k = 0; k < s->rank; k++)
        if (s->size[k] != t->size[k] || !alike(p, p->at[k], q, q->at[k], walk))
            return false;
    return alike(p, p->value, q, q->value, walk) && (!p->tail || alike(p, p->tail, q, q->tail, walk));
}

/* Where the equation equal to q is that was met before, or where q should be remembered. */
static Equation **find(const Seen *seen, Equation *q)
{
    unsigned h = hash_equation(q);

    for (;; h++) {
        Equation **slot = &seen->slot[h & (unsigned)(seen->room - 1)];
        if (!*slot || equal_equations(*slot, q))
            return slot;
    }
}

/* --- what needs no computing --- */

/* A number, a scalar, or the same element of another tensor. */
static bool is_copy(const Equation *q)
{
    const Expr *e = q->value;

    if (q->how != EQ_MAP || q->tail || !subscripts_plain(q->at, q->out->rank, q->out->size))
        return false;
    if (e->kind == EXPR_NUMBER)
        return true;
    if (e->kind != EXPR_LOAD || e->padded || e->tensor->integer != q->out->integer)
        return false;
    if (e->tensor->rank == 0)
        return true;
    if (e->tensor->rank != q->out->rank)
        return false;
    for (int k = 0; k < e->nargs; k++)
        if (!expr_same(e->args[k], q->at[k]) || e->tensor->size[k] != q->out->size[k])
            return false;
    return true;
}

/* What stands for q's result: `first`, which is equal. */
static Equation *copy_of(Graph *g, const Equation *q, const Equation *first)
{
    Equation *c = NEW(g->arena, Equation);
    Tensor *t = q->out;

    *c = (Equation){.out = t, .how = EQ_MAP, .layer = q->layer, .where = q->where, .backward = q->backward};
    for (int k = 0; k < t->rank; k++)
        c->at[k] = expr_index(g->arena, k == 0 && t->batched ? index_batch(g) : index_new(g->arena, "i", t->size[k]));
    c->value = expr_load(g->arena, first->out, c->at, false);
    equation_set_box(c, 0, NULL);
    return c;
}

static void inline_copies(Graph *g, Equation *q, Equation *const *copies)
{
    for (int k = 0; k < q->out->rank; k++)
        q->at[k] = expr_inline(g->arena, q->at[k], copies);
    q->value = expr_inline(g->arena, q->value, copies);
    if (q->tail)
        q->tail = expr_inline(g->arena, q->tail, copies);
}

/* --- differences from something fixed --- */

/* The sum over the indices in `condition` of 1 where it holds, as a scalar equation; NULL if it knows others than
 * q's reduced ones. `rest` is the number of points of those it does not know. */
static Equation *count_points(Graph *g, const Equation *q, Expr *condition, double *rest)
{
    Arena *a = g->arena;
    Rename r = {0};
    Index *own[MAX_BOX];
    int outer = equation_outer(q);

    *rest = 1;
    for (int k = 0; k < q->nbox; k++) {
        Index *i = q->box[k];
        if (!expr_has_index(condition, i)) {
            *rest *= k < outer ? 1 : (double)i->size;
            continue;
        }
        if (k < outer)
            return NULL;
        own[r.nindex] = index_new(a, i->name, i->size);
        own[r.nindex]->batch = i->batch;
        r.from[r.nindex] = i;
        r.to[r.nindex] = expr_index(a, own[r.nindex]);
        r.nindex++;
    }
    Equation *n = NEW(a, Equation);
    *n = (Equation){.how = EQ_SUM, .layer = q->layer, .where = q->where, .backward = q->backward};
    n->out = graph_tensor(g, "points", ROLE_TEMP, 0, NULL);
    n->out->where = q->where;
    n->value = expr_op(a, "select", expr_place(a, condition, &r), expr_number(a, 1), expr_number(a, 0));
    equation_set_box(n, r.nindex, own);
    return n;
}

/* In a gradient the sum of (x - m) over real samples, where the sum of x is known already (batch norm: m is the
 * mean): known sum - m * number of points, without another look at x. Returns the equation for that number. */
static Equation *reuse_sum(Graph *g, Equation *q, const Seen *seen)
{
    Factors f = {.arena = g->arena, .q = q, .outer = equation_outer(q)};
    Expr *e = q->value, *condition = NULL;
    double rest;

    if (!q->backward || q->how != EQ_SUM || q->tail || !subscripts_plain(q->at, q->out->rank, q->out->size))
        return NULL;
    if (expr_is(e, OP_select) && expr_is_number(e->args[2], 0)) {
        condition = e->args[0];
        e = e->args[1];
    }
    if (!condition || !expr_is(e, OP_sub) || !stays_same(&f, e->args[1]) || stays_same(&f, e->args[0]))
        return NULL;
    Equation probe = *q;
    probe.value = expr_op(g->arena, "select", condition, e->args[0], expr_number(g->arena, 0));
    const Equation *known = *find(seen, &probe);
    Equation *n = known ? count_points(g, q, condition, &rest) : NULL;
    if (!n)
        return NULL;
    Expr *points = expr_op(g->arena, "mul", expr_scalar(g->arena, n->out), expr_number(g->arena, rest), NULL);
    points = expr_op(g->arena, "mul", e->args[1], points, NULL);
    q->value = expr_op(g->arena, "sub", expr_load(g->arena, known->out, q->at, false), points, NULL);
    q->how = EQ_MAP;
    q->nbox = f.outer;
    return n;
}

typedef struct Simplify {
    Graph *g;
    Equation **copies;     /* by tensor: what readers may read instead */
    Seen seen;
    LIST(Equation *) done; /* the new list */
} Simplify;

/* q is as simple as it gets: has it been computed already? */
static void settle(Simplify *s, Equation *q)
{
    PUSH(s->g->arena, s->done, q);
    if (is_copy(q)) {
        s->copies[q->out->id] = q;
        return;
    }
    Equation **slot = find(&s->seen, q);
    if (!*slot) {
        *slot = q;
        return;
    }
    Equation *copy = copy_of(s->g, q, *slot);
    s->copies[q->out->id] = copy;
    if (q->how != EQ_MAP)
        *q = *copy; /* in case it is wanted */
}

/* A reduction, perhaps in terms of sums that are known. */
static void settle_sum(Simplify *s, Equation *q)
{
    Equation *points = reuse_sum(s->g, q, &s->seen);

    if (points) {
        settle(s, points);
        inline_copies(s->g, q, s->copies);
    }
    settle(s, q);
}

void graph_simplify(Graph *g)
{
    Arena *a = g->arena;
    /* An equation makes at most two further tensors. */
    Simplify s = {.g = g, .copies = NEW_ARRAY(a, Equation *, g->tensors.n + 2 * g->equations.n), .seen = {.room = 16}};

    while (s.seen.room < 6 * g->equations.n)
        s.seen.room *= 2;
    s.seen.slot = NEW_ARRAY(a, Equation *, s.seen.room);
    for (int i = 0; i < g->equations.n; i++) {
        Equation *q = g->equations.at[i];
        inline_copies(g, q, s.copies);
        drop_single_indices(g, q);
        Equation *sum = take_factors_out(g, q);
        if (sum) {
            settle_sum(&s, sum);
            inline_copies(g, q, s.copies);
        }
        reduction_to_map(a, q);
        settle_sum(&s, q);
    }
    g->equations.at = s.done.at;
    g->equations.n = s.done.n;
    g->equations.room = s.done.room;
}
