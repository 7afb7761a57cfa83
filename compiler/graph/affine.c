/* affine.c -- what is known about whole-valued expressions: affine form, range, which points share a place. */
#include "graph/graph.h"

#include <math.h>

/* Beyond this nothing is said, so that sums and products of two stay inside int64. */
static const int64_t FAR = INT64_C(1) << 31;

bool expr_whole(const Expr *e)
{
    switch (e->kind) {
    case EXPR_NUMBER: return floor(e->number) == e->number && fabs(e->number) < 9e15;
    case EXPR_INDEX: return true;
    case EXPR_LOAD: return e->tensor->integer;
    case EXPR_OP:
        if (e->op->rounds)
            return true;
        if (!e->op->whole)
            return false;
        for (int i = 0; i < e->nargs; i++)
            if (!expr_whole(e->args[i]))
                return false;
        return true;
    default: return false;
    }
}

/* --- affine forms --- */

static bool affine_add(Affine *f, Index *i, int64_t coef)
{
    for (int k = 0; k < f->n; k++) {
        if (f->index[k] != i)
            continue;
        f->coef[k] += coef;
        if (f->coef[k] == 0) {
            f->n--;
            memmove(&f->index[k], &f->index[k + 1], sizeof *f->index * (size_t)(f->n - k));
            memmove(&f->coef[k], &f->coef[k + 1], sizeof *f->coef * (size_t)(f->n - k));
        }
        return true;
    }
    if (coef == 0)
        return true;
    if (f->n == MAX_BOX)
        return false;
    f->index[f->n] = i;
    f->coef[f->n++] = coef;
    return true;
}

/* Adds scale * e to f. */
static bool gather_terms(const Expr *e, int64_t scale, Affine *f)
{
    if (e->kind == EXPR_NUMBER) {
        if (!expr_whole(e))
            return false;
        f->offset += scale * (int64_t)e->number;
        return true;
    }
    if (e->kind == EXPR_INDEX)
        return affine_add(f, e->index, scale);
    if (e->kind != EXPR_OP)
        return false;
    Expr *const *x = e->args;
    switch (e->op->id) {
    case OP_add: return gather_terms(x[0], scale, f) && gather_terms(x[1], scale, f);
    case OP_sub: return gather_terms(x[0], scale, f) && gather_terms(x[1], -scale, f);
    case OP_neg: return gather_terms(x[0], -scale, f);
    case OP_mul:
        for (int i = 0; i < 2; i++)
            if (x[i]->kind == EXPR_NUMBER && expr_whole(x[i]))
                return gather_terms(x[1 - i], scale * (int64_t)x[i]->number, f);
        return false;
    case OP_idiv:
    case OP_mod: {
        Affine inner, q, r;
        if (x[1]->kind != EXPR_NUMBER || !expr_whole(x[1]) || !expr_affine(x[0], &inner) ||
            !affine_divide(&inner, (int64_t)x[1]->number, &q, &r))
            return false;
        const Affine *part = e->op->id == OP_idiv ? &q : &r;
        f->offset += scale * part->offset;
        for (int k = 0; k < part->n; k++)
            if (!affine_add(f, part->index[k], scale * part->coef[k]))
                return false;
        return true;
    }
    default: return false;
    }
}

bool expr_affine(const Expr *e, Affine *out)
{
    *out = (Affine){0};
    return gather_terms(e, 1, out);
}

int64_t affine_coef(const Affine *f, const Index *i)
{
    for (int k = 0; k < f->n; k++)
        if (f->index[k] == i)
            return f->coef[k];
    return 0;
}

static void affine_range(const Affine *f, int64_t *low, int64_t *high)
{
    *low = *high = f->offset;
    for (int k = 0; k < f->n; k++)
        *(f->coef[k] < 0 ? low : high) += f->coef[k] * (f->index[k]->size - 1);
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

bool affine_divide(const Affine *f, int64_t d, Affine *q, Affine *r)
{
    int64_t low, high;

    if (d <= 0)
        return false;
    *q = *r = (Affine){0};
    for (int k = 0; k < f->n; k++) {
        Affine *part = f->coef[k] % d == 0 ? q : r;
        part->index[part->n] = f->index[k];
        part->coef[part->n++] = part == q ? f->coef[k] / d : f->coef[k];
    }
    /* The remainder's offset may go either way: the one that puts its smallest value into 0..d-1. */
    r->offset = f->offset;
    affine_range(r, &low, &high);
    q->offset = floor_div(low, d);
    r->offset -= q->offset * d;
    return high - q->offset * d < d;
}

Expr *affine_expr(Arena *a, const Affine *f)
{
    Expr *sum = NULL;

    for (int k = 0; k < f->n; k++) {
        int64_t c = f->coef[k];
        bool minus = sum && c < 0;
        Expr *term = expr_op(a, "mul", expr_number(a, (double)(minus ? -c : c)), expr_index(a, f->index[k]), NULL);
        sum = sum ? expr_op(a, minus ? "sub" : "add", sum, term, NULL) : term;
    }
    Expr *offset = expr_number(a, (double)f->offset);
    return sum ? expr_op(a, "add", sum, offset, NULL) : offset;
}

/* --- ranges --- */

typedef struct Range {
    int64_t low, high;
} Range;

static bool range_of(const Expr *e, Range *out);

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

static Range hull(const int64_t v[4])
{
    return (Range){least(least(v[0], v[1]), least(v[2], v[3])), most(most(v[0], v[1]), most(v[2], v[3]))};
}

/* The range of a - b, better than from the two ranges when they share indices. */
static bool difference(const Expr *a, const Expr *b, Range *out)
{
    Affine f = {0};

    if (gather_terms(a, 1, &f) && gather_terms(b, -1, &f)) {
        affine_range(&f, &out->low, &out->high);
        return true;
    }
    Range x, y;
    if (!range_of(a, &x) || !range_of(b, &y))
        return false;
    *out = (Range){x.low - y.high, x.high - y.low};
    return true;
}

/* 0..0, 1..1 or 0..1. */
static Range comparison(const Expr *e)
{
    Range d, unknown = {0, 1};

    if (!expr_whole(e->args[0]) || !expr_whole(e->args[1]) || !difference(e->args[0], e->args[1], &d))
        return unknown;
    bool always = false, never = false;
    switch (e->op->id) {
    case OP_lt: always = d.high < 0, never = d.low >= 0; break;
    case OP_le: always = d.high <= 0, never = d.low > 0; break;
    case OP_gt: always = d.low > 0, never = d.high <= 0; break;
    case OP_ge: always = d.low >= 0, never = d.high < 0; break;
    case OP_eq: always = d.low == 0 && d.high == 0, never = d.low > 0 || d.high < 0; break;
    case OP_ne: always = d.low > 0 || d.high < 0, never = d.low == 0 && d.high == 0; break;
    default: break;
    }
    return always ? (Range){1, 1} : never ? (Range){0, 0} : unknown;
}

static Range logic(const Expr *e)
{
    Range x, y = {0, 1};

    if (!range_of(e->args[0], &x))
        x = (Range){0, 1};
    if (e->nargs > 1 && !range_of(e->args[1], &y))
        y = (Range){0, 1};
    switch (e->op->id) {
    case OP_and: return (Range){x.low & y.low, x.high & y.high};
    case OP_or: return (Range){x.low | y.low, x.high | y.high};
    default: return (Range){1 - x.high, 1 - x.low};
    }
}

static bool range_of_op(const Expr *e, Range *out)
{
    Range x, y;

    switch (e->op->id) {
    case OP_lt: case OP_le: case OP_gt: case OP_ge: case OP_eq: case OP_ne: *out = comparison(e); return true;
    case OP_and: case OP_or: case OP_not: *out = logic(e); return true;
    case OP_sign: *out = (Range){-1, 1}; return true;
    case OP_select:
        if (range_of(e->args[0], &x) && x.low == x.high)
            return range_of(e->args[x.low ? 1 : 2], out);
        if (!range_of(e->args[1], &x) || !range_of(e->args[2], &y))
            return false;
        *out = (Range){least(x.low, y.low), most(x.high, y.high)};
        return true;
    case OP_sub: return difference(e->args[0], e->args[1], out);
    default: break;
    }

    if (!range_of(e->args[0], &x) || (e->nargs > 1 && !range_of(e->args[1], &y)))
        return false;
    switch (e->op->id) {
    case OP_add: *out = (Range){x.low + y.low, x.high + y.high}; return true;
    case OP_mul:
        *out = hull((int64_t[]){x.low * y.low, x.low * y.high, x.high * y.low, x.high * y.high});
        return true;
    case OP_neg: *out = (Range){-x.high, -x.low}; return true;
    case OP_max: *out = (Range){most(x.low, y.low), most(x.high, y.high)}; return true;
    case OP_min: *out = (Range){least(x.low, y.low), least(x.high, y.high)}; return true;
    case OP_abs: *out = (Range){x.low > 0 ? x.low : x.high < 0 ? -x.high : 0, most(-x.low, x.high)}; return true;
    case OP_idiv:
        if (y.low <= 0)
            return false;
        *out = hull((int64_t[]){floor_div(x.low, y.low), floor_div(x.low, y.high), floor_div(x.high, y.low),
                                floor_div(x.high, y.high)});
        return true;
    case OP_mod:
        if (y.low <= 0)
            return false;
        *out = (Range){0, y.high - 1};
        if (y.low == y.high && floor_div(x.low, y.low) == floor_div(x.high, y.low))
            *out = (Range){x.low - floor_div(x.low, y.low) * y.low, x.high - floor_div(x.low, y.low) * y.low};
        return true;
    case OP_detach:
    case OP_floor:
    case OP_ceil:
    case OP_round:
    case OP_trunc: *out = x; return true;
    default: return false;
    }
}

static bool range_of(const Expr *e, Range *out)
{
    Affine f;

    if (e->kind == EXPR_LOAD) {
        *out = (Range){0, e->tensor->below - 1};
        return e->tensor->integer && e->tensor->below > 0;
    }
    if (expr_affine(e, &f))
        affine_range(&f, &out->low, &out->high);
    else if (e->kind != EXPR_OP || !range_of_op(e, out))
        return false;
    return out->low >= -FAR && out->high <= FAR;
}

bool expr_range(const Expr *e, int64_t *low, int64_t *high)
{
    Range r;

    if (!expr_whole(e) || !range_of(e, &r))
        return false;
    *low = r.low;
    *high = r.high;
    return true;
}

/* --- places --- */

/* One axis' subscript tells all of its indices not known yet: their digits do not overlap (c*144 + i*12 + j). */
static bool tells_indices(const Affine *f, Index *const *box, int nbox, const bool *known)
{
    int64_t coef[MAX_BOX], size[MAX_BOX];
    int n = 0;

    for (int k = 0; k < f->n; k++) {
        int b = 0;
        while (b < nbox && box[b] != f->index[k])
            b++;
        if (b == nbox || known[b] || f->index[k]->size == 1)
            continue;
        int64_t c = f->coef[k] < 0 ? -f->coef[k] : f->coef[k];
        int at = n++;
        for (; at > 0 && coef[at - 1] > c; at--) {
            coef[at] = coef[at - 1];
            size[at] = size[at - 1];
        }
        coef[at] = c;
        size[at] = f->index[k]->size;
    }
    int64_t reach = 0; /* what the smaller digits add up to at most */
    for (int k = 0; k < n; k++) {
        if (coef[k] <= reach)
            return false;
        reach += coef[k] * (size[k] - 1);
    }
    return true;
}

bool subscripts_injective(Expr *const *at, int rank, Index *const *box, int nbox)
{
    Affine f[MAX_RANK];
    bool known[MAX_BOX] = {false}, affine[MAX_RANK], more = true;

    for (int k = 0; k < nbox; k++)
        known[k] = box[k]->size == 1;
    for (int i = 0; i < rank; i++)
        affine[i] = expr_affine(at[i], &f[i]);
    /* What one axis tells helps to read the next. */
    while (more) {
        more = false;
        for (int i = 0; i < rank; i++) {
            if (!affine[i] || !tells_indices(&f[i], box, nbox, known))
                continue;
            for (int k = 0; k < nbox; k++) {
                if (known[k] || !affine_coef(&f[i], box[k]))
                    continue;
                known[k] = more = true;
            }
        }
    }
    for (int k = 0; k < nbox; k++)
        if (!known[k])
            return false;
    return true;
}

bool subscripts_plain(Expr *const *at, int rank, const int64_t *size)
{
    for (int i = 0; i < rank; i++) {
        if (size[i] == 1 && expr_is_number(at[i], 0))
            continue;
        if (at[i]->kind != EXPR_INDEX || at[i]->index->size != size[i])
            return false;
        for (int j = 0; j < i; j++)
            if (at[j]->kind == EXPR_INDEX && at[j]->index == at[i]->index)
                return false;
    }
    return true;
}
