/* winograd.c -- 3 x 3 windows with fewer multiplications (Winograd's F(4 x 4, 3 x 3) and F(2 x 2, 3 x 3)).
 *
 * A sum over channels and a window of nine, at stride 1, with a tail or without,
 *
 *     y[b,o,i,j] = tail(sum[c,p,q] w[o,c,p,q] * x?[b,c,i+p-1,j+q-1])
 *
 * or the same with the window turned round (i+1-p: the gradient of the former), is cut into tiles of m x m results.
 * A tile needs n x n elements of x, n = m + 2, and instead of 9 m^2 products for each pair of channels n^2:
 *
 *     U[a,e,c,o] = (G w G')[a,e]            of each pair of channels: once for all samples
 *     V[b,a,e,ti,tj,c] = (B' x B)[a,e]      of tile ti, tj, n x n elements
 *     M[b,a,e,ti,tj,o] = sum[c] U[a,e,c,o] * V[b,a,e,ti,tj,c]
 *     y[b,o,m*ti+u,m*tj+v] = tail((A' M A)[u,v])     those beyond the edge are dropped
 *
 * The gradient of the weights is the same turned round: what was made of w makes w, what made y is made of g,
 *
 *     w[o,c,p,q] = tail(sum[b,i,j] g[b,o,i,j] * x?[b,c,i+p-1,j+q-1])
 *
 *     V[b,a,e,c,r,t] = (B' x B)[a,e]        as above, tiles side by side: t of strip r, which is some rows of them
 *     D[b,a,e,o,r,t] = (A g A')[a,e]        of such a tile, m x m elements, 0 beyond the edge
 *     S[a,e,o,c] = sum[b,r,t] D[b,a,e,o,r,t] * V[b,a,e,c,r,t]
 *     W[o,c,p,q] = (G' S G)[p,q]
 *     w[o,c,p,q] = tail(W[o,c,p,q])
 *
 * needs:  fused equations: the tail stays a tail; many samples, so that U is worth making
 * leaves: four or five equations where a window pays (is_worth_it), the last of which makes the old result. In floats the
 *         results differ from the direct sum's: SPEC.md (16.5) says by how much. */
#include "graph/rewrite.h"
#include "graph/transform.h"

enum { LEAST_CHANNELS = 16, LEAST_SAMPLES = 16 };

/* The equation as a window, by the roles of its indices. */
typedef struct Window {
    Equation *q;
    bool gradient;                  /* of the weights */
    const Expr *x, *w;              /* the loads: of the picture; of the weights, or in their gradient of the result's */
    Index *batch, *out, *place[2];  /* b, o, i and j */
    Index *channel, *step[2];       /* c, p and q */
    bool turned[2];                 /* the window's step is subtracted */
    const Method *method;
} Window;

typedef struct Winograd {
    Graph *graph;
    Arena *arena;
    LIST(Equation *) done;
} Winograd;

/* --- recognition --- */

static bool is_reduced(const Equation *q, const Index *i)
{
    for (int k = equation_outer(q); k < q->nbox; k++)
        if (q->box[k] == i)
            return true;
    return false;
}

/* i + p + number or i - p + number: i of the result, p one of three that are summed, or the other way round. */
static bool is_place(const Window *w, const Expr *e, Index **place, Index **step, bool *turned)
{
    Affine f;

    if (!expr_affine(e, &f) || f.n != 2)
        return false;
    int k = is_reduced(w->q, f.index[0]) != w->gradient ? 0 : 1;
    *step = f.index[k];
    *place = f.index[1 - k];
    *turned = f.coef[k] == -1;
    return is_reduced(w->q, *step) != w->gradient && is_reduced(w->q, *place) == w->gradient && !(*place)->batch &&
           f.coef[1 - k] == 1 && (f.coef[k] == 1 || (*turned && !w->gradient)) && (*step)->size == WINDOW;
}

/* x[b, c, place, place], in any order but for the samples. */
static bool is_picture(Window *w, const Expr *x)
{
    int places = 0;

    if (x->kind != EXPR_LOAD || !x->tensor->batched || x->tensor->integer || x->tensor->rank != 4 ||
        x->args[0]->kind != EXPR_INDEX || x->args[0]->index != w->batch)
        return false;
    w->channel = NULL;
    for (int k = 1; k < 4; k++)
        if (x->args[k]->kind == EXPR_INDEX && is_reduced(w->q, x->args[k]->index) != w->gradient && !w->channel)
            w->channel = x->args[k]->index;
        else if (places == 2 || !is_place(w, x->args[k], &w->place[places], &w->step[places], &w->turned[places]))
            return false;
        else
            places++;
    w->x = x;
    return w->channel && places == 2 && w->place[0] != w->place[1] && w->step[0] != w->step[1];
}

/* The other factor: w[o, c, p, q], or g[b, o, i, j], in any order but for the samples. */
static bool is_other(const Window *w, const Expr *e)
{
    const Index *weight[4] = {w->out, w->channel, w->step[0], w->step[1]};
    const Index *result[4] = {w->batch, w->out, w->place[0], w->place[1]}, **want = w->gradient ? result : weight;

    if (e->kind != EXPR_LOAD || e->tensor->batched != w->gradient || e->tensor->integer || e->padded || e->tensor->rank != 4)
        return false;
    for (int i = 0; i < 4; i++) {
        bool found = false;
        for (int k = 0; k < 4; k++)
            found |= e->args[k]->kind == EXPR_INDEX && e->args[k]->index == want[i];
        if (!found)
            return false;
    }
    return !w->gradient || e->args[0]->index == w->batch;
}

static bool is_window(Window *w, Equation *q)
{
    *w = (Window){.q = q, .gradient = !q->out->batched};
    if (q->how != EQ_SUM || q->padded || q->out->rank != 4 || q->nbox != 7 || equation_outer(q) != 4 ||
        !subscripts_plain(q->at, 4, q->out->size) || !expr_is(q->value, OP_mul))
        return false;
    for (int k = 0; k < q->nbox; k++)
        if (q->box[k]->batch)
            w->batch = q->box[k];
    if (!is_picture(w, q->value->args[0]) && !is_picture(w, q->value->args[1]))
        return false;
    for (int k = 0; k < 4; k++) {
        Index *i = q->at[k]->index;
        if (w->gradient ? i != w->channel && i != w->step[0] && i != w->step[1]
                        : i != w->batch && i != w->place[0] && i != w->place[1])
            w->out = i;
    }
    w->w = q->value->args[w->x == q->value->args[0]];
    return w->out && is_other(w, w->w);
}

/* --- is it worth it? --- */

/* In multiplications of sixteen samples: what one element of V, D or M costs to make, to write and to read again, and
 * one of U or S. Measured on a processor whose second-level cache most V and M exceed. */
enum { COST_OF_PLACE = 16, COST_OF_WEIGHT = 2 };

static int64_t tiles_of(const Window *w, const Method *m, int axis)
{
    return (w->place[axis]->size + m->m - 1) / m->m;
}

static bool is_worth_it(const Graph *g, Window *w)
{
    double in = (double)w->channel->size, out = (double)w->out->size;
    double least = 9 * in * out * (double)w->place[0]->size * (double)w->place[1]->size;
    double blocks = (double)((g->batch + LEAST_SAMPLES - 1) / LEAST_SAMPLES);

    if (in < LEAST_CHANNELS || out < LEAST_CHANNELS || g->batch < LEAST_SAMPLES)
        return false;
    for (int i = 0; i < nmethods; i++) {
        const Method *way = &methods[i];
        double points = (double)(way->n * way->n), tiles = (double)tiles_of(w, way, 0) * (double)tiles_of(w, way, 1);
        double cost = points * (tiles * (in * out + COST_OF_PLACE * (in + out)) + COST_OF_WEIGHT * in * out / blocks);
        if (cost >= least)
            continue;
        least = cost;
        w->method = way;
    }
    return w->method != NULL;
}

/* --- indices --- */

static Expr *number(Arena *a, int64_t x) { return expr_number(a, (double)x); }

static void rename_to(Rename *r, Index *from, Expr *to)
{
    r->from[r->nindex] = from;
    r->to[r->nindex++] = to;
}

static Index *index_like(const Winograd *p, const Index *i)
{
    Index *own = index_new(p->arena, i->name, i->size);

    own->batch = i->batch;
    return own;
}

/* The window's step at row k. */
static Expr *step_at(const Winograd *p, const Window *w, int axis, int k)
{
    return number(p->arena, w->turned[axis] ? WINDOW - 1 - k : k);
}

/* factor * e + more */
static Expr *scaled(const Winograd *p, int64_t factor, Expr *e, Expr *more)
{
    return expr_simplify(p->arena, expr_op(p->arena, "add", expr_op(p->arena, "mul", number(p->arena, factor), e, NULL), more, NULL));
}

static Expr *new_tile(const Winograd *p, const Window *w, int axis)
{
    const char *name = arena_print(p->arena, "t%s", w->place[axis]->name);

    return expr_index(p->arena, index_new(p->arena, name, tiles_of(w, w->method, axis)));
}

/* A strip of tiles for a sum over tiles and samples: so many rows that what is added in one strip is more than what it costs
 * to add up its samples. */
enum { LEAST_IN_STRIP = 8 };

static int64_t rows_in_strip(const Window *w)
{
    int64_t all = tiles_of(w, w->method, 0), rows = 1;

    while (rows < all && (all % rows != 0 || rows * tiles_of(w, w->method, 1) < LEAST_IN_STRIP))
        rows++;
    return rows;
}

static void new_points(const Winograd *p, const Window *w, Index **point)
{
    point[0] = index_new(p->arena, "a", w->method->n);
    point[1] = index_new(p->arena, "e", w->method->n);
}

/* --- what is transformed --- */

/* A load of the old equation, with other indices. */
typedef struct Taken {
    const Winograd *p;
    const Window *w;
    const Expr *load;
    Rename others; /* of what is neither a place nor the window's */
    Expr *tile[2]; /* its row and column */
} Taken;

static Expr *weight_at(int k, int l, const void *user)
{
    const Taken *s = user;
    Rename r = s->others;

    rename_to(&r, s->w->step[0], step_at(s->p, s->w, 0, k));
    rename_to(&r, s->w->step[1], step_at(s->p, s->w, 1, l));
    return expr_place(s->p->arena, (Expr *)s->load, &r);
}

/* Of the picture or of the result's gradient: every row goes with every column. */
typedef struct Places {
    Arena *arena;
    const Expr *load;
    Expr *at[MAX_RANK]; /* what is neither row nor column */
    int axis[2];        /* of the tensor */
    Expr *place[2][MOST_POINTS];
    bool outside[2][MOST_POINTS]; /* it may be */
} Places;

static void find_place(Places *s, const Taken *t, int axis, int k)
{
    const Window *w = t->w;
    Rename r = t->others;
    int64_t low, high;

    rename_to(&r, w->place[axis], scaled(t->p, w->method->m, t->tile[axis], number(s->arena, k)));
    rename_to(&r, w->step[axis], step_at(t->p, w, axis, 0));
    Expr *e = expr_place(s->arena, t->load->args[s->axis[axis]], &r);
    s->place[axis][k] = e;
    s->outside[axis][k] = !expr_range(e, &low, &high) || low < 0 || high >= t->load->tensor->size[s->axis[axis]];
}

static Places find_places(const Taken *t, int points)
{
    Places s = {.arena = t->p->arena, .load = t->load};

    for (int a = 0; a < t->load->nargs; a++)
        s.at[a] = expr_place(s.arena, t->load->args[a], &t->others);
    for (int axis = 0; axis < 2; axis++) {
        while (!expr_has_index(t->load->args[s.axis[axis]], t->w->place[axis]))
            s.axis[axis]++;
        for (int k = 0; k < points; k++)
            find_place(&s, t, axis, k);
    }
    return s;
}

static Expr *place_at(int k, int l, const void *user)
{
    const Places *s = user;
    Expr *at[MAX_RANK];

    memcpy(at, s->at, sizeof at);
    at[s->axis[0]] = s->place[0][k];
    at[s->axis[1]] = s->place[1][l];
    return expr_load(s->arena, s->load->tensor, at, s->outside[0][k] || s->outside[1][l]);
}

/* Sums of products: a tensor with two axes of points, from axis `first` on. */
typedef struct Points {
    Arena *arena;
    Tensor *tensor;
    int first;
    Expr *at[6];
} Points;

static Expr *point_at(int k, int l, const void *user)
{
    const Points *s = user;
    Expr *at[6];

    memcpy(at, s->at, sizeof at);
    at[s->first] = number(s->arena, k);
    at[s->first + 1] = number(s->arena, l);
    return expr_load(s->arena, s->tensor, at, false);
}

/* --- the equations --- */

/* out[at] = value, like w's equation otherwise. */
static Equation *add_equation(Winograd *p, const Window *w, const char *name, int rank, Expr *const *at, How how, Expr *value)
{
    Equation *q = NEW(p->arena, Equation);
    int64_t size[MAX_RANK];

    *q = (Equation){.how = how, .value = value, .layer = w->q->layer, .where = w->q->where, .backward = w->q->backward};
    for (int k = 0; k < rank; k++) {
        int64_t low, high;
        if (!expr_range(at[k], &low, &high))
            bug("a subscript of no range");
        size[k] = high + 1;
        q->at[k] = at[k];
    }
    q->out = graph_tensor(p->graph, arena_print(p->arena, "%s.%s", w->q->out->name, name), ROLE_TEMP, rank, size);
    q->out->where = w->q->where;
    q->out->batched = at[0]->kind == EXPR_INDEX && at[0]->index->batch;
    equation_set_box(q, 0, NULL);
    PUSH(p->arena, p->done, q);
    return q;
}

static Tensor *make_weights(Winograd *p, const Window *w)
{
    Arena *a = p->arena;
    Index *point[2], *c = index_like(p, w->channel), *o = index_like(p, w->out);
    Taken s = {.p = p, .w = w, .load = w->w};

    new_points(p, w, point);
    rename_to(&s.others, w->channel, expr_index(a, c));
    rename_to(&s.others, w->out, expr_index(a, o));
    Expr *at[] = {expr_index(a, point[0]), expr_index(a, point[1]), expr_index(a, c), expr_index(a, o)};
    return add_equation(p, w, "U", 4, at, EQ_MAP, transform_both(a, w->method, WEIGHTS, point, weight_at, &s))->out;
}

/* Of a load with samples, tile by tile. What a sum will run over comes last: channels, or in a gradient tiles. */
static Tensor *make_places(Winograd *p, const Window *w, const char *name, Side side, const Expr *load, Index *channel)
{
    Arena *a = p->arena;
    Index *point[2], *b = index_like(p, w->batch), *own = index_like(p, channel);
    Expr *c = expr_index(a, own), *column = new_tile(p, w, 1), *row = new_tile(p, w, 0);
    Taken s = {.p = p, .w = w, .load = load, .tile = {row, column}};

    new_points(p, w, point);
    Expr *at[6] = {expr_index(a, b), expr_index(a, point[0]), expr_index(a, point[1]), row, column, c};
    if (w->gradient) {
        int64_t rows = rows_in_strip(w);
        Expr *strip = expr_index(a, index_new(a, "r", tiles_of(w, w->method, 0) / rows));
        row = expr_index(a, index_new(a, row->index->name, rows));
        s.tile[0] = scaled(p, rows, strip, row);
        at[3] = c;
        at[4] = strip;
        at[5] = scaled(p, tiles_of(w, w->method, 1), row, column);
    }
    rename_to(&s.others, w->batch, at[0]);
    rename_to(&s.others, channel, c);
    Places places = find_places(&s, side == INPUT ? w->method->n : w->method->m);
    return add_equation(p, w, name, 6, at, EQ_MAP, transform_both(a, w->method, side, point, place_at, &places))->out;
}

static Tensor *make_products(Winograd *p, const Window *w, Tensor *weights, Tensor *places)
{
    Arena *a = p->arena;
    Index *point[2], *c = index_like(p, w->channel);

    new_points(p, w, point);
    Expr *x = expr_index(a, point[0]), *y = expr_index(a, point[1]), *in = expr_index(a, c);
    Expr *b = expr_index(a, index_like(p, w->batch)), *o = expr_index(a, index_like(p, w->out));
    Expr *ti = new_tile(p, w, 0), *tj = new_tile(p, w, 1);
    Expr *u[] = {x, y, in, o}, *v[] = {b, x, y, ti, tj, in}, *at[] = {b, x, y, ti, tj, o};
    Expr *product = expr_op(a, "mul", expr_load(a, weights, u, false), expr_load(a, places, v, false), NULL);
    Equation *q = add_equation(p, w, "M", 6, at, EQ_SUM, product);
    equation_set_box(q, 1, &c);
    return q->out;
}

/* The old equation becomes a map of `result`, in the indices of r. */
static void make_result(const Winograd *p, const Window *w, Rename *r, Expr *result)
{
    Equation *q = w->q;

    r->result = result;
    q->value = q->tail ? expr_place(p->arena, q->tail, r) : result;
    for (int k = 0; k < 4; k++)
        q->at[k] = expr_place(p->arena, q->at[k], r);
    q->tail = NULL;
    q->how = EQ_MAP;
    equation_set_box(q, 0, NULL);
}

static void rewrite_window(Winograd *p, const Window *w)
{
    Arena *a = p->arena;
    Index *inside[2];
    Rename r = {0};

    Tensor *weights = make_weights(p, w), *places = make_places(p, w, "V", INPUT, w->x, w->channel);
    Points m = {a, make_products(p, w, weights, places), 1, {expr_index(a, w->batch)}};
    for (int axis = 0; axis < 2; axis++) {
        m.at[3 + axis] = new_tile(p, w, axis);
        inside[axis] = index_new(a, axis ? "v" : "u", w->method->m);
        rename_to(&r, w->place[axis], scaled(p, w->method->m, m.at[3 + axis], expr_index(a, inside[axis])));
    }
    m.at[5] = expr_index(a, w->out);
    make_result(p, w, &r, transform_both(a, w->method, OUTPUT, inside, point_at, &m));
    for (int axis = 0; axis < 2; axis++)
        w->q->padded |= w->place[axis]->size % w->method->m != 0;
}

/* --- the gradient of weights --- */

static Tensor *make_sums(Winograd *p, const Window *w, Tensor *results, Tensor *places)
{
    Arena *a = p->arena;
    Index *point[2], *over[3] = {index_like(p, w->batch), index_new(a, "r", places->size[4]), index_new(a, "t", places->size[5])};

    new_points(p, w, point);
    Expr *x = expr_index(a, point[0]), *y = expr_index(a, point[1]), *b = expr_index(a, over[0]);
    Expr *r = expr_index(a, over[1]), *t = expr_index(a, over[2]);
    Expr *o = expr_index(a, index_like(p, w->out)), *c = expr_index(a, index_like(p, w->channel));
    Expr *d[] = {b, x, y, o, r, t}, *v[] = {b, x, y, c, r, t}, *at[] = {x, y, o, c};
    Expr *product = expr_op(a, "mul", expr_load(a, results, d, false), expr_load(a, places, v, false), NULL);
    Equation *q = add_equation(p, w, "S", 4, at, EQ_SUM, product);
    equation_set_box(q, 3, over);
    return q->out;
}

static void rewrite_gradient(Winograd *p, const Window *w)
{
    Arena *a = p->arena;
    Index *step[2], *o = index_like(p, w->out), *c = index_like(p, w->channel);
    Rename r = {0}, own = {0};
    Expr *at[4];

    Tensor *places = make_places(p, w, "V", INPUT, w->x, w->channel);
    Tensor *results = make_places(p, w, "D", RESULTS, w->w, w->out);
    Points s = {a, make_sums(p, w, results, places), 0, {NULL, NULL, expr_index(a, o), expr_index(a, c)}};
    for (int axis = 0; axis < 2; axis++)
        step[axis] = index_like(p, w->step[axis]);
    /* In the order of the weights, so that what follows goes through all elements in one row. */
    rename_to(&own, w->step[0], expr_index(a, step[0]));
    rename_to(&own, w->step[1], expr_index(a, step[1]));
    rename_to(&own, w->out, s.at[2]);
    rename_to(&own, w->channel, s.at[3]);
    for (int k = 0; k < 4; k++)
        at[k] = expr_place(a, w->q->at[k], &own);
    Equation *q = add_equation(p, w, "W", 4, at, EQ_MAP, transform_both(a, w->method, GRADIENT, step, point_at, &s));
    make_result(p, w, &r, expr_load(a, q->out, w->q->at, false));
}

void graph_winograd(Graph *g)
{
    Winograd p = {.graph = g, .arena = g->arena};
    Window w;

    for (int i = 0; i < g->equations.n; i++) {
        Equation *q = g->equations.at[i];
        if (is_window(&w, q) && is_worth_it(g, &w)) {
            if (w.gradient)
                rewrite_gradient(&p, &w);
            else
                rewrite_window(&p, &w);
        }
        PUSH(g->arena, p.done, q);
    }
    g->equations.at = p.done.at;
    g->equations.n = p.done.n;
    g->equations.room = p.done.room;
}
