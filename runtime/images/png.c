/* png.c -- PNG files, by libpng. */
#include "pixels.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

typedef struct Reading {
    const Bytes *file;
    size_t used;
    const char *path;
    Pixels *to;
    png_bytep *rows;
    Fault *f;
} Reading;

static void on_error(png_structp png, png_const_charp message)
{
    Reading *r = png_get_error_ptr(png);

    nn_fail(r->f, EXIT_FILE, "%s is no PNG picture that can be read: %s", r->path, message);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png, (void)message; /* what libpng can live with, we can */
}

static void read_bytes(png_structp png, png_bytep to, size_t n)
{
    Reading *r = png_get_io_ptr(png);

    if (n > r->file->n - r->used)
        png_error(png, "it is cut short");
    memcpy(to, r->file->at + r->used, n);
    r->used += n;
}

/* Asks for grey or red, green, blue, 8 bits each, whatever the file has. */
static int want_bytes(png_structp png, png_infop info)
{
    int type = png_get_color_type(png, info);

    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(png);
    if (type == PNG_COLOR_TYPE_GRAY)
        png_set_expand_gray_1_2_4_to_8(png);
    png_set_scale_16(png);
    png_set_strip_alpha(png);
    png_set_interlace_handling(png);
    return type == PNG_COLOR_TYPE_GRAY || type == PNG_COLOR_TYPE_GRAY_ALPHA ? 1 : 3;
}

/* Faults that are not libpng's leave by the same door. */
static void leave_on_fault(png_structp png, bool fine)
{
    if (!fine)
        png_longjmp(png, 1);
}

static void decode(png_structp png, png_infop info, Reading *r, bool only_size)
{
    Pixels *p = r->to;
    uint64_t height, width, packed;
    int channels;

    png_read_info(png, info);
    height = png_get_image_height(png, info);
    width = png_get_image_width(png, info);
    packed = height * ((width * png_get_bit_depth(png, info) * png_get_channels(png, info) + 7) / 8);
    leave_on_fault(png, nn_pixels_believe(r->file, r->path, height, width, packed, r->f));
    channels = want_bytes(png, info);
    if (only_size) {
        *p = (Pixels){.channels = channels, .height = (int)height, .width = (int)width};
        return;
    }
    png_read_update_info(png, info);
    if (png_get_rowbytes(png, info) != width * (unsigned)channels)
        png_error(png, "an unknown kind of pixels");
    leave_on_fault(png, nn_pixels_new(r->path, height, width, channels, p, r->f));
    r->rows = nn_new(r->f, r->path, height, sizeof *r->rows);
    leave_on_fault(png, r->rows != NULL);
    for (size_t y = 0; y < height; y++)
        r->rows[y] = p->at + y * width * (size_t)channels;
    png_read_image(png, r->rows);
}

bool nn_png_decode(const Bytes *file, const char *path, bool only_size, Pixels *p, Fault *f)
{
    Reading r = {.file = file, .path = path, .to = p, .f = f};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;

    if (info == NULL) {
        png_destroy_read_struct(&png, NULL, NULL);
        return nn_fail_memory(f, path, 0);
    }
    if (setjmp(png_jmpbuf(png)) == 0) {
        png_set_read_fn(png, &r, read_bytes);
        png_set_user_limits(png, NN_MAX_SIDE, NN_MAX_SIDE);
        png_set_chunk_malloc_max(png, 8 << 20);
        decode(png, info, &r, only_size);
    }
    png_destroy_read_struct(&png, &info, NULL);
    free(r.rows);
    return f->status == 0;
}
