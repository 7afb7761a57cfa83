/* gather.c -- turn scattering sums round: every element of the result is written by its own sum.
 *
 * A gradient comes as a scatter, `dx[b,c,2*i+p-1] += w[o,c,p] * dy[b,o,i]`: many points write one place. Here the
 * subscripts become equations, u = 2*i + p - 1, which are solved for as many of the old indices as possible; the
 * others stay, and the sum runs over them:
 *
 *   u = i + p - 1       i = u + 1 - p, sum over p
 *   u = 2*i + p - 1     p = 2*p' + (u + 1) mod 2, i = (u + 1) idiv 2 - p': only points that contribute. u itself is
 *                       split into 2*u' + r, so that all subscripts stay affine in the long index
 *   u = 2*i             most places stay empty: sum[...] into a tensor over i, spread by u mod 2 == 0 and i = u idiv 2
   u = 2*i + p         with p below 2 (pooling): the digits of u; when u has no others, nothing is left to solve
 *   u = (o idiv 4)*8+c  o is split into its digits first
 *   u = label[b]        cannot be solved: select(label[b] == u, ..., 0), if that is not too much work
 *
 * Where a solved index falls outside its range there was no point: the value is 0 there. If a factor is a load by
 * that index, the load is padded and gives the 0 itself; else the value gets a condition.
 *
 * needs:  equations as the checker and the gradient leave them
 * leaves: sums and maps that write every place from one point of the indices in `at`. Still scattering: sums through an
 *         integer tensor over many classes (embedding), for which a serial loop is the cheaper way */
#include "graph/rewrite.h"

/* Unknowns of one axis beyond which nobody tries to solve it. */
enum { MAX_UNKNOWN = 8 };

/* Turning one equation. */
typedef struct Turn {
    Arena *arena;
    Equation from, to;
    Rename solved;             /* old indices, by what they are now */
    bool known[MAX_BOX];       /* by position in from.box: solved, or kept as it is */
    LIST(Expr *) conditions;   /* under which there was a point */
    LIST(Index *) turns;       /* new indices to sum over */
    bool sums;                 /* there is more to sum than one point */
    bool guesses;              /* some axis could not be solved: points are visited in vain */
} Turn;

/* The subscript of one axis: unknown indices, largest multiple first, and what is known. */
typedef struct Axis {
    int n;
    Index *index[MAX_UNKNOWN];
    int64_t coef[MAX_UNKNOWN];
    Linear rest;
    bool opaque; /* there is more than that */
} Axis;

static Expr *number(const Turn *t, int64_t x)
{
    return expr_number(t->arena, (double)x);
}

static Expr *whole_op(const Turn *t, const char *name, Expr *x, Expr *y)
{
    return expr_simplify(t->arena, expr_op(t->arena, name, x, y, NULL));
}

static int box_position(const Equation *q, const Index *i)
{
    for (int k = 0; k < q->nbox; k++)
        if (q->box[k] == i)
            return k;
    return -1;
}

static double box_points(const Equation *q)
{
    double points = 1;
    for (int k = 0; k < q->nbox; k++)
        points *= (double)q->box[k]->size;
    return points;
}

/* --- digits: o becomes 4*o1 + o2 where subscripts speak of o idiv 4 and o mod 4 --- */

/* Writes e, affine in fresh indices, for index i everywhere. */
static void put_in_place(Turn *t, Index *i, Expr *e)
{
    Rename r = {.nindex = 1, .from = {i}, .to = {e}};
    Equation *q = &t->from, old = *q;
    Affine f;

    for (int k = 0; k < q->out->rank; k++)
        q->at[k] = expr_place(t->arena, q->at[k], &r);
    q->value = expr_place(t->arena, q->value, &r);
    equation_set_box(q, 0, NULL);
    if (!expr_affine(e, &f))
        bug("'%s' is not replaced by indices", i->name);
    for (int k = 0; k < old.nbox; k++)
        if (old.box[k] != i)
            equation_add_index(q, old.box[k]);
        else
            for (int n = 0; n < f.n; n++)
                equation_add_index(q, f.index[n]);
}

static bool stands_once(const Equation *q, const Index *i)
{
    int places = 0;
    for (int k = 0; k < q->out->rank; k++)
        places += expr_has_index(q->at[k], i);
    return places == 1;
}

/* An index in e that should be written by its digits, or counted from its end: what to write for it. */
static Expr *better_index(Turn *t, Expr *e, Index **which)
{
    Linear l;
    int64_t c;

    if (!expr_linear(e, &l))
        return NULL;
    for (int i = 0; i < l.n; i++) {
        const Expr *x = l.atom[i];
        if (x->kind == EXPR_INDEX && l.coef[i] < 0 && stands_once(&t->from, x->index)) {
            Index *back = index_new(t->arena, x->index->name, x->index->size);
            *which = x->index;
            return whole_op(t, "sub", number(t, back->size - 1), expr_index(t->arena, back));
        }
        if ((expr_is(x, OP_idiv) || expr_is(x, OP_mod)) && x->args[0]->kind == EXPR_INDEX &&
            expr_constant(x->args[1], &c) && c > 0 && x->args[0]->index->size % c == 0) {
            *which = x->args[0]->index;
            const char *name = (*which)->name;
            Expr *high = expr_index(t->arena, index_new(t->arena, name, (*which)->size / c));
            Expr *low = expr_index(t->arena, index_new(t->arena, arena_print(t->arena, "%sr", name), c));
            return whole_op(t, "add", whole_op(t, "mul", number(t, c), high), low);
        }
    }
    return NULL;
}

static void better_indices(Turn *t)
{
    for (int k = 0; k < t->from.out->rank; k++) {
        Index *which;
        Expr *e = better_index(t, t->from.at[k], &which);
        if (!e)
            continue;
        put_in_place(t, which, e);
        k = -1;
    }
}

/* --- one axis --- */

static bool has_unknown(const Turn *t, const Expr *e)
{
    for (int k = 0; k < t->from.nbox; k++)
        if (!t->known[k] && expr_has_index(e, t->from.box[k]))
            return true;
    return false;
}

static bool is_unknown(const Turn *t, const Expr *e)
{
    int k = e->kind == EXPR_INDEX ? box_position(&t->from, e->index) : -1;
    return k >= 0 && !t->known[k];
}

static void add_unknown(Axis *x, Index *i, int64_t coef)
{
    int at = x->n++;
    for (; at > 0 && x->coef[at - 1] < coef; at--) {
        x->index[at] = x->index[at - 1];
        x->coef[at] = x->coef[at - 1];
    }
    x->index[at] = i;
    x->coef[at] = coef;
}

static Axis axis_read(const Turn *t, Expr *subscript)
{
    Axis x = {0};
    Linear l;

    if (!expr_linear(expr_place(t->arena, subscript, &t->solved), &l)) {
        x.opaque = true;
        return x;
    }
    x.rest.offset = l.offset;
    for (int i = 0; i < l.n; i++) {
        if (is_unknown(t, l.atom[i]) && l.coef[i] > 0 && x.n < MAX_UNKNOWN) {
            add_unknown(&x, l.atom[i]->index, l.coef[i]);
            continue;
        }
        x.opaque |= has_unknown(t, l.atom[i]);
        x.rest.atom[x.rest.n] = l.atom[i];
        x.rest.coef[x.rest.n++] = l.coef[i];
    }
    return x;
}

static void mark_known(Turn *t, const Index *i)
{
    int k = box_position(&t->from, i);
    if (k >= 0)
        t->known[k] = true;
}

static void solve(Turn *t, Index *i, Expr *e)
{
    Rename *r = &t->solved;

    mark_known(t, i);
    r->from[r->nindex] = i;
    r->to[r->nindex++] = e;
}

/* The unknowns in `mask` are the digits of a number: none reaches the multiple of the one before. */
static bool are_digits(const Axis *x, unsigned mask)
{
    int64_t reach = 0;

    for (int i = x->n; i-- > 0;) {
        if (!(mask >> i & 1))
            continue;
        if (x->coef[i] <= reach)
            return false;
        reach += x->coef[i] * (x->index[i]->size - 1);
    }
    return true;
}

/* Its unknowns already run over 0..size-1, each number once. */
static bool axis_complete(const Axis *x, int64_t size)
{
    int64_t unit = 1;

    if (x->opaque || x->rest.n || x->rest.offset)
        return false;
    for (int i = x->n; i-- > 0;) {
        if (x->coef[i] != unit)
            return false;
        unit *= x->index[i]->size;
    }
    return unit == size;
}

static int64_t common_divisor(int64_t a, int64_t b)
{
    while (b) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

/* s*i + d*p with coprime s and d: the remainder by s tells p mod s. */
static bool tells_remainder(const Axis *x, unsigned digits)
{
    return x->n == 2 && digits == 1 && x->coef[0] > 1 && common_divisor(x->coef[0], x->coef[1]) == 1;
}

/* Which unknowns to solve for, so that the sum over the others is the shortest. */
static unsigned choose_digits(const Axis *x)
{
    unsigned best = 0;
    double least = 0;

    for (unsigned mask = 1; mask < 1u << x->n; mask++) {
        if (!are_digits(x, mask))
            continue;
        double points = 1;
        for (int i = 0; i < x->n; i++)
            if (!(mask >> i & 1))
                points *= (double)x->index[i]->size;
        if (tells_remainder(x, mask))
            points = (double)((x->index[1]->size + x->coef[0] - 1) / x->coef[0]);
        bool affine = x->coef[0] > 1 && mask == 1u << (x->n - 1) && x->coef[x->n - 1] == 1;
        if (!best || points < least || (points == least && affine)) {
            best = mask;
            least = points;
        }
    }
    return best;
}

/* A new index over the axis; in sums two, u = step*u' + r. Maps are better off with one: they go into their readers. */
static Expr *output_index(Turn *t, const char *name, int64_t size, int64_t step)
{
    if (!t->sums || step <= 1 || size % step != 0 || size == step)
        return expr_index(t->arena, index_new(t->arena, name, size));
    Expr *long_one = expr_index(t->arena, index_new(t->arena, name, size / step));
    Expr *remainder = expr_index(t->arena, index_new(t->arena, arena_print(t->arena, "%sr", name), step));
    return whole_op(t, "add", whole_op(t, "mul", number(t, step), long_one), remainder);
}

/* v = s*i + d*p: p = s*p' + h with h = v/d mod s, and i = (v - d*h) idiv s - d*p'. */
static void solve_by_remainder(Turn *t, const Axis *x, Expr *v)
{
    Index *p = x->index[1];
    int64_t s = x->coef[0], d = x->coef[1], inverse = 1;

    while (inverse * d % s != 1 % s)
        inverse++;
    int64_t turns = (p->size + s - 1) / s;
    Expr *h = whole_op(t, "mod", whole_op(t, "mul", number(t, inverse), v), number(t, s));
    Expr *i = d == 1 ? v : whole_op(t, "sub", v, whole_op(t, "mul", number(t, d), h));
    i = whole_op(t, "idiv", i, number(t, s));
    if (turns > 1) {
        Index *of_turns = index_new(t->arena, p->name, turns);
        Expr *turn = expr_index(t->arena, of_turns);
        PUSH(t->arena, t->turns, of_turns);
        h = whole_op(t, "add", whole_op(t, "mul", number(t, s), turn), h);
        i = whole_op(t, "sub", i, whole_op(t, "mul", number(t, d), turn));
    }
    solve(t, p, h);
    solve(t, x->index[0], i);
}

static void solve_digits(Turn *t, const Axis *x, unsigned digits, Expr *v)
{
    for (int i = 0; i < x->n; i++)
        if (!(digits >> i & 1)) {
            Expr *e = whole_op(t, "mul", number(t, x->coef[i]), expr_index(t->arena, x->index[i]));
            v = whole_op(t, "sub", v, e);
            mark_known(t, x->index[i]);
        }
    for (int i = 0; i < x->n; i++) {
        if (!(digits >> i & 1))
            continue;
        Expr *unit = number(t, x->coef[i]);
        solve(t, x->index[i], whole_op(t, "idiv", v, unit));
        v = whole_op(t, "mod", v, unit);
    }
    Expr *exact = whole_op(t, "eq", v, number(t, 0));
    if (!expr_is_number(exact, 1))
        PUSH(t->arena, t->conditions, exact);
}

/* The subscript cannot be solved: visit all points and ask each whether it is the place. */
static void guess_axis(Turn *t, int k)
{
    Expr *subscript = expr_place(t->arena, t->from.at[k], &t->solved);

    for (int i = 0; i < t->from.nbox; i++)
        if (expr_has_index(subscript, t->from.box[i]))
            t->known[i] = true;
    t->to.at[k] = output_index(t, "k", t->from.out->size[k], 1);
    PUSH(t->arena, t->conditions, whole_op(t, "eq", t->to.at[k], subscript));
    t->guesses = true;
}

static void solve_axis(Turn *t, int k, const Axis *x)
{
    int64_t size = t->from.out->size[k];

    if (axis_complete(x, size)) {
        t->to.at[k] = expr_place(t->arena, t->from.at[k], &t->solved);
        for (int i = 0; i < x->n; i++)
            mark_known(t, x->index[i]);
        return;
    }
    if (x->opaque || x->n == 0) {
        guess_axis(t, k);
        return;
    }
    unsigned digits = choose_digits(x);
    int first = 0;
    while (!(digits >> first & 1))
        first++;
    t->to.at[k] = output_index(t, x->index[first]->name, size, x->rest.n ? 1 : x->coef[first]);
    Expr *v = whole_op(t, "sub", t->to.at[k], linear_expr(t->arena, &x->rest));
    if (tells_remainder(x, digits))
        solve_by_remainder(t, x, v);
    else
        solve_digits(t, x, digits, v);
}

/* The axis with the fewest unknowns first: it may tell what the others need. */
static void solve_axes(Turn *t)
{
    int rank = t->from.out->rank;
    bool done[MAX_RANK] = {false};

    for (int round = 0; round < rank; round++) {
        int best = -1, least = 0;
        Axis axis = {0};
        for (int k = 0; k < rank; k++) {
            if (done[k])
                continue;
            Axis x = axis_read(t, t->from.at[k]);
            int unknowns = x.opaque ? 2 * MAX_UNKNOWN : axis_complete(&x, t->from.out->size[k]) ? 0 : x.n + 1;
            if (best < 0 || unknowns < least) {
                best = k;
                least = unknowns;
                axis = x;
            }
        }
        done[best] = true;
        solve_axis(t, best, &axis);
    }
}

/* --- the new equation --- */

static void write_value(Turn *t)
{
    const Rename *r = &t->solved;
    Expr *value = expr_place(t->arena, t->from.value, r);
    Expr *zero = number(t, 0);

    for (int i = 0; i < r->nindex; i++) {
        Expr *inside = expr_inside(t->arena, r->to[i], r->from[i]->size);
        if (inside && !expr_vanishes(t->from.value, r->from[i]))
            value = expr_op(t->arena, "select", inside, value, zero);
    }
    for (int i = 0; i < t->conditions.n; i++)
        value = expr_op(t->arena, "select", t->conditions.at[i], value, zero);
    t->to.value = expr_simplify(t->arena, value);
}

static bool is_solved(const Turn *t, const Index *i)
{
    for (int k = 0; k < t->solved.nindex; k++)
        if (t->solved.from[k] == i)
            return true;
    return false;
}

/* What was summed over before comes first, then what moves the window. */
static void write_box(Turn *t)
{
    const Equation *q = &t->from;
    int outer = equation_outer(q);

    equation_set_box(&t->to, q->nbox - outer, q->box + outer);
    for (int k = 0; k < outer; k++)
        if (!is_solved(t, q->box[k]))
            equation_add_index(&t->to, q->box[k]);
    for (int k = 0; k < t->turns.n; k++)
        equation_add_index(&t->to, t->turns.at[k]);
}

static void turn_round(Graph *g, Equation *q)
{
    Turn t = {.arena = g->arena, .from = *q, .to = *q};

    t.sums = q->nbox > equation_outer(q) || !subscripts_injective(q->at, q->out->rank, q->box, q->nbox);

    better_indices(&t);
    solve_axes(&t);
    write_value(&t);
    t.to.padded = false;
    write_box(&t);
    double before = box_points(q) + (double)tensor_count(q->out);
    if (t.guesses && box_points(&t.to) > 4 * before)
        return;
    *q = t.to;
    reduction_to_map(g->arena, q);
}

void graph_gather(Graph *g)
{
    LIST(Equation *) done = {0};

    graph_move_windows(g);
    for (int i = 0; i < g->equations.n; i++) {
        Equation *q = g->equations.at[i], *sum;
        if (q->how == EQ_SUM && equation_covers(q)) {
            reduction_to_map(g->arena, q);
        } else if (q->how == EQ_SUM) {
            drop_single_indices(g, q);
            if ((sum = sum_before_spreading(g, q)))
                PUSH(g->arena, done, sum);
            turn_round(g, q);
        }
        PUSH(g->arena, done, q);
    }
    g->equations.at = done.at;
    g->equations.n = done.n;
    g->equations.room = done.room;
}
