/* setting.c -- settings of data and train sections, evaluated for the trainer. */
#include "check/value.h"

static Value value_list(Checker *c, Frame *f, ValueKind kind, int n, Node *const *nodes)
{
    Value v = {.kind = kind, .n = n, .parts = NEW_ARRAY(c->arena, Value, n + 1), .names = NEW_ARRAY(c->arena, const char *, n + 1)};

    for (int i = 0; i < n; i++) {
        const Node *p = nodes[i];
        if (p->kind == NODE_ARG)
            v.names[i] = p->text;
        v.parts[i] = setting_value(c, f, p->kind == NODE_ARG ? p->child[0] : p);
    }
    return v;
}

static Value value_of(Checker *c, Val v)
{
    switch (v.kind) {
    case VAL_NUMBER: return (Value){.kind = VALUE_NUMBER, .number = v.number};
    case VAL_BOOL: return (Value){.kind = VALUE_BOOL, .number = v.number};
    case VAL_PERCENT: return (Value){.kind = VALUE_PERCENT, .number = v.number};
    case VAL_TEXT: return (Value){.kind = VALUE_TEXT, .text = v.text};
    case VAL_DURATION: return (Value){.kind = VALUE_DURATION, .number = v.number, .text = v.text};
    case VAL_LIST: {
        Value list = {.kind = VALUE_LIST, .n = v.n, .parts = NEW_ARRAY(c->arena, Value, v.n + 1), .names = NEW_ARRAY(c->arena, const char *, v.n + 1)};
        for (int i = 0; i < v.n; i++)
            list.parts[i] = value_of(c, v.items[i]);
        return list;
    }
    default: return (Value){.kind = VALUE_WORD, .text = v.text ? v.text : "?"};
    }
}

static Value text_value(Checker *c, const Node *n)
{
    Text t = {.arena = c->arena};

    tree_source(&t, n);
    return (Value){.kind = VALUE_WORD, .text = t.s, .where = n->span};
}

/* Minutes and hours arrive as seconds. */
static Value duration(const Node *n)
{
    double scale = strcmp(n->text, "minutes") == 0 ? 60 : strcmp(n->text, "hours") == 0 ? 3600 : 1;
    return (Value){.kind = VALUE_DURATION, .number = n->number * scale, .text = scale > 1 ? "seconds" : n->text};
}

Value setting_value(Checker *c, Frame *f, const Node *n)
{
    Value v;
    bool found = false;

    switch (n->kind) {
    case NODE_NUMBER: v = (Value){.kind = VALUE_NUMBER, .number = n->number}; break;
    case NODE_BOOL: v = (Value){.kind = VALUE_BOOL, .number = n->number}; break;
    case NODE_PERCENT: v = (Value){.kind = VALUE_PERCENT, .number = n->number}; break;
    case NODE_DURATION: v = duration(n); break;
    case NODE_STRING: v = (Value){.kind = VALUE_TEXT, .text = n->text}; break;
    case NODE_LIST:
    case NODE_TUPLE:
    case NODE_DIMS: v = value_list(c, f, VALUE_LIST, n->n, n->child); break;
    case NODE_NAME: {
        for (int i = 0; i < c->globals.n; i++)
            if (strcmp(c->globals.at[i].name, n->text) == 0) {
                c->globals.at[i].used = found = true;
                v = value_of(c, c->globals.at[i].val);
            }
        if (!found)
            v = (Value){.kind = VALUE_WORD, .text = n->text};
        break;
    }
    case NODE_CALL: {
        v = value_list(c, f, VALUE_CALL, n->n - 1, n->child + 1);
        v.text = text_value(c, n->child[0]).text;
        break;
    }
    case NODE_BINARY:
        if (strchr("=!<>", n->text[0])) { /* errors == 0 */
            v = value_list(c, f, VALUE_CALL, 2, n->child);
            v.text = n->text;
            break;
        }
        if (dynamic(c, f, NULL, n)) {
            v = text_value(c, n);
            break;
        }
        v = value_of(c, eval(c, f, n));
        break;
    case NODE_UNARY:
    case NODE_CHOOSE:
        if (!dynamic(c, f, NULL, n)) {
            v = value_of(c, eval(c, f, n));
            break;
        }
        v = text_value(c, n);
        break;
    default: v = text_value(c, n); break;
    }
    v.where = n->span;
    return v;
}

const Node *train_setting(const Node *train, const char *key)
{
    const Node *settings = train ? train->child[1] : NULL;

    for (int i = 0; settings && i < settings->n; i++)
        if (settings->child[i]->kind == NODE_SETTING && strcmp(settings->child[i]->text, key) == 0)
            return settings->child[i];
    return NULL;
}

static Setting exported(Checker *c, Frame *f, const Node *s, bool evaluate)
{
    Text t = {.arena = c->arena};
    Setting out = {.name = s->text, .where = s->span};

    for (int i = 0; i < s->n; i++) {
        text_print(&t, "%s", i ? ", " : "");
        tree_source(&t, s->child[i]);
    }
    out.text = t.s;
    if (!evaluate)
        out.value = (Value){.kind = VALUE_WORD, .text = t.s};
    else
        out.value = s->n == 1 ? setting_value(c, f, s->child[0]) : value_list(c, f, VALUE_LIST, s->n, s->child);
    return out;
}

void export_data(Checker *c, Frame *f)
{
    static const char *const keys[] = {"valid", "test", "augment", "shuffle", "seed", "limit"};
    Setting s = {.name = "source"};
    const Node *source = c->source;
    Text t = {.arena = c->arena};

    if (!c->data)
        return;
    tree_source(&t, source);
    s.value = setting_value(c, f, source);
    if (s.value.kind == VALUE_WORD)
        s.value.kind = VALUE_CALL; /* points.xor without parentheses */
    s.text = t.s;
    s.where = source->span;
    PUSH(c->arena, c->program->data, s);
    c->program->data_name = c->data->text;
    const Node *settings = c->data->n > 1 ? c->data->child[1] : NULL;
    for (int i = 0; settings && i < settings->n; i++) {
        const Node *n = settings->child[i];
        bool key = false;
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            key |= strcmp(keys[k], n->text) == 0;
        if (n->kind == NODE_SETTING && key) {
            bool augment = strcmp(n->text, "augment") == 0;
            Setting out = exported(c, f, n, !augment);
            if (augment)
                out.value = augment_value(c, f, n->child[0]);
            PUSH(c->arena, c->program->data, out);
        }
    }
}

/* Settings of the train section; the first few are the compiler's alone and reach the trainer as text. */
static const char *const train_keys[] = {"loss", "optimizer", "schedule", "metrics", "clip", "penalty", "predict", "freeze", "batch",
                                         "accumulate", "epochs", "steps", "seed", "threads", "stop", "checkpoint", "restarts",
                                         "init", "name"};
enum { TRAIN_KEYS = sizeof train_keys / sizeof *train_keys, TEXT_KEYS = 8 };

static int train_key(const char *name)
{
    int k = 0;

    while (k < TRAIN_KEYS && strcmp(train_keys[k], name) != 0)
        k++;
    return k;
}

void check_train(Checker *c, const Node *settings)
{
    for (int i = 0; i < settings->n; i++) {
        const Node *n = settings->child[i];
        if (n->kind == NODE_GROUP && train_key(n->text) == TRAIN_KEYS) {
            check_train(c, n->child[0]);
        } else if (n->kind != NODE_SETTING || train_key(n->text) == TRAIN_KEYS) {
            error_at(n->name, "train has no setting '%s'", n->text);
            if (!suggest_among(c, "train", n->text, TRAIN_KEYS, train_keys))
                help("its settings are %s", names_text(c->arena, TRAIN_KEYS, train_keys));
        }
        for (int j = 0; j < i; j++)
            if (n->kind == NODE_SETTING && strcmp(settings->child[j]->text, n->text) == 0) {
                error_at(n->name, "'%s' is set twice", n->text);
                note_at(settings->child[j]->name, "first here");
            }
    }
}

void export_train(Checker *c, Frame *f, const Node *train, SettingList *out)
{
    const Node *settings = train->child[1];

    for (int i = 0; i < settings->n; i++) {
        const Node *n = settings->child[i];
        int key = train_key(n->text);
        if (n->kind != NODE_SETTING || key == TRAIN_KEYS)
            continue;
        Setting s = exported(c, f, n, key >= TEXT_KEYS);
        PUSH(c->arena, *out, s);
    }
}
