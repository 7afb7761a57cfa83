/* data_table.c -- small data written in the .nn file: table(x1 = [0, 1], label = ["no", "yes"]).
 *
 * A list of numbers is a column of numbers, a list of texts one of classes (their names sorted), a list of lists of
 * equal shape a column of vectors, matrices ... */
#include "data_reader.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_text(const nn_value *v)
{
    return v->kind == NN_TEXT || v->kind == NN_WORD;
}

/* The shape of one sample, from the first of them. */
static bool table_shape(const char *name, const nn_value *first, Column *like, Fault *f)
{
    for (const nn_value *v = first; v->kind == NN_LIST; v = &v->parts[0]) {
        if (v->n == 0)
            return nn_fail(f, EXIT_USAGE, "table: '%s' has an empty list inside", name);
        if (like->rank == NN_MAX_RANK - 1)
            return nn_fail(f, EXIT_USAGE, "table: '%s' is nested more than %d deep", name, NN_MAX_RANK - 1);
        like->shape[like->rank++] = v->n;
    }
    return true;
}

static bool table_numbers(const char *name, const nn_value *v, const Column *c, int depth, float **to, Fault *f)
{
    if (depth == c->rank) {
        if (v->kind != NN_NUMBER && v->kind != NN_BOOL && v->kind != NN_PERCENT)
            return nn_fail(f, EXIT_USAGE, "table: '%s' holds something that is not a number among numbers", name);
        if (!isfinite((float)v->number))
            return nn_fail(f, EXIT_USAGE, "table: '%s' holds %g, which no float can hold", name, v->number);
        *(*to)++ = (float)(v->kind == NN_PERCENT ? v->number / 100 : v->number);
        return true;
    }
    if (v->kind != NN_LIST || v->n != c->shape[depth])
        return nn_fail(f, EXIT_USAGE, "table: the samples of '%s' differ in shape: one has %d where the first has %lld", name,
                       v->kind == NN_LIST ? v->n : 1, (long long)c->shape[depth]);
    for (int i = 0; i < v->n; i++)
        if (!table_numbers(name, &v->parts[i], c, depth + 1, to, f))
            return false;
    return true;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool table_classes(const char *name, const nn_value *list, Column *c, Fault *f)
{
    const char **names = nn_new(f, name, (size_t)list->n, sizeof *names);
    int n = 0;

    if (names == NULL)
        return false;
    for (int i = 0; i < list->n; i++) {
        if (!is_text(&list->parts[i])) {
            free(names);
            return nn_fail(f, EXIT_USAGE, "table: '%s' begins with a text, but element %d is none", name, i);
        }
        names[i] = list->parts[i].text;
    }
    qsort(names, (size_t)list->n, sizeof *names, by_bytes);
    for (int i = 0; i < list->n; i++)
        if (n == 0 || strcmp(names[n - 1], names[i]) != 0)
            names[n++] = names[i];
    for (int i = 0; i < list->n; i++) {
        const char *const *at = bsearch(&list->parts[i].text, names, (size_t)n, sizeof *names, by_bytes);
        ((int32_t *)c->data)[i] = (int32_t)(at - (const char *const *)names);
    }
    c->classes = n;
    nn_column_name_classes(c, names, f);
    free(names);
    return f->status == 0;
}

bool nn_read_table(const Call *call, Data *data, Fault *f)
{
    const nn_value *source = call->source;

    data->origin = strdup("a table");
    if (source->n == 0)
        return nn_fail(f, EXIT_USAGE, "table: no columns; write table(x = [0, 1], label = [0, 1])");
    for (int i = 0; i < source->n; i++) {
        const nn_value *list = &source->parts[i];
        const char *name = source->names ? source->names[i] : NULL;
        Column like = {.type = DATA_F32}, *c;
        float *to;

        if (name == NULL)
            return nn_fail(f, EXIT_USAGE, "table: column %d has no name; write x = [...]", i + 1);
        if (nn_data_find(data, name) >= 0)
            return nn_fail(f, EXIT_USAGE, "table: there are two columns '%s'", name);
        if (list->kind != NN_LIST || list->n == 0)
            return nn_fail(f, EXIT_USAGE, "table: '%s' should be a list of samples, [0, 1, ...]", name);
        if (i > 0 && list->n != data->n)
            return nn_fail(f, EXIT_USAGE, "table: '%s' has %d samples, but '%s' %lld", name, list->n, data->columns[0].name,
                           (long long)data->n);
        data->n = list->n;
        if (is_text(&list->parts[0]))
            like.type = DATA_I32;
        if (!table_shape(name, &list->parts[0], &like, f) || (c = nn_column_add(data, name, &like, list->n, f)) == NULL)
            return false;
        to = c->data;
        if (c->type == DATA_I32 && !table_classes(name, list, c, f))
            return false;
        for (int j = 0; j < list->n && c->type == DATA_F32; j++)
            if (!table_numbers(name, &list->parts[j], c, 0, &to, f))
                return false;
    }
    return true;
}
