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
 *     V[b,a,e,t,c] = (B' x B)[a,e]          of tile t, n x n elements
 *     M[b,a,e,t,o] = sum[c] U[a,e,c,o] * V[b,a,e,t,c]
 *     y[b,o,m*ti+u,m*tj+v] = tail((A' M A)[u,v])
 *
 * The three matrices are small and fixed. A product with one is written as n expressions and a choice among them by
 * the row's index, `if a == 0 then ... else if a == 1 then ...`: the loops unroll such an index, and the choice is gone.
 *
 * needs:  fused equations: the tail stays a tail; many samples, so that U is worth making
 * leaves: four equations where a window pays (is_worth_it), the last of which makes the old result. In floats the
 *         results differ from the direct sum's: SPEC.md (16.5) says by how much. */
#include "graph/rewrite.h"

#include <math.h>

enum { WINDOW = 3, MOST = 6, LEAST_CHANNELS = 16, LEAST_SAMPLES = 16 };

/* All three matrices hold rows (2k - 1, 2k) that are the sum and the difference of two terms, but for the first and
 * the last: `butterfly`. B' and G are a butterfly after the matrix given, A' the matrix given after a butterfly. */
typedef struct Method {
    int m, n;
    double input[MOST][MOST], weights[MOST][WINDOW], output[MOST][MOST];
} Method;

/* clang-format off */
static const Method methods[] = {
    {4, 6,
     {{4, 0, -5, 0, 1, 0}, {0, 0, -4, 0, 1, 0}, {0, -4, 0, 1, 0, 0}, {0, 0, -1, 0, 1, 0}, {0, -2, 0, 2, 0, 0}, {0, 4, 0, -5, 0, 1}},
     {{1. / 4, 0, 0}, {-1. / 6, 0, -1. / 6}, {0, -1. / 6, 0}, {1. / 24, 0, 1. / 6}, {0, 1. / 12, 0}, {0, 0, 1}},
     {{1, 1, 0, 1, 0, 0}, {0, 0, 1, 0, 2, 0}, {0, 1, 0, 4, 0, 0}, {0, 0, 1, 0, 8, 1}}},
    {2, 4,
     {{1, 0, -1, 0}, {0, 0, 1, 0}, {0, 1, 0, 0}, {0, 1, 0, -1}},
     {{1, 0, 0}, {1. / 2, 0, 1. / 2}, {0, 1. / 2, 0}, {0, 0, 1}},
     {{1, 1, 0, 0}, {0, 0, 1, -1}}},
};
/* clang-format on */

/* The equation as a window, by the roles of its indices. */
typedef struct Window {
    Equation *q;
    const Expr *x, *w;              /* the loads: of the picture, of the weights */
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

/* i + p + number or i - p + number, i of the result, p one of three that are summed. */
static bool is_place(const Equation *q, const Expr *e, Index **place, Index **step, bool *turned)
{
    Affine f;

    if (!expr_affine(e, &f) || f.n != 2)
        return false;
    int k = is_reduced(q, f.index[0]) ? 0 : 1;
    *step = f.index[k];
    *place = f.index[1 - k];
    *turned = f.coef[k] == -1;
    return is_reduced(q, *step) && !is_reduced(q, *place) && !(*place)->batch && f.coef[1 - k] == 1 &&
           (f.coef[k] == 1 || *turned) && (*step)->size == WINDOW;
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
        if (x->args[k]->kind == EXPR_INDEX && is_reduced(w->q, x->args[k]->index) && !w->channel)
            w->channel = x->args[k]->index;
        else if (places == 2 || !is_place(w->q, x->args[k], &w->place[places], &w->step[places], &w->turned[places]))
            return false;
        else
            places++;
    w->x = x;
    return w->channel && places == 2 && w->place[0] != w->place[1] && w->step[0] != w->step[1];
}

/* w[o, c, p, q] in any order. */
static bool is_weight(const Window *w, const Expr *e)
{
    const Index *want[4] = {w->out, w->channel, w->step[0], w->step[1]};

    if (e->kind != EXPR_LOAD || e->tensor->batched || e->tensor->integer || e->padded || e->tensor->rank != 4)
        return false;
    for (int i = 0; i < 4; i++) {
        bool found = false;
        for (int k = 0; k < 4; k++)
            found |= e->args[k]->kind == EXPR_INDEX && e->args[k]->index == want[i];
        if (!found)
            return false;
    }
    return true;
}

static bool is_window(Window *w, Equation *q)
{
    *w = (Window){.q = q};
    if (q->how != EQ_SUM || q->padded || !q->out->batched || q->out->rank != 4 || q->nbox != 7 || equation_outer(q) != 4 ||
        !subscripts_plain(q->at, 4, q->out->size) || !q->at[0]->index->batch || !expr_is(q->value, OP_mul))
        return false;
    w->batch = q->at[0]->index;
    if (!is_picture(w, q->value->args[0]) && !is_picture(w, q->value->args[1]))
        return false;
    for (int k = 1; k < 4; k++)
        if (q->at[k]->index != w->place[0] && q->at[k]->index != w->place[1])
            w->out = q->at[k]->index;
    w->w = q->value->args[w->x == q->value->args[0]];
    return is_weight(w, w->w);
}

/* --- is it worth it? --- */

/* In multiplications of sixteen samples: what one element of V or M costs to make, to write and to read again, and one
 * of U. Measured on a processor whose second-level cache most V and M exceed. */
enum { COST_OF_PLACE = 16, COST_OF_WEIGHT = 2 };

static bool is_worth_it(const Graph *g, Window *w)
{
    double in = (double)w->channel->size, out = (double)w->out->size;
    double places = (double)w->place[0]->size * (double)w->place[1]->size, least = 9 * in * out * places;
    double blocks = (double)((g->batch + LEAST_SAMPLES - 1) / LEAST_SAMPLES);

    if (in < LEAST_CHANNELS || out < LEAST_CHANNELS || g->batch < LEAST_SAMPLES)
        return false;
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        const Method *way = &methods[i];
        double points = (double)(way->n * way->n), tiles = places / (double)(way->m * way->m);
        double cost = points * (tiles * (in * out + COST_OF_PLACE * (in + out)) + COST_OF_WEIGHT * in * out / blocks);
        if (w->place[0]->size % way->m || w->place[1]->size % way->m || cost >= least)
            continue;
        least = cost;
        w->method = way;
    }
    return w->method != NULL;
}

/* --- products with the matrices --- */

static Expr *number(Arena *a, int64_t x) { return expr_number(a, (double)x); }

/* row[0] * x[0] + ..., zeros left out. */
static Expr *combine(Arena *a, int n, const double *row, Expr *const *x)
{
    Expr *sum = NULL;

    for (int k = 0; k < n; k++) {
        double size = sum ? fabs(row[k]) : row[k];
        if (row[k] == 0)
            continue;
        Expr *term = size == 1 ? x[k] : expr_op(a, "mul", expr_number(a, size), x[k], NULL);
        sum = !sum ? term : expr_op(a, row[k] < 0 ? "sub" : "add", sum, term, NULL);
    }
    return sum;
}

static void butterfly(Arena *a, int n, Expr **x)
{
    for (int k = 1; k + 1 < n; k += 2) {
        Expr *sum = expr_op(a, "add", x[k], x[k + 1], NULL), *difference = expr_op(a, "sub", x[k], x[k + 1], NULL);
        x[k] = sum;
        x[k + 1] = difference;
    }
}

typedef enum { INPUT, WEIGHTS, OUTPUT } Side;

static int elements_in(const Method *m, Side side) { return side == WEIGHTS ? WINDOW : m->n; }
static int elements_out(const Method *m, Side side) { return side == OUTPUT ? m->m : m->n; }

/* Element i of the matrix times x. */
static Expr *transform(Arena *a, const Method *m, Side side, const Index *i, Expr *const *x)
{
    Expr *in[MOST] = {NULL}, *out[MOST] = {NULL};
    int columns = elements_in(m, side), rows = elements_out(m, side);

    memcpy(in, x, sizeof *x * (size_t)columns);
    if (side == OUTPUT)
        butterfly(a, columns, in);
    for (int k = 0; k < rows; k++)
        out[k] = combine(a, columns, side == INPUT ? m->input[k] : side == WEIGHTS ? m->weights[k] : m->output[k], in);
    if (side != OUTPUT)
        butterfly(a, rows, out);
    Expr *chosen = NULL;
    for (int k = rows; k-- > 0;) {
        Expr *here = expr_op(a, "eq", expr_index(a, (Index *)i), number(a, k), NULL);
        chosen = chosen ? expr_op(a, "select", here, out[k], chosen) : out[k];
    }
    return chosen;
}

/* Both ways: `element` gives the load at row k, column l. */
typedef Expr *Element(const Winograd *p, const Window *w, int k, int l, const void *user);

static Expr *transform_both(const Winograd *p, const Window *w, Side side, Index *const *i, Element *element, const void *user)
{
    Expr *columns[MOST], *x[MOST];
    int n = elements_in(w->method, side);

    for (int l = 0; l < n; l++) {
        for (int k = 0; k < n; k++)
            x[k] = element(p, w, k, l, user);
        columns[l] = transform(p->arena, w->method, side, i[0], x);
    }
    return transform(p->arena, w->method, side, i[1], columns);
}

/* --- the four equations --- */

static void rename_to(Rename *r, Index *from, Expr *to)
{
    r->from[r->nindex] = from;
    r->to[r->nindex++] = to;
}

/* The window's step at row k. */
static Expr *step_at(const Winograd *p, const Window *w, int axis, int k)
{
    return number(p->arena, w->turned[axis] ? WINDOW - 1 - k : k);
}

static Expr *weight_at(const Winograd *p, const Window *w, int k, int l, const void *user)
{
    Rename r = *(const Rename *)user;

    rename_to(&r, w->step[0], step_at(p, w, 0, k));
    rename_to(&r, w->step[1], step_at(p, w, 1, l));
    return expr_place(p->arena, (Expr *)w->w, &r);
}

/* m * tile + k: a place in the picture; k may be an index. */
static Expr *in_tile(const Winograd *p, const Window *w, Index *tile, Expr *k)
{
    Expr *start = expr_op(p->arena, "mul", number(p->arena, w->method->m), expr_index(p->arena, tile), NULL);

    return expr_simplify(p->arena, expr_op(p->arena, "add", start, k, NULL));
}

typedef struct Tiles {
    Rename others;    /* of the old equation's indices */
    Index *tile[2];
} Tiles;

static Expr *picture_at(const Winograd *p, const Window *w, int k, int l, const void *user)
{
    const Tiles *t = user;
    Rename r = t->others;

    for (int axis = 0; axis < 2; axis++) {
        rename_to(&r, w->place[axis], in_tile(p, w, t->tile[axis], number(p->arena, axis ? l : k)));
        rename_to(&r, w->step[axis], step_at(p, w, axis, 0));
    }
    return expr_place(p->arena, (Expr *)w->x, &r);
}

typedef struct Products {
    Tensor *tensor;
    Expr *batch, *tile, *out;
} Products;

static Expr *product_at(const Winograd *p, const Window *w, int k, int l, const void *user)
{
    const Products *m = user;
    Expr *at[] = {m->batch, number(p->arena, k), number(p->arena, l), m->tile, m->out};

    (void)w;
    return expr_load(p->arena, m->tensor, at, false);
}

static Index *index_like(const Winograd *p, const Index *i)
{
    Index *own = index_new(p->arena, i->name, i->size);

    own->batch = i->batch;
    return own;
}

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
    PUSH(p->arena, p->done, q);
    return q;
}

/* Which tile: row by row. */
static Expr *tile_number(const Winograd *p, const Window *w, Index *const *tile)
{
    Arena *a = p->arena;
    Expr *row = expr_op(a, "mul", number(a, w->place[1]->size / w->method->m), expr_index(a, tile[0]), NULL);

    return expr_simplify(a, expr_op(a, "add", row, expr_index(a, tile[1]), NULL));
}

static void new_tiles(const Winograd *p, const Window *w, Index **tile)
{
    for (int axis = 0; axis < 2; axis++)
        tile[axis] = index_new(p->arena, arena_print(p->arena, "t%s", w->place[axis]->name), w->place[axis]->size / w->method->m);
}

static void new_points(const Winograd *p, const Window *w, Index **point)
{
    point[0] = index_new(p->arena, "a", w->method->n);
    point[1] = index_new(p->arena, "e", w->method->n);
}

static Tensor *make_weights(Winograd *p, const Window *w)
{
    Arena *a = p->arena;
    Index *point[2], *c = index_like(p, w->channel), *o = index_like(p, w->out);
    Rename r = {0};

    new_points(p, w, point);
    rename_to(&r, w->channel, expr_index(a, c));
    rename_to(&r, w->out, expr_index(a, o));
    Expr *at[] = {expr_index(a, point[0]), expr_index(a, point[1]), expr_index(a, c), expr_index(a, o)};
    Equation *q = add_equation(p, w, "U", 4, at, EQ_MAP, transform_both(p, w, WEIGHTS, point, weight_at, &r));
    equation_set_box(q, 0, NULL);
    return q->out;
}

static Tensor *make_places(Winograd *p, const Window *w)
{
    Arena *a = p->arena;
    Index *point[2], *b = index_like(p, w->batch), *c = index_like(p, w->channel);
    Tiles t = {0};

    new_points(p, w, point);
    new_tiles(p, w, t.tile);
    rename_to(&t.others, w->batch, expr_index(a, b));
    rename_to(&t.others, w->channel, expr_index(a, c));
    Expr *at[] = {expr_index(a, b), expr_index(a, point[0]), expr_index(a, point[1]), tile_number(p, w, t.tile), expr_index(a, c)};
    Equation *q = add_equation(p, w, "V", 5, at, EQ_MAP, transform_both(p, w, INPUT, point, picture_at, &t));
    equation_set_box(q, 0, NULL);
    return q->out;
}

static Tensor *make_products(Winograd *p, const Window *w, Tensor *weights, Tensor *places)
{
    Arena *a = p->arena;
    Index *point[2], *c = index_like(p, w->channel);

    new_points(p, w, point);
    Expr *x = expr_index(a, point[0]), *y = expr_index(a, point[1]), *in = expr_index(a, c);
    Expr *b = expr_index(a, index_like(p, w->batch)), *o = expr_index(a, index_like(p, w->out));
    Expr *t = expr_index(a, index_new(a, "t", places->size[3]));
    Expr *u[] = {x, y, in, o}, *v[] = {b, x, y, t, in}, *at[] = {b, x, y, t, o};
    Expr *product = expr_op(a, "mul", expr_load(a, weights, u, false), expr_load(a, places, v, false), NULL);
    Equation *q = add_equation(p, w, "M", 5, at, EQ_SUM, product);
    equation_set_box(q, 1, &c);
    return q->out;
}

/* The old equation becomes a map of the products. */
static void make_result(const Winograd *p, const Window *w, Tensor *products)
{
    Arena *a = p->arena;
    Equation *q = w->q;
    Index *tile[2], *inside[2];
    Rename r = {0};

    new_tiles(p, w, tile);
    for (int axis = 0; axis < 2; axis++) {
        inside[axis] = index_new(a, axis ? "v" : "u", w->method->m);
        rename_to(&r, w->place[axis], in_tile(p, w, tile[axis], expr_index(a, inside[axis])));
    }
    Products m = {products, expr_index(a, w->batch), tile_number(p, w, tile), expr_index(a, w->out)};
    r.result = transform_both(p, w, OUTPUT, inside, product_at, &m);
    q->value = q->tail ? expr_place(a, q->tail, &r) : r.result;
    for (int k = 0; k < 4; k++)
        q->at[k] = expr_place(a, q->at[k], &r);
    q->tail = NULL;
    q->how = EQ_MAP;
    equation_set_box(q, 0, NULL);
}

void graph_winograd(Graph *g)
{
    Winograd p = {.graph = g, .arena = g->arena};
    Window w;

    for (int i = 0; i < g->equations.n; i++) {
        Equation *q = g->equations.at[i];
        if (is_window(&w, q) && is_worth_it(g, &w)) {
            Tensor *weights = make_weights(&p, &w), *places = make_places(&p, &w);
            make_result(&p, &w, make_products(&p, &w, weights, places));
        }
        PUSH(g->arena, p.done, q);
    }
    g->equations.at = p.done.at;
    g->equations.n = p.done.n;
    g->equations.room = p.done.room;
}
