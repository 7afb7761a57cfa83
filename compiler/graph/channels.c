/* channels.c -- of one sample: pictures with their channels last, and the weights likewise.
 *
 * Where samples stand side by side, any order of axes is as good as another. One sample is carried out fastest with
 * sixteen channels side by side, whatever the picture's width. In a sum
 *
 *     y[o,i,j] = sum[c,p,q] w[o,c,p,q] * x?[c,i+p,j+q]
 *
 * the channels are o of y and c of x. Such a y and x, and what maps and windows make of them, become y[i,j,o] and
 * x[i,j,c], unless somebody joins or parts channels (concat); the weights get a copy w[c,p,q,o].
 *
 * needs:  the graph of one sample, fused; leaves all others alone
 * leaves: tensors with another order of axes; copies of weights, by equations that know nothing but weights; flat results
 *         of reductions made with all their axes and copied, which costs nothing where the order stays */
#include "graph/rewrite.h"

enum { LEAST_CHANNELS = 16, LEAST_USES = 8 /* of a weight, that its copy is worth reading */ };
enum { UNKNOWN = -1, STAYS = -2 };

typedef struct Channels {
    Graph *g;
    Arena *arena;
    int *last;      /* by tensor id: the axis that is to be the last, or UNKNOWN, STAYS */
    const bool *weights; /* by tensor id: follows from parameters and states alone */
    bool changed;
    unsigned walk;
    LIST(Equation *) done;
} Channels;

static bool is_plain(const Expr *e) { return e->kind == EXPR_INDEX; }

/* The axis at which index x stands alone, or -1. */
static int axis_of(Expr *const *at, int rank, const Index *x)
{
    for (int a = 0; a < rank; a++)
        if (is_plain(at[a]) && at[a]->index == x)
            return a;
    return -1;
}

static bool has_index(Expr *const *at, int rank, const Index *x)
{
    for (int a = 0; a < rank; a++)
        if (expr_has_index(at[a], x))
            return true;
    return false;
}

static bool is_free(const Tensor *t) { return t->role == ROLE_TEMP && !t->wanted && !t->integer && t->rank > 1; }

static void set_last(Channels *s, const Tensor *t, int axis)
{
    int *last = &s->last[t->id];

    if (!is_free(t) || s->weights[t->id] || *last == axis || *last == STAYS)
        return;
    *last = *last == UNKNOWN ? axis : STAYS;
    s->changed = true;
}

static void keep(Channels *s, const Tensor *t)
{
    s->changed |= s->last[t->id] != STAYS;
    s->last[t->id] = STAYS;
}

/* --- flat results --- */

static bool is_flat(const Equation *q)
{
    bool channels = false;

    for (int i = 0; i < equation_outer(q); i++)
        channels |= q->box[i]->size >= LEAST_CHANNELS;
    return q->how != EQ_MAP && q->out->role == ROLE_TEMP && !q->out->integer && q->out->rank == 1 && !is_plain(q->at[0]) &&
           equation_outer(q) > 1 && equation_outer(q) <= MAX_RANK && channels && !q->padded && equation_covers(q);
}

/* f[c*H*W + i*W + j] = max[p,q] ... has no axis of channels: it becomes a copy of the same with axes c, i and j. */
static void part_flat(Channels *s, Equation *q)
{
    int rank = equation_outer(q);
    int64_t size[MAX_RANK];
    Expr *own[MAX_RANK];
    Rename r = {.nindex = rank};
    Equation *flat = NEW(s->arena, Equation);

    *flat = (Equation){.out = q->out, .how = EQ_MAP, .layer = q->layer, .where = q->where};
    for (int i = 0; i < rank; i++) {
        size[i] = q->box[i]->size;
        r.from[i] = q->box[i];
        own[i] = r.to[i] = expr_index(s->arena, index_new(s->arena, q->box[i]->name, size[i]));
    }
    flat->at[0] = expr_rename(s->arena, q->at[0], &r);
    for (int i = 0; i < rank; i++)
        q->at[i] = expr_index(s->arena, q->box[i]);
    q->out = graph_tensor(s->g, arena_print(s->arena, "%s.axes", q->out->name), ROLE_TEMP, rank, size);
    q->out->where = q->where;
    flat->value = expr_load(s->arena, q->out, own, false);
    equation_set_box(flat, 0, NULL);
    PUSH(s->arena, s->done, q);
    PUSH(s->arena, s->done, flat);
}

/* The new list of equations is the graph's. */
static void take_done(Channels *s)
{
    s->g->equations.at = s->done.at;
    s->g->equations.n = s->done.n;
    s->g->equations.room = s->done.room;
    s->done.at = NULL;
    s->done.n = s->done.room = 0;
}

static void part_all_flat(Channels *s)
{
    for (int i = 0; i < s->g->equations.n; i++) {
        Equation *q = s->g->equations.at[i];
        if (is_flat(q))
            part_flat(s, q);
        else
            PUSH(s->arena, s->done, q);
    }
    take_done(s);
}

/* --- which axes are channels --- */

/* The product that q adds up, of weights and something else: which of them are the weights, or -1. */
static int weights_of(const Channels *s, const Equation *q)
{
    const Expr *v = q->value;

    if (q->how != EQ_SUM || !expr_is(v, OP_mul) || v->args[0]->kind != EXPR_LOAD || v->args[1]->kind != EXPR_LOAD)
        return -1;
    for (int k = 0; k < 2; k++)
        if (s->weights[v->args[k]->tensor->id] && !s->weights[v->args[1 - k]->tensor->id] && !v->args[k]->tensor->integer)
            return k;
    return -1;
}

static void find_channels(Channels *s, const Equation *q)
{
    int k = weights_of(s, q), outer = equation_outer(q);

    if (k < 0)
        return;
    const Expr *w = q->value->args[k], *x = q->value->args[1 - k];
    for (int i = 0; i < q->nbox; i++) {
        const Index *c = q->box[i];
        int axis = i < outer ? axis_of(q->at, q->out->rank, c) : axis_of(x->args, x->nargs, c);
        if (c->size < LEAST_CHANNELS || axis < 0 || axis_of(w->args, w->nargs, c) < 0)
            continue;
        if (i >= outer)
            set_last(s, x->tensor, axis);
        else if (!has_index(x->args, x->nargs, c))
            set_last(s, q->out, axis);
    }
}

/* --- what maps pass on, and who must agree --- */

typedef struct Agreement {
    Channels *s;
    const Equation *q;
} Agreement;

/* What is read has the channels of what is made. */
static void pass_on(const Expr *load, void *user)
{
    const Agreement *m = user;
    const Tensor *t = load->tensor, *out = m->q->out;
    int axis = m->s->last[out->id], from = m->s->last[t->id];

    if (axis >= 0 && from == UNKNOWN && is_plain(m->q->at[axis])) {
        int k = axis_of(load->args, load->nargs, m->q->at[axis]->index);
        if (k >= 0)
            set_last(m->s, t, k);
    }
    if (from >= 0 && axis == UNKNOWN && is_plain(load->args[from])) {
        int k = axis_of(m->q->at, out->rank, load->args[from]->index);
        if (k >= 0)
            set_last(m->s, out, k);
    }
}

/* The index over which the neighbours of q's result go, or NULL. */
static const Index *last_index(const Channels *s, const Equation *q)
{
    int rank = q->out->rank, last = s->last[q->out->id];
    const Expr *e = rank ? q->at[last >= 0 ? last : rank - 1] : NULL;

    return e && is_plain(e) ? e->index : NULL;
}

/* Channels that are read side by side are made side by side, or added up; those that are made are read so, but for what
 * the caller gives, which is turned once. */
static void agree(const Expr *load, void *user)
{
    const Agreement *m = user;
    Channels *s = m->s;
    const Equation *q = m->q;
    const Tensor *t = load->tensor;
    const Index *made = last_index(s, q);
    int from = s->last[t->id], axis = s->last[q->out->id];

    if (from >= 0) {
        const Index *c = is_plain(load->args[from]) ? load->args[from]->index : NULL;
        bool fine = c && c->size <= t->size[from];
        if (fine && axis_of(q->at, q->out->rank, c) >= 0)
            fine = c == made;
        else if (fine && !has_index(q->at, q->out->rank, c))
            fine = weights_of(s, q) >= 0 && made && made->size >= LEAST_CHANNELS && !has_index(load->args, load->nargs, made);
        if (!fine)
            keep(s, t);
    }
    if (axis >= 0 && t->rank > 1 && !s->weights[t->id] && t->role != ROLE_INPUT && has_index(load->args, load->nargs, made)) {
        int last = s->last[t->id] >= 0 ? s->last[t->id] : t->rank - 1;
        if (!is_plain(load->args[last]) || load->args[last]->index != made)
            keep(s, q->out);
    }
}

static void find_all(Channels *s)
{
    Graph *g = s->g;

    for (int i = 0; i < g->equations.n; i++)
        find_channels(s, g->equations.at[i]);
    for (int step = 0; step < 2; step++)
        do {
            s->changed = false;
            for (int i = 0; i < g->equations.n; i++) {
                const Equation *q = g->equations.at[i];
                int axis = s->last[q->out->id];
                if (step && axis >= 0 && !is_plain(q->at[axis]))
                    keep(s, q->out);
                else
                    equation_loads(q, step ? agree : pass_on, &(Agreement){s, q});
            }
        } while (s->changed);
}

/* --- turning --- */

/* Subscripts of a load or of a result, that of the axis last. */
static void move_last(Expr **at, int rank, int axis)
{
    Expr *moved = at[axis];

    memmove(&at[axis], &at[axis + 1], (size_t)(rank - axis - 1) * sizeof *at);
    at[rank - 1] = moved;
}

static void turn_tensor(Tensor *t, int axis)
{
    int64_t moved = t->size[axis];

    memmove(&t->size[axis], &t->size[axis + 1], (size_t)(t->rank - axis - 1) * sizeof *t->size);
    t->size[t->rank - 1] = moved;
}

/* Weights with this axis last: an old copy, or a new one before the equation at hand. */
static Tensor *copy_of(Channels *s, Tensor *t, int axis, const Equation *q)
{
    const char *name = arena_print(s->arena, "%s.last%d", t->name, axis);
    Tensor *copy = graph_find(s->g, name);

    if (copy)
        return copy;
    Equation *made = NEW(s->arena, Equation);
    *made = (Equation){.how = EQ_MAP, .layer = q->layer, .where = q->where};
    for (int a = 0; a < t->rank; a++)
        made->at[a] = expr_index(s->arena, index_new(s->arena, arena_print(s->arena, "i%d", a), t->size[a]));
    made->value = expr_load(s->arena, t, made->at, false);
    move_last(made->at, t->rank, axis);
    made->out = copy = graph_tensor(s->g, name, ROLE_TEMP, t->rank, t->size);
    turn_tensor(copy, axis);
    copy->where = t->where;
    equation_set_box(made, 0, NULL);
    PUSH(s->arena, s->done, made);
    return copy;
}

/* The axis of weights that q wants last, or -1. */
static int wanted_last(const Channels *s, const Equation *q, const Expr *load)
{
    const Tensor *t = load->tensor;
    const Index *made = last_index(s, q);
    int k = weights_of(s, q), axis = made ? axis_of(load->args, load->nargs, made) : -1;
    double points = 1;

    if (!s->weights[t->id] || t->integer || load->padded || axis < 0 || axis == t->rank - 1 || made->size < LEAST_CHANNELS)
        return -1;
    for (int i = 0; i < q->nbox; i++)
        points *= (double)q->box[i]->size;
    bool picture = k >= 0 && s->last[q->value->args[1 - k]->tensor->id] >= 0;
    return s->last[q->out->id] >= 0 || picture || (k >= 0 && points >= LEAST_USES * (double)tensor_count(t)) ? axis : -1;
}

static Expr *turned(Channels *s, const Equation *q, Expr *e);

static Expr *image_of(Channels *s, const Equation *q, Expr *e)
{
    Expr *args[MAX_RANK];
    bool changed = false;

    for (int i = 0; i < e->nargs; i++) {
        args[i] = turned(s, q, e->args[i]);
        changed |= args[i] != e->args[i];
    }
    if (e->kind == EXPR_LOAD) {
        int axis = s->last[e->tensor->id];
        Tensor *t = e->tensor;
        if (axis < 0 && (axis = wanted_last(s, q, e)) >= 0)
            t = copy_of(s, t, axis, q);
        if (axis >= 0)
            move_last(args, t->rank, axis);
        return axis >= 0 || changed ? expr_load(s->arena, t, args, e->padded) : e;
    }
    return !changed ? e : e->kind == EXPR_OP ? expr_apply(s->arena, e->op, args) : expr_random(s->arena, (uint32_t)e->number, args[0]);
}

static Expr *turned(Channels *s, const Equation *q, Expr *e)
{
    if (e->walk == s->walk)
        return e->image;
    Expr *image = image_of(s, q, e);
    e->walk = s->walk;
    return e->image = image;
}

static void turn_equation(Channels *s, Equation *q)
{
    int axis = s->last[q->out->id], outer = equation_outer(q), reduced = q->nbox - outer;
    Index *others[MAX_BOX];

    s->walk = expr_walk();
    Expr *value = turned(s, q, q->value), *tail = q->tail ? turned(s, q, q->tail) : NULL;
    q->value = value;
    q->tail = tail;
    if (axis >= 0)
        move_last(q->at, q->out->rank, axis);
    memcpy(others, &q->box[outer], sizeof others[0] * (size_t)reduced);
    equation_set_box(q, reduced, others);
    PUSH(s->arena, s->done, q);
}

void graph_channels(Graph *g)
{
    Channels s = {.g = g, .arena = g->arena};

    if (!g->single)
        return;
    part_all_flat(&s);
    int n = g->tensors.n;
    s.last = NEW_ARRAY(g->arena, int, n + 1);
    s.weights = graph_weights(g);
    for (int i = 0; i < n; i++)
        s.last[i] = UNKNOWN;
    find_all(&s);
    for (int i = 0; i < n; i++)
        if (s.last[i] == g->tensors.at[i]->rank - 1)
            s.last[i] = STAYS; /* it is the last already */
    for (int i = 0; i < g->equations.n; i++)
        turn_equation(&s, g->equations.at[i]);
    for (int i = 0; i < n; i++)
        if (s.last[i] >= 0)
            turn_tensor(g->tensors.at[i], s.last[i]);
    take_done(&s);
}
