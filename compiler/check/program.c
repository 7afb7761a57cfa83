/* program.c -- from a model and its train section to the graphs of a Program. The model is run once for each graph. */
#include "check/value.h"

/* What a run of the model gives. */
typedef struct Results {
    bool ok;
    int n;
    Val value[MAX_BOX];
    const char *name[MAX_BOX];
} Results;

typedef struct Build {
    Def *model;
    const Node *train;
    Frame *scope; /* of the train section: outputs by name */
    const Applied *last; /* the layer that gives the model's only result, or NULL */
    const char *result;  /* the name of that result */
} Build;

enum { MOST_BATCH = 1 << 20 };

/* Where the values of these settings are looked up first. */
static const struct { const char *key, *space; } train_spaces[] = {
    {"loss", "losses"}, {"metrics", "metrics"}, {"optimizer", "optimizers"},
    {"schedule", "schedules"}, {"clip", "clips"}, {"penalty", "penalties"}};

/* --- finding the parts --- */

static const Node *only_train(Checker *c)
{
    const Node *found = NULL;

    for (int i = 0; i < c->file->n; i++) {
        const Node *n = c->file->child[i];
        if (n->kind != NODE_TRAIN)
            continue;
        if (found) {
            error_at(n->span, "a file has one train section");
            note_at(found->span, "the first is here");
        } else {
            found = n;
        }
    }
    return found;
}

static Def *find_model(Checker *c, const Node *train)
{
    LIST(const char *) names = {0};
    Def *last = NULL;

    for (int i = 0; i < c->defs.n; i++) {
        Def *d = c->defs.at[i];
        if (*d->space || d->node->flag != DEFINE_MODEL)
            continue;
        PUSH(c->arena, names, d->name);
        if (!train || strcmp(train->text, d->name) == 0)
            last = d;
    }
    if (last)
        return last;
    if (train) {
        error_at(train->name, "there is no model '%s'", train->text);
        if (!suggest_among(c, NULL, train->text, names.n, names.at) && names.n)
            help("the file has %s", names_text(c->arena, names.n, names.at));
    } else {
        error_at((Span){c->file->span.file, 0, 0}, "this file has no model");
        help("model NAME of x[4] = x -> dense(3)");
    }
    return NULL;
}

static const Node *find_data(Checker *c, const Node *train)
{
    const Node *named = train ? train->child[0] : NULL, *only = NULL, *found = NULL;
    LIST(const char *) names = {0};

    for (int i = 0; i < c->file->n; i++) {
        const Node *n = c->file->child[i];
        if (n->kind != NODE_DATA)
            continue;
        only = n;
        PUSH(c->arena, names, n->text);
        if (named && strcmp(n->text, named->text) == 0)
            found = n;
    }
    if (!named)
        return names.n == 1 ? only : NULL;
    if (!found) {
        error_at(named->span, "there is no data '%s'", named->text);
        if (!suggest_among(c, NULL, named->text, names.n, names.at) && names.n)
            help("the file has %s", names_text(c->arena, names.n, names.at));
    }
    return found;
}

/* --- running the model --- */

static Graph *open_graph(Checker *c, const char *name, bool training)
{
    c->graph = graph_new(c->arena, name, c->program->batch);
    c->training = training;
    c->labels = false;
    c->report = strcmp(name, "report") == 0;
    c->metric = NULL;
    c->output = c->label = val_error();
    c->judged.n = c->predicted.n = 0;
    c->applied = c->cache.n = 0;
    return c->graph;
}

/* A port of the model takes the field of its name; without data, one of its own shape. */
static Val model_input(Checker *c, Frame *f, const Node *port)
{
    bool found = false;
    Val v = val_error();

    if (c->data) {
        int64_t size[MAX_RANK];
        int rank = port_shape(c, f, port, size);
        if (rank >= 0)
            data_hint(c, port->text, rank, size);
        v = data_field(c, port->text, port->span, &found);
        if (!found) {
            LIST(const char *) names = {0};
            for (int i = 0; i < c->raws.n; i++)
                PUSH(c->arena, names, c->raws.at[i]->name);
            for (int i = 0; i < c->ncolumns; i++)
                PUSH(c->arena, names, c->columns[i]);
            error_at(port->span, "the data '%s' has no field '%s'", c->data->text, port->text);
            note_at(c->data->name, "the data");
            if (!suggest_among(c, NULL, port->text, names.n, names.at) && names.n)
                help("it has %s", names_text(c->arena, names.n, names.at));
        }
        return v;
    }
    for (int i = 0; i < c->raws.n; i++)
        if (strcmp(c->raws.at[i]->name, port->text) == 0)
            return (Val){.kind = VAL_FIELD, .raw = c->raws.at[i], .span = port->span};
    Raw *r = NEW(c->arena, Raw);
    *r = (Raw){.name = port->text, .rank = -1, .classes = -1, .where = port->span};
    PUSH(c->arena, c->raws, r);
    return (Val){.kind = VAL_FIELD, .raw = r, .span = port->span};
}

static void add_result(Results *r, Val v, const char *name)
{
    if (r->n == MAX_BOX)
        return;
    r->ok &= v.kind == VAL_TENSOR;
    r->name[r->n] = name;
    r->value[r->n++] = v;
}

static Results run_model(Checker *c, Build *b)
{
    const Node *ports = def_part(b->model, NODE_PORTS, 0), *outputs = def_part(b->model, NODE_PORTS, 1), *body = def_body(b->model);
    Frame *f = frame_new(c, NULL, NULL);
    Results r = {.ok = true};
    Val in[MAX_BOX];
    int n = ports && ports->n <= MAX_BOX ? ports->n : 0;

    f->def = b->model;
    if (!n) {
        error_at(b->model->node->name, "a model says what it takes, up to %d inputs: model %s of x[4]", MAX_BOX, b->model->name);
        r.ok = false;
        return r;
    }
    if (!bind_settings(c, f, f, b->model, 0, NULL, b->model->node)) {
        r.ok = false;
        return r;
    }
    for (int i = 0; i < n && i < MAX_BOX; i++) {
        in[i] = model_input(c, f, ports->child[i]);
        if (in[i].kind == VAL_LIST) {
            error_at(ports->child[i]->span, "'%s' is a list: the model wants a tensor", ports->child[i]->text);
            in[i] = val_error();
        }
        if (in[i].kind == VAL_ERROR || !bind_inputs(c, f, f, b->model, i + 1, in, ports->child[i])) {
            r.ok = false;
            return r;
        }
    }
    f->nlead = 0;
    Val v = body->kind == NODE_BLOCK ? run_block(c, f, body, outputs) : eval(c, f, body);
    if (v.kind == VAL_LAYER || (v.kind == VAL_LIST && v.n && v.items[0].kind == VAL_LAYER))
        v = apply(c, f, v, n, in, body);
    if (v.kind != VAL_LIST) {
        if (v.kind != VAL_TENSOR && v.kind != VAL_ERROR)
            error_at(body->span, "the result of a model is a tensor, this is %s", val_kind(c, v));
        add_result(&r, v, outputs && outputs->n == 1 ? outputs->child[0]->text : "output");
    }
    for (int i = 0; v.kind == VAL_LIST && i < v.n; i++)
        add_result(&r, v.items[i], outputs && i < outputs->n ? outputs->child[i]->text : arena_print(c->arena, "output%d", i + 1));
    return r;
}

/* --- loss and metrics --- */

/* The scope of loss and metrics: outputs by their names; fields are found through the data. */
static Frame *train_scope(Checker *c, const Results *r)
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

static Val train_value(Checker *c, Frame *f, const Node *n, const char *space, const char *name)
{
    if (c->label.kind == VAL_ERROR && n->kind == NODE_NAME) {
        error_at(n->span, "%s wants a field 'label', which the data does not have", n->text);
        help("name it in the data section: label = COLUMN");
        return val_error();
    }
    c->space = space;
    c->applies_default = true;
    Val v = lift(c, f, n, name);
    c->applies_default = false;
    c->space = NULL;
    return v;
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

/* Loss and metrics in step, eval and report; gives the loss to differentiate. */
static Tensor *build_loss(Checker *c, Build *b, const Results *r)
{
    const Node *setting = train_setting(b->train, "loss"), *metrics = train_setting(b->train, "metrics");

    b->scope = train_scope(c, r);
    if (!setting) {
        train_needs(b->train, "loss", "cross_entropy");
        return NULL;
    }
    Val v = train_value(c, b->scope, setting->child[0], "losses", "loss.each");
    if (v.kind != VAL_TENSOR)
        return NULL;
    Tensor *loss = c->report ? NULL : total_loss(c, b->scope, v);
    c->metric = "loss";
    c->nsums = 0;
    report_metric(c, b->scope, "loss", metric_mean(c, b->scope, v), 0, false);
    c->metric = NULL;
    for (int i = 0; metrics && i < metrics->n; i++) {
        Text t = {.arena = c->arena};
        tree_source(&t, metrics->child[i]);
        c->metric = t.s;
        c->nsums = 0;
        v = train_value(c, b->scope, metrics->child[i], "metrics", "metric");
        if (v.kind == VAL_TENSOR)
            report_metric(c, b->scope, t.s, metric_mean(c, b->scope, v), i + 1, higher_is_better(t.s));
        c->metric = NULL;
    }
    return loss;
}

/* --- what predict gives --- */

static void predict_output(Checker *c, Frame *f, Tensor *t, const char *name, bool probabilities)
{
    Elem el = elem_new(c, f);
    Index *out[MAX_BOX];
    Output o = {.name = name, .probabilities = probabilities, .rank = sample_rank(f, t)};
    int n = 0;

    elem_imply(c, &el, o.rank, sample_size(f, t));
    out[n++] = el.ambient[0];
    for (int i = 0; i < o.rank; i++) {
        o.size[i] = sample_size(f, t)[i];
        out[n++] = el.implied[i];
    }
    const Node at = {.kind = NODE_NAME, .text = name, .span = NOWHERE};
    Tensor *copy = materialise(c, f, arena_print(c->arena, "predict.%s", name), EQ_MAP, elem_load(c, f, &el, t, &at), n, out, t->where);
    copy->wanted = true;
    o.tensor = copy->name;
    PUSH(c->arena, c->program->outputs, o);
}

/* Outputs that only help the training vanish from predict: `predict = main` says which stay; else those that a metric
 * names; else, no metric naming any, all. */
static bool is_predicted(const Node *train, const Results *r, const char *name)
{
    const Node *said = train_setting(train, "predict"), *s = said ? said : train_setting(train, "metrics");
    bool any = said != NULL;

    for (int i = 0; s && i < r->n; i++)
        any |= node_mentions(s, r->name[i]);
    return !any || node_mentions(s, name);
}

static void check_predict(Checker *c, const Node *s, const Results *r)
{
    for (int i = 0; s && i < s->n; i++) {
        bool found = false;
        for (int k = 0; k < r->n; k++)
            found |= s->child[i]->kind == NODE_NAME && strcmp(s->child[i]->text, r->name[k]) == 0;
        if (found)
            continue;
        const char *near = s->child[i]->kind == NODE_NAME ? nearest(s->child[i]->text, (const char *const *)r->name, r->n) : NULL;
        Text t = {.arena = c->arena};
        for (int k = 0; k < r->n; k++)
            text_print(&t, "%s%s", k ? ", " : "", r->name[k]);
        error_at(s->child[i]->span, "predict lists outputs of the model, this is none");
        help(near ? "did you mean '%s'?" : "its outputs are %s", near ? near : t.s);
    }
}

static void build_predict(Checker *c, Build *b)
{
    Frame *f = frame_new(c, NULL, NULL);

    c->program->predict = open_graph(c, "predict", false);
    Results r = run_model(c, b);
    if (!r.ok)
        return;
    check_predict(c, train_setting(b->train, "predict"), &r);
    if (b->train) {
        b->scope = train_scope(c, &r);
        train_value(c, b->scope, train_setting(b->train, "loss")->child[0], "losses", "loss.each");
    }
    for (int i = 0; i < r.n; i++) {
        Tensor *predicted = predicted_of(c, r.value[i].tensor);
        if (is_predicted(b->train, &r, r.name[i]))
            predict_output(c, f, predicted ? predicted : r.value[i].tensor, r.name[i], predicted && sample_rank(f, predicted) == 1);
    }
}

/* The model once more without its last layer's input: does the loss apply that layer anyway? */
static void find_twice(Checker *c, Build *b)
{
    const Node *loss = b->train ? train_setting(b->train, "loss") : NULL;

    if (!b->last || body_has_params(def_body(b->last->def)) || tensor_count(b->last->out) > 1 << 20)
        return;
    open_graph(c, "twice", false);
    Tensor *z = graph_tensor(c->graph, "z", ROLE_INPUT, b->last->out->rank, b->last->out->size);
    z->batched = true;
    Results r = {.ok = true, .n = 1, .value = {val_tensor(z, NOWHERE)}, .name = {b->result}};
    Frame *scope = train_scope(c, &r);
    train_value(c, scope, loss->child[0], "losses", "loss.each");
    if (predicted_of(c, z))
        warn_twice(c, b->last, loss->child[0], z);
}

/* --- the door --- */

/* What the train section says, where the model does not get so far: its names and their settings at least. */
static void check_train_names(Checker *c, const Node *train)
{
    if (!train_setting(train, "optimizer"))
        train_needs(train, "optimizer", "sgd(lr = 0.1)");
    for (size_t i = 0; i < sizeof train_spaces / sizeof *train_spaces; i++) {
        const Node *s = train_setting(train, train_spaces[i].key);
        c->space = train_spaces[i].space;
        for (int k = 0; s && k < s->n; k++)
            check_names(c, s->child[k]);
        c->space = NULL;
    }
}

/* The graph of one step, and the settings of its phase for the trainer; false after an error. */
static bool build_step(Checker *c, Build *b, const Node *train, int phase, const char *name)
{
    Program *p = c->program;
    Build step = {.model = b->model, .train = train};
    SettingList settings = {0};

    phase_freeze(c, train);
    export_train(c, frame_new(c, NULL, NULL), train, &settings);
    int errors = error_count();
    Graph *g = open_graph(c, phase ? arena_print(c->arena, "step_%s", name) : "step", true);
    Results r = run_model(c, b);
    Tensor *loss = r.ok && error_count() == errors ? build_loss(c, &step, &r) : NULL;
    if (!loss) {
        check_train_names(c, train);
        return false;
    }
    if (r.n == 1 && !phase) {
        b->last = made_last(c, r.value[0].tensor);
        b->result = r.name[0];
    }
    check_frozen(c, train);
    for (int i = 0; i < p->kept.n; i++)
        p->kept.at[i].frozen = is_frozen(c, p->kept.at[i].name) && (!phase || p->kept.at[i].frozen);
    build_update(c, step.scope, train, loss, phase ? arena_print(c->arena, "optimizer.%s/", name) : "optimizer.", &settings);
    c->frozen.n = 0;
    if (name) {
        TrainPhase made = {.name = name, .step = g, .train = settings};
        PUSH(c->arena, p->phases, made);
    }
    if (!phase) {
        p->step = g;
        p->train = settings;
    }
    return error_count() == errors;
}

static void build_training(Checker *c, Build *b)
{
    Program *p = c->program;
    const Node *phases[MAX_PHASES];
    const char *names[MAX_PHASES];
    int n = train_phases(c, b->train, phases, names);
    bool good = true;

    for (int i = 0; i < n && good; i++) {
        c->first = i == 0;
        good = build_step(c, b, phases[i], i, names[i]);
    }
    c->first = false;
    if (!good)
        return;
    check_init(c, b->train);
    p->eval = open_graph(c, "eval", false);
    Results r = run_model(c, b);
    if (r.ok)
        build_loss(c, b, &r);
    p->report = open_graph(c, "report", false);
    r = run_model(c, b);
    if (!r.ok)
        return;
    build_loss(c, b, &r);
    check_monitors(c, &p->train);
    for (int i = 1; i < p->phases.n; i++)
        check_monitors(c, &p->phases.at[i].train);
}

/* The reader of the data and the settings for the trainer; false when the model cannot be run. */
static bool open_data(Checker *c, Build *b, Frame *top)
{
    const Node *data = find_data(c, b->train);
    bool good = !b->train || !b->train->child[0] || data;

    for (int i = 0; i < c->file->n; i++)
        if (c->file->child[i]->kind == NODE_DATA && c->file->child[i] != data)
            data_check(c, top, c->file->child[i]);
    return data_open(c, top, data) && good;
}

static void build_all(Checker *c, Build *b)
{
    Program *p = c->program;

    if (b->train)
        build_training(c, b);
    if (error_count())
        return;
    c->first = !b->train;
    build_predict(c, b);
    c->first = false;
    if (c->measures && !error_count()) {
        p->prepare = open_graph(c, "prepare", false);
        run_model(c, b);
    }
}

void build_program(Checker *c)
{
    Program *p = c->program;
    Build b = {.train = only_train(c)};
    Frame *top = frame_new(c, NULL, NULL);
    const Node *set = train_setting(b.train, "batch");

    b.model = find_model(c, b.train);
    p->batch = 32;
    if (set && want_size(c, top, set->child[0], eval(c, top, set->child[0]), &p->batch) && p->batch > MOST_BATCH) {
        error_at(set->child[0]->span, "a batch has at most %d samples", MOST_BATCH);
        p->batch = 1;
    }
    p->init = graph_new(c->arena, "init", p->batch);
    c->graph = p->init;
    bool good = open_data(c, &b, top) && b.model;
    if (b.train)
        check_train(c, b.train->child[1]);
    if (good) {
        b.model->used = true;
        p->name = b.model->name;
        export_data(c, top);
        build_all(c, &b);
    } else if (b.train) {
        check_train_names(c, b.train);
    }
    if (error_count())
        return;
    find_twice(c, &b);
    warn_rows(c);
    warn_fields(c);
}

Program *check(Arena *a, const Node *tree, Define *defines, int ndefines)
{
    Checker *c = NEW(a, Checker);

    c->arena = a;
    c->program = NEW(a, Program);
    c->program->arena = a;
    c->program->source = source_get(tree->span.file)->path;
    c->file = tree;
    c->defines = defines;
    c->ndefines = ndefines;
    c->output = c->label = val_error();
    c->graph = graph_new(a, "options", 1);
    define_all(c, tree);
    build_program(c);
    if (error_count())
        return NULL;
    warn_unused(c);
    return c->program;
}
