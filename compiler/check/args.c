/* args.c -- the settings of a call: known ones, given ones, defaults. */
#include "check/value.h"

bool body_declares(const Node *body, const char *param, bool *draws)
{
    if (!body)
        return false;
    if (body->kind == NODE_DRAW) {
        *draws |= body->number != 0;
        return strcmp(body->child[0]->text, param) == 0;
    }
    bool found = false;
    if (body->kind == NODE_BLOCK || body->kind == NODE_BRANCH)
        for (int i = 0; i < body->n; i++)
            if (body->child[i])
                found |= body_declares(body->child[i], param, draws);
    return found;
}

static void unknown_setting(Checker *c, Frame *f, const Def *def, const Arg *a)
{
    const Node *params = def_part(def, NODE_PARAMS, 0);
    LIST(const char *) names = {0};

    error_in(c, f, a->span, "%s has no setting '%s'", def->name, a->name);
    for (int i = 0; params && i < params->n; i++)
        PUSH(c->arena, names, params->child[i]->text);
    if (suggest_among(c, def->name, a->name, names.n, names.at))
        return;
    if (names.n)
        help("its settings are %s", names_text(c->arena, names.n, names.at));
    else
        help("it has no settings");
}

static int setting_place(const Node *params, const char *name)
{
    for (int i = 0; params && i < params->n; i++)
        if (strcmp(params->child[i]->text, name) == 0)
            return i;
    return -1;
}

static void bind_override(Checker *c, Frame *body, const Arg *a)
{
    Arg *wider = NEW_ARRAY(c->arena, Arg, body->nargs + 1);

    for (int i = 0; i < body->nargs; i++)
        wider[i] = body->args[i];
    wider[body->nargs] = *a;
    body->args = wider;
    body->nargs++;
}

/* A named argument that is no setting may set a param of the body: weight = token.weight, init = he. */
static bool overrides(const Def *def, const char *name)
{
    bool draws = false, declared = body_declares(def_body(def), name, &draws);

    return declared || (draws && strcmp(name, "init") == 0);
}

bool check_settings(Checker *c, Frame *f, const LayerVal *l)
{
    Def **defs;
    int n = defs_in(c, l->space, l->name, &defs);
    bool good = true;

    for (int i = 0; i < l->nargs; i++) {
        const Arg *a = &l->args[i];
        bool known = !a->name;
        for (int k = 0; k < n && !known; k++)
            known = setting_place(def_part(defs[k], NODE_PARAMS, 0), a->name) >= 0 || overrides(defs[k], a->name);
        if (!known && n)
            unknown_setting(c, f, defs[0], a);
        good &= known;
    }
    return good;
}

/* Binds the settings that are given; marks them in `given`. */
static bool bind_given(Checker *c, Frame *f, Frame *body, const Def *def, int nargs, Arg *args, bool *given)
{
    const Node *params = def_part(def, NODE_PARAMS, 0);
    int n = params ? params->n : 0, next = 0;

    for (int i = 0; i < nargs; i++) {
        const Arg *a = &args[i];
        if (!a->name && next >= n) {
            error_in(c, f, a->span, n ? "%s takes at most %d setting%s" : "%s takes no settings", def->name, n, n == 1 ? "" : "s");
            note_at(def->node->name, "defined here");
            return false;
        }
        int k = a->name ? setting_place(params, a->name) : next++;
        if (k < 0 && overrides(def, a->name)) {
            bind_override(c, body, a);
            continue;
        }
        if (k < 0) {
            unknown_setting(c, f, def, a);
            return false;
        }
        if (given[k]) {
            error_in(c, f, a->span, "%s: the setting '%s' is given twice", def->name, params->child[k]->text);
            return false;
        }
        given[k] = true;
        frame_bind(c, body, params->child[k]->text, a->val, a->span)->used = true;
    }
    return true;
}

/* f(w): a tensor that is given by place is an input. */
static bool gives_tensor(Checker *c, Frame *f, const Node *call)
{
    for (int i = 1; call->kind == NODE_CALL && i < call->n; i++)
        if (call->child[i]->kind != NODE_ARG && dynamic(c, f, NULL, call->child[i]))
            return true;
    return false;
}

bool bind_settings(Checker *c, Frame *f, Frame *body, const Def *def, int nargs, Arg *args, const Node *at)
{
    const Node *params = def_part(def, NODE_PARAMS, 0);
    int n = params ? params->n : 0;
    bool *given = NEW_ARRAY(c->arena, bool, n + 1);

    body->ngiven = nargs;
    body->given = args;
    if (!bind_given(c, f, body, def, nargs, args, given))
        return false;
    for (int k = 0; k < n; k++) {
        const Node *p = params->child[k];
        if (given[k])
            continue;
        if (!p->n || !p->child[0]) {
            error_in(c, f, at->span, "%s needs the setting '%s'", def->name, p->text);
            note_at(p->span, "it has no default");
            if (gives_tensor(c, f, at))
                help("a tensor given by place is an input, one for a setting has its name: %s(%s = ...)", def->name, p->text);
            return false;
        }
        Val v = eval(c, body, p->child[0]);
        if (v.kind == VAL_ERROR)
            return false;
        frame_bind(c, body, p->text, v, p->span)->used = true;
    }
    return true;
}
