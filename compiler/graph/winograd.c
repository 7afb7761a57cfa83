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
 * Of one sample there is no b; its channels are the last axis (channels.c), its tiles one row of them, and U, which follows
 * from the weights alone, is kept (derive.c).
 *
 * needs:  fused equations: the tail stays a tail; many samples, so that U is worth making, or one
 * leaves: four or five equations where a window pays (is_worth_it), the last of which makes the old result. In floats the
 *         results differ from the direct sum's: SPEC.md (16.5) says by how much. */
#include "graph/rewrite.h"
#include "graph/window.h"

enum { LEAST_CHANNELS = 16, LEAST_SAMPLES = 16 };

typedef struct Winograd {
    Graph *graph;
    Arena *arena;
    LIST(Equation *) done;
} Winograd;

/* --- is it worth it? --- */

/* In multiplications of sixteen samples, or of sixteen channels of one sample: what one element of V, D or M costs to make,
 * to write and to read again, and one of U or S, which for one sample is kept but comes from far away. Measured on a processor
 * whose second-level cache most V and M of sixteen samples exceed, and U of one. */
typedef struct Costs {
    double place, weight;
} Costs;
static const Costs of_many = {16, 2}, of_one = {5, 6};

static int64_t tiles_of(const Window *w, const Method *m, int axis)
{
    return (w->place[axis]->size + m->m - 1) / m->m;
}

static bool is_worth_it(const Graph *g, Window *w)
{
    const Costs *c = w->single ? &of_one : &of_many;
    double in = (double)w->channel->size, out = (double)w->out->size;
    double weights = c->weight / (double)((g->batch + LEAST_SAMPLES - 1) / LEAST_SAMPLES);
    double least = 9 * in * out * ((double)w->place[0]->size * (double)w->place[1]->size + (w->single ? weights : 0));

    if (in < LEAST_CHANNELS || out < LEAST_CHANNELS || (g->batch < LEAST_SAMPLES && !w->single))
        return false;
    for (int i = 0; i < nmethods; i++) {
        const Method *way = &methods[i];
        double points = (double)(way->n * way->n), tiles = (double)tiles_of(w, way, 0) * (double)tiles_of(w, way, 1);
        double cost = points * (tiles * (in * out + c->place * (in + out)) + weights * in * out);
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

/* The first subscripts of V, M and D: the sample, if there are several, and the point. Returns how many. */
static int put_points(const Winograd *p, const Window *w, Index **point, Expr **at)
{
    int n = 0;

    new_points(p, w, point);
    if (w->batch)
        at[n++] = expr_index(p->arena, index_like(p, w->batch));
    at[n++] = expr_index(p->arena, point[0]);
    at[n++] = expr_index(p->arena, point[1]);
    return n;
}

/* Those of a tile: of one sample all tiles are one row. */
static int put_tile(const Winograd *p, const Window *w, Expr *row, Expr *column, Expr **at)
{
    at[0] = w->single ? scaled(p, tiles_of(w, w->method, 1), row, column) : row;
    at[1] = column;
    return w->single ? 1 : 2;
}

/* Of a load with samples, tile by tile. What a sum will run over comes last: channels, or in a gradient tiles. */
static Tensor *make_places(Winograd *p, const Window *w, const char *name, Side side, const Expr *load, Index *channel)
{
    Arena *a = p->arena;
    Index *point[2];
    Expr *at[6], *c = expr_index(a, index_like(p, channel)), *column = new_tile(p, w, 1), *row = new_tile(p, w, 0);
    Taken s = {.p = p, .w = w, .load = load, .tile = {row, column}};
    int n = put_points(p, w, point, at);

    if (w->gradient) {
        int64_t rows = rows_in_strip(w);
        Expr *strip = expr_index(a, index_new(a, "r", tiles_of(w, w->method, 0) / rows));
        row = expr_index(a, index_new(a, row->index->name, rows));
        s.tile[0] = scaled(p, rows, strip, row);
        at[n++] = c;
        at[n++] = strip;
        at[n++] = scaled(p, tiles_of(w, w->method, 1), row, column);
    } else {
        n += put_tile(p, w, row, column, &at[n]);
        at[n++] = c;
    }
    if (w->batch)
        rename_to(&s.others, w->batch, at[0]);
    rename_to(&s.others, channel, c);
    Places places = find_places(&s, side == INPUT ? w->method->n : w->method->m);
    return add_equation(p, w, name, n, at, EQ_MAP, transform_both(a, w->method, side, point, place_at, &places))->out;
}

static Tensor *make_products(Winograd *p, const Window *w, Tensor *weights, Tensor *places)
{
    Arena *a = p->arena;
    Index *point[2], *c = index_like(p, w->channel);
    Expr *v[6], *at[6], *in = expr_index(a, c), *o = expr_index(a, index_like(p, w->out));
    int n = put_points(p, w, point, at);

    for (; n + 1 < places->rank; n++)
        at[n] = w->single ? expr_index(a, index_new(a, "t", places->size[n])) : new_tile(p, w, n - 3);
    memcpy(v, at, sizeof at);
    at[n] = o;
    v[n] = in;
    Expr *u[] = {expr_index(a, point[0]), expr_index(a, point[1]), in, o};
    Expr *product = expr_op(a, "mul", expr_load(a, weights, u, false), expr_load(a, places, v, false), NULL);
    Equation *q = add_equation(p, w, "M", places->rank, at, EQ_SUM, product);
    equation_set_box(q, 1, &c);
    return q->out;
}

/* The old equation becomes a map of `result`, in the indices of r. */
static void make_result(const Winograd *p, const Window *w, Rename *r, Expr *result)
{
    Equation *q = w->q;

    r->result = result;
    q->value = q->tail ? expr_place(p->arena, q->tail, r) : result;
    for (int k = 0; k < q->out->rank; k++)
        q->at[k] = expr_place(p->arena, q->at[k], r);
    q->tail = NULL;
    q->how = EQ_MAP;
    equation_set_box(q, 0, NULL);
}

static void rewrite_window(Winograd *p, const Window *w)
{
    Arena *a = p->arena;
    Index *inside[2];
    Expr *tile[2];
    Rename r = {0};

    Tensor *weights = make_weights(p, w), *places = make_places(p, w, "V", INPUT, w->x, w->channel);
    Points m = {.arena = a, .tensor = make_products(p, w, weights, places), .first = w->batch ? 1 : 0};
    for (int axis = 0; axis < 2; axis++) {
        tile[axis] = new_tile(p, w, axis);
        inside[axis] = index_new(a, axis ? "v" : "u", w->method->m);
        rename_to(&r, w->place[axis], scaled(p, w->method->m, tile[axis], expr_index(a, inside[axis])));
    }
    if (w->batch)
        m.at[0] = expr_index(a, w->batch);
    m.at[m.first + 2 + put_tile(p, w, tile[0], tile[1], &m.at[m.first + 2])] = expr_index(a, w->out);
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
        if (window_find(&w, q, g->single) && is_worth_it(g, &w)) {
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
