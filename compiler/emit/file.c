/* file.c -- save and load: the weights as a safetensors image in the caller's memory.
 *
 * All names and shapes are known, so the model carries a table of them, sorted by name, and its file always has the
 * same size. Reading and writing themselves are runtime/nn_image.h. */
#include "emit/parts.h"

#include <stdlib.h>

static bool is_saved(const Kept *k) { return k->kind == KEPT_PARAM || k->kind == KEPT_BUFFER; }

static int by_name(const void *x, const void *y)
{
    const Kept *a = *(const Kept *const *)x, *b = *(const Kept *const *)y;

    return strcmp(a->name, b->name);
}

/* Sorted by name: nn_image_named halves the table. */
static const Kept **saved(const Program *p, int *n)
{
    const Kept **list = NEW_ARRAY(p->arena, const Kept *, p->kept.n + 1);

    *n = 0;
    for (int i = 0; i < p->kept.n; i++)
        if (is_saved(&p->kept.at[i]))
            list[(*n)++] = &p->kept.at[i];
    qsort(list, (size_t)*n, sizeof *list, by_name);
    return list;
}

bool file_empty(const Program *p)
{
    int n;

    saved(p, &n);
    return n == 0;
}

static const char *shape_text(Arena *a, const Kept *k)
{
    Text t = {.arena = a};

    text_print(&t, "[");
    for (int i = 0; i < k->rank; i++)
        text_print(&t, "%s%lld", i ? "," : "", (long long)k->size[i]);
    text_print(&t, "]");
    return t.s;
}

static int64_t saved_bytes(const Kept *k)
{
    int64_t n = 1;

    for (int i = 0; i < k->rank; i++)
        n *= k->size[i];
    return k->rank == 0 ? 8 : 4 * n;
}

/* The text that nn_image_write will write, doubles first: here only its length matters. */
static int64_t measure(const Program *p, int64_t *data)
{
    Text t = {.arena = p->arena};
    int n;
    const Kept **list = saved(p, &n);

    *data = 0;
    text_print(&t, "{");
    for (int i = 0; i < 2 * n; i++) {
        const Kept *k = list[i % n];
        if ((k->rank > 0) != (i >= n))
            continue;
        text_print(&t, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":%s,\"data_offsets\":[%lld,", *data ? "," : "", k->name,
                   shape_text(p->arena, k), (long long)*data);
        *data += saved_bytes(k);
        text_print(&t, "%lld]}", (long long)*data);
    }
    text_print(&t, "}");
    return ((int64_t)t.n + 7) / 8 * 8;
}

int64_t file_header_bytes(const Program *p)
{
    int64_t data;

    return measure(p, &data);
}

int64_t file_bytes(const Program *p)
{
    int64_t data, header = measure(p, &data);

    return 8 + header + data;
}

/* Room for the longest name and shape of this model: nn_image.h wants to know before it is read. */
void print_file_prelude(Text *t, const Program *p)
{
    size_t name = 0, shape = 0;
    int n;
    const Kept **list = saved(p, &n);

    for (int i = 0; i < n; i++) {
        if (strpbrk(list[i]->name, "\"\\\n\t"))
            bug("'%s' is no name for a tensor", list[i]->name);
        if (strlen(list[i]->name) > name)
            name = strlen(list[i]->name);
        if (strlen(shape_text(p->arena, list[i])) > shape)
            shape = strlen(shape_text(p->arena, list[i]));
    }
    text_print(t, "#define NN_IMAGE_NAME %zu\n#define NN_IMAGE_SHAPE %zu\n", name + 1, shape + 2);
}

/* --- the table --- */

/* Tensors of one layer, one after the other: grow1.norm.bias, grow1.norm.weight. Layers whose tensors have the same names are
 * lines of one macro: large nets have hundreds. */
enum { MAX_OF_LAYER = 40 /* a macro has at most 127 arguments */, WORTH = 3 /* as many layers are */ };

typedef struct Kind {
    int uses;        /* of layers like this, also those within others */
    int number;      /* of the macro */
    int n;           /* tensors */
    size_t length;   /* of the name of the first layer that the macro prints */
    LIST(int) first; /* by layer that the macro prints: its first tensor */
} Kind;

typedef struct Table {
    const Program *program;
    const Plan *plan;
    const Kept **list;
    int n, macros;
    LIST(Kind *) kinds;
    Names descriptions; /* of the kinds: what their tensors are called */
    Kind **at;          /* by tensor: of the layer that begins there and is a line of a macro, or NULL */
} Table;

static bool in_layer(const char *name, const char *layer, size_t length)
{
    return strncmp(name, layer, length) == 0 && name[length] == '.';
}

/* Tensors of the layer that begins with tensor i and has a name of so many letters; 0 where none begins, or too large a one. */
static int layer_size(const Table *t, int i, size_t length)
{
    const char *name = t->list[i]->name;
    int n = 0;

    if (i > 0 && in_layer(t->list[i - 1]->name, name, length))
        return 0;
    while (i + n < t->n && in_layer(t->list[i + n]->name, name, length))
        n++;
    return n <= MAX_OF_LAYER ? n : 0;
}

static Kind *kind_of(Table *t, int i, size_t length, int n)
{
    Arena *a = t->program->arena;
    Text d = {.arena = a};

    for (int k = i; k < i + n; k++)
        text_print(&d, "%s ", t->list[k]->name + length);
    int known = names_find(&t->descriptions, d.s);
    if (known >= 0)
        return t->kinds.at[known];
    names_add(a, &t->descriptions, d.s, t->kinds.n);
    Kind *kind = NEW(a, Kind);
    *kind = (Kind){.n = n};
    PUSH(a, t->kinds, kind);
    return kind;
}

/* The outermost layer that begins with tensor i and has enough others like it, or NULL; or (count) all are counted. */
static Kind *layer_at(Table *t, int i, bool count)
{
    const char *name = t->list[i]->name;

    for (const char *dot = name; (dot = strchr(dot, '.')); dot++) {
        int n = layer_size(t, i, (size_t)(dot - name));
        Kind *kind = n > 1 ? kind_of(t, i, (size_t)(dot - name), n) : NULL;
        if (kind && count)
            kind->uses++;
        else if (kind && kind->uses >= WORTH) {
            if (kind->first.n == 0)
                kind->length = (size_t)(dot - name);
            return kind;
        }
    }
    return NULL;
}

static void find_layers(Table *t)
{
    Arena *a = t->program->arena;

    t->at = NEW_ARRAY(a, Kind *, t->n + 1);
    for (int i = 0; i < t->n; i++)
        layer_at(t, i, true);
    for (int i = 0; i < t->n; i += t->at[i] ? t->at[i]->n : 1) {
        t->at[i] = layer_at(t, i, false);
        if (t->at[i])
            PUSH(a, t->at[i]->first, i);
    }
    for (int i = 0; i < t->kinds.n; i++) { /* all others may be within larger layers */
        Kind *k = t->kinds.at[i];
        if (k->first.n == 1)
            t->at[k->first.at[0]] = NULL;
        k->number = k->first.n > 1 ? t->macros++ : -1;
    }
}

/* What the table says of a tensor. */
typedef enum { SHAPE, OFFSET, ROW, SAYS } Says;

static int64_t number_of(const Table *t, int i, Says what)
{
    const Kept *k = t->list[i];
    const Place *place = &t->plan->kept[k - t->program->kept.at];

    if (what == OFFSET)
        return place->offset;
    return k->rank > 1 && place->row != k->size[k->rank - 1] ? place->row : 0;
}

static const char *said(const Table *t, int i, Says what)
{
    Arena *a = t->program->arena;

    if (what == SHAPE)
        return arena_print(a, "\"%s\"", shape_text(a, t->list[i]));
    return arena_print(a, "%lld", (long long)number_of(t, i, what));
}

/* A parameter of a macro: of which tensor, and what. */
typedef struct Parameter {
    int tensor;
    Says what;
} Parameter;

typedef LIST(Parameter) Parameters;

static const char *parameter_name(Arena *a, Parameter p)
{
    static const char *const names[SAYS] = {"shape", "at", "row"};

    return arena_print(a, "%s%d", names[p.what], p.tensor);
}

/* In all layers this is the same as that, or larger by the same number. */
static bool follows(const Table *t, const Kind *k, Parameter this, Parameter that, int64_t *more)
{
    *more = 0;
    if (this.what != that.what)
        return false;
    for (int i = 0; i < k->first.n; i++) {
        int x = k->first.at[i] + this.tensor, y = k->first.at[i] + that.tensor;
        int64_t distance = this.what == SHAPE ? 0 : number_of(t, x, this.what) - number_of(t, y, this.what);
        if ((i > 0 && distance != *more) || (this.what == SHAPE && strcmp(said(t, x, SHAPE), said(t, y, SHAPE)) != 0))
            return false;
        *more = distance;
    }
    return true;
}

/* What stands for it in the macro: itself if it is the same in all layers, what follows from a parameter, or a new one. */
static const char *in_macro(const Table *t, const Kind *k, Parameter x, Parameters *list)
{
    Arena *a = t->program->arena;
    const char *first = said(t, k->first.at[0] + x.tensor, x.what);
    bool same = true;
    int64_t more;

    for (int i = 1; i < k->first.n && same; i++)
        same = strcmp(said(t, k->first.at[i] + x.tensor, x.what), first) == 0;
    if (same)
        return first;
    for (int i = 0; i < list->n; i++)
        if (follows(t, k, x, list->at[i], &more))
            return arena_print(a, more > 0 ? "%s + %lld" : more < 0 ? "%s - %lld" : "%s", parameter_name(a, list->at[i]), (long long)llabs(more));
    PUSH(a, *list, x);
    return parameter_name(a, x);
}

/* Returns its parameters. */
static Parameters print_macro(Text *t, const Table *table, const Kind *k)
{
    Parameters list = {0};
    Text rows = {.arena = t->arena};

    for (int i = 0; i < k->n; i++) {
        text_print(&rows, " \\\n    {name \"%s\"", table->list[k->first.at[0] + i]->name + k->length);
        for (Says what = 0; what < SAYS; what++)
            text_print(&rows, ", %s", in_macro(table, k, (Parameter){i, what}, &list));
        text_print(&rows, "},");
    }
    text_print(t, "#define LAYER_%d(name", k->number);
    for (int i = 0; i < list.n; i++)
        text_print(t, ", %s", parameter_name(t->arena, list.at[i]));
    text_print(t, ")%s\n", rows.s);
    return list;
}

static void print_rows(Text *t, const Table *table, const Parameters *lists)
{
    for (int i = 0; i < table->n; i += table->at[i] ? table->at[i]->n : 1) {
        const Kind *k = table->at[i];
        const char *name = table->list[i]->name;
        if (!k) {
            text_print(t, "    {\"%s\", %s, %s, %s},\n", name, said(table, i, SHAPE), said(table, i, OFFSET), said(table, i, ROW));
            continue;
        }
        const char *rest = table->list[k->first.at[0]]->name + k->length;
        text_print(t, "    LAYER_%d(\"%.*s\"", k->number, (int)(strlen(name) - strlen(rest)), name);
        for (int p = 0; p < lists[k->number].n; p++)
            text_print(t, ", %s", said(table, i + lists[k->number].at[p].tensor, lists[k->number].at[p].what));
        text_print(t, ")\n");
    }
}

void print_file_table(Text *t, const Program *p, const Plan *plan)
{
    Table table = {.program = p, .plan = plan};

    table.list = saved(p, &table.n);
    find_layers(&table);
    Parameters *lists = NEW_ARRAY(t->arena, Parameters, table.macros + 1);
    text_print(t, "/* What save writes and load wants, sorted by name: name, shape, offset in the context, and floats from row to row if\n"
                  " * rows are longer there. */\nenum { %s_TENSORS = %d };\n",
               upper(t->arena, emit_prefix(t->arena, p)), table.n);
    for (int i = 0; i < table.kinds.n; i++)
        if (table.kinds.at[i]->number >= 0)
            lists[table.kinds.at[i]->number] = print_macro(t, &table, table.kinds.at[i]);
    text_print(t, "static const nn_image_tensor %s_tensors[] = {\n", emit_prefix(t->arena, p));
    print_rows(t, &table, lists);
    text_print(t, "};\n");
    for (int k = 0; k < table.macros; k++)
        text_print(t, "#undef LAYER_%d\n", k);
    text_print(t, "\n");
}

/* --- the functions --- */

void print_file_functions(Text *t, const Program *p, const Plan *plan)
{
    const char *prefix = emit_prefix(t->arena, p), *up = upper(t->arena, prefix);
    bool empty = file_empty(p);

    text_print(t, "int %s_save(const void *ctx, void *file, size_t size)\n{\n"
                  "    if (!%s_aligned(ctx) || !file || size < %s_FILE_BYTES)\n        return %s_EARGUMENT;\n",
               prefix, prefix, up, up);
    if (empty)
        text_print(t, "    memcpy(file, \"\\010\\0\\0\\0\\0\\0\\0\\0{}      \", 16);\n");
    else
        text_print(t, "    nn_image_write(file, %lld, ctx, %s_tensors, %s_TENSORS);\n", (long long)file_header_bytes(p), prefix, up);
    text_print(t, "    return %s_OK;\n}\n\n", up);

    text_print(t, "int %s_load(void *ctx, const void *file, size_t size)\n{\n", prefix);
    if (!empty)
        text_print(t, "    nn_image_found found[%s_TENSORS];\n    unsigned char *to = ctx;\n\n", up);
    text_print(t, "    if (%s_cpu_lacks())\n        return %s_ECPU;\n    if (!%s_aligned(ctx) || !file)\n        return %s_EARGUMENT;\n",
               prefix, up, prefix, up);
    if (empty) {
        text_print(t, "    return size < 10 ? %s_EFORMAT : %s_OK;\n}\n\n", up, up);
        return;
    }
    int64_t begin = plan->derived_offset, first = 0;
    for (int i = 0; i < p->kept.n; i++)
        if (is_saved(&p->kept.at[i]) && plan->kept[i].offset < begin)
            begin = plan->kept[i].offset;
    first = begin;
    text_print(t,
               "    if (!nn_image_read(file, size, %s_tensors, %s_TENSORS, found))\n        return %s_EFORMAT;\n"
               "    memset(to + %lld, 0, %lld); /* what lies between rows and tensors stays zero */\n"
               "    for (int i = 0; i < %s_TENSORS; i++)\n        nn_image_copy(to, &%s_tensors[i], &found[i]);\n",
               prefix, up, up, (long long)first, (long long)(plan->derived_offset - first), up, prefix);
    if (plan->derived_bytes)
        text_print(t, "    %s_run_derive(to, to + %lld);\n    ((double *)ctx)[%d] = 1; /* what is derived belongs to these weights */\n",
                   prefix, (long long)plan->derived_offset, SCALAR_DERIVED);
    text_print(t, "    return %s_OK;\n}\n\n", up);
}
