/* program.c -- from a model and its train section to the graphs of a Program. The model is run once for each graph. */
#include "check/value.h"

typedef struct Build {
    Def *model;
    const Node *train;
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
        for (int k = 0; k < names.n; k++)
            if (strcmp(names.at[k], n->text) == 0)
                error_at(n->name, "the data '%s' is defined twice", n->text);
        PUSH(c->arena, names, n->text);
        if (named && strcmp(n->text, named->text) == 0)
            found = n;
    }
    if (!named && train && names.n > 1) {
        error_at(train->name, "the file has several data sections: which one is to be trained on?");
        help("train %s on %s", train->text, names.at[0]);
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

/* --- what predict gives --- */

static void predict_output(Checker *c, Frame *f, Tensor *t, const char *name)
{
    Elem el = elem_new(c, f);
    Index *out[MAX_BOX];
    Output o = {.name = name, .rank = sample_rank(f, t)};
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

/* A graph of the loss alone: the results of the model are its inputs. */
static void open_loss(Checker *c, Build *b, const char *name, Results *r)
{
    open_graph(c, name, false);
    for (int i = 0; i < r->n; i++) {
        const Tensor *t = r->value[i].tensor;
        Tensor *z = graph_tensor(c->graph, r->name[i], ROLE_INPUT, t->rank, t->size);
        z->batched = true;
        r->value[i] = val_tensor(z, NOWHERE);
    }
    train_value(c, train_scope(c, r), train_setting(b->train, "loss")->child[0], "losses", "loss.each");
}

/* Of which outputs predict may name the best class: what the loss shows of them are probabilities. */
static void find_probabilities(Checker *c, Build *b, Results *r)
{
    open_loss(c, b, "shown", r);
    for (int i = 0; i < c->program->outputs.n; i++) {
        Output *o = &c->program->outputs.at[i];
        for (int k = 0; k < r->n; k++) {
            const Tensor *z = r->value[k].tensor, *shown = predicted_of(c, z);
            if (strcmp(r->name[k], o->name) == 0 && shown)
                o->probabilities = gives_probabilities(c, z, shown);
        }
    }
}

static void build_predict(Checker *c, Build *b)
{
    Frame *f = frame_new(c, NULL, NULL);

    c->program->predict = open_graph(c, "predict", false);
    Results r = run_model(c, b->model);
    if (!r.ok)
        return;
    check_predict(c, train_setting(b->train, "predict"), &r);
    if (b->train) {
        Frame *scope = train_scope(c, &r);
        train_value(c, scope, train_setting(b->train, "loss")->child[0], "losses", "loss.each");
    }
    for (int i = 0; i < r.n; i++) {
        Tensor *predicted = predicted_of(c, r.value[i].tensor);
        if (is_predicted(b->train, &r, r.name[i]))
            predict_output(c, f, predicted ? predicted : r.value[i].tensor, r.name[i]);
    }
    if (b->train)
        find_probabilities(c, b, &r);
}

/* The model once more without its last layer's input: does the loss apply that layer anyway? */
static void find_twice(Checker *c, Build *b)
{
    if (!b->last || body_has_params(def_body(b->last->def)) || tensor_count(b->last->out) > 1 << 20)
        return;
    Results r = {.ok = true, .n = 1, .value = {val_tensor(b->last->out, NOWHERE)}, .name = {b->result}};
    open_loss(c, b, "twice", &r);
    if (predicted_of(c, r.value[0].tensor))
        warn_twice(c, b->last, train_setting(b->train, "loss")->child[0], r.value[0].tensor);
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
    Frame *scope = NULL;
    SettingList settings = {0};

    phase_freeze(c, train);
    export_train(c, frame_new(c, NULL, NULL), train, &settings);
    int errors = error_count();
    Graph *g = open_graph(c, phase ? arena_print(c->arena, "step_%s", name) : "step", true);
    Results r = run_model(c, b->model);
    Tensor *loss = r.ok && error_count() == errors ? build_loss(c, train, &r, &scope) : NULL;
    if (!loss) {
        check_train_names(c, train);
        return false;
    }
    if (r.n == 1 && !phase) {
        b->last = made_innermost(c, r.value[0].tensor);
        b->result = r.name[0];
    }
    check_frozen(c, train);
    for (int i = 0; i < p->kept.n; i++)
        p->kept.at[i].frozen = is_frozen(c, p->kept.at[i].name) && (!phase || p->kept.at[i].frozen);
    build_update(c, scope, train, loss, phase ? arena_print(c->arena, "optimizer.%s/", name) : "optimizer.", &settings);
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
    Frame *scope;
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
    Results r = run_model(c, b->model);
    if (r.ok)
        build_loss(c, b->train, &r, &scope);
    p->report = open_graph(c, "report", false);
    r = run_model(c, b->model);
    if (!r.ok)
        return;
    build_loss(c, b->train, &r, &scope);
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
        run_model(c, b->model);
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
