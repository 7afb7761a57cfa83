/* safetensors.h -- the file format of checkpoints (https://github.com/huggingface/safetensors).
 *
 *     8 bytes   length of the header, little-endian
 *     header    {"__metadata__": {text: text}, name: {"dtype", "shape", "data_offsets": [begin, end]}, ...}
 *     payload   the tensors, without holes
 *
 * The reader checks all of it before it gives anything out: whatever it accepts is safe to copy from. Files that
 * this writer made also carry a checksum of the whole file in their metadata, under "crc32"; a wrong one is
 * refused. */
#ifndef NN_SAFETENSORS_H
#define NN_SAFETENSORS_H

#include "json.h"
#include "nn.h"

typedef struct StTensor {
    const char *name;
    const char *dtype; /* "F32", "F64", "BF16", ... as in the file */
    int rank;
    int64_t shape[NN_MAX_RANK];
    const uint8_t *data; /* inside the file's bytes; not aligned */
    size_t bytes;
} StTensor;

typedef struct SafeTensors {
    JsonDocument *document;
    const Json *metadata; /* an object of texts, or NULL */
    int n;
    StTensor *tensors; /* in the order of their data */
    bool checked;      /* it carries a checksum, and that is right */
} SafeTensors;

/* `bytes` must outlive the result. */
bool nn_safetensors_parse(const uint8_t *bytes, size_t n, SafeTensors *st, Fault *f);
void nn_safetensors_free(SafeTensors *st);
const StTensor *nn_safetensors_find(const SafeTensors *st, const char *name);
/* The value of a metadata entry, or NULL. */
const char *nn_safetensors_note(const SafeTensors *st, const char *key);
/* Element i of a tensor of numbers (F32 F64 F16 BF16, and the I64 and I32 that PyTorch counts with). */
bool nn_safetensors_has_numbers(const StTensor *t);
double nn_safetensors_number(const StTensor *t, size_t i);

/* --- writing --- */

/* One tensor to be written: floats, or one double where rank is 0. Rows (last axis) lie `row` floats apart. */
typedef struct StSource {
    const char *prefix, *name;
    int rank;
    const int64_t *shape;
    int64_t row;
    const void *data;
} StSource;

/* A file in memory; its room is kept from one save to the next. Starts as all zeros. */
typedef struct StImage {
    uint8_t *bytes;
    size_t n, room;
    Text header;
} StImage;

/* notes: the inside of the __metadata__ object, `"key":"value",...` as JSON, without "crc32". */
bool nn_safetensors_build(StImage *image, const StSource *tensors, int n, const char *notes, Fault *f);
void nn_safetensors_image_free(StImage *image);

#endif
