/* equation.c -- y[o, i] = ...: the ranges of the indices on the left, and the equation. */
#include "check/value.h"

const Node *output_port(const Frame *f, const char *name)
{
    const Node *outputs = f->def ? def_part(f->def, NODE_PORTS, 1) : NULL;

    for (int i = 0; outputs && i < outputs->n; i++)
        if (strcmp(outputs->child[i]->text, name) == 0)
            return outputs->child[i];
    return NULL;
}

bool port_size(Checker *c, Frame *f, Left *l)
{
    const Node *port = output_port(f, l->name), *list = port ? port->child[0] : NULL;

    if (!list)
        return false;
    if (list->n > MAX_RANK - 1)
        return false;
    for (int i = 0; i < list->n; i++) {
        l->size[i] = 0;
        if (list->child[i]->kind != NODE_ELLIPSIS && !want_size(c, f, list->child[i], eval(c, f, list->child[i]), &l->size[i]))
            return false;
    }
    l->rank = list->n;
    l->sized_at = port->span;
    return true;
}

/* alone: it is a subscript by itself, not part of a compound one. */
static bool declare(Checker *c, Frame *f, Elem *el, const char *name, const Node *right, const int64_t *size, bool alone, Span at)
{
    int64_t range = 0, found;
    Span where;

    for (int i = 0; i < el->nindex; i++)
        if (strcmp(el->index[i].name, name) == 0)
            return true;
    if (size)
        range = *size;
    if (find_range(c, f, right, name, size != NULL, &where, &found)) {
        if (size && found != range) {
            Mark m = {where, arena_print(c->arena, "%lld here", (long long)found)};
            error_marks_in(c, f, at, &m, 1, "the index '%s' runs over %lld places here, but over %lld there", name,
                           (long long)range, (long long)found);
            help("x?[...] may be read in part, or beyond its end");
            return false;
        }
        range = found;
    } else if (!size) {
        error_in(c, f, at, "nothing gives the index '%s' its range: it stands alone in no subscript", name);
        if (alone)
            help("write its range: %s in N", name);
        else
            help("read with a compound subscript instead of writing with one: y[i] = x[i // 2, i mod 2]");
        return false;
    }
    return elem_add(c, f, el, name, index_new(c->arena, name, range), size ? at : where);
}

/* Names inside a compound subscript on the left that are no numbers are indices. */
static bool declare_inside(Checker *c, Frame *f, Elem *el, const Node *n, const Node *right)
{
    if (n->kind == NODE_NAME) {
        bool found;
        const Bind *b = frame_find(f, n->text);
        if (b && b->val.kind == VAL_NUMBER)
            return true;
        if (!b) {
            global_value(c, n, &found);
            if (found)
                return true;
        }
        return declare(c, f, el, n->text, right, NULL, false, n->span);
    }
    for (int i = 0; i < n->n; i++)
        if (!declare_inside(c, f, el, n->child[i], right))
            return false;
    return true;
}

/* What the header says of the axis at subs[i], or NULL. */
static const int64_t *left_size(const Left *l, int i)
{
    return l->sized && l->rank == l->nsubs && l->size[i] ? &l->size[i] : NULL;
}

/* y[...] in a header with x[...]: it stands for the same axes, whether x is read or not. */
static bool header_dots(const Frame *f, const char *name, int *rank, int64_t *size)
{
    const Node *port = output_port(f, name), *list = port ? port->child[0] : NULL;

    if (!f->has_dots || !list)
        return false;
    *rank = f->ndots;
    memcpy(size, f->dots, (size_t)f->ndots * sizeof *size);
    for (int i = 0; i < list->n; i++)
        if (list->child[i]->kind == NODE_ELLIPSIS)
            return true;
    return false;
}

static bool declare_left(Checker *c, Frame *f, Elem *el, const Left *l, const Node *right)
{
    int rank;
    int64_t size[MAX_RANK];

    for (int i = 0; i < l->nsubs; i++) {
        const Node *s = l->subs[i];
        if (s->kind == NODE_ELLIPSIS) {
            if (!find_ellipsis(c, f, right, &rank, size) && !header_dots(f, l->name, &rank, size)) {
                error_in(c, f, s->span, "nothing on the right says what '...' stands for");
                return false;
            }
            elem_imply(c, el, rank, size);
        }
    }
    if (l->sized && l->rank != l->nsubs && !el->implicit) {
        error_in(c, f, l->sized_at, "'%s' has %d ax%cs here, but %d subscript%s", l->name, l->rank, l->rank == 1 ? 'i' : 'e', l->nsubs, l->nsubs == 1 ? "" : "s");
        return false;
    }
    for (int i = 0; i < l->nsubs; i++) {
        const int64_t *known = left_size(l, i);
        if (l->subs[i]->kind == NODE_NAME && !declare(c, f, el, l->subs[i]->text, right, known, true, l->subs[i]->span))
            return false;
    }
    for (int i = 0; i < l->nsubs; i++)
        if (l->subs[i]->kind != NODE_NAME && l->subs[i]->kind != NODE_ELLIPSIS && !declare_inside(c, f, el, l->subs[i], right))
            return false;
    return true;
}

/* Subscripts and sizes of the result, without the ambient axes; how many, or -1. */
static int left_axes(Checker *c, Frame *f, Elem *el, const Left *l, Expr **at, int64_t *size)
{
    int n = 0;

    for (int i = 0; i < l->nsubs; i++) {
        if (l->subs[i]->kind == NODE_ELLIPSIS) {
            for (int k = 0; k < el->nimplicit && n < MAX_RANK; k++, n++) {
                at[n] = expr_index(c->arena, el->implied[k]);
                size[n] = el->implied[k]->size;
            }
            continue;
        }
        Expr *e = element(c, f, el, l->subs[i]);
        int64_t low, high;
        if (!e)
            return -1;
        if (n >= MAX_RANK - 1) {
            error_in(c, f, l->subs[i]->span, "a tensor has at most %d axes", MAX_RANK - 1);
            return -1;
        }
        if (!expr_whole(e) || !expr_range(e, &low, &high) || low < 0) {
            error_in(c, f, l->subs[i]->span, "this subscript does not stay within the tensor");
            return -1;
        }
        at[n] = e;
        size[n] = e->kind == EXPR_INDEX ? e->index->size : high + 1;
        const int64_t *known = left_size(l, i);
        if (known && high >= *known) {
            error_in(c, f, l->subs[i]->span, "this subscript goes to %lld, but the axis has elements 0..%lld", (long long)high, (long long)*known - 1);
            return -1;
        }
        if (known)
            size[n] = *known;
        n++;
    }
    return n;
}

/* y[k in 8]: the range is known as if the header said it; what is left is the index. */
static bool written_ranges(Checker *c, Frame *f, Left *l)
{
    const Node **subs = NEW_ARRAY(c->arena, const Node *, l->nsubs + 1);

    for (int i = 0; i < l->nsubs; i++) {
        const Node *s = subs[i] = l->subs[i];
        const int64_t *known = left_size(l, i);
        int64_t size;
        if (s->kind != NODE_REDUCED)
            continue;
        if (!written_size(c, f, s, &size))
            return false;
        if (known && *known != size) {
            error_in(c, f, s->span, "'%s' has %lld places here, but %lld in the header", l->name, (long long)size, (long long)*known);
            return false;
        }
        if (!l->sized) {
            l->sized = true;
            l->rank = l->nsubs;
            memset(l->size, 0, sizeof l->size);
        }
        if (i < MAX_RANK)
            l->size[i] = size;
        Node *name = NEW(c->arena, Node);
        *name = (Node){.kind = NODE_NAME, .text = s->text, .span = s->name};
        subs[i] = name;
    }
    l->subs = subs;
    return true;
}

static bool uses_ambient(const Elem *el, Expr *e)
{
    Index *used[MAX_BOX];
    Elem only = *el;

    only.nindex = only.nimplicit = 0;
    return elem_indices(&only, e, used) > 0;
}

/* y[...] += e: the value so far is added. NULL after an error. */
static Expr *add_to_old(Checker *c, Frame *f, const Left *l, Tensor *old, int ambient, int n, Expr **at, Expr *e, Span where)
{
    Expr *subs[MAX_RANK];
    int m = 0;

    for (int i = old->batched ? 0 : ambient; i < n + ambient; i++)
        subs[m++] = at[i];
    if (m != old->rank) {
        error_in(c, f, where, "'%s' has other axes: %s", l->name, shape_text(c, f, old));
        return NULL;
    }
    return expr_op(c->arena, "add", expr_load(c->arena, old, subs, false), e, NULL);
}

/* The right side as an element; a plain sum or maximum stands directly in the equation. */
static Expr *right_side(Checker *c, Frame *f, Elem *el, const Node *right, bool direct, How *how)
{
    bool plain = false;
    int ncache = c->cache.n;
    Expr *e = direct ? reduce_direct(c, f, el, right, how, &plain) : NULL;

    if (!plain)
        e = element(c, f, el, right);
    c->cache.n = ncache;
    return e;
}

Tensor *equation(Checker *c, Frame *f, const Left *left, const Node *right, Tensor *add_to, Span where)
{
    Elem el = elem_new(c, f);
    Expr *at[MAX_RANK + MAX_RANK];
    int64_t size[MAX_RANK + MAX_RANK];
    How how = EQ_MAP;
    Left whole = *left, *l = &whole;

    if (!written_ranges(c, f, l))
        return NULL;

    const char *outer = c->defining;
    c->defining = l->name;
    Expr *e = declare_left(c, f, &el, l, right) ? right_side(c, f, &el, right, !add_to, &how) : NULL;
    c->defining = outer;
    if (!e)
        return NULL;
    bool batched = uses_ambient(&el, e) || (add_to && add_to->batched);
    int ambient = batched ? el.nambient : 0;
    for (int i = 0; i < ambient; i++) {
        at[i] = expr_index(c->arena, el.ambient[i]);
        size[i] = el.ambient[i]->size;
    }
    int n = left_axes(c, f, &el, l, at + ambient, size + ambient);
    if (n < 0)
        return NULL;
    if (n + ambient > MAX_RANK) {
        error_in(c, f, where, "a tensor has at most %d axes", MAX_RANK - 1);
        return NULL;
    }
    if (!fits(c, f, l->name, n + ambient, size, where) ||
        (add_to && !(e = add_to_old(c, f, l, add_to, ambient, n, at, e, where))))
        return NULL;
    Tensor *t = graph_tensor(c->graph, path_join(c, f->path, l->name), ROLE_TEMP, n + ambient, size);
    t->batched = batched;
    t->where = where;
    Equation *q = graph_equation(c->graph, t, at, how, e);
    /* what writes a place twice or leaves one out is a sum */
    if (how == EQ_MAP && !equation_covers(q))
        q->how = EQ_SUM;
    q->layer = f->layer;
    q->where = where;
    if (how == EQ_MAP && e->kind == EXPR_LOAD && e->tensor->integer) {
        tensor_set_classes(c, t, tensor_classes(c, e->tensor));
        t->below = e->tensor->below;
    }
    return t;
}
