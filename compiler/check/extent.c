/* extent.c -- how far indices run, and which axes a name without subscripts implies. Looks at the tree only; what must be
 * evaluated on the way (a pipeline inside an expression) is kept for element() to find. */
#include "check/value.h"

/* --- which axes do bare names imply? --- */

Val cached(Checker *c, Frame *f, const Node *n)
{
    for (int i = 0; i < c->cache.n; i++)
        if (c->cache.at[i].node == n && c->cache.at[i].frame == f)
            return c->cache.at[i].val;
    bool defaults = c->applies_default;
    Val v;
    if (defaults && n->kind == NODE_NAME && frame_find(f, n->text)) {
        v = frame_find(f, n->text)->val;
    } else {
        c->applies_default = false;
        v = eval(c, f, n);
        c->applies_default = defaults;
    }
    if (defaults && v.kind == VAL_LAYER && !c->element_default)
        v = apply(c, f, v, 2, (Val[]){c->output, c->label}, n);
    if (v.kind == VAL_LIST && v.n && v.items[0].kind == VAL_TENSOR) /* a loss and what it predicts */
        v = c->metric ? metric_table(c, f, v) : v.items[0];
    Cached made = {n, f, v};
    PUSH(c->arena, c->cache, made);
    return v;
}

static bool merge_shape(Checker *c, Frame *f, Elem *el, Tensor *t, const Node *n)
{
    int rank = sample_rank(f, t);
    const int64_t *size = sample_size(f, t);
    double count = elements(rank, size), implied = 1;

    for (int i = 0; i < el->nimplicit; i++)
        implied *= (double)el->implied[i]->size;
    if (rank == 0 || (count == 1 && el->nimplicit))
        return true; /* a tensor of one element is a number */
    if (!el->implicit || implied == 1) {
        elem_imply(c, el, rank, size);
        el->implied_at = n->span;
        return true;
    }
    bool same = rank == el->nimplicit;
    for (int i = 0; same && i < rank; i++)
        same = el->implied[i]->size == size[i];
    if (!same) {
        int64_t have[MAX_RANK];
        for (int i = 0; i < el->nimplicit; i++)
            have[i] = el->implied[i]->size;
        Mark marks[2] = {{n->span, sizes_text(c, rank, size)}, {el->implied_at, sizes_text(c, el->nimplicit, have)}};
        error_marks_in(c, f, n->span, marks, 2, "shapes differ: this is %s, what stands before is %s", marks[0].label, marks[1].label);
        if (rank && el->nimplicit)
            help("an equation says which elements meet: z[c, h, w] = x[c, h, w] * a[c]");
    }
    return same;
}

bool is_in_steps(const Node *n)
{
    return n->kind == NODE_CALL && n->n == 2 && n->child[1]->kind != NODE_ARG && n->child[0]->kind == NODE_NAME && strcmp(n->child[0]->text, "in_steps") == 0;
}

/* A call or pipe that works element by element on its arguments; all others are tensors of their own. */
bool inlines(Checker *c, Frame *f, const Node *n)
{
    const Node *fn = n->kind == NODE_PIPE ? n->child[1] : n->child[0];
    Def **defs;

    if (fn->kind == NODE_CALL && n->kind == NODE_PIPE)
        fn = fn->child[0];
    if (fn->kind != NODE_NAME)
        return false;
    Bind *b = frame_find(f, fn->text);
    if (b && b->val.kind == VAL_LAYER && b->val.layer->kind != LAYER_DEF)
        return false;
    int k = b ? defs_find(c, NULL, b->val.kind == VAL_LAYER ? b->val.layer->name : fn->text, &defs)
              : defs_find(c, c->space, fn->text, &defs);
    if (n->kind == NODE_CALL && op_find(fn->text) && !b && (!k || *defs[0]->space))
        return true;
    return k && defs[0]->node->flag == DEFINE_FN && !c->applies_default;
}

/* The axes that a bare name implies; *done says so when it is no loss or metric, which would be applied. */
static bool name_shape(Checker *c, Frame *f, const Node *n, Elem *el, bool *done)
{
    Bind *b = frame_find(f, n->text);
    bool found = false;

    *done = true;
    if (b)
        return b->val.kind != VAL_TENSOR || merge_shape(c, f, el, b->val.tensor, n);
    if (c->applies_default) {
        *done = false;
        return true;
    }
    global_value(c, n, &found);
    if (!c->data || found || op_find(n->text))
        return true;
    Val v = data_field(c, n->text, n->span, &found);
    if (found && v.kind == VAL_FIELD && v.raw->rank > 0)
        v = field_value(c, f, v, v.raw->rank, v.raw->size, 0, n->span);
    return !found || v.kind != VAL_TENSOR || merge_shape(c, f, el, v.tensor, n);
}

bool collect_shape(Checker *c, Frame *f, const Node *n, Elem *el)
{
    bool done, good;

    switch (n->kind) {
    case NODE_NAME:
        good = name_shape(c, f, n, el, &done);
        if (done)
            return good;
        break;
    case NODE_REDUCE:
    case NODE_SUBSCRIPT:
    case NODE_NEXT:
    case NODE_GRAD: {
        Bind *b = n->kind == NODE_NEXT || n->kind == NODE_GRAD
                      ? frame_find(f, arena_print(c->arena, "%s %s", n->kind == NODE_NEXT ? "next" : "grad", n->text))
                      : NULL;
        return !b || b->val.kind != VAL_TENSOR || merge_shape(c, f, el, b->val.tensor, n);
    }
    case NODE_BINARY:
    case NODE_UNARY:
    case NODE_CHOOSE: {
        bool yes;
        if (n->kind == NODE_CHOOSE && !dynamic(c, f, el, n->child[0])) {
            return !eval_condition(c, f, n->child[0], &yes) || collect_shape(c, f, n->child[yes ? 1 : 2], el);
        }
        for (int i = 0; i < n->n; i++)
            if (!collect_shape(c, f, n->child[i], el))
                return false;
        return true;
    }
    case NODE_ARG: return collect_shape(c, f, n->child[0], el);
    case NODE_CALL:
    case NODE_PIPE:
        if (is_in_steps(n))
            return true;
        if (!inlines(c, f, n))
            break;
        for (int i = n->kind == NODE_CALL; i < (n->kind == NODE_PIPE ? 1 : n->n); i++)
            if (!collect_shape(c, f, n->child[i], el))
                return false;
        return true;
    case NODE_MEMBER: break;
    default: return true;
    }
    if (n->kind != NODE_NAME && !dynamic(c, f, el, n) && !c->applies_default)
        return true;
    Val v = cached(c, f, n);
    if (v.kind == VAL_ERROR)
        return false;
    return v.kind != VAL_TENSOR || merge_shape(c, f, el, v.tensor, n);
}

/* --- sizes of indices --- */

static bool base_tensor(Checker *c, Frame *f, const Node *base, Tensor **t)
{
    Bind *b = base->kind == NODE_NAME ? frame_find(f, base->text)
              : base->kind == NODE_NEXT || base->kind == NODE_GRAD
                  ? frame_find(f, arena_print(c->arena, "%s %s", base->kind == NODE_NEXT ? "next" : "grad", base->text))
                  : NULL;
    Val v = b ? b->val : base->kind == NODE_NAME || base->kind == NODE_NEXT || base->kind == NODE_GRAD ? val_error() : cached(c, f, base);

    *t = v.kind == VAL_TENSOR ? v.tensor : NULL;
    return *t != NULL;
}

static bool shadows(const Node *reduce, const char *index)
{
    if (strcmp(reduce->text, "softmax") == 0)
        return false;
    for (int i = 0; i < reduce->child[0]->n; i++)
        if (reduce->child[0]->child[i]->kind == NODE_REDUCED && strcmp(reduce->child[0]->child[i]->text, index) == 0)
            return true;
    return false;
}

/* padded: whether a padded read x?[...] counts; it may be wider than its tensor. */
static bool range_in(Checker *c, Frame *f, const Node *n, const char *index, bool padded, Span *where, int64_t *size)
{
    Tensor *t;

    if (n->kind == NODE_REDUCE && shadows(n, index))
        return false;
    if (n->kind == NODE_SUBSCRIPT && (padded || !n->flag) && base_tensor(c, f, n->child[0], &t)) {
        int rank = sample_rank(f, t);
        for (int i = 1, axis = 0; i < n->n; i++, axis++) {
            if (n->child[i]->kind == NODE_ELLIPSIS)
                axis += rank - (n->n - 1);
            if (n->child[i]->kind == NODE_NAME && strcmp(n->child[i]->text, index) == 0 && axis < rank && axis >= 0) {
                *size = sample_size(f, t)[axis];
                *where = n->child[i]->span;
                return true;
            }
        }
    }
    for (int i = 0; i < n->n; i++)
        if (n->child[i] && range_in(c, f, n->child[i], index, padded, where, size))
            return true;
    return false;
}

bool find_range(Checker *c, Frame *f, const Node *n, const char *index, bool known, Span *where, int64_t *size)
{
    return range_in(c, f, n, index, false, where, size) || (!known && range_in(c, f, n, index, true, where, size));
}

bool find_ellipsis(Checker *c, Frame *f, const Node *n, int *rank, int64_t *size)
{
    Tensor *t;

    if (n->kind == NODE_REDUCE)
        for (int i = 0; i < n->child[0]->n; i++)
            if (n->child[0]->child[i]->kind == NODE_ELLIPSIS)
                return false;
    if (n->kind == NODE_SUBSCRIPT && base_tensor(c, f, n->child[0], &t)) {
        for (int i = 1; i < n->n; i++) {
            if (n->child[i]->kind != NODE_ELLIPSIS)
                continue;
            *rank = sample_rank(f, t) - (n->n - 2);
            if (*rank < 0)
                return false;
            for (int k = 0; k < *rank; k++)
                size[k] = sample_size(f, t)[i - 1 + k];
            return true;
        }
    }
    for (int i = 0; i < n->n; i++)
        if (n->child[i] && find_ellipsis(c, f, n->child[i], rank, size))
            return true;
    return false;
}
