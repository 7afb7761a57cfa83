/* reduce.c -- sum, prod, max, min, mean, argmax, any, all, softmax, logsumexp: each an equation of its own.
 *
 * Over the batch only samples b < count are real, so the operand is guarded there. In a metric the batch is the whole
 * split: the sum of each batch is added to a state, and the report reads the states. */
#include "check/value.h"

#include <math.h>

/* What a reduction runs over. */
typedef struct Reduced {
    Elem inner;   /* scope of the body */
    Index *index[MAX_BOX];
    int n;
    bool batch;
} Reduced;

static Expr *op2(Checker *c, const char *op, Expr *x, Expr *y) { return expr_op(c->arena, op, x, y, NULL); }

Expr *batch_guard(Checker *c, const Elem *el, Expr *e, double otherwise)
{
    Expr *count = expr_scalar(c->arena, graph_scalar(c->graph, "count"));
    Expr *real = op2(c, "lt", expr_index(c->arena, el->ambient[0]), count);

    return expr_op(c->arena, "select", real, e, expr_number(c->arena, otherwise));
}

bool written_size(Checker *c, Frame *f, const Node *r, int64_t *size)
{
    Val v = eval(c, f, r->child[0]);

    if (v.kind == VAL_RANGE && v.number == 0)
        v = val_number(v.until);
    else if (v.kind == VAL_RANGE) {
        error_in(c, f, r->span, "an index runs from 0: add %s where it is used", number_text(c->arena, v.number));
        return false;
    }
    return want_size(c, f, r->child[0], v, size);
}

static bool reduced_range(Checker *c, Frame *f, const Node *r, const Node *body, int64_t *size, Span *where)
{
    *where = NOWHERE;
    if (r->n && r->child[0])
        return written_size(c, f, r, size);
    if (find_range(c, f, body, r->text, false, where, size))
        return true;
    error_in(c, f, r->span, "nothing gives the index '%s' its range: it stands alone in no subscript", r->text);
    help("write its range: %s in N", r->text);
    return false;
}

static bool open_ellipsis(Checker *c, Frame *f, const Node *n, Reduced *r)
{
    int rank;
    int64_t size[MAX_RANK];

    if (find_ellipsis(c, f, n->child[1], &rank, size)) {
        elem_imply(c, &r->inner, rank, size);
    } else {
        Elem shape = {0};
        if (!collect_shape(c, f, n->child[1], &shape))
            return false;
        int64_t implied[MAX_RANK];
        for (int i = 0; i < shape.nimplicit; i++)
            implied[i] = shape.implied[i]->size;
        elem_imply(c, &r->inner, shape.nimplicit, implied);
    }
    for (int i = 0; i < r->inner.nimplicit; i++)
        r->index[r->n++] = r->inner.implied[i];
    return true;
}

static bool open_scope(Checker *c, Frame *f, const Elem *el, const Node *n, Reduced *r)
{
    *r = (Reduced){.inner = *el};
    for (int i = 0; i < n->child[0]->n; i++) {
        const Node *x = n->child[0]->child[i];
        int64_t size;
        Span from;
        if (x->kind == NODE_ELLIPSIS) {
            if (!open_ellipsis(c, f, n, r))
                return false;
            continue;
        }
        if (strcmp(x->text, "batch") == 0 && !frame_find(f, "batch")) {
            Elem fresh = elem_new(c, f);
            r->batch = true;
            r->inner.nambient = fresh.nambient;
            for (int k = 0; k < fresh.nambient; k++) {
                r->inner.ambient[k] = fresh.ambient[k];
                r->index[r->n++] = fresh.ambient[k];
            }
            continue;
        }
        if (!reduced_range(c, f, x, n->child[1], &size, &from))
            return false;
        Index *ix = index_new(c->arena, x->text, size);
        if (!elem_add(c, f, &r->inner, x->text, ix, from))
            return false;
        r->index[r->n++] = ix;
    }
    return true;
}

/* How many points it runs over: a number, times the samples there are. */
static double points(const Reduced *r)
{
    double n = 1;

    for (int i = 0; i < r->n; i++)
        n *= r->index[i]->batch ? 1 : (double)r->index[i]->size;
    return n;
}

/* An index the operand does not mention multiplies a sum by its size and leaves a maximum alone. */
static Expr *count_unused(Checker *c, const Reduced *r, Expr *e, How how)
{
    for (int i = 0; i < r->n; i++)
        if (how == EQ_SUM && !r->index[i]->batch && !expr_has_index(e, r->index[i]))
            e = op2(c, "mul", e, expr_number(c->arena, (double)r->index[i]->size));
    return e;
}

/* The equation t[outer] how= e, and t's element. */
static Expr *reduce_to(Checker *c, Frame *f, const Elem *el, const char *name, How how, Expr *e, Span at)
{
    Index *outer[MAX_BOX];
    Expr *subs[MAX_RANK];
    int n = elem_indices(el, e, outer);
    Tensor *t = materialise(c, f, name, how, e, n, outer, at);

    for (int i = 0; i < t->rank; i++)
        subs[i] = expr_index(c->arena, outer[i]);
    return expr_load(c->arena, t, subs, false);
}

/* In a metric: adds the batch's sum to its state; gives the state's element. */
static Expr *through_state(Checker *c, Frame *f, Expr *sum, const char *name, Span at)
{
    Tensor *batch = sum->tensor;
    Tensor *state = kept_tensor(c, name, KEPT_METRIC, batch->rank, batch->size, f, at);
    Expr *old = expr_load(c->arena, state, sum->args, false);

    if (c->report)
        return old;
    Index *out[MAX_BOX];
    for (int i = 0; i < batch->rank; i++)
        out[i] = sum->args[i]->index;
    Tensor *t = materialise(c, f, "total", EQ_MAP, op2(c, "add", old, sum), batch->rank, out, at);
    kept_next(state, t);
    return expr_load(c->arena, t, sum->args, false);
}

static Expr *metric_samples(Checker *c)
{
    Tensor *state = kept_tensor(c, "metric.samples", KEPT_METRIC, 0, NULL, NULL, NOWHERE);

    if (!c->report && !state->next) {
        Expr *more = op2(c, "add", expr_scalar(c->arena, state), expr_scalar(c->arena, graph_scalar(c->graph, "count")));
        Tensor *t = graph_tensor(c->graph, "samples", ROLE_TEMP, 0, NULL);
        graph_equation(c->graph, t, NULL, EQ_MAP, more);
        kept_next(state, t);
    }
    return expr_scalar(c->arena, c->report ? state : state->next);
}

static Expr *reduce_plain(Checker *c, Frame *f, const Elem *el, const Node *n, Reduced *r, Expr *e, const char *name, How how)
{
    bool mean = strcmp(name, "mean") == 0;
    double otherwise = how == EQ_MAX || how == EQ_ARGMAX ? -HUGE_VAL : how == EQ_MIN ? HUGE_VAL : how == EQ_PROD ? 1 : 0;

    e = count_unused(c, r, e, how);
    if (r->batch) {
        e = batch_guard(c, &r->inner, e, otherwise);
        if (c->metric && how != EQ_SUM) {
            error_in(c, f, n->span, "in a metric only sums and means run over the batch: it is the whole split");
            return NULL;
        }
    } else {
        bool any = false;
        for (int i = 0; i < r->n; i++)
            any |= expr_has_index(e, r->index[i]);
        if (!any && how != EQ_PROD && how != EQ_ARGMAX)
            return mean ? op2(c, "mul", e, expr_number(c->arena, 1 / points(r))) : e;
    }
    Expr *sum = reduce_to(c, f, el, name, how, e, n->span);
    if (how == EQ_ARGMAX) {
        tensor_set_classes(c, sum->tensor, (int)points(r));
        sum->tensor->below = (int64_t)points(r);
    }
    if (r->batch && c->metric)
        sum = through_state(c, f, sum, arena_print(c->arena, "metric.%s.%d", c->metric, ++c->nsums), n->span);
    if (!mean)
        return sum;
    if (!r->batch)
        return op2(c, "mul", sum, expr_number(c->arena, 1 / points(r)));
    Expr *samples = c->metric ? metric_samples(c) : expr_scalar(c->arena, graph_scalar(c->graph, "count"));
    return op2(c, "div", sum, op2(c, "mul", samples, expr_number(c->arena, points(r))));
}

/* softmax[c] e and logsumexp[c] e, less the largest e first so that exp stays finite. */
static Expr *reduce_exp(Checker *c, Frame *f, Elem *el, const Node *n, Reduced *r, Expr *e)
{
    bool softmax = strcmp(n->text, "softmax") == 0;
    Index *all[MAX_BOX];
    Expr *subs[MAX_RANK];
    Elem scope = *el;

    if (r->batch || r->n != 1) {
        error_in(c, f, n->span, "%s runs over one index", n->text);
        return NULL;
    }
    Expr *top = expr_op(c->arena, "detach", reduce_to(c, f, el, "top", EQ_MAX, e, n->span), NULL, NULL);
    Expr *power = expr_op(c->arena, "exp", op2(c, "sub", e, top), NULL, NULL);
    if (!softmax)
        return op2(c, "add", top, expr_op(c->arena, "log", reduce_to(c, f, el, "sum", EQ_SUM, power, n->span), NULL, NULL));
    if (!elem_add(c, f, &scope, "", r->index[0], NOWHERE))
        return NULL;
    int nall = elem_indices(&scope, power, all);
    Tensor *t = materialise(c, f, "exp", EQ_MAP, power, nall, all, n->span);
    for (int i = 0; i < nall; i++)
        subs[i] = expr_index(c->arena, all[i]);
    Expr *sum = reduce_to(c, f, el, "sum", EQ_SUM, expr_load(c->arena, t, subs, false), n->span);
    Expr *here = NULL;
    for (int i = el->nindex; i-- > 0 && !here;)
        if (strcmp(el->index[i].name, r->index[0]->name) == 0)
            here = el->index[i].value;
    if (!here) {
        error_in(c, f, n->span, "softmax[%s] gives a value for each '%s': it must be an index here too", r->index[0]->name, r->index[0]->name);
        return NULL;
    }
    for (int i = 0; i < nall; i++)
        if (all[i] == r->index[0])
            subs[i] = here;
    return op2(c, "div", expr_load(c->arena, t, subs, false), sum);
}

/* sum[a in list] e: written out. */
static Expr *reduce_list(Checker *c, Frame *f, Elem *el, const Node *n, const Node *r, Val list)
{
    static const char *const ops[][2] = {{"sum", "add"}, {"mean", "add"}, {"prod", "mul"}, {"max", "max"}, {"min", "min"}, {"any", "or"}, {"all", "and"}};
    const char *op = NULL;
    Expr *y = NULL;

    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (strcmp(ops[i][0], n->text) == 0)
            op = ops[i][1];
    if (!op || !list.n) {
        error_in(c, f, n->span, "%s does not run over %s", n->text, list.n ? "a list" : "an empty list");
        return NULL;
    }
    for (int i = 0; i < list.n; i++) {
        Frame *g = frame_new(c, f, f);
        frame_bind(c, g, r->text, list.items[i], r->span)->used = true;
        Expr *e = element(c, g, el, n->child[1]);
        if (!e)
            return NULL;
        y = y ? op2(c, op, y, e) : e;
    }
    return strcmp(n->text, "mean") == 0 ? op2(c, "mul", y, expr_number(c->arena, 1.0 / list.n)) : y;
}

static const struct { const char *name; How how; } hows[] = {
    {"sum", EQ_SUM}, {"mean", EQ_SUM}, {"prod", EQ_PROD}, {"max", EQ_MAX}, {"min", EQ_MIN}, {"argmax", EQ_ARGMAX}, {"any", EQ_MAX}, {"all", EQ_MIN}};

Expr *reduce_direct(Checker *c, Frame *f, Elem *el, const Node *n, How *how, bool *plain)
{
    Reduced r;

    *plain = n->kind == NODE_REDUCE && (strcmp(n->text, "sum") == 0 || strcmp(n->text, "max") == 0 || strcmp(n->text, "min") == 0);
    for (int i = 0; *plain && i < n->child[0]->n; i++) {
        const Node *x = n->child[0]->child[i];
        if (x->kind == NODE_REDUCED && ((strcmp(x->text, "batch") == 0 && !frame_find(f, "batch")) || (x->n && x->child[0] && x->child[0]->kind != NODE_RANGE && eval(c, f, x->child[0]).kind == VAL_LIST)))
            *plain = false;
    }
    if (!*plain || !open_scope(c, f, el, n, &r))
        return NULL;
    Expr *e = element(c, f, &r.inner, n->child[1]);
    if (!e)
        return NULL;
    *how = n->text[0] == 's' ? EQ_SUM : strcmp(n->text, "max") == 0 ? EQ_MAX : EQ_MIN;
    bool any = false;
    for (int i = 0; i < r.n; i++)
        any |= expr_has_index(e, r.index[i]);
    if (!any) {
        *how = EQ_MAP;
        return n->text[0] == 's' ? op2(c, "mul", e, expr_number(c->arena, points(&r))) : e;
    }
    return count_unused(c, &r, e, *how);
}

Expr *reduce(Checker *c, Frame *f, Elem *el, const Node *n)
{
    const Node *first = n->child[0]->child[0];
    Reduced r;

    if (n->child[0]->n == 1 && first->kind == NODE_REDUCED && first->n && first->child[0] && first->child[0]->kind != NODE_RANGE &&
        !dynamic(c, f, el, first->child[0])) {
        Val v = eval(c, f, first->child[0]);
        if (v.kind == VAL_LIST)
            return reduce_list(c, f, el, n, first, v);
    }
    if (!open_scope(c, f, el, n, &r))
        return NULL;
    Expr *e = element(c, f, &r.inner, n->child[1]);
    if (!e)
        return NULL;
    if (strcmp(n->text, "softmax") == 0 || strcmp(n->text, "logsumexp") == 0)
        return reduce_exp(c, f, el, n, &r, e);
    for (size_t i = 0; i < sizeof hows / sizeof *hows; i++) {
        if (strcmp(hows[i].name, n->text) != 0)
            continue;
        if (n->text[0] == 'a' && n->text[1] != 'r')
            e = expr_op(c->arena, "select", e, expr_number(c->arena, 1), expr_number(c->arena, 0));
        return reduce_plain(c, f, el, n, &r, e, n->text, hows[i].how);
    }
    bug("no reduction '%s'", n->text);
}

Expr *metric_mean(Checker *c, Frame *f, Val v)
{
    Tensor *t = v.tensor;
    Elem el = elem_new(c, f);
    Expr *subs[MAX_RANK];
    double rest = 1;

    if (!t->batched) { /* already over the split: the whole value */
        for (int i = 0; i < t->rank; i++)
            subs[i] = expr_index(c->arena, index_new(c->arena, "i", t->size[i]));
        return expr_load(c->arena, t, subs, false);
    }
    subs[0] = expr_index(c->arena, el.ambient[0]);
    for (int i = 1; i < t->rank; i++) {
        subs[i] = expr_index(c->arena, index_new(c->arena, "i", t->size[i]));
        rest *= (double)t->size[i];
    }
    Expr *e = batch_guard(c, &el, expr_load(c->arena, t, subs, false), 0);
    Tensor *sum = materialise(c, f, "sum", EQ_SUM, e, 0, NULL, t->where);
    Expr *total = through_state(c, f, expr_scalar(c->arena, sum), arena_print(c->arena, "metric.%s.0", c->metric), t->where);
    return op2(c, "div", total, op2(c, "mul", metric_samples(c), expr_number(c->arena, rest)));
}
