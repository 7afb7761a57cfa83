/* inputs.c -- new samples for a model of several inputs: a file for each of them. */
#include "inputs.h"

#include <stdlib.h>
#include <string.h>

static int find_column(const nn_field *field, const Data *from)
{
    int64_t size = nn_shape_size(field->rank, field->shape);
    int named = nn_data_find(from, field->name), fitting = -1, found = 0;

    for (int i = 0; i < from->ncolumns; i++)
        if (from->columns[i].size == size) {
            fitting = i;
            found++;
        }
    return named >= 0 ? named : found == 1 ? fitting : -1;
}

static bool take_column(const nn_program *p, const nn_field *field, Data *from, Data *to, Fault *f)
{
    int at = find_column(field, from);
    char shape[NN_SHAPE_TEXT], names[600];
    Column *c;

    if (at < 0)
        return nn_fail(f, EXIT_FILE, "%s:%d: the model wants %s, %s, which %s does not have: it has %s", p->source, field->line,
                       field->name, nn_shape_text(shape, field->rank, field->shape), from->origin,
                       nn_data_names(from, names, sizeof names));
    if (to->ncolumns > 0 && from->n != to->n)
        return nn_fail(f, EXIT_FILE, "%s holds %lld samples, but %s %lld", to->origin, (long long)to->n, from->origin,
                       (long long)from->n);
    if (to->ncolumns == 0) {
        to->n = from->n;
        to->origin = from->origin;
        from->origin = NULL;
    }
    c = &to->columns[to->ncolumns++];
    *c = from->columns[at];
    from->columns[at] = (Column){.name = c->name};
    c->name = strdup(field->name);
    return (to->origin != NULL && c->name != NULL) || nn_fail_memory(f, "the inputs", strlen(field->name));
}

bool nn_inputs_open(const nn_program *p, const nn_value *sources, Data *data, Fault *f)
{
    bool fine;

    *data = (Data){.columns = nn_new(f, "the inputs", (size_t)p->nfields, sizeof *data->columns)};
    fine = data->columns != NULL;
    for (int i = 0; i < p->nfields && fine; i++) {
        Data one;

        if (p->fields[i].label)
            continue;
        fine = nn_data_open(&sources[i], NULL, &one, f);
        if (fine) {
            fine = take_column(p, &p->fields[i], &one, data, f);
            nn_data_free(&one);
        }
    }
    if (!fine)
        nn_data_free(data);
    return fine;
}
