/* data.c -- the fields of the data section, as the reader delivers them and as its transforms make them. */
#include "check/value.h"

#include <stdlib.h>

/* What is known of a reader's fields before the data is read. Other readers deliver columns by name. */
static const struct {
    const char *reader, *field;
    int rank; /* -1: whatever the file holds */
    int64_t size[3];
    int classes; /* -1: whatever is needed */
    double least, most; /* of numbers: both occur */
} known[] = {
    {"mnist", "image", 3, {1, 28, 28}, 0, 0, 255},         {"mnist", "label", 0, {0}, 10, 0, 0},
    {"fashion_mnist", "image", 3, {1, 28, 28}, 0, 0, 255}, {"fashion_mnist", "label", 0, {0}, 10, 0, 0},
    {"cifar10", "image", 3, {3, 32, 32}, 0, 0, 255},       {"cifar10", "label", 0, {0}, 10, 0, 0},
    {"cifar100", "image", 3, {3, 32, 32}, 0, 0, 255},      {"cifar100", "label", 0, {0}, 100, 0, 0},
    {"cifar100", "coarse", 0, {0}, 20, 0, 0},
    {"folder", "image", -1, {0}, 0, 0, 255},               {"folder", "label", 0, {0}, -1, 0, 0},
    {"idx", "image", -1, {0}, 0, 0, 0},                    {"idx", "label", -1, {0}, -1, 0, 0},
    {"npy", "x", -1, {0}, -1, 0, 0},                       {"npy", "label", -1, {0}, -1, 0, 0},
    {"points", "x1", 0, {0}, 0, 0, 0},                     {"points", "x2", 0, {0}, 0, 0, 0},
    {"points", "label", 0, {0}, 0, -1, 1},
};

/* Settings of a data section that are no fields: the trainer's business. */
static const char *const data_keys[] = {"valid", "test", "augment"};

bool is_data_key(const char *name)
{
    for (size_t i = 0; i < sizeof data_keys / sizeof *data_keys; i++)
        if (strcmp(data_keys[i], name) == 0)
            return true;
    return false;
}

static Raw *raw_new(Checker *c, const char *name, int rank, const int64_t *size, int classes, Span where)
{
    Raw *r = NEW(c->arena, Raw);

    *r = (Raw){.name = name, .rank = rank, .classes = classes, .where = where};
    for (int i = 0; i < rank; i++)
        r->size[i] = size[i];
    PUSH(c->arena, c->raws, r);
    return r;
}

static const Node *data_setting(Checker *c, const char *name)
{
    const Node *settings = c->data && c->data->n > 1 ? c->data->child[1] : NULL;

    for (int i = 0; settings && i < settings->n; i++)
        if (settings->child[i]->kind == NODE_SETTING && strcmp(settings->child[i]->text, name) == 0)
            return settings->child[i];
    return NULL;
}

/* shapes(n = 1000, size = 64, ...): pictures and what stands at each of their pixels. */
static bool shapes_columns(Checker *c, Frame *f, const Node *source)
{
    int64_t side = 64, image[3] = {1}, label[2];

    for (int i = 1, place = 0; source->kind == NODE_CALL && i < source->n; i++) {
        const Node *a = source->child[i];
        bool size = a->kind == NODE_ARG ? strcmp(a->text, "size") == 0 : place++ == 1;
        const Node *value = a->kind == NODE_ARG ? a->child[0] : a;
        if (size && !want_size(c, f, value, eval(c, f, value), &side))
            return false;
    }
    image[1] = image[2] = label[0] = label[1] = side;
    raw_new(c, "image", 3, image, 0, source->span);
    raw_new(c, "label", 2, label, 4, source->span);
    return true;
}

static bool reader_columns(Checker *c, Frame *f, const Node *source);

/* Every column but the label once for each of the samples that stand together: image, image2. */
static bool pairs_columns(Checker *c, Frame *f, const Node *source)
{
    bool pairs = strcmp(reader_name(source)->text, "pairs") == 0;
    int first = c->raws.n, kept = first;

    if (!reader_columns(c, f, source->child[1]))
        return false;
    int last = c->raws.n;
    for (int i = first; i < last; i++) {
        Raw *r = c->raws.at[i];
        if (strcmp(r->name, "label") == 0)
            continue;
        for (int k = 2; k <= (pairs ? 2 : 3); k++)
            raw_new(c, arena_print(c->arena, "%s%d", r->name, k), r->rank, r->size, r->classes, r->where);
    }
    for (int i = first; i < c->raws.n; i++)
        if (strcmp(c->raws.at[i]->name, "label") != 0)
            c->raws.at[kept++] = c->raws.at[i];
    c->raws.n = kept;
    if (pairs)
        raw_new(c, "label", 0, NULL, 0, source->span)->most = 1;
    return true;
}

/* What is known of a reader's columns. */
static bool reader_columns(Checker *c, Frame *f, const Node *source)
{
    const Node *name = reader_name(source);
    int first = c->raws.n;

    if (is_pairs(name->text))
        return pairs_columns(c, f, source);
    if (strcmp(name->text, "shapes") == 0)
        return shapes_columns(c, f, source);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].reader, name->text) == 0) {
            Raw *r = raw_new(c, known[i].field, known[i].rank, known[i].size, known[i].classes, name->span);
            r->least = known[i].least;
            r->most = known[i].most;
        }
    if (strcmp(name->text, "csv") == 0)
        c->ncolumns = csv_columns(c, source, &c->columns);
    if (strcmp(name->text, "table") == 0)
        for (int i = 1; i < source->n; i++)
            raw_new(c, source->child[i]->text, 0, NULL, -1, source->child[i]->span);
    if (strcmp(name->text, "folder") == 0)
        c->raws.at[first]->rank = picture_size(c, f, source, c->raws.at[first]->size);
    return true;
}

/* Each once, and each with one value. */
static void check_settings_of(const Node *data)
{
    const Node *settings = data && data->n > 1 ? data->child[1] : NULL;

    for (int i = 0; settings && i < settings->n; i++) {
        const Node *s = settings->child[i];
        if (s->kind == NODE_GROUP)
            error_at(s->name, "a data section has settings, not groups of them");
        else if (s->n > 1 && strcmp(s->text, "augment") == 0)
            error_at(s->child[1]->span, "what is done one after the other is joined by ->: augment = random_flip -> rotate(10)");
        else if (s->n > 1)
            error_at(s->child[1]->span, "'%s' has one value; several numbers make a list: %s = [a, b]", s->text, s->text);
        for (int k = 0; k < i; k++)
            if (strcmp(settings->child[k]->text, s->text) == 0) {
                error_at(s->name, "'%s' is set twice", s->text);
                note_at(settings->child[k]->name, "first here");
            }
    }
}

bool data_open(Checker *c, Frame *f, const Node *data)
{
    c->data = data;
    check_settings_of(data);
    c->source = data ? data_source(c, f, data) : NULL;
    if (!data) {
        raw_new(c, "label", -1, NULL, -1, NOWHERE);
        return true;
    }
    if (!c->source || !reader_check(c, f, c->source)) {
        c->data = c->source = NULL; /* the model is checked as if there were no data */
        raw_new(c, "label", -1, NULL, -1, NOWHERE);
        return true;
    }
    if (!reader_columns(c, f, c->source))
        return false;
    const Node *augment = data_setting(c, "augment");
    if (augment)
        pictures_augment(c, f, augment->child[0]);
    return true;
}

static const Node *field_setting(Checker *c, const char *name)
{
    return is_data_key(name) ? NULL : data_setting(c, name);
}

static bool is_csv(Checker *c)
{
    const Node *name = c->source ? reader_name(c->source) : NULL;
    return name && strcmp(name->text, "csv") == 0;
}

static Val raw_field(Checker *c, const char *name, Span at, bool *found)
{
    *found = true;
    for (int i = 0; i < c->raws.n; i++)
        if (strcmp(c->raws.at[i]->name, name) == 0)
            return (Val){.kind = VAL_FIELD, .raw = c->raws.at[i], .span = at};
    bool column = is_csv(c) && c->ncolumns < 0; /* a file that is not at hand may have it */
    for (int i = 0; i < c->ncolumns; i++)
        column |= strcmp(c->columns[i], name) == 0;
    if (column)
        return (Val){.kind = VAL_FIELD, .raw = raw_new(c, name, 0, NULL, -1, at), .span = at};
    *found = false;
    return val_error();
}

void data_hint(Checker *c, const char *name, int rank, const int64_t *size)
{
    for (int i = 0; i < c->raws.n; i++) {
        Raw *r = c->raws.at[i];
        if (strcmp(r->name, name) != 0 || r->rank >= 0)
            continue;
        r->rank = rank;
        for (int k = 0; k < rank; k++)
            r->size[k] = size[k];
    }
}

/* [x1, x2, x1^2]: one equation, whose last index says which. */
Val stack(Checker *c, Frame *f, const Node *list)
{
    Elem el = elem_new(c, f);
    Index *k = index_new(c->arena, "k", list->n), *out[2] = {el.ambient[0], k};
    Expr **e = NEW_ARRAY(c->arena, Expr *, list->n + 1), *y = NULL;

    for (int i = 0; i < list->n; i++)
        if (!(e[i] = element(c, f, &el, list->child[i])))
            return val_error();
    for (int i = list->n; i-- > 0;) {
        Expr *here = expr_op(c->arena, "eq", expr_index(c->arena, k), expr_number(c->arena, i), NULL);
        y = y ? expr_op(c->arena, "select", here, e[i], y) : e[i];
    }
    if (!y) {
        error_in(c, f, list->span, "an empty list is no vector");
        return val_error();
    }
    return val_tensor(materialise(c, f, "x", EQ_MAP, y, 2, out, list->span), list->span);
}

Val data_field(Checker *c, const char *name, Span at, bool *found)
{
    const Node *setting = field_setting(c, name);

    if (c->fields_of != c->graph) {
        c->fields.n = 0;
        c->fields_of = c->graph;
    }
    for (int i = 0; i < c->fields.n; i++)
        if (strcmp(c->fields.at[i].name, name) == 0) {
            *found = true;
            return c->fields.at[i].val;
        }
    Val v = raw_field(c, name, at, found);
    if (!setting)
        return v;
    Bind b = {.name = name, .val = v, .span = setting->span};
    PUSH(c->arena, c->fields_used, name);
    PUSH(c->arena, c->fields, b); /* image = image / 255: the one on the right is the reader's */
    int mine = c->fields.n - 1;
    bool transform = c->transform, defaults = c->applies_default;
    const char *space = c->space;
    Frame *g = frame_new(c, NULL, NULL);
    g->path = name;
    c->transform = true;
    c->applies_default = false;
    c->space = NULL;
    const Node *value = setting->child[0];
    v = eval(c, g, value);
    c->transform = transform;
    c->applies_default = defaults;
    c->space = space;
    c->fields.at[mine].val = v;
    c->fields.at[mine].used = true;
    *found = true;
    return v;
}

/* A transform of a field that nobody asks for: a misspelt name, most likely. */
void warn_fields(Checker *c)
{
    const Node *settings = c->data && c->data->n > 1 ? c->data->child[1] : NULL;

    for (int i = 0; settings && i < settings->n; i++) {
        const Node *s = settings->child[i];
        bool used = is_data_key(s->text);
        for (int k = 0; k < c->fields_used.n && !used; k++)
            used = strcmp(c->fields_used.at[k], s->text) == 0;
        if (used)
            continue;
        warning_at(s->name, "nobody uses the field '%s': the model has no such input", s->text);
        suggest_among(c, "data", s->text, sizeof data_keys / sizeof *data_keys, data_keys);
    }
}
