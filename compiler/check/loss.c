/* loss.c -- loss and metrics, applied to what the model gives. */
#include "check/value.h"

Frame *train_scope(Checker *c, const Results *r)
{
    Frame *f = frame_new(c, NULL, NULL);
    bool found;

    for (int i = 0; i < r->n; i++)
        frame_bind(c, f, r->name[i], r->value[i], r->value[i].span)->used = true;
    frame_bind(c, f, "output", r->value[0], r->value[0].span)->used = true;
    c->labels = true;
    c->output = r->value[0];
    c->label = data_field(c, "label", NOWHERE, &found);
    if (!found)
        c->label = val_error();
    return f;
}

Val train_value(Checker *c, Frame *f, const Node *n, const char *space, const char *name)
{
    if (c->label.kind == VAL_ERROR && n->kind == NODE_NAME) {
        bool found; /* and wrong, which has been said */
        data_field(c, "label", NOWHERE, &found);
        if (!found) {
            error_at(n->span, "%s wants a field 'label', which the data does not have", n->text);
            help("name it in the data section: label = COLUMN");
        }
        return val_error();
    }
    c->space = space;
    c->in_loss = strcmp(space, "losses") == 0;
    c->applies_default = true;
    Val v = lift(c, f, n, name);
    c->applies_default = c->in_loss = false;
    c->space = NULL;
    return v;
}

bool same_shape(const Tensor *a, const Tensor *b)
{
    return a->rank == b->rank && memcmp(a->size, b->size, (size_t)a->rank * sizeof *a->size) == 0;
}

/* loss = (sum over real samples of the loss of each) / total; over further axes the mean. */
static Tensor *total_loss(Checker *c, Frame *f, Val v)
{
    Elem el = elem_new(c, f);
    Expr *subs[MAX_RANK];
    double rest = 1;
    Tensor *t = v.tensor;

    if (!t->batched) {
        error_at(v.span, "the loss does not depend on the sample");
        return NULL;
    }
    subs[0] = expr_index(c->arena, el.ambient[0]);
    for (int i = 1; i < t->rank; i++) {
        subs[i] = expr_index(c->arena, index_new(c->arena, "i", t->size[i]));
        rest *= (double)t->size[i];
    }
    Tensor *sum = materialise(c, f, "loss.sum", EQ_SUM, batch_guard(c, &el, expr_load(c->arena, t, subs, false), 0), 0, NULL, v.span);
    Expr *total = expr_op(c->arena, "mul", expr_scalar(c->arena, graph_scalar(c->graph, "total")), expr_number(c->arena, rest), NULL);
    Tensor *loss = materialise(c, f, "loss", EQ_MAP, expr_op(c->arena, "div", expr_scalar(c->arena, sum), total, NULL), 0, NULL, v.span);
    loss->wanted = true;
    return loss;
}

Val metric_table(Checker *c, Frame *f, Val results)
{
    const Tensor *first = results.items[0].tensor;
    Index *k = index_new(c->arena, "k", results.n), *out[MAX_RANK];
    Expr *subs[MAX_RANK], *e = NULL;
    int rank = first->rank;

    for (int i = 0; i < results.n; i++)
        if (results.items[i].kind != VAL_TENSOR || results.items[i].tensor->batched || rank > MAX_RANK - 2 ||
            !same_shape(first, results.items[i].tensor))
            return results.items[0];
    for (int i = 0; i < rank; i++) {
        out[i] = index_new(c->arena, "i", first->size[i]);
        subs[i] = expr_index(c->arena, out[i]);
    }
    out[rank] = k;
    c->headings = NEW_ARRAY(c->arena, const char *, results.n);
    for (int i = results.n; i-- > 0;) {
        Expr *column = expr_load(c->arena, results.items[i].tensor, subs, false);
        Expr *here = expr_op(c->arena, "eq", expr_index(c->arena, k), expr_number(c->arena, i), NULL);
        e = e ? expr_op(c->arena, "select", here, column, e) : column;
        c->headings[i] = results.items[i].text;
    }
    return val_tensor(materialise(c, f, "table", EQ_MAP, e, rank + 1, out, results.span), results.span);
}

static void report_metric(Checker *c, Frame *f, const char *name, Expr *e, int nth, bool higher)
{
    Index *out[MAX_RANK];
    Output o = {.name = name, .higher_is_better = higher};
    int n = 0;

    if (!c->report)
        return;
    for (int i = 0; e->kind == EXPR_LOAD && i < e->nargs; i++)
        if (e->args[i]->kind == EXPR_INDEX) {
            o.size[n] = e->args[i]->index->size;
            out[n++] = e->args[i]->index;
        }
    o.rank = n;
    o.columns = c->headings;
    Tensor *t = materialise(c, f, arena_print(c->arena, "report.%d", nth), EQ_MAP, e, n, out, NOWHERE);
    t->wanted = true;
    o.tensor = t->name;
    PUSH(c->arena, c->program->metrics, o);
}

/* `best` and progress must know which way is up; what the library does not name is taken to be an error to lower. */
static bool higher_is_better(const char *text)
{
    static const char *const up[] = {"accuracy", "top", "precision", "recall", "f1", "auc", "r2", "iou", "dice"};

    for (size_t i = 0; i < sizeof up / sizeof *up; i++)
        if (strncmp(text, up[i], strlen(up[i])) == 0)
            return true;
    return false;
}

Tensor *build_loss(Checker *c, const Node *train, const Results *r, Frame **scope)
{
    const Node *setting = train_setting(train, "loss"), *metrics = train_setting(train, "metrics");

    Frame *f = *scope = train_scope(c, r);
    if (!setting) {
        train_needs(train, "loss", "cross_entropy");
        return NULL;
    }
    c->judging = setting->child[0]->span;
    c->demands.n = 0;
    Val v = train_value(c, f, setting->child[0], "losses", "loss.each");
    c->judging = NOWHERE;
    if (v.kind != VAL_TENSOR)
        return NULL;
    v = demanded(c, f, v);
    Tensor *loss = c->report ? NULL : total_loss(c, f, v);
    c->metric = "loss";
    c->nsums = 0;
    report_metric(c, f, "loss", metric_mean(c, f, v), 0, false);
    c->metric = NULL;
    for (int i = 0; metrics && i < metrics->n; i++) {
        Text t = {.arena = c->arena};
        tree_source(&t, metrics->child[i]);
        for (int k = 0; k < i; k++) {
            Text other = {.arena = c->arena};
            tree_source(&other, metrics->child[k]);
            if (strcmp(other.s, t.s) == 0)
                error_at(metrics->child[i]->span, "'%s' is listed twice", t.s);
        }
        c->metric = t.s;
        c->nsums = 0;
        c->headings = NULL;
        v = train_value(c, f, metrics->child[i], "metrics", "metric");
        if (v.kind == VAL_TENSOR)
            report_metric(c, f, t.s, metric_mean(c, f, v), i + 1, higher_is_better(t.s));
        c->metric = NULL;
        c->headings = NULL;
    }
    return loss;
}
