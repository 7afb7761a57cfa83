/* gradient.c -- the derivative of a loss, as further equations of the same kind.
 *
 * For `O[f] = e` or `O[f] += e` over a box, each load T[s] in e gives one contribution
 *
 *     d.T[s] += d.O[f] * (de / dT[s])         over the same box
 *
 * and equations are passed from the last to the first, so that all contributions to d.O are there when O's own
 * equation is reached. Contributions that meet every place of T once are added up in one map; any other is a sum of
 * its own, which scatters where s is compound (the gather pass turns it round) and drops what a padded load read
 * outside. Largest and smallest values go to the first winner: an argmax and a select.
 *
 * needs:  a graph without tails, the loss of rank 0
 * leaves: the equations before as they were; behind them those that make d.NAME, marked backward
 */
#include "graph/chain.h"

typedef struct Part {
    Expr *at[MAX_RANK];
    Expr *value;
    bool padded;
    const Equation *from; /* whose box it is */
} Part;

typedef LIST(Part) Parts;

typedef struct Sweep {
    Graph *g;
    Arena *arena;
    bool *active;      /* by tensor id: depends on something we differentiate by */
    int *readers;      /* by tensor id: how many equations */
    Parts *parts;      /* by tensor id */
    bool *finished;    /* by tensor id: no more parts will come */
    Tensor **gradient; /* by tensor id, when finished: or NULL */
    Expr **constant;   /* by tensor id: the gradient is this number everywhere and needs no tensor */
} Sweep;

static Expr *apply(Arena *a, OpId op, Expr *x, Expr *y)
{
    return expr_apply(a, op_at(op), (Expr *[]){x, y});
}

/* --- adding contributions up --- */

static Index *fresh_index(Sweep *s, const Tensor *t, int axis, const Expr *like)
{
    static const char *const letters[MAX_RANK] = {"i", "j", "k", "l", "m", "n", "p", "q"};

    if (axis == 0 && t->batched)
        return index_batch(s->g);
    return index_new(s->arena, like && like->kind == EXPR_INDEX ? like->index->name : letters[axis], t->size[axis]);
}

static Tensor *gradient_tensor(Sweep *s, const Tensor *t, const char *name)
{
    Tensor *d = graph_tensor(s->g, name, ROLE_TEMP, t->rank, t->size);

    d->batched = t->batched;
    d->where = t->where;
    return d;
}

/* out[at] = sum of value over the rest of from's box: a map when nothing is left to sum. */
static void emit(Sweep *s, Tensor *out, const Part *p)
{
    Equation probe = {.out = out, .value = p->value};
    Expr *value = p->value;

    for (int i = 0; i < out->rank; i++)
        probe.at[i] = p->at[i];
    equation_collect_box(&probe);
    /* A sum over an index that stands nowhere is a product with its size. */
    for (int i = 0; p->from && i < p->from->nbox; i++) {
        bool stands = false;
        for (int k = 0; k < probe.nbox; k++)
            stands |= probe.box[k] == p->from->box[i];
        if (!stands)
            value = chain_times(s->arena, value, expr_number(s->arena, (double)p->from->box[i]->size));
    }
    Equation *q = graph_equation(s->g, out, p->at, EQ_SUM, value);
    q->padded = p->padded;
    q->backward = true;
    if (p->from) {
        q->layer = p->from->layer;
        q->where = p->from->where;
    }
    if (equation_outer(q) == q->nbox && equation_covers(q))
        q->how = EQ_MAP;
}

/* One point of the box for each place of t. */
static bool is_plain(const Tensor *t, const Part *p)
{
    if (p->padded || !subscripts_plain(p->at, t->rank, t->size))
        return false;
    for (int i = 0; p->from && i < p->from->nbox; i++) {
        bool stands = false;
        for (int k = 0; k < t->rank; k++)
            stands |= p->at[k]->kind == EXPR_INDEX && p->at[k]->index == p->from->box[i];
        if (!stands)
            return false;
    }
    return true;
}

/* The part's value where its place is `at`. */
static Expr *value_at(Sweep *s, const Tensor *t, const Part *p, Expr *const *at)
{
    Rename r = {0};

    for (int k = 0; k < t->rank; k++)
        if (p->at[k]->kind == EXPR_INDEX) {
            r.from[r.nindex] = p->at[k]->index;
            r.to[r.nindex++] = at[k];
        }
    return expr_rename(s->arena, p->value, &r);
}

/* All parts of t in one part; those that are no maps become tensors of their own. */
static Part join(Sweep *s, const Tensor *t)
{
    const Parts *parts = &s->parts[t->id];
    Part all = {.value = NULL};
    const Part *first = &parts->at[0];

    for (int i = 1; i < parts->n && !is_plain(t, first); i++)
        first = &parts->at[i];
    for (int k = 0; k < t->rank; k++)
        all.at[k] = expr_index(s->arena, fresh_index(s, t, k, first->at[k]));
    for (int i = 0; i < parts->n; i++) {
        const Part *p = &parts->at[i];
        Expr *value;
        if (is_plain(t, p)) {
            value = value_at(s, t, p, all.at);
        } else {
            Tensor *own = gradient_tensor(s, t, arena_print(s->arena, "d.%s.via.%s", t->name, p->from->out->name));
            emit(s, own, p);
            value = expr_load(s->arena, own, all.at, false);
        }
        all.value = chain_plus(s->arena, all.value, value);
    }
    return all;
}

static Tensor *materialise(Sweep *s, const Tensor *t, const Part *p)
{
    Tensor *d = gradient_tensor(s, t, arena_print(s->arena, "d.%s", t->name));

    emit(s, d, p);
    if (!p->from) {
        Equation *q = s->g->equations.at[s->g->equations.n - 1];
        const Equation *reader = s->parts[t->id].at[0].from;
        q->layer = reader ? reader->layer : NULL;
        q->where = reader ? reader->where : t->where;
    }
    return d;
}

/* The tensor whose copy the part is, or NULL. */
static Tensor *copied(const Tensor *t, const Part *p)
{
    const Expr *e = p->value;

    if (e->kind != EXPR_LOAD || e->padded || t->role != ROLE_TEMP || !is_plain(t, p) || e->tensor->rank != t->rank ||
        e->tensor->batched != t->batched || memcmp(e->tensor->size, t->size, sizeof *t->size * (size_t)t->rank) != 0)
        return NULL;
    for (int k = 0; k < t->rank; k++)
        if (!expr_same(e->args[k], p->at[k]))
            return NULL;
    return e->tensor;
}

/* No more parts will come for t: its gradient becomes a tensor, a constant, or nothing. */
static void finish(Sweep *s, const Tensor *t)
{
    const Parts *parts = &s->parts[t->id];

    if (s->finished[t->id])
        return;
    s->finished[t->id] = true;
    if (parts->n == 0)
        return;
    Part all = parts->n == 1 ? parts->at[0] : join(s, t);
    if (!all.value)
        return;
    if (all.value->kind == EXPR_NUMBER && (parts->n > 1 || is_plain(t, &all)))
        s->constant[t->id] = all.value;
    else if (parts->n == 1 && copied(t, &all))
        s->gradient[t->id] = copied(t, &all);
    else
        s->gradient[t->id] = materialise(s, t, &all);
}

/* The gradient of t as a tensor, or NULL. */
static Tensor *gradient_of(Sweep *s, const Tensor *t)
{
    finish(s, t);
    if (s->constant[t->id] && !s->gradient[t->id]) {
        Part p = {.value = s->constant[t->id]};
        for (int k = 0; k < t->rank; k++)
            p.at[k] = expr_index(s->arena, fresh_index(s, t, k, NULL));
        s->gradient[t->id] = materialise(s, t, &p);
    }
    return s->gradient[t->id];
}

/* --- one equation --- */

/* Position of a point among the reduced indices, row-major, as EQ_ARGMAX counts. */
static Expr *position(Sweep *s, const Equation *q)
{
    Affine f = {0};
    int64_t stride = 1;

    for (int k = q->nbox, outer = equation_outer(q); k-- > outer; stride *= q->box[k]->size) {
        f.index[f.n] = q->box[k];
        f.coef[f.n++] = stride;
    }
    for (int i = 0, j = f.n - 1; i < j; i++, j--) { /* outermost first, for readers */
        Index *x = f.index[i];
        int64_t c = f.coef[i];
        f.index[i] = f.index[j], f.coef[i] = f.coef[j];
        f.index[j] = x, f.coef[j] = c;
    }
    return affine_expr(s->arena, &f);
}

/* The gradient of a largest or smallest value goes to its first winner: select(arg.y == position, g, 0). */
static Expr *winner_takes(Sweep *s, const Equation *q, Expr *g)
{
    if (equation_outer(q) == q->nbox)
        return g;
    Tensor *arg = gradient_tensor(s, q->out, arena_print(s->arena, "arg.%s", q->out->name));
    arg->integer = true;
    arg->below = 1;
    for (int k = equation_outer(q); k < q->nbox; k++)
        arg->below *= q->box[k]->size;

    Expr *value = q->how == EQ_MIN ? apply(s->arena, OP_neg, q->value, NULL) : q->value;
    Equation *find = graph_equation(s->g, arg, q->at, EQ_ARGMAX, value);
    find->nbox = q->nbox; /* the same indices in the same order: positions must agree */
    memcpy(find->box, q->box, sizeof q->box);
    find->layer = q->layer;
    find->where = q->where;
    find->backward = true;
    Expr *won = apply(s->arena, OP_eq, expr_load(s->arena, arg, q->at, false), position(s, q));
    return chain_choose(s->arena, won, g, NULL);
}

/* The product of all other factors: y / e would not be a number where a factor is 0. It costs a product for every
 * point, so factors should be few. NULL when it would need too many axes, or speaks of two samples at once. */
static Expr *other_factors(Sweep *s, const Equation *q)
{
    int64_t size[MAX_RANK];
    Expr *at[MAX_RANK], *same = expr_number(s->arena, 1);
    Rename fresh = {0};
    int outer = equation_outer(q);

    if (q->nbox > MAX_RANK)
        return NULL;
    for (int k = 0; k < q->nbox; k++) {
        Index *x = q->box[k];
        if (x->batch && (k >= outer || k > 0))
            return NULL;
        size[k] = x->size;
        at[k] = expr_index(s->arena, x);
        if (k < outer)
            continue;
        fresh.from[fresh.nindex] = x;
        fresh.to[fresh.nindex] = expr_index(s->arena, index_new(s->arena, x->name, x->size));
        same = apply(s->arena, OP_and, same, apply(s->arena, OP_eq, at[k], fresh.to[fresh.nindex]));
        fresh.nindex++;
    }
    Tensor *t = graph_tensor(s->g, arena_print(s->arena, "others.%s", q->out->name), ROLE_TEMP, q->nbox, size);
    t->batched = q->nbox > 0 && q->box[0]->batch;
    t->where = q->where;
    Expr *factor = chain_choose(s->arena, same, expr_number(s->arena, 1), expr_rename(s->arena, q->value, &fresh));
    Equation *p = graph_equation(s->g, t, at, EQ_PROD, factor);
    p->layer = q->layer;
    p->where = q->where;
    p->backward = true;
    return expr_load(s->arena, t, at, false);
}

static bool surely_inside(const Expr *load)
{
    for (int i = 0; i < load->nargs; i++) {
        int64_t low, high;
        if (!expr_range(load->args[i], &low, &high) || low < 0 || high >= load->tensor->size[i])
            return false;
    }
    return true;
}

/* The hand-written derivative by t rules while equation number i is passed. */
static bool custom_rules(const Graph *g, int i, const Tensor *t)
{
    for (int k = 0; k < g->customs.n; k++) {
        const CustomGrad *c = g->customs.at[k];
        if (c->in == t && c->first <= i && i < c->last)
            return true;
    }
    return false;
}

/* The contribution to what a load in q reads. */
static Part part_of(const Equation *q, const Expr *load, Expr *value)
{
    Part p = {.value = value, .padded = load->padded && !surely_inside(load), .from = q};

    memcpy(p.at, load->args, sizeof p.at);
    return p;
}

/* Where several loads have the same adjoint, as in tanh(x + bias), it is computed once: it becomes the gradient of one
 * that is read point by point, and the others read that. */
static void share_adjoint(Sweep *s, const Adjoints *all, const Equation *q, int n)
{
    const Expr *load = all->at[n].load;
    Expr *value = all->at[n].adjoint, *shared = NULL;
    Part p = part_of(q, load, value);

    if (value->kind != EXPR_OP || !is_plain(load->tensor, &p))
        return;
    for (int k = 0; k < all->n; k++) {
        if (k == n || !expr_same(all->at[k].adjoint, value))
            continue;
        if (!shared) {
            const char *name = load->tensor->name, *via = q->out->name;
            name = s->readers[load->tensor->id] == 1 ? arena_print(s->arena, "d.%s", name)
                                                     : arena_print(s->arena, "d.%s.via.%s", name, via);
            Tensor *d = gradient_tensor(s, load->tensor, name);
            emit(s, d, &p);
            shared = expr_load(s->arena, d, p.at, false);
        }
        all->at[k].adjoint = shared;
    }
    if (shared)
        all->at[n].adjoint = shared;
}

/* The gradient of the loss by the value of an equation's every point, from that by its result; NULL is zero. */
static Expr *value_gradient(Sweep *s, const Equation *q, Expr *result)
{
    finish(s, q->out);
    Tensor *d = s->gradient[q->out->id];
    Expr *g = d ? expr_load(s->arena, d, q->at, q->padded) : s->constant[q->out->id];

    if (!g || q->how == EQ_ARGMAX)
        return NULL;
    if (q->tail)
        bug("the gradient of '%s' is asked for when it has a tail already", q->out->name);
    if (q->how == EQ_MAX || q->how == EQ_MIN)
        return winner_takes(s, q, g);
    if (q->how == EQ_PROD) {
        Expr *others = other_factors(s, q);
        return chain_times(s->arena, g, others ? others : apply(s->arena, OP_div, result, q->value));
    }
    return g;
}

static void pass_equation(Sweep *s, int number)
{
    const Equation *q = s->g->equations.at[number];
    Expr *result = expr_load(s->arena, q->out, q->at, q->padded);
    Expr *g = value_gradient(s, q, result);
    Adjoints loads = {0};

    if (g)
        loads = chain_back(s->arena, s->active, q->value, g, q->how == EQ_MAP ? result : NULL);
    for (int n = 0; n < loads.n; n++)
        if (!loads.at[n].adjoint || custom_rules(s->g, number, loads.at[n].load->tensor))
            loads.at[n--] = loads.at[--loads.n];
    for (int n = 0; n < loads.n; n++)
        share_adjoint(s, &loads, q, n);
    for (int n = 0; n < loads.n; n++)
        PUSH(s->arena, s->parts[loads.at[n].load->tensor->id], part_of(q, loads.at[n].load, loads.at[n].adjoint));
}

/* The equations of a hand-written derivative, with the gradient of `out` in the place of `dout`. */
static void append_custom(Sweep *s, const CustomGrad *c)
{
    Tensor *d = s->active[c->in->id] ? gradient_of(s, c->out) : NULL;
    Rename r = {.old = c->dout, .fresh = d};
    Part p = {.value = NULL};

    if (!d)
        return;
    for (int i = 0; i < c->equations.n; i++) {
        Equation *q = NEW(s->arena, Equation);
        *q = *c->equations.at[i];
        for (int k = 0; k < q->out->rank; k++)
            q->at[k] = expr_rename(s->arena, q->at[k], &r);
        q->value = expr_rename(s->arena, q->value, &r);
        q->backward = true;
        PUSH(s->arena, s->g->equations, q);
        p.from = q;
    }
    Equation box = {.out = c->in}; /* one point for each place of `in` */
    for (int k = 0; k < c->in->rank; k++) {
        box.box[k] = fresh_index(s, c->in, k, NULL);
        p.at[k] = expr_index(s->arena, box.box[k]);
    }
    box.nbox = c->in->rank;
    if (p.from) {
        box.layer = p.from->layer;
        box.where = p.from->where;
    }
    p.value = expr_load(s->arena, c->din, p.at, false);
    Equation *from = NEW(s->arena, Equation);
    *from = box;
    p.from = from;
    PUSH(s->arena, s->parts[c->in->id], p);
}

/* --- the sweep --- */

/* Whether something active is read: where a derivative by hand rules, in whatever way; else where a gradient flows. */
static bool reads_active(const Sweep *s, Expr *e, bool by_hand, unsigned walk)
{
    if (e->walk == walk)
        return false;
    e->walk = walk;
    if (e->kind == EXPR_LOAD)
        return s->active[e->tensor->id];
    for (int i = 0; e->kind == EXPR_OP && i < e->nargs; i++)
        if ((by_hand || e->op->derivative[i]) && reads_active(s, e->args[i], by_hand, walk))
            return true;
    return false;
}

static void count_readers(Sweep *s, Expr *e, unsigned walk)
{
    if (e->walk == walk)
        return;
    e->walk = walk;
    if (e->kind == EXPR_LOAD)
        s->readers[e->tensor->id]++;
    for (int i = 0; i < e->nargs; i++)
        count_readers(s, e->args[i], walk);
}

static void look_forward(Sweep *s, int number)
{
    const Equation *q = s->g->equations.at[number];
    bool by_hand = false;

    for (int k = 0; k < s->g->customs.n; k++)
        by_hand |= s->g->customs.at[k]->first <= number && number < s->g->customs.at[k]->last;
    count_readers(s, q->value, expr_walk());
    if (by_hand || q->how != EQ_ARGMAX)
        s->active[q->out->id] |= reads_active(s, q->value, by_hand, expr_walk());
}

void graph_gradient(Graph *g, Tensor *loss, int n, Tensor *const *of, Tensor **grad)
{
    size_t tensors = (size_t)g->tensors.n;
    Sweep s = {.g = g,
               .arena = g->arena,
               .active = NEW_ARRAY(g->arena, bool, tensors),
               .readers = NEW_ARRAY(g->arena, int, tensors),
               .parts = NEW_ARRAY(g->arena, Parts, tensors),
               .finished = NEW_ARRAY(g->arena, bool, tensors),
               .gradient = NEW_ARRAY(g->arena, Tensor *, tensors),
               .constant = NEW_ARRAY(g->arena, Expr *, tensors)};
    int last = g->equations.n;

    for (int i = 0; i < n; i++)
        s.active[of[i]->id] = true;
    for (int i = 0; i < last; i++)
        look_forward(&s, i);
    PUSH(s.arena, s.parts[loss->id], ((Part){.value = expr_number(s.arena, 1)}));
    for (int i = last; i-- > 0;) {
        pass_equation(&s, i);
        for (int k = 0; k < g->customs.n; k++)
            if (g->customs.at[k]->first == i)
                append_custom(&s, g->customs.at[k]);
    }
    for (int i = 0; i < n; i++)
        grad[i] = gradient_of(&s, of[i]);
}
