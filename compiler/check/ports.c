/* ports.c -- the inputs of a call meet the header: the definition of their rank is chosen, sizes are bound to letters. */
#include "check/value.h"

const Node *def_part(const Def *d, NodeKind kind, int nth)
{
    return kind == NODE_PARAMS ? d->node->child[0] : d->node->child[1 + nth];
}

const Node *def_body(const Def *d) { return d->node->child[3]; }

static const Node *port_sizes(const Node *port) { return port->child[0]; }
static const Node *port_declared(const Node *port) { return port->n > 1 ? port->child[1] : NULL; }

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
        *sizes = (const Node **)port->child + 1;
        return 1;
    }
    if (!list)
        return -1;
    *sizes = (const Node **)list->child;
    return list->n;
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

/* Where what a model takes comes from: the setting of the data section, or the reader. */
static void note_from_data(Val input, Span port)
{
    Span at = input.tensor->role == ROLE_INPUT || in_library(input.span) ? input.tensor->where : input.span;

    if (!in_library(at) && at.start != port.start) /* a column has no other place than where it is asked for */
        note_at(at, "from the data");
}

/* A capital of a header that is an option or a constant of the file: where it got its value. */
static bool note_constant(Checker *c, const Node *n)
{
    for (int i = 0; n->kind == NODE_NAME && i < c->globals.n; i++) {
        const Bind *b = &c->globals.at[i];
        if (strcmp(b->name, n->text) != 0 || b->val.kind != VAL_NUMBER)
            continue;
        note_at(b->span, "%s is %s", n->text, number_text(c->arena, b->val.number));
        return true;
    }
    return false;
}

/* The input has not the size that the port says, or that another input has given to the same letter. */
static bool size_differs(Checker *c, Frame *f, Frame *body, const Def *def, const Node *port, const Node *n, Val input, const Node *at)
{
    const Bind *b = n->kind == NODE_NAME ? frame_find(body, n->text) : NULL;
    Span header = def_part(def, NODE_PORTS, 0)->span;
    const Node *classes, *subscript;
    bool is_class = port_class(port, &classes, &subscript) && classes == n;
    bool other = b && b->span.file == header.file && b->span.start >= header.start && b->span.end <= header.end;

    if (other && body->ninputs > 1) {
        error_inputs(c, body, "'%s' is not the same in its inputs", n->text);
    } else if (is_class) {
        int64_t want = 0;
        want_size(c, body, n, eval(c, body, n), &want);
        error_in(c, f, at->span, "%s wants one of %lld classes for '%s', but gets one of %d", def->name, (long long)want, port->text,
                 tensor_classes(c, input.tensor));
    } else {
        error_in(c, f, at->span, "%s wants %s, but gets %s", def->name, port_text(c, port), shape_text(c, f, input.tensor));
        if (def->node->flag == DEFINE_MODEL)
            note_from_data(input, at->span);
        else if (b && !other)
            note_at(b->span, "%s is %s", n->text, number_text(c->arena, b->val.number));
        else if (!in_library(n->span) && !note_constant(c, n))
            note_at(n->span, "defined here");
    }
    return false;
}

static bool bind_size(Checker *c, Frame *f, Frame *body, const Def *def, const Node *port, const Node *n, int64_t size, Val input, const Node *at)
{
    int64_t want;

    if (n->kind == NODE_NAME && !frame_find(body, n->text)) {
        bool found;
        Val v = global_value(c, n, &found);
        if (!found || v.kind != VAL_NUMBER) {
            frame_bind(c, body, n->text, val_number((double)size), n->span)->used = true;
            return true;
        }
    }
    if (!want_size(c, body, n, eval(c, body, n), &want))
        return false;
    return want == size || size_differs(c, f, body, def, port, n, input, at);
}

/* `...` stands for the same axes wherever a header has it. */
static bool bind_dots(Checker *c, Frame *body, int n, const int64_t *size)
{
    bool same = !body->has_dots || n == body->ndots;

    for (int i = 0; i < n && i < body->ndots; i++)
        same &= size[i] == body->dots[i];
    if (!body->has_dots) {
        body->has_dots = true;
        body->ndots = n;
        memcpy(body->dots, size, (size_t)n * sizeof *size);
    }
    if (same || (elements(n, size) == 1 && elements(body->ndots, body->dots) == 1))
        return true;
    bool called = body->call && body->call->kind == NODE_CALL && body->inputs[0].span.start >= body->call->span.start; /* add(x, y) */
    error_inputs(c, body, "the %s have different shapes", c->in_loss || c->metric || called ? "inputs" : "branches");
    help_shapes(c, body);
    return false;
}

/* Binds one port: sizes from the input's axes. The axes before those the port names are leading ones. */
static bool bind_port(Checker *c, Frame *f, Frame *body, const Def *def, const Node *port, Val in, int extra, const Node *at)
{
    const Node **sizes, *classes, *subscript;
    int n = port_rank(port, &sizes);
    int rank = sample_rank(f, in.tensor) - extra;
    const int64_t *size = sample_size(f, in.tensor) + extra;

    if (port_class(port, &classes, &subscript)) {
        int k = tensor_classes(c, in.tensor);
        if (!k) {
            error_in(c, f, at->span, "%s wants class indices for '%s', but gets real numbers", def->name, port->text);
            return false;
        }
        if (!bind_size(c, f, body, def, port, classes, k, in, at))
            return false;
    }
    for (int i = 0, axis = 0; i < n; i++) {
        if (sizes[i]->kind == NODE_ELLIPSIS) {
            if (!bind_dots(c, body, rank - (n - 1), size + axis))
                return false;
            axis += rank - (n - 1);
        } else if (!bind_size(c, f, body, def, port, sizes[i], size[axis++], in, at)) {
            return false;
        }
    }
    frame_bind(c, body, port->text, in, port->span)->used = true;
    return true;
}

bool body_has_params(const Node *body)
{
    bool found = body->kind == NODE_DRAW;

    for (int i = 0; i < body->n && !found && (body->kind == NODE_BLOCK || body->kind == NODE_BRANCH); i++)
        found = body->child[i] && body_has_params(body->child[i]);
    return found;
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
            global_value(c, sizes[i], &found);
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
    Text ports = {.arena = c->arena};
    for (int i = 0; i < n; i++)
        text_print(&ports, "%s%s", i == 0 ? "" : i == n - 1 ? " or " : ", ", port_text(c, def_part(defs[i], NODE_PORTS, 0)->child[0]));
    const char *given = rank == 0 ? "one number" : rank == 1 ? "1 axis" : arena_print(c->arena, "%d axes", rank);
    error_in(c, f, at->span, "%s wants %s, but gets %s", l->name, ports.s, given);
    if (!in_library(defs[0]->node->span))
        note_at(defs[0]->node->name, "defined here");
    return NULL;
}

/* --- fields get their shape from the first who asks --- */

static const char *field_kind(Checker *c, int classes, int rank, const int64_t *size)
{
    return classes > 0 ? arena_print(c->arena, "one of %d classes", classes) : sizes_text(c, rank, size);
}

Val field_value(Checker *c, Frame *f, Val field, int rank, const int64_t *size, int classes, Span at)
{
    Raw *r = field.raw;
    int64_t full[MAX_RANK] = {c->graph->batch};

    if (r->graph == c->graph)
        return val_tensor(r->tensor, field.span);
    if (c->transform && !classes && r->classes > 0) /* label == 3: a class is its number there */
        classes = r->classes;
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
        if (r->classes > 0 && classes > 0)
            help("an output of %d numbers has one for each class", r->classes);
        else if (r->classes > 0)
            help("in the data section, %s = 1 * %s makes a number of the class", r->name, r->name);
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

    if (n + extra > MAX_RANK - 1) {
        error_in(c, f, port->span, "a tensor has at most %d axes", MAX_RANK - 1);
        return val_error();
    }
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

/* --- all inputs --- */

/* A parameter with leading axes: what runs over these runs over samples, which all have the same. */
static Val for_each_sample(Checker *c, Frame *f, Val in, Span at)
{
    const Tensor *t = in.tensor;
    Elem el = elem_new(c, f);
    Index *out[MAX_BOX];
    Expr *subs[MAX_RANK];
    int n = 0;

    for (int i = 0; i < el.nambient; i++)
        out[n++] = el.ambient[i];
    for (int i = 0; i < t->rank; i++) {
        out[n] = index_new(c->arena, "i", t->size[i]);
        subs[i] = expr_index(c->arena, out[n++]);
    }
    return val_tensor(materialise(c, f, "each", EQ_MAP, expr_load(c->arena, in.tensor, subs, false), n, out, at), in.span);
}

bool bind_inputs(Checker *c, Frame *f, Frame *body, const Def *def, int n, Val *inputs, const Node *at)
{
    const Node *ports = def_part(def, NODE_PORTS, 0);
    int extra = -1;
    int64_t lead[MAX_RANK];

    body->ninputs = n;
    body->inputs = inputs;
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
        if (e > 0 && !inputs[i].tensor->batched && c->graph->batch)
            inputs[i] = for_each_sample(c, f, inputs[i], at->span);
        if (e == 0 && extra > 0 && port_any(ports->child[i]) && sample_rank(f, inputs[i].tensor) >= extra)
            e = extra;
        if (e < 0 || (e > 0 && !inputs[i].tensor->batched)) {
            error_in(c, f, at->span, "%s wants %s, but gets %s", def->name, port_text(c, ports->child[i]), shape_text(c, f, inputs[i].tensor));
            if (def->node->flag == DEFINE_MODEL)
                note_from_data(inputs[i], at->span);
            else
                note_at(def->node->name, "defined here");
            return false;
        }
        if (inputs[i].tensor->batched) {
            bool same = extra < 0 || extra == e;
            for (int k = 0; k < e && same && extra > 0; k++)
                same = lead[k] == sample_size(f, inputs[i].tensor)[k];
            if (!same) {
                error_inputs(c, body, "it runs over the leading axes of its inputs, and these differ");
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
