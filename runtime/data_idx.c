/* data_idx.c -- IDX, the format of MNIST: big-endian, a type, the sizes, the elements.
 *
 *     0 0 type rank   size ... (rank x 32 bits)   elements, the last index fastest
 *
 * The first size counts the samples. Three sizes are grey pictures: a sample gets the shape 1 x height x width. */
#include "data_reader.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Idx {
    Stream s;
    int type;
    int bytes; /* of an element */
    int rank;
    int64_t sizes[NN_MAX_RANK];
    int64_t sample; /* elements of one */
} Idx;

enum { IDX_U8 = 8, IDX_I8 = 9, IDX_I16 = 11, IDX_I32 = 12, IDX_F32 = 13, IDX_F64 = 14, IDX_TYPES = 15 };
static const int type_bytes[IDX_TYPES] = {
    [IDX_U8] = 1, [IDX_I8] = 1, [IDX_I16] = 2, [IDX_I32] = 4, [IDX_F32] = 4, [IDX_F64] = 8,
};

static bool idx_header(Idx *x, Fault *f)
{
    uint8_t head[4], size[4];
    uint64_t bytes;

    if (!nn_stream_read(&x->s, head, 4, "its first four bytes", f))
        return false;
    x->type = head[2];
    x->rank = head[3];
    if (head[0] != 0 || head[1] != 0 || x->type >= IDX_TYPES || type_bytes[x->type] == 0)
        return nn_fail(f, EXIT_FILE, "%s is not an IDX file: it begins with the bytes %02x %02x %02x %02x%s", x->s.path,
                       head[0], head[1], head[2], head[3], nn_bytes_guess(head, 4));
    if (x->rank < 1 || x->rank > NN_MAX_RANK - 1)
        return nn_fail(f, EXIT_FILE, "%s: byte 3 announces %d sizes; 1 to %d can be read", x->s.path, x->rank, NN_MAX_RANK - 1);
    x->bytes = type_bytes[x->type];
    bytes = (uint64_t)x->bytes;
    x->sample = 1;
    for (int i = 0; i < x->rank; i++) {
        if (!nn_stream_read(&x->s, size, 4, "its sizes", f))
            return false;
        x->sizes[i] = (int64_t)size[0] << 24 | (int64_t)size[1] << 16 | (int64_t)size[2] << 8 | (int64_t)size[3];
        if (x->sizes[i] == 0)
            return nn_fail(f, EXIT_FILE, "%s holds nothing: size number %d is 0 (byte %d)", x->s.path, i + 1, 4 + 4 * i);
        if (__builtin_mul_overflow(bytes, (uint64_t)x->sizes[i], &bytes) || bytes > INT64_MAX)
            return nn_fail(f, EXIT_FILE, "%s: the sizes in its header multiply to more than can be (byte %d)", x->s.path, 4 + 4 * i);
        if (i > 0)
            x->sample *= x->sizes[i];
    }
    return nn_stream_holds(&x->s, bytes, "elements", f);
}

static bool idx_open(const char *path, Idx *x, Fault *f)
{
    *x = (Idx){0};
    return nn_stream_open(path, &x->s, f) && idx_header(x, f);
}

/* One big-endian element. */
static double idx_element(int type, const uint8_t *b)
{
    union { uint32_t u; float f; } four;
    union { uint64_t u; double d; } eight = {0};

    switch (type) {
    case IDX_U8: return b[0];
    case IDX_I8: return (int8_t)b[0];
    case IDX_I16: return (int16_t)(b[0] << 8 | b[1]);
    }
    four.u = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | (uint32_t)b[3];
    if (type == IDX_I32)
        return (int32_t)four.u;
    if (type == IDX_F32)
        return (double)four.f;
    for (int i = 0; i < 8; i++)
        eight.u = eight.u << 8 | b[i];
    return eight.d;
}

/* Elements to floats, or to class indices below most (which must be whole). */
static bool idx_convert(Idx *x, Column *c, int64_t first, double most, Fault *f)
{
    uint8_t some[8 * 512];
    int64_t n = x->sizes[0] * x->sample;

    for (int64_t done = 0; done < n;) {
        int64_t part = n - done < 512 ? n - done : 512;

        if (!nn_stream_read(&x->s, some, (size_t)part * (size_t)x->bytes, "its elements", f))
            return false;
        for (int64_t i = 0; i < part; i++) {
            double value = idx_element(x->type, some + i * x->bytes);

            if (c->type == DATA_F32) {
                if (!isfinite((float)value))
                    return nn_fail(f, EXIT_FILE, "%s: element %lld is %s", x->s.path, (long long)(done + i),
                                   isnan(value) ? "not a number" : "infinite or too large");
                ((float *)c->data)[first + done + i] = (float)value;
            } else {
                if (!(value >= 0 && value < most) || value != floor(value))
                    return nn_fail(f, EXIT_FILE, "%s: the label of sample %lld is %g; it should be whole, from 0 to %g",
                                   x->s.path, (long long)(done + i), value, most - 1);
                ((int32_t *)c->data)[first + done + i] = (int32_t)value;
            }
        }
        done += part;
    }
    return true;
}

static bool idx_fill(Idx *x, Column *c, int64_t first, double most, Fault *f)
{
    bool done = c->type == DATA_U8 ? nn_stream_read(&x->s, (uint8_t *)c->data + first * x->sample,
                                                    (size_t)(x->sizes[0] * x->sample), "its elements", f)
                                   : idx_convert(x, c, first * x->sample, most, f);

    return done && nn_stream_end(&x->s, "its last element", f);
}

/* Whether a test file has the same kind of samples as the training file. */
static bool idx_alike(const Idx *a, const Idx *b, Fault *f)
{
    char sa[NN_SHAPE_TEXT], sb[NN_SHAPE_TEXT];

    if (a->type == b->type && nn_shape_equal(a->rank - 1, a->sizes + 1, b->rank - 1, b->sizes + 1))
        return true;
    return nn_fail(f, EXIT_FILE, "%s holds samples of %s (type %d), but %s of %s (type %d)", a->s.path,
                   nn_shape_text(sa, a->rank - 1, a->sizes + 1), a->type, b->s.path,
                   nn_shape_text(sb, b->rank - 1, b->sizes + 1), b->type);
}

/* One column from the training file and, where test is not NULL, the test file. */
static bool idx_column(Data *data, const char *name, Idx *train, Idx *test, int classes, Fault *f)
{
    bool label = classes >= 0;
    Column like = {.type = label ? DATA_I32 : train->type == IDX_U8 ? DATA_U8 : DATA_F32, .rank = train->rank - 1};
    int64_t n = train->sizes[0] + (test ? test->sizes[0] : 0);
    double most = classes > 0 ? classes : 1 << 20; /* more classes than any softmax */
    Column *c;

    if (test != NULL && !idx_alike(train, test, f))
        return false;
    if (label && train->rank != 1)
        return nn_fail(f, EXIT_FILE, "%s should hold labels, one a sample, but has %d sizes", train->s.path, train->rank);
    memcpy(like.shape, train->sizes + 1, sizeof like.shape - sizeof like.shape[0]);
    if (like.rank == 2) {
        like = (Column){.type = like.type, .rank = 3, .shape = {1, train->sizes[1], train->sizes[2]}};
    }
    c = nn_column_add(data, name, &like, n, f);
    if (c == NULL || !idx_fill(train, c, 0, most, f) || (test && !idx_fill(test, c, train->sizes[0], most, f)))
        return false;
    if (label) {
        c->classes = classes;
        for (int64_t i = 0; i < n && classes == 0; i++)
            if (((int32_t *)c->data)[i] >= c->classes)
                c->classes = ((int32_t *)c->data)[i] + 1;
    }
    return true;
}

static bool idx_same_count(const Idx *images, const Idx *labels, Fault *f)
{
    if (images->sizes[0] == labels->sizes[0])
        return true;
    return nn_fail(f, EXIT_FILE, "%s holds %lld samples, but %s %lld labels", images->s.path, (long long)images->sizes[0],
                   labels->s.path, (long long)labels->sizes[0]);
}

/* paths: training images, training labels, test images, test labels; the last two may be NULL, or the last three:
 * new images, to predict. */
static bool idx_read(char *const paths[4], Data *data, int classes, Fault *f)
{
    Idx x[4] = {0};
    int files = paths[2] ? 4 : paths[1] ? 2 : 1;
    bool done = true;

    for (int i = 0; i < files && done; i++)
        done = idx_open(paths[i], &x[i], f);
    for (int i = 0; i + 1 < files && done; i += 2)
        done = idx_same_count(&x[i], &x[i + 1], f);
    done = done && idx_column(data, "image", &x[0], files == 4 ? &x[2] : NULL, -1, f) &&
           (files == 1 || idx_column(data, "label", &x[1], files == 4 ? &x[3] : NULL, classes, f));
    if (done) {
        data->n = x[0].sizes[0] + x[2].sizes[0];
        data->own_test = x[2].sizes[0];
    }
    for (int i = 0; i < files; i++)
        nn_stream_close(&x[i].s);
    return done;
}

/* folder/train-images-idx3-ubyte in one of its spellings: with a dot, packed or not. */
static char *mnist_file(const Call *call, const char *folder, const char *part, const char *kind, bool needed, Fault *f)
{
    size_t room = strlen(folder) + 64;
    char help[NN_HELP];
    char *path = nn_new(f, "a path", room, 1);

    for (size_t i = 0; path != NULL && i < 4; i++) {
        const char *dot = i & 1 ? ".gz" : "";
        snprintf(path, room, "%s/%s%c%s%s", folder, part, i < 2 ? '-' : '.', kind, dot);
        if (nn_file_exists(path))
            return path;
    }
    free(path);
    if (needed)
        nn_fail(f, EXIT_FILE, "%s has no %s-%s (nor %s.%s; packed as .gz or not)%s", folder, part, kind, part, kind,
                nn_call_help(call, 0, help));
    return NULL;
}

static bool mnist_read(const Call *call, const char *otherwise, Data *data, Fault *f)
{
    static const char *const images = "idx3-ubyte", *const labels = "idx1-ubyte";
    const char *folder;
    char *paths[4] = {0}, *found;
    bool done;

    if (!nn_call_text(call, 0, "folder", otherwise, &folder, f))
        return false;
    found = nn_call_find(call, 0, folder, f);
    if (found == NULL)
        return false;
    paths[0] = mnist_file(call, found, "train-images", images, true, f);
    paths[1] = mnist_file(call, found, "train-labels", labels, true, f);
    paths[2] = mnist_file(call, found, "t10k-images", images, false, f);
    paths[3] = mnist_file(call, found, "t10k-labels", labels, paths[2] != NULL, f);
    if (paths[2] == NULL && paths[3] != NULL)
        nn_fail(f, EXIT_FILE, "%s has test labels, but no t10k-images", found);
    done = f->status == 0 && idx_read(paths, data, 10, f);
    data->origin = found;
    for (int i = 0; i < 4; i++)
        free(paths[i]);
    return done;
}

bool nn_read_mnist(const Call *call, Data *data, Fault *f)
{
    return mnist_read(call, NULL, data, f);
}

bool nn_read_fashion_mnist(const Call *call, Data *data, Fault *f)
{
    static const char *const names[] = {"T-shirt/top", "trouser", "pullover", "dress", "coat",
                                        "sandal", "shirt", "sneaker", "bag", "ankle boot"};

    /* where Debian's dataset-fashion-mnist puts it */
    return mnist_read(call, "/usr/share/datasets/fashion-mnist", data, f) &&
           nn_column_name_classes(&data->columns[1], names, f);
}

bool nn_read_idx(const Call *call, Data *data, Fault *f)
{
    static const char *const names[] = {"images", "labels", "test_images", "test_labels"};
    char *paths[4] = {0};
    bool done = true;

    if ((call->setting[2] == NULL) != (call->setting[3] == NULL))
        return nn_fail(f, EXIT_USAGE, "idx: test_images and test_labels go together");
    for (int i = 0; i < (call->setting[2] ? 4 : call->setting[1] ? 2 : 1) && done; i++) {
        const char *path;

        done = nn_call_text(call, i, names[i], NULL, &path, f) && (paths[i] = nn_call_find(call, i, path, f)) != NULL;
    }
    done = done && idx_read(paths, data, 0, f);
    data->origin = paths[0];
    for (int i = 1; i < 4; i++)
        free(paths[i]);
    return done;
}
