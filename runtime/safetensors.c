/* safetensors.c -- see safetensors.h. */
#include "safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { LONGEST_HEADER = 100 * 1000 * 1000 }; /* the format's own limit */

static const struct { const char *name; size_t bits; } dtypes[] = {
    {"BOOL", 8}, {"U8", 8}, {"I8", 8}, {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"U16", 16}, {"I16", 16}, {"F16", 16},
    {"BF16", 16}, {"U32", 32}, {"I32", 32}, {"F32", 32}, {"U64", 64}, {"I64", 64}, {"F64", 64}, {"C64", 64},
};

static size_t dtype_bytes(const Json *j)
{
    if (j == NULL || j->kind != JSON_TEXT)
        return 0;
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
        if (strcmp(dtypes[i].name, j->text) == 0)
            return dtypes[i].bits / 8;
    return 0;
}

/* --- reading --- */

static bool read_shape(const Json *shape, StTensor *t, Fault *f)
{
    if (shape == NULL || shape->kind != JSON_LIST)
        return nn_fail(f, EXIT_FILE, "tensor \"%.100s\" has no shape", t->name);
    if (shape->count > NN_MAX_RANK)
        return nn_fail(f, EXIT_FILE, "tensor \"%.100s\" has %d axes, more than %d", t->name, shape->count,
                       NN_MAX_RANK);
    for (const Json *j = shape->first; j != NULL; j = j->next) {
        if (j->kind != JSON_NUMBER || !j->whole || j->integer < 0)
            return nn_fail(f, EXIT_FILE, "tensor \"%.100s\" has a shape that is no shape", t->name);
        t->shape[t->rank++] = j->integer;
    }
    return true;
}

/* The product of the sizes, in bytes; false where it overflows. */
static bool shape_bytes(const StTensor *t, size_t each, size_t *bytes)
{
    *bytes = each;
    for (int i = 0; i < t->rank; i++)
        if (__builtin_mul_overflow(*bytes, (size_t)t->shape[i], bytes))
            return false;
    return true;
}

static bool read_tensor(const Json *j, const uint8_t *payload, size_t payload_bytes, StTensor *t, Fault *f)
{
    const Json *offsets = nn_json_find(j, "data_offsets"), *begin, *end;
    size_t each = dtype_bytes(nn_json_find(j, "dtype")), bytes;

    t->name = j->key;
    if (strlen(j->key) != j->key_length)
        return nn_fail(f, EXIT_FILE, "the name of tensor \"%.100s\" holds a NUL", t->name);
    if (j->kind != JSON_OBJECT || j->count != 3)
        return nn_fail(f, EXIT_FILE, "tensor \"%.100s\" must have dtype, shape and data_offsets", t->name);
    if (each == 0)
        return nn_fail(f, EXIT_FILE, "tensor \"%.100s\" has an unknown dtype", t->name);
    t->dtype = nn_json_find(j, "dtype")->text;
    if (!read_shape(nn_json_find(j, "shape"), t, f))
        return false;
    if (offsets == NULL || offsets->kind != JSON_LIST || offsets->count != 2)
        return nn_fail(f, EXIT_FILE, "tensor \"%.100s\" must have two data_offsets", t->name);
    begin = offsets->first;
    end = begin->next;
    if (begin->kind != JSON_NUMBER || end->kind != JSON_NUMBER || !begin->whole || !end->whole ||
        begin->integer < 0 || begin->integer > end->integer || (uint64_t)end->integer > payload_bytes)
        return nn_fail(f, EXIT_FILE, "tensor \"%.100s\" lies outside the file", t->name);
    t->data = payload + begin->integer;
    t->bytes = (size_t)(end->integer - begin->integer);
    if (!shape_bytes(t, each, &bytes) || bytes != t->bytes)
        return nn_fail(f, EXIT_FILE, "tensor \"%.100s\" has %zu bytes, not what its shape needs", t->name, t->bytes);
    return true;
}

static bool read_metadata(SafeTensors *st, const Json *j, Fault *f)
{
    if (j->kind != JSON_OBJECT)
        return nn_fail(f, EXIT_FILE, "__metadata__ is not an object");
    for (const Json *note = j->first; note != NULL; note = note->next)
        if (note->kind != JSON_TEXT)
            return nn_fail(f, EXIT_FILE, "__metadata__ holds what is not text");
    st->metadata = j;
    return true;
}

static int data_order(const void *a, const void *b)
{
    const StTensor *x = a, *y = b;

    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static bool read_tensors(SafeTensors *st, const uint8_t *payload, size_t payload_bytes, Fault *f)
{
    const Json *root = nn_json_root(st->document);
    const uint8_t *at = payload;

    st->tensors = nn_new(f, "the table of tensors", (size_t)root->count, sizeof *st->tensors);
    if (st->tensors == NULL)
        return false;
    for (const Json *j = root->first; j != NULL; j = j->next) {
        if (strcmp(j->key, "__metadata__") == 0 ? !read_metadata(st, j, f)
                                                : !read_tensor(j, payload, payload_bytes, &st->tensors[st->n++], f))
            return false;
    }
    qsort(st->tensors, (size_t)st->n, sizeof *st->tensors, data_order);
    for (int i = 0; i < st->n; i++) {
        if (st->tensors[i].data != at)
            return nn_fail(f, EXIT_FILE, "tensor \"%.100s\" %s", st->tensors[i].name,
                           st->tensors[i].data < at ? "overlaps another" : "leaves a hole before it");
        at += st->tensors[i].bytes;
    }
    if (at != payload + payload_bytes)
        return nn_fail(f, EXIT_FILE, "%zu bytes after the last tensor", (size_t)(payload + payload_bytes - at));
    return true;
}

/* The checksum is that of the whole file with its own eight digits as zeros. */
static const char crc_key[] = "\"crc32\":\"";

static uint32_t checksum(const uint8_t *bytes, size_t n, size_t digits)
{
    uLong c = crc32_z(0, bytes, digits);

    c = crc32_z(c, (const uint8_t *)"00000000", 8);
    return (uint32_t)crc32_z(c, bytes + digits + 8, n - digits - 8);
}

static bool check_sum(SafeTensors *st, const uint8_t *bytes, size_t n, size_t header, Fault *f)
{
    const char *stored = nn_safetensors_note(st, "crc32");
    const uint8_t *at;
    char right[16];

    if (stored == NULL && nn_safetensors_note(st, "nnc") == NULL)
        return true;
    at = memmem(bytes + 8, header, crc_key, sizeof crc_key - 1);
    if (stored == NULL || at == NULL || strlen(stored) != 8)
        return nn_fail(f, EXIT_FILE, "its checksum is missing");
    snprintf(right, sizeof right, "%08x", (unsigned)checksum(bytes, n, (size_t)(at - bytes) + sizeof crc_key - 1));
    if (strcmp(right, stored) != 0)
        return nn_fail(f, EXIT_FILE, "its checksum is wrong: some of its bytes have changed");
    st->checked = true;
    return true;
}

bool nn_safetensors_parse(const uint8_t *bytes, size_t n, SafeTensors *st, Fault *f)
{
    uint64_t header = 0;

    *st = (SafeTensors){0};
    if (n < 8)
        return nn_fail(f, EXIT_FILE, "it has %zu bytes, and the length of the header alone takes 8", n);
    for (int i = 8; i-- > 0;)
        header = header << 8 | bytes[i];
    if (header > LONGEST_HEADER || header > n - 8)
        return nn_fail(f, EXIT_FILE, "its header would be longer than the file: no safetensors file, or cut off");
    if (header == 0 || bytes[8] != '{')
        return nn_fail(f, EXIT_FILE, "its header does not begin with '{'");
    st->document = nn_json_parse((const char *)bytes + 8, header, f);
    if (st->document != NULL && read_tensors(st, bytes + 8 + header, n - 8 - header, f) &&
        check_sum(st, bytes, n, header, f))
        return true;
    nn_safetensors_free(st);
    return false;
}

void nn_safetensors_free(SafeTensors *st)
{
    nn_json_free(st->document);
    free(st->tensors);
    *st = (SafeTensors){0};
}

const StTensor *nn_safetensors_find(const SafeTensors *st, const char *name)
{
    for (int i = 0; i < st->n; i++)
        if (strcmp(st->tensors[i].name, name) == 0)
            return &st->tensors[i];
    return NULL;
}

const char *nn_safetensors_note(const SafeTensors *st, const char *key)
{
    const Json *j = nn_json_find(st->metadata, key);

    return j != NULL ? j->text : NULL;
}

bool nn_safetensors_has_numbers(const StTensor *t)
{
    static const char *const known[] = {"F32", "F64", "F16", "BF16", "I64", "I32"};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(t->dtype, known[i]) == 0)
            return true;
    return false;
}

static double half_number(unsigned h)
{
    int exponent = (int)(h >> 10 & 31), mantissa = (int)(h & 1023);
    double x = exponent == 0    ? ldexp(mantissa, -24)
               : exponent == 31 ? (mantissa == 0 ? (double)INFINITY : (double)NAN)
                                : ldexp(mantissa + 1024, exponent - 25);

    return h >> 15 != 0 ? -x : x;
}

double nn_safetensors_number(const StTensor *t, size_t i)
{
    const char *dtype = t->dtype;
    size_t each = strcmp(dtype + 1, "64") == 0 ? 8 : strcmp(dtype + 1, "32") == 0 ? 4 : 2;
    union { double f64; int64_t i64; float f32; int32_t i32; uint32_t u32; uint16_t u16; } x;

    memcpy(&x, t->data + i * each, each);
    if (each == 8)
        return dtype[0] == 'F' ? x.f64 : (double)x.i64;
    if (each == 4)
        return dtype[0] == 'F' ? (double)x.f32 : x.i32;
    if (dtype[0] == 'F')
        return half_number(x.u16);
    x.u32 = (uint32_t)x.u16 << 16; /* BF16 is the upper half of a float */
    return (double)x.f32;
}

/* --- writing --- */

static size_t source_bytes(const StSource *s)
{
    return s->rank == 0 ? sizeof(double) : (size_t)nn_shape_size(s->rank, s->shape) * sizeof(float);
}

static void put_entry(Text *t, const StSource *s, size_t *offset)
{
    size_t bytes = source_bytes(s);

    nn_text_print(t, ",\"");
    nn_text_escape(t, s->prefix, strlen(s->prefix));
    nn_text_escape(t, s->name, strlen(s->name));
    nn_text_print(t, "\":{\"dtype\":\"%s\",\"shape\":[", s->rank == 0 ? "F64" : "F32");
    for (int i = 0; i < s->rank; i++)
        nn_text_print(t, "%s%lld", i > 0 ? "," : "", (long long)s->shape[i]);
    nn_text_print(t, "],\"data_offsets\":[%zu,%zu]}", *offset, *offset + bytes);
    *offset += bytes;
}

static uint8_t *put_data(uint8_t *to, const StSource *s)
{
    size_t bytes = source_bytes(s), width;
    const float *row = s->data;

    if (s->rank < 2 || bytes == 0) {
        memcpy(to, s->data, bytes);
        return to + bytes;
    }
    width = (size_t)s->shape[s->rank - 1] * sizeof(float);
    for (size_t done = 0; done < bytes; done += width, row += s->row)
        memcpy(to + done, row, width);
    return to + bytes;
}

bool nn_safetensors_build(StImage *image, const StSource *tensors, int n, const char *notes, Fault *f)
{
    Text *header = &image->header;
    size_t payload = 0, bytes, digits;
    uint8_t *at;
    char sum[16];

    header->n = 0;
    nn_text_print(header, "{\"__metadata__\":{%s00000000\"%s%s}", crc_key, notes[0] != '\0' ? "," : "", notes);
    /* Doubles first: so everything lies at a multiple of its size. */
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < n; i++)
            if ((tensors[i].rank == 0) == (pass == 0))
                put_entry(header, &tensors[i], &payload);
    nn_text_print(header, "}");
    while (header->n % 8 != 0 && !header->failed)
        nn_text_add(header, " ", 1);
    bytes = 8 + header->n + payload;
    if (bytes > image->room) {
        uint8_t *grown = realloc(image->bytes, bytes);

        if (grown != NULL) {
            image->bytes = grown;
            image->room = bytes;
        }
    }
    if (header->failed || bytes > image->room)
        return nn_fail_memory(f, "a checkpoint", bytes);
    for (int i = 0; i < 8; i++)
        image->bytes[i] = (uint8_t)((uint64_t)header->n >> (8 * i));
    memcpy(image->bytes + 8, header->s, header->n);
    at = image->bytes + 8 + header->n;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < n; i++)
            if ((tensors[i].rank == 0) == (pass == 0))
                at = put_data(at, &tensors[i]);
    image->n = bytes;
    digits = 8 + strlen("{\"__metadata__\":{") + sizeof crc_key - 1;
    snprintf(sum, sizeof sum, "%08x", (unsigned)checksum(image->bytes, bytes, digits));
    memcpy(image->bytes + digits, sum, 8);
    return true;
}

void nn_safetensors_image_free(StImage *image)
{
    free(image->bytes);
    nn_text_free(&image->header);
    *image = (StImage){0};
}
