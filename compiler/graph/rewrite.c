/* rewrite.c -- what the passes share: walks over loads, whole-number algebra, and the questions passes ask of an
 * equation. */
#include "graph/rewrite.h"

/* --- walks --- */

static void see_loads(const Expr *e, unsigned walk, void (*see)(const Expr *, void *), void *user)
{
    if (e->walk == walk)
        return;
    ((Expr *)e)->walk = walk; /* scratch: the expression itself does not change */
    if (e->kind == EXPR_LOAD)
        see(e, user);
    for (int i = 0; i < e->nargs; i++)
        see_loads(e->args[i], walk, see, user);
}

void expr_loads(const Expr *e, void (*see)(const Expr *load, void *user), void *user)
{
    see_loads(e, expr_walk(), see, user);
}

void equation_loads(const Equation *q, void (*see)(const Expr *load, void *user), void *user)
{
    unsigned walk = expr_walk();

    see_loads(q->value, walk, see, user);
    if (q->tail)
        see_loads(q->tail, walk, see, user);
    for (int k = 0; k < q->out->rank; k++)
        see_loads(q->at[k], walk, see, user);
}

static int count_nodes(const Expr *e, unsigned walk)
{
    if (e->walk == walk)
        return 0;
    ((Expr *)e)->walk = walk;
    int n = 1;
    for (int i = 0; i < e->nargs; i++)
        n += count_nodes(e->args[i], walk);
    return n;
}

int expr_nodes(const Expr *e)
{
    return count_nodes(e, expr_walk());
}

static int size_written(Expr *e, unsigned walk)
{
    if (e->walk == walk)
        return e->slot;
    int n = 1;
    for (int i = 0; i < e->nargs && n < MOST_WRITTEN; i++)
        n += size_written(e->args[i], walk);
    e->walk = walk;
    e->slot = n < MOST_WRITTEN ? n : MOST_WRITTEN;
    return e->slot;
}

int expr_written(Expr *e)
{
    return size_written(e, expr_walk());
}

static bool find_dear(const Expr *e, unsigned walk)
{
    if (e->walk == walk)
        return false;
    ((Expr *)e)->walk = walk;
    if (e->kind == EXPR_RANDOM)
        return true;
    /* Divisions in subscripts and conditions on indices cost an address, not a vector of floats. */
    if (e->kind == EXPR_LOAD || expr_whole(e))
        return false;
    if (e->kind == EXPR_OP && e->op->dear)
        return true;
    for (int i = 0; i < e->nargs; i++)
        if (find_dear(e->args[i], walk))
            return true;
    return false;
}

bool expr_dear(const Expr *e)
{
    return find_dear(e, expr_walk());
}

bool expr_constant(const Expr *e, int64_t *out)
{
    if (e->kind != EXPR_NUMBER || !expr_whole(e))
        return false;
    *out = (int64_t)e->number;
    return true;
}

/* --- linear forms --- */

static void add_term(Linear *l, Expr *atom, int64_t coef)
{
    for (int i = 0; i < l->n; i++)
        if (expr_same(l->atom[i], atom)) {
            l->coef[i] += coef;
            return;
        }
    if (l->n == MAX_TERMS)
        bug("a subscript of more than %d terms", MAX_TERMS);
    l->atom[l->n] = atom;
    l->coef[l->n++] = coef;
}

static bool collect(Expr *e, int64_t times, Linear *l)
{
    int64_t c;

    if (expr_constant(e, &c)) {
        l->offset += times * c;
        return true;
    }
    if (expr_is(e, OP_add) || expr_is(e, OP_sub))
        return collect(e->args[0], times, l) &&
               collect(e->args[1], expr_is(e, OP_sub) ? -times : times, l);
    if (expr_is(e, OP_neg))
        return collect(e->args[0], -times, l);
    if (expr_is(e, OP_mul) && expr_constant(e->args[0], &c))
        return collect(e->args[1], times * c, l);
    if (expr_is(e, OP_mul) && expr_constant(e->args[1], &c))
        return collect(e->args[0], times * c, l);
    if (l->n >= MAX_TERMS)
        return false;
    add_term(l, e, times);
    return true;
}

static void drop_term(Linear *l, int i)
{
    l->n--;
    for (; i < l->n; i++) {
        l->atom[i] = l->atom[i + 1];
        l->coef[i] = l->coef[i + 1];
    }
}

/* The other half of a mod c: the idiv by the same number of the same expression, or -1. */
static int find_quotient(const Linear *l, int remainder)
{
    const Expr *m = l->atom[remainder];
    int64_t c;

    if (!expr_is(m, OP_mod) || !expr_constant(m->args[1], &c))
        return -1;
    for (int i = 0; i < l->n; i++) {
        const Expr *d = l->atom[i];
        if (expr_is(d, OP_idiv) && l->coef[i] == c * l->coef[remainder] &&
            expr_same(d->args[0], m->args[0]) && expr_same(d->args[1], m->args[1]))
            return i;
    }
    return -1;
}

bool expr_linear(Expr *e, Linear *out)
{
    memset(out, 0, sizeof *out);
    if (!expr_whole(e) || !collect(e, 1, out))
        return false;
    for (int i = 0; i < out->n; i++) {
        int q = find_quotient(out, i);
        if (q < 0)
            continue;
        /* c * (x idiv c) + x mod c = x */
        Expr *x = out->atom[i]->args[0];
        int64_t times = out->coef[i];
        drop_term(out, q > i ? q : i);
        drop_term(out, q > i ? i : q);
        if (!collect(x, times, out))
            return false;
        i = -1;
    }
    for (int i = out->n; i-- > 0;)
        if (out->coef[i] == 0)
            drop_term(out, i);
    return true;
}

void linear_add(Linear *l, const Linear *other, int64_t times)
{
    for (int i = 0; i < other->n; i++)
        add_term(l, other->atom[i], times * other->coef[i]);
    l->offset += times * other->offset;
    for (int i = l->n; i-- > 0;)
        if (l->coef[i] == 0)
            drop_term(l, i);
}

static Expr *term(Arena *a, Expr *atom, int64_t coef)
{
    return coef == 1 ? atom : expr_op(a, "mul", expr_number(a, (double)coef), atom, NULL);
}

/* Positive terms first, so that people read `i - p`, not `-p + i`. */
Expr *linear_expr(Arena *a, const Linear *l)
{
    Expr *e = NULL;
    int64_t rest = l->offset;

    for (int i = 0; i < l->n; i++)
        if (l->coef[i] > 0) {
            Expr *t = term(a, l->atom[i], l->coef[i]);
            e = e ? expr_op(a, "add", e, t, NULL) : t;
        }
    if (!e || rest > 0) {
        Expr *c = expr_number(a, (double)rest);
        e = e ? expr_op(a, "add", e, c, NULL) : c;
        rest = 0;
    }
    for (int i = 0; i < l->n; i++)
        if (l->coef[i] < 0)
            e = expr_op(a, "sub", e, term(a, l->atom[i], -l->coef[i]), NULL);
    return rest ? expr_op(a, "sub", e, expr_number(a, (double)-rest), NULL) : e;
}

bool linear_range(const Linear *l, int64_t *low, int64_t *high)
{
    *low = *high = l->offset;
    for (int i = 0; i < l->n; i++) {
        int64_t from, to;
        if (!expr_range(l->atom[i], &from, &to))
            return false;
        *low += l->coef[i] * (l->coef[i] > 0 ? from : to);
        *high += l->coef[i] * (l->coef[i] > 0 ? to : from);
    }
    return true;
}

/* --- conditions --- */

Expr *expr_inside(Arena *a, Expr *e, int64_t size)
{
    Linear l;
    int64_t low, high;
    Expr *above = NULL, *below = NULL;
    bool known = expr_linear(e, &l) && linear_range(&l, &low, &high);

    if (!known || low < 0)
        above = expr_op(a, "ge", e, expr_number(a, 0), NULL);
    if (!known || high >= size)
        below = expr_op(a, "lt", e, expr_number(a, (double)size), NULL);
    return above && below ? expr_op(a, "and", above, below, NULL) : above ? above : below;
}

/* Does i outside of its range surely put this subscript outside of the axis? */
static bool leaves_axis(Expr *subscript, int64_t size, const Index *i)
{
    Linear l;
    int64_t c = 0, low, high;

    if (!expr_linear(subscript, &l))
        return false;
    for (int k = l.n; k-- > 0;) {
        if (l.atom[k]->kind == EXPR_INDEX && l.atom[k]->index == i) {
            c = l.coef[k];
            l.coef[k] = 0;
        } else if (expr_has_index(l.atom[k], i)) {
            return false;
        }
    }
    if (c == 0 || !linear_range(&l, &low, &high))
        return false;
    if (c > 0)
        return high - c < 0 && low + c * i->size >= size;
    return low - c >= size && high + c * i->size < 0;
}

static bool load_vanishes(const Expr *e, const Index *i)
{
    for (int k = 0; k < e->nargs; k++)
        if (leaves_axis(e->args[k], e->tensor->size[k], i))
            return true;
    return false;
}

/* Stays finite when some of its loads are replaced by 0: so that 0 * e is 0. */
static bool tame(const Expr *e, const Index *i)
{
    return !expr_has_index(e, i) || !expr_dear(e);
}

bool expr_vanishes(const Expr *e, const Index *i)
{
    if (e->kind == EXPR_NUMBER)
        return e->number == 0;
    if (e->kind == EXPR_LOAD)
        return load_vanishes(e, i);
    if (e->kind != EXPR_OP)
        return false;
    switch (e->op->id) {
    case OP_neg:
    case OP_detach:
        return expr_vanishes(e->args[0], i);
    case OP_add:
    case OP_sub:
        return expr_vanishes(e->args[0], i) && expr_vanishes(e->args[1], i);
    case OP_mul:
        return (expr_vanishes(e->args[0], i) && tame(e->args[1], i)) ||
               (expr_vanishes(e->args[1], i) && tame(e->args[0], i));
    case OP_div:
        return expr_vanishes(e->args[0], i) && !expr_has_index(e->args[1], i);
    case OP_select:
        return expr_vanishes(e->args[1], i) && expr_vanishes(e->args[2], i);
    default:
        return false;
    }
}

/* --- equations --- */

static void collect_indices(Equation *q, const Expr *e)
{
    if (e->kind == EXPR_INDEX)
        equation_add_index(q, e->index);
    for (int i = 0; i < e->nargs; i++)
        collect_indices(q, e->args[i]);
}

void equation_add_index(Equation *q, Index *i)
{
    for (int k = 0; k < q->nbox; k++)
        if (q->box[k] == i)
            return;
    if (q->nbox == MAX_BOX)
        bug("the equation for '%s' has more than %d indices", q->out->name, MAX_BOX);
    q->box[q->nbox++] = i;
}

void equation_set_box(Equation *q, int n, Index *const *reduced)
{
    q->nbox = 0;
    for (int k = 0; k < q->out->rank; k++)
        collect_indices(q, q->at[k]);
    for (int k = 0; k < n; k++)
        equation_add_index(q, reduced[k]);
}

void reduction_to_map(Arena *a, Equation *q)
{
    if (q->how == EQ_MAP || q->nbox > equation_outer(q) || !equation_covers(q))
        return;
    if (q->how == EQ_ARGMAX)
        q->value = expr_number(a, 0);
    if (q->tail) {
        Rename r = {.result = q->value};
        q->value = expr_place(a, q->tail, &r);
        q->tail = NULL;
    }
    q->how = EQ_MAP;
}
