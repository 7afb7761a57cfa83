/* data.c -- the readers of data: what good files give, and that any bytes at all are answered with a sentence. */
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

static const char *place(const char *name)
{
    static char path[4][256];
    static int next;

    next = (next + 1) & 3;
    snprintf(path[next], sizeof path[next], "%s/%s", folder, name);
    return path[next];
}

static void put(const char *name, const void *bytes, size_t n)
{
    FILE *out;

    remove(place(name)); /* some file systems write at once what replaces something */
    out = fopen(place(name), "wb");
    ck_assert_ptr_nonnull(out);
    ck_assert_uint_eq(fwrite(bytes, 1, n, out), n);
    fclose(out);
}

static void put_text(const char *name, const char *text) { put(name, text, strlen(text)); }

static void put_gz(const char *name, const void *bytes, size_t n)
{
    gzFile out;

    remove(place(name));
    out = gzopen(place(name), "wb9");
    ck_assert_int_eq(gzwrite(out, bytes, (unsigned)n), (int)n);
    gzclose(out);
}

/* A source call of texts and numbers: names[i] NULL for positional ones; numbers[i] counts where texts[i] is NULL. */
static nn_value source_call(const char *reader, int n, const char *const *names, const char *const *texts, const double *numbers)
{
    static nn_value parts[2][4];
    static int next;
    nn_value *p = parts[next ^= 1];

    for (int i = 0; i < n; i++)
        p[i] = texts && texts[i] ? (nn_value){.kind = NN_TEXT, .text = texts[i]} : (nn_value){.kind = NN_NUMBER, .number = numbers[i]};
    return (nn_value){.kind = NN_CALL, .text = reader, .n = n, .parts = p, .names = names};
}

static bool open_one(const char *reader, const char *path, Data *data, Fault *f)
{
    nn_value call = source_call(reader, 1, NULL, &path, NULL);

    *f = (Fault){0};
    return nn_data_open(&call, folder, data, f);
}

static bool open_two(const char *reader, const char *a, const char *b, Data *data, Fault *f)
{
    const char *paths[] = {a, b};
    nn_value call = source_call(reader, 2, NULL, paths, NULL);

    *f = (Fault){0};
    return nn_data_open(&call, folder, data, f);
}

/* Whatever the bytes: data that can be read to its last element, or a message that names something. */
static bool survives(bool opened, Data *data, const Fault *f)
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

        for (int64_t s = 0; s < data->n; s++) {
            nn_data_floats(data, i, s, to);
            for (int64_t e = 0; e < c->size; e++)
                ck_assert(isfinite(to[e]) && (c->classes == 0 || (to[e] >= 0 && to[e] < (float)c->classes)));
        }
        free(to);
    }
    nn_data_free(data);
    return true;
}

static float number_at(const Data *data, const char *column, int64_t sample)
{
    int at = nn_data_find(data, column);
    float x;

    ck_assert_int_ge(at, 0);
    ck_assert_int_eq(data->columns[at].rank, 0);
    nn_data_floats(data, at, sample, &x);
    return x;
}

/* --- IDX --- */

/* Three images of 2 x 2, numbered from `from`, and their labels. */
static size_t idx_images(uint8_t *to, int n, int from)
{
    static const uint8_t head[] = {0, 0, 8, 3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 2};

    memcpy(to, head, sizeof head);
    to[7] = (uint8_t)n;
    for (int i = 0; i < 4 * n; i++)
        to[sizeof head + (size_t)i] = (uint8_t)(from + i);
    return sizeof head + 4 * (size_t)n;
}

static size_t idx_labels(uint8_t *to, int n, int first)
{
    static const uint8_t head[] = {0, 0, 8, 1, 0, 0, 0, 0};

    memcpy(to, head, sizeof head);
    to[7] = (uint8_t)n;
    for (int i = 0; i < n; i++)
        to[sizeof head + (size_t)i] = (uint8_t)(first + i);
    return sizeof head + (size_t)n;
}

static void put_mnist(const char *images, const char *labels, bool packed, int n, int from)
{
    uint8_t bytes[200];

    (packed ? put_gz : put)(images, bytes, idx_images(bytes, n, from));
    (packed ? put_gz : put)(labels, bytes, idx_labels(bytes, n, from));
}

START_TEST(mnist_in_every_spelling)
{
    static const char *const spellings[][2] = {
        {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"}, {"train-images.idx3-ubyte", "train-labels.idx1-ubyte"},
        {"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"}, {"train-images.idx3-ubyte.gz", "train-labels.idx1-ubyte.gz"},
    };
    Data data;
    Fault f;
    float image[4];

    put_mnist("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte.gz", false, 2, 7);
    put_mnist("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte", true, 2, 7);
    remove(place("t10k-images-idx3-ubyte"));
    put_mnist("t10k-images-idx3-ubyte", "unused", false, 2, 7);
    put_mnist("unused", "t10k-labels-idx1-ubyte", false, 2, 7);
    for (int i = 0; i < 4; i++) {
        put_mnist(spellings[i][0], spellings[i][1], i >= 2, 3, 1);
        ck_assert_msg(open_one("mnist", ".", &data, &f), "%s: %s", spellings[i][0], f.text);
        ck_assert_int_eq(data.n, 5);
        ck_assert_int_eq(data.own_test, 2);
        ck_assert_int_eq(data.columns[0].rank, 3);
        ck_assert_int_eq(data.columns[0].shape[0], 1);
        ck_assert_int_eq(data.columns[0].type, DATA_U8);
        ck_assert_int_eq(data.columns[1].classes, 10);
        nn_data_floats(&data, 0, 1, image);
        ck_assert(image[0] == 5 && image[3] == 8);
        nn_data_floats(&data, 0, 3, image); /* the first of the test split */
        ck_assert(image[0] == 7);
        ck_assert(number_at(&data, "label", 2) == 3 && number_at(&data, "label", 4) == 8);
        nn_data_free(&data);
        remove(place(spellings[i][0]));
        ck_assert(!open_one("mnist", ".", &data, &f));
        ck_assert_ptr_nonnull(strstr(f.text, "train-images-idx3-ubyte"));
        remove(place(spellings[i][1]));
    }
    ck_assert(!open_one("mnist", "nowhere", &data, &f));
    ck_assert_ptr_nonnull(strstr(f.text, place("nowhere")));
    ck_assert_ptr_nonnull(strstr(f.text, "No such file"));
}
END_TEST

START_TEST(idx_of_every_type)
{
    static const struct { uint8_t type; int n; uint8_t bytes[8]; double value; } rows[] = {
        {8, 1, {200}, 200},
        {9, 1, {200}, -56},
        {11, 2, {0xff, 0xfe}, -2},
        {12, 4, {0, 1, 0, 0}, 65536},
        {13, 4, {0xbf, 0xc0, 0, 0}, -1.5},
        {14, 8, {0x40, 0x09, 0x21, 0xfb, 0x54, 0x44, 0x2d, 0x18}, 3.14159274101257324},
    };
    uint8_t bytes[64], labels[16];
    Data data;
    Fault f;

    put("labels", labels, idx_labels(labels, 1, 4));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        memcpy(bytes, (uint8_t[]){0, 0, rows[i].type, 1, 0, 0, 0, 1}, 8);
        memcpy(bytes + 8, rows[i].bytes, 8);
        put("images", bytes, 8 + (size_t)rows[i].n);
        ck_assert_msg(open_two("idx", "images", "labels", &data, &f), "type %d: %s", rows[i].type, f.text);
        ck_assert_double_eq((double)number_at(&data, "image", 0), rows[i].value);
        ck_assert_int_eq(data.columns[1].classes, 5);
        nn_data_free(&data);
    }
}
END_TEST

START_TEST(idx_that_is_wrong)
{
    static const struct { const char *what; int n; uint8_t bytes[48]; const char *says; } rows[] = {
        {"nothing", 0, {0}, "is empty"},
        {"magic", 8, {1, 0, 8, 1, 0, 0, 0, 1}, "not an IDX file"},
        {"type", 8, {0, 0, 7, 1, 0, 0, 0, 1}, "not an IDX file"},
        {"no sizes", 8, {0, 0, 8, 0, 0, 0, 0, 1}, "announces 0 sizes"},
        {"many sizes", 8, {0, 0, 8, 200, 0, 0, 0, 1}, "announces 200 sizes"},
        {"zero", 8, {0, 0, 8, 1, 0, 0, 0, 0}, "holds nothing"},
        {"more than there is", 9, {0, 0, 8, 1, 0, 0, 0, 2, 5}, "promises 2 bytes"},
        {"huge", 16, {0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}, "multiply to more"},
        {"large", 12, {0, 0, 8, 2, 255, 255, 255, 255, 0, 0, 1, 0}, "promises"},
        {"too long", 10, {0, 0, 8, 1, 0, 0, 0, 1, 5, 6}, "goes on after"},
        {"page", 14, "<!DOCTYPE html", "web page"},
        {"pointer", 44, "version https://git-lfs.github.com/spec/v1\n", "not an IDX file"},
        {"not a number", 12, {0, 0, 13, 1, 0, 0, 0, 1, 0x7f, 0xc0, 0, 0}, "not a number"},
        {"infinite", 12, {0, 0, 13, 1, 0, 0, 0, 1, 0x7f, 0x80, 0, 0}, "infinite"},
        {"beyond float", 16, {0, 0, 14, 1, 0, 0, 0, 1, 0x7f, 0xe0, 0, 0, 0, 0, 0, 0}, "infinite or too large"},
    };
    uint8_t labels[16];
    Data data;
    Fault f;

    put("labels", labels, idx_labels(labels, 1, 4));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        put("images", rows[i].bytes, (size_t)rows[i].n);
        ck_assert_msg(!open_two("idx", "images", "labels", &data, &f), "%s", rows[i].what);
        ck_assert_msg(strstr(f.text, rows[i].says) && strstr(f.text, place("images")), "%s: %s", rows[i].what, f.text);
    }
    put("images", labels, idx_labels(labels, 2, 4));
    ck_assert(!open_two("idx", "images", "labels", &data, &f));
    ck_assert_ptr_nonnull(strstr(f.text, "holds 2 samples"));
    ck_assert(!open_two("idx", ".", "labels", &data, &f));
    ck_assert_ptr_nonnull(strstr(f.text, "it is a folder"));
    mkfifo(place("fifo"), 0600);
    ck_assert(!open_two("idx", "fifo", "labels", &data, &f));
    ck_assert_ptr_nonnull(strstr(f.text, "device or pipe"));
}
END_TEST

START_TEST(idx_labels_out_of_range)
{
    uint8_t bytes[64];
    Data data;
    Fault f;

    put("train-images-idx3-ubyte", bytes, idx_images(bytes, 3, 0));
    put("train-labels-idx1-ubyte", bytes, idx_labels(bytes, 3, 8));
    remove(place("t10k-images-idx3-ubyte")), remove(place("t10k-images-idx3-ubyte.gz"));
    remove(place("t10k-labels-idx1-ubyte")), remove(place("t10k-labels-idx1-ubyte.gz"));
    ck_assert(!open_one("mnist", ".", &data, &f));
    ck_assert_msg(strstr(f.text, "the label of sample 2 is 10") != NULL, "%s", f.text);
    put("train-labels-idx1-ubyte", bytes, idx_labels(bytes, 3, 7));
    ck_assert_msg(open_one("fashion_mnist", ".", &data, &f), "%s", f.text);
    ck_assert_str_eq(data.columns[1].class_names[9], "ankle boot");
    ck_assert_int_eq(data.own_test, 0);
    nn_data_free(&data);
    remove(place("train-images-idx3-ubyte")), remove(place("train-labels-idx1-ubyte"));
}
END_TEST

/* Every length of a file, plain and packed; every byte of it changed. */
START_TEST(idx_cut_and_changed)
{
    uint8_t good[64], bad[64], packed[256];
    size_t n = idx_images(good, 3, 1), np;
    Data data;
    Fault f;
    FILE *in;

    put("labels", bad, idx_labels(bad, 3, 1));
    for (size_t cut = 0; cut <= n; cut++) {
        put("images", good, cut);
        ck_assert_int_eq(survives(open_two("idx", "images", "labels", &data, &f), &data, &f), cut == n);
    }
    for (size_t at = 0; at < n; at++)
        for (int change = 1; change < 256; change += at < 16 ? 1 : 50) {
            memcpy(bad, good, n);
            bad[at] ^= (uint8_t)change;
            put("images", bad, n);
            survives(open_two("idx", "images", "labels", &data, &f), &data, &f);
        }
    put_gz("images", good, n);
    in = fopen(place("images"), "rb");
    np = fread(packed, 1, sizeof packed, in);
    fclose(in);
    for (size_t cut = 0; cut <= np; cut++) {
        put("images", packed, cut);
        ck_assert_int_eq(survives(open_two("idx", "images", "labels", &data, &f), &data, &f), cut == np);
    }
    for (size_t at = 0; at < np; at++) {
        packed[at] ^= 0x55;
        put("images", packed, np);
        survives(open_two("idx", "images", "labels", &data, &f), &data, &f);
        packed[at] ^= 0x55;
    }
    put_gz("images", packed, np);
    ck_assert(!open_two("idx", "images", "labels", &data, &f));
    ck_assert_msg(strstr(f.text, "gzip inside gzip") != NULL, "%s", f.text);
}
END_TEST

START_TEST(no_memory_for_promises)
{
    uint8_t huge[16] = {0, 0, 8, 3, 0, 15, 66, 64, 0, 0, 3, 232, 0, 0, 3, 232}; /* 10^12 bytes, so it says */
    Data data;
    Fault f;

    put_gz("images", huge, sizeof huge);
    put("labels", huge, idx_labels(huge, 1, 0));
    ck_assert(!open_two("idx", "images", "labels", &data, &f));
    ck_assert_msg(strstr(f.text, "promises") != NULL, "%s", f.text);
}
END_TEST

/* --- CIFAR-10 --- */

START_TEST(cifar)
{
    static uint8_t records[2 * 3073];
    char name[64];
    Data data;
    Fault f;
    int32_t label;
    float image[3072];

    mkdir(place("cifar"), 0700), mkdir(place("cifar/cifar-10-batches-bin"), 0700);
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, i < 5 ? "cifar/cifar-10-batches-bin/data_batch_%d.bin" : "cifar/cifar-10-batches-bin/test_batch.bin", i + 1);
        records[0] = (uint8_t)i;
        records[3073] = (uint8_t)(i + 1);
        records[3073 + 3072] = (uint8_t)(100 + i);
        put(name, records, sizeof records);
    }
    ck_assert_msg(open_one("cifar10", "cifar", &data, &f), "%s", f.text);
    ck_assert_int_eq(data.n, 12);
    ck_assert_int_eq(data.own_test, 2);
    nn_data_ints(&data, 1, 11, &label);
    nn_data_floats(&data, 0, 11, image);
    ck_assert_int_eq(label, 6);
    ck_assert(image[3071] == 105);
    ck_assert_str_eq(data.columns[1].class_names[6], "frog");
    nn_data_free(&data);

    records[3073] = 10;
    put(name, records, sizeof records);
    ck_assert(!open_one("cifar10", "cifar", &data, &f));
    ck_assert_msg(strstr(f.text, "the label at byte 3073 is 10") != NULL, "%s", f.text);
    put(name, records, sizeof records - 1);
    ck_assert(!open_one("cifar10", "cifar/cifar-10-batches-bin", &data, &f));
    ck_assert_ptr_nonnull(strstr(f.text, "evenly"));
    remove(place("cifar/cifar-10-batches-bin/test_batch.bin"));
    ck_assert(!open_one("cifar10", "cifar/cifar-10-batches-bin", &data, &f));
    ck_assert_ptr_nonnull(strstr(f.text, "test_batch.bin"));
}
END_TEST

/* --- CSV --- */

START_TEST(csv_good)
{
    Data data;
    Fault f;

    put_text("t.csv", "\xef\xbb\xbf" "a,sepal length (cm) , \"kind\"\r\n\r\n1,2.5,\"b, \"\"x\"\"\"\r\n-3e2, .5 ,a\r\n4,5,\"two\nlines\"");
    ck_assert_msg(open_one("csv", "t.csv", &data, &f), "%s", f.text);
    ck_assert_int_eq(data.n, 3);
    ck_assert_int_eq(data.ncolumns, 3);
    ck_assert(number_at(&data, "a", 1) == -300 && number_at(&data, "sepal_length__cm_", 0) == 2.5f);
    ck_assert_int_eq(data.columns[2].classes, 3);
    ck_assert_str_eq(data.columns[2].class_names[0], "a");
    ck_assert_str_eq(data.columns[2].class_names[1], "b, \"x\"");
    ck_assert_str_eq(data.columns[2].class_names[2], "two\nlines");
    ck_assert(number_at(&data, "kind", 0) == 1 && number_at(&data, "kind", 1) == 0 && number_at(&data, "kind", 2) == 2);
    ck_assert_int_eq(data.columns[0].whole_below, 0);
    nn_data_free(&data);

    put_text("t.tsv", "p\tdigit\n0.5\t3\n1\t0\n");
    ck_assert_msg(open_one("csv", "t.tsv", &data, &f), "%s", f.text);
    ck_assert_int_eq(data.columns[1].whole_below, 4);
    nn_data_free(&data);
}
END_TEST

START_TEST(csv_separator)
{
    static const char *const names[] = {NULL, "separator"};
    const char *texts[] = {"t.csv", ";"};
    nn_value call = source_call("csv", 2, names, texts, NULL);
    Data data;
    Fault f = {0};

    put_text("t.csv", "a;kind;b\n1;yes;2\n3;no;4\n");
    ck_assert_msg(nn_data_open(&call, folder, &data, &f), "%s", f.text);
    ck_assert_int_eq(data.ncolumns, 3);
    ck_assert(number_at(&data, "b", 1) == 4 && number_at(&data, "kind", 0) == 1);
    ck_assert_str_eq(data.columns[1].class_names[1], "yes");
    nn_data_free(&data);
}
END_TEST

START_TEST(csv_that_is_wrong)
{
    static const struct { const char *csv, *says; } rows[] = {
        {"", "is empty"},
        {"\n \n", "is blank"},
        {"a,b\n", "no samples"},
        {"1,2\n3,4\n", "t.csv:1:1: the first line should name the columns"},
        {"a,a\n1,2\n", "t.csv:1:3: two columns are called 'a'"},
        {"a,\n1,2\n", "t.csv:1:3: a column without a name"},
        {"a,b\n1\n", "t.csv:2:1: the line has fewer than the 2 cells"},
        {"a,b\n1,2,3\n", "t.csv:2:3: the line has more than the 2 cells"},
        {"a,b\n1,2\n3,\n", "t.csv:3:3: column 'b': the value is missing"},
        {"a,b\n1,2\n3,NA\n", "t.csv:3:3: column 'b': 'NA' is no value"},
        {"a,b\n1,2\n3,nan\n", "t.csv:3:3: column 'b': 'nan' is no value"},
        {"a,b\n1,2\n3, inf\n", "t.csv:3:4: column 'b': 'inf' is no value"},
        {"a,b\n1,2\n3,1e400\n", "t.csv:3:3: column 'b': 1e400 is too large"},
        {"a,b\n1,2\n3,0x10\n", "t.csv:3:3: column 'b': '0x10' is not a number"},
        {"a,b\n1,2\n3,four\n", "t.csv:3:3: column 'b': 'four' is not a number"},
        {"a,b\n1,\"2\n", "t.csv:2:3: this quote is never closed"},
        {"a,b\n1,\"2\"3\n", "t.csv:2:3: after the closing quote"},
        {"<html>", "web page"},
        {"version https://git-lfs.github.com/spec/v1\n", "Git LFS"},
    };
    Data data;
    Fault f;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        put_text("t.csv", rows[i].csv);
        ck_assert_msg(!open_one("csv", "t.csv", &data, &f), "%s", rows[i].csv);
        ck_assert_msg(strstr(f.text, rows[i].says) != NULL, "%s says %s", rows[i].csv, f.text);
    }
    put("t.csv", "a\n1\0002\n", 6);
    ck_assert(!open_one("csv", "t.csv", &data, &f));
    ck_assert_ptr_nonnull(strstr(f.text, "byte 0"));
}
END_TEST

/* A million bytes of zeros are a thousand packed ones; text that unpacks a thousandfold is a bomb. */
START_TEST(csv_bomb)
{
    struct rlimit limit = {(rlim_t)1 << 32, (rlim_t)1 << 32};
    static char blanks[1 << 20];
    gzFile out = gzopen(place("t.csv"), "wb9");
    Data data;
    Fault f;

    memset(blanks, '\n', sizeof blanks);
    for (int i = 0; i < 64; i++)
        gzwrite(out, blanks, sizeof blanks);
    gzclose(out);
    if (getenv("CK_FORK") == NULL) /* a limit would stay with the other tests */
        setrlimit(RLIMIT_AS, &limit);
    ck_assert(!open_one("csv", "t.csv", &data, &f));
}
END_TEST

static uint32_t bits(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

START_TEST(csv_garbage)
{
    static const char *const pieces[] = {"a", "1", ",", "\n", "\"", "\r\n", "-", "e5", ".", " ", "\t", "nan", "\"\"", "b", ",,", "\xff"};
    uint32_t state = 1;
    char text[200];
    Data data;
    Fault f;
    int good = 0;

    for (int round = 0; round < 3000; round++) {
        text[0] = '\0';
        strcat(text, round & 1 ? "a,b\n" : "a\n");
        for (int i = (int)(bits(&state) % 20); i >= 0; i--)
            strcat(text, pieces[bits(&state) % (sizeof pieces / sizeof *pieces)]);
        put_text("t.csv", text);
        good += survives(open_one("csv", "t.csv", &data, &f), &data, &f);
    }
    ck_assert_int_gt(good, 50);
}
END_TEST

/* --- NPY --- */

static size_t npy(uint8_t *to, int version, const char *dictionary, const void *elements, size_t bytes)
{
    size_t n = strlen(dictionary), head = version == 1 ? 10 : 12;

    memcpy(to, "\x93NUMPY", 6);
    to[6] = (uint8_t)version;
    to[7] = 0;
    to[8] = (uint8_t)n;
    to[9] = (uint8_t)(n >> 8);
    if (version > 1)
        to[10] = to[11] = 0;
    memcpy(to + head, dictionary, n);
    memcpy(to + head + n, elements, bytes);
    return head + n + bytes;
}

START_TEST(npy_good)
{
    uint8_t bytes[400];
    const double x[6] = {1, 2, 3, 4, 5.5, -6};
    const float xf[6] = {1, 2, 3, 4, 5.5f, -6};
    const int64_t y[3] = {0, 2, 1};
    const int32_t signs[3] = {-1, 1, -1};
    Data data;
    Fault f;
    float sample[2];

    for (int version = 1; version <= 3; version++) {
        put("x.npy", bytes, version & 1 ? npy(bytes, version, "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }   \n", x, sizeof x)
                                        : npy(bytes, version, "{'shape': (3, 2), 'fortran_order': False, 'descr': '<f4'}", xf, sizeof xf));
        put("y.npy", bytes, npy(bytes, version, "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }\n", y, sizeof y));
        ck_assert_msg(open_two("npy", "x.npy", "y.npy", &data, &f), "%s", f.text);
        nn_data_floats(&data, nn_data_find(&data, "x"), 2, sample);
        ck_assert(sample[0] == 5.5f && sample[1] == -6 && data.n == 3 && data.columns[0].rank == 1);
        ck_assert(data.columns[1].classes == 3 && number_at(&data, "label", 1) == 2);
        nn_data_free(&data);
    }
    put("y.npy", bytes, npy(bytes, 1, "{'descr': '<i4', 'fortran_order': True, 'shape': (3,), }\n", signs, sizeof signs));
    ck_assert_msg(open_two("npy", "x.npy", "y.npy", &data, &f), "%s", f.text);
    ck_assert(data.columns[1].classes == 0 && number_at(&data, "label", 0) == -1);
    nn_data_free(&data);
    put("y.npy", bytes, npy(bytes, 1, "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }\n", "\1\2\3", 3));
    ck_assert(open_two("npy", "y.npy", "y.npy", &data, &f));
    ck_assert(data.columns[0].type == DATA_U8 && data.columns[1].classes == 4);
    nn_data_free(&data);
}
END_TEST

START_TEST(npy_that_is_wrong)
{
    static const struct { const char *dictionary, *says; } rows[] = {
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }", "type '>f4'"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", "type '|O'"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 1), }", "Fortran order"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (), }", "single number"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (0,), }", "holds nothing"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", "promises 12 bytes"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", "goes on after"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", "multiply to more"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", "cannot make sense"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,2), }", "cannot make sense"},
        {"{'descr': '<f4', 'fortran_order': False}", "cannot make sense"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", "cannot make sense"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", "cannot make sense"},
        {"", "cannot make sense"},
    };
    const float x[2] = {1, 2}, bad[2] = {1, NAN};
    const char *good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
    uint8_t bytes[400];
    Data data;
    Fault f;
    size_t n;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        put("x.npy", bytes, npy(bytes, 1, rows[i].dictionary, x, sizeof x));
        ck_assert_msg(!open_one("npy", "x.npy", &data, &f), "%s", rows[i].dictionary);
        ck_assert_msg(strstr(f.text, rows[i].says) != NULL, "%s says %s", rows[i].dictionary, f.text);
    }
    put("x.npy", bytes, npy(bytes, 1, good, bad, sizeof bad));
    ck_assert(!open_one("npy", "x.npy", &data, &f));
    ck_assert_ptr_nonnull(strstr(f.text, "element 1 is not a number"));
    put("x.npy", bytes, npy(bytes, 4, good, x, sizeof x));
    ck_assert(!open_one("npy", "x.npy", &data, &f));
    ck_assert_ptr_nonnull(strstr(f.text, "version 4.0"));
    n = npy(bytes, 1, good, x, sizeof x);
    for (size_t cut = 0; cut <= n; cut++) {
        put("x.npy", bytes, cut);
        ck_assert_int_eq(survives(open_one("npy", "x.npy", &data, &f), &data, &f), cut == n);
    }
    for (size_t at = 0; at < n; at++)
        for (int change = 1; change < 256; change += 7) {
            bytes[at] ^= (uint8_t)change;
            put("x.npy", bytes, n);
            survives(open_one("npy", "x.npy", &data, &f), &data, &f);
            bytes[at] ^= (uint8_t)change;
        }
}
END_TEST

/* --- points and tables --- */

static void make_points(const char *reader, double n, double noise, double seed, Data *data)
{
    static const char *const names[] = {NULL, "noise", "seed"};
    nn_value call = source_call(reader, 3, names, NULL, (double[]){n, noise, seed});
    Fault f = {0};

    ck_assert_msg(nn_data_open(&call, NULL, data, &f), "%s: %s", reader, f.text);
}

START_TEST(points)
{
    static const char *const readers[] = {"points.spiral", "points.xor", "points.circle", "points.gauss", "points.moons"};
    Data a, b, c;

    for (int r = 0; r < 5; r++) {
        int positive = 0, right = 0;

        make_points(readers[r], 501, 0, 3, &a);
        make_points(readers[r], 501, 0, 3, &b);
        make_points(readers[r], 501, 0.3, 4, &c);
        ck_assert_int_eq(a.n, 501);
        for (int i = 0; i < 501; i++) {
            double x = (double)number_at(&a, "x1", i), y = (double)number_at(&a, "x2", i);
            float label = number_at(&a, "label", i);

            ck_assert(x == (double)number_at(&b, "x1", i) && y == (double)number_at(&b, "x2", i));
            ck_assert(label == 1 || label == -1);
            ck_assert(fabs(x) < 9 && fabs(y) < 9 && isfinite(number_at(&c, "x1", i)));
            positive += label > 0;
            /* the rule of each shape, without noise */
            right += r == 0   ? fabs(hypot(x, y) - 5.0 * (label > 0 ? i / 250.0 : (i - 250) / 251.0)) < 1e-5
                     : r == 1 ? (x * y >= 0) == (label > 0) && fabs(x) >= 0.3 && fabs(y) >= 0.3
                     : r == 2 ? (hypot(x, y) < 2.5) == (label > 0) && (label > 0 || hypot(x, y) > 3.5 - 1e-5)
                     : r == 3 ? (x + y > 0) == (label > 0)
                              : fabs(label > 0 ? hypot(x, y) - 1 : hypot(x - 1, y - 0.5) - 1) < 1e-5;
        }
        ck_assert_int_ge(right, r == 3 ? 495 : 501);
        ck_assert(positive > 200 && positive < 300);
        nn_data_free(&a), nn_data_free(&b), nn_data_free(&c);
    }
}
END_TEST

/* The variance of gauss is 0.5 without noise and 4 at the end of the Playground's slider. */
START_TEST(points_spread)
{
    for (int end = 0; end < 2; end++) {
        Data a;
        double mean = 0, square = 0;

        make_points("points.gauss", 20000, end ? 0.5 : 0, 1, &a);
        for (int i = 0; i < 10000; i++) {
            double x = (double)number_at(&a, "x1", i);
            mean += x / 10000;
            square += x * x / 10000;
        }
        ck_assert_double_eq_tol(mean, 2, 0.1);
        ck_assert_double_eq_tol(square - mean * mean, end ? 4 : 0.5, end ? 0.2 : 0.03);
        nn_data_free(&a);
    }
}
END_TEST

static nn_value numbers_of(int n, nn_value *parts, const double *x)
{
    for (int i = 0; i < n; i++)
        parts[i] = (nn_value){.kind = NN_NUMBER, .number = x[i]};
    return (nn_value){.kind = NN_LIST, .n = n, .parts = parts};
}

START_TEST(tables)
{
    static const char *const names[] = {"x", "label"};
    nn_value a[2], b[2], x[2] = {numbers_of(2, a, (double[]){0, 1}), numbers_of(2, b, (double[]){2, 3.5})};
    nn_value labels[2] = {{.kind = NN_TEXT, .text = "yes"}, {.kind = NN_TEXT, .text = "no"}};
    nn_value columns[2] = {{.kind = NN_LIST, .n = 2, .parts = x}, {.kind = NN_LIST, .n = 2, .parts = labels}};
    nn_value call = {.kind = NN_CALL, .text = "table", .n = 2, .parts = columns, .names = names};
    Data data;
    Fault f = {0};
    float sample[2];

    ck_assert_msg(nn_data_open(&call, NULL, &data, &f), "%s", f.text);
    nn_data_floats(&data, 0, 1, sample);
    ck_assert(sample[0] == 2 && sample[1] == 3.5f && data.columns[0].rank == 1);
    ck_assert(data.columns[1].classes == 2 && number_at(&data, "label", 0) == 1);
    nn_data_free(&data);

    x[1].n = 1;
    ck_assert(!nn_data_open(&call, NULL, &data, &f));
    ck_assert_ptr_nonnull(strstr(f.text, "differ in shape"));
    columns[0].n = 1;
    f = (Fault){0};
    ck_assert(!nn_data_open(&call, NULL, &data, &f));
    ck_assert_ptr_nonnull(strstr(f.text, "'label' has 2 samples, but 'x' 1"));
}
END_TEST

/* --- calls and splits --- */

START_TEST(calls_that_are_wrong)
{
    static const char *const names[] = {"seperator"}, *const twice[] = {NULL, "path"};
    const char *texts[] = {"t.csv", "t.csv"};
    const struct { nn_value call; const char *says; } rows[] = {
        {source_call("minst", 1, NULL, texts, NULL), "did you mean 'mnist'"},
        {source_call("csv", 1, names, texts, NULL), "did you mean 'separator'"},
    };
    nn_value again = source_call("csv", 2, twice, texts, NULL), none = source_call("csv", 0, NULL, NULL, NULL);
    Data data;
    Fault f;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        f = (Fault){0};
        ck_assert(!nn_data_open(&rows[i].call, folder, &data, &f));
        ck_assert_msg(strstr(f.text, rows[i].says) != NULL, "%s", f.text);
    }
    f = (Fault){0};
    ck_assert(!nn_data_open(&again, folder, &data, &f));
    ck_assert_ptr_nonnull(strstr(f.text, "'path' is given twice"));
    f = (Fault){0};
    ck_assert(!nn_data_open(&none, folder, &data, &f));
    ck_assert_ptr_nonnull(strstr(f.text, "'path' must be given"));
    ck_assert(!open_two("points.xor", "a", "b", &data, &f));
    ck_assert_ptr_nonnull(strstr(f.text, "should be a number"));
}
END_TEST

START_TEST(splits)
{
    Data data;
    DataSplit a, b, c;
    Fault f = {0};
    int64_t counts[2], seen = 0;
    int label;

    put_text("t.csv", "x,kind\n1,a\n2,b\n3,a\n4,b\n5,a\n6,b\n7,a\n8,b\n9,a\n10,b\n");
    ck_assert(open_one("csv", "t.csv", &data, &f));
    label = nn_data_find(&data, "kind");
    ck_assert(nn_data_split(&data, 2, 3, 7, &a, &f) && nn_data_split(&data, 2, 3, 7, &b, &f) && nn_data_split(&data, 2, 3, 8, &c, &f));
    ck_assert(a.n[0] == 5 && a.n[1] == 2 && a.n[2] == 3);
    for (int part = 0; part < 3; part++)
        for (int64_t i = 0; i < a.n[part]; i++) {
            ck_assert(a.samples[part][i] == b.samples[part][i] && (i == 0 || a.samples[part][i] > a.samples[part][i - 1]));
            seen |= (int64_t)1 << a.samples[part][i];
        }
    ck_assert_int_eq(seen, 1023);
    ck_assert(memcmp(a.samples[0], c.samples[0], 5 * sizeof(int64_t)) != 0);
    nn_data_class_counts(&data, label, a.samples[0], a.n[0], counts);
    ck_assert_int_eq(counts[0] + counts[1], 5);
    nn_data_split_free(&a), nn_data_split_free(&b), nn_data_split_free(&c);
    ck_assert(!nn_data_split(&data, 5, 5, 0, &a, &f));
    ck_assert_ptr_nonnull(strstr(f.text, "leave none"));
    nn_data_free(&data);
}
END_TEST

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

int main(void)
{
    Suite *suite = suite_create("data");
    TCase *all = tcase_create("readers");
    SRunner *runner;
    int failed;

    if (mkdtemp(folder) == NULL)
        return 1;
    tcase_set_timeout(all, 60);
    tcase_add_test(all, mnist_in_every_spelling);
    tcase_add_test(all, idx_of_every_type);
    tcase_add_test(all, idx_that_is_wrong);
    tcase_add_test(all, idx_labels_out_of_range);
    tcase_add_test(all, idx_cut_and_changed);
    tcase_add_test(all, no_memory_for_promises);
    tcase_add_test(all, cifar);
    tcase_add_test(all, csv_good);
    tcase_add_test(all, csv_separator);
    tcase_add_test(all, csv_that_is_wrong);
    tcase_add_test(all, csv_bomb);
    tcase_add_test(all, csv_garbage);
    tcase_add_test(all, npy_good);
    tcase_add_test(all, npy_that_is_wrong);
    tcase_add_test(all, points);
    tcase_add_test(all, points_spread);
    tcase_add_test(all, tables);
    tcase_add_test(all, calls_that_are_wrong);
    tcase_add_test(all, splits);
    suite_add_tcase(suite, all);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    remove_folder(folder);
    return failed != 0;
}
