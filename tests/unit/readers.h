/* readers.h -- what the tests of the readers share: a folder for files, files, and calls of readers. */
#ifndef READERS_H
#define READERS_H

#include "data.h"

#include <check.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static char folder[] = "/tmp/nnc-data-XXXXXX";

/* --- small helpers --- */

static inline const char *place(const char *name)
{
    static char path[4][256];
    static int next;

    next = (next + 1) & 3;
    snprintf(path[next], sizeof path[next], "%s/%s", folder, name);
    return path[next];
}

static inline void put(const char *name, const void *bytes, size_t n)
{
    FILE *out;

    remove(place(name)); /* some file systems write at once what replaces something */
    out = fopen(place(name), "wb");
    ck_assert_ptr_nonnull(out);
    ck_assert_uint_eq(fwrite(bytes, 1, n, out), n);
    fclose(out);
}

static inline void put_text(const char *name, const char *text) { put(name, text, strlen(text)); }

static inline void put_gz(const char *name, const void *bytes, size_t n)
{
    gzFile out;

    remove(place(name));
    out = gzopen(place(name), "wb9");
    ck_assert_int_eq(gzwrite(out, bytes, (unsigned)n), (int)n);
    gzclose(out);
}

/* A source call of texts and numbers: names[i] NULL for positional ones; numbers[i] counts where texts[i] is NULL. */
static inline nn_value source_call(const char *reader, int n, const char *const *names, const char *const *texts, const double *numbers)
{
    static nn_value parts[2][4];
    static int next;
    nn_value *p = parts[next ^= 1];

    for (int i = 0; i < n; i++)
        p[i] = texts && texts[i] ? (nn_value){.kind = NN_TEXT, .text = texts[i]} : (nn_value){.kind = NN_NUMBER, .number = numbers[i]};
    return (nn_value){.kind = NN_CALL, .text = reader, .n = n, .parts = p, .names = names};
}

static inline bool open_one(const char *reader, const char *path, Data *data, Fault *f)
{
    nn_value call = source_call(reader, 1, NULL, &path, NULL);

    *f = (Fault){0};
    return nn_data_open(&call, folder, data, f);
}

static inline bool open_two(const char *reader, const char *a, const char *b, Data *data, Fault *f)
{
    const char *paths[] = {a, b};
    nn_value call = source_call(reader, 2, NULL, paths, NULL);

    *f = (Fault){0};
    return nn_data_open(&call, folder, data, f);
}

/* Whatever the bytes: data that can be read to its last element, or a message that names something. */
static inline bool survives(bool opened, Data *data, const Fault *f)
{
    if (!opened) {
        ck_assert_int_ne(f->status, 0);
        ck_assert_uint_gt(strlen(f->text), 10);
        ck_assert_int_eq(data->ncolumns, 0);
        return false;
    }
    ck_assert_int_gt(data->n, 0);
    for (int i = 0; i < data->ncolumns; i++) {
        const Column *c = &data->columns[i];
        float *to = malloc((size_t)c->size * sizeof *to);
        Fault unread = {0};

        for (int64_t s = 0; s < data->n; s++) {
            ck_assert(nn_data_floats(data, i, s, to, &unread));
            for (int64_t e = 0; e < c->size; e++)
                ck_assert(isfinite(to[e]) && (c->classes == 0 || (to[e] >= 0 && to[e] < (float)c->classes)));
        }
        free(to);
    }
    nn_data_free(data);
    return true;
}

static inline float number_at(const Data *data, const char *column, int64_t sample)
{
    int at = nn_data_find(data, column);
    float x;
    Fault f = {0};

    ck_assert_int_ge(at, 0);
    ck_assert_int_eq(data->columns[at].rank, 0);
    ck_assert(nn_data_floats(data, at, sample, &x, &f));
    return x;
}

static void remove_folder(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;

    while (d && (e = readdir(d)) != NULL) {
        char inner[600];

        if (e->d_name[0] == '.')
            continue;
        snprintf(inner, sizeof inner, "%s/%s", path, e->d_name);
        if (remove(inner) != 0)
            remove_folder(inner);
    }
    if (d)
        closedir(d);
    remove(path);
}

static int run_tests(const char *name, const TTest *const *tests, int n)
{
    Suite *suite = suite_create(name);
    TCase *all = tcase_create("readers");
    SRunner *runner;
    int failed;

    if (mkdtemp(folder) == NULL)
        return 1;
    tcase_set_timeout(all, 60);
    for (int i = 0; i < n; i++)
        tcase_add_test(all, tests[i]);
    suite_add_tcase(suite, all);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    remove_folder(folder);
    return failed != 0;
}

#endif
