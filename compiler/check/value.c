/* value.c -- values, frames and names: the small change of the checker. */
#include "check/value.h"

#include <math.h>

Val val_error(void) { return (Val){.kind = VAL_ERROR}; }
Val val_number(double x) { return (Val){.kind = VAL_NUMBER, .number = x}; }
Val val_bool(bool b) { return (Val){.kind = VAL_BOOL, .number = b}; }
Val val_expr(Expr *e) { return (Val){.kind = VAL_EXPR, .expr = e}; }

Val val_tensor(Tensor *t, Span at)
{
    return (Val){.kind = VAL_TENSOR, .tensor = t, .span = at};
}

Val val_list(Checker *c, int n, const Val *items)
{
    Val v = {.kind = VAL_LIST, .n = n, .items = NEW_ARRAY(c->arena, Val, n)};

    for (int i = 0; i < n; i++)
        v.items[i] = items[i];
    return v;
}

const char *val_kind(Checker *c, Val v)
{
    switch (v.kind) {
    case VAL_ERROR: return "an error";
    case VAL_NUMBER: return arena_print(c->arena, "the number %s", number_text(c->arena, v.number));
    case VAL_BOOL: return v.number != 0 ? "true" : "false";
    case VAL_TEXT: return arena_print(c->arena, "the text \"%s\"", v.text);
    case VAL_WORD: return arena_print(c->arena, "the word '%s'", v.text);
    case VAL_PERCENT: return "a percentage";
    case VAL_DURATION: return arena_print(c->arena, "a duration in %s", v.text);
    case VAL_LIST: return arena_print(c->arena, "a list of %d", v.n);
    case VAL_RANGE: return "a range";
    case VAL_TENSOR: return arena_print(c->arena, "a tensor of %s", shape_text(c, NULL, v.tensor));
    case VAL_EXPR: return "an element";
    case VAL_FIELD: return "a field of the data";
    case VAL_LAYER: return v.layer->kind == LAYER_DEF ? arena_print(c->arena, "the layer '%s'", v.layer->name) : "a layer";
    }
    return "?";
}

bool val_known(Val v)
{
    if (v.kind == VAL_LIST) {
        for (int i = 0; i < v.n; i++)
            if (!val_known(v.items[i]))
                return false;
        return true;
    }
    return v.kind != VAL_ERROR && v.kind != VAL_TENSOR && v.kind != VAL_EXPR && v.kind != VAL_FIELD;
}

/* --- frames --- */

Frame *frame_new(Checker *c, Frame *caller, Frame *outer)
{
    Frame *f = NEW(c->arena, Frame);

    f->caller = caller;
    f->outer = outer;
    f->path = caller ? caller->path : "";
    f->layer = caller ? caller->layer : NULL;
    f->depth = caller ? caller->depth + 1 : 0;
    f->nlead = caller ? caller->nlead : 0;
    for (int i = 0; i < f->nlead; i++)
        f->lead[i] = caller->lead[i];
    f->first_equation = c->graph ? c->graph->equations.n : 0;
    if (caller && caller->counters)
        f->counters = caller->counters;
    else
        f->counters = (void *)&f->own_counters;
    return f;
}

Bind *frame_find(Frame *f, const char *name)
{
    for (; f; f = f->outer)
        for (int i = f->binds.n; i-- > 0;)
            if (strcmp(f->binds.at[i].name, name) == 0)
                return &f->binds.at[i];
    return NULL;
}

Bind *frame_bind(Checker *c, Frame *f, const char *name, Val v, Span at)
{
    for (int i = 0; i < f->binds.n; i++) {
        Bind *b = &f->binds.at[i];
        if (strcmp(b->name, name) == 0) {
            b->val = v;
            return b;
        }
    }
    Bind b = {.name = name, .val = v, .span = at};
    PUSH(c->arena, f->binds, b);
    return &f->binds.at[f->binds.n - 1];
}

const char *path_join(Checker *c, const char *path, const char *name)
{
    return *path ? arena_print(c->arena, "%s.%s", path, name) : name;
}

const char *frame_instance(Checker *c, Frame *f, const char *name)
{
    int i = 0;

    while (i < f->counters->n && strcmp(f->counters->at[i].name, name) != 0)
        i++;
    if (i == f->counters->n) {
        Counter fresh = {name, 0};
        PUSH(c->arena, *f->counters, fresh);
    }
    int n = ++f->counters->at[i].n;
    size_t end = strlen(name);
    /* the first d1 is d1_1: d11 is the eleventh d */
    bool digit = end && name[end - 1] >= '0' && name[end - 1] <= '9';
    return path_join(c, f->path, arena_print(c->arena, "%s%s%d", name, digit ? "_" : "", n));
}

/* --- tensors as the language sees them: without the batch and the leading axes --- */

static int ambient(const Frame *f, const Tensor *t) { return t->batched ? 1 + (f ? f->nlead : 0) : 0; }

int sample_rank(const Frame *f, const Tensor *t) { return t->rank - ambient(f, t); }

const int64_t *sample_size(const Frame *f, const Tensor *t) { return t->size + ambient(f, t); }

double elements(int rank, const int64_t *size)
{
    double n = 1;

    for (int i = 0; i < rank; i++)
        n *= (double)size[i];
    return n;
}

bool fits(Checker *c, const Frame *f, const char *name, int rank, const int64_t *size, Span at)
{
    if (elements(rank, size) <= MOST_ELEMENTS)
        return true;
    error_in(c, f, at, "'%s' is %s: more numbers than nnc can address, 2^40", name, sizes_text(c, rank, size));
    return false;
}

const char *sizes_text(Checker *c, int rank, const int64_t *size)
{
    Text t = {.arena = c->arena};

    if (rank == 0)
        return "one number";
    for (int i = 0; i < rank; i++)
        text_print(&t, "%s%lld", i ? "x" : "", (long long)size[i]);
    return t.s;
}

const char *shape_text(Checker *c, const Frame *f, const Tensor *t)
{
    return sizes_text(c, sample_rank(f, t), sample_size(f, t));
}

int tensor_classes(Checker *c, const Tensor *t)
{
    for (int i = 0; i < c->integers.n; i++)
        if (c->integers.at[i] == t)
            return c->classes.at[i];
    return 0;
}

void tensor_set_classes(Checker *c, Tensor *t, int classes)
{
    t->integer = true;
    PUSH(c->arena, c->integers, t);
    PUSH(c->arena, c->classes, classes);
}

bool want_number(Checker *c, Frame *f, const Node *n, Val v, double *x)
{
    if (v.kind == VAL_ERROR)
        return false;
    if (v.kind == VAL_NUMBER || v.kind == VAL_BOOL) {
        *x = v.number;
        return true;
    }
    if (v.kind == VAL_PERCENT) {
        *x = v.number / 100;
        return true;
    }
    error_in(c, f, n->span, "expected a number, found %s", val_kind(c, v));
    return false;
}

bool want_size(Checker *c, Frame *f, const Node *n, Val v, int64_t *size)
{
    double x;

    if (!want_number(c, f, n, v, &x))
        return false;
    if (x != floor(x)) {
        error_in(c, f, n->span, "expected a whole number, found %s", number_text(c->arena, x));
        if (n->kind != NODE_NUMBER)
            help("'//' divides and rounds down");
        return false;
    }
    if (x < 1 || x > MOST_SIZE) {
        error_in(c, f, n->span, "expected %s, found %s", x < 1 ? "1 or more" : "a size below 2^31", number_text(c->arena, x));
        return false;
    }
    *size = (int64_t)x;
    return true;
}

bool node_mentions(const Node *n, const char *name)
{
    if (n->kind == NODE_NAME && strcmp(n->text, name) == 0)
        return true;
    for (int i = 0; i < n->n; i++)
        if (n->child[i] && node_mentions(n->child[i], name))
            return true;
    return false;
}

/* FNV-1a: the stream of random numbers that belongs to a name. */
uint32_t stream_of(const char *name, int n)
{
    uint32_t h = 2166136261u;

    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 16777619u;
    return (h ^ (uint32_t)n) * 16777619u;
}
