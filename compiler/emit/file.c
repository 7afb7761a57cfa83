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

/* Tensors of one layer, one after the other: grow1.norm.bias, grow1.norm.weight. Layers whose tensors have the same names
 * and as many shapes are lines of one macro: large nets have hundreds. */
enum { MAX_OF_LAYER = 12 };
typedef struct Layers {
    const Kept *const *first; /* of one of them */
    int n, shapes, uses;
    int shape[MAX_OF_LAYER]; /* of each tensor: which of the shapes */
} Layers;

typedef struct Table {
    const Program *program;
    const Plan *plan;
    const Kept **list;
    int n;
    LIST(Layers) layers;
} Table;

static int layer_length(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot ? (int)(dot - name) : 0;
}

static int64_t row_of(const Table *t, const Kept *k)
{
    const Place *place = &t->plan->kept[k - t->program->kept.at];

    return k->rank > 1 && place->row != k->size[k->rank - 1] ? place->row : 0;
}

/* The layer that begins with tensor i; n is 1 where it is no layer of several tensors, or has rows that are longer. */
static Layers layer_at(const Table *t, int i)
{
    int length = layer_length(t->list[i]->name);
    Layers l = {.first = t->list + i, .uses = 1};
    Arena *a = t->program->arena;

    for (; i + l.n < t->n && l.n < MAX_OF_LAYER; l.n++) {
        const Kept *k = l.first[l.n];
        int same = 0;
        if (layer_length(k->name) != length || strncmp(k->name, l.first[0]->name, (size_t)length) != 0 || row_of(t, k))
            break;
        while (same < l.n && strcmp(shape_text(a, l.first[same]), shape_text(a, k)) != 0)
            same++;
        l.shape[l.n] = same < l.n ? l.shape[same] : l.shapes++;
    }
    if (l.n == 0 || length == 0)
        l.n = 1;
    return l;
}

static bool alike(const Layers *x, const Layers *y)
{
    bool same = x->n == y->n;

    for (int i = 0; i < x->n && same; i++)
        same = x->shape[i] == y->shape[i] && strcmp(strrchr(x->first[i]->name, '.'), strrchr(y->first[i]->name, '.')) == 0;
    return same;
}

/* Its number, or their count. */
static int find_layers(const Table *t, const Layers *l)
{
    int i = 0;

    while (i < t->layers.n && !alike(&t->layers.at[i], l))
        i++;
    return i;
}

static void find_all_layers(Table *t)
{
    for (int i = 0; i < t->n;) {
        Layers l = layer_at(t, i);
        int known = l.n > 1 ? find_layers(t, &l) : 0;
        if (l.n > 1 && known < t->layers.n)
            t->layers.at[known].uses++;
        else if (l.n > 1)
            PUSH(t->program->arena, t->layers, l);
        i += l.n;
    }
}

enum { WORTH = 4 }; /* as many layers are */

static void print_macros(Text *t, const Table *table)
{
    for (int k = 0; k < table->layers.n; k++) {
        const Layers *l = &table->layers.at[k];
        if (l->uses < WORTH)
            continue;
        text_print(t, "#define LAYER_%d(name", k);
        for (int i = 0; i < l->shapes; i++)
            text_print(t, ", shape%d", i);
        for (int i = 0; i < l->n; i++)
            text_print(t, ", at%d", i);
        text_print(t, ")");
        for (int i = 0; i < l->n; i++)
            text_print(t, " \\\n    {name \"%s\", shape%d, at%d, 0},", strrchr(l->first[i]->name, '.'), l->shape[i], i);
        text_print(t, "\n");
    }
}

static long long offset_of(const Table *t, const Kept *k) { return (long long)t->plan->kept[k - t->program->kept.at].offset; }

static void print_layer(Text *t, const Table *table, int kind, const Layers *l)
{
    const Kept *k = l->first[0];

    text_print(t, "    LAYER_%d(\"%.*s\"", kind, layer_length(k->name), k->name);
    for (int i = 0, next = 0; i < l->n; i++)
        if (l->shape[i] == next) {
            text_print(t, ", \"%s\"", shape_text(t->arena, l->first[i]));
            next++;
        }
    for (int i = 0; i < l->n; i++)
        text_print(t, ", %lld", offset_of(table, l->first[i]));
    text_print(t, ")\n");
}

static void print_tensor(Text *t, const Table *table, const Kept *k)
{
    text_print(t, "    {\"%s\", \"%s\", %lld, %lld},\n", k->name, shape_text(t->arena, k), offset_of(table, k), (long long)row_of(table, k));
}

static void print_rows(Text *t, const Table *table)
{
    for (int i = 0; i < table->n;) {
        Layers l = layer_at(table, i);
        int kind = find_layers(table, &l);
        if (l.n > 1 && table->layers.at[kind].uses >= WORTH)
            print_layer(t, table, kind, &l);
        for (int k = 0; k < l.n && (l.n == 1 || table->layers.at[kind].uses < WORTH); k++)
            print_tensor(t, table, l.first[k]);
        i += l.n;
    }
}

void print_file_table(Text *t, const Program *p, const Plan *plan)
{
    Table table = {.program = p, .plan = plan};

    table.list = saved(p, &table.n);
    find_all_layers(&table);
    text_print(t, "/* What save writes and load wants, sorted by name: name, shape, offset in the context, and floats from row to row if\n"
                  " * rows are longer there. */\nenum { %s_TENSORS = %d };\n",
               upper(t->arena, emit_prefix(t->arena, p)), table.n);
    print_macros(t, &table);
    text_print(t, "static const nn_image_tensor %s_tensors[] = {\n", emit_prefix(t->arena, p));
    print_rows(t, &table);
    text_print(t, "};\n");
    for (int k = 0; k < table.layers.n; k++)
        if (table.layers.at[k].uses >= WORTH)
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
