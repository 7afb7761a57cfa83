/* algebra.c -- one expression made simpler, in ways that hold for all floats.
 *
 * Whole numbers (subscripts, conditions on indices) are brought into one form: a sum of multiples of indices, of
 * idiv and of mod; what the ranges of the indices decide is decided. Real numbers are only touched where the result
 * stays the same to the bit. */
#include "graph/rewrite.h"

#include <math.h>
#include <stdlib.h>

/* What became of the nodes seen so far: shared nodes stay shared. Open addressing, by address; not in an arena, for there
 * is one for every expression that is rebuilt. */
typedef struct Memo {
    Arena *arena; /* of what is made */
    const Expr **from;
    Expr **to;
    int n, room;
    const Rename *rename; /* expr_place: what to replace */
    bool escapes;         /* what is put in the place of an index may leave its range */
    Equation *const *inlined; /* expr_inline: the makers of loads to be replaced, by tensor */
    LIST(Expr *) loads;       /* expr_inline: loads replaced so far, with ... */
    LIST(Expr *) values;      /* ... what stands for them: equal loads share it */
} Memo;

static int memo_slot(const Memo *m, const Expr *e)
{
    size_t h = ((uintptr_t)e >> 4) * 0x9E3779B97F4A7C15u;
    int i = (int)((h >> 32) & (size_t)(m->room - 1));

    while (m->from[i] && m->from[i] != e)
        i = (i + 1) & (m->room - 1);
    return i;
}

static Expr *memo_find(const Memo *m, const Expr *e)
{
    return m->room ? m->to[memo_slot(m, e)] : NULL;
}

static void memo_add(Memo *m, const Expr *e, Expr *result)
{
    if (2 * m->n >= m->room) {
        Memo old = *m;
        m->room = old.room ? 2 * old.room : 32;
        m->from = calloc((size_t)m->room, sizeof *m->from);
        m->to = calloc((size_t)m->room, sizeof *m->to);
        if (!m->from || !m->to)
            no_memory();
        for (int i = 0; i < old.room; i++)
            if (old.from[i]) {
                int s = memo_slot(m, old.from[i]);
                m->from[s] = old.from[i];
                m->to[s] = old.to[i];
            }
        free(old.from);
        free(old.to);
    }
    int s = memo_slot(m, e);
    m->from[s] = e;
    m->to[s] = result;
    m->n++;
}

/* --- whole numbers --- */

static int64_t floor_div(int64_t x, int64_t c)
{
    return x / c - (x % c < 0);
}

/* x = c * quotient + rest, each term of `rest` as small as it can be made without splitting a term. */
static void split_by(const Linear *x, int64_t c, Linear *quotient, Linear *rest)
{
    memset(quotient, 0, sizeof *quotient);
    memset(rest, 0, sizeof *rest);
    for (int i = 0; i < x->n; i++) {
        bool whole = x->coef[i] % c == 0;
        Linear *to = whole ? quotient : rest;
        to->atom[to->n] = x->atom[i];
        to->coef[to->n++] = whole ? x->coef[i] / c : x->coef[i];
    }
    /* The rest's offset is the one that puts its smallest value into 0..c-1, if that is known. */
    int64_t low = 0, high;
    if (!linear_range(rest, &low, &high))
        low = 0;
    quotient->offset = floor_div(x->offset + low, c);
    rest->offset = x->offset - c * quotient->offset;
}

static bool within(const Linear *l, int64_t size)
{
    int64_t low, high;
    return linear_range(l, &low, &high) && low >= 0 && high < size;
}

/* x idiv c and x mod c for a whole x and a positive constant c; NULL when nothing is gained. */
static Expr *divide(Arena *a, const Op *op, Expr *x, int64_t c)
{
    Linear l, quotient, rest;

    if (!expr_linear(x, &l))
        return NULL;
    split_by(&l, c, &quotient, &rest);
    if (op->id == OP_idiv) {
        if (!within(&rest, c)) {
            if (!quotient.n && !quotient.offset)
                return NULL;
            Linear one = {1, {expr_op(a, "idiv", linear_expr(a, &rest), expr_number(a, (double)c), NULL)}, {1}, 0};
            linear_add(&quotient, &one, 1);
        }
        return linear_expr(a, &quotient);
    }
    for (int i = 0; i < rest.n; i++)
        rest.coef[i] -= c * floor_div(rest.coef[i], c);
    if (within(&rest, c))
        return linear_expr(a, &rest);
    Expr *r = linear_expr(a, &rest);
    return expr_same(r, x) ? NULL : expr_op(a, "mod", r, expr_number(a, (double)c), NULL);
}

/* A comparison of whole numbers that ranges decide: 1 or 0; else -1. */
static int decide(const Op *op, Expr *x, Expr *y)
{
    Linear l, r;
    int64_t low, high;

    if (!expr_linear(x, &l) || !expr_linear(y, &r) || l.n + r.n > MAX_TERMS)
        return -1;
    linear_add(&l, &r, -1);
    if (!linear_range(&l, &low, &high))
        return -1;
    switch (op->id) {
    case OP_lt: return high < 0 ? 1 : low >= 0 ? 0 : -1;
    case OP_le: return high <= 0 ? 1 : low > 0 ? 0 : -1;
    case OP_gt: return low > 0 ? 1 : high <= 0 ? 0 : -1;
    case OP_ge: return low >= 0 ? 1 : high < 0 ? 0 : -1;
    case OP_eq: return low == 0 && high == 0 ? 1 : low > 0 || high < 0 ? 0 : -1;
    case OP_ne: return low == 0 && high == 0 ? 0 : low > 0 || high < 0 ? 1 : -1;
    default: return -1;
    }
}

/* --- real numbers --- */

static bool power_of_two(const Expr *e)
{
    int exponent;
    /* Its reciprocal is exact, also as a float. */
    return e->kind == EXPR_NUMBER && isfinite(e->number) && fabs(frexp(e->number, &exponent)) == 0.5 &&
           exponent > -100 && exponent < 100;
}

static Expr *simple_select(Arena *a, Expr *e)
{
    Expr *c = e->args[0], *yes = e->args[1], *no = e->args[2];

    if (expr_same(yes, no))
        return yes;
    if (expr_is(yes, OP_select) && expr_same(yes->args[0], c))
        return expr_op(a, "select", c, yes->args[1], no);
    if (expr_is(no, OP_select) && expr_same(no->args[0], c))
        return expr_op(a, "select", c, yes, no->args[2]);
    return e;
}

/* select(c, x, 0) + select(c, y, 0): one condition is enough. */
static Expr *merge_selects(Arena *a, Expr *e)
{
    Expr *x = e->args[0], *y = e->args[1];

    if (!expr_is(x, OP_select) || !expr_is(y, OP_select) || !expr_same(x->args[0], y->args[0]) ||
        !expr_is_number(x->args[2], 0) || !expr_is_number(y->args[2], 0))
        return NULL;
    Expr *both = expr_apply(a, e->op, (Expr *[]){x->args[1], y->args[1]});
    return expr_op(a, "select", x->args[0], both, x->args[2]);
}

/* Signs move outwards and into sums, where they cost nothing. */
static Expr *simple_signs(Arena *a, Expr *e)
{
    Expr *x = e->args[0], *y = e->args[1];
    Expr *merged = e->op->id == OP_add || e->op->id == OP_sub ? merge_selects(a, e) : NULL;

    if (merged)
        return merged;
    switch (e->op->id) {
    case OP_add:
        if (expr_is(y, OP_neg))
            return expr_op(a, "sub", x, y->args[0], NULL);
        return expr_is(x, OP_neg) ? expr_op(a, "sub", y, x->args[0], NULL) : e;
    case OP_sub:
        return expr_is(y, OP_neg) ? expr_op(a, "add", x, y->args[0], NULL) : e;
    case OP_mul:
    case OP_div:
        if (expr_is(x, OP_neg) && expr_is(y, OP_neg))
            return expr_apply(a, e->op, (Expr *[]){x->args[0], y->args[0]});
        if (expr_is(x, OP_neg))
            return expr_op(a, "neg", expr_apply(a, e->op, (Expr *[]){x->args[0], y}), NULL, NULL);
        if (expr_is(y, OP_neg))
            return expr_op(a, "neg", expr_apply(a, e->op, (Expr *[]){x, y->args[0]}), NULL, NULL);
        return e;
    default:
        return e;
    }
}

static Expr *simple_op(Arena *a, const Op *op, Expr *const *args)
{
    Expr *e = expr_apply(a, op, args);
    Linear l;
    int64_t c;

    if (e->kind != EXPR_OP)
        return e;
    if (e->op->condition && e->nargs == 2) {
        int known = decide(e->op, e->args[0], e->args[1]);
        return known < 0 ? e : expr_number(a, known);
    }
    switch (e->op->id) {
    case OP_idiv:
    case OP_mod:
        if (expr_constant(e->args[1], &c) && c > 0 && expr_whole(e->args[0])) {
            Expr *d = divide(a, e->op, e->args[0], c);
            return d ? d : e;
        }
        return e;
    case OP_select:
        return simple_select(a, e);
    case OP_detach:
    case OP_surrogate:
        return e->args[0]; /* its work is done: there are no more gradients to derive */
    case OP_add:
    case OP_sub:
    case OP_mul:
    case OP_neg:
        if (expr_linear(e, &l))
            return linear_expr(a, &l);
        return simple_signs(a, e);
    case OP_div:
        if (power_of_two(e->args[1]))
            return expr_op(a, "mul", e->args[0], expr_number(a, 1 / e->args[1]->number), NULL);
        return simple_signs(a, e);
    default:
        return e;
    }
}

/* --- one expression --- */

static bool may_be_outside(Expr *const *subscripts, const Tensor *t)
{
    for (int k = 0; k < t->rank; k++) {
        Linear l;
        int64_t low, high;
        if (!expr_linear(subscripts[k], &l) || !linear_range(&l, &low, &high) || low < 0 || high >= t->size[k])
            return true;
    }
    return false;
}

static Expr *placed_index(const Memo *m, Expr *e)
{
    const Rename *r = m->rename;

    for (int i = 0; r && i < r->nindex; i++)
        if (r->from[i] == e->index)
            return r->to[i];
    return e;
}

static Expr *rebuild_whole(Memo *m, Expr *e);

static Expr *place_trusting(Arena *a, Expr *e, const Rename *r, bool escapes)
{
    Memo m = {.arena = a, .rename = r, .escapes = escapes};
    return rebuild_whole(&m, e);
}

/* What stands for a load of q's result at these subscripts. */
static Expr *inline_load(Memo *m, const Equation *q, Expr *const *subscripts, bool padded)
{
    Arena *a = m->arena;
    Rename r = {0};

    for (int k = 0; k < q->out->rank; k++)
        if (q->at[k]->kind == EXPR_INDEX) {
            r.from[r.nindex] = q->at[k]->index;
            r.to[r.nindex++] = subscripts[k];
        }
    Expr *e = place_trusting(a, q->value, &r, padded);
    if (!padded)
        return e;
    for (int k = 0; k < q->out->rank; k++) {
        Expr *inside = expr_inside(a, subscripts[k], q->out->size[k]);
        if (inside && (q->at[k]->kind != EXPR_INDEX || !expr_vanishes(q->value, q->at[k]->index)))
            e = expr_op(a, "select", inside, e, expr_number(a, 0));
    }
    return e;
}

static Expr *rebuild_load(Memo *m, Expr *e, Expr *const *args, bool moved)
{
    bool padded = (e->padded || (m->escapes && moved)) && may_be_outside(args, e->tensor);
    const Equation *maker = m->inlined ? m->inlined[e->tensor->id] : NULL;

    if (moved || padded != e->padded)
        e = expr_load(m->arena, e->tensor, args, padded);
    if (!maker)
        return e;
    for (int i = 0; i < m->loads.n; i++)
        if (expr_same(m->loads.at[i], e))
            return m->values.at[i];
    Expr *value = inline_load(m, maker, args, padded);
    PUSH(m->arena, m->loads, e);
    PUSH(m->arena, m->values, value);
    return value;
}

static Expr *rebuild(Memo *m, Expr *e)
{
    Expr *done = memo_find(m, e);
    Expr *args[MAX_RANK] = {0};
    bool moved = false;

    if (e->kind == EXPR_NUMBER)
        return e;
    if (done)
        return done;
    for (int i = 0; i < e->nargs; i++) {
        args[i] = rebuild(m, e->args[i]);
        moved |= args[i] != e->args[i];
    }
    switch (e->kind) {
    case EXPR_NUMBER: break;
    case EXPR_INDEX:
        done = placed_index(m, e);
        break;
    case EXPR_RESULT:
        done = m->rename && m->rename->result ? m->rename->result : e;
        break;
    case EXPR_RANDOM:
        done = expr_random(m->arena, (uint32_t)e->number, args[0]);
        break;
    case EXPR_LOAD:
        done = rebuild_load(m, e, args, moved);
        break;
    case EXPR_OP:
        done = simple_op(m->arena, e->op, args);
        break;
    }
    memo_add(m, e, done);
    return done;
}

static Expr *rebuild_whole(Memo *m, Expr *e)
{
    Expr *done = rebuild(m, e);

    free(m->from);
    free(m->to);
    return done;
}

Expr *expr_simplify(Arena *a, Expr *e)
{
    Memo m = {.arena = a};
    return rebuild_whole(&m, e);
}

Expr *expr_place(Arena *a, Expr *e, const Rename *r)
{
    bool escapes = false;

    for (int i = 0; i < r->nindex; i++)
        escapes |= expr_inside(a, r->to[i], r->from[i]->size) != NULL;
    return place_trusting(a, e, r, escapes);
}

Expr *expr_inline(Arena *a, Expr *e, Equation *const *by_id)
{
    Memo m = {.arena = a, .inlined = by_id};
    return rebuild_whole(&m, e);
}
