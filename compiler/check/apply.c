/* apply.c -- a layer meets its input: the definition is chosen and its body is run. */
#include "check/value.h"

static Layer *layer_record(Checker *c, Frame *f, const char *path, const Node *mention)
{
    Layer *l = NEW(c->arena, Layer);
    Text t = {.arena = c->arena};

    tree_source(&t, mention);
    *l = (Layer){.name = path, .call = t.s, .where = mention->span, .parent = f->layer};
    if (c->first)
        PUSH(c->arena, c->program->layers, l);
    return l;
}

static Frame *open_body(Checker *c, Frame *f, const LayerVal *l, const Def *def, const Node *at)
{
    Frame *body = frame_new(c, f, NULL);

    body->counters = (void *)&body->own_counters;
    body->path = l->bound ? l->bound : frame_instance(c, f, def->name);
    body->def = def;
    body->call = at;
    body->layer = layer_record(c, f, body->path, l->node);
    return body;
}

/* Definitions may not contain themselves, nor one another so often that the end is out of sight. */
static bool too_much(Checker *c, Frame *f, const Def *def, const Node *at)
{
    if (f->depth >= MOST_NESTED)
        error_in(c, f, at->span, "definitions are nested too deep: does '%s' contain itself?", def->name);
    else if (++c->applied > MOST_APPLIED)
        error_in(c, f, at->span, "definitions are applied more than %d times", MOST_APPLIED);
    else
        return false;
    return true;
}

/* The value of the body of a layer whose settings and inputs are bound. */
static Val run_body(Checker *c, Frame *body, Def *def, int n, const Val *inputs)
{
    const Node *code = def_body(def);
    const char *space = c->space;
    bool defaults = c->applies_default, transform = c->transform;

    c->space = *def->space ? def->space : NULL;
    c->applies_default = c->transform = false;
    Val v = code->kind == NODE_BLOCK ? run_block(c, body, code, def_part(def, NODE_PORTS, 1)) : eval(c, body, code);
    if (is_layer(v))
        v = apply(c, body, v, n, inputs, code);
    c->space = space;
    c->applies_default = defaults;
    c->transform = transform;
    return v;
}

/* A loss whose second result is named `predicted` says how its first input is shown: as probabilities, say. */
static void note_predicted(Checker *c, const Def *def, int n, const Val *inputs, Val result)
{
    const Node *outputs = def_part(def, NODE_PORTS, 1);

    if (!n || inputs[0].kind != VAL_TENSOR || !outputs || outputs->n != 2 || strcmp(outputs->child[1]->text, "predicted") != 0)
        return;
    if (result.kind != VAL_LIST || result.items[1].kind != VAL_TENSOR)
        return;
    PUSH(c->arena, c->judged, inputs[0].tensor);
    PUSH(c->arena, c->predicted, result.items[1].tensor);
}

Tensor *predicted_of(const Checker *c, const Tensor *output)
{
    for (int i = 0; i < c->judged.n; i++)
        if (c->judged.at[i] == output)
            return c->predicted.at[i];
    return NULL;
}

static Val run_layer(Checker *c, Frame *f, const LayerVal *l, Def *def, int n, Val *inputs, const Node *at)
{
    const Node *ports = def_part(def, NODE_PORTS, 0);
    Frame *body = open_body(c, f, l, def, at);

    if (!bind_settings(c, f, body, def, l->nargs, l->args, at))
        return val_error();
    bool defaults = c->applies_default, bound;
    c->applies_default = false; /* a sum among its sizes is no loss */
    bound = !ports || !ports->n || bind_inputs(c, f, body, def, n, inputs, at);
    c->applies_default = defaults;
    if (!bound)
        return val_error();
    bool training = c->training;
    c->training &= !is_frozen(c, body->path);
    Val v = run_body(c, body, def, n, inputs);
    c->training = training;
    note_predicted(c, def, n, inputs, v);
    if (v.kind == VAL_TENSOR) {
        body->layer->out = v.tensor;
        if (c->first)
            warn_applied(c, body, l, n == 1 && inputs[0].kind == VAL_TENSOR ? inputs[0].tensor : NULL, v.tensor);
    }
    return v;
}

/* The inputs of a fn as tensors; the one of the highest rank, whose shape the result has, or NULL. */
static Tensor *fn_inputs(Checker *c, Frame *f, const Def *def, int n, Val *inputs, const Node *at)
{
    Tensor *shape = NULL;

    for (int i = 0; i < n; i++) {
        if (inputs[i].kind == VAL_FIELD) {
            const int64_t *size = shape ? sample_size(f, shape) : NULL;
            inputs[i] = field_value(c, f, inputs[i], shape ? sample_rank(f, shape) : 0, size, 0, at->span);
        }
        if (inputs[i].kind != VAL_TENSOR) {
            if (inputs[i].kind != VAL_ERROR)
                error_in(c, f, at->span, "%s wants a tensor, but gets %s", def->name, val_kind(c, inputs[i]));
            return NULL;
        }
        if (!shape || sample_rank(f, inputs[i].tensor) > sample_rank(f, shape))
            shape = inputs[i].tensor;
    }
    return shape;
}

static Val run_fn(Checker *c, Frame *f, const LayerVal *l, Def *def, int n, Val *inputs, const Node *at)
{
    const Node *ports = def_part(def, NODE_PORTS, 0);
    Frame *body = open_body(c, f, l, def, at);
    Elem el = elem_new(c, f);
    Index *out[MAX_BOX];
    int nout = 0;
    bool batched = false;

    if (!bind_settings(c, f, body, def, l->nargs, l->args, at))
        return val_error();
    Tensor *shape = fn_inputs(c, f, def, n, inputs, at);
    if (!shape)
        return val_error();
    body->ninputs = n;
    body->inputs = inputs;
    elem_imply(c, &el, sample_rank(f, shape), sample_size(f, shape));
    for (int i = 0; i < n; i++) {
        Expr *e = elem_load(c, f, &el, inputs[i].tensor, at);
        if (!e)
            return val_error();
        Val v = val_expr(e);
        v.tensor = inputs[i].tensor;
        frame_bind(c, body, ports->child[i]->text, v, ports->child[i]->span)->used = true;
        batched |= inputs[i].tensor->batched;
    }
    Expr *e = element_body(c, body, &el, def);
    if (!e)
        return val_error();
    for (int i = 0; i < el.nambient && batched; i++)
        out[nout++] = el.ambient[i];
    for (int i = 0; i < el.nimplicit; i++)
        out[nout++] = el.implied[i];
    Tensor *y = materialise(c, body, "y", EQ_MAP, e, nout, out, at->span);
    body->layer->out = y;
    if (c->first)
        warn_applied(c, body, l, shape, y);
    return val_tensor(y, at->span);
}

Expr *apply_element(Checker *c, Frame *f, Elem *el, const LayerVal *l, int n, Expr *const *inputs, const Node *at)
{
    Def *def = choose_def(c, f, l, 0, at);

    if (!def)
        return NULL;
    const Node *ports = def_part(def, NODE_PORTS, 0);
    if (def->node->flag != DEFINE_FN) {
        error_in(c, f, at->span, "'%s' is a layer: it works on whole tensors, not on an element", l->name);
        return NULL;
    }
    if (n == 0 && ports && ports->n == 1 && c->element_default) {
        inputs = &c->element_default;
        n = 1;
    }
    if (!ports || ports->n != n) {
        error_in(c, f, at->span, "%s takes %d input%s, but gets %d", l->name, ports ? ports->n : 0, ports && ports->n == 1 ? "" : "s", n);
        return NULL;
    }
    if (too_much(c, f, def, at))
        return NULL;
    Frame *body = frame_new(c, f, NULL);
    body->def = def;
    body->call = at;
    if (!bind_settings(c, f, body, def, l->nargs, l->args, at))
        return NULL;
    for (int i = 0; i < n; i++)
        frame_bind(c, body, ports->child[i]->text, val_expr(inputs[i]), ports->child[i]->span)->used = true;
    Elem inner = *el; /* the caller's indices stay in scope, but their names are not the definition's */
    for (int i = 0; i < inner.nindex; i++)
        inner.index[i].name = "";
    return element_body(c, body, &inner, def);
}

static Val apply_def(Checker *c, Frame *f, const LayerVal *l, int n, const Val *given, const Node *at);

/* Inputs of any number go to a layer of two from the left: add, mul, concat. */
static Val apply_many(Checker *c, Frame *f, const LayerVal *l, int n, const Val *inputs, const Node *at)
{
    Val sum = inputs[0];

    for (int i = 1; i < n && sum.kind != VAL_ERROR; i++) {
        Val two[2] = {sum, inputs[i]};
        sum = apply_def(c, f, l, 2, two, at);
        sum.span = i == 1 ? span_join(inputs[0].span, inputs[1].span) : span_join(sum.span, inputs[i].span);
    }
    return sum;
}

static Val apply_def(Checker *c, Frame *f, const LayerVal *l, int n, const Val *given, const Node *at)
{
    Val *inputs = NEW_ARRAY(c->arena, Val, n + 1);

    for (int i = 0; i < n; i++) {
        inputs[i] = given[i];
        if (inputs[i].kind == VAL_ERROR)
            return val_error();
    }
    const Raw *raw = n && inputs[0].kind == VAL_FIELD ? inputs[0].raw : NULL;
    if (raw && raw->rank >= 0)
        inputs[0] = field_value(c, f, inputs[0], raw->rank, raw->size, 0, at->span);
    int rank = n && inputs[0].kind == VAL_TENSOR ? sample_rank(f, inputs[0].tensor) : 0;
    Def *def = choose_def(c, f, l, rank, at);
    if (!def || too_much(c, f, def, at))
        return val_error();
    const Node *ports = def_part(def, NODE_PORTS, 0);
    int nports = ports ? ports->n : 0;
    if (nports == 2 && n > 2)
        return apply_many(c, f, l, n, inputs, at);
    if (nports == n + 1 && c->label.kind != VAL_ERROR) /* a loss or metric of a named output */
        inputs[n++] = c->label;
    if (nports && nports != n) {
        error_in(c, f, at->span, "%s takes %d input%s, but gets %d", l->name, nports, nports == 1 ? "" : "s", n);
        note_at(def->node->name, "defined here");
        return val_error();
    }
    Val v = def->node->flag == DEFINE_FN && nports ? run_fn(c, f, l, def, n, inputs, at) : run_layer(c, f, l, def, n, inputs, at);
    if (v.kind == VAL_TENSOR)
        v.span = at->span;
    return v;
}

/* Marks the stages of a pipeline that change the shape, each with the shape it gives. */
static int mark_stages(Checker *c, const Frame *f, const Node *pipe, Mark *marks, int room)
{
    if (!pipe || pipe->kind != NODE_PIPE || room <= 1)
        return 0;
    int n = mark_stages(c, f, pipe->child[0], marks, room - 1);
    const Node *stage = pipe->child[1];
    for (int i = c->made.n; i-- > 0;) {
        const Applied *a = &c->made.at[i];
        if (a->layer->where.file != stage->span.file || a->layer->where.start != stage->span.start ||
            a->layer->where.end != stage->span.end)
            continue;
        const char *shape = shape_text(c, f, a->out);
        if (!n || strcmp(marks[n - 1].label, shape) != 0)
            marks[n++] = (Mark){stage->span, shape};
        break;
    }
    return n;
}

static bool has_shape(const Frame *f, const Tensor *t, Val s)
{
    int n = s.kind == VAL_LIST ? s.n : 1;
    const Val *items = s.kind == VAL_LIST ? s.items : &s;
    bool same = sample_rank(f, t) == n;

    for (int i = 0; same && i < n; i++)
        same = items[i].kind == VAL_NUMBER && items[i].number == (double)sample_size(f, t)[i];
    return same;
}

static Val check_shape(Checker *c, Frame *f, const LayerVal *l, Val v)
{
    Mark marks[8];
    Text t = {.arena = c->arena};

    if (v.kind == VAL_ERROR)
        return v;
    if (v.kind == VAL_TENSOR && has_shape(f, v.tensor, l->shape)) {
        shape_checked(c, v.tensor);
        return v;
    }
    tree_source(&t, l->node);
    int n = v.kind == VAL_TENSOR ? mark_stages(c, f, l->stages, marks, 8) : 0;
    error_marks_in(c, f, l->node->span, marks, n, "this is %s, not %s",
                   v.kind == VAL_TENSOR ? shape_text(c, f, v.tensor) : val_kind(c, v), t.s);
    return v; /* what follows is checked with what there really is */
}

Val apply(Checker *c, Frame *f, Val layer, int n, const Val *inputs, const Node *at)
{
    if (layer.kind == VAL_LIST) { /* a fork */
        Val out = {.kind = VAL_LIST, .n = layer.n, .items = NEW_ARRAY(c->arena, Val, layer.n), .span = at->span};
        bool failed = false;
        for (int i = 0; i < layer.n; i++) {
            out.items[i] = apply(c, f, layer.items[i], n, inputs, at->kind == NODE_LIST && i < at->n ? at->child[i] : at);
            if (out.items[i].kind == VAL_ERROR)
                failed = true;
            else if (layer.items[i].span.file >= 0)
                out.items[i].span = layer.items[i].span;
        }
        return failed ? val_error() : out;
    }
    if (layer.kind != VAL_LAYER) {
        if (layer.kind != VAL_ERROR)
            error_in(c, f, at->span, "expected a layer, found %s", val_kind(c, layer));
        return val_error();
    }
    const LayerVal *l = layer.layer;
    if (l->kind == LAYER_DEF) /* one with a name is news where it is used, others where they are mentioned */
        return apply_def(c, f, l, n, inputs, l->node && !l->bound ? l->node : at);
    if (l->kind == LAYER_SHAPE)
        return check_shape(c, f, l, inputs[0]);
    if (l->bound) { /* one instance, however often it is used: names count from 1 again */
        Frame *g = frame_new(c, f, f);
        g->path = l->bound;
        g->counters = (void *)&g->own_counters;
        f = g;
    }
    Val v = n == 1 ? inputs[0] : val_list(c, n, inputs);
    for (int i = 0; i < l->n && v.kind != VAL_ERROR; i++) {
        Val part = l->kind == LAYER_REPEAT ? l->parts[0] : l->parts[i];
        const Node *where = part.kind == VAL_LAYER && part.layer->node ? part.layer->node : l->node;
        v = v.kind == VAL_LIST ? apply(c, f, part, v.n, v.items, where) : apply(c, f, part, 1, &v, where);
    }
    return v;
}
