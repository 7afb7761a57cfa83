/* apply.c -- a layer meets its input: the definition is chosen, settings and sizes are bound, the body is run. */
#include "check/value.h"

/* --- parts of a definition --- */

const Node *def_part(const Def *d, NodeKind kind, int nth)
{
    return kind == NODE_PARAMS ? d->node->child[0] : d->node->child[1 + nth];
}

const Node *def_body(const Def *d) { return d->node->child[3]; }

static const Node *port_sizes(const Node *port) { return port->child[0]; }
static const Node *port_declared(const Node *port) { return port->n > 1 ? port->child[1] : NULL; }

bool body_declares(const Node *body, const char *param, bool *draws)
{
    if (!body)
        return false;
    if (body->kind == NODE_DRAW) {
        *draws |= body->number != 0;
        return strcmp(body->child[0]->text, param) == 0;
    }
    bool found = false;
    if (body->kind == NODE_BLOCK || body->kind == NODE_BRANCH)
        for (int i = 0; i < body->n; i++)
            if (body->child[i])
                found |= body_declares(body->child[i], param, draws);
    return found;
}

/* --- settings --- */

static void unknown_setting(Checker *c, Frame *f, const Def *def, const Arg *a)
{
    const Node *params = def_part(def, NODE_PARAMS, 0);
    LIST(const char *) names = {0};

    error_in(c, f, a->span, "%s has no setting '%s'", def->name, a->name);
    for (int i = 0; params && i < params->n; i++)
        PUSH(c->arena, names, params->child[i]->text);
    const char *near = nearest(a->name, names.at, names.n);
    if (near) {
        help("did you mean '%s'?", near);
    } else if (names.n) {
        Text t = {.arena = c->arena};
        for (int i = 0; i < names.n; i++)
            text_print(&t, "%s%s", i ? ", " : "", names.at[i]);
        help("its settings are %s", t.s);
    }
    if (def->node->doc && strstr(def->node->doc, arena_print(c->arena, "`%s`", a->name)))
        help("see `nnc doc %s`", def->name);
}

static int setting_place(const Node *params, const char *name)
{
    for (int i = 0; params && i < params->n; i++)
        if (strcmp(params->child[i]->text, name) == 0)
            return i;
    return -1;
}

static void bind_override(Checker *c, Frame *body, const Arg *a)
{
    Arg *wider = NEW_ARRAY(c->arena, Arg, body->nargs + 1);

    for (int i = 0; i < body->nargs; i++)
        wider[i] = body->args[i];
    wider[body->nargs] = *a;
    body->args = wider;
    body->nargs++;
}

bool bind_settings(Checker *c, Frame *f, Frame *body, const Def *def, int nargs, Arg *args, const Node *at)
{
    const Node *params = def_part(def, NODE_PARAMS, 0);
    int n = params ? params->n : 0, next = 0;
    bool *given = NEW_ARRAY(c->arena, bool, n + 1);

    for (int i = 0; i < nargs; i++) {
        const Arg *a = &args[i];
        bool draws = false;
        if (!a->name && next >= n) {
            error_in(c, f, a->span, "%s takes %s%d setting%s", def->name, n ? "at most " : "", n, n == 1 ? "" : "s");
            note_at(def->node->name, "defined here");
            return false;
        }
        int k = a->name ? setting_place(params, a->name) : next++;
        if (k < 0) {
            bool declared = body_declares(def_body(def), a->name, &draws);
            if (declared || (draws && strcmp(a->name, "init") == 0)) {
                bind_override(c, body, a);
                continue;
            }
            unknown_setting(c, f, def, a);
            return false;
        }
        if (given[k]) {
            error_in(c, f, a->span, "%s: the setting '%s' is given twice", def->name, params->child[k]->text);
            return false;
        }
        given[k] = true;
        frame_bind(c, body, params->child[k]->text, a->val, a->span)->used = true;
    }
    for (int k = 0; k < n; k++) {
        const Node *p = params->child[k];
        if (given[k])
            continue;
        if (!p->n || !p->child[0]) {
            error_in(c, f, at->span, "%s needs the setting '%s'", def->name, p->text);
            note_at(p->span, "it has no default");
            return false;
        }
        Val v = eval(c, body, p->child[0]);
        if (v.kind == VAL_ERROR)
            return false;
        frame_bind(c, body, p->text, v, p->span)->used = true;
    }
    return true;
}

/* --- ports --- */

static bool has_ellipsis(const Node *sizes)
{
    for (int i = 0; sizes && i < sizes->n; i++)
        if (sizes->child[i]->kind == NODE_ELLIPSIS)
            return true;
    return false;
}

/* class(V) or class(V)[T]: the parts, or false. */
static bool port_class(const Node *port, const Node **classes, const Node **subscript)
{
    const Node *d = port_declared(port);

    *subscript = NULL;
    if (d && d->kind == NODE_SUBSCRIPT) {
        *subscript = d;
        d = d->child[0];
    }
    if (!d || d->kind != NODE_CALL || d->child[0]->kind != NODE_NAME || strcmp(d->child[0]->text, "class") != 0 || d->n != 2)
        return false;
    *classes = d->child[1];
    return true;
}

/* The sizes a port is written with: how many, and where they are; -1: any shape. */
static int port_rank(const Node *port, const Node ***sizes)
{
    const Node *declared = port_declared(port), *list = port_sizes(port), *classes, *subscript;

    if (port_class(port, &classes, &subscript)) {
        *sizes = subscript ? (const Node **)subscript->child + 1 : NULL;
        return subscript ? subscript->n - 1 : 0;
    }
    if (declared && !list) {
        *sizes = (const Node **)declared->child;
        if (declared->kind == NODE_DIMS || declared->kind == NODE_LIST || declared->kind == NODE_TUPLE)
            return declared->n;
        static _Thread_local const Node *one;
        one = declared;
        *sizes = &one;
        return 1;
    }
    if (!list)
        return -1;
    *sizes = (const Node **)list->child;
    return list->n;
}

static bool bind_size(Checker *c, Frame *f, Frame *body, const Def *def, const Node *n, int64_t size, Val input, const Node *at)
{
    int64_t want;

    if (n->kind == NODE_NAME && !frame_find(body, n->text)) {
        bool found;
        Val v = global_value(c, body, n, &found);
        if (!found || v.kind != VAL_NUMBER) {
            frame_bind(c, body, n->text, val_number((double)size), n->span)->used = true;
            return true;
        }
    }
    Val v = eval(c, body, n);
    if (!want_size(c, body, n, v, &want))
        return false;
    if (want == size)
        return true;
    error_in(c, f, at->span, "%s wants %lld here, but gets %s", def->name, (long long)want, shape_text(c, f, input.tensor));
    note_at(n->span, "the size it wants");
    return false;
}

/* Binds one port: sizes from the input's axes. The axes before those the port names are leading ones. */
static bool bind_port(Checker *c, Frame *f, Frame *body, const Def *def, const Node *port, Val in, int extra, const Node *at)
{
    const Node **sizes, *classes, *subscript;
    int n = port_rank(port, &sizes);
    int rank = sample_rank(f, in.tensor) - extra;
    const int64_t *size = sample_size(f, in.tensor) + extra;
    bool dots = false;

    if (port_class(port, &classes, &subscript)) {
        int k = tensor_classes(c, in.tensor);
        if (!k) {
            error_in(c, f, at->span, "%s wants class indices for '%s', but gets real numbers", def->name, port->text);
            return false;
        }
        if (!bind_size(c, f, body, def, classes, k, in, at))
            return false;
    }
    for (int i = 0, axis = 0; i < n; i++) {
        if (sizes[i]->kind == NODE_ELLIPSIS) {
            dots = true;
            axis += rank - (n - 1);
            continue;
        }
        if (!bind_size(c, f, body, def, sizes[i], size[axis++], in, at))
            return false;
    }
    (void)dots;
    frame_bind(c, body, port->text, in, port->span)->used = true;
    return true;
}

static const char *port_text(Checker *c, const Node *port)
{
    const Node **sizes;
    Text t = {.arena = c->arena};
    int n = port_rank(port, &sizes);

    text_print(&t, "%s", port->text);
    for (int i = 0; i < n; i++) {
        text_print(&t, "%s", i ? ", " : "[");
        tree_source(&t, sizes[i]);
    }
    text_print(&t, "%s", n > 0 ? "]" : "");
    return t.s;
}

int port_shape(Checker *c, Frame *f, const Node *port, int64_t *size)
{
    const Node **sizes, *classes, *subscript;
    int n = port_rank(port, &sizes);

    if (n > MAX_RANK - 1 || has_ellipsis(port_sizes(port)) || port_class(port, &classes, &subscript))
        return -1;
    for (int i = 0; i < n; i++) {
        bool found = sizes[i]->kind != NODE_NAME || frame_find(f, sizes[i]->text);
        if (!found)
            global_value(c, f, sizes[i], &found);
        if (!found || dynamic(c, f, NULL, sizes[i]) || !want_size(c, f, sizes[i], eval(c, f, sizes[i]), &size[i]))
            return -1;
    }
    return n;
}

static bool port_any(const Node *port)
{
    const Node **sizes;
    return port_rank(port, &sizes) < 0;
}

/* How many leading axes the body must run over, or -1. */
static int port_extra(const Frame *f, const Node *port, Val in)
{
    const Node **sizes, *classes, *subscript;
    int n = port_rank(port, &sizes), rank = sample_rank(f, in.tensor);

    if (port_class(port, &classes, &subscript))
        return rank - n;
    if (n < 0)
        return 0;
    if (has_ellipsis(port_sizes(port)))
        return rank >= n - 1 ? 0 : -1;
    return rank - n;
}

Def *choose_def(Checker *c, Frame *f, const LayerVal *l, int rank, const Node *at)
{
    Def **defs, *best = NULL, *any = NULL;
    int n = defs_find(c, *l->space ? l->space : NULL, l->name, &defs), best_rank = -1;

    for (int i = 0; i < n; i++) {
        if (strcmp(defs[i]->space, l->space) != 0)
            continue;
        const Node *ports = def_part(defs[i], NODE_PORTS, 0), **sizes;
        int r = ports && ports->n ? port_rank(ports->child[0], &sizes) : -1;
        bool dots = ports && ports->n && has_ellipsis(port_sizes(ports->child[0]));
        if (r >= 0 && (dots ? rank >= r - 1 : rank == r))
            return defs[i];
        if (r < 0 && !any)
            any = defs[i];
        if (!dots && r >= 0 && r < rank && r > best_rank) {
            best = defs[i];
            best_rank = r;
        }
    }
    if (any || best || !n)
        return any ? any : best;
    const Node *port = def_part(defs[0], NODE_PORTS, 0)->child[0];
    error_in(c, f, at->span, "%s wants %s, but gets %d ax%cs", l->name, port_text(c, port), rank, rank == 1 ? 'i' : 'e');
    note_at(defs[0]->node->name, "defined here");
    return NULL;
}

/* --- fields get their shape from the first who asks --- */

static const char *field_kind(Checker *c, int classes, int rank, const int64_t *size)
{
    return classes > 0 ? arena_print(c->arena, "an index below %d", classes) : sizes_text(c, rank, size);
}

Val field_value(Checker *c, Frame *f, Val field, int rank, const int64_t *size, int classes, Span at)
{
    Raw *r = field.raw;
    int64_t full[MAX_RANK] = {c->graph->batch};

    if (r->graph == c->graph)
        return val_tensor(r->tensor, field.span);
    double count = 1;
    for (int i = 0; i < rank; i++)
        count *= (double)size[i];
    if (r->rank < 0 || (r->rank == 0 && count == 1)) { /* one number may stand for a vector of one */
        r->rank = rank;
        for (int i = 0; i < rank; i++)
            r->size[i] = size[i];
    }
    if (r->classes < 0)
        r->classes = classes;
    if (r->classes > 0 && classes > r->classes)
        classes = r->classes;
    if ((r->classes > 0) != (classes > 0) || (classes > 0 && r->classes > classes)) {
        error_in(c, f, at, "the field '%s' is %s, but %s is wanted here", r->name, field_kind(c, r->classes, r->rank, r->size),
                 field_kind(c, classes, rank, size));
        return val_error();
    }
    for (int i = 0; i < r->rank; i++)
        full[i + 1] = r->size[i];
    Tensor *t = graph_tensor(c->graph, r->name, ROLE_INPUT, r->rank + 1, full);
    t->batched = true;
    t->where = r->where;
    if (r->classes > 0)
        tensor_set_classes(c, t, r->classes);
    r->graph = c->graph;
    r->tensor = t;
    if (c->first) {
        r->label = c->labels;
        Field field_out = {.name = r->name, .rank = r->rank, .classes = r->classes, .label = r->label, .where = r->where};
        for (int i = 0; i < r->rank; i++)
            field_out.size[i] = r->size[i];
        PUSH(c->arena, c->program->fields, field_out);
    }
    return val_tensor(t, field.span);
}

/* A field passed to a port: an index below C for `label: class(C)`, else real, of the port's or the first input's shape. */
static Val field_for_port(Checker *c, Frame *f, Frame *body, const Node *port, Val field, Val first, int extra, Span at)
{
    const Node **sizes, *classes, *subscript;
    int64_t size[MAX_RANK], k = 0;
    int n = port_rank(port, &sizes), rank = 0;

    for (int i = 0; i < extra; i++)
        size[rank++] = sample_size(f, first.tensor)[i];
    if (port_class(port, &classes, &subscript)) {
        if (!want_size(c, body, classes, eval(c, body, classes), &k))
            return val_error();
        for (int i = 0; i < n; i++)
            if (!want_size(c, body, sizes[i], eval(c, body, sizes[i]), &size[rank++]))
                return val_error();
    } else if (n > 0 && port_shape(c, body, port, size + extra) == n) {
        rank = extra + n;
    } else if (first.kind == VAL_TENSOR) {
        rank = sample_rank(f, first.tensor);
        for (int i = 0; i < rank; i++)
            size[i] = sample_size(f, first.tensor)[i];
        if (n == 0)
            rank = 0;
        /* a single output has a single number as its target */
    } else {
        for (int i = 0; i < n; i++)
            if (!want_size(c, body, sizes[i], eval(c, body, sizes[i]), &size[rank++]))
                return val_error();
    }
    return field_value(c, f, field, rank, size, (int)k, at);
}

/* --- running definitions --- */

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

static Frame *open_body(Checker *c, Frame *f, const LayerVal *l, const Def *def)
{
    Frame *body = frame_new(c, f, NULL);

    body->counters = (void *)&body->own_counters;
    body->path = l->bound ? l->bound : frame_instance(c, f, def->name);
    body->def = def;
    body->call = l->node;
    body->layer = layer_record(c, f, body->path, l->node);
    return body;
}

bool bind_inputs(Checker *c, Frame *f, Frame *body, const Def *def, int n, Val *inputs, const Node *at)
{
    const Node *ports = def_part(def, NODE_PORTS, 0);
    int extra = -1;
    int64_t lead[MAX_RANK];

    for (int i = 0; i < n; i++) {
        if (inputs[i].kind == VAL_FIELD) {
            inputs[i] = field_for_port(c, f, body, ports->child[i], inputs[i], i ? inputs[0] : val_error(), extra > 0 ? extra : 0, at->span);
            if (inputs[i].kind == VAL_ERROR)
                return false;
        }
        if (inputs[i].kind != VAL_TENSOR) {
            if (inputs[i].kind != VAL_ERROR)
                error_in(c, f, at->span, "%s wants a tensor, but gets %s", def->name, val_kind(c, inputs[i]));
            return false;
        }
        int e = port_extra(f, ports->child[i], inputs[i]);
        if (e == 0 && extra > 0 && port_any(ports->child[i]) && sample_rank(f, inputs[i].tensor) >= extra)
            e = extra;
        if (e < 0 || (e > 0 && !inputs[i].tensor->batched)) {
            error_in(c, f, at->span, "%s wants %s, but gets %s", def->name, port_text(c, ports->child[i]), shape_text(c, f, inputs[i].tensor));
            note_at(def->node->name, "defined here");
            return false;
        }
        if (inputs[i].tensor->batched) {
            bool same = extra < 0 || extra == e;
            for (int k = 0; k < e && same && extra > 0; k++)
                same = lead[k] == sample_size(f, inputs[i].tensor)[k];
            if (!same) {
                error_in(c, f, at->span, "%s runs over the leading axes of %s, which has others: %s", def->name,
                         port_text(c, ports->child[i]), shape_text(c, f, inputs[i].tensor));
                return false;
            }
            extra = e;
            for (int k = 0; k < e; k++)
                lead[k] = sample_size(f, inputs[i].tensor)[k];
        }
        if (!bind_port(c, f, body, def, ports->child[i], inputs[i], inputs[i].tensor->batched ? e : 0, at))
            return false;
    }
    for (int k = 0; k < extra; k++)
        body->lead[body->nlead++] = lead[k];
    return true;
}

/* Two weighted sums with nothing between them are one. */
static bool only_sums(const Graph *g, int first, const Tensor *in)
{
    bool sum = false;

    for (int i = first; i < g->equations.n; i++) {
        const Equation *q = g->equations.at[i];
        const Expr *v = q->value;
        if (q->how == EQ_SUM) {
            if (v->kind != EXPR_OP || strcmp(v->op->name, "mul") != 0 || in->rank != 2 || q->out->rank != 2)
                return false;
            for (int k = 0; k < 2; k++)
                if (v->args[k]->kind != EXPR_LOAD || (v->args[k]->tensor != in && v->args[k]->tensor->role != ROLE_PARAM))
                    return false;
            sum = true;
        } else if (q->how != EQ_MAP || v->kind == EXPR_INDEX ||
                   (v->kind == EXPR_OP && strcmp(v->op->name, "add") != 0)) {
            return false;
        }
    }
    return sum;
}

static Val run_layer(Checker *c, Frame *f, const LayerVal *l, Def *def, int n, Val *inputs, const Node *at)
{
    const Node *ports = def_part(def, NODE_PORTS, 0);
    Frame *body = open_body(c, f, l, def);
    int nports = ports ? ports->n : 0;

    if (body->depth > 256) {
        error_in(c, f, at->span, "definitions are nested too deep: does '%s' contain itself?", def->name);
        return val_error();
    }
    if (!bind_settings(c, f, body, def, l->nargs, l->args, l->node))
        return val_error();
    if (nports && !bind_inputs(c, f, body, def, n, inputs, at))
        return val_error();
    const char *space = c->space;
    bool defaults = c->applies_default, transform = c->transform;
    c->space = *def->space ? def->space : NULL;
    c->applies_default = c->transform = false;
    const Node *code = def_body(def), *outputs = def_part(def, NODE_PORTS, 1);
    Val v = code->kind == NODE_BLOCK ? run_block(c, body, code, outputs) : eval(c, body, code);
    c->space = space;
    c->applies_default = defaults;
    c->transform = transform;
    if (v.kind == VAL_LAYER || (v.kind == VAL_LIST && v.n && v.items[0].kind == VAL_LAYER))
        v = apply(c, body, v, n, inputs, code);
    if (v.kind == VAL_TENSOR && body->layer) {
        body->layer->out = v.tensor;
        if (c->first && n == 1 && inputs[0].kind == VAL_TENSOR && *def->space && only_sums(c->graph, body->first_equation, inputs[0].tensor)) {
            const Equation *made = graph_maker(c->graph, inputs[0].tensor);
            if (made && made->layer && made->layer->out == inputs[0].tensor && made->layer->parent == body->layer->parent &&
                strncmp(made->layer->call, l->name, strlen(l->name)) == 0 &&
                only_sums(&(Graph){.equations = {.at = (Equation *[]){(Equation *)made}, .n = made->how == EQ_MAP ? 0 : 1}}, 0, made->value->nargs ? made->value->args[0]->tensor : NULL) == (made->how == EQ_SUM)) {
                warning_at(l->node->span, "two layers '%s' with nothing between them: together they are one", l->name);
                note_at(made->layer->where, "the one before");
            }
        }
    }
    return v;
}

static Val run_fn(Checker *c, Frame *f, const LayerVal *l, Def *def, int n, Val *inputs, const Node *at)
{
    const Node *ports = def_part(def, NODE_PORTS, 0);
    Frame *body = open_body(c, f, l, def);
    Elem el = elem_new(c, f);
    Tensor *shape = NULL;

    if (!bind_settings(c, f, body, def, l->nargs, l->args, l->node))
        return val_error();
    for (int i = 0; i < n; i++) {
        if (inputs[i].kind == VAL_FIELD) {
            const int64_t *size = shape ? sample_size(f, shape) : NULL;
            inputs[i] = field_value(c, f, inputs[i], shape ? sample_rank(f, shape) : 0, size, 0, at->span);
        }
        if (inputs[i].kind != VAL_TENSOR)
            return val_error();
        if (!shape || sample_rank(f, inputs[i].tensor) > sample_rank(f, shape))
            shape = inputs[i].tensor;
    }
    elem_imply(c, &el, sample_rank(f, shape), sample_size(f, shape));
    for (int i = 0; i < n; i++) {
        Expr *e = elem_load(c, f, &el, inputs[i].tensor, at);
        if (!e)
            return val_error();
        Val v = val_expr(e);
        v.tensor = inputs[i].tensor;
        frame_bind(c, body, ports->child[i]->text, v, ports->child[i]->span)->used = true;
    }
    Expr *e = element_body(c, body, &el, def);
    if (!e)
        return val_error();
    Index *out[MAX_BOX];
    int nout = 0;
    bool batched = false;
    for (int i = 0; i < n; i++)
        batched |= inputs[i].tensor->batched;
    for (int i = 0; i < el.nambient && batched; i++)
        out[nout++] = el.ambient[i];
    for (int i = 0; i < el.nimplicit; i++)
        out[nout++] = el.implied[i];
    Tensor *y = materialise(c, body, "y", EQ_MAP, e, nout, out, at->span);
    body->layer->out = y;
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
    if (f->depth > 256) {
        error_in(c, f, at->span, "definitions are nested too deep: does '%s' contain itself?", def->name);
        return NULL;
    }
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

static Val apply_def(Checker *c, Frame *f, const LayerVal *l, int n, const Val *given, const Node *at)
{
    Val inputs[MAX_BOX];

    for (int i = 0; i < n; i++) {
        inputs[i] = given[i];
        if (inputs[i].kind == VAL_ERROR)
            return val_error();
    }
    int rank = inputs[0].kind == VAL_TENSOR ? sample_rank(f, inputs[0].tensor) : inputs[0].kind == VAL_FIELD && inputs[0].raw->rank > 0 ? inputs[0].raw->rank : 0;
    if (inputs[0].kind == VAL_FIELD && inputs[0].raw->rank >= 0)
        inputs[0] = field_value(c, f, inputs[0], inputs[0].raw->rank, inputs[0].raw->size, 0, at->span);
    Def *def = choose_def(c, f, l, rank, at);
    if (!def)
        return val_error();
    const Node *ports = def_part(def, NODE_PORTS, 0);
    int nports = ports ? ports->n : 0;
    if (nports == 2 && n > 2) { /* add, mul, concat of many: from the left */
        Val sum = apply_def(c, f, l, 2, inputs, at);
        for (int i = 2; i < n && sum.kind != VAL_ERROR; i++)
            sum = apply_def(c, f, l, 2, (Val[]){sum, inputs[i]}, at);
        return sum;
    }
    if (nports == n + 1 && c->label.kind != VAL_ERROR && n < MAX_BOX) /* a loss or metric of a named output */
        inputs[n++] = c->label;
    if (nports && nports != n) {
        error_in(c, f, at->span, "%s takes %d input%s, but gets %d", l->name, nports, nports == 1 ? "" : "s", n);
        note_at(def->node->name, "defined here");
        return val_error();
    }
    return def->node->flag == DEFINE_FN && nports ? run_fn(c, f, l, def, n, inputs, at) : run_layer(c, f, l, def, n, inputs, at);
}

static Val check_shape(Checker *c, Frame *f, const LayerVal *l, Val v)
{
    Val s = l->shape;
    bool same = v.kind == VAL_TENSOR;
    int n = s.kind == VAL_LIST ? s.n : 1;

    if (v.kind == VAL_ERROR)
        return v;
    if (same)
        same = sample_rank(f, v.tensor) == n;
    for (int i = 0; same && i < n; i++) {
        Val k = s.kind == VAL_LIST ? s.items[i] : s;
        same = k.kind == VAL_NUMBER && k.number == (double)sample_size(f, v.tensor)[i];
    }
    if (!same) {
        Text t = {.arena = c->arena};
        tree_source(&t, l->node);
        error_in(c, f, l->node->span, "this is %s, not %s", v.kind == VAL_TENSOR ? shape_text(c, f, v.tensor) : val_kind(c, v), t.s);
    }
    return v; /* what follows is checked with what there really is */
}

Val apply(Checker *c, Frame *f, Val layer, int n, const Val *inputs, const Node *at)
{
    if (layer.kind == VAL_LIST) { /* a fork */
        Val out = {.kind = VAL_LIST, .n = layer.n, .items = NEW_ARRAY(c->arena, Val, layer.n), .span = at->span};
        for (int i = 0; i < layer.n; i++) {
            out.items[i] = apply(c, f, layer.items[i], n, inputs, at->kind == NODE_LIST && i < at->n ? at->child[i] : at);
            if (out.items[i].kind == VAL_ERROR)
                return val_error();
        }
        return out;
    }
    if (layer.kind != VAL_LAYER) {
        if (layer.kind != VAL_ERROR)
            error_in(c, f, at->span, "expected a layer, found %s", val_kind(c, layer));
        return val_error();
    }
    const LayerVal *l = layer.layer;
    if (l->kind == LAYER_DEF)
        return apply_def(c, f, l, n, inputs, l->node ? l->node : at);
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
