/* pixels.h -- between the decoders and picture.c. */
#ifndef NN_PIXELS_H
#define NN_PIXELS_H

#include "file.h"
#include "picture.h"

/* A decoded picture: rows from the top, pixels of 1 or 3 bytes; free at. */
typedef struct Pixels {
    int channels, height, width;
    uint8_t *at;
} Pixels;

/* More than this many pixels are not believed, however small the file. */
enum { MOST_PIXELS = 100 * 1000 * 1000 };

/* Whether a header's size can be true of a file that needs at least `packed` bytes for it before packing. */
bool nn_pixels_believe(const Bytes *file, const char *path, uint64_t height, uint64_t width, uint64_t packed, Fault *f);
bool nn_pixels_new(const char *path, uint64_t height, uint64_t width, int channels, Pixels *p, Fault *f);

/* Each fills p, whose `at` is NULL before; with only_size it takes no memory. A JPEG is made smaller on the way as long
 * as it stays at least `height` high and `width` wide; 0: never. */
bool nn_png_decode(const Bytes *file, const char *path, bool only_size, Pixels *p, Fault *f);
bool nn_jpeg_decode(const Bytes *file, const char *path, bool only_size, int height, int width, Pixels *p, Fault *f);

#endif
