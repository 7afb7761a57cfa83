/* data_npy.c -- NumPy's .npy: npy("x.npy", "y.npy").
 *
 * Versions 1 to 3, little-endian f4 f8 i4 i8 and u1, C order. The header is a Python dictionary; only the form that
 * numpy.save writes is understood: three keys, in any order. x becomes the column x, y the column label: whole
 * numbers from 0 are classes, others numbers. */
#include "data_reader.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Npy {
    Stream s;
    char type[4]; /* "f4" ... */
    int bytes;
    bool fortran;
    int rank;
    int64_t sizes[NN_MAX_RANK];
    int64_t sample;
} Npy;

/* Reading the dictionary. */
typedef struct Scan {
    const char *at;
} Scan;

static void scan_blanks(Scan *s)
{
    s->at += strspn(s->at, " \n");
}

static bool scan_take(Scan *s, char c)
{
    scan_blanks(s);
    if (*s->at != c)
        return false;
    s->at++;
    return true;
}

static bool scan_text(Scan *s, char *to, size_t room)
{
    size_t n = 0;
    char quote;

    if (!scan_take(s, '\'') && !scan_take(s, '"'))
        return false;
    quote = s->at[-1];
    for (; *s->at != quote; s->at++) {
        if (*s->at == '\0' || n + 1 >= room)
            return false;
        to[n++] = *s->at;
    }
    to[n] = '\0';
    s->at++;
    return true;
}

static bool scan_word(Scan *s, const char *word)
{
    scan_blanks(s);
    if (strncmp(s->at, word, strlen(word)) != 0)
        return false;
    s->at += strlen(word);
    return true;
}

static bool scan_shape(Scan *s, Npy *x)
{
    if (!scan_take(s, '('))
        return false;
    while (!scan_take(s, ')')) {
        int64_t n = 0;
        const char *start;

        if (x->rank == NN_MAX_RANK)
            return false;
        for (start = s->at; *s->at >= '0' && *s->at <= '9'; s->at++)
            if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *s->at - '0', &n))
                return false;
        if (s->at == start)
            return false;
        x->sizes[x->rank++] = n;
        if (!scan_take(s, ','))
            return scan_take(s, ')');
    }
    return true;
}

static bool npy_dictionary(Npy *x, char *descr, size_t room, const char *text)
{
    Scan s = {text};
    char key[16];
    int seen = 0;

    if (!scan_take(&s, '{'))
        return false;
    while (!scan_take(&s, '}')) {
        if (!scan_text(&s, key, sizeof key) || !scan_take(&s, ':'))
            return false;
        if (!strcmp(key, "descr") && !(seen & 1) && scan_text(&s, descr, room))
            seen |= 1;
        else if (!strcmp(key, "fortran_order") && !(seen & 2) && ((x->fortran = scan_word(&s, "True")) || scan_word(&s, "False")))
            seen |= 2;
        else if (!strcmp(key, "shape") && !(seen & 4) && scan_shape(&s, x))
            seen |= 4;
        else
            return false;
        if (!scan_take(&s, ',') && *s.at != '}')
            return false;
    }
    return seen == 7;
}

static bool npy_sizes(Npy *x, const char *descr, Fault *f)
{
    static const struct { const char *descr; int bytes; } types[] = {
        {"<f4", 4}, {"<f8", 8}, {"|u1", 1}, {"<u1", 1}, {"<i4", 4}, {"<i8", 8},
    };
    uint64_t bytes;

    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(descr, types[i].descr)) {
            memcpy(x->type, descr + 1, 3);
            x->bytes = types[i].bytes;
        }
    if (x->bytes == 0)
        return nn_fail(f, EXIT_FILE, "%s holds elements of type '%s'; f4, f8, i4, i8 and u1, little-endian, can be read%s", x->s.path,
                       descr, descr[0] == '>' ? "; write it with x.astype('<f4')" : "");
    if (x->rank < 1)
        return nn_fail(f, EXIT_FILE, "%s holds a single number, not samples", x->s.path);
    if (x->fortran && x->rank > 1)
        return nn_fail(f, EXIT_FILE, "%s is in Fortran order; write it with numpy.ascontiguousarray", x->s.path);
    x->sample = 1;
    bytes = (uint64_t)x->bytes;
    for (int i = 0; i < x->rank; i++) {
        if (x->sizes[i] == 0)
            return nn_fail(f, EXIT_FILE, "%s holds nothing: size number %d is 0", x->s.path, i + 1);
        if (__builtin_mul_overflow(bytes, (uint64_t)x->sizes[i], &bytes) || bytes > INT64_MAX)
            return nn_fail(f, EXIT_FILE, "%s: the sizes in its header multiply to more than can be", x->s.path);
        if (i > 0)
            x->sample *= x->sizes[i];
    }
    return nn_stream_holds(&x->s, bytes, "elements", f);
}

static bool npy_open(const char *path, Npy *x, Fault *f)
{
    uint8_t head[8], size[4];
    char text[4097], descr[32] = "";
    size_t n;

    if (!nn_stream_open(path, &x->s, f) || !nn_stream_read(&x->s, head, 8, "its first eight bytes", f))
        return false;
    if (memcmp(head, "\x93NUMPY", 6) != 0)
        return nn_fail(f, EXIT_FILE, "%s is not an NPY file: it begins with the bytes %02x %02x %02x %02x%s", path, head[0], head[1],
                       head[2], head[3], nn_bytes_guess(head, 8));
    if (head[6] < 1 || head[6] > 3)
        return nn_fail(f, EXIT_FILE, "%s is of version %d.%d of the format; 1 to 3 can be read", path, head[6], head[7]);
    if (!nn_stream_read(&x->s, size, head[6] == 1 ? 2 : 4, "the size of its header", f))
        return false;
    n = (size_t)size[0] | (size_t)size[1] << 8;
    if (head[6] > 1)
        n |= (size_t)size[2] << 16 | (size_t)size[3] << 24;
    if (n >= sizeof text)
        return nn_fail(f, EXIT_FILE, "%s has a header of %zu bytes; %zu are the most", path, n, sizeof text - 1);
    if (!nn_stream_read(&x->s, text, n, "its header", f))
        return false;
    text[n] = '\0';
    if (!npy_dictionary(x, descr, sizeof descr, text))
        return nn_fail(f, EXIT_FILE, "%s: cannot make sense of its header, bytes %llu to %llu, or it has more than %d sizes", path,
                       (unsigned long long)(x->s.at - n), (unsigned long long)(x->s.at - 1), NN_MAX_RANK);
    return npy_sizes(x, descr, f);
}

static double npy_element(const Npy *x, const uint8_t *b)
{
    union { uint64_t u; double d; int64_t i; } eight = {0};
    union { uint32_t u; float f; } four;

    for (int i = x->bytes; i-- > 0;)
        eight.u = eight.u << 8 | b[i];
    four.u = (uint32_t)eight.u;
    if (x->type[0] == 'f')
        return x->bytes == 4 ? (double)four.f : eight.d;
    return x->bytes == 1 ? b[0] : x->bytes == 4 ? (int32_t)four.u : (double)eight.i;
}

static bool npy_fill(Npy *x, Column *c, int64_t first, Fault *f)
{
    uint8_t some[8 * 512];
    int64_t n = x->sizes[0] * x->sample, start = first * x->sample;

    for (int64_t done = 0; done < n;) {
        int64_t part = n - done < 512 ? n - done : 512;

        if (!nn_stream_read(&x->s, some, (size_t)part * (size_t)x->bytes, "its elements", f))
            return false;
        for (int64_t i = 0; i < part; i++) {
            double value = npy_element(x, some + i * x->bytes);

            if (!isfinite((float)value))
                return nn_fail(f, EXIT_FILE, "%s: element %lld is %s", x->s.path, (long long)(done + i),
                               isnan(value) ? "not a number" : "infinite or too large");
            if (c->type == DATA_U8)
                ((uint8_t *)c->data)[start + done + i] = (uint8_t)value;
            else
                ((float *)c->data)[start + done + i] = (float)value;
        }
        done += part;
    }
    return nn_stream_end(&x->s, "its last element", f);
}

/* Labels of a type for whole numbers from 0, one a sample or one at each place of it: classes. */
static void npy_classes(Column *c, const Npy *x, int64_t n)
{
    const float *at = c->data;
    int32_t *to = c->data; /* in place: as large as a float */
    int32_t most = 0;

    if (x->type[0] == 'f')
        return;
    n *= c->size;
    for (int64_t i = 0; i < n; i++) {
        if (at[i] < 0 || at[i] >= 1 << 20)
            return;
        if ((int32_t)at[i] > most)
            most = (int32_t)at[i];
    }
    for (int64_t i = 0; i < n; i++) {
        int32_t class = (int32_t)((const float *)c->data)[i];
        memcpy(&to[i], &class, sizeof class);
    }
    c->type = DATA_I32;
    c->classes = most + 1;
}

static bool npy_column(Data *data, const char *name, Npy *x, Npy *test, Fault *f)
{
    bool label = !strcmp(name, "label");
    Column like = {.type = x->type[0] == 'u' && !label ? DATA_U8 : DATA_F32, .rank = x->rank - 1}, *c;
    int64_t n = x->sizes[0] + test->sizes[0];
    char sa[NN_SHAPE_TEXT], sb[NN_SHAPE_TEXT];

    if (test->rank > 0 && (strcmp(x->type, test->type) != 0 || !nn_shape_equal(x->rank - 1, x->sizes + 1, test->rank - 1, test->sizes + 1)))
        return nn_fail(f, EXIT_FILE, "%s holds samples of %s (%s), but %s of %s (%s)", x->s.path,
                       nn_shape_text(sa, x->rank - 1, x->sizes + 1), x->type, test->s.path,
                       nn_shape_text(sb, test->rank - 1, test->sizes + 1), test->type);
    memcpy(like.shape, x->sizes + 1, sizeof like.shape - sizeof like.shape[0]);
    c = nn_column_add(data, name, &like, n, f);
    if (c == NULL || !npy_fill(x, c, 0, f) || (test->rank > 0 && !npy_fill(test, c, x->sizes[0], f)))
        return false;
    if (label)
        npy_classes(c, x, n);
    return true;
}

bool nn_read_npy(const Call *call, Data *data, Fault *f)
{
    static const char *const settings[] = {"x", "y", "test_x", "test_y"};
    Npy x[4] = {0};
    bool done = true;

    if (call->setting[2] != NULL && (call->setting[1] == NULL) != (call->setting[3] == NULL))
        return nn_fail(f, EXIT_USAGE, "npy: test_x and test_y go together, as x and y do");
    if (call->setting[2] == NULL && call->setting[3] != NULL)
        return nn_fail(f, EXIT_USAGE, "npy: test_y needs test_x");
    for (int i = 0; i < 4 && done; i++) {
        const char *path;
        char *found;

        if (i > 0 && call->setting[i] == NULL)
            continue;
        done = nn_call_text(call, i, settings[i], NULL, &path, f) && (found = nn_call_find(call, i, path, f)) != NULL;
        if (done) {
            done = npy_open(found, &x[i], f);
            free(found);
        }
    }
    for (int i = 0; i < 4 && done; i += 2)
        if (x[i + 1].rank > 0 && x[i].sizes[0] != x[i + 1].sizes[0])
            done = nn_fail(f, EXIT_FILE, "%s holds %lld samples, but %s %lld", x[i].s.path, (long long)x[i].sizes[0],
                           x[i + 1].s.path, (long long)x[i + 1].sizes[0]);
    done = done && npy_column(data, "x", &x[0], &x[2], f) && (x[1].rank == 0 || npy_column(data, "label", &x[1], &x[3], f));
    if (done) {
        data->n = x[0].sizes[0] + x[2].sizes[0];
        data->own_test = x[2].sizes[0];
        data->origin = strdup(x[0].s.path);
    }
    for (int i = 0; i < 4; i++)
        nn_stream_close(&x[i].s);
    return done;
}
