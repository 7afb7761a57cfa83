/* data.c -- the readers of binary files: what good files give, and that any bytes at all are answered with a sentence. */
#include "readers.h"

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
        ck_assert(nn_data_floats(&data, 0, 1, image, &f));
        ck_assert(image[0] == 5 && image[3] == 8);
        ck_assert(nn_data_floats(&data, 0, 3, image, &f)); /* the first of the test split */
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
    ck_assert(nn_data_ints(&data, 1, 11, &label, &f));
    ck_assert(nn_data_floats(&data, 0, 11, image, &f));
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
    remove(place("cifar/cifar-10-batches-bin/data_batch_1.bin"));
    put("cifar/cifar-10-batches-bin/data_batch_1", records, 1);
    ck_assert(!open_one("cifar10", "cifar", &data, &f));
    ck_assert_msg(strstr(f.text, "holds the Python version of CIFAR; the binary version, cifar-10-batches-bin, can be read") != NULL, "%s", f.text);
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
        ck_assert(nn_data_floats(&data, nn_data_find(&data, "x"), 2, sample, &f));
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
    put("y.npy", bytes, npy(bytes, 1, "{'descr': '|u1', 'fortran_order': False, 'shape': (3, 2), }\n", "\0\1\2\3\1\2", 6));
    ck_assert(open_two("npy", "x.npy", "y.npy", &data, &f)); /* a class at each place */
    ck_assert(data.columns[1].classes == 4 && data.columns[1].rank == 1);
    ck_assert(nn_data_floats(&data, 1, 1, sample, &f) && sample[0] == 2 && sample[1] == 3);
    nn_data_free(&data);
    ck_assert(open_one("npy", "x.npy", &data, &f)); /* no labels: a picture of itself, say */
    ck_assert(data.ncolumns == 1 && data.n == 3);
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

int main(void)
{
    const TTest *const tests[] = {
        mnist_in_every_spelling, idx_of_every_type, idx_that_is_wrong, idx_labels_out_of_range,
        idx_cut_and_changed, no_memory_for_promises, cifar, npy_good, npy_that_is_wrong};

    return run_tests("data", tests, sizeof tests / sizeof *tests);
}
