/* load.c -- scopes of indices, and reading elements of tensors: bare names, subscripts, lists, random numbers. */
#include "check/value.h"

/* --- scopes --- */

Elem elem_new(Checker *c, const Frame *f)
{
    Elem el = {0};

    el.ambient[el.nambient++] = index_batch(c->graph);
    for (int i = 0; i < f->nlead; i++)
        el.ambient[el.nambient++] = index_new(c->arena, arena_print(c->arena, "t%d", i), f->lead[i]);
    return el;
}

void elem_imply(Checker *c, Elem *el, int rank, const int64_t *size)
{
    static const char *const names[] = {"i", "j", "k", "l", "m", "n", "o", "p"};

    el->implicit = true;
    el->nimplicit = rank;
    for (int i = 0; i < rank; i++)
        el->implied[i] = index_new(c->arena, names[i], size[i]);
}

bool elem_add(Checker *c, Frame *f, Elem *el, const char *name, Index *i, Span from)
{
    if (el->nambient + el->nimplicit + el->nindex >= MAX_BOX) {
        error_in(c, f, from.file < 0 && f->call ? f->call->span : from, "an equation has at most %d indices, those of the batch and of leading axes included", MAX_BOX);
        return false;
    }
    el->index[el->nindex].name = name;
    el->index[el->nindex].from = from;
    el->index[el->nindex++].value = expr_index(c->arena, i);
    return true;
}

Tensor *materialise(Checker *c, Frame *f, const char *name, How how, Expr *e, int nout, Index **out, Span at)
{
    int64_t size[MAX_RANK] = {0};
    Expr *subs[MAX_RANK];

    if (nout > MAX_RANK) {
        error_in(c, f, at, "a tensor has at most %d axes", MAX_RANK - 1);
        nout = MAX_RANK;
    }
    for (int i = 0; i < nout; i++) {
        size[i] = out[i]->size;
        subs[i] = expr_index(c->arena, out[i]);
    }
    if (!fits(c, f, name, nout, size, at))
        for (int i = 0; i < nout; i++)
            size[i] = 1; /* what follows can be computed with */
    Tensor *t = graph_tensor(c->graph, path_join(c, f->path, name), ROLE_TEMP, nout, size);
    t->batched = nout && out[0]->batch;
    t->where = at;
    Equation *q = graph_equation(c->graph, t, subs, how, e);
    q->layer = f->layer;
    q->where = at;
    if (how == EQ_ARGMAX)
        t->integer = true;
    if (how == EQ_MAP && e->kind == EXPR_LOAD && e->tensor->integer) { /* a copy of an index is an index */
        tensor_set_classes(c, t, tensor_classes(c, e->tensor));
        t->below = e->tensor->below;
    }
    return t;
}

static void mark_indices(Expr *e, Index **seen, int *n, unsigned walk)
{
    if (e->walk == walk)
        return;
    e->walk = walk;
    if (e->kind == EXPR_INDEX) {
        for (int i = 0; i < *n; i++)
            if (seen[i] == e->index)
                return;
        if (*n < MAX_BOX)
            seen[(*n)++] = e->index;
    }
    for (int i = 0; i < e->nargs; i++)
        mark_indices(e->args[i], seen, n, walk);
}

static bool among(Index *i, Index *const *seen, int n)
{
    for (int k = 0; k < n; k++)
        if (seen[k] == i)
            return true;
    return false;
}

/* Does e depend on indices of another scope? */
static bool is_foreign(const Elem *el, Expr *e)
{
    Index *seen[MAX_BOX];
    int n = 0;

    mark_indices(e, seen, &n, expr_walk());
    for (int i = 0; i < n; i++) {
        bool mine = among(seen[i], el->ambient, el->nambient) || among(seen[i], el->implied, el->nimplicit);
        for (int k = 0; k < el->nindex && !mine; k++)
            mine = el->index[k].value->kind == EXPR_INDEX && el->index[k].value->index == seen[i];
        if (!mine)
            return true;
    }
    return false;
}

/* The indices in scope that e depends on, ambient ones first and all of them if any. */
int elem_indices(const Elem *el, Expr *e, Index **out)
{
    Index *seen[MAX_BOX];
    int nseen = 0, n = 0;
    bool ambient = false;

    mark_indices(e, seen, &nseen, expr_walk());
    for (int i = 0; i < el->nambient; i++)
        ambient |= among(el->ambient[i], seen, nseen);
    for (int i = 0; i < el->nambient && ambient; i++)
        out[n++] = el->ambient[i];
    for (int i = 0; i < el->nindex; i++)
        if (el->index[i].value->kind == EXPR_INDEX && among(el->index[i].value->index, seen, nseen) && !among(el->index[i].value->index, out, n))
            out[n++] = el->index[i].value->index;
    for (int i = 0; i < el->nimplicit; i++)
        if (among(el->implied[i], seen, nseen) && !among(el->implied[i], out, n))
            out[n++] = el->implied[i];
    return n;
}

Val lift(Checker *c, Frame *f, const Node *n, const char *name)
{
    int ncache = c->cache.n;
    Elem el = elem_new(c, f);
    Index *out[MAX_BOX];
    Val v = val_error();

    if (collect_shape(c, f, n, &el)) {
        Expr *e = element(c, f, &el, n);
        if (e && is_foreign(&el, e)) {
            error_in(c, f, n->span, "this is one element, worked out where it stands: it is no tensor that a list or a layer could take");
        } else if (e) {
            Index *used[MAX_BOX];
            int nused = elem_indices(&el, e, used), nout = 0;
            for (int i = 0; i < el.nambient && nused && used[0]->batch; i++)
                out[nout++] = el.ambient[i];
            for (int i = 0; i < el.nimplicit; i++)
                out[nout++] = el.implied[i];
            v = val_tensor(materialise(c, f, name, EQ_MAP, e, nout, out, n->span), n->span);
        }
    }
    c->cache.n = ncache;
    return v;
}

/* --- loads --- */

static Expr *load(Checker *c, Frame *f, Elem *el, Tensor *t, Expr *const *subs, int nsubs, bool padded, Span at)
{
    Expr *all[MAX_RANK];
    int n = 0;

    for (int i = 0; t->batched && i < el->nambient && n < MAX_RANK - nsubs; i++)
        all[n++] = expr_index(c->arena, el->ambient[i]);
    for (int i = 0; i < nsubs; i++)
        all[n++] = subs[i];
    if (n != t->rank) {
        error_in(c, f, at, el->nambient ? "this has other leading axes than the place where it is used"
                                        : "this differs from sample to sample, and here there are no samples");
        return NULL;
    }
    return expr_load(c->arena, t, all, padded);
}

Expr *elem_load(Checker *c, Frame *f, Elem *el, Tensor *t, const Node *at)
{
    Expr *subs[MAX_RANK];
    int rank = sample_rank(f, t);

    if (elements(rank, sample_size(f, t)) == 1) { /* a tensor of one element is a number */
        for (int i = 0; i < rank; i++)
            subs[i] = el->implicit && el->nimplicit == rank && el->implied[i]->size == 1 ? expr_index(c->arena, el->implied[i])
                                                                                        : expr_number(c->arena, 0);
        return load(c, f, el, t, subs, rank, false, at->span);
    }
    if (rank && (!el->implicit || el->nimplicit != rank)) {
        if (!el->implicit)
            error_in(c, f, at->span, "this has axes %s: say which element, as in %s[...]", shape_text(c, f, t), at->kind == NODE_NAME ? at->text : "x");
        else
            error_in(c, f, at->span, "shapes differ: this is %s", shape_text(c, f, t));
        return NULL;
    }
    for (int i = 0; i < rank; i++) {
        if (el->implied[i]->size != sample_size(f, t)[i]) {
            error_in(c, f, at->span, "shapes differ: this is %s", shape_text(c, f, t));
            return NULL;
        }
        subs[i] = expr_index(c->arena, el->implied[i]);
    }
    return load(c, f, el, t, subs, rank, false, at->span);
}

static bool in_bounds(Checker *c, Frame *f, const Expr *sub, const Tensor *t, int axis, Span at)
{
    int64_t low, high, size = sample_size(f, t)[axis];

    if (sub->kind == EXPR_LOAD && sub->tensor->integer) {
        int classes = tensor_classes(c, sub->tensor);
        if (classes <= size)
            return true;
        error_in(c, f, at, "this index goes to %d, but the axis has %lld elements", classes - 1, (long long)size);
        return false;
    }
    if (!expr_range(sub, &low, &high)) {
        error_in(c, f, at, "cannot prove that this subscript stays within 0..%lld", (long long)size - 1);
        help("x?[...] reads 0 outside");
        return false;
    }
    if (low >= 0 && high < size)
        return true;
    error_in(c, f, at, "this subscript runs from %lld to %lld, but the axis has elements 0..%lld", (long long)low,
             (long long)high, (long long)size - 1);
    help("x?[...] reads 0 outside");
    return false;
}

/* Two places where an index stands alone must agree. */
static bool same_range(Checker *c, Frame *f, const Elem *el, const Node *sub, int64_t size)
{
    if (sub->kind != NODE_NAME)
        return true;
    for (int i = el->nindex; i-- > 0;) {
        if (strcmp(el->index[i].name, sub->text) != 0)
            continue;
        const Expr *e = el->index[i].value;
        if (e->kind != EXPR_INDEX || e->index->size == size || el->index[i].from.file < 0)
            return true;
        Mark marks[2] = {{sub->span, arena_print(c->arena, "%lld", (long long)size)},
                         {el->index[i].from, arena_print(c->arena, "%lld", (long long)e->index->size)}};
        error_marks_in(c, f, sub->span, marks, 2, "the index '%s' runs over %lld places here, but over %lld there", sub->text,
                       (long long)size, (long long)e->index->size);
        help("x?[...] may be read in part, or beyond its end");
        return false;
    }
    return true;
}

/* random[c, ...]: a number of its own for every sample and every value of the indices. */
static Expr *random_element(Checker *c, Frame *f, Elem *el, const Node *n)
{
    Expr *at = expr_number(c->arena, 0), *part[MAX_BOX];
    int nparts = 0;

    for (int i = 0; i < el->nambient; i++)
        part[nparts++] = expr_index(c->arena, el->ambient[i]);
    for (int i = 1; i < n->n; i++) {
        for (int k = 0; n->child[i]->kind == NODE_ELLIPSIS && k < el->nimplicit; k++)
            part[nparts++] = expr_index(c->arena, el->implied[k]);
        if (n->child[i]->kind == NODE_ELLIPSIS)
            continue;
        Expr *e = element(c, f, el, n->child[i]);
        if (!e)
            return NULL;
        if (e->kind != EXPR_INDEX) {
            error_in(c, f, n->child[i]->span, "random takes indices, as in random[c, ...]");
            return NULL;
        }
        part[nparts++] = e;
    }
    for (int i = 0; i < nparts; i++) {
        Expr *wider = expr_op(c->arena, "mul", at, expr_number(c->arena, (double)part[i]->index->size), NULL);
        at = expr_op(c->arena, "add", wider, part[i], NULL);
    }
    return expr_random(c->arena, stream_of(f->path, f->nrandom++), at);
}

Val subscripted(Checker *c, Frame *f, const Node *base)
{
    if (base->kind == NODE_NEXT || base->kind == NODE_GRAD) {
        const char *name = arena_print(c->arena, "%s %s", base->kind == NODE_NEXT ? "next" : "grad", base->text);
        Bind *b = frame_find(f, name);
        if (b)
            return b->val;
        error_in(c, f, base->span, base->kind == NODE_NEXT ? "no 'next %s = ...' stands before this" : "'grad %s' has a meaning only where a derivative is given", base->text);
        return val_error();
    }
    return base->kind == NODE_NAME ? eval(c, f, base) : cached(c, f, base);
}

/* list[i] with an index: one choice after the other. */
static Expr *element_of_list(Checker *c, Frame *f, Elem *el, const Node *n, Val list)
{
    Expr *i = element(c, f, el, n->child[1]), *y = NULL;
    int64_t low, high;

    if (!i)
        return NULL;
    if (expr_range(i, &low, &high) && (low < 0 || high >= list.n)) {
        error_in(c, f, n->child[1]->span, "the list has elements 0..%d, this subscript runs from %lld to %lld", list.n - 1, (long long)low, (long long)high);
        return NULL;
    }
    for (int k = list.n; k-- > 0;) {
        Expr *item = element_value(c, f, el, n, list.items[k]);
        if (!item)
            return NULL;
        y = y ? expr_op(c->arena, "select", expr_op(c->arena, "eq", i, expr_number(c->arena, k), NULL), item, y) : item;
    }
    return y;
}

Expr *element_subscript(Checker *c, Frame *f, Elem *el, const Node *n)
{
    const Node *base = n->child[0];
    Expr *subs[MAX_RANK];
    int nsubs = 0, rank;

    if (base->kind == NODE_NAME && strcmp(base->text, "random") == 0 && !frame_find(f, "random"))
        return random_element(c, f, el, n);
    Val v = subscripted(c, f, base);
    if (v.kind == VAL_ERROR)
        return NULL;
    if (v.kind == VAL_FIELD)
        v = field_value(c, f, v, 0, NULL, 0, base->span);
    if (v.kind == VAL_LIST && n->n == 2)
        return element_of_list(c, f, el, n, v);
    if (v.kind != VAL_TENSOR) {
        if (v.kind != VAL_ERROR)
            error_in(c, f, base->span, "only a tensor has subscripts, this is %s", val_kind(c, v));
        return NULL;
    }
    rank = sample_rank(f, v.tensor);
    if (n->n == 2 && n->child[1]->kind == NODE_ELLIPSIS && elements(rank, sample_size(f, v.tensor)) == 1)
        return elem_load(c, f, el, v.tensor, n); /* t[...] of one number */
    for (int i = 1; i < n->n; i++) {
        const Node *s = n->child[i];
        if (s->kind == NODE_ELLIPSIS) {
            if (!el->implicit || rank - (n->n - 2) != el->nimplicit) {
                error_in(c, f, s->span, "'...' stands for %d ax%cs here, but for %d elsewhere", rank - (n->n - 2), rank - (n->n - 2) == 1 ? 'i' : 'e', el->nimplicit);
                return NULL;
            }
            for (int k = 0; k < el->nimplicit && nsubs < MAX_RANK; k++, nsubs++) {
                if (nsubs < rank && el->implied[k]->size != sample_size(f, v.tensor)[nsubs]) {
                    error_in(c, f, n->span, "shapes differ: '...' does not fit %s", shape_text(c, f, v.tensor));
                    return NULL;
                }
                subs[nsubs] = expr_index(c->arena, el->implied[k]);
            }
            continue;
        }
        Expr *e = element(c, f, el, s);
        if (!e)
            return NULL;
        if (nsubs >= rank) {
            nsubs++;
            continue;
        }
        if (!expr_whole(e)) {
            error_in(c, f, s->span, "a subscript must be a whole number");
            help("'//' divides and rounds down");
            return NULL;
        }
        if (!n->flag && !(same_range(c, f, el, s, sample_size(f, v.tensor)[nsubs]) && in_bounds(c, f, e, v.tensor, nsubs, s->span)))
            return NULL;
        subs[nsubs++] = e;
    }
    if (nsubs != rank) {
        error_in(c, f, n->span, "%d subscript%s for the axes %s", nsubs, nsubs == 1 ? "" : "s", shape_text(c, f, v.tensor));
        return NULL;
    }
    return load(c, f, el, v.tensor, subs, nsubs, n->flag != 0, n->span);
}
