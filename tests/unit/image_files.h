/* image_files.h -- folders of pictures for tests, from the files of images.h, in a place that main makes and removes. */
#ifndef IMAGE_FILES_H
#define IMAGE_FILES_H

#include "data.h"

#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "images.h"

enum { GOLDENS = sizeof goldens / sizeof *goldens };

static char top[] = "/tmp/nnc-images-XXXXXX";

static inline const char *place(const char *name)
{
    static char path[4][400];
    static int next;

    next = (next + 1) & 3;
    snprintf(path[next], sizeof path[next], "%s/%s", top, name);
    return path[next];
}

/* Makes the folders above it, too. */
static inline void put(const char *name, const void *bytes, size_t n)
{
    char path[400];
    FILE *to;

    snprintf(path, sizeof path, "%s", place(name));
    for (char *slash = strchr(path + strlen(top) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0777);
        *slash = '/';
    }
    remove(path);
    to = fopen(path, "wb");
    ck_assert_ptr_nonnull(to);
    ck_assert_uint_eq(fwrite(bytes, 1, n, to), n);
    fclose(to);
}

static inline int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static inline void remove_all(const char *path) { nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

static inline bool open_folder(const char *name, const char *size, Data *data, Fault *f)
{
    static const char *const names[] = {"path", "size"};
    nn_value sides[3], parts[2] = {{.kind = NN_TEXT, .text = name}, {.kind = NN_LIST, .parts = sides}};
    nn_value call = {.kind = NN_CALL, .text = "folder", .n = size != NULL ? 2 : 1, .parts = parts, .names = names};

    for (const char *s = size; s != NULL && *s != '\0'; s += strcspn(s, "x"), s += *s == 'x')
        sides[parts[1].n++] = (nn_value){.kind = NN_NUMBER, .number = atof(s)};
    *f = (Fault){0};
    return nn_data_open(&call, top, data, f);
}

static inline void put_golden(const char *name, int golden) { put(name, goldens[2 * golden].file, goldens[2 * golden].n); }

#endif
