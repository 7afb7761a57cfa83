/* call.c -- layers as values: calls with their settings, pipelines, repetition. */
#include "check/value.h"

/* --- repetition --- */

Val repeat(Checker *c, Frame *f, const Node *n, Val layer, const Node *count, Val times)
{
    int64_t k;

    if (times.kind == VAL_NUMBER && times.number == 0) {
        LayerVal *none = NEW(c->arena, LayerVal);
        *none = (LayerVal){.kind = LAYER_CHAIN, .node = n};
        return (Val){.kind = VAL_LAYER, .layer = none, .span = n->span};
    }
    if (times.kind == VAL_NUMBER && times.number < 0) {
        error_in(c, f, count->span, "a layer is repeated 0 times or more, this is %s", number_text(c->arena, times.number));
        return val_error();
    }
    if (!want_size(c, f, count, times, &k))
        return val_error();
    if (k > MOST_APPLIED) {
        error_in(c, f, count->span, "repeated %lld times: definitions may be applied %d times in all", (long long)k, MOST_APPLIED);
        return val_error();
    }
    LayerVal *l = NEW(c->arena, LayerVal);
    *l = (LayerVal){.kind = LAYER_REPEAT, .parts = NEW(c->arena, Val), .n = (int)k, .node = n};
    l->parts[0] = layer;
    return (Val){.kind = VAL_LAYER, .layer = l, .span = n->span};
}

bool is_layer(Val v)
{
    return v.kind == VAL_LAYER || (v.kind == VAL_LIST && v.n && (v.items[0].kind == VAL_LAYER || v.items[0].kind == VAL_LIST) && is_layer(v.items[0]));
}

/* --- calls --- */

static int eval_args(Checker *c, Frame *f, const Node *call, Arg **args)
{
    int n = call->n - 1;

    *args = NEW_ARRAY(c->arena, Arg, n);
    for (int i = 0; i < n; i++) {
        const Node *a = call->child[i + 1];
        bool named = a->kind == NODE_ARG;
        const char *space = c->space;
        if (named && strcmp(a->text, "init") == 0)
            c->space = "inits";
        (*args)[i] = (Arg){named ? a->text : NULL, eval(c, f, named ? a->child[0] : a), a->span};
        c->space = space;
    }
    return n;
}

static Val repeated(Checker *c, Val v, int times)
{
    Val items[3];

    if (v.kind == VAL_LIST && v.n == times)
        return v;
    for (int i = 0; i < times; i++)
        items[i] = v;
    return val_list(c, times, items);
}

/* pair, size ... in a call that they do not understand. */
static bool is_misused(const Node *n)
{
    static const char *const names[] = {"pair", "triple", "size", "rank", "length", "in_steps"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(n->child[0]->text, names[i]) == 0)
            return n->n != 2 || n->child[1]->kind == NODE_ARG;
    return false;
}

/* pair(3), size(x), exp(1): functions of values known when compiling. */
static bool eval_builtin(Checker *c, Frame *f, const Node *n, Val *out)
{
    const char *name = n->child[0]->text;
    double x[3] = {0};
    Def **defs;

    if (is_misused(n) && !defs_find(c, c->space, name, &defs)) {
        error_in(c, f, n->span, "%s takes one value, without a name", name);
        *out = val_error();
        return true;
    }
    if (n->n == 2 && (strcmp(name, "pair") == 0 || strcmp(name, "triple") == 0)) {
        Val v = eval(c, f, n->child[1]);
        int times = name[0] == 'p' ? 2 : 3;
        if (v.kind == VAL_LIST && v.n != times) {
            error_in(c, f, n->child[1]->span, "expected one number or %d, found %d", times, v.n);
            v = val_error();
        }
        *out = v.kind == VAL_ERROR ? v : repeated(c, v, times);
        return true;
    }
    if (n->n == 2 && (strcmp(name, "size") == 0 || strcmp(name, "rank") == 0 || strcmp(name, "length") == 0)) {
        Val v = eval(c, f, n->child[1]);
        if (v.kind == VAL_LIST)
            *out = val_number(v.n);
        else if (v.kind == VAL_RANGE)
            *out = val_number(v.until - v.number);
        else if (v.kind == VAL_NUMBER && name[0] == 'r')
            *out = v; /* only = rank(2) */
        else if ((v.kind == VAL_TENSOR || v.kind == VAL_EXPR) && v.tensor) {
            double count = 1;
            for (int i = 0; i < sample_rank(f, v.tensor); i++)
                count *= (double)sample_size(f, v.tensor)[i];
            *out = val_number(name[0] == 'r' ? sample_rank(f, v.tensor) : count);
        } else {
            if (v.kind != VAL_ERROR)
                error_in(c, f, n->child[1]->span, "%s() wants a tensor or a list, found %s", name, val_kind(c, v));
            *out = val_error();
        }
        return true;
    }
    const Op *op = op_find(name);
    if (!op || op->arity != n->n - 1 || (defs_find(c, c->space, name, &defs) && !*defs[0]->space))
        return false;
    for (int i = 0; i < op->arity; i++) {
        if (n->child[i + 1]->kind == NODE_ARG)
            return false;
        Val v = eval(c, f, n->child[i + 1]);
        if (v.kind != VAL_NUMBER && v.kind != VAL_BOOL)
            return *out = val_error(), v.kind == VAL_ERROR;
        x[i] = v.number;
    }
    *out = val_number(op->eval(x));
    return true;
}

/* A fn without inputs is a function of settings: windows(pad, n, k). */
static Val eval_function(Checker *c, Frame *f, const Node *n, Def *def)
{
    Frame *body = frame_new(c, f, NULL);
    Arg *args;
    int nargs = eval_args(c, f, n, &args);
    const char *space = c->space;

    for (int i = 0; i < nargs; i++)
        if (args[i].val.kind == VAL_ERROR)
            return val_error();
    body->def = def;
    body->call = n;
    def->used = true;
    if (f->depth >= MOST_NESTED) {
        error_in(c, f, n->span, "definitions are nested too deep: does '%s' contain itself?", def->name);
        return val_error();
    }
    if (!bind_settings(c, f, body, def, nargs, args, n))
        return val_error();
    c->space = *def->space ? def->space : NULL;
    Val v = def_body(def)->kind == NODE_BLOCK ? run_block(c, body, def_body(def), def_part(def, NODE_PORTS, 1)) : eval(c, body, def_body(def));
    c->space = space;
    return v;
}

Val eval_call(Checker *c, Frame *f, const Node *n)
{
    const Node *callee = n->child[0];
    Val v;
    Arg *args;

    if (callee->kind == NODE_NAME && !frame_find(f, callee->text)) {
        Def **defs;
        if (defs_find(c, c->space, callee->text, &defs) && defs[0]->node->flag == DEFINE_FN &&
            !(def_part(defs[0], NODE_PORTS, 0) && def_part(defs[0], NODE_PORTS, 0)->n))
            return eval_function(c, f, n, defs[0]);
        if (eval_builtin(c, f, n, &v))
            return v;
    }
    Val fn = eval(c, f, callee);
    int nargs = eval_args(c, f, n, &args);
    if (fn.kind == VAL_ERROR)
        return fn;
    if (fn.kind != VAL_LAYER || fn.layer->kind != LAYER_DEF) {
        error_in(c, f, callee->span, "%s takes no settings", val_kind(c, fn));
        return val_error();
    }
    Val *inputs = NEW_ARRAY(c->arena, Val, nargs + 1);
    int ninputs = 0, nsettings = 0;
    bool failed = false;
    for (int i = 0; i < nargs; i++) {
        Val a = args[i].val;
        failed |= a.kind == VAL_ERROR;
        if (!args[i].name && (a.kind == VAL_TENSOR || a.kind == VAL_FIELD || a.kind == VAL_EXPR)) {
            a.span = args[i].span;
            inputs[ninputs++] = a;
        } else {
            args[nsettings++] = args[i];
        }
    }
    LayerVal *l = NEW(c->arena, LayerVal);
    *l = *fn.layer;
    l->args = args;
    l->nargs = nsettings;
    l->node = n;
    if (!check_settings(c, f, l) || failed)
        return val_error();
    v = (Val){.kind = VAL_LAYER, .layer = l, .span = n->span};
    return ninputs ? apply(c, f, v, ninputs, inputs, n) : v;
}

/* --- pipelines --- */

static Val chain(Checker *c, const Node *n, Val a, Val b)
{
    LayerVal *l = NEW(c->arena, LayerVal);

    *l = (LayerVal){.kind = LAYER_CHAIN, .parts = NEW_ARRAY(c->arena, Val, 2), .n = 2, .node = n};
    l->parts[0] = a;
    l->parts[1] = b;
    return (Val){.kind = VAL_LAYER, .layer = l, .span = n->span};
}

Val eval_pipe(Checker *c, Frame *f, const Node *n)
{
    /* The right side has its own mistakes, whatever the left one is. */
    Val a = eval(c, f, n->child[0]), b = eval(c, f, n->child[1]);

    if (a.kind == VAL_ERROR || b.kind == VAL_ERROR)
        return val_error();
    if (!is_layer(b)) {
        error_in(c, f, n->child[1]->span, "expected a layer after '->', found %s", val_kind(c, b));
        if (b.kind == VAL_FIELD && n->child[1]->kind == NODE_NAME) /* of a file that is not at hand, any name may be one */
            suggest(c, f, n->child[1]->text);
        return val_error();
    }
    if (is_layer(a))
        return chain(c, n, a, b);
    if (a.kind == VAL_LIST)
        return apply(c, f, b, a.n, a.items, n->child[1]);
    return apply(c, f, b, 1, &a, n->child[1]);
}

Val eval_shape(Checker *c, Frame *f, const Node *n)
{
    Val a = eval(c, f, n->child[0]);
    Val shape = eval(c, f, n->child[1]);

    if (a.kind == VAL_ERROR || shape.kind == VAL_ERROR)
        return val_error();
    LayerVal *l = NEW(c->arena, LayerVal);
    *l = (LayerVal){.kind = LAYER_SHAPE, .shape = shape, .stages = n->child[0], .node = n->child[1]};
    Val check = {.kind = VAL_LAYER, .layer = l, .span = n->child[1]->span};
    return is_layer(a) ? chain(c, n, a, check) : apply(c, f, check, 1, &a, n->child[1]);
}

Val eval_for(Checker *c, Frame *f, const Node *n)
{
    Val range = eval(c, f, n->child[0]);
    LIST(Val) parts = {0};

    if (range.kind == VAL_ERROR)
        return range;
    if (range.kind != VAL_RANGE && range.kind != VAL_LIST) {
        error_in(c, f, n->child[0]->span, "expected a range such as 0..4 or a list, found %s", val_kind(c, range));
        return val_error();
    }
    double times = range.kind == VAL_LIST ? range.n : range.until - range.number;
    if (times > MOST_APPLIED) {
        error_in(c, f, n->child[0]->span, "repeated %.0f times: definitions may be applied %d times in all", times, MOST_APPLIED);
        return val_error();
    }
    int count = (int)times;
    for (int i = 0; i < count; i++) {
        Frame *g = frame_new(c, f, f);
        g->def = NULL;
        frame_bind(c, g, n->text, range.kind == VAL_LIST ? range.items[i] : val_number(range.number + i), n->name)->used = true;
        Val v = run_block(c, g, n->child[1], NULL);
        if (v.kind == VAL_ERROR)
            return v;
        if (!is_layer(v)) {
            error_in(c, f, n->child[1]->span, "the body of 'for' must be a layer, this is %s", val_kind(c, v));
            return val_error();
        }
        PUSH(c->arena, parts, v);
    }
    LayerVal *l = NEW(c->arena, LayerVal);
    *l = (LayerVal){.kind = LAYER_CHAIN, .parts = parts.at, .n = parts.n, .node = n};
    return (Val){.kind = VAL_LAYER, .layer = l, .span = n->span};
}
