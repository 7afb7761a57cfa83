/* layout.c -- where tensors lie: strides, halos, which tensors are the same bytes.
 *
 * needs:  the lane of every equation
 * leaves: a place for every form of every tensor that some kernel reads or writes */
#include "loops/build.h"

#include <limits.h>

enum { PAGE = 1024 }; /* floats: rows this far apart share a set of the first-level cache */

int64_t layout_bytes(const Layout *l)
{
    return l->count * (l->order == ORDER_DOUBLE ? 8 : 4);
}

int64_t storage_block_bytes(const Storage *s) { return s->layout.stride[0] * 4; }

/* Row-major from axis `from` on, the last axis of stride `unit`; returns what the next axis outwards would get. */
static int64_t lay_axes(Layout *l, int from, int64_t unit)
{
    for (int a = l->rank; a-- > from;) {
        l->stride[a] = unit;
        unit *= l->low[a] + l->size[a] + l->high[a];
    }
    return unit;
}

static void layout_start(Layout *l, Order order, int rank, const int64_t *size, bool integer)
{
    *l = (Layout){.order = order, .integer = integer, .rank = rank};
    for (int a = 0; a < rank; a++)
        l->size[a] = size[a];
}

void layout_kept(Layout *l, int rank, const int64_t *size, bool integer)
{
    layout_start(l, rank == 0 ? ORDER_DOUBLE : ORDER_ROWS, rank, size, integer && rank > 0);
    l->count = lay_axes(l, 0, 1);
    if (rank >= 2 && size[rank - 1] >= 256 && size[rank - 1] % 256 == 0) {
        l->stride[rank - 2] = size[rank - 1] + LANES;
        for (int a = rank - 2; a-- > 0;)
            l->stride[a] = l->stride[a + 1] * size[a + 1];
        l->count = l->stride[0] * size[0];
    }
    if (rank > 0)
        l->count = blocks_of(l->count) * LANES;
}

/* The caller's: sample after sample. */
static void layout_field(Layout *l, const Tensor *t)
{
    layout_start(l, ORDER_ROWS, t->rank, t->size, t->integer);
    l->count = lay_axes(l, 0, 1);
}

/* Our own, sample after sample: rows of whole vectors. */
static void layout_rows(Layout *l, const Tensor *t)
{
    layout_start(l, ORDER_ROWS, t->rank, t->size, t->integer);
    int64_t row = blocks_of(lay_axes(l, 1, 1)) * LANES;
    l->stride[0] = row % 256 == 0 ? row + LANES : row;
    l->count = l->stride[0] * blocks_of(t->size[0]) * LANES;
}

/* Of one sample: a temporary with room around it for padded reads, and behind it for vectors that run over its end. Unless
 * it is natural (see layout_lanes), neither its rows nor anything else in it lie so far apart that they share few sets of the
 * cache. */
static void layout_single(Layout *l, bool natural)
{
    enum { SLACK = 3 * LANES };
    int64_t unit = 1;

    for (int a = l->rank; a-- > 0;) {
        unit += !natural && a + 1 < l->rank && unit % (PAGE / 4) == 0 ? LANES : 0;
        l->stride[a] = unit;
        unit *= l->low[a] + l->size[a] + l->high[a];
    }
    l->count = blocks_of(unit) * LANES + SLACK;
    l->origin = 0;
    for (int a = 0; a < l->rank; a++)
        l->origin += l->low[a] * l->stride[a];
}

/* `natural`: nothing between neighbours, so that another tensor's view of the same bytes is row-major too. `passed`: an axis
 * of which one step is there at a time; 0 for none. */
static void layout_lanes(Layout *l, bool natural, int passed)
{
    int64_t steps = l->size[passed];

    if (passed)
        l->size[passed] = 1;
    int64_t block = lay_axes(l, 1, LANES);

    if (!natural && l->rank > 2 && l->stride[1] % PAGE == 0) {
        l->stride[1] += LANES;
        block = l->stride[1] * (l->low[1] + l->size[1] + l->high[1]);
    }
    l->stride[0] = block;
    l->count = block * blocks_of(l->size[0]);
    l->origin = 0;
    for (int a = 1; a < l->rank; a++)
        l->origin += l->low[a] * l->stride[a];
    if (passed) {
        l->size[passed] = steps;
        l->stride[passed] = 0;
    }
}

Storage *storage_new(Build *b, const char *name, StorageKind kind, Tensor *t, const Layout *l)
{
    Storage *s = NEW(b->arena, Storage);

    s->name = name;
    s->kind = kind;
    s->tensor = t;
    s->layout = *l;
    s->id = b->loops->storages.n;
    s->first = INT_MAX;
    s->last = s->phase = -1;
    PUSH(b->arena, b->loops->storages, s);
    return s;
}

/* --- who reads what how --- */

/* Batched tensors are read in lanes unless samples are walked one after the other and neighbours wanted. */
static bool reads_rows(const Choice *c, const Expr *load)
{
    return load->tensor->batched && !over_samples(c) && c->lane_index && expr_has_index(load, c->lane_index);
}

Place *place_read(Build *b, const Choice *c, const Expr *load)
{
    const Tensor *t = load->tensor;

    return t->batched && !reads_rows(c, load) ? &b->lanes[t->id] : &b->rows[t->id];
}

Place *place_written(Build *b, const Choice *c)
{
    const Tensor *t = c->q->out;

    return t->batched ? &b->lanes[t->id] : &b->rows[t->id];
}

/* --- halos --- */

/* What goes through an axis in steps of several, or in windows: it meets a place again and again, or looks around tiles. */
static bool is_window(const Expr *e)
{
    Affine f;

    return expr_affine(e, &f) && f.n > 0 && (f.n > 1 || f.coef[0] > 1);
}

/* How far a padded load goes outside, added to the halo that the tensor has so far. Without samples in lanes only
 * windows are worth it: what merely moves along an axis asks once whether it is inside. */
static void widen(const Choice *c, const Expr *load, Layout *l, bool single)
{
    int64_t low[MAX_RANK], high[MAX_RANK];
    double before = 1, after = 1;

    memcpy(low, l->low, sizeof low);
    memcpy(high, l->high, sizeof high);
    for (int a = single ? 0 : 1; a < load->nargs; a++) {
        int64_t from, to;
        if ((single && !is_window(load->args[a])) || is_bounded(c, load, a))
            continue;
        if (!expr_range(load->args[a], &from, &to))
            return;
        int64_t outside = -from > to - l->size[a] + 1 ? -from : to - l->size[a] + 1;
        /* the same below and above: equal layers before and after a stride then share their code */
        low[a] = high[a] = outside > l->low[a] ? outside : l->low[a];
        before *= (double)l->size[a];
        after *= (double)(low[a] + l->size[a] + high[a]);
    }
    /* A halo costs memory and clearing: a small picture may grow fourfold, nothing else that much. */
    if (after > 4 * before || (after > 2 * before && before > 4096))
        return;
    memcpy(l->low, low, sizeof low);
    memcpy(l->high, high, sizeof high);
}

static bool has_halo(const Layout *l)
{
    for (int a = 0; a < l->rank; a++)
        if (l->low[a] || l->high[a])
            return true;
    return false;
}

/* --- one storage for two tensors --- */

/* Address of subscripts in a layout, as an affine form; the batch as it stands. */
static bool affine_address(const Layout *l, Expr *const *at, Affine *sum)
{
    *sum = (Affine){.offset = l->origin};
    for (int a = 0; a < l->rank; a++) {
        Affine f;
        if (!expr_affine(at[a], &f))
            return false;
        sum->offset += f.offset * l->stride[a];
        for (int k = 0; k < f.n; k++) {
            int i = 0;
            while (i < sum->n && sum->index[i] != f.index[k])
                i++;
            if (i == MAX_BOX)
                return false;
            if (i == sum->n) {
                sum->index[sum->n] = f.index[k];
                sum->coef[sum->n++] = 0;
            }
            sum->coef[i] += f.coef[k] * l->stride[a];
        }
    }
    return true;
}

static bool affine_equal(const Affine *f, const Affine *g)
{
    if (f->n != g->n || f->offset != g->offset)
        return false;
    for (int i = 0; i < f->n; i++) {
        int k = 0;
        while (k < g->n && g->index[k] != f->index[i])
            k++;
        if (k == g->n || g->coef[k] != f->coef[i])
            return false;
    }
    return true;
}

/* The tensor that q merely gives another shape, or NULL. */
static Tensor *copied_tensor(const Equation *q)
{
    const Expr *v = q->value;

    if (q->how != EQ_MAP || v->kind != EXPR_LOAD || v->padded || q->out->rank == 0 || v->tensor->rank == 0 ||
        v->tensor->batched != q->out->batched || v->tensor->integer != q->out->integer)
        return NULL;
    return v->tensor->role == ROLE_TEMP || v->tensor->role == ROLE_INPUT ? v->tensor : NULL;
}

static bool same_bytes(const Build *b, const Equation *q, const Layout *out, const Layout *in)
{
    Affine f, g;
    bool fits = b->graph->single ? tensor_count(q->out) == tensor_count(q->value->tensor) : out->count == in->count;

    return fits && affine_address(out, q->at, &f) && affine_address(in, q->value->args, &g) &&
           affine_equal(&f, &g);
}

/* --- all places of a graph --- */

static int field_number(const Build *b, const char *name)
{
    if (b->program)
        for (int i = 0; i < b->program->fields.n; i++)
            if (strcmp(b->program->fields.at[i].name, name) == 0)
                return i;
    return -1;
}

static int output_number(const Build *b, const char *name)
{
    if (b->program)
        for (int i = 0; i < b->program->outputs.n; i++)
            if (strcmp(b->program->outputs.at[i].tensor, name) == 0)
                return i;
    return -1;
}

static void place_unbatched(Build *b, Tensor *t, bool natural)
{
    Place *p = &b->rows[t->id];
    StorageKind kind = STORAGE_WORK;

    if (b->graph->single && t->rank > 0 && t->role == ROLE_TEMP && !t->wanted)
        layout_single(&p->layout, natural);
    else if (b->graph->single && (t->role == ROLE_INPUT || t->wanted))
        layout_field(&p->layout, t);
    else
        layout_kept(&p->layout, t->rank, t->size, t->integer);
    if (t->role == ROLE_SCALAR)
        kind = STORAGE_SCALAR;
    else if (b->graph->single && t->role == ROLE_INPUT)
        kind = STORAGE_FIELD;
    else if (b->graph->single && t->wanted)
        kind = STORAGE_OUTPUT;
    else if (t->role == ROLE_PARAM || t->role == ROLE_STATE || (t->wanted && b->program && program_kept(b->program, t->name)))
        kind = STORAGE_KEPT;
    p->storage = storage_new(b, t->name, kind, t, &p->layout);
    p->storage->wanted = t->wanted;
    p->storage->field = kind == STORAGE_FIELD ? field_number(b, t->name) : kind == STORAGE_OUTPUT ? output_number(b, t->name) : 0;
}

static void place_batched(Build *b, Tensor *t)
{
    Place *lanes = &b->lanes[t->id], *rows = &b->rows[t->id];

    if (t->role == ROLE_INPUT) {
        layout_field(&rows->layout, t);
        rows->storage = storage_new(b, t->name, STORAGE_FIELD, t, &rows->layout);
        rows->storage->field = field_number(b, t->name);
    } else if (b->want_rows[t->id] && !rows->storage) {
        layout_rows(&rows->layout, t);
        rows->storage = storage_new(b, arena_print(b->arena, "%s (rows)", t->name), STORAGE_WORK, t, &rows->layout);
    }
    if (t->role != ROLE_INPUT || b->want_lanes[t->id]) {
        const char *name = t->role == ROLE_INPUT ? arena_print(b->arena, "%s (lanes)", t->name) : t->name;
        lanes->storage = storage_new(b, name, STORAGE_WORK, t, &lanes->layout);
    }
}

static void find_halos(Build *b)
{
    for (int i = 0; i < b->graph->tensors.n; i++) {
        const Tensor *t = b->graph->tensors.at[i];
        if (t->batched)
            layout_start(&b->lanes[t->id].layout, ORDER_LANES, t->rank, t->size, t->integer);
        else if (b->graph->single)
            layout_start(&b->rows[t->id].layout, ORDER_ROWS, t->rank, t->size, t->integer);
    }
    for (int i = 0; i < b->choices.n; i++) {
        const Choice *c = b->choices.at[i];
        const Loads *l[2] = {c->value, c->tail};
        for (int k = 0; k < 2; k++)
            for (int j = 0; j < l[k]->n; j++) {
                const Expr *load = l[k]->at[j];
                if (b->graph->single && load->padded && load->tensor->role == ROLE_TEMP && !load->tensor->wanted)
                    widen(c, load, &b->rows[load->tensor->id].layout, true);
                if (!load->tensor->batched)
                    continue;
                if (reads_rows(c, load)) {
                    b->want_rows[load->tensor->id] = true;
                    continue;
                }
                b->want_lanes[load->tensor->id] = true;
                if (load->padded)
                    widen(c, load, &b->lanes[load->tensor->id].layout, false);
            }
    }
}

/* Strides. A tensor that is another one's bytes, or whose bytes another one is, stays natural. */
static bool *find_strides(Build *b)
{
    bool *natural = NEW_ARRAY(b->arena, bool, b->graph->tensors.n);
    int *passed = NEW_ARRAY(b->arena, int, b->graph->tensors.n);

    for (int i = 0; i < b->graph->equations.n; i++) {
        const Equation *q = b->graph->equations.at[i];
        const Tensor *from = copied_tensor(q);
        Place *places = from && from->batched ? b->lanes : b->rows;
        if (from && !has_halo(&places[from->id].layout) && !has_halo(&places[q->out->id].layout))
            natural[from->id] = natural[q->out->id] = true;
    }
    for (int i = 0; i < b->choices.n; i++)
        for (const Choice *c = b->choices.at[i]; c && b->choices.at[i]->passed; c = c->next)
            if (c->stored)
                passed[c->q->out->id] = b->choices.at[i]->passed;
    for (int i = 0; i < b->graph->tensors.n; i++) {
        const Tensor *t = b->graph->tensors.at[i];
        if (t->batched)
            layout_lanes(&b->lanes[t->id].layout, natural[t->id], passed[t->id]);
    }
    return natural;
}

/* Whether equation i only gives a batched tensor another shape, the bytes of a sample being the same. */
static bool is_reshape(const Build *b, const Equation *q)
{
    const Tensor *from = copied_tensor(q);

    return from && from->batched && same_bytes(b, q, &b->lanes[q->out->id].layout, &b->lanes[from->id].layout);
}

/* Sample by sample, too, a reshaped tensor is the other one: the caller's own input perhaps. */
static void share_rows(Build *b)
{
    for (int i = b->choices.n; i-- > 0;) {
        const Equation *q = b->choices.at[i]->q;
        if (b->want_rows[q->out->id] && is_reshape(b, q))
            b->want_rows[q->value->tensor->id] = true;
    }
    for (int i = 0; i < b->graph->tensors.n; i++)
        if (b->graph->tensors.at[i]->batched && b->graph->tensors.at[i]->role == ROLE_INPUT)
            place_batched(b, b->graph->tensors.at[i]);
    for (int i = 0; i < b->choices.n; i++) {
        Tensor *out = b->choices.at[i]->q->out;
        if (!out->batched)
            continue;
        if (b->want_rows[out->id] && is_reshape(b, b->choices.at[i]->q)) {
            const Place *from = &b->rows[b->choices.at[i]->q->value->tensor->id];
            Layout *l = &b->rows[out->id].layout;
            layout_rows(l, out);
            l->stride[0] = from->layout.stride[0];
            l->count = from->layout.count;
            b->rows[out->id].storage = from->storage;
            b->want_rows[out->id] = false; /* nothing to make */
        }
        place_batched(b, out);
    }
}

void layouts_make(Build *b)
{
    Graph *g = b->graph;

    b->lanes = NEW_ARRAY(b->arena, Place, g->tensors.n);
    b->rows = NEW_ARRAY(b->arena, Place, g->tensors.n);
    b->want_rows = NEW_ARRAY(b->arena, bool, g->tensors.n);
    b->want_lanes = NEW_ARRAY(b->arena, bool, g->tensors.n);
    b->in_place = NEW_ARRAY(b->arena, bool, g->tensors.n);
    b->is_view = NEW_ARRAY(b->arena, bool, g->equations.n + 1);
    find_halos(b);
    const bool *natural = find_strides(b);
    share_rows(b);
    for (int i = 0; i < g->tensors.n; i++)
        if (!g->tensors.at[i]->batched)
            place_unbatched(b, g->tensors.at[i], natural[i]);
    for (int i = 0; i < g->tensors.n; i++) {
        Tensor *t = g->tensors.at[i];
        if (t->next && replaces_in_place(b, t)) {
            b->rows[t->next->id].storage = b->rows[t->id].storage;
            b->in_place[t->id] = true;
        }
    }
    for (int i = 0; i < g->equations.n; i++) {
        const Equation *q = g->equations.at[i];
        const Tensor *from = copied_tensor(q);
        Place *places = q->out->batched ? b->lanes : b->rows;
        if (!from || places[q->out->id].storage->kind != STORAGE_WORK ||
            !same_bytes(b, q, &places[q->out->id].layout, &places[from->id].layout))
            continue;
        places[from->id].storage->wanted |= q->out->wanted;
        places[q->out->id].storage = places[from->id].storage;
        b->is_view[i] = true;
    }
}
