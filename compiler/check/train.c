/* train.c -- the settings of a train section: which there are, and whether the trainer will understand those it reads. */
#include "check/value.h"

#include <math.h>

/* How a setting reaches the trainer. */
typedef enum {
    AS_TEXT,  /* the compiler's alone: as written */
    AS_VALUE, /* checked where the compiler uses it */
    AS_COUNT, /* a whole number from `least` to `most`, or a duration in `unit` */
    AS_STOP,
    AS_BEST,
} Reach;

static const struct {
    const char *name;
    Reach how;
    double least, most;
    const char *unit;
} keys[] = {
    {"loss", AS_TEXT, 0, 0, ""},        {"optimizer", AS_TEXT, 0, 0, ""},  {"schedule", AS_TEXT, 0, 0, ""},
    {"metrics", AS_TEXT, 0, 0, ""},     {"clip", AS_TEXT, 0, 0, ""},       {"penalty", AS_TEXT, 0, 0, ""},
    {"predict", AS_TEXT, 0, 0, ""},     {"freeze", AS_TEXT, 0, 0, ""},     {"batch", AS_VALUE, 0, 0, ""},
    {"accumulate", AS_VALUE, 0, 0, ""}, {"ema", AS_TEXT, 0, 0, ""},        {"init", AS_VALUE, 0, 0, ""},      {"epochs", AS_COUNT, 0, 1e9, "epochs"},
    {"steps", AS_COUNT, 1, 1e15, "steps"}, {"seed", AS_COUNT, 0, 9007199254740992.0, ""},
    {"threads", AS_COUNT, 1, 4096, ""}, {"restarts", AS_COUNT, 1, 1e6, ""}, {"stop", AS_STOP, 0, 0, ""},
    {"checkpoint", AS_BEST, 0, 0, ""},
};
enum { KEYS = sizeof keys / sizeof *keys };

static int key_find(const char *name)
{
    int k = 0;

    while (k < KEYS && strcmp(keys[k].name, name) != 0)
        k++;
    return k;
}

bool is_train_key(const char *name) { return key_find(name) < KEYS; }

/* --- the names --- */

static void unknown_key(Checker *c, const Node *n)
{
    const char *names[KEYS];

    for (int k = 0; k < KEYS; k++)
        names[k] = keys[k].name;
    error_at(n->name, "train has no setting '%s'", n->text);
    if (!suggest_among(c, "train", n->text, KEYS, names))
        help("its settings are %s", names_text(c->arena, KEYS, names));
}

/* loss = mse, mae: which of them? */
static void check_single(const Node *n)
{
    static const char *const lists[] = {"metrics", "penalty", "predict", "freeze", "stop"};

    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (strcmp(lists[i], n->text) == 0)
            return;
    if (n->n < 2)
        return;
    error_at(n->child[1]->span, "'%s' has one value", n->text);
    if (strcmp(n->text, "loss") == 0)
        help("several losses are added: loss = mse + 0.1 * mae");
    else if (strcmp(n->text, "schedule") == 0)
        help("parts of a schedule follow one another: schedule = warmup(5 epochs) -> cosine");
}

void check_train(Checker *c, const Node *settings)
{
    const Node *epochs = NULL, *steps = NULL;

    for (int i = 0; i < settings->n; i++) {
        const Node *n = settings->child[i];
        bool plain = n->kind == NODE_SETTING;
        if (!plain && key_find(n->text) == KEYS)
            check_train(c, n->child[0]);
        else if (!plain || key_find(n->text) == KEYS)
            unknown_key(c, n);
        else
            check_single(n);
        for (int j = 0; j < i; j++)
            if (plain && strcmp(settings->child[j]->text, n->text) == 0) {
                error_at(n->name, "'%s' is set twice", n->text);
                note_at(settings->child[j]->name, "first here");
            }
        epochs = plain && strcmp(n->text, "epochs") == 0 ? n : epochs;
        steps = plain && strcmp(n->text, "steps") == 0 ? n : steps;
    }
    if (epochs && steps) {
        error_at(steps->name, "'steps' and 'epochs' both say how long to train: one of them is enough");
        note_at(epochs->name, "the other one");
    }
}

void train_needs(const Node *train, const char *key, const char *example)
{
    const Node *settings = train->child[1];

    for (int i = 0; i < settings->n; i++)
        if (key_find(settings->child[i]->text) == KEYS && nearest(settings->child[i]->text, &key, 1))
            return; /* it is there, misspelt, and that has been said */
    error_at(train->name, "train needs %s %s, as in %s = %s", *key == 'o' ? "an" : "a", key, key, example);
}

/* --- the values --- */

static bool is_whole(double x, double least, double most) { return x >= least && x <= most && x == floor(x); }

static void check_count(Checker *c, const Setting *s, int k)
{
    const Value *v = &s->value;
    bool counts = v->kind == VALUE_NUMBER || (v->kind == VALUE_DURATION && strcmp(v->text, keys[k].unit) == 0);

    if (counts && is_whole(v->number, keys[k].least, keys[k].most))
        return;
    bool large = counts && v->number > keys[k].most;
    error_at(v->where.end > v->where.start ? v->where : s->where, "%s is a whole number, %s%s, not %s", s->name,
             number_text(c->arena, large ? keys[k].most : keys[k].least), large ? " at most" : " or more", s->text);
}

/* What is watched, as the trainer names it: accuracy, valid.accuracy, top(5). */
static Value monitor(Checker *c, const Node *n)
{
    if (n->kind == NODE_NAME || n->kind == NODE_MEMBER || n->kind == NODE_CALL)
        return text_value(c, n);
    error_at(n->span, "expected a metric such as accuracy or valid.loss");
    return (Value){.kind = VALUE_WORD, .text = "loss"};
}

static bool is_call(const Node *n, const char *name, int least, int most)
{
    return n->kind == NODE_CALL && n->child[0]->kind == NODE_NAME && strcmp(n->child[0]->text, name) == 0 && n->n - 1 >= least &&
           n->n - 1 <= most;
}

static Value patience(Checker *c, Frame *f, const Node *n)
{
    Value v = {.kind = VALUE_CALL, .text = "patience", .n = n->n - 1, .where = n->span};

    v.parts = NEW_ARRAY(c->arena, Value, 2);
    v.names = NEW_ARRAY(c->arena, const char *, 2);
    v.parts[0] = setting_value(c, f, n->child[1]);
    if (n->n == 3)
        v.parts[1] = monitor(c, n->child[2]);
    bool counts = v.parts[0].kind == VALUE_NUMBER || (v.parts[0].kind == VALUE_DURATION && strcmp(v.parts[0].text, "epochs") == 0);
    if (!counts || !is_whole(v.parts[0].number, 1, 1e9))
        error_at(n->child[1]->span, "patience is a number of epochs, 1 or more: patience(5 epochs)");
    return v;
}

static Value condition(Checker *c, Frame *f, const Node *n)
{
    Value v = {.kind = VALUE_CALL, .text = n->text, .n = 2, .where = n->span};

    v.parts = NEW_ARRAY(c->arena, Value, 2);
    v.names = NEW_ARRAY(c->arena, const char *, 2);
    v.parts[0] = monitor(c, n->child[0]);
    v.parts[1] = setting_value(c, f, n->child[1]);
    if (v.parts[1].kind != VALUE_NUMBER && v.parts[1].kind != VALUE_PERCENT)
        error_at(n->child[1]->span, "a metric is compared with a number: accuracy > 0.99");
    if (*n->text == '!')
        error_at(n->span, "a condition to stop compares with <, <=, ==, >= or >");
    return v;
}

static Value time_limit(Checker *c, Frame *f, const Node *n)
{
    Value v = setting_value(c, f, n);

    if (v.kind == VALUE_DURATION && strcmp(v.text, "seconds") == 0)
        return v;
    error_at(n->span, "expected patience(5 epochs), a condition such as errors == 0, or a time such as 30 minutes");
    return (Value){.kind = VALUE_DURATION, .text = "seconds", .where = n->span};
}

static Value stop(Checker *c, Frame *f, int n, Node *const *nodes)
{
    Value list = {.kind = VALUE_LIST, .n = n, .where = nodes[0]->span};

    list.parts = NEW_ARRAY(c->arena, Value, n);
    list.names = NEW_ARRAY(c->arena, const char *, n);
    for (int i = 0; i < n; i++) {
        const Node *s = nodes[i];
        Value *v = &list.parts[i];
        if ((s->kind == NODE_LIST || s->kind == NODE_TUPLE) && s->n)
            *v = stop(c, f, s->n, s->child);
        else if (is_call(s, "patience", 1, 2))
            *v = patience(c, f, s);
        else if (s->kind == NODE_BINARY && strchr("=!<>", s->text[0]))
            *v = condition(c, f, s);
        else
            *v = time_limit(c, f, s);
    }
    return n == 1 ? list.parts[0] : list;
}

static Value best(Checker *c, const Node *s)
{
    Value v = {.kind = VALUE_CALL, .text = "best", .n = 1, .where = s->span};

    v.parts = NEW_ARRAY(c->arena, Value, 1);
    v.names = NEW_ARRAY(c->arena, const char *, 1);
    v.parts[0] = (Value){.kind = VALUE_WORD, .text = "loss"};
    if (s->n == 1 && is_call(s->child[0], "best", 1, 1))
        v.parts[0] = monitor(c, s->child[0]->child[1]);
    else
        error_at(s->n == 1 ? s->child[0]->span : s->span, "expected what the best epoch is best in: best(valid.accuracy)");
    return v;
}

void export_train(Checker *c, Frame *f, const Node *train, SettingList *out)
{
    const Node *settings = train->child[1];

    for (int i = 0; i < settings->n; i++) {
        const Node *n = settings->child[i];
        int k = key_find(n->text);
        if (n->kind != NODE_SETTING || k == KEYS)
            continue;
        Setting s = setting_exported(c, f, n, keys[k].how == AS_VALUE || keys[k].how == AS_COUNT);
        if (keys[k].how == AS_COUNT)
            check_count(c, &s, k);
        else if (keys[k].how == AS_STOP)
            s.value = stop(c, f, n->n, n->child);
        else if (keys[k].how == AS_BEST)
            s.value = best(c, n);
        PUSH(c->arena, *out, s);
    }
}

/* --- metrics that are watched --- */

static void check_monitor(Checker *c, const Value *v)
{
    const char *name = v->text, *names[64];
    int n = 0;

    if (strncmp(name, "valid.", 6) == 0 || strncmp(name, "train.", 6) == 0)
        name += 6;
    for (int i = 0; i < c->program->metrics.n; i++) {
        const Output *m = &c->program->metrics.at[i];
        if (strcmp(m->name, name) == 0 && m->rank == 0)
            return;
        if (strcmp(m->name, name) == 0) {
            error_at(v->where, "'%s' is a table: what is watched is one number", name);
            return;
        }
        if (m->rank == 0 && n < 64)
            names[n++] = m->name;
    }
    error_at(v->where, "'%s' is no metric of this training", name);
    const char *near = nearest(name, names, n);
    if (near)
        help("did you mean '%s'?", near);
    else
        help("it has %s; metrics = ... adds others", names_text(c->arena, n, names));
}

static void check_monitors_in(Checker *c, const Value *v)
{
    if (v->kind == VALUE_LIST)
        for (int i = 0; i < v->n; i++)
            check_monitors_in(c, &v->parts[i]);
    else if (v->kind == VALUE_CALL && strcmp(v->text, "patience") == 0 && v->n == 2)
        check_monitor(c, &v->parts[1]);
    else if (v->kind == VALUE_CALL && strcmp(v->text, "patience") != 0)
        check_monitor(c, &v->parts[0]);
}

void check_monitors(Checker *c, const SettingList *train)
{
    for (int i = 0; i < train->n; i++) {
        int k = key_find(train->at[i].name);
        if (k < KEYS && (keys[k].how == AS_STOP || keys[k].how == AS_BEST))
            check_monitors_in(c, &train->at[i].value);
    }
}
