/* eval.c -- expressions whose value is known when compiling: numbers, lists, layers; and tensors as wholes. */
#include "check/value.h"

#include <math.h>

/* --- what an expression depends on --- */

/* Names that are numbers only while the program trains. */
static const char *const clock_names[] = {"steps", "epoch", "steps_per_epoch", "total_steps", "valid_loss", "lr", "grad_norm", NULL};

static bool is_clock(const char *name)
{
    for (int i = 0; clock_names[i]; i++)
        if (strcmp(clock_names[i], name) == 0)
            return true;
    return false;
}

bool is_sample_count(Checker *c, const Node *n)
{
    bool found = false;

    if (strcmp(n->text, "batch") == 0)
        global_value(c, n, &found);
    return strcmp(n->text, "batch") == 0 && !found;
}

static bool name_dynamic(Checker *c, Frame *f, const Elem *el, const Node *n)
{
    for (int i = el ? el->nindex : 0; i-- > 0;)
        if (strcmp(el->index[i].name, n->text) == 0)
            return true;
    Bind *b = frame_find(f, n->text);
    if (b)
        return !val_known(b->val) || (b->val.kind == VAL_DURATION);
    if (is_clock(n->text)) {
        bool found;
        global_value(c, n, &found);
        return !found;
    }
    if (c->data || c->raws.n) {
        bool field = false, found = false;
        for (int i = 0; i < c->raws.n; i++)
            field |= strcmp(c->raws.at[i]->name, n->text) == 0;
        if (!field && c->transform)
            global_value(c, n, &found);
        if (field || (c->transform && !found))
            return true;
    }
    return strcmp(n->text, "random") == 0 || is_sample_count(c, n);
}

bool is_size(const Node *n)
{
    return n->kind == NODE_CALL && n->child[0]->kind == NODE_NAME &&
           (strcmp(n->child[0]->text, "size") == 0 || strcmp(n->child[0]->text, "rank") == 0);
}

/* `every > 0`: how many steps a duration is, is known in training; whether it is more than none, when compiling. */
static bool asks_for_sign(Frame *f, const Node *n)
{
    static const char *const relations[] = {"==", "!=", "<", "<=", ">", ">="};
    const Node *left = n->child[0], *right = n->child[1];
    const Bind *b = left->kind == NODE_NAME ? frame_find(f, left->text) : NULL;
    bool relates = false;

    for (size_t i = 0; i < sizeof relations / sizeof *relations; i++)
        relates |= strcmp(n->text, relations[i]) == 0;
    return relates && right->kind == NODE_NUMBER && right->number == 0 && b && b->val.kind == VAL_DURATION;
}

bool dynamic(Checker *c, Frame *f, const Elem *el, const Node *n)
{
    switch (n->kind) {
    case NODE_BINARY:
        if (asks_for_sign(f, n))
            return false;
        break;
    case NODE_NAME: return name_dynamic(c, f, el, n);
    case NODE_REDUCE:
    case NODE_NEXT:
    case NODE_GRAD: return true;
    case NODE_DURATION: return true;
    case NODE_MEMBER:
        if (n->child[0]->kind == NODE_NAME) {
            Bind *b = frame_find(f, n->child[0]->text);
            return b && b->val.kind == VAL_LAYER; /* token.weight */
        }
        return dynamic(c, f, el, n->child[0]);
    case NODE_CALL: /* sizes are known even where the tensor is not */
        if (is_in_steps(n))
            return true;
        if (is_size(n))
            return false;
        break;
    default: break;
    }
    for (int i = 0; i < n->n; i++)
        if (n->child[i] && dynamic(c, f, el, n->child[i]))
            return true;
    return false;
}

bool eval_condition(Checker *c, Frame *f, const Node *n, bool *yes)
{
    bool defaults = c->applies_default;

    c->applies_default = false; /* it is not a loss, nor a term of one */
    Val v = eval(c, f, n);
    c->applies_default = defaults;
    if (v.kind == VAL_ERROR)
        return false;
    if (v.kind != VAL_BOOL && v.kind != VAL_NUMBER) {
        error_in(c, f, n->span, "expected a condition known when compiling, found %s", val_kind(c, v));
        return false;
    }
    *yes = v.number != 0;
    return true;
}

/* --- names --- */

static Val eval_name(Checker *c, Frame *f, const Node *n)
{
    Bind *b = frame_find(f, n->text);
    bool found;

    if (b) {
        b->used = true;
        return b->val;
    }
    Val v = global_value(c, n, &found);
    if (found)
        return v;
    if (strcmp(n->text, "training") == 0)
        return val_bool(c->training);
    if (strcmp(n->text, "predicting") == 0)
        return val_bool(c->graph == c->program->predict);
    if (strcmp(n->text, "inf") == 0)
        return val_number(HUGE_VAL);
    if (strcmp(n->text, "pi") == 0)
        return val_number(3.14159265358979323846);
    if (strcmp(n->text, "weights") == 0) {
        double sum = 0;
        for (int i = 0; i < c->program->kept.n; i++) {
            const Kept *k = &c->program->kept.at[i];
            double count = 1;
            for (int d = 0; d < k->rank; d++)
                count *= (double)k->size[d];
            sum += k->kind == KEPT_PARAM ? count : 0;
        }
        return val_number(sum);
    }
    for (Frame *g = f; g; g = g->outer) {
        if (g->fan_in > 0 && strcmp(n->text, "fan_in") == 0)
            return val_number(g->fan_in);
        if (g->fan_out > 0 && strcmp(n->text, "fan_out") == 0)
            return val_number(g->fan_out);
    }
    if (strcmp(n->text, "same") == 0 || strcmp(n->text, "tf_same") == 0)
        return (Val){.kind = VAL_WORD, .text = n->text};
    if (c->data || c->raws.n) {
        v = data_field(c, n->text, n->span, &found);
        if (found)
            return v;
    }
    if (is_clock(n->text)) {
        error_in(c, f, n->span, "'%s' is only known while training", n->text);
        return val_error();
    }
    if (c->defining && strcmp(n->text, c->defining) == 0) {
        error_in(c, f, n->span, "'%s' reads itself: equations that go on from their own earlier elements are not there yet", n->text);
        return val_error();
    }
    error_in(c, f, n->span, "nothing is named '%s' here", n->text);
    suggest(c, f, n->text);
    return val_error();
}

/* --- numbers --- */

static bool equal_values(Val a, Val b)
{
    if (a.kind == VAL_WORD || b.kind == VAL_WORD || a.kind == VAL_TEXT || b.kind == VAL_TEXT)
        return a.text && b.text && strcmp(a.text, b.text) == 0;
    if (a.kind == VAL_LIST || b.kind == VAL_LIST) {
        if (a.kind != b.kind || a.n != b.n)
            return false;
        for (int i = 0; i < a.n; i++)
            if (!equal_values(a.items[i], b.items[i]))
                return false;
        return true;
    }
    return a.number == b.number;
}

static Val arithmetic(Checker *c, Frame *f, const Node *n, double a, double b)
{
    const char *op = n->text;

    if (strcmp(op, "+") == 0) return val_number(a + b);
    if (strcmp(op, "-") == 0) return val_number(a - b);
    if (strcmp(op, "*") == 0) return val_number(a * b);
    if (strcmp(op, "^") == 0) return val_number(pow(a, b));
    if (strcmp(op, "<") == 0) return val_bool(a < b);
    if (strcmp(op, "<=") == 0) return val_bool(a <= b);
    if (strcmp(op, ">") == 0) return val_bool(a > b);
    if (strcmp(op, ">=") == 0) return val_bool(a >= b);
    if (strcmp(op, "and") == 0) return val_bool(a != 0 && b != 0);
    if (strcmp(op, "or") == 0) return val_bool(a != 0 || b != 0);
    if (b == 0) {
        error_in(c, f, n->span, "division by zero");
        return val_error();
    }
    if (strcmp(op, "/") == 0) return val_number(a / b);
    if (strcmp(op, "//") == 0) return val_number(floor(a / b));
    if (strcmp(op, "mod") == 0) return val_number(a - b * floor(a / b));
    error_in(c, f, n->name, "'%s' does not work on numbers", op);
    return val_error();
}

static Val eval_binary(Checker *c, Frame *f, const Node *n)
{
    const char *op = n->text;
    Val a = eval(c, f, n->child[0]);
    double x, y;

    if (asks_for_sign(f, n))
        a = val_number(a.number);
    /* and, or: the right side need not make sense when the left one decides */
    if ((a.kind == VAL_BOOL || a.kind == VAL_NUMBER) &&
        ((strcmp(op, "and") == 0 && a.number == 0) || (strcmp(op, "or") == 0 && a.number != 0)))
        return val_bool(a.number != 0);
    Val b = eval(c, f, n->child[1]);
    if (a.kind == VAL_ERROR || b.kind == VAL_ERROR)
        return val_error();
    if (strcmp(op, "*") == 0 && is_layer(a))
        return repeat(c, f, n, a, n->child[1], b);
    if (strcmp(op, "==") == 0 || strcmp(op, "!=") == 0)
        return val_bool(equal_values(a, b) == (op[0] == '='));
    if (!want_number(c, f, n->child[0], a, &x) || !want_number(c, f, n->child[1], b, &y))
        return val_error();
    return arithmetic(c, f, n, x, y);
}

/* --- lists and members --- */

static Val eval_list(Checker *c, Frame *f, const Node *n)
{
    Val v = {.kind = VAL_LIST, .n = n->n, .items = NEW_ARRAY(c->arena, Val, n->n), .span = n->span};
    bool failed = false;

    for (int i = 0; i < n->n; i++) {
        v.items[i] = eval(c, f, n->child[i]);
        v.items[i].span = n->child[i]->span;
        failed |= v.items[i].kind == VAL_ERROR;
    }
    return failed ? val_error() : v;
}

/* token.weight, x.channels, photos.classes */
/* The model that a name means, or NULL. */
static const Def *named_model(Checker *c, Frame *f, const Node *n)
{
    Def **defs;

    if (n->kind != NODE_NAME || frame_find(f, n->text) || !defs_find(c, NULL, n->text, &defs))
        return NULL;
    return defs[0]->node->flag == DEFINE_MODEL ? defs[0] : NULL;
}

static bool mentions_inputs(const Def *model, const Node *n)
{
    const Node *ports = def_part(model, NODE_PORTS, 0);

    for (int i = 0; ports && i < ports->n; i++)
        if (node_mentions(n, ports->child[i]->text))
            return true;
    return false;
}

/* MobileNet.features: a layer that the body of another model names, to be part of this one, with weights of its own. */
static Val model_member(Checker *c, Frame *f, const Def *model, const Node *n)
{
    const Node *body = def_body(model);
    Frame *m = frame_new(c, f, NULL);

    if (!bind_settings(c, f, m, model, 0, NULL, n))
        return val_error();
    for (int i = 0; body->kind == NODE_BLOCK && i < body->n; i++) {
        const Node *s = body->child[i], *to = s->kind == NODE_ASSIGN ? s->child[0] : NULL, *from = to ? s->child[1] : NULL;
        if (!to || to->n != 1 || from->n != 1 || to->child[0]->kind != NODE_NAME)
            continue;
        bool mine = strcmp(to->child[0]->text, n->text) == 0;
        if (mentions_inputs(model, from->child[0])) {
            if (!mine)
                continue;
            error_in(c, f, n->span, "'%s' of %s is no layer: it begins with the model's input", n->text, model->name);
            note_at(to->child[0]->span, "here");
            return val_error();
        }
        Val v = eval(c, m, from->child[0]);
        if (mine)
            return v;
        frame_bind(c, m, to->child[0]->text, v, to->child[0]->span);
    }
    error_in(c, f, n->span, "the model %s names no layer '%s'", model->name, n->text);
    return val_error();
}

static Val eval_member(Checker *c, Frame *f, const Node *n)
{
    static const struct { const char *name; int axis, rank; } axes[] = {
        {"channels", 0, 1}, {"height", 1, 3}, {"width", 2, 3}, {"length", 1, 2}, {"features", 0, 1}};
    const Def *model = named_model(c, f, n->child[0]);

    if (model)
        return model_member(c, f, model, n);
    Val v = eval(c, f, n->child[0]);
    if (v.kind == VAL_ERROR)
        return v;
    if (v.kind == VAL_LAYER && v.layer->bound) {
        const char *name = path_join(c, v.layer->bound, n->text);
        Kept *k = program_kept(c->program, name);
        if (k)
            return val_tensor(kept_tensor(c, name, k->kind, k->rank, k->size, f, n->span), n->span);
        error_in(c, f, n->span, "'%s' has no parameter '%s' yet: its weights are made when it is first applied", v.layer->bound, n->text);
        return val_error();
    }
    if ((v.kind == VAL_TENSOR || v.kind == VAL_EXPR) && v.tensor) {
        int rank = sample_rank(f, v.tensor);
        if (strcmp(n->text, "rank") == 0)
            return val_number(rank);
        if (strcmp(n->text, "classes") == 0)
            return val_number(tensor_classes(c, v.tensor));
        for (size_t i = 0; i < sizeof axes / sizeof *axes; i++)
            if (strcmp(axes[i].name, n->text) == 0 && rank >= axes[i].rank)
                return val_number((double)sample_size(f, v.tensor)[axes[i].axis]);
    }
    if (v.kind == VAL_EXPR && strcmp(n->text, "rank") == 0)
        return val_number(0);
    error_in(c, f, n->span, "%s has no '%s'", val_kind(c, v), n->text);
    return val_error();
}

/* --- the door --- */

static Val eval_choose(Checker *c, Frame *f, const Node *n)
{
    bool yes;

    if (dynamic(c, f, NULL, n->child[0]))
        return lift(c, f, n, "y");
    if (!eval_condition(c, f, n->child[0], &yes))
        return val_error();
    return eval(c, f, n->child[yes ? 1 : 2]);
}

static Val eval_unary(Checker *c, Frame *f, const Node *n)
{
    Val v = eval(c, f, n->child[0]);
    double x;

    if (!want_number(c, f, n->child[0], v, &x))
        return val_error();
    return n->text[0] == '-' ? val_number(-x) : val_bool(x == 0);
}

static Val eval_subscript(Checker *c, Frame *f, const Node *n)
{
    if (n->child[0]->kind == NODE_NAME) {
        Bind *b = frame_find(f, n->child[0]->text);
        if ((b && b->val.kind != VAL_LIST) || (!b && strcmp(n->child[0]->text, "random") == 0))
            return lift(c, f, n, "y");
    }
    Val v = eval(c, f, n->child[0]);
    if (v.kind == VAL_ERROR)
        return v;
    if (v.kind != VAL_LIST)
        return lift(c, f, n, "y");
    double k;
    if (n->n != 2 || !want_number(c, f, n->child[1], eval(c, f, n->child[1]), &k))
        return val_error();
    if (k < 0 || k >= v.n || k != floor(k)) {
        error_in(c, f, n->child[1]->span, "the list has elements 0..%d, this is %s", v.n - 1, number_text(c->arena, k));
        return val_error();
    }
    return v.items[(int)k];
}

static Val eval_range(Checker *c, Frame *f, const Node *n)
{
    Val v = {.kind = VAL_RANGE};

    if (!want_number(c, f, n->child[0], eval(c, f, n->child[0]), &v.number) ||
        !want_number(c, f, n->child[1], eval(c, f, n->child[1]), &v.until))
        return val_error();
    if (!(v.until >= v.number && v.until - v.number <= MOST_SIZE)) {
        error_in(c, f, n->span, "this range has %s elements", v.until < v.number ? "less than no" : "too many");
        return val_error();
    }
    return v;
}

static Val eval_inner(Checker *c, Frame *f, const Node *n)
{
    switch (n->kind) {
    case NODE_NUMBER: return val_number(n->number);
    case NODE_BOOL: return val_bool(n->number != 0);
    case NODE_PERCENT: return (Val){.kind = VAL_PERCENT, .number = n->number};
    case NODE_DURATION: return (Val){.kind = VAL_DURATION, .number = n->number, .text = n->text};
    case NODE_STRING: return (Val){.kind = VAL_TEXT, .text = n->text, .span = n->span};
    case NODE_NAME: return eval_name(c, f, n);
    case NODE_DIMS:
    case NODE_LIST:
    case NODE_TUPLE: return c->transform && n->kind == NODE_LIST ? stack(c, f, n) : eval_list(c, f, n);
    case NODE_PIPE: return eval_pipe(c, f, n);
    case NODE_SHAPE: return eval_shape(c, f, n);
    case NODE_RANGE: return eval_range(c, f, n);
    case NODE_CHOOSE: return eval_choose(c, f, n);
    case NODE_MEMBER: return eval_member(c, f, n);
    case NODE_FOR: return eval_for(c, f, n);
    case NODE_SUBSCRIPT: return eval_subscript(c, f, n);
    case NODE_BINARY: return dynamic(c, f, NULL, n) || c->applies_default ? lift(c, f, n, "y") : eval_binary(c, f, n);
    case NODE_UNARY: return dynamic(c, f, NULL, n) ? lift(c, f, n, "y") : eval_unary(c, f, n);
    case NODE_CALL:
        if (n->child[0]->kind == NODE_NAME && op_find(n->child[0]->text) && !frame_find(f, n->child[0]->text) && dynamic(c, f, NULL, n)) {
            Def **defs;
            if (!defs_find(c, c->space, n->child[0]->text, &defs) || *defs[0]->space)
                return lift(c, f, n, n->child[0]->text);
        }
        return eval_call(c, f, n);
    case NODE_REDUCE:
    case NODE_NEXT:
    case NODE_GRAD: return lift(c, f, n, "y");
    case NODE_ELLIPSIS: error_in(c, f, n->span, "'...' stands for further axes: only between brackets"); return val_error();
    case NODE_REDUCED: error_in(c, f, n->span, "a range is written where an index begins: on the left, y[k in 8] = ..., or in a reduction"); return val_error();
    case NODE_ARG: error_in(c, f, n->span, "'%s' is a setting, and nothing here has settings", n->text); return val_error();
    default: bug("eval met node kind %d", n->kind);
    }
}

bool too_deep(Checker *c, Frame *f, const Node *n)
{
    if (c->nested < MOST_DEEP && ++c->evals < MOST_EVALS)
        return false;
    if (c->evals <= MOST_EVALS) /* once */
        error_in(c, f, n->span, c->nested < MOST_DEEP ? "this file takes more than %d evaluations: there is no end in sight"
                                                      : "this is nested more than %d deep: does a definition contain itself?",
                 c->nested < MOST_DEEP ? MOST_EVALS : MOST_DEEP);
    return true;
}

Val eval(Checker *c, Frame *f, const Node *n)
{
    if (too_deep(c, f, n))
        return val_error();
    c->nested++;
    Val v = eval_inner(c, f, n);
    c->nested--;
    return v;
}
