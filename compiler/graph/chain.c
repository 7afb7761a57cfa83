/* chain.c -- the chain rule inside of one expression.
 *
 * Note: selects stay outermost. In `if x > 0 then x else exp(x) - 1` the derivative exp(x) may be infinite where the
 * other branch is taken, and 0 * inf is not a number; so a factor goes inside of the select that guards it. */
#include "graph/chain.h"

static Expr *apply(Arena *a, OpId op, Expr *x, Expr *y)
{
    return expr_apply(a, op_at(op), (Expr *[]){x, y});
}

/* select(c, x, y) where NULL is zero. */
Expr *chain_choose(Arena *a, Expr *c, Expr *x, Expr *y)
{
    if (!x && !y)
        return NULL;
    Expr *zero = x && y ? NULL : expr_number(a, 0);
    return expr_apply(a, op_at(OP_select), (Expr *[]){c, x ? x : zero, y ? y : zero});
}

/* e is select(c, x, 0) or select(c, 0, x); the zero is NULL. */
static bool guarded(const Expr *e, Expr **x, Expr **y)
{
    if (!expr_is(e, OP_select))
        return false;
    *x = expr_is_number(e->args[1], 0) ? NULL : e->args[1];
    *y = expr_is_number(e->args[2], 0) ? NULL : e->args[2];
    return !*x || !*y;
}

/* e = coefficient * rest */
static double coefficient(Expr *e, Expr **rest)
{
    bool product = expr_is(e, OP_mul) && e->args[0]->kind == EXPR_NUMBER;

    *rest = product ? e->args[1] : expr_is(e, OP_neg) ? e->args[0] : e;
    return product ? e->args[0]->number : expr_is(e, OP_neg) ? -1 : 1;
}

/* k * e with all constants in one, in front; NULL is zero. */
static Expr *scaled(Arena *a, double k, Expr *e)
{
    Expr *rest, *x, *y;

    if (!e || k == 0)
        return NULL;
    k *= coefficient(e, &rest);
    if (guarded(rest, &x, &y))
        return chain_choose(a, rest->args[0], scaled(a, k, x), scaled(a, k, y));
    if (expr_is(rest, OP_div) && rest->args[0]->kind == EXPR_NUMBER)
        return apply(a, OP_div, expr_number(a, k * rest->args[0]->number), rest->args[1]);
    return apply(a, OP_mul, expr_number(a, k), rest);
}

/* g * d; NULL is zero. */
Expr *chain_times(Arena *a, Expr *g, Expr *d)
{
    Expr *x, *y;

    if (!g || !d)
        return NULL;
    if (expr_is_condition(d))
        return chain_choose(a, d, g, NULL);
    if (g->kind == EXPR_NUMBER || d->kind == EXPR_NUMBER)
        return g->kind == EXPR_NUMBER ? scaled(a, g->number, d) : scaled(a, d->number, g);
    if (guarded(g, &x, &y))
        return chain_choose(a, g->args[0], chain_times(a, x, d), chain_times(a, y, d));
    if (guarded(d, &x, &y))
        return chain_choose(a, d->args[0], chain_times(a, g, x), chain_times(a, g, y));
    double k = coefficient(g, &x) * coefficient(d, &y);
    if (k != 1)
        return scaled(a, k, chain_times(a, x, y));
    if (expr_is(d, OP_div) && d->args[0]->kind == EXPR_NUMBER)
        return apply(a, OP_div, scaled(a, d->args[0]->number, g), d->args[1]);
    return apply(a, OP_mul, g, d);
}

/* p + q; NULL is zero. */
Expr *chain_plus(Arena *a, Expr *p, Expr *q)
{
    Expr *px, *py, *qx, *qy;

    if (!p || !q)
        return p ? p : q;
    double kp = coefficient(p, &px), kq = coefficient(q, &qx);
    if (expr_same(px, qx))
        return scaled(a, kp + kq, px);
    if (kq < 0)
        return apply(a, OP_sub, p, scaled(a, -kq, qx));
    if (kp < 0)
        return apply(a, OP_sub, q, scaled(a, -kp, px));
    if (guarded(p, &px, &py) && guarded(q, &qx, &qy) && expr_same(p->args[0], q->args[0]))
        return chain_choose(a, p->args[0], chain_plus(a, px, qx), chain_plus(a, py, qy));
    return apply(a, OP_add, p, q);
}

/* --- from the result back to the loads --- */

/* The nodes of an expression through which a gradient flows, operands before what uses them. */
typedef struct Flow {
    Arena *arena;
    const bool *active;
    unsigned walk;
    LIST(Expr *) nodes;
    LIST(Expr *) adjoint; /* of each node; NULL is zero */
} Flow;

/* Whether something active is below e; marks e with its slot, -1 when not. */
static bool flow_visit(Flow *f, Expr *e)
{
    bool live = e->kind == EXPR_LOAD && !e->tensor->integer && f->active[e->tensor->id];

    if (e->walk == f->walk)
        return e->slot >= 0;
    for (int i = 0; e->kind == EXPR_OP && i < e->nargs; i++)
        if (e->op->derivative[i])
            live |= flow_visit(f, e->args[i]);
    e->walk = f->walk;
    e->slot = -1;
    if (live) {
        e->slot = f->nodes.n;
        PUSH(f->arena, f->nodes, e);
        PUSH(f->arena, f->adjoint, NULL);
    }
    return live;
}

/* The operands' shares of node number n's adjoint. */
static void flow_through(Flow *f, int n, Expr *y)
{
    Expr *node = f->nodes.at[n];

    for (int i = 0; node->kind == EXPR_OP && i < node->nargs; i++) {
        Expr *x = node->args[i];
        if (!node->op->derivative[i] || x->slot < 0)
            continue;
        Expr *d = op_derivative(f->arena, node->op, i, node->args, y);
        Expr *share = chain_times(f->arena, f->adjoint.at[n], d);
        f->adjoint.at[x->slot] = chain_plus(f->arena, f->adjoint.at[x->slot], share);
    }
}

/* Equal loads are one variable. */
static void add_load(Arena *a, Adjoints *to, Expr *load, Expr *adjoint)
{
    for (int i = 0; i < to->n; i++)
        if (expr_same(to->at[i].load, load)) {
            to->at[i].adjoint = chain_plus(a, to->at[i].adjoint, adjoint);
            return;
        }
    PUSH(a, *to, ((Adjoint){load, adjoint}));
}

Adjoints chain_back(Arena *a, const bool *active, Expr *e, Expr *seed, Expr *known)
{
    Flow f = {.arena = a, .active = active, .walk = expr_walk()};
    Adjoints loads = {0};

    if (!flow_visit(&f, e))
        return loads;
    f.adjoint.at[e->slot] = seed;
    for (int n = f.nodes.n; n-- > 0;)
        if (f.adjoint.at[n])
            flow_through(&f, n, known && f.nodes.at[n] == e ? known : f.nodes.at[n]);
    for (int n = 0; n < f.nodes.n; n++)
        if (f.nodes.at[n]->kind == EXPR_LOAD && f.adjoint.at[n])
            add_load(a, &loads, f.nodes.at[n], f.adjoint.at[n]);
    return loads;
}
