/* names.c -- what is known of names without evaluating anything: for sections that cannot be, after an error. */
#include "check/value.h"

static const char *const words[] = {"batch",    "training",        "predicting",  "steps",       "epoch",      "steps_per_epoch", "total_steps", "lr",
                                    "grad_norm", "valid_loss",     "inf",         "pi",         "same",            "tf_same",     "weights",
                                    "pair",      "triple",         "size",        "rank",       "length",          "in_steps",    "random",
                                    "label",     "output",         "best",        "valid",      "test",            "train"};

const char *word_at(int i) { return i < (int)(sizeof words / sizeof *words) ? words[i] : NULL; }

static bool is_output(const Checker *c, const char *name)
{
    for (int i = 0; i < c->defs.n; i++) {
        const Def *d = c->defs.at[i];
        const Node *outputs = d->node->flag == DEFINE_MODEL ? def_part(d, NODE_PORTS, 1) : NULL;
        for (int k = 0; outputs && k < outputs->n; k++)
            if (strcmp(outputs->child[k]->text, name) == 0)
                return true;
    }
    return false;
}

static bool is_known(Checker *c, const Node *n)
{
    bool found = op_find(n->text) || is_output(c, n->text);

    for (size_t i = 0; i < sizeof words / sizeof *words && !found; i++)
        found = strcmp(words[i], n->text) == 0;
    if (!found)
        global_value(c, n, &found);
    if (!found && c->data)
        data_field(c, n->text, n->span, &found);
    return found;
}

static void check_call(Checker *c, const Node *n)
{
    const Node *callee = n->child[0];
    LayerVal l = {.name = callee->text, .node = n, .nargs = n->n - 1, .args = NEW_ARRAY(c->arena, Arg, n->n)};
    Def **defs;

    if (!defs_find(c, c->space, callee->text, &defs))
        return;
    for (int i = 1; i < n->n; i++)
        l.args[i - 1] = (Arg){.name = n->child[i]->kind == NODE_ARG ? n->child[i]->text : NULL, .span = n->child[i]->span};
    l.space = defs[0]->space;
    check_settings(c, NULL, &l);
}

void check_names(Checker *c, const Node *n)
{
    switch (n->kind) {
    case NODE_NAME:
        if (!is_known(c, n)) {
            error_at(n->span, "nothing is named '%s' here", n->text);
            suggest(c, NULL, n->text);
        }
        return;
    case NODE_REDUCE: return; /* its indices are names of their own */
    case NODE_MEMBER: check_names(c, n->child[0]); return;
    case NODE_CALL:
        if (n->child[0]->kind == NODE_NAME)
            check_call(c, n);
        break;
    default: break;
    }
    for (int i = 0; i < n->n; i++)
        if (n->child[i])
            check_names(c, n->child[i]);
}
