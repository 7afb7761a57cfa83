/* element.c -- element expressions: what stands on the right of an index equation, in a fn, in a loss.
 *
 * A name without subscripts means the element under the same indices: the axes it implies are found first
 * (collect_shape), then the expression is translated once (element). */
#include "check/value.h"


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

/* What can be applied to one element: a definition, not a pipeline. Else told of. */
static bool is_function(Checker *c, Frame *f, const Node *n, Val v)
{
    if (v.kind == VAL_LAYER && v.layer->kind == LAYER_DEF)
        return true;
    if (v.kind != VAL_ERROR)
        error_in(c, f, n->span, "expected a function of one element, found %s", val_kind(c, v));
    return false;
}

Expr *element_value(Checker *c, Frame *f, Elem *el, const Node *n, Val v)
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
        if (c->element_default && is_function(c, f, n, v))
            return apply_element(c, f, el, v.layer, 0, NULL, n);
        if (!c->element_default)
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
        if (is_sample_count(c, n))
            return expr_scalar(c->arena, graph_scalar(c->graph, "count"));
        if (!c->applies_default)
            global_value(c, n, &found);
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
    for (int i = 1; i < n->n; i++)
        if (n->child[i]->kind == NODE_ARG) {
            error_in(c, f, n->child[i]->span, "%s has no setting '%s'", op->name, n->child[i]->text);
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
    return is_function(c, f, callee, fn) ? element_fn(c, f, el, n, fn) : NULL;
}

static Expr *element_pipe(Checker *c, Frame *f, Elem *el, const Node *n)
{
    if (!inlines(c, f, n)) {
        Val v = cached(c, f, n);
        return element_value(c, f, el, n, v);
    }
    Expr *x = element(c, f, el, n->child[0]);
    Val fn = eval(c, f, n->child[1]);
    return x && is_function(c, f, n->child[1], fn) ? apply_element(c, f, el, fn.layer, 1, &x, n->child[1]) : NULL;
}

static Expr *element_next(Checker *c, Frame *f, Elem *el, const Node *n)
{
    Val v = subscripted(c, f, n);

    return element_value(c, f, el, n, v);
}

static Expr *element_inner(Checker *c, Frame *f, Elem *el, const Node *n)
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

Expr *element(Checker *c, Frame *f, Elem *el, const Node *n)
{
    if (too_deep(c, f, n))
        return NULL;
    c->nested++;
    Expr *e = element_inner(c, f, el, n);
    c->nested--;
    return e;
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
    bool fresh = !program_kept(c->program, name);
    Tensor *t = kept_tensor(c, name, KEPT_OPTIMIZER, el->nimplicit, size, f, n->span);
    if (fresh) {
        if (!want_number(c, f, n->child[1], eval(c, f, n->child[1]), &init))
            return false;
        init_constant(c, program_kept(c->program, name), init);
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
        for (int i = 0; i < v.n; i++) {
            if (targets->child[i]->kind != NODE_NAME) {
                error_in(c, f, targets->child[i]->span, "several values are given plain names, as in b1, b2 = betas");
                return false;
            }
            frame_bind(c, f, targets->child[i]->text, v.items[i], targets->child[i]->span)->used = true;
        }
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
        kept_next(state, t);
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
        case NODE_ASSERT: run_assert(c, f, n); break;
        case NODE_DRAW:
            if (n->flag == 0)
                error_in(c, f, n->span, "what works element by element has states but no params: a layer has");
            ok = n->flag == 1 && element_state(c, f, el, n);
            break;
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
