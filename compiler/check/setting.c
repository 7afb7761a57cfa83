/* setting.c -- settings of data and train sections, evaluated for the trainer; what the data section may say. */
#include "check/value.h"

#include <math.h>

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

/* Minutes and hours arrive as seconds. */
static Value duration(double number, const char *unit)
{
    double scale = strcmp(unit, "minutes") == 0 ? 60 : strcmp(unit, "hours") == 0 ? 3600 : 1;
    return (Value){.kind = VALUE_DURATION, .number = number * scale, .text = scale > 1 ? "seconds" : unit};
}

static Value value_of(Checker *c, Val v)
{
    switch (v.kind) {
    case VAL_NUMBER: return (Value){.kind = VALUE_NUMBER, .number = v.number};
    case VAL_BOOL: return (Value){.kind = VALUE_BOOL, .number = v.number};
    case VAL_PERCENT: return (Value){.kind = VALUE_PERCENT, .number = v.number};
    case VAL_TEXT: return (Value){.kind = VALUE_TEXT, .text = v.text};
    case VAL_DURATION: return duration(v.number, v.text);
    case VAL_LIST: {
        Value list = {.kind = VALUE_LIST, .n = v.n, .parts = NEW_ARRAY(c->arena, Value, v.n + 1), .names = NEW_ARRAY(c->arena, const char *, v.n + 1)};
        for (int i = 0; i < v.n; i++)
            list.parts[i] = value_of(c, v.items[i]);
        return list;
    }
    default: return (Value){.kind = VALUE_WORD, .text = v.text ? v.text : "?"};
    }
}

Value text_value(Checker *c, const Node *n)
{
    Text t = {.arena = c->arena};

    tree_source(&t, n);
    return (Value){.kind = VALUE_WORD, .text = t.s, .where = n->span};
}

/* The side of an `if` that holds: what the trainer shows and reads. */
static const Node *chosen(Checker *c, Frame *f, const Node *n)
{
    bool yes;

    while (n->kind == NODE_CHOOSE && !dynamic(c, f, NULL, n->child[0]) && eval_condition(c, f, n->child[0], &yes))
        n = n->child[yes ? 1 : 2];
    return n;
}

Value setting_value(Checker *c, Frame *f, const Node *n)
{
    Value v;
    bool found = false;

    n = chosen(c, f, n);
    switch (n->kind) {
    case NODE_NUMBER: v = (Value){.kind = VALUE_NUMBER, .number = n->number}; break;
    case NODE_BOOL: v = (Value){.kind = VALUE_BOOL, .number = n->number}; break;
    case NODE_PERCENT: v = (Value){.kind = VALUE_PERCENT, .number = n->number}; break;
    case NODE_DURATION: v = duration(n->number, n->text); break;
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
        if (dynamic(c, f, NULL, n)) {
            v = text_value(c, n);
            break;
        }
        v = value_of(c, eval(c, f, n));
        break;
    case NODE_UNARY:
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

Setting setting_exported(Checker *c, Frame *f, const Node *s, bool evaluate)
{
    Text t = {.arena = c->arena};
    Setting out = {.name = s->text, .where = s->span};

    for (int i = 0; i < s->n; i++) {
        text_print(&t, "%s", i ? ", " : "");
        tree_source(&t, chosen(c, f, s->child[i]));
    }
    out.text = t.s;
    if (!evaluate)
        out.value = (Value){.kind = VALUE_WORD, .text = t.s};
    else
        out.value = s->n == 1 ? setting_value(c, f, s->child[0]) : value_list(c, f, VALUE_LIST, s->n, s->child);
    return out;
}

/* valid and test: so many samples, or a part of all. */
static void check_share(const Setting *s)
{
    const Value *v = &s->value;
    bool samples = v->kind == VALUE_NUMBER || (v->kind == VALUE_DURATION && strcmp(v->text, "samples") == 0);

    if (v->kind == VALUE_PERCENT ? v->number >= 0 && v->number < 100 : samples && v->number >= 0 && v->number == floor(v->number))
        return;
    error_at(s->where, "%s is a number of samples, or less than all: %s = 1000, %s = 10%%", s->name, s->name, s->name);
}

void export_data(Checker *c, Frame *f)
{
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
        if (n->kind != NODE_SETTING || !is_data_key(n->text))
            continue;
        bool augment = strcmp(n->text, "augment") == 0;
        Setting out = setting_exported(c, f, n, !augment);
        if (augment)
            out.value = augment_value(c, f, n->child[0]);
        else
            check_share(&out);
        PUSH(c->arena, c->program->data, out);
    }
}
