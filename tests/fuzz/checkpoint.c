/* checkpoint.c -- any bytes as a checkpoint: refused with a sentence, or every tensor can be read.
 *
 * The checksum hides what lies behind it from the fuzzer; so the same bytes also go through as a foreign file, whose
 * metadata carries none, and through JSON alone. */
#include "checkpoint.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void read_all(const SafeTensors *st)
{
    for (int i = 0; i < st->n; i++) {
        const StTensor *t = &st->tensors[i];
        size_t elements = (size_t)nn_shape_size(t->rank, t->shape);

        if (nn_safetensors_find(st, t->name) == NULL)
            abort();
        for (size_t k = 0; nn_safetensors_has_numbers(t) && k < elements; k++)
            if (nn_safetensors_number(t, k) == 0.125)
                break;
    }
}

static void try_header(const uint8_t *data, size_t n)
{
    Fault f = {0};
    JsonDocument *d = nn_json_parse((const char *)data, n, &f);

    if ((d == NULL) != (f.text[0] != '\0'))
        abort();
    nn_json_free(d);
}

/* The bytes as header and payload of a file with a right length. */
static void try_file(const uint8_t *data, size_t n)
{
    size_t header = n > 0 ? (size_t)data[0] % n : 0;
    uint8_t *bytes = malloc(n + 8);
    SafeTensors st;
    Fault f = {0};

    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)header >> (8 * i));
    if (n > 0)
        memcpy(bytes + 8, data + 1, n - 1);
    if (nn_safetensors_parse(bytes, n > 0 ? n + 7 : 8, &st, &f))
        read_all(&st);
    else if (f.text[0] == '\0')
        abort();
    nn_safetensors_free(&st);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    SafeTensors st;
    Fault f = {0};

    try_header(data, n);
    try_file(data, n);
    if (nn_safetensors_parse(data, n, &st, &f))
        read_all(&st);
    else if (f.text[0] == '\0')
        abort();
    nn_safetensors_free(&st);
    return 0;
}
