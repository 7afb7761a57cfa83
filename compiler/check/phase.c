/* phase.c -- a training in several phases, and what they freeze.
 *
 *     head { freeze = body   optimizer = adam(lr = 1e-3)   epochs = 5 }
 *     all  { optimizer = adam(lr = 1e-5)   epochs = 20 }
 *
 * The groups of a train section follow one another. Each is a train section of its own: its settings, and for the rest
 * those around it; a graph of its own for the step. What is frozen runs as in use: its parameters get no gradient, its
 * states stay as they are, and nothing is kept for either. */
#include "check/value.h"

#include <ctype.h>

static const char *const own_keys[] = {"freeze", "optimizer", "schedule", "clip", "penalty", "accumulate", "ema", "epochs", "steps", "stop"};

static bool is_own(const char *key)
{
    for (size_t i = 0; i < sizeof own_keys / sizeof *own_keys; i++)
        if (strcmp(own_keys[i], key) == 0)
            return true;
    return false;
}

static bool sets(const Node *settings, const char *key)
{
    for (int i = 0; i < settings->n; i++)
        if (settings->child[i]->kind == NODE_SETTING && strcmp(settings->child[i]->text, key) == 0)
            return true;
    return false;
}

/* The train section as it holds during one group: the group's settings in place of those around it. */
static const Node *merged(Checker *c, const Node *train, const Node *group)
{
    const Node *outer = train->child[1], *inner = group->child[0];
    Node *t = NEW(c->arena, Node), *settings = NEW(c->arena, Node);

    *t = *train;
    *settings = *outer;
    t->child = NEW_ARRAY(c->arena, Node *, train->n);
    for (int i = 0; i < train->n; i++)
        t->child[i] = train->child[i];
    t->child[1] = settings;
    settings->child = NEW_ARRAY(c->arena, Node *, outer->n + inner->n);
    settings->n = 0;
    for (int i = 0; i < outer->n; i++)
        if (outer->child[i]->kind == NODE_SETTING && !sets(inner, outer->child[i]->text))
            settings->child[settings->n++] = outer->child[i];
    for (int i = 0; i < inner->n; i++)
        settings->child[settings->n++] = inner->child[i];
    return t;
}

static void check_group(Checker *c, const Node *group)
{
    const Node *settings = group->child[0];

    for (int i = 0; i < settings->n; i++) {
        const Node *s = settings->child[i];
        if (s->kind == NODE_SETTING && (is_own(s->text) || !is_train_key(s->text))) /* no key at all: told of already */
            continue;
        error_at(s->name, "'%s' holds for the whole training, not for one phase of it", s->text);
        help("a phase has %s", names_text(c->arena, sizeof own_keys / sizeof *own_keys, own_keys));
    }
}

int train_phases(Checker *c, const Node *train, const Node **phases, const char **names)
{
    const Node *settings = train->child[1];
    int n = 0;

    for (int i = 0; i < settings->n; i++) {
        const Node *group = settings->child[i];
        if (group->kind != NODE_GROUP)
            continue;
        check_group(c, group);
        for (int k = 0; k < n; k++)
            if (strcmp(names[k], group->text) == 0)
                error_at(group->name, "there are two phases '%s'", group->text);
        if (n == MAX_PHASES) {
            error_at(group->name, "a training has at most %d phases", MAX_PHASES);
            break;
        }
        names[n] = group->text;
        phases[n++] = merged(c, train, group);
    }
    if (n)
        return n;
    phases[0] = train;
    names[0] = NULL;
    return 1;
}

/* --- freezing --- */

static bool is_part(const char *name, const char *of)
{
    size_t n = strlen(of);

    return strncmp(name, of, n) == 0 && (name[n] == '.' || !name[n]);
}

bool is_frozen(const Checker *c, const char *name)
{
    for (int i = 0; i < c->frozen.n; i++)
        if (is_part(name, c->frozen.at[i]))
            return true;
    return false;
}

static void freeze_one(Checker *c, const Node *n)
{
    Text t = {.arena = c->arena};

    if (n->kind == NODE_LIST || n->kind == NODE_TUPLE) {
        for (int i = 0; i < n->n; i++)
            freeze_one(c, n->child[i]);
        return;
    }
    tree_source(&t, n);
    if (n->kind != NODE_NAME && n->kind != NODE_MEMBER)
        error_at(n->span, "freeze names layers of the model, as in freeze = body");
    else
        PUSH(c->arena, c->frozen, t.s);
}

void phase_freeze(Checker *c, const Node *train)
{
    const Node *s = train_setting(train, "freeze");

    c->frozen.n = 0;
    for (int i = 0; s && i < s->n; i++)
        freeze_one(c, s->child[i]);
}

/* The layers of the model by their outermost names: what freeze and into may name. */
static int layer_names(Checker *c, const char ***names)
{
    LIST(const char *) list = {0};

    for (int i = 0; i < c->program->kept.n; i++) {
        const Kept *k = &c->program->kept.at[i];
        size_t n = strcspn(k->name, ".");
        if (k->kind > KEPT_BUFFER || !k->name[n] || (list.n && is_part(k->name, list.at[list.n - 1])))
            continue;
        PUSH(c->arena, list, arena_copy(c->arena, k->name, n));
    }
    *names = list.at;
    return list.n;
}

static bool check_layer(Checker *c, Span at, const char *layer)
{
    const char **names;

    for (int i = 0; i < c->program->kept.n; i++)
        if (c->program->kept.at[i].kind <= KEPT_BUFFER && is_part(c->program->kept.at[i].name, layer))
            return true;
    int n = layer_names(c, &names);
    error_at(at, "the model has no layer '%s' with weights", layer);
    if (!suggest_among(c, "model", layer, n, names) && n)
        help("its layers with weights are %s", names_text(c->arena, n, names));
    return false;
}

void check_frozen(Checker *c, const Node *train)
{
    const Node *s = train_setting(train, "freeze");
    int trained = 0;

    for (int i = 0; s && i < c->frozen.n; i++)
        if (!check_layer(c, s->child[i < s->n ? i : 0]->span, c->frozen.at[i]))
            return;
    for (int i = 0; i < c->program->kept.n; i++)
        trained += c->program->kept.at[i].kind == KEPT_PARAM && !is_frozen(c, c->program->kept.at[i].name);
    if (s && !trained)
        error_at(s->span, "with all of this frozen nothing is left to train");
}

/* --- first values from a file --- */

void check_init(Checker *c, const Node *train)
{
    const Node *s = train_setting(train, "init"), *call = s ? s->child[0] : NULL;

    if (!s)
        return;
    bool good = s->n == 1 && call->kind == NODE_CALL && call->child[0]->kind == NODE_NAME && strcmp(call->child[0]->text, "load") == 0 &&
                call->n >= 2 && call->child[1]->kind == NODE_STRING;
    for (int i = 2; good && i < call->n; i++) {
        const Node *a = call->child[i];
        good = a->kind == NODE_ARG && (strcmp(a->text, "into") == 0 || strcmp(a->text, "from") == 0) &&
               (a->child[0]->kind == NODE_NAME || a->child[0]->kind == NODE_MEMBER);
        if (!good || strcmp(a->text, "into") != 0)
            continue;
        Text t = {.arena = c->arena};
        tree_source(&t, a->child[0]);
        if (!check_layer(c, a->child[0]->span, t.s))
            return;
    }
    if (good)
        return;
    error_at(s->span, "init takes the weights of a file: init = load(\"file.safetensors\")");
    help("load(\"file.safetensors\", into = body) fills one layer; from = features says which part of the file it takes");
}
