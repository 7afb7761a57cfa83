/* samples.c -- see samples.h. */
#include "samples.h"

#include "nn_random.h"
#include "source.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHUFFLE_STREAM = 0x5f3759, /* apart from the streams of the model, which count from 0 */
    SPLIT_SEED = 0,            /* the splits stay the same whatever the seed, so that seeds can be compared */
};

/* --- binding --- */

static bool fail_missing(const nn_program *p, const nn_field *field, const Data *data, Fault *f)
{
    char names[600];

    return nn_fail(f, EXIT_FILE, "%s:%d: the model wants %s, which is not in the data (%s): it has %s", p->source,
                   field->line, field->name, data->origin, nn_data_names(data, names, sizeof names));
}

/* Whether augmentation makes the pictures smaller: then those that are not augmented are cut to the same size. */
static bool is_cut(const nn_program *p, const nn_field *field, const Column *c)
{
    int r = field->rank;

    return nn_setting_find(p->data, p->ndata, "augment") != NULL && r >= 2 && r == c->rank &&
           (r == 2 || field->shape[0] == c->shape[0]) && r <= 3 && field->shape[r - 2] <= c->shape[r - 2] &&
           field->shape[r - 1] <= c->shape[r - 1];
}

/* Classes are taken as subscripts: none may be beyond what the model has. */
static bool check_classes(const nn_program *p, const nn_field *field, const Data *data, const Column *c, Fault *f)
{
    int64_t below = c->classes > 0 ? c->classes : nn_column_whole_below(c, data->n);

    if (below == 0)
        return nn_fail(f, EXIT_FILE, "%s:%d: %s must be a class, but holds numbers that are not whole and from 0 on "
                       "in the data (%s)", p->source, field->line, field->name, data->origin);
    if (below > field->classes)
        return nn_fail(f, EXIT_FILE, "%s:%d: %s has %d class%s in the model, but %lld in the data (%s)", p->source,
                       field->line, field->name, field->classes, field->classes == 1 ? "" : "es",
                       (long long)below, data->origin);
    return true;
}

static bool check_column(const nn_program *p, const nn_field *field, const Data *data, const Column *c, Fault *f)
{
    char mine[NN_SHAPE_TEXT], its[NN_SHAPE_TEXT];

    if (!nn_shape_equal(field->rank, field->shape, c->rank, c->shape) &&
        nn_shape_size(field->rank, field->shape) != c->size && !is_cut(p, field, c))
        return nn_fail(f, EXIT_FILE, "%s:%d: %s is %s in the model, but %s in the data (%s)", p->source, field->line,
                       field->name, nn_shape_text(mine, field->rank, field->shape),
                       nn_shape_text(its, c->rank, c->shape), data->origin);
    if (field->classes == 0 && !field->label && c->class_names != NULL && c->classes > 2)
        return nn_fail(f, EXIT_FILE, "%s:%d: %s is a number in the model, but holds %d different texts in the data (%s), such as "
                       "'%.40s'", p->source, field->line, field->name, c->classes, data->origin, c->class_names[0]);
    return field->classes == 0 || check_classes(p, field, data, c, f);
}

static bool bind_field(const nn_program *p, const Samples *s, int i, Fault *f)
{
    const nn_field *field = &p->fields[i];
    bool fine = s->columns[i] < 0 || check_column(p, field, &s->data, &s->data.columns[s->columns[i]], f);

    for (int k = 0; s->columns[i] == -2 && field->classes > 0 && k < s->nrow && fine; k++)
        fine = check_classes(p, field, &s->data, &s->data.columns[s->row[k]], f);
    return fine;
}

static bool make_columns(const nn_program *p, Samples *s, Fault *f)
{
    s->columns = nn_new(f, "the fields", (size_t)p->nfields, sizeof *s->columns);
    return s->columns != NULL;
}

void **nn_fields_new(const nn_program *p, const Samples *s, Fault *f)
{
    void **fields = nn_new(f, "the fields", (size_t)p->nfields, sizeof *fields);

    for (int i = 0; i < p->nfields && fields != NULL; i++) {
        size_t bytes = (size_t)p->batch * (size_t)nn_shape_size(p->fields[i].rank, p->fields[i].shape) * sizeof(float);

        if (s->columns[i] == -1)
            continue;
        fields[i] = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
        if (fields[i] == NULL) {
            nn_fail_memory(f, "a batch", bytes);
            nn_fields_free(p, fields);
            return NULL;
        }
        memset(fields[i], 0, bytes);
    }
    return fields;
}

void nn_fields_free(const nn_program *p, void **fields)
{
    for (int i = 0; i < p->nfields && fields != NULL; i++)
        free(fields[i]);
    free(fields);
}

bool nn_fields_not_finite(const nn_program *p, void *const *fields, int n, char *to, size_t room)
{
    for (int i = 0; i < p->nfields && n > 0; i++) {
        int64_t size = nn_shape_size(p->fields[i].rank, p->fields[i].shape);
        const float *x = fields[i];

        for (int64_t k = 0; k < n * size && p->fields[i].classes == 0; k++)
            if (!isfinite(x[k])) {
                snprintf(to, room, "%s of the data holds %s (%s:%d)", p->fields[i].name, isnan(x[k]) ? "nan" : "inf", p->source,
                         p->fields[i].line);
                return true;
            }
    }
    return false;
}

static bool bind_fields(const nn_program *p, Samples *s, Fault *f)
{
    if (!make_columns(p, s, f))
        return false;
    for (int i = 0; i < p->nfields; i++) {
        s->columns[i] = nn_data_find(&s->data, p->fields[i].name);
        if (s->columns[i] < 0)
            return fail_missing(p, &p->fields[i], &s->data, f);
        if (!bind_field(p, s, i, f))
            return false;
    }
    return true;
}

/* --- binding new samples --- */

static bool is_label(const nn_program *p, const char *name)
{
    for (int i = 0; i < p->nfields; i++)
        if (p->fields[i].label && strcmp(p->fields[i].name, name) == 0)
            return true;
    return strcmp(name, "label") == 0;
}

/* The only column that fits an input, or -2 where all numbers of a sample together do, or -1. */
static int find_fitting(const nn_program *p, const nn_field *field, Samples *s)
{
    int64_t size = nn_shape_size(field->rank, field->shape);
    int fitting = -1, found = 0;

    s->nrow = 0;
    for (int c = 0; c < s->data.ncolumns; c++) {
        const Column *column = &s->data.columns[c];

        if (is_label(p, column->name))
            continue;
        if (column->size == size) {
            fitting = c;
            found++;
        }
        if (column->rank == 0 && column->class_names == NULL)
            s->row[s->nrow++] = c;
    }
    return found == 1 ? fitting : s->nrow == size ? -2 : -1;
}

static bool fail_inputs(const nn_program *p, const nn_field *field, const Data *data, Fault *f)
{
    return nn_fail(f, EXIT_FILE, "%s:%d: the model has several inputs, and %s is not in the data (%s): name a file for each, "
                   "%s=FILE", p->source, field->line, field->name, data->origin, field->name);
}

static bool bind_new_fields(const nn_program *p, Samples *s, Fault *f)
{
    int inputs = 0;

    if (!make_columns(p, s, f))
        return false;
    s->row = nn_new(f, "the fields", (size_t)s->data.ncolumns, sizeof *s->row);
    if (s->row == NULL)
        return false;
    for (int i = 0; i < p->nfields; i++)
        inputs += !p->fields[i].label;
    for (int i = 0; i < p->nfields; i++) {
        const nn_field *field = &p->fields[i];

        s->columns[i] = -1;
        if (field->label)
            continue;
        s->columns[i] = nn_data_find(&s->data, field->name);
        if (s->columns[i] < 0 && inputs == 1)
            s->columns[i] = find_fitting(p, field, s);
        if (s->columns[i] == -1)
            return inputs > 1 && field->rank > 0 ? fail_inputs(p, field, &s->data, f) : fail_missing(p, field, &s->data, f);
        if (!bind_field(p, s, i, f))
            return false;
    }
    return true;
}

/* --- opening --- */

static bool cut_splits(const Settings *s, Samples *samples, Fault *f)
{
    const Data *data = &samples->data;
    int64_t rest = data->n - data->own_test, test = 0, valid = 0;

    if (s->test.kind != SHARE_NONE && data->own_test > 0)
        return nn_fail(f, EXIT_USAGE, "test: the data (%s) has a test set of its own, %lld samples", data->origin,
                       (long long)data->own_test);
    if (!nn_share_count(&s->test, rest, "test", &test, f) ||
        !nn_share_count(&s->valid, s->valid.kind == SHARE_PERCENT ? rest : rest - test, "valid", &valid, f))
        return false;
    if (valid == 0 && s->valid.kind != SHARE_NONE)
        return nn_fail(f, EXIT_USAGE, "valid: that part of %lld samples is none at all", (long long)rest);
    if (test + valid >= rest)
        return nn_fail(f, EXIT_USAGE, "nothing is left to train on: of %lld samples, %lld test and %lld validate",
                       (long long)rest, (long long)test, (long long)valid);
    return nn_data_split(data, valid, test, SPLIT_SEED, &samples->split, f);
}

static bool open_augment(const nn_program *p, Samples *s, Fault *f)
{
    const nn_setting *set = nn_setting_find(p->data, p->ndata, "augment");
    Fault why = {0};

    if (!nn_augment_open(p, &s->data, s->columns, &s->augment, &why))
        return nn_fail(f, why.status, "%s:%d:%d: %s", p->source, set->line, set->column, why.text);
    s->augment.train = s->split.samples[SPLIT_TRAIN];
    s->augment.ntrain = s->split.n[SPLIT_TRAIN];
    return true;
}

bool nn_samples_open(const nn_program *p, const Options *o, const Settings *s, Samples *samples, Fault *f)
{
    int64_t n;

    *samples = (Samples){0};
    if (!nn_source_open(p, o, &samples->data, f))
        return false;
    if (!bind_fields(p, samples, f) || !cut_splits(s, samples, f) || !open_augment(p, samples, f)) {
        nn_samples_close(samples);
        return false;
    }
    n = samples->split.n[SPLIT_TRAIN];
    samples->shuffled = nn_new(f, "the order of the samples", (size_t)n, sizeof *samples->shuffled);
    if (samples->shuffled == NULL) {
        nn_samples_close(samples);
        return false;
    }
    return true;
}

bool nn_samples_new(const nn_program *p, const Data *data, Samples *samples, Fault *f)
{
    *samples = (Samples){.data = *data};
    if (bind_new_fields(p, samples, f))
        return true;
    nn_samples_close(samples);
    return false;
}

void nn_samples_close(Samples *samples)
{
    free(samples->columns);
    free(samples->row);
    free(samples->classes);
    free(samples->shuffled);
    nn_data_split_free(&samples->split);
    nn_data_free(&samples->data);
    *samples = (Samples){0};
}

/* --- use --- */

/* Fisher and Yates, from the sorted order; 48 random bits make the modulo's bias too small to matter. */
void nn_samples_shuffle(Samples *samples, uint64_t seed, int64_t epoch)
{
    uint32_t key = nn_random_key(seed, (uint64_t)epoch, SHUFFLE_STREAM);
    int64_t n = samples->split.n[SPLIT_TRAIN], *order = samples->shuffled;

    if (n > 0)
        memcpy(order, samples->split.samples[SPLIT_TRAIN], (size_t)n * sizeof *order);
    for (int64_t i = n; i-- > 1;) {
        uint64_t high = nn_random_bits(key, (uint32_t)(2 * i)), low = nn_random_bits(key, (uint32_t)(2 * i + 1));
        int64_t j = (int64_t)((high << 24 | low) % (uint64_t)(i + 1)), kept = order[i];

        order[i] = order[j];
        order[j] = kept;
    }
}

/* The middle of a picture. */
static bool put_middle(const nn_field *field, const Data *data, int column, int64_t sample, Room *room, char *to, Fault *f)
{
    const Column *c = &data->columns[column];
    int64_t h = c->shape[c->rank - 2], w = c->shape[c->rank - 1];
    int64_t height = field->shape[field->rank - 2], width = field->shape[field->rank - 1];
    const void *whole = nn_data_at(data, column, sample, room->at[0], f);

    for (int64_t k = 0; k < c->size / (h * w) && whole != NULL; k++)
        for (int64_t y = 0; y < height; y++)
            for (int64_t x = 0; x < width; x++) {
                int64_t at = (k * h + y + (h - height) / 2) * w + x + (w - width) / 2;
                float value = c->type == DATA_U8    ? (float)((const uint8_t *)whole)[at]
                              : c->type == DATA_F32 ? ((const float *)whole)[at]
                                                    : (float)((const int32_t *)whole)[at];

                if (field->classes > 0)
                    *(int32_t *)(void *)to = (int32_t)value;
                else
                    *(float *)(void *)to = value;
                to += sizeof(float);
            }
    return whole != NULL;
}

static bool put_as_it_is(const nn_field *field, const Samples *s, int column, int64_t sample, Room *room, char *to, Fault *f)
{
    float *row = (float *)(void *)to;
    bool fine = true;

    if (column == -2)
        for (int i = 0; i < s->nrow && fine; i++)
            fine = field->classes > 0 ? nn_data_ints(&s->data, s->row[i], sample, (int32_t *)(void *)to + i, f)
                                      : nn_data_floats(&s->data, s->row[i], sample, row + i, f);
    else if (s->data.columns[column].size != nn_shape_size(field->rank, field->shape))
        fine = put_middle(field, &s->data, column, sample, room, to, f);
    else if (field->classes > 0)
        fine = nn_data_ints(&s->data, column, sample, (int32_t *)(void *)to, f);
    else
        fine = nn_data_floats(&s->data, column, sample, row, f);
    return fine;
}

static void renumber(const Samples *s, int32_t *classes, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        classes[i] = s->classes[classes[i]];
}

bool nn_samples_put(const nn_program *p, const Samples *samples, Room *room, int64_t sample, const Seen *seen, int b, void *const *fields, Fault *f)
{
    const Augment *a = seen != NULL && samples->augment.nsteps > 0 ? &samples->augment : NULL;
    uint32_t key = a != NULL ? nn_augment_key(seen->seed, seen->epoch) : 0;

    for (int i = 0; i < p->nfields; i++) {
        const nn_field *field = &p->fields[i];
        int64_t size = nn_shape_size(field->rank, field->shape);
        char *to = (char *)fields[i] + b * size * (int64_t)sizeof(float);
        int column = samples->columns[i];

        if (column == -1)
            continue;
        if (a != NULL ? !nn_augment_field(a, room->at, key, &samples->data, field, column, sample, to, f)
                      : !put_as_it_is(field, samples, column, sample, room, to, f))
            return false;
        if (samples->classes != NULL && i == samples->named)
            renumber(samples, (int32_t *)(void *)to, size);
    }
    return true;
}

bool nn_room_new(const Samples *samples, Room *room, Fault *f)
{
    int64_t most = samples->augment.room;

    for (int i = 0; i < samples->data.ncolumns; i++)
        if (samples->data.columns[i].size > most)
            most = samples->data.columns[i].size;
    *room = (Room){0};
    for (int i = 0; i < 3; i++)
        if ((room->at[i] = nn_new(f, "a sample", (size_t)most, sizeof(float))) == NULL)
            return false;
    return true;
}

void nn_room_free(Room *room)
{
    for (int i = 0; i < 3; i++)
        free(room->at[i]);
    *room = (Room){0};
}

int nn_samples_label(const nn_program *p, const Samples *samples)
{
    for (int i = 0; i < p->nfields; i++)
        if (p->fields[i].label && p->fields[i].classes > 0 && samples->columns[i] >= 0)
            return i;
    return -1;
}

bool nn_samples_rename(const nn_program *p, Samples *samples, const char *const *names, int n, Fault *f)
{
    int field = nn_samples_label(p, samples);
    const Column *label = field >= 0 ? &samples->data.columns[samples->columns[field]] : NULL;

    if (label == NULL || label->class_names == NULL)
        return true;
    samples->classes = nn_new(f, "the classes", (size_t)label->classes, sizeof *samples->classes);
    samples->named = field;
    for (int i = 0; i < label->classes && samples->classes != NULL; i++) {
        int known = 0;

        while (known < n && strcmp(names[known], label->class_names[i]) != 0)
            known++;
        if (known == n || known >= p->fields[field].classes)
            return nn_fail(f, EXIT_FILE, "the data (%s) has the class '%.100s', which the model was not trained on",
                           samples->data.origin, label->class_names[i]);
        samples->classes[i] = known;
    }
    return samples->classes != NULL;
}
