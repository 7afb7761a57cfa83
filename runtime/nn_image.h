/* nn_image.h -- a model's weights as a safetensors file in memory.
 *
 * Every model carries this text, as it carries nn_vec.h: it needs neither malloc nor stdio. The file is
 *
 *     8 bytes    length of the header, little endian
 *     header     {"conv1.weight":{"dtype":"F32","shape":[6,1,5,5],"data_offsets":[0,600]}, ...} and blanks
 *     data       the tensors, row-major, one behind the other
 *
 * Nothing in a file is believed before it is checked against the size of the buffer. */
#ifndef NN_IMAGE_H
#define NN_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef NN_IMAGE_NAME /* room for the longest name and the longest shape; a model defines its own */
#define NN_IMAGE_NAME 64
#define NN_IMAGE_SHAPE 64
#endif

/* A tensor of the model; without a shape, "[]", it is one double. Arrays of characters, not pointers, so that the table
 * needs no relocation and stays in read-only memory. */
typedef struct nn_image_tensor {
    char name[NN_IMAGE_NAME];
    char shape[NN_IMAGE_SHAPE]; /* "[6,1,5,5]" */
    size_t offset;              /* bytes from the start of the context */
    size_t row;                 /* floats from one row there to the next; 0: as many as a row has */
} nn_image_tensor;

/* A tensor of the file: where its elements lie and how wide one is (4: float, 8: double). */
typedef struct nn_image_found {
    const unsigned char *data;
    int width;
} nn_image_found;

/* ---- writing ---- */

static inline unsigned char *nn_image_text(unsigned char *to, const char *s)
{
    size_t n = strlen(s);

    memcpy(to, s, n);
    return to + n;
}

static inline unsigned char *nn_image_number(unsigned char *to, uint64_t x)
{
    char digits[24];
    int n = 0;

    do
        digits[n++] = (char)('0' + x % 10);
    while (x /= 10);
    while (n > 0)
        *to++ = (unsigned char)digits[--n];
    return to;
}

static inline bool nn_image_double(const nn_image_tensor *t) { return t->shape[1] == ']'; }

/* How long a row is, the last number of the shape; `rows`: how many there are, the product of the others. */
static inline size_t nn_image_columns(const nn_image_tensor *t, size_t *rows)
{
    size_t columns = 1, number = 0;

    *rows = 1;
    for (const char *s = t->shape + 1; *s && !nn_image_double(t); s++) {
        if (*s >= '0' && *s <= '9') {
            number = 10 * number + (size_t)(*s - '0');
            continue;
        }
        *rows *= columns;
        columns = number;
        number = 0;
    }
    return columns;
}

/* Bytes of one tensor in the file. */
static inline size_t nn_image_bytes(const nn_image_tensor *t)
{
    size_t rows, columns = nn_image_columns(t, &rows);

    return nn_image_double(t) ? 8 : 4 * rows * columns;
}

static inline unsigned char *nn_image_entry_text(unsigned char *text, const nn_image_tensor *t, uint64_t offset)
{
    text = nn_image_text(text, "\"");
    text = nn_image_text(text, t->name);
    text = nn_image_text(text, nn_image_double(t) ? "\":{\"dtype\":\"F64\",\"shape\":" : "\":{\"dtype\":\"F32\",\"shape\":");
    text = nn_image_text(text, t->shape);
    text = nn_image_text(text, ",\"data_offsets\":[");
    text = nn_image_number(text, offset);
    text = nn_image_text(text, ",");
    text = nn_image_number(text, offset + nn_image_bytes(t));
    return nn_image_text(text, "]}");
}

/* Writes all n tensors, as safetensors sorts them: doubles before floats, then by name. `header` is the length of the
 * header with its blanks, so the size of the file is known beforehand. */
static inline void nn_image_write(unsigned char *to, size_t header, const unsigned char *ctx,
                                  const nn_image_tensor *t, int n)
{
    unsigned char *text = to, *data = to + 8 + header;
    uint64_t offset = 0;

    for (int i = 0; i < 8; i++)
        *text++ = (unsigned char)((uint64_t)header >> (8 * i));
    text = nn_image_text(text, "{");
    for (int k = 0; k < 2 * n; k++) {
        const nn_image_tensor *one = &t[k % n];
        size_t rows, columns = nn_image_columns(one, &rows);
        size_t length = nn_image_double(one) ? 8 : 4 * columns, step = one->row ? 4 * one->row : length;
        if (nn_image_double(one) != (k < n)) /* first round: doubles; second: floats */
            continue;
        if (offset > 0)
            text = nn_image_text(text, ",");
        text = nn_image_entry_text(text, one, offset);
        offset += nn_image_bytes(one);
        for (size_t r = 0; r < rows; r++, data += length)
            memcpy(data, ctx + one->offset + r * step, length);
    }
    text = nn_image_text(text, "}");
    while (text < to + 8 + header)
        *text++ = ' ';
}

/* ---- reading ---- */

typedef struct nn_image_cursor {
    const unsigned char *s, *end;
} nn_image_cursor;

static inline void nn_image_blanks(nn_image_cursor *c)
{
    while (c->s < c->end && (*c->s == ' ' || *c->s == '\t' || *c->s == '\n' || *c->s == '\r'))
        c->s++;
}

static inline bool nn_image_is(nn_image_cursor *c, char want)
{
    nn_image_blanks(c);
    if (c->s == c->end || *c->s != (unsigned char)want)
        return false;
    c->s++;
    return true;
}

/* A string between quotes; text and n leave the quotes out and keep escapes as they are. */
static inline bool nn_image_string(nn_image_cursor *c, const unsigned char **text, size_t *n)
{
    if (!nn_image_is(c, '"'))
        return false;
    for (*text = c->s; c->s < c->end && *c->s != '"'; c->s++) {
        if (*c->s < 32)
            return false;
        if (*c->s == '\\' && ++c->s == c->end)
            return false;
    }
    if (c->s == c->end)
        return false;
    *n = (size_t)(c->s++ - *text);
    return true;
}

static inline bool nn_image_whole(nn_image_cursor *c, uint64_t *x)
{
    nn_image_blanks(c);
    const unsigned char *first = c->s;

    for (*x = 0; c->s < c->end && *c->s >= '0' && *c->s <= '9'; c->s++) {
        if (*x > (UINT64_MAX - 9) / 10)
            return false;
        *x = *x * 10 + (uint64_t)(*c->s - '0');
    }
    return c->s > first && (*first != '0' || c->s == first + 1);
}

static inline bool nn_image_equal(const unsigned char *s, size_t n, const char *want)
{
    return strlen(want) == n && memcmp(s, want, n) == 0;
}

/* [6, 1, 5, 5]: its text goes to shape without blanks, cut off where it is longer than any of ours. */
static inline bool nn_image_shape(nn_image_cursor *c, char *shape, uint64_t *count)
{
    unsigned char text[24];
    size_t room = NN_IMAGE_SHAPE - 1, n = 0;
    uint64_t size;

    if (!nn_image_is(c, '['))
        return false;
    *count = 1;
    shape[n++] = '[';
    if (!nn_image_is(c, ']')) {
        do {
            if (!nn_image_whole(c, &size) || (size > 0 && *count > UINT64_MAX / size))
                return false;
            *count *= size;
            size_t digits = (size_t)(nn_image_number(text, size) - text);
            if (n + digits + 1 <= room) {
                memcpy(shape + n, text, digits);
                n += digits;
                shape[n++] = ',';
            }
        } while (nn_image_is(c, ','));
        if (!nn_image_is(c, ']'))
            return false;
        n -= n > 1;
    }
    shape[n < room ? n++ : n] = ']';
    shape[n] = '\0';
    return true;
}

/* {"dtype":..., "shape":[...], "data_offsets":[begin, end]}: each once, in any order. */
typedef struct nn_image_entry {
    char shape[NN_IMAGE_SHAPE];
    int width; /* 0: a type we do not read */
    uint64_t count, begin, end;
} nn_image_entry;

static inline bool nn_image_member(nn_image_cursor *c, nn_image_entry *e, unsigned *seen)
{
    const unsigned char *s;
    size_t n;
    unsigned bit;

    if (!nn_image_string(c, &s, &n) || !nn_image_is(c, ':'))
        return false;
    if (nn_image_equal(s, n, "dtype")) {
        bit = 1;
        if (!nn_image_string(c, &s, &n))
            return false;
        e->width = nn_image_equal(s, n, "F32") ? 4 : nn_image_equal(s, n, "F64") ? 8 : 0;
    } else if (nn_image_equal(s, n, "shape")) {
        bit = 2;
        if (!nn_image_shape(c, e->shape, &e->count))
            return false;
    } else if (nn_image_equal(s, n, "data_offsets")) {
        bit = 4;
        if (!nn_image_is(c, '[') || !nn_image_whole(c, &e->begin) || !nn_image_is(c, ',') ||
            !nn_image_whole(c, &e->end) || !nn_image_is(c, ']'))
            return false;
    } else
        return false;
    if (*seen & bit)
        return false;
    *seen |= bit;
    return true;
}

static inline bool nn_image_describe(nn_image_cursor *c, nn_image_entry *e, uint64_t room)
{
    unsigned seen = 0;

    if (!nn_image_is(c, '{'))
        return false;
    do
        if (!nn_image_member(c, e, &seen))
            return false;
    while (nn_image_is(c, ','));
    return nn_image_is(c, '}') && seen == 7 && e->begin <= e->end && e->end <= room &&
           (e->width == 0 ||
            (e->count <= room / (unsigned)e->width && e->count * (unsigned)e->width == e->end - e->begin));
}

/* "__metadata__": {"format": "pt"}: strings only. */
static inline bool nn_image_metadata(nn_image_cursor *c)
{
    const unsigned char *s;
    size_t n;

    if (!nn_image_is(c, '{'))
        return false;
    if (nn_image_is(c, '}'))
        return true;
    do
        if (!nn_image_string(c, &s, &n) || !nn_image_is(c, ':') || !nn_image_string(c, &s, &n))
            return false;
    while (nn_image_is(c, ','));
    return nn_image_is(c, '}');
}

/* Which of the n tensors, sorted by name, is called so; -1 for none. */
static inline int nn_image_named(const nn_image_tensor *t, int n, const unsigned char *name, size_t length)
{
    int low = 0, high = n - 1;

    while (low <= high) {
        int middle = (low + high) / 2;
        size_t ours = strlen(t[middle].name);
        int order = memcmp(name, t[middle].name, length < ours ? length : ours);
        if (order == 0 && length == ours)
            return middle;
        if (order < 0 || (order == 0 && length < ours))
            high = middle - 1;
        else
            low = middle + 1;
    }
    return -1;
}

/* Finds every one of the n tensors in the file, or returns false: the file is no safetensors file, or one of them
 * is missing or has another shape or type. Further tensors in the file are ignored. */
static inline bool nn_image_read(const unsigned char *file, size_t size, const nn_image_tensor *t, int n,
                                 nn_image_found *found)
{
    uint64_t header = 0;
    int missing = n;

    if (size < 8)
        return false;
    for (int i = 0; i < 8; i++)
        header |= (uint64_t)file[i] << (8 * i);
    if (header > size - 8 || header < 2 || file[8] != '{')
        return false;
    nn_image_cursor c = {file + 8, file + 8 + header};
    uint64_t room = size - 8 - header, used = 0;

    memset(found, 0, (size_t)n * sizeof *found);
    nn_image_is(&c, '{');
    if (!nn_image_is(&c, '}')) {
        do {
            nn_image_entry e = {{0}, 0, 0, 0, 0};
            const unsigned char *name;
            size_t length;
            if (!nn_image_string(&c, &name, &length) || !nn_image_is(&c, ':'))
                return false;
            if (nn_image_equal(name, length, "__metadata__")) {
                if (!nn_image_metadata(&c))
                    return false;
                continue;
            }
            if (!nn_image_describe(&c, &e, room))
                return false;
            used += e.end - e.begin;
            int i = nn_image_named(t, n, name, length);
            if (i < 0)
                continue;
            if (found[i].data || e.width == 0 || strcmp(e.shape, t[i].shape) != 0)
                return false;
            found[i].data = file + 8 + header + e.begin;
            found[i].width = e.width;
            missing--;
        } while (nn_image_is(&c, ','));
        if (!nn_image_is(&c, '}'))
            return false;
    }
    nn_image_blanks(&c);
    return c.s == c.end && missing == 0 && used == room;
}

static inline double nn_image_element(const nn_image_found *f, size_t i)
{
    double x;
    float y;

    if (f->width == 8) {
        memcpy(&x, f->data + 8 * i, 8);
        return x;
    }
    memcpy(&y, f->data + 4 * i, 4);
    return (double)y;
}

/* Puts one found tensor where the context wants it; what is behind its rows is left alone. */
static inline void nn_image_copy(unsigned char *ctx, const nn_image_tensor *t, const nn_image_found *found)
{
    size_t rows, columns = nn_image_columns(t, &rows), row = t->row ? t->row : columns;

    if (nn_image_double(t)) {
        double x = nn_image_element(found, 0);
        memcpy(ctx + t->offset, &x, 8);
        return;
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++) {
            float x = (float)nn_image_element(found, r * columns + c);
            memcpy(ctx + t->offset + 4 * (r * row + c), &x, 4);
        }
}

#endif
