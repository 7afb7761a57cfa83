/* data.c -- see data.h: which readers there are, how their calls are taken apart, and what holds for all columns. */
#include "data_reader.h"
#include "pictures.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A reader and its settings, in the order of positional ones; * stands for any. The first of them are paths: so many of
 * files, or one of a folder. */
static const struct {
    const char *name;
    const char *settings[NN_MAX_SETTINGS];
    int files, folders;
    bool (*read)(const Call *, Data *, Fault *);
    const char *whence;
} readers[] = {
    /* clang-format off */
    {"mnist",         {"folder"},                                         0, 1, nn_read_mnist,
                      "its four files, packed or not: http://yann.lecun.com/exdb/mnist"},
    {"fashion_mnist", {"folder"},                                         0, 1, nn_read_fashion_mnist,
                      "Debian's package dataset-fashion-mnist has it"},
    {"idx",           {"images", "labels", "test_images", "test_labels"}, 4, 0, nn_read_idx, NULL},
    {"cifar10",       {"folder"},                                         0, 1, nn_read_cifar10,
                      "its binary version: https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"},
    {"cifar100",      {"folder"},                                         0, 1, nn_read_cifar100,
                      "its binary version: https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"},
    {"folder",        {"path", "size", "channels"},                       0, 1, nn_read_folder, NULL},
    {"csv",           {"path", "separator"},                              1, 0, nn_read_csv, NULL},
    {"npy",           {"x", "y", "test_x", "test_y"},                     4, 0, nn_read_npy, NULL},
    {"points.spiral", {"n", "noise", "seed"},                             0, 0, nn_read_points, NULL},
    {"points.circle", {"n", "noise", "seed"},                             0, 0, nn_read_points, NULL},
    {"points.xor",    {"n", "noise", "seed"},                             0, 0, nn_read_points, NULL},
    {"points.gauss",  {"n", "noise", "seed"},                             0, 0, nn_read_points, NULL},
    {"points.moons",  {"n", "noise", "seed"},                             0, 0, nn_read_points, NULL},
    {"shapes",        {"n", "size", "noise", "seed"},                     0, 0, nn_read_shapes, NULL},
    {"pairs",         {"reader", "seed"},                                 0, 0, nn_read_pairs, NULL},
    {"triplets",      {"reader", "seed"},                                 0, 0, nn_read_pairs, NULL},
    {"table",         {"*"},                                              0, 0, nn_read_table, NULL},
    /* clang-format on */
};
enum { READERS = sizeof readers / sizeof *readers };

/* --- the call --- */

static int reader_find(const char *name)
{
    int reader = 0;

    while (reader < READERS && strcmp(readers[reader].name, name) != 0)
        reader++;
    return reader;
}

DataPath nn_data_path(const nn_value *source, int part, const char **name)
{
    int reader = reader_find(source->text), at = part;

    *name = NULL;
    if (reader == READERS || part >= NN_MAX_SETTINGS)
        return DATA_NO_PATH;
    if (source->names != NULL && source->names[part] != NULL)
        for (at = 0; at < NN_MAX_SETTINGS && readers[reader].settings[at] != NULL; at++)
            if (strcmp(readers[reader].settings[at], source->names[part]) == 0)
                break;
    if (at < NN_MAX_SETTINGS)
        *name = readers[reader].settings[at];
    return at < readers[reader].files ? DATA_FILE : at < readers[reader].folders ? DATA_FOLDER : DATA_NO_PATH;
}

static bool unknown(Fault *f, const char *what, const char *name, const char *const *known, int n, const char *of)
{
    const char *near = nn_nearest(name, known, n);

    return nn_fail(f, EXIT_USAGE, "%s%sno %s '%s'%s%s%s", of, of[0] ? " has " : "there is ", what, name,
                   near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static bool call_bind(Call *call, int reader, Fault *f)
{
    const nn_value *source = call->source;
    const char *const *names = readers[reader].settings;
    int known = 0;

    while (known < NN_MAX_SETTINGS && names[known] != NULL)
        known++;
    if (names[0][0] == '*')
        return true;
    for (int i = 0, place = 0; i < source->n; i++) {
        const char *name = source->names ? source->names[i] : NULL;
        int at = name ? 0 : place++;

        while (name && at < known && strcmp(names[at], name) != 0)
            at++;
        if (at >= known)
            return name ? unknown(f, "setting", name, names, known, call->reader)
                        : nn_fail(f, EXIT_USAGE, "%s takes at most %d settings, but gets %d", call->reader, known, source->n);
        if (call->setting[at] != NULL)
            return nn_fail(f, EXIT_USAGE, "%s: '%s' is given twice", call->reader, names[at]);
        call->setting[at] = &source->parts[i];
    }
    return true;
}

bool nn_call_text(const Call *call, int setting, const char *name, const char *otherwise, const char **text, Fault *f)
{
    const nn_value *v = call->setting[setting];

    *text = otherwise;
    if (v == NULL && otherwise == NULL)
        return nn_fail(f, EXIT_USAGE, "%s: '%s' must be given", call->reader, name);
    if (v == NULL)
        return true;
    if (v->kind != NN_TEXT && v->kind != NN_WORD)
        return nn_fail(f, EXIT_USAGE, "%s: '%s' should be a text in quotes", call->reader, name);
    *text = v->text;
    return true;
}

bool nn_call_number(const Call *call, int setting, const char *name, double otherwise, double *number, Fault *f)
{
    const nn_value *v = call->setting[setting];

    *number = otherwise;
    if (v == NULL)
        return true;
    if (v->kind != NN_NUMBER && v->kind != NN_PERCENT)
        return nn_fail(f, EXIT_USAGE, "%s: '%s' should be a number", call->reader, name);
    *number = v->kind == NN_PERCENT ? v->number / 100 : v->number;
    return true;
}

/* directory/path, or path alone; NULL without memory. */
static char *path_join(const char *directory, const char *path)
{
    size_t n = strlen(path) + (directory ? strlen(directory) : 0) + 2;
    char *joined = malloc(n);

    if (joined != NULL)
        snprintf(joined, n, "%s%s%s", directory ? directory : "", directory && directory[0] ? "/" : "", path);
    return joined;
}

const char *nn_call_help(const Call *call, int setting, char to[NN_HELP])
{
    const char *const *names = readers[reader_find(call->reader)].settings;

    if (call->directory == NULL)
        return "";
    if (call->source->n > 1 && readers[reader_find(call->reader)].files > 1)
        snprintf(to, NN_HELP, "\n  help: --data %s=PATH says where it lies, --data FOLDER where all of them do", names[setting]);
    else
        snprintf(to, NN_HELP, "\n  help: %s%s--data PATH says where it lies", call->whence ? call->whence : "",
                 call->whence ? "; " : "");
    return to;
}

char *nn_call_find(const Call *call, int setting, const char *path, Fault *f)
{
    char here[PATH_MAX], first_reason[64] = "", help[NN_HELP];
    const char *places[2] = {call->directory, here};
    struct stat st;
    char *tried[2] = {0};

    if (getcwd(here, sizeof here) == NULL)
        strcpy(here, ".");
    if (path[0] == '/' || places[0] == NULL || strcmp(places[0], ".") == 0 || strcmp(places[0], here) == 0)
        places[0] = path[0] == '/' ? NULL : here, places[1] = NULL;
    for (int i = 0; i < 2 && (i == 0 || places[i] != NULL); i++) {
        tried[i] = path_join(places[i], path);
        if (tried[i] == NULL) {
            nn_fail_memory(f, path, strlen(path));
            break;
        }
        if (stat(tried[i], &st) == 0) {
            if (i == 1)
                free(tried[0]);
            return tried[i];
        }
        if (i == 0)
            snprintf(first_reason, sizeof first_reason, "%s", strerror(errno));
    }
    if (tried[1] != NULL)
        nn_fail(f, EXIT_FILE, "%s: cannot open %s (%s), nor %s (%s)%s", call->reader, tried[0], first_reason, tried[1],
                strerror(errno), nn_call_help(call, setting, help));
    else if (tried[0] != NULL)
        nn_fail(f, EXIT_FILE, "%s: cannot open %s: %s%s", call->reader, tried[0], first_reason, nn_call_help(call, setting, help));
    free(tried[0]);
    free(tried[1]);
    return NULL;
}

/* --- columns --- */

size_t nn_type_bytes(DataType type)
{
    return type == DATA_U8 ? 1 : 4;
}

Column *nn_column_add(Data *data, const char *name, const Column *like, int64_t n, Fault *f)
{
    Column *columns = realloc(data->columns, (size_t)(data->ncolumns + 1) * sizeof *columns), *c;
    int64_t all;

    if (columns == NULL) {
        nn_fail_memory(f, name, sizeof *columns);
        return NULL;
    }
    data->columns = columns;
    c = &columns[data->ncolumns];
    *c = *like;
    c->size = 1;
    for (int i = 0; i < c->rank; i++)
        c->size *= c->shape[i];
    if (__builtin_mul_overflow(n, c->size, &all) || all > INT64_MAX / 8) {
        nn_fail(f, EXIT_MEMORY, "%s: %lld samples of %lld elements are too many", name, (long long)n, (long long)c->size);
        return NULL;
    }
    c->name = strdup(name);
    if (c->which == NULL && c->pictures == NULL)
        c->data = nn_new(f, name, (size_t)all, nn_type_bytes(c->type));
    data->ncolumns++;
    if (c->name == NULL)
        nn_fail_memory(f, name, strlen(name));
    return f->status == 0 ? c : NULL;
}

bool nn_column_name_classes(Column *c, const char *const *names, Fault *f)
{
    c->class_names = nn_new(f, c->name, (size_t)c->classes, sizeof *c->class_names);
    for (int i = 0; i < c->classes && c->class_names != NULL; i++) {
        c->class_names[i] = strdup(names[i]);
        if (c->class_names[i] == NULL)
            nn_fail_memory(f, c->name, strlen(names[i]));
    }
    return f->status == 0;
}

int64_t nn_column_whole_below(const Column *c, int64_t n)
{
    int64_t below = 0;

    if (c->data == NULL || c->type == DATA_I32)
        return c->classes;
    for (int64_t i = 0; i < n * c->size; i++) {
        float x = c->type == DATA_U8 ? (float)((const uint8_t *)c->data)[i] : ((const float *)c->data)[i];

        if (!(x >= 0 && x < 1 << 20) || x != floorf(x))
            return 0;
        if ((int64_t)x >= below)
            below = (int64_t)x + 1;
    }
    return below;
}

static void column_find_whole(Column *c, int64_t n)
{
    if (c->rank == 0 && c->type == DATA_F32 && c->which == NULL)
        c->whole_below = nn_column_whole_below(c, n);
}

bool nn_data_open(const nn_value *source, const char *directory, Data *data, Fault *f)
{
    const char *names[READERS];
    Call call = {.source = source, .directory = directory};
    int reader;

    *data = (Data){0};
    if (source->kind != NN_CALL)
        return nn_fail(f, EXIT_USAGE, "the source of data should be a reader, as in mnist(\"folder\")");
    for (int i = 0; i < READERS; i++)
        names[i] = readers[i].name;
    reader = reader_find(source->text);
    if (reader == READERS)
        return unknown(f, "reader", source->text, names, READERS, "");
    call.reader = readers[reader].name;
    call.whence = readers[reader].whence;
    if (!call_bind(&call, reader, f) || !readers[reader].read(&call, data, f)) {
        nn_data_free(data);
        return false;
    }
    for (int i = 0; i < data->ncolumns; i++)
        column_find_whole(&data->columns[i], data->n);
    return true;
}

void nn_data_free(Data *data)
{
    for (int i = 0; i < data->ncolumns; i++) {
        Column *c = &data->columns[i];

        free(c->name);
        if (c->which != NULL)
            continue;
        for (int k = 0; k < c->classes && c->class_names; k++)
            free(c->class_names[k]);
        free(c->class_names);
        free(c->data);
        nn_pictures_free(c->pictures);
    }
    if (data->base != NULL)
        nn_data_free(data->base);
    free(data->base);
    free(data->chosen);
    free(data->columns);
    free(data->origin);
    *data = (Data){0};
}

void nn_data_keep(Data *data, double bytes)
{
    for (int i = 0; i < data->ncolumns; i++)
        if (data->columns[i].pictures != NULL)
            nn_pictures_keep(data->columns[i].pictures, bytes);
    if (data->base != NULL)
        nn_data_keep(data->base, bytes);
}

bool nn_data_is_read(const Data *data, int column)
{
    const Column *c = &data->columns[column];

    return c->which != NULL ? nn_data_is_read(data->base, c->of) : c->pictures != NULL;
}

int64_t nn_data_left_out(const Data *data)
{
    int64_t n = data->base != NULL ? nn_data_left_out(data->base) : 0;

    for (int i = 0; i < data->ncolumns; i++)
        if (data->columns[i].pictures != NULL)
            n += data->columns[i].pictures->n - data->columns[i].pictures->nkept;
    return n;
}

int nn_data_find(const Data *data, const char *name)
{
    for (int i = 0; i < data->ncolumns; i++)
        if (strcmp(data->columns[i].name, name) == 0)
            return i;
    return -1;
}

const char *nn_data_names(const Data *data, char *to, size_t room)
{
    size_t n = 0;

    to[0] = '\0';
    for (int i = 0; i < data->ncolumns && n < room; i++)
        n += (size_t)snprintf(to + n, room - n, "%s%s", i > 0 ? ", " : "", data->columns[i].name);
    if (n >= room && room > 4)
        strcpy(to + room - 4, "...");
    return to;
}

const void *nn_data_at(const Data *data, int column, int64_t sample, void *room, Fault *f)
{
    const Column *c = &data->columns[column];

    if (c->which != NULL)
        return nn_data_at(data->base, c->of, c->which[sample], room, f);
    if (c->pictures != NULL)
        return nn_pictures_at(c->pictures, sample, room, f);
    return (const char *)c->data + (size_t)(sample * c->size) * nn_type_bytes(c->type);
}

/* Elements that must be read are read to the end of `to`: they are no longer than what becomes of them, and so each is
 * still there when its turn comes. */
static const void *read_behind(const Data *data, int column, int64_t sample, void *to, Fault *f)
{
    const Column *c = &data->columns[column];

    return nn_data_at(data, column, sample, (char *)to + (size_t)c->size * (sizeof(float) - nn_type_bytes(c->type)), f);
}

bool nn_data_floats(const Data *data, int column, int64_t sample, float *to, Fault *f)
{
    const Column *c = &data->columns[column];
    const void *at = read_behind(data, column, sample, to, f);

    if (at == NULL)
        return false;
    switch (c->type) {
    case DATA_F32:
        memmove(to, at, (size_t)c->size * sizeof *to);
        break;
    case DATA_U8:
        for (int64_t i = 0; i < c->size; i++)
            to[i] = ((const uint8_t *)at)[i];
        break;
    case DATA_I32:
        for (int64_t i = 0; i < c->size; i++)
            to[i] = (float)((const int32_t *)at)[i];
        break;
    }
    return true;
}

bool nn_data_ints(const Data *data, int column, int64_t sample, int32_t *to, Fault *f)
{
    const Column *c = &data->columns[column];
    const void *at = read_behind(data, column, sample, to, f);

    if (at == NULL)
        return false;
    switch (c->type) {
    case DATA_F32:
        for (int64_t i = 0; i < c->size; i++) {
            double x = nearbyint((double)((const float *)at)[i]);
            to[i] = x >= INT32_MAX ? INT32_MAX : x <= INT32_MIN ? INT32_MIN : (int32_t)x;
        }
        break;
    case DATA_U8:
        for (int64_t i = 0; i < c->size; i++)
            to[i] = ((const uint8_t *)at)[i];
        break;
    case DATA_I32:
        memmove(to, at, (size_t)c->size * sizeof *to);
        break;
    }
    return true;
}

int32_t nn_data_class(const Data *data, int column, int64_t sample)
{
    int32_t class = 0;
    Fault f = {0};

    nn_data_ints(data, column, sample, &class, &f);
    return class;
}

const char *nn_data_class_name(const Column *c, int class, char *to)
{
    if (c->class_names != NULL && class >= 0 && class < c->classes)
        return c->class_names[class];
    snprintf(to, 16, "%d", class);
    return to;
}

void nn_data_class_counts(const Data *data, int column, const int64_t *samples, int64_t n, int64_t *counts)
{
    const Column *c = &data->columns[column];
    int64_t classes = c->classes > 0 ? c->classes : c->whole_below;

    memset(counts, 0, (size_t)classes * sizeof *counts);
    for (int64_t i = 0; i < n && c->rank == 0; i++)
        counts[nn_data_class(data, column, samples[i])]++;
}
