/* update.c -- everything after the loss: gradients, penalties, clipping, the schedule and the optimizer. */
#include "check/average.h"

typedef struct Update {
    Checker *c;
    Frame *scope;
    const Node *train;
    int n;
    Tensor **param, **grad;
    const char **name;     /* of the params, whatever stands for them */
    int64_t accumulate;
    const char *prefix;    /* of the names of what the optimizer keeps */
    SettingList *settings; /* of this phase, for the trainer */
} Update;

static Expr *op2(Checker *c, const char *op, Expr *x, Expr *y) { return expr_op(c->arena, op, x, y, NULL); }

static Expr *scalar(Checker *c, const char *name) { return expr_scalar(c->arena, graph_scalar(c->graph, name)); }

static Tensor *scalar_tensor(Checker *c, const char *name, Expr *e)
{
    Tensor *t = graph_tensor(c->graph, name, ROLE_TEMP, 0, NULL);

    graph_equation(c->graph, t, NULL, EQ_MAP, e);
    return t;
}

static void find_params(Update *u)
{
    Checker *c = u->c;
    Graph *g = c->graph;

    u->param = NEW_ARRAY(c->arena, Tensor *, g->tensors.n);
    u->grad = NEW_ARRAY(c->arena, Tensor *, g->tensors.n);
    u->name = NEW_ARRAY(c->arena, const char *, g->tensors.n);
    for (int i = 0; i < g->tensors.n; i++)
        if (g->tensors.at[i]->role == ROLE_PARAM && !is_frozen(c, g->tensors.at[i]->name)) {
            u->name[u->n] = g->tensors.at[i]->name;
            u->param[u->n++] = g->tensors.at[i];
        }
}

/* A sum over all weights is made in parts: what one kernel can read is limited. */
static Expr *in_parts(Checker *c, int nth, const char *name, Expr *sum)
{
    return nth % 32 == 31 ? expr_scalar(c->arena, scalar_tensor(c, name, sum)) : sum;
}

/* --- before the gradient --- */

static Tensor *with_penalty(Update *u, Tensor *loss)
{
    Checker *c = u->c;
    const Node *s = train_setting(u->train, "penalty");
    Expr *sum = expr_scalar(c->arena, loss);

    if (!s)
        return loss;
    for (int i = 0; i < u->n; i++) {
        Tensor *w = u->param[i];
        Elem el = {0};
        if (w->rank < 2)
            continue;
        elem_imply(c, &el, w->rank, w->size);
        c->space = "penalties";
        c->applies_default = true;
        for (int k = 0; k < s->n; k++) {
            c->element_default = elem_load(c, u->scope, &el, w, s);
            c->cache.n = 0;
            Expr *e = element(c, u->scope, &el, s->child[k]);
            if (!e)
                break;
            Tensor *t = materialise(c, u->scope, "penalty", EQ_SUM, e, 0, NULL, s->span);
            Expr *more = expr_scalar(c->arena, t);
            if (u->accumulate > 1) /* once a step, not once for each part of it */
                more = op2(c, "mul", more, scalar(c, "last"));
            sum = in_parts(c, i, "penalty.part", op2(c, "add", sum, more));
        }
        c->element_default = NULL;
        c->applies_default = false;
        c->space = NULL;
    }
    return scalar_tensor(c, "loss.penalised", sum);
}

/* --- between gradient and optimizer --- */

/* Gradients of the parts of a step add up in a state; the last part uses and clears it. */
static void accumulate(Update *u)
{
    Checker *c = u->c;

    for (int i = 0; i < u->n; i++) {
        Tensor *g = u->grad[i];
        Elem el = {0};
        const char *name = arena_print(c->arena, "%s%s.accumulated", u->prefix, u->name[i]);
        if (!g)
            continue;
        bool fresh = !program_kept(c->program, name);
        Tensor *state = kept_tensor(c, name, KEPT_OPTIMIZER, g->rank, g->size, u->scope, NOWHERE);
        if (fresh)
            init_constant(c, program_kept(c->program, name), 0);
        elem_imply(c, &el, g->rank, g->size);
        const Node at = {.kind = NODE_NAME, .text = name, .span = NOWHERE};
        Expr *sum = op2(c, "add", elem_load(c, u->scope, &el, state, &at), elem_load(c, u->scope, &el, g, &at));
        u->grad[i] = materialise(c, u->scope, arena_print(c->arena, "sum.%s", g->name), EQ_MAP, sum, g->rank, el.implied, NOWHERE);
        Expr *whole = elem_load(c, u->scope, &el, u->grad[i], &at);
        Expr *done = op2(c, "ne", scalar(c, "last"), expr_number(c->arena, 0));
        Tensor *next = materialise(c, u->scope, "accumulated", EQ_MAP, expr_op(c->arena, "select", done, expr_number(c->arena, 0), whole),
                                   g->rank, el.implied, NOWHERE);
        kept_next(state, next);
    }
}

static void grad_norm(Update *u)
{
    Checker *c = u->c;
    Expr *sum = expr_number(c->arena, 0);

    for (int i = 0; i < u->n; i++) {
        Elem el = {0};
        if (!u->grad[i])
            continue;
        elem_imply(c, &el, u->grad[i]->rank, u->grad[i]->size);
        const Node at = {.kind = NODE_NAME, .text = "g", .span = NOWHERE};
        Expr *g = elem_load(c, u->scope, &el, u->grad[i], &at);
        Tensor *t = materialise(c, u->scope, "squares", EQ_SUM, op2(c, "mul", g, g), 0, NULL, NOWHERE);
        sum = in_parts(c, i, "squares.part", op2(c, "add", sum, expr_scalar(c->arena, t)));
    }
    scalar_tensor(c, "grad_norm", expr_op(c->arena, "sqrt", sum, NULL, NULL));
}

/* A setting that names a definition: its layer, or NULL after an error. */
static const LayerVal *named(Update *u, const Node *n, const char *space, const char *what)
{
    Checker *c = u->c;

    c->space = space;
    Val v = eval(c, u->scope, n);
    c->space = NULL;
    if (v.kind == VAL_LAYER && v.layer->kind == LAYER_DEF)
        return v.layer;
    if (v.kind != VAL_ERROR)
        error_at(n->span, "expected %s, found %s", what, val_kind(c, v));
    return NULL;
}

static bool clip(Update *u)
{
    Checker *c = u->c;
    const Node *s = train_setting(u->train, "clip");

    if (!s)
        return true;
    const LayerVal *l = named(u, s->child[0], "clips", "a way of clipping such as norm(5)");
    if (!l)
        return false;
    Def *def = choose_def(c, u->scope, l, 0, s);
    if (def && node_mentions(def_body(def), "grad_norm"))
        grad_norm(u);
    for (int i = 0; i < u->n; i++) {
        Elem el = {0};
        if (!u->grad[i])
            continue;
        elem_imply(c, &el, u->grad[i]->rank, u->grad[i]->size);
        Expr *g = elem_load(c, u->scope, &el, u->grad[i], s);
        Expr *e = apply_element(c, u->scope, &el, l, 1, &g, s->child[0]);
        if (!e)
            return false;
        u->grad[i] = materialise(c, u->scope, arena_print(c->arena, "clip.%s", u->name[i]), EQ_MAP, e, u->grad[i]->rank, el.implied, s->span);
    }
    return true;
}

/* --- the learning rate --- */

typedef struct Part {
    const LayerVal *layer;
    Expr *length; /* in steps; NULL: to the end */
} Part;

static int schedule_parts(Update *u, const Node *n, Part *parts, int room)
{
    Checker *c = u->c;

    if (n->kind == NODE_PIPE) {
        int k = schedule_parts(u, n->child[0], parts, room);
        if (k < 0)
            return k;
        int m = schedule_parts(u, n->child[1], parts + k, room - k);
        return m < 0 ? m : k + m;
    }
    if (room < 1) {
        error_at(n->span, "a schedule has at most 16 parts");
        return -1;
    }
    const LayerVal *l = named(u, n, "schedules", "a schedule such as cosine");
    if (!l)
        return -1;
    *parts = (Part){.layer = l};
    Def *def = choose_def(c, u->scope, l, 0, n);
    const Node *params = def ? def_part(def, NODE_PARAMS, 0) : NULL;
    for (int i = 0; i < l->nargs; i++) {
        bool length = l->args[i].name ? strcmp(l->args[i].name, "duration") == 0
                                      : params && i < params->n && strcmp(params->child[i]->text, "duration") == 0;
        if (!length)
            continue;
        Elem el = {0};
        Frame *f = frame_new(c, u->scope, u->scope);
        frame_bind(c, f, "duration", l->args[i].val, l->args[i].span);
        const Node name = {.kind = NODE_NAME, .text = "duration", .span = l->args[i].span};
        parts->length = element(c, f, &el, &name);
        if (l->args[i].val.kind == VAL_NUMBER) /* epochs, when nothing is said */
            parts->length = op2(c, "mul", parts->length, scalar(c, "steps_per_epoch"));
        if (!parts->length)
            return -1;
    }
    return 1;
}

static Expr *part_rate(Update *u, const Part *p, Expr *base, Expr *t, const Node *at)
{
    Checker *c = u->c;
    Elem el = {.implicit = true};
    Def *def = choose_def(c, u->scope, p->layer, 0, at);
    const Node *ports = def ? def_part(def, NODE_PORTS, 0) : NULL;
    Frame *f = frame_new(c, u->scope, NULL);

    if (!def || !ports || ports->n != 2) {
        if (def)
            error_at(at->span, "a schedule takes two inputs, the rate and the progress: '%s' does not", def->name);
        return NULL;
    }
    f->path = frame_instance(c, u->scope, arena_print(c->arena, "%sschedule.%s", u->prefix, def->name));
    f->def = def;
    f->call = at;
    if (!bind_settings(c, u->scope, f, def, p->layer->nargs, p->layer->args, at))
        return NULL;
    frame_bind(c, f, ports->child[0]->text, val_expr(base), at->span);
    frame_bind(c, f, ports->child[1]->text, val_expr(t), at->span);
    return element_body(c, f, &el, def);
}

/* Parts follow one another; t runs from 0 to 1 through each. */
static Tensor *learning_rate(Update *u)
{
    Checker *c = u->c;
    const Node *s = train_setting(u->train, "schedule");
    Expr *base = scalar(c, "base_lr"), *rates[16], *ends[16];
    Part parts[16];

    if (!s)
        return scalar_tensor(c, "lr", base);
    int n = schedule_parts(u, s->child[0], parts, 16);
    Expr *start = expr_number(c->arena, 0), *now = op2(c, "sub", scalar(c, "steps"), expr_number(c->arena, 1));
    for (int i = 0; i < n; i++) {
        ends[i] = parts[i].length ? op2(c, "add", start, parts[i].length) : scalar(c, "total_steps");
        Expr *t = op2(c, "div", op2(c, "sub", now, start), op2(c, "max", op2(c, "sub", ends[i], start), expr_number(c->arena, 1)));
        t = op2(c, "min", op2(c, "max", t, expr_number(c->arena, 0)), expr_number(c->arena, 1));
        rates[i] = part_rate(u, &parts[i], base, t, s->child[0]);
        if (!rates[i])
            return NULL;
        start = ends[i];
    }
    if (n < 0)
        return NULL;
    Expr *rate = parts[n - 1].length ? base : rates[n - 1];
    for (int i = parts[n - 1].length ? n : n - 1; i-- > 0;)
        rate = expr_op(c->arena, "select", op2(c, "lt", now, ends[i]), rates[i], rate);
    return scalar_tensor(c, "lr", rate);
}

/* --- the optimizer --- */

/* The rate in the file, which --lr replaces: the setting lr, given or by default. */
static bool export_rate(Update *u, Frame *body)
{
    Checker *c = u->c;
    Bind *b = frame_find(body, "lr");
    Setting s = {.name = "lr", .where = train_setting(u->train, "optimizer")->span};

    if (!b)
        return true;
    if (b->val.kind != VAL_NUMBER || !(b->val.number >= 0)) {
        error_at(in_library(b->span) ? s.where : b->span, "a learning rate is a number, 0 or more, not %s", val_kind(c, b->val));
        return false;
    }
    s.value = (Value){.kind = VALUE_NUMBER, .number = b->val.number};
    s.text = number_text(c->arena, b->val.number);
    for (int i = 0; i < u->settings->n; i++)
        if (strcmp(u->settings->at[i].name, "lr") == 0)
            return true;
    PUSH(c->arena, *u->settings, s);
    return true;
}

/* With accumulated gradients only the last part of a step changes anything. */
static void only_last(Update *u, int first)
{
    Checker *c = u->c;
    Graph *g = c->graph;

    for (int i = 0; i < g->tensors.n; i++) {
        Tensor *s = g->tensors.at[i];
        if (!s->next || (s->role != ROLE_PARAM && strncmp(s->name, "optimizer.", 10) != 0) || strstr(s->name, ".accumulated"))
            continue;
        Equation *q = graph_maker(g, s->next);
        for (int k = first; k < g->equations.n; k++)
            if (g->equations.at[k] == q) {
                Expr *old = expr_load(c->arena, s, q->at, false);
                q->value = expr_op(c->arena, "select", op2(c, "ne", scalar(c, "last"), expr_number(c->arena, 0)), q->value, old);
            }
    }
}

/* The definition of an optimizer: of a weight and its gradient. NULL after an error. */
static Def *optimizer_def(Update *u, const LayerVal *l, const Node *at)
{
    Def *def = choose_def(u->c, u->scope, l, 0, at);
    const Node *ports = def ? def_part(def, NODE_PORTS, 0) : NULL;

    if (!def || (ports && ports->n == 2))
        return def;
    error_at(at->span, "an optimizer takes two inputs, a weight and its gradient: '%s' does not", def->name);
    return NULL;
}

static bool update_param(Update *u, const LayerVal *l, const Node *at, Tensor *lr, int i)
{
    Checker *c = u->c;
    Tensor *w = u->param[i], *g = u->grad[i];
    Def *def = optimizer_def(u, l, at);
    Frame *f = frame_new(c, u->scope, NULL);
    Elem el = {0};

    if (!def)
        return false;
    const Node *ports = def_part(def, NODE_PORTS, 0);
    f->path = arena_print(c->arena, "%s%s", u->prefix, u->name[i]);
    f->def = def;
    f->call = at;
    if (!bind_settings(c, u->scope, f, def, l->nargs, l->args, at))
        return false;
    if (!export_rate(u, f))
        return false;
    if (frame_find(f, "lr"))
        frame_bind(c, f, "lr", val_expr(expr_scalar(c->arena, lr)), at->span);
    elem_imply(c, &el, w->rank, w->size);
    Tensor *in[2] = {w, g};
    for (int k = 0; k < 2; k++) {
        Val v = val_expr(elem_load(c, f, &el, in[k], at));
        v.tensor = in[k];
        frame_bind(c, f, ports->child[k]->text, v, at->span);
    }
    Expr *e = element_body(c, f, &el, def);
    if (!e)
        return false;
    if (!w->next)
        kept_next(w, materialise(c, f, "w", EQ_MAP, e, w->rank, el.implied, at->span));
    return true;
}

void build_update(Checker *c, Frame *f, const Node *train, Tensor *loss, const char *prefix, SettingList *settings)
{
    Update u = {.c = c, .scope = f, .train = train, .accumulate = 1, .prefix = prefix, .settings = settings};
    const Node *s = train_setting(train, "optimizer"), *parts = train_setting(train, "accumulate");
    const Node *ema = train_setting(train, "ema");
    Average average = {0};

    bool good = !parts || want_size(c, f, parts->child[0], eval(c, f, parts->child[0]), &u.accumulate);

    if (!s)
        train_needs(train, "optimizer", "sgd(lr = 0.1)");
    const LayerVal *l = s ? named(&u, s->child[0], "optimizers", "an optimizer such as adam") : NULL;
    good &= l && optimizer_def(&u, l, s->child[0]);
    find_params(&u);
    if (ema) {
        average.n = u.n;
        average.weight = u.param;
        if (!average_open(c, f, ema, &average))
            return;
        u.param = average.now;
    }
    loss = with_penalty(&u, loss);
    graph_gradient(c->graph, loss, u.n, u.param, u.grad);
    if (u.accumulate > 1)
        accumulate(&u);
    good &= clip(&u);
    int first = c->graph->equations.n;
    Tensor *lr = learning_rate(&u);
    if (!lr || !good)
        return;
    lr->wanted = true;
    for (int i = 0; i < u.n; i++)
        if (u.grad[i] && !update_param(&u, l, s->child[0], lr, i))
            return;
    if (ema && !average_close(c, f, &average))
        return;
    if (u.accumulate > 1)
        only_last(&u, first);
}
