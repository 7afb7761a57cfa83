/* warn.c -- what compiles and is yet wrong: names nobody reads, layers that do nothing more. */
#include "check/value.h"
#include "graph/rewrite.h"

/* --- names --- */

/* Read under a condition: perhaps not this time, but with other settings. */
static bool is_read(const Node *n, const char *name, bool condition)
{
    if (n->kind == NODE_NAME)
        return condition && strcmp(n->text, name) == 0;
    condition |= n->kind == NODE_BRANCH || n->kind == NODE_CHOOSE;
    for (int i = 0; i < n->n; i++) {
        const Node *e = n->child[i];
        if (n->kind == NODE_ASSIGN && i == 0) /* its targets: y[o], and y, which is not read */
            for (int k = 0; k < e->n; k++) {
                if (e->child[k]->kind != NODE_NAME && is_read(e->child[k], name, condition))
                    return true;
            }
        else if (e && is_read(e, name, condition))
            return true;
    }
    return false;
}

void note_local(Checker *c, const Node *body, const Bind *b)
{
    if (!b->local || b->span.file < 0 || in_library(b->span) || *b->name == '_')
        return;
    bool used = b->used || is_read(body, b->name, false);
    for (int i = 0; i < c->locals.n; i++) {
        Bind *known = &c->locals.at[i];
        if (known->span.file == b->span.file && known->span.start == b->span.start) {
            known->used |= used;
            return;
        }
    }
    PUSH(c->arena, c->locals, *b);
    c->locals.at[c->locals.n - 1].used = used;
}

static bool in_main(const Checker *c, Span s) { return s.file == c->file->span.file; }

static void use_names(Checker *c, const Node *n)
{
    bool found;

    if (n->kind == NODE_NAME)
        global_value(c, n, &found);
    for (int i = 0; i < n->n; i++)
        if (n->child[i])
            use_names(c, n->child[i]);
}

/* What stands in the sections, and in a definition that is used, is used: a condition may not have come that far, a layer
 * may be repeated 0 times. */
static void use_mentioned(Checker *c)
{
    bool *done = NEW_ARRAY(c->arena, bool, c->defs.n + 1);

    for (int i = 0; i < c->file->n; i++)
        if (c->file->child[i]->kind != NODE_DEFINE)
            use_names(c, c->file->child[i]);
    for (int i = 0; i < c->defs.n; i++) {
        const Def *d = c->defs.at[i];
        if (done[i] || !d->used || in_library(d->node->span))
            continue;
        done[i] = true;
        use_names(c, d->node);
        i = -1; /* those before may be used now */
    }
}

void warn_unused(Checker *c)
{
    use_mentioned(c);
    for (int i = 0; i < c->locals.n; i++)
        if (!c->locals.at[i].used)
            warning_at(c->locals.at[i].span, "nobody uses '%s'", c->locals.at[i].name);
    for (int i = 0; i < c->globals.n; i++)
        if (!c->globals.at[i].used && in_main(c, c->globals.at[i].span))
            warning_at(c->globals.at[i].span, "nobody reads '%s'", c->globals.at[i].name);
    for (int i = 0; i < c->defs.n; i++) {
        const Def *d = c->defs.at[i];
        if (!d->used && d->node->flag != DEFINE_MODEL && in_main(c, d->node->span))
            warning_at(d->node->name, "nobody uses '%s'", d->name);
    }
}

/* --- weighted sums --- */

static bool loads(const Expr *e, const Tensor *t) { return e->kind == EXPR_LOAD && e->tensor == t; }

static bool is_matrix(const Expr *e) { return e->kind == EXPR_LOAD && e->tensor->role == ROLE_PARAM && e->tensor->rank == 2; }

/* y[o] = sum[c] w[o, c] * in[c], perhaps with something added: nothing else is among the equations from `first` on. */
static bool is_weighted_sum(const Graph *g, int first, const Tensor *in)
{
    bool sum = false;

    for (int i = first; i < g->equations.n; i++) {
        const Equation *q = g->equations.at[i];
        Expr *const *x = q->value->args;
        if (q->how == EQ_MAP && expr_is(q->value, OP_add) && x[0]->kind == EXPR_LOAD && x[1]->kind == EXPR_LOAD)
            continue;
        if (q->how != EQ_SUM || !expr_is(q->value, OP_mul) ||
            !((loads(x[0], in) && is_matrix(x[1])) || (loads(x[1], in) && is_matrix(x[0]))))
            return false;
        sum = true;
    }
    return sum;
}

const Applied *made_innermost(const Checker *c, const Tensor *t)
{
    for (int i = 0; i < c->made.n; i++)
        if (c->made.at[i].out == t)
            return &c->made.at[i];
    return NULL;
}

/* Fewer numbers between than on either side: two layers that have fewer weights than the one they stand for. */
static bool is_bottleneck(const Tensor *before, const Tensor *between, const Tensor *after)
{
    int64_t n = between->size[between->rank - 1];
    return n < before->size[before->rank - 1] && n < after->size[after->rank - 1];
}

void warn_applied(Checker *c, const Frame *body, const LayerVal *l, Tensor *in, Tensor *out)
{
    Applied a = {.value = l, .def = body->def, .layer = body->layer, .in = in, .out = out};
    bool inner = made_innermost(c, out) != NULL; /* a layer within this one has made it */

    a.weighted_sum = in && !inner && is_weighted_sum(c->graph, body->first_equation, in);
    a.rows = a.weighted_sum && !in_library(l->node->span) && sample_rank(body->caller, in) > 2;
    PUSH(c->arena, c->made, a);
}

typedef struct Readers {
    const Tensor *of;
    int n;
} Readers;

static void count_reader(const Expr *load, void *user)
{
    Readers *r = user;

    r->n += load->tensor == r->of;
}

/* Nothing else comes of t: the one equation that reads it is all its use. */
static bool is_read_once(const Graph *g, const Results *r, const Tensor *t)
{
    Readers readers = {.of = t};

    for (int i = 0; i < r->n; i++)
        readers.n += r->value[i].kind == VAL_TENSOR && r->value[i].tensor == t;
    for (int i = 0; i < g->equations.n; i++)
        expr_loads(g->equations.at[i]->value, count_reader, &readers);
    return readers.n == 1;
}

void warn_sums(Checker *c, const Results *r)
{
    for (int i = 0; i < c->made.n; i++) {
        const Applied *a = &c->made.at[i], *before = NULL;
        for (int k = 0; a->weighted_sum && !in_library(a->value->node->span) && k < i && !before; k++)
            if (c->made.at[k].weighted_sum && c->made.at[k].out == a->in)
                before = &c->made.at[k];
        if (!before || is_bottleneck(before->in, a->in, a->out) || !is_read_once(c->graph, r, a->in))
            continue;
        warning_at(a->value->node->span, "two layers '%s' with nothing between them: together they are one", a->value->name);
        note_at(before->value->node->span, "the one before");
    }
}

void shape_checked(Checker *c, const Tensor *t)
{
    for (int i = 0; i < c->made.n; i++)
        if (c->made.at[i].out == t)
            c->made.at[i].rows = false;
}

/* The same mention, met with another shape before. */
static bool said_before(const Checker *c, int n)
{
    for (int i = 0; i < n; i++)
        if (c->made.at[i].rows && c->made.at[i].value->node == c->made.at[n].value->node)
            return true;
    return false;
}

void warn_rows(Checker *c)
{
    for (int i = 0; i < c->made.n; i++) {
        const Applied *a = &c->made.at[i];
        if (!a->rows || said_before(c, i))
            continue;
        int rank = sample_rank(NULL, a->in);
        const int64_t *size = sample_size(NULL, a->in);
        warning_at(a->layer->where, "%s of %s works along the last axis alone, once for each of the %.0f others", a->def->name,
                   shape_text(c, NULL, a->in), elements(rank - 1, size));
        help_with(c, "rows", (const char *[]){a->layer->call, shape_text(c, NULL, a->out)});
    }
}

/* --- softmax before a loss that applies it --- */

void warn_twice(Checker *c, const Applied *last, const Node *loss, Tensor *z)
{
    Frame *f = frame_new(c, NULL, NULL);
    Val in = val_tensor(z, NOWHERE), layer = {.kind = VAL_LAYER, .layer = (LayerVal *)last->value};
    Text name = {.arena = c->arena};

    if (!last->in || !same_shape(last->in, z)) /* it could not be applied again */
        return;
    f->path = "twice";
    Val out = apply(c, f, layer, 1, &in, last->value->node);
    if (out.kind != VAL_TENSOR || !same_function(c, z, out.tensor, predicted_of(c, z)))
        return;
    tree_source(&name, loss->kind == NODE_CALL ? loss->child[0] : loss);
    warning_at(last->layer->where, "%s before %s, which applies it itself", last->def->name, name.s);
    help("leave '-> %s' out: predict gives the same numbers all the same", last->layer->call);
}
