/* draw.c -- parameters and states: kept between steps, told apart by name, and given first values in graph init. */
#include "check/value.h"

Tensor *kept_tensor(Checker *c, const char *name, KeptKind kind, int rank, const int64_t *size, Frame *f, Span at)
{
    Kept *k = program_kept(c->program, name);
    bool same = true;

    if (!fits(c, f, name, rank, size, at))
        rank = 0; /* what follows can be computed with */
    if (!k) {
        Kept fresh = {.name = name, .kind = kind, .rank = rank, .layer = f ? f->layer : NULL, .where = at};
        for (int i = 0; i < rank; i++)
            fresh.size[i] = size[i];
        k = program_keep(c->program, fresh);
    }
    for (int i = 0; i < rank; i++)
        same &= rank == k->rank && size[i] == k->size[i];
    if (!same || rank != k->rank) {
        error_in(c, f, at, "'%s' is shared, but here it is %s and elsewhere %s", name, sizes_text(c, rank, size), sizes_text(c, k->rank, k->size));
        if (!in_library(k->where))
            note_at(k->where, "first made here");
    }
    Tensor *t = graph_find(c->graph, name);
    if (!t) {
        t = graph_tensor(c->graph, name, kind == KEPT_PARAM ? ROLE_PARAM : ROLE_STATE, k->rank, k->size);
        t->where = at;
    }
    return t;
}

Tensor *kept_next(Tensor *state, Tensor *value)
{
    if (state->next)
        state->next->wanted = false;
    state->next = value;
    value->wanted = true;
    return value;
}

/* --- first values --- */

/* Runs what follows in graph init; gives the graph to go back to. */
static Graph *enter_init(Checker *c)
{
    Graph *back = c->graph;

    c->graph = c->program->init;
    return back;
}

static Tensor *init_tensor(Checker *c, const Kept *k, Elem *el, Expr *e)
{
    Expr *subs[MAX_RANK];

    for (int i = 0; i < k->rank; i++)
        subs[i] = expr_index(c->arena, el->implied[i]);
    Tensor *t = graph_tensor(c->graph, k->name, ROLE_TEMP, k->rank, k->size);
    t->wanted = true;
    t->where = k->where;
    Equation *q = graph_equation(c->graph, t, subs, EQ_MAP, e);
    q->layer = k->layer;
    q->where = k->where;
    return t;
}

void init_constant(Checker *c, const Kept *k, double value)
{
    Graph *back = enter_init(c);
    Elem el = {0};

    elem_imply(c, &el, k->rank, k->size);
    init_tensor(c, k, &el, expr_number(c->arena, value));
    c->graph = back;
}

/* A number for each element: uniform in [0, 1), or standard normal by Box and Muller (1958). */
static Expr *drawn(Checker *c, const char *name, const Elem *el, bool normal)
{
    Arena *a = c->arena;
    Expr *at = expr_number(a, 0);

    for (int i = 0; i < el->nimplicit; i++) {
        Expr *wider = expr_op(a, "mul", at, expr_number(a, (double)el->implied[i]->size), NULL);
        at = expr_op(a, "add", wider, expr_index(a, el->implied[i]), NULL);
    }
    Expr *u = expr_random(a, stream_of(name, 0), at);
    if (!normal)
        return u;
    Expr *v = expr_random(a, stream_of(name, 1), at);
    Expr *log = expr_op(a, "log", expr_op(a, "sub", expr_number(a, 1), u, NULL), NULL, NULL);
    Expr *r = expr_op(a, "sqrt", expr_op(a, "mul", expr_number(a, -2), log, NULL), NULL, NULL);
    Expr *turn = expr_op(a, "cos", expr_op(a, "mul", expr_number(a, 6.283185307179586), v, NULL), NULL, NULL);
    return expr_op(a, "mul", r, turn, NULL);
}

/* A layer of u[R, C]: the weight as a matrix, first axis against all others, and back. */
static void init_by_layer(Checker *c, Frame *body, const Kept *k, Val init, bool normal, const Node *at)
{
    int64_t size[2] = {k->rank ? k->size[0] : 1, 1};
    Elem el = {0}, whole = {0};

    for (int i = 1; i < k->rank; i++)
        size[1] *= k->size[i];
    elem_imply(c, &el, 2, size);
    Tensor *m = materialise(c, body, "drawn", EQ_MAP, drawn(c, k->name, &el, normal), 2, el.implied, at->span);
    Val in = val_tensor(m, at->span);
    Val out = apply(c, body, init, 1, &in, at);
    if (out.kind != VAL_TENSOR)
        return;
    elem_imply(c, &whole, k->rank, k->size);
    Expr *subs[2] = {k->rank ? expr_index(c->arena, whole.implied[0]) : expr_number(c->arena, 0), expr_number(c->arena, 0)};
    for (int i = 1; i < k->rank; i++) {
        Expr *wider = expr_op(c->arena, "mul", subs[1], expr_number(c->arena, (double)k->size[i]), NULL);
        subs[1] = expr_op(c->arena, "add", wider, expr_index(c->arena, whole.implied[i]), NULL);
    }
    init_tensor(c, k, &whole, expr_load(c->arena, out.tensor, subs, false));
}

void init_draw(Checker *c, Frame *f, const Kept *k, Val init, const Node *at)
{
    if (init.kind != VAL_LAYER || init.layer->kind != LAYER_DEF) {
        if (init.kind != VAL_ERROR)
            error_in(c, f, at->span, "expected an initialiser such as he or normal(std = 0.1), found %s", val_kind(c, init));
        return;
    }
    Graph *back = enter_init(c);
    bool first = c->first;
    Def *def = choose_def(c, f, init.layer, 2, at);
    Frame *body = frame_new(c, f, NULL);
    c->first = false; /* its layers are no layers of the model */
    body->path = arena_print(c->arena, "init.%s", k->name);
    body->nlead = 0;
    body->def = def;
    body->call = at;
    body->fan_in = f->fan_in;
    body->fan_out = f->fan_out;
    const Node *ports = def ? def_part(def, NODE_PORTS, 0) : NULL;
    const char *of = ports && ports->n == 1 ? ports->child[0]->text : "";
    bool normal = strcmp(of, "n") == 0;
    if (def && (normal || strcmp(of, "u") == 0)) {
        Elem el = {0};
        elem_imply(c, &el, k->rank, k->size);
        if (def->node->flag != DEFINE_FN) {
            init_by_layer(c, body, k, init, normal, at);
        } else if (bind_settings(c, f, body, def, init.layer->nargs, init.layer->args, at)) {
            frame_bind(c, body, ports->child[0]->text, val_expr(drawn(c, k->name, &el, normal)), at->span);
            Expr *e = element_body(c, body, &el, def);
            if (e)
                init_tensor(c, k, &el, e);
        }
    } else if (def) {
        error_in(c, f, at->span, "'%s' is no initialiser: that takes one input, u or n", def->name);
    }
    c->first = first;
    c->graph = back;
}

/* --- `param` and `state` --- */

static Arg *override(Frame *f, const char *name)
{
    for (int i = 0; i < f->nargs; i++)
        if (f->args[i].name && strcmp(f->args[i].name, name) == 0)
            return &f->args[i];
    return NULL;
}

/* PyTorch's rule: axis 0 are the outputs; all axes after axis 1 are the window. A vector has the fan of the weight before. */
static void set_fan(Frame *f, int rank, const int64_t *size)
{
    double window = 1;

    if (rank < 2) {
        if (f->fan_in == 0)
            f->fan_in = f->fan_out = rank ? (double)size[0] : 1;
        return;
    }
    for (int i = 2; i < rank; i++)
        window *= (double)size[i];
    f->fan_in = (double)size[1] * window;
    f->fan_out = (double)size[0] * window;
}

/* state mean[C] ~ mean(x): found by looking at the training split before training. */
static void measured(Checker *c, Frame *f, const Node *n, Kept *k)
{
    const Node *call = n->child[1];
    c->measures = true;
    bool is_mean = call->kind == NODE_CALL && call->child[0]->kind == NODE_NAME && strcmp(call->child[0]->text, "mean") == 0;

    if (call->kind != NODE_CALL || call->n != 2 || (!is_mean && (call->child[0]->kind != NODE_NAME || strcmp(call->child[0]->text, "std") != 0))) {
        error_in(c, f, call->span, "a state is measured by mean(x) or std(x)");
        return;
    }
    Val x = eval(c, f, call->child[1]);
    if (x.kind != VAL_TENSOR)
        return;
    if (strcmp(c->graph->name, "prepare") == 0) {
        Elem el = elem_new(c, f);
        Index *out[MAX_BOX];
        int nout = 0;
        elem_imply(c, &el, sample_rank(f, x.tensor), sample_size(f, x.tensor));
        for (int i = 0; i < el.nambient; i++)
            out[nout++] = el.ambient[i];
        for (int i = 0; i < el.nimplicit; i++)
            out[nout++] = el.implied[i];
        Tensor *t = materialise(c, f, "measured", EQ_MAP, elem_load(c, f, &el, x.tensor, call), nout, out, n->span);
        t->wanted = true;
        k->measure = is_mean ? MEASURE_MEAN : MEASURE_STD;
        k->measured = t->name;
    }
}

static void first_value(Checker *c, Frame *f, const Node *n, Kept *k)
{
    const Arg *init = n->flag == 0 && n->number != 0 ? override(f, "init") : NULL;
    const char *space = c->space;
    double x;

    if (n->flag == 0)
        set_fan(f, k->rank, k->size);
    if (init && (init->val.kind == VAL_NUMBER || k->rank >= 2)) {
        if (init->val.kind == VAL_NUMBER)
            init_constant(c, k, init->val.number);
        else
            init_draw(c, f, k, init->val, n);
    } else if (n->number != 0 && n->flag == 0) {
        c->space = "inits";
        Val v = eval(c, f, n->child[1]);
        c->space = space;
        init_draw(c, f, k, v, n->child[1]);
    } else if (n->number != 0) {
        init_constant(c, k, n->child[1]->kind == NODE_CALL && n->child[1]->child[0]->text && strcmp(n->child[1]->child[0]->text, "std") == 0);
    } else if (want_number(c, f, n->child[1], eval(c, f, n->child[1]), &x)) {
        init_constant(c, k, x);
    }
}

/* A tensor given for the param; false when its size is another. */
static bool given_fits(Checker *c, Frame *f, const Arg *given, const char *name, int rank, const int64_t *size)
{
    const Tensor *t = given->val.kind == VAL_TENSOR ? given->val.tensor : NULL;
    bool same = t && t->rank == rank;

    for (int i = 0; same && i < rank; i++)
        same = t->size[i] == size[i];
    if (!same)
        error_in(c, f->caller, given->span, "%s: '%s' must be a parameter of %s, this is %s", f->def->name, name,
                 sizes_text(c, rank, size), t && !t->batched ? sizes_text(c, t->rank, t->size) : val_kind(c, given->val));
    return same;
}

static bool draw_size(Checker *c, Frame *f, const Node *list, int *rank, int64_t *size)
{
    *rank = 0;
    for (int i = 0; list && i < list->n; i++) {
        if (*rank == MAX_RANK - 1) {
            error_in(c, f, list->span, "a tensor has at most %d axes", MAX_RANK - 1);
            return false;
        }
        if (!want_size(c, f, list->child[i], eval(c, f, list->child[i]), &size[(*rank)++]))
            return false;
    }
    return true;
}

/* A layer that is applied again in the same step goes on from where its state was left; no derivative goes that way. */
static Tensor *left_at(Checker *c, Frame *f, const Tensor *state, Span at)
{
    Expr *subs[MAX_RANK];
    Index *out[MAX_RANK];

    for (int i = 0; i < state->rank; i++) {
        out[i] = index_new(c->arena, "i", state->size[i]);
        subs[i] = expr_index(c->arena, out[i]);
    }
    Expr *value = expr_op(c->arena, "detach", expr_load(c->arena, state->next, subs, false), NULL, NULL);
    return materialise(c, f, "left", EQ_MAP, value, state->rank, out, at);
}

void run_draw(Checker *c, Frame *f, const Node *n)
{
    const Node *port = n->child[0];
    const char *name = path_join(c, f->path, port->text);
    const Arg *given = override(f, port->text);
    int64_t size[MAX_RANK];
    int rank;
    Bind *b = frame_bind(c, f, port->text, val_error(), port->span);

    b->used = true;
    if (!draw_size(c, f, port->child[0], &rank, size))
        return;
    if (given) {
        if (given_fits(c, f, given, port->text, rank, size))
            frame_bind(c, f, port->text, given->val, port->span);
        return;
    }
    bool fresh = !program_kept(c->program, name);
    Tensor *t = kept_tensor(c, name, n->flag ? KEPT_BUFFER : KEPT_PARAM, rank, size, f, port->span);
    Kept *k = program_kept(c->program, name);
    if (n->flag && n->number != 0)
        measured(c, f, n, k);
    if (fresh)
        first_value(c, f, n, k);
    else if (n->flag == 0)
        set_fan(f, rank, size);
    frame_bind(c, f, port->text, val_tensor(n->flag && t->next ? left_at(c, f, t, port->span) : t, port->span), port->span);
}
