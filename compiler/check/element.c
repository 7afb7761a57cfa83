/* element.c -- element expressions: what stands on the right of an index equation, in a fn, in a loss.
 *
 * A name without subscripts means the element under the same indices: the axes it implies are found first
 * (collect_shape), then the expression is translated once (element). */
#include "check/value.h"

#include <stdio.h>

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

const char *temp_name(Checker *c, const Frame *f, const char *name) { return path_join(c, f->path, name); }

Tensor *materialise(Checker *c, Frame *f, const char *name, How how, Expr *e, int nout, Index **out, Span at)
{
    int64_t size[MAX_RANK];
    Expr *subs[MAX_RANK];

    if (nout > MAX_RANK) {
        error_in(c, f, at, "a tensor has at most %d axes", MAX_RANK - 1);
        nout = MAX_RANK;
    }
    for (int i = 0; i < nout; i++) {
        size[i] = out[i]->size;
        subs[i] = expr_index(c->arena, out[i]);
    }
    Tensor *t = graph_tensor(c->graph, temp_name(c, f, name), ROLE_TEMP, nout, size);
    t->batched = nout && out[0]->batch;
    t->where = at;
    Equation *q = graph_equation(c->graph, t, subs, how, e);
    q->layer = f->layer;
    q->where = at;
    if (how == EQ_ARGMAX)
        t->integer = true;
    return t;
}

static void mark_indices(const Expr *e, Index **seen, int *n)
{
    if (e->kind == EXPR_INDEX) {
        for (int i = 0; i < *n; i++)
            if (seen[i] == e->index)
                return;
        if (*n < MAX_BOX)
            seen[(*n)++] = e->index;
    }
    for (int i = 0; i < e->nargs; i++)
        mark_indices(e->args[i], seen, n);
}

static bool among(Index *i, Index *const *seen, int n)
{
    for (int k = 0; k < n; k++)
        if (seen[k] == i)
            return true;
    return false;
}

/* The indices in scope that e depends on, ambient ones first and all of them if any. */
int elem_indices(Checker *c, const Elem *el, const Expr *e, Index **out)
{
    Index *seen[MAX_BOX];
    int nseen = 0, n = 0;
    bool ambient = false;

    (void)c;
    mark_indices(e, seen, &nseen);
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
    int ncache = c->ncache;
    Elem el = elem_new(c, f);
    Index *out[MAX_BOX];
    Val v = val_error();

    if (collect_shape(c, f, n, &el)) {
        Expr *e = element(c, f, &el, n);
        if (e) {
            Index *used[MAX_BOX];
            int nused = elem_indices(c, &el, e, used), nout = 0;
            for (int i = 0; i < el.nambient && nused && used[0]->batch; i++)
                out[nout++] = el.ambient[i];
            for (int i = 0; i < el.nimplicit; i++)
                out[nout++] = el.implied[i];
            v = val_tensor(materialise(c, f, name, EQ_MAP, e, nout, out, n->span), n->span);
        }
    }
    c->ncache = ncache;
    return v;
}

/* --- loads --- */

static Expr *load(Checker *c, Elem *el, Tensor *t, Expr *const *subs, int nsubs, bool padded)
{
    Expr *all[MAX_RANK];
    int n = 0;

    for (int i = 0; t->batched && i < el->nambient; i++)
        all[n++] = expr_index(c->arena, el->ambient[i]);
    for (int i = 0; i < nsubs; i++)
        all[n++] = subs[i];
    if (n != t->rank)
        bug("%s has %d axes, but is read with %d subscripts", t->name, t->rank, n);
    return expr_load(c->arena, t, all, padded);
}

Expr *elem_load(Checker *c, Frame *f, Elem *el, Tensor *t, const Node *at)
{
    Expr *subs[MAX_RANK];
    int rank = sample_rank(f, t);
    int64_t count = 1;

    for (int i = 0; i < rank; i++)
        count *= sample_size(f, t)[i];
    if (count == 1) { /* a tensor of one element is a number */
        for (int i = 0; i < rank; i++)
            subs[i] = el->implicit && el->nimplicit == rank && el->implied[i]->size == 1 ? expr_index(c->arena, el->implied[i])
                                                                                        : expr_number(c->arena, 0);
        return load(c, el, t, subs, rank, false);
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
    return load(c, el, t, subs, rank, false);
}

bool in_bounds(Checker *c, Frame *f, const Expr *sub, const Tensor *t, int axis, Span at)
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

static Expr *random_element(Checker *c, Frame *f, Elem *el)
{
    Expr *at = expr_number(c->arena, 0);
    int n = el->nambient + el->nimplicit;
    Frame *body = f;

    for (int i = 0; i < n; i++) {
        Index *ix = i < el->nambient ? el->ambient[i] : el->implied[i - el->nambient];
        Expr *wider = expr_op(c->arena, "mul", at, expr_number(c->arena, (double)ix->size), NULL);
        at = expr_op(c->arena, "add", wider, expr_index(c->arena, ix), NULL);
    }
    return expr_random(c->arena, stream_of(f->path, body->nrandom++), at);
}

static Expr *element_value(Checker *c, Frame *f, Elem *el, const Node *n, Val v);

static Val subscripted(Checker *c, Frame *f, const Node *base)
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

static Expr *element_subscript(Checker *c, Frame *f, Elem *el, const Node *n)
{
    const Node *base = n->child[0];
    Expr *subs[MAX_RANK];
    int nsubs = 0, rank;

    if (base->kind == NODE_NAME && strcmp(base->text, "random") == 0 && !frame_find(f, "random"))
        return random_element(c, f, el);
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
        if (!n->flag && !in_bounds(c, f, e, v.tensor, nsubs, s->span))
            return NULL;
        subs[nsubs++] = e;
    }
    if (nsubs != rank) {
        error_in(c, f, n->span, "%d subscript%s for the axes %s", nsubs, nsubs == 1 ? "" : "s", shape_text(c, f, v.tensor));
        return NULL;
    }
    return load(c, el, v.tensor, subs, nsubs, n->flag != 0);
}

/* --- names and operators --- */

static Expr *duration_steps(Checker *c, Frame *f, Span at, double number, const char *unit)
{
    Expr *n = expr_number(c->arena, number);

    if (strcmp(unit, "epochs") == 0)
        return expr_op(c->arena, "mul", n, expr_scalar(c->arena, graph_scalar(c->graph, "steps_per_epoch")), NULL);
    if (strcmp(unit, "steps") == 0)
        return n;
    if (strcmp(unit, "samples") == 0)
        return expr_op(c->arena, "div", n, expr_number(c->arena, (double)c->program->batch), NULL);
    error_in(c, f, at, "here a duration is in epochs, steps or samples, not in %s", unit);
    return NULL;
}

static Expr *element_value(Checker *c, Frame *f, Elem *el, const Node *n, Val v)
{
    switch (v.kind) {
    case VAL_ERROR: return NULL;
    case VAL_EXPR: return v.expr;
    case VAL_NUMBER:
    case VAL_BOOL: return expr_number(c->arena, v.number);
    case VAL_PERCENT: return expr_number(c->arena, v.number / 100);
    case VAL_DURATION: return duration_steps(c, f, n->span, v.number, v.text);
    case VAL_TENSOR: return elem_load(c, f, el, v.tensor, n);
    case VAL_LAYER:
        if (c->element_default)
            return apply_element(c, f, el, v.layer, 0, NULL, n);
        error_in(c, f, n->span, "expected a number or a tensor, found %s", val_kind(c, v));
        return NULL;
    case VAL_FIELD: v = field_value(c, f, v, 0, NULL, 0, n->span); return element_value(c, f, el, n, v);
    default: error_in(c, f, n->span, "expected a number or a tensor, found %s", val_kind(c, v)); return NULL;
    }
}

static Expr *clock_element(Checker *c, Frame *f, const Node *n)
{
    if (strcmp(n->text, "lr") == 0 || strcmp(n->text, "grad_norm") == 0) {
        Tensor *t = graph_find(c->graph, n->text);
        if (t)
            return expr_scalar(c->arena, t);
        error_in(c, f, n->span, "'%s' is known only in %s", n->text, n->text[0] == 'l' ? "an optimizer" : "clip");
        return NULL;
    }
    return expr_scalar(c->arena, graph_scalar(c->graph, n->text));
}

static Expr *element_name(Checker *c, Frame *f, Elem *el, const Node *n)
{
    static const char *const clock[] = {"steps", "epoch", "steps_per_epoch", "total_steps", "valid_loss", "lr", "grad_norm"};
    bool found = false;

    for (int i = el->nindex; i-- > 0;)
        if (strcmp(el->index[i].name, n->text) == 0)
            return el->index[i].value;
    if (!frame_find(f, n->text)) {
        if (strcmp(n->text, "batch") == 0)
            return expr_scalar(c->arena, graph_scalar(c->graph, "count"));
        if (!c->applies_default)
            global_value(c, f, n, &found);
        for (size_t i = 0; i < sizeof clock / sizeof *clock && !found; i++)
            if (strcmp(clock[i], n->text) == 0)
                return clock_element(c, f, n);
    }
    Bind *b = frame_find(f, n->text);
    if (b) {
        b->used = true;
        return element_value(c, f, el, n, b->val);
    }
    return element_value(c, f, el, n, c->applies_default ? cached(c, f, n) : eval(c, f, n));
}

static const char *op_name(const char *text)
{
    static const char *const names[][2] = {{"+", "add"}, {"-", "sub"}, {"*", "mul"}, {"/", "div"}, {"//", "idiv"},
                                           {"mod", "mod"}, {"^", "pow"}, {"and", "and"}, {"or", "or"}, {"==", "eq"},
                                           {"!=", "ne"}, {"<", "lt"}, {"<=", "le"}, {">", "gt"}, {">=", "ge"}};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i][0], text) == 0)
            return names[i][1];
    return NULL;
}

static Expr *element_binary(Checker *c, Frame *f, Elem *el, const Node *n)
{
    const char *op = op_name(n->text);
    Expr *a = element(c, f, el, n->child[0]);

    if (!a)
        return NULL;
    if (!op) {
        error_in(c, f, n->name, "'%s' does not work on elements", n->text);
        return NULL;
    }
    if (a->kind == EXPR_NUMBER && ((strcmp(op, "and") == 0 && a->number == 0) || (strcmp(op, "or") == 0 && a->number != 0)))
        return a;
    Expr *b = element(c, f, el, n->child[1]);
    if (!b)
        return NULL;
    if (strcmp(op, "pow") == 0 && b->kind == EXPR_NUMBER) {
        if (b->number == 2)
            return expr_op(c->arena, "mul", a, a, NULL);
        if (b->number == 3)
            return expr_op(c->arena, "mul", expr_op(c->arena, "mul", a, a, NULL), a, NULL);
    }
    return expr_op(c->arena, op, a, b, NULL);
}

static Expr *element_choose(Checker *c, Frame *f, Elem *el, const Node *n)
{
    bool yes;

    if (!dynamic(c, f, el, n->child[0]))
        return eval_condition(c, f, n->child[0], &yes) ? element(c, f, el, n->child[yes ? 1 : 2]) : NULL;
    Expr *cond = element(c, f, el, n->child[0]);
    if (!cond)
        return NULL;
    if (cond->kind == EXPR_NUMBER)
        return element(c, f, el, n->child[cond->number != 0 ? 1 : 2]);
    Expr *a = element(c, f, el, n->child[1]), *b = element(c, f, el, n->child[2]);
    return a && b ? expr_op(c->arena, "select", cond, a, b) : NULL;
}

/* --- calls inside expressions --- */

static Expr *element_op(Checker *c, Frame *f, Elem *el, const Node *n, const Op *op)
{
    Expr *x[3] = {0}, *y;
    bool folds = op->arity == 2 && n->n > 3 && (strcmp(op->name, "max") == 0 || strcmp(op->name, "min") == 0);

    if (n->n - 1 != op->arity && !folds) {
        error_in(c, f, n->span, "%s takes %d argument%s, but gets %d", op->name, op->arity, op->arity == 1 ? "" : "s", n->n - 1);
        return NULL;
    }
    for (int i = 0; i < op->arity; i++)
        if (!(x[i] = element(c, f, el, n->child[i + 1])))
            return NULL;
    y = expr_op(c->arena, op->name, x[0], x[1], x[2]);
    for (int i = 3; folds && i < n->n; i++) {
        Expr *more = element(c, f, el, n->child[i]);
        if (!more)
            return NULL;
        y = expr_op(c->arena, op->name, y, more, NULL);
    }
    return y;
}

static Expr *element_fn(Checker *c, Frame *f, Elem *el, const Node *n, Val fn)
{
    Expr *inputs[MAX_BOX];
    Arg *args = NEW_ARRAY(c->arena, Arg, n->n);
    const Node *known[MAX_BOX];
    int ninputs = 0, nargs = 0, nknown = 0;
    Def *def = choose_def(c, f, fn.layer, 0, n);
    int want = def && def_part(def, NODE_PORTS, 0) ? def_part(def, NODE_PORTS, 0)->n : 0, moving = 0;

    for (int i = 1; i < n->n; i++)
        moving += n->child[i]->kind != NODE_ARG && dynamic(c, f, el, n->child[i]);
    for (int i = 1; i < n->n && n->n - 1 < MAX_BOX; i++)
        if (n->child[i]->kind != NODE_ARG && !dynamic(c, f, el, n->child[i]))
            known[nknown++] = n->child[i];
    for (int i = 1; i < n->n; i++) {
        const Node *a = n->child[i];
        /* numbers are settings, unless inputs are still missing: then the last ones are inputs */
        bool input = a->kind != NODE_ARG && dynamic(c, f, el, a);
        for (int k = 0; k < nknown && !input; k++)
            input = known[k] == a && nknown - k <= want - moving;
        if (input && ninputs < MAX_BOX) {
            if (!(inputs[ninputs++] = element(c, f, el, a)))
                return NULL;
            continue;
        }
        Val v = eval(c, f, a->kind == NODE_ARG ? a->child[0] : a);
        if (v.kind == VAL_ERROR)
            return NULL;
        args[nargs++] = (Arg){a->kind == NODE_ARG ? a->text : NULL, v, a->span};
    }
    LayerVal l = *fn.layer;
    if (nargs) {
        l.args = args;
        l.nargs = nargs;
    }
    return apply_element(c, f, el, &l, ninputs, inputs, n);
}

static Expr *element_call(Checker *c, Frame *f, Elem *el, const Node *n)
{
    const Node *callee = n->child[0];

    if (is_in_steps(n)) {
        Val v = eval(c, f, n->child[1]);
        if (v.kind == VAL_NUMBER)
            return duration_steps(c, f, n->span, v.number, "epochs");
        return element_value(c, f, el, n, v);
    }
    if (!inlines(c, f, n)) {
        Val v = cached(c, f, n);
        return element_value(c, f, el, n, v);
    }
    Def **defs;
    const Op *op = op_find(callee->text);
    if (op && !frame_find(f, callee->text) && (!defs_find(c, c->space, callee->text, &defs) || *defs[0]->space))
        return element_op(c, f, el, n, op);
    Val fn = eval(c, f, callee);
    return fn.kind == VAL_LAYER ? element_fn(c, f, el, n, fn) : NULL;
}

static Expr *element_pipe(Checker *c, Frame *f, Elem *el, const Node *n)
{
    if (!inlines(c, f, n)) {
        Val v = cached(c, f, n);
        return element_value(c, f, el, n, v);
    }
    Expr *x = element(c, f, el, n->child[0]);
    Val fn = eval(c, f, n->child[1]);
    return x && fn.kind == VAL_LAYER ? apply_element(c, f, el, fn.layer, 1, &x, n->child[1]) : NULL;
}

static Expr *element_next(Checker *c, Frame *f, Elem *el, const Node *n)
{
    Val v = subscripted(c, f, n);

    return element_value(c, f, el, n, v);
}

Expr *element(Checker *c, Frame *f, Elem *el, const Node *n)
{
    if (n->kind != NODE_NAME && !c->applies_default && !dynamic(c, f, el, n))
        return element_value(c, f, el, n, eval(c, f, n));
    switch (n->kind) {
    case NODE_NAME: return element_name(c, f, el, n);
    case NODE_BINARY: return element_binary(c, f, el, n);
    case NODE_UNARY: {
        Expr *x = element(c, f, el, n->child[0]);
        return x ? expr_op(c->arena, n->text[0] == '-' ? "neg" : "not", x, NULL, NULL) : NULL;
    }
    case NODE_CHOOSE: return element_choose(c, f, el, n);
    case NODE_SUBSCRIPT: return element_subscript(c, f, el, n);
    case NODE_REDUCE: return reduce(c, f, el, n);
    case NODE_CALL: return element_call(c, f, el, n);
    case NODE_PIPE: return element_pipe(c, f, el, n);
    case NODE_NEXT:
    case NODE_GRAD: return element_next(c, f, el, n);
    case NODE_DURATION: return duration_steps(c, f, n->span, n->number, n->text);
    default: return element_value(c, f, el, n, cached(c, f, n));
    }
}

/* --- elementwise bodies: fn, optimizer, schedule --- */

/* A state of an optimizer has the shape of the weight it goes with: that of the implied indices. */
static bool element_state(Checker *c, Frame *f, Elem *el, const Node *n)
{
    const char *name = path_join(c, f->path, n->child[0]->text);
    int64_t size[MAX_RANK];
    double init;

    for (int i = 0; i < el->nimplicit; i++)
        size[i] = el->implied[i]->size;
    bool fresh = !kept_find(c->program, name);
    Tensor *t = kept_tensor(c, name, KEPT_OPTIMIZER, el->nimplicit, size, f, n->span);
    if (fresh) {
        if (!want_number(c, f, n->child[1], eval(c, f, n->child[1]), &init))
            return false;
        init_constant(c, kept_find(c->program, name), init);
    }
    Expr *e = elem_load(c, f, el, t, n);
    if (!e)
        return false;
    Val v = val_expr(e);
    v.tensor = t;
    frame_bind(c, f, n->child[0]->text, v, n->span)->used = true;
    return true;
}

/* grad x = e in a fn: the result keeps its value, but its derivative by x is e at grad y = 1. */
static bool element_grad(Checker *c, Frame *f, Elem *el, const Node *to, const Node *from)
{
    const Node *outputs = def_part(f->def, NODE_PORTS, 1);
    const char *y = outputs && outputs->n ? outputs->child[0]->text : "";
    Bind *in = frame_find(f, to->text), *out = frame_find(f, y);

    if (!in || in->val.kind != VAL_EXPR || !out || out->val.kind != VAL_EXPR) {
        error_in(c, f, to->span, in ? "name the result in the header and assign it first" : "'%s' is no input", to->text);
        return false;
    }
    frame_bind(c, f, arena_print(c->arena, "grad %s", y), val_expr(expr_number(c->arena, 1)), to->span);
    Expr *slope = element(c, f, el, from);
    if (!slope)
        return false;
    Expr *value = expr_is(out->val.expr, OP_surrogate) ? out->val.expr : expr_op(c->arena, "detach", out->val.expr, NULL, NULL);
    out->val.expr = expr_op(c->arena, "surrogate", value, in->val.expr, slope);
    return true;
}

static bool element_assign(Checker *c, Frame *f, Elem *el, const Node *n, Expr **result)
{
    const Node *targets = n->child[0], *values = n->child[1];
    const Node *to = targets->child[0];

    if (to->kind == NODE_GRAD)
        return element_grad(c, f, el, to, values->child[0]);
    if (values->n == 1 && targets->n > 1) {
        Val v = eval(c, f, values->child[0]);
        if (v.kind != VAL_LIST || v.n != targets->n) {
            if (v.kind != VAL_ERROR)
                error_in(c, f, n->span, "%d names for %s", targets->n, val_kind(c, v));
            return false;
        }
        for (int i = 0; i < v.n; i++)
            frame_bind(c, f, targets->child[i]->text, v.items[i], targets->child[i]->span)->used = true;
        return true;
    }
    for (int i = 0; i < targets->n && i < values->n; i++) {
        to = targets->child[i];
        const Node *from = values->child[i];
        if (to->kind == NODE_NAME && !dynamic(c, f, el, from)) {
            frame_bind(c, f, to->text, eval(c, f, from), to->span)->used = true;
            continue;
        }
        Expr *e = element(c, f, el, from);
        if (!e)
            return false;
        if (to->kind == NODE_NAME) {
            frame_bind(c, f, to->text, val_expr(e), to->span)->used = true;
            continue;
        }
        if (to->kind != NODE_NEXT) {
            error_in(c, f, to->span, "element by element, a name or 'next' a state can be assigned");
            return false;
        }
        Index *out[MAX_RANK];
        for (int k = 0; k < el->nimplicit; k++)
            out[k] = el->implied[k];
        Bind *b = frame_find(f, to->text);
        if (!b || !b->val.tensor) {
            error_in(c, f, to->span, "'%s' is no state", to->text);
            return false;
        }
        Tensor *t = materialise(c, f, arena_print(c->arena, "next.%s", to->text), EQ_MAP, e, el->nimplicit, out, n->span);
        Tensor *state = b->val.tensor;
        kept_next(c, state, t);
        Expr *now = elem_load(c, f, el, t, to);
        frame_bind(c, f, arena_print(c->arena, "next %s", to->text), val_expr(now), to->span);
        *result = now;
    }
    return true;
}

static bool element_block(Checker *c, Frame *f, Elem *el, const Node *block, Expr **result)
{
    for (int i = 0; i < block->n; i++) {
        const Node *n = block->child[i];
        bool yes, ok = true;
        switch (n->kind) {
        case NODE_ASSIGN: ok = element_assign(c, f, el, n, result); break;
        case NODE_DRAW: ok = n->flag == 1 && element_state(c, f, el, n); break;
        case NODE_RESULT: ok = (*result = element(c, f, el, n->child[0])) != NULL; break;
        case NODE_BRANCH:
            ok = eval_condition(c, f, n->child[0], &yes);
            if (ok && yes)
                ok = element_block(c, f, el, n->child[1], result);
            else if (ok && n->n > 2 && n->child[2])
                ok = element_block(c, f, el, n->child[2], result);
            break;
        default: error_in(c, f, n->span, "this cannot stand in a definition that works element by element"); return false;
        }
        if (!ok)
            return false;
    }
    return true;
}

Expr *element_body(Checker *c, Frame *f, Elem *el, const Def *def)
{
    const Node *body = def_body(def), *outputs = def_part(def, NODE_PORTS, 1);
    const char *space = c->space;
    Expr *result = NULL;
    bool ok = true, defaults = c->applies_default;

    c->space = *def->space ? def->space : NULL;
    c->applies_default = false;
    if (body->kind != NODE_BLOCK)
        result = element(c, f, el, body);
    else
        ok = element_block(c, f, el, body, &result);
    c->space = space;
    c->applies_default = defaults;
    if (!ok)
        return NULL;
    if (body->kind == NODE_BLOCK && outputs && outputs->n) {
        const char *name = outputs->child[0]->text;
        Bind *b = frame_find(f, arena_print(c->arena, "next %s", name));
        if (!b)
            b = frame_find(f, name);
        if (b && (b->val.kind == VAL_EXPR || val_known(b->val)))
            return element_value(c, f, el, outputs->child[0], b->val);
        error_in(c, f, outputs->child[0]->span, "the result '%s' is never assigned", name);
        return NULL;
    }
    if (!result && !error_count())
        error_in(c, f, def->node->span, "'%s' has no result", def->name);
    return result;
}
