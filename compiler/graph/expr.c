/* expr.c -- making expressions, folding what is known, replacing indices and tensors. */
#include "graph/graph.h"

#include <math.h>

unsigned expr_walk(void)
{
    static unsigned walks;

    return ++walks;
}

static size_t expr_bytes(int nargs) { return offsetof(Expr, args) + (size_t)nargs * sizeof(Expr *); }

static Expr *expr_new(Arena *a, ExprKind kind, int nargs)
{
    Expr *e = arena_alloc(a, expr_bytes(nargs));

    e->kind = kind;
    e->nargs = (uint8_t)nargs;
    return e;
}

Expr *expr_number(Arena *a, double x)
{
    Expr *e = expr_new(a, EXPR_NUMBER, 0);

    e->number = x;
    return e;
}

Expr *expr_index(Arena *a, Index *i)
{
    Expr *e = expr_new(a, EXPR_INDEX, 0);

    e->index = i;
    return e;
}

Expr *expr_load(Arena *a, Tensor *t, Expr *const *subscripts, bool padded)
{
    Expr *e = expr_new(a, EXPR_LOAD, t->rank);

    e->tensor = t;
    e->padded = padded;
    for (int i = 0; i < t->rank; i++)
        e->args[i] = subscripts[i];
    return e;
}

Expr *expr_scalar(Arena *a, Tensor *t)
{
    if (t->rank != 0)
        bug("'%s' is no scalar", t->name);
    return expr_load(a, t, NULL, false);
}

Expr *expr_result(Arena *a)
{
    return expr_new(a, EXPR_RESULT, 0);
}

Expr *expr_random(Arena *a, uint32_t stream, Expr *counter)
{
    Expr *e = expr_new(a, EXPR_RANDOM, 1);

    e->number = stream;
    e->args[0] = counter;
    return e;
}

bool expr_is(const Expr *e, OpId op)
{
    return e->kind == EXPR_OP && e->op->id == op;
}

bool expr_is_number(const Expr *e, double x)
{
    return e->kind == EXPR_NUMBER && e->number == x;
}

bool expr_is_condition(const Expr *e)
{
    return e->kind == EXPR_OP && e->op->condition;
}

bool expr_same(const Expr *a, const Expr *b)
{
    if (a == b)
        return true;
    if (a->kind != b->kind || a->nargs != b->nargs || a->padded != b->padded || a->bits != b->bits)
        return false;
    for (int i = 0; i < a->nargs; i++)
        if (!expr_same(a->args[i], b->args[i]))
            return false;
    return true;
}

static bool has_index(const Expr *e, const Index *x, unsigned walk)
{
    if (e->kind == EXPR_INDEX)
        return e->index == x;
    if (e->walk == walk)
        return false;
    ((Expr *)e)->walk = walk;
    for (int i = 0; i < e->nargs; i++)
        if (has_index(e->args[i], x, walk))
            return true;
    return false;
}

bool expr_has_index(const Expr *e, const Index *i)
{
    return has_index(e, i, expr_walk());
}

/* --- folding --- */

static Expr *plain(Arena *a, const Op *op, Expr *const *args)
{
    Expr *e = expr_new(a, EXPR_OP, op->arity);

    e->op = op;
    for (int i = 0; i < op->arity; i++)
        e->args[i] = args[i];
    return e;
}

static Expr *plain_op(Arena *a, OpId op, Expr *x, Expr *y)
{
    return plain(a, op_at(op), (Expr *[]){x, y});
}

static Expr *unary(Arena *a, OpId op, Expr *x)
{
    return expr_apply(a, op_at(op), &x);
}

static Expr *binary(Arena *a, OpId op, Expr *x, Expr *y)
{
    return expr_apply(a, op_at(op), (Expr *[]){x, y});
}

/* x + k for whole x, with constants gathered: (i + 2) - 3 is i - 1. */
static Expr *whole_plus(Arena *a, Expr *x, double k)
{
    while ((expr_is(x, OP_add) || expr_is(x, OP_sub)) && x->args[1]->kind == EXPR_NUMBER) {
        k += expr_is(x, OP_add) ? x->args[1]->number : -x->args[1]->number;
        x = x->args[0];
    }
    if (x->kind == EXPR_NUMBER)
        return expr_number(a, x->number + k);
    if (k == 0)
        return x;
    return plain_op(a, k > 0 ? OP_add : OP_sub, x, expr_number(a, fabs(k)));
}

/* Rules that hold for whole numbers but not for all floats. */
static Expr *fold_whole(Arena *a, OpId op, Expr *x, Expr *y)
{
    bool constant = y->kind == EXPR_NUMBER;

    switch (op) {
    case OP_add:
        if (constant)
            return whole_plus(a, x, y->number);
        return x->kind == EXPR_NUMBER ? whole_plus(a, y, x->number) : NULL;
    case OP_sub:
        if (constant)
            return whole_plus(a, x, -y->number);
        if (expr_same(x, y))
            return expr_number(a, 0);
        return expr_is_number(x, 0) ? unary(a, OP_neg, y) : NULL;
    case OP_mul:
        if (constant)
            return binary(a, OP_mul, y, x);
        if (expr_is_number(x, 0))
            return x;
        if (x->kind == EXPR_NUMBER && expr_is(y, OP_mul) && y->args[0]->kind == EXPR_NUMBER)
            return binary(a, OP_mul, expr_number(a, x->number * y->args[0]->number), y->args[1]);
        return NULL;
    case OP_idiv:
    case OP_mod: {
        Affine f, q, r;
        if (!constant || y->number < 1 || !expr_affine(x, &f) || !affine_divide(&f, (int64_t)y->number, &q, &r))
            return NULL;
        return affine_expr(a, op == OP_idiv ? &q : &r);
    }
    default: return NULL;
    }
}

static Expr *fold_pow(Arena *a, Expr *x, double k)
{
    Expr *one = expr_number(a, 1);

    if (k == 0)
        return one;
    if (k == 1)
        return x;
    if (k == 2)
        return binary(a, OP_mul, x, x);
    if (k == 3)
        return binary(a, OP_mul, binary(a, OP_mul, x, x), x);
    if (k == 0.5)
        return unary(a, OP_sqrt, x);
    if (k == -0.5 || k == -1 || k == -2)
        return binary(a, OP_div, one, fold_pow(a, x, -k));
    return NULL;
}

static Expr *fold_select(Arena *a, Expr *c, Expr *x, Expr *y)
{
    if (c->kind == EXPR_NUMBER)
        return c->number != 0 ? x : y;
    if (expr_same(x, y))
        return x;
    if (expr_is(c, OP_not))
        return expr_apply(a, op_at(OP_select), (Expr *[]){c->args[0], y, x});
    return NULL;
}

/* and: a true operand gives the other, a false one itself; or: the reverse. */
static Expr *fold_logic(OpId op, Expr *x, Expr *y)
{
    if (x->kind == EXPR_NUMBER)
        return (x->number != 0) == (op == OP_and) ? y : x;
    if (y->kind == EXPR_NUMBER)
        return (y->number != 0) == (op == OP_and) ? x : y;
    return expr_same(x, y) ? x : NULL;
}

/* The simpler expression that op(args) is, or NULL. */
static Expr *fold(Arena *a, const Op *op, Expr *const *args)
{
    Expr *x = args[0], *y = op->arity > 1 ? args[1] : NULL;

    if (y && expr_whole(x) && expr_whole(y)) {
        Expr *e = fold_whole(a, op->id, x, y);
        if (e)
            return e;
    }
    switch (op->id) {
    case OP_sub: return expr_is_number(y, 0) && !signbit(y->number) ? x : NULL;
    case OP_mul:
        if (expr_is_number(x, 1) || expr_is_number(x, -1))
            return x->number > 0 ? y : unary(a, OP_neg, y);
        if (expr_is_number(y, 1) || expr_is_number(y, -1))
            return y->number > 0 ? x : unary(a, OP_neg, x);
        return NULL;
    case OP_div: return expr_is_number(y, 1) ? x : expr_is_number(y, -1) ? unary(a, OP_neg, x) : NULL;
    case OP_neg: return expr_is(x, OP_neg) ? x->args[0] : NULL;
    case OP_max:
    case OP_min:
        if (x->kind == EXPR_NUMBER)
            return plain(a, op, (Expr *[]){y, x});
        return expr_same(x, y) ? x : NULL;
    case OP_pow: return y->kind == EXPR_NUMBER ? fold_pow(a, x, y->number) : NULL;
    case OP_floor:
    case OP_ceil:
    case OP_round:
    case OP_trunc: return expr_whole(x) ? x : NULL;
    case OP_detach: return expr_is(x, OP_detach) ? x : NULL;
    case OP_not: return expr_is(x, OP_not) ? x->args[0] : NULL;
    case OP_and:
    case OP_or: return fold_logic(op->id, x, y);
    case OP_select: return fold_select(a, x, y, args[2]);
    default: return NULL;
    }
}

static Expr *as_condition(Arena *a, Expr *e)
{
    if (e->kind == EXPR_NUMBER)
        return e->number == 0 || e->number == 1 ? e : expr_number(a, 1);
    return expr_is_condition(e) ? e : binary(a, OP_ne, e, expr_number(a, 0));
}

Expr *expr_apply(Arena *a, const Op *op, Expr *const *given)
{
    Expr *args[3] = {0};
    double values[3];
    int numbers = 0, conditions = 0;

    if (op->id == OP_and || op->id == OP_or || op->id == OP_not)
        conditions = op->arity;
    else if (op->id == OP_select)
        conditions = 1;
    for (int i = 0; i < op->arity; i++) {
        args[i] = i < conditions ? as_condition(a, given[i]) : given[i];
        if (args[i]->kind == EXPR_NUMBER)
            values[numbers++] = args[i]->number;
    }
    if (numbers == op->arity)
        return expr_number(a, op->eval(values));
    Expr *e = fold(a, op, args);
    return e ? e : plain(a, op, args);
}

Expr *expr_op(Arena *a, const char *name, Expr *x, Expr *y, Expr *z)
{
    const Op *op = op_find(name);

    if (!op)
        bug("no operation '%s'", name);
    if (!x != (op->arity < 1) || !y != (op->arity < 2) || !z != (op->arity < 3))
        bug("'%s' takes %d operands", name, op->arity);
    return expr_apply(a, op, (Expr *[]){x, y, z});
}

/* --- replacing --- */

typedef struct Change {
    Arena *arena;
    const Rename *rename;     /* or NULL */
    Tensor *const *tensors;   /* by id, or NULL */
    unsigned walk;
} Change;

static Expr *change(const Change *c, Expr *e);

static Tensor *change_tensor(const Change *c, Tensor *t)
{
    if (c->tensors)
        return c->tensors[t->id];
    return c->rename && t == c->rename->old ? c->rename->fresh : t;
}

static Expr *change_args(const Change *c, Expr *e)
{
    Expr *args[MAX_RANK];
    Tensor *t = e->kind == EXPR_LOAD ? change_tensor(c, e->tensor) : NULL;
    bool changed = t && t != e->tensor;

    for (int i = 0; i < e->nargs; i++) {
        args[i] = change(c, e->args[i]);
        changed |= args[i] != e->args[i];
    }
    if (!changed)
        return e;
    /* Indices may have become numbers; mere tensors give nothing to fold. */
    if (e->kind == EXPR_OP && c->rename)
        return expr_apply(c->arena, e->op, args);
    Expr *f = expr_new(c->arena, e->kind, e->nargs);
    memcpy(f, e, expr_bytes(e->nargs));
    f->walk = 0;
    if (t)
        f->tensor = t;
    for (int i = 0; i < e->nargs; i++)
        f->args[i] = args[i];
    return f;
}

static Expr *change(const Change *c, Expr *e)
{
    if (e->walk == c->walk)
        return e->image;

    Expr *image = e;
    if (e->kind == EXPR_INDEX && c->rename) {
        for (int i = 0; i < c->rename->nindex; i++)
            if (e->index == c->rename->from[i])
                image = c->rename->to[i];
    } else if (e->kind == EXPR_RESULT && c->rename && c->rename->result) {
        image = c->rename->result;
    } else {
        image = change_args(c, e);
    }
    e->walk = c->walk;
    e->image = image;
    return image;
}

Expr *expr_rename(Arena *a, Expr *e, const Rename *r)
{
    return change(&(Change){.arena = a, .rename = r, .walk = expr_walk()}, e);
}

Expr *expr_with_tensors(Arena *a, Expr *e, Tensor *const *by_id)
{
    return change(&(Change){.arena = a, .tensors = by_id, .walk = expr_walk()}, e);
}
