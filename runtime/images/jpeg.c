/* jpeg.c -- JPEG files, by libjpeg-turbo. */
#include "pixels.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

enum {
    MOST_SCANS = 500,       /* a progressive file has about ten; each costs the time of a whole picture */
    MOST_MEMORY = 1 << 30,  /* the coefficients of a progressive picture of MOST_PIXELS, and a little */
};

typedef struct Reading {
    struct jpeg_error_mgr error; /* first: libjpeg hands out its address */
    struct jpeg_progress_mgr progress;
    struct jpeg_decompress_struct jpeg;
    jmp_buf out;
    const Bytes *file;
    const char *path;
    Pixels *to;
    uint8_t *row; /* four colours */
    Fault *f;
} Reading;

static void on_error(j_common_ptr jpeg)
{
    Reading *r = (Reading *)jpeg->err;
    char message[JMSG_LENGTH_MAX];

    jpeg->err->format_message(jpeg, message);
    nn_fail(r->f, EXIT_FILE, "%s is no JPEG picture that can be read: %s", r->path, message);
    longjmp(r->out, 1);
}

/* Warnings: those that mean wrong pixels are faults; bytes between the segments and odd headers are not. */
static void on_message(j_common_ptr jpeg, int level)
{
    Reading *r = (Reading *)jpeg->err;

    if (level >= 0)
        return;
    switch (jpeg->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
        nn_fail(r->f, EXIT_FILE, "%s is no JPEG picture that can be read: it is cut short", r->path);
        longjmp(r->out, 1);
    case JWRN_HUFF_BAD_CODE:
    case JWRN_BOGUS_PROGRESSION:
    case JWRN_MUST_RESYNC:
        on_error(jpeg);
    }
}

static void on_progress(j_common_ptr jpeg)
{
    Reading *r = (Reading *)jpeg->err;

    if (r->jpeg.input_scan_number > MOST_SCANS) {
        nn_fail(r->f, EXIT_FILE, "%s has more than %d scans: not believed", r->path, MOST_SCANS);
        longjmp(r->out, 1);
    }
}

/* Half the size, a quarter, an eighth, as long as the picture stays large enough. */
static void choose_scale(struct jpeg_decompress_struct *jpeg, int height, int width)
{
    for (unsigned by = 8; by > 1 && height > 0 && width > 0; by /= 2) {
        if (jpeg->image_height / by >= (unsigned)height && jpeg->image_width / by >= (unsigned)width) {
            jpeg->scale_num = 1;
            jpeg->scale_denom = by;
            return;
        }
    }
}

/* Adobe's files hold what is left of the light: 255 - ink. Others hardly exist. */
static void from_cmyk(const uint8_t *from, uint8_t *to, int n)
{
    for (int i = 0; i < n; i++, from += 4, to += 3)
        for (int c = 0; c < 3; c++) {
            unsigned product = (unsigned)from[c] * from[3] + 128;
            to[c] = (uint8_t)((product + (product >> 8)) >> 8); /* product / 255, rounded */
        }
}

static void decode(Reading *r, bool only_size, int height, int width)
{
    struct jpeg_decompress_struct *jpeg = &r->jpeg;
    Pixels *p = r->to;
    bool grey, cmyk;

    jpeg_read_header(jpeg, TRUE);
    if (!nn_pixels_believe(r->file, r->path, jpeg->image_height, jpeg->image_width, (uint64_t)jpeg->image_height * jpeg->image_width, r->f))
        longjmp(r->out, 1);
    grey = jpeg->jpeg_color_space == JCS_GRAYSCALE;
    cmyk = jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK;
    if (only_size) {
        *p = (Pixels){.channels = grey ? 1 : 3, .height = (int)jpeg->image_height, .width = (int)jpeg->image_width};
        return;
    }
    jpeg->out_color_space = grey ? JCS_GRAYSCALE : cmyk ? JCS_CMYK : JCS_RGB;
    choose_scale(jpeg, height, width);
    jpeg_start_decompress(jpeg);
    r->row = cmyk ? nn_new(r->f, r->path, jpeg->output_width, 4) : NULL;
    if (!nn_pixels_new(r->path, jpeg->output_height, jpeg->output_width, grey ? 1 : 3, p, r->f) || (cmyk && r->row == NULL))
        longjmp(r->out, 1);
    while (jpeg->output_scanline < jpeg->output_height) {
        uint8_t *to = p->at + (size_t)jpeg->output_scanline * (size_t)p->width * (size_t)p->channels;
        JSAMPROW row = cmyk ? r->row : to;

        jpeg_read_scanlines(jpeg, &row, 1);
        if (cmyk)
            from_cmyk(r->row, to, p->width);
    }
    jpeg_finish_decompress(jpeg);
}

bool nn_jpeg_decode(const Bytes *file, const char *path, bool only_size, int height, int width, Pixels *p, Fault *f)
{
    Reading r = {.file = file, .path = path, .to = p, .f = f, .progress = {.progress_monitor = on_progress}};

    r.jpeg.err = jpeg_std_error(&r.error);
    r.error.error_exit = on_error;
    r.error.emit_message = on_message;
    if (setjmp(r.out) == 0) {
        jpeg_create_decompress(&r.jpeg);
        r.jpeg.progress = &r.progress;
        r.jpeg.mem->max_memory_to_use = MOST_MEMORY;
        jpeg_mem_src(&r.jpeg, file->at, (unsigned long)file->n);
        decode(&r, only_size, height, width);
    }
    jpeg_destroy_decompress(&r.jpeg);
    free(r.row);
    return f->status == 0;
}
