/* picture.c -- see picture.h: which decoder, then colours, then size. */
#include "data_reader.h"
#include "pixels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_BYTES = 256 << 20, /* of a file */
    HEADER = 16 << 10,      /* bytes that nearly all headers fit into */
    MOST_EXPANSION = 1032,  /* deflate cannot do more; a JPEG spends a bit on each 64 pixels at least */
    POINT = 22,             /* bits of a weight after the point */
};

bool nn_pixels_believe(const Bytes *file, const char *path, uint64_t height, uint64_t width, uint64_t packed, Fault *f)
{
    if (height == 0 || width == 0 || height > NN_MAX_SIDE || width > NN_MAX_SIDE || height * width > MOST_PIXELS)
        return nn_fail(f, EXIT_FILE, "%s: %llu x %llu pixels cannot be read: %d million is the most", path,
                       (unsigned long long)width, (unsigned long long)height, MOST_PIXELS / 1000000);
    if (packed / MOST_EXPANSION > file->n)
        return nn_fail(f, EXIT_FILE, "%s: its header promises %llu x %llu pixels, but the file has only %zu bytes", path,
                       (unsigned long long)width, (unsigned long long)height, file->n);
    return true;
}

bool nn_pixels_new(const char *path, uint64_t height, uint64_t width, int channels, Pixels *p, Fault *f)
{
    *p = (Pixels){.channels = channels, .height = (int)height, .width = (int)width};
    p->at = nn_new(f, path, (size_t)(height * width), (size_t)channels);
    return p->at != NULL;
}

/* --- files --- */

static bool begins(const Bytes *file, const char *with, size_t n)
{
    return file->n >= n && memcmp(file->at, with, n) == 0;
}

/* cover NULL: only the size. */
static bool decode(const Bytes *file, const char *path, const PictureSize *cover, Pixels *p, Fault *f)
{
    if (file->n == 0)
        return nn_fail(f, EXIT_FILE, "%s is empty", path);
    if (begins(file, "\x89PNG\r\n\x1a\n", 8))
        return nn_png_decode(file, path, cover == NULL, p, f);
    if (begins(file, "\xff\xd8\xff", 3))
        return nn_jpeg_decode(file, path, cover == NULL, cover ? 2 * cover->height : 0, cover ? 2 * cover->width : 0, p, f);
    return nn_fail(f, EXIT_FILE, "%s is neither a PNG nor a JPEG picture%s", path, nn_bytes_guess(file->at, file->n));
}

static bool read_pixels(const char *path, const PictureSize *cover, Pixels *p, Fault *f)
{
    Bytes file;
    bool fine;

    *p = (Pixels){0};
    if (!nn_file_read(path, MOST_BYTES, &file, f))
        return false;
    fine = decode(&file, path, cover, p, f);
    free(file.at);
    if (!fine) {
        free(p->at);
        p->at = NULL;
    }
    return fine;
}

/* What is wrong with the beginning of a file may be that it ends too early: then the whole of it is asked. */
bool nn_picture_size(const char *path, PictureSize *size, Fault *f)
{
    Fault cut = {0};
    Pixels p = {0};
    Bytes file;
    bool fine;

    if (!nn_file_read_begin(path, HEADER, &file, f))
        return false;
    fine = decode(&file, path, NULL, &p, &cut);
    free(file.at);
    if (!fine && !read_pixels(path, NULL, &p, f))
        return false;
    *size = (PictureSize){.channels = p.channels, .height = p.height, .width = p.width};
    return true;
}

/* --- size --- */

/* What the pixels of one line of the result are made of: `n` of the old ones each, from `first` on. */
typedef struct Taps {
    int most;   /* room for one pixel's weights */
    int *first, *n;
    int32_t *weights;
} Taps;

static void taps_free(Taps *t)
{
    free(t->first);
    free(t->n);
    free(t->weights);
}

/* One pixel of the result; its centre lies at `centre` among the old ones. */
static void taps_weigh(Taps *t, int i, double centre, double support, int from, double *w)
{
    int first = (int)fmax(centre - support + 0.5, 0), last = (int)fmin(centre + support + 0.5, from);
    double sum = 0;

    for (int k = first; k < last; k++) {
        double away = fabs((k - centre + 0.5) * (1 / support));

        w[k - first] = away < 1 ? 1 - away : 0;
        sum += w[k - first];
    }
    t->first[i] = first;
    t->n[i] = last - first;
    for (int k = 0; k < last - first; k++)
        t->weights[(size_t)i * (size_t)t->most + (size_t)k] = (int32_t)(0.5 + (sum != 0 ? w[k] / sum : w[k]) * (1 << POINT));
}

/* Of `from` pixels become `to`, of which `count` from `skip` on are wanted. */
static bool taps_new(int from, int to, int skip, int count, Taps *t, Fault *f)
{
    double scale = (double)from / to, support = scale > 1 ? scale : 1;
    double *w;

    *t = (Taps){.most = (int)ceil(support) * 2 + 1};
    t->first = nn_new(f, "a picture", (size_t)count, sizeof *t->first);
    t->n = nn_new(f, "a picture", (size_t)count, sizeof *t->n);
    t->weights = nn_new(f, "a picture", (size_t)count * (size_t)t->most, sizeof *t->weights);
    w = nn_new(f, "a picture", (size_t)t->most, sizeof *w);
    for (int i = 0; i < count && f->status == 0; i++)
        taps_weigh(t, i, (skip + i + 0.5) * scale, support, from, w);
    free(w);
    return f->status == 0;
}

static uint8_t to_byte(int32_t x)
{
    x >>= POINT;
    return (uint8_t)(x < 0 ? 0 : x > 255 ? 255 : x);
}

/* One row of `to->width` pixels from one row of `from`. */
static void resample_row(const Taps *t, const uint8_t *from, int channels, int width, uint8_t *to)
{
    for (int x = 0; x < width; x++) {
        const int32_t *w = t->weights + (size_t)x * (size_t)t->most;
        const uint8_t *at = from + (size_t)t->first[x] * (size_t)channels;

        for (int c = 0; c < channels; c++) {
            int32_t sum = 1 << (POINT - 1);

            for (int k = 0; k < t->n[x]; k++)
                sum += at[k * channels + c] * w[k];
            *to++ = to_byte(sum);
        }
    }
}

/* One row of n bytes from the rows that lie n bytes apart. */
static void resample_column(const int32_t *w, int rows, const uint8_t *from, size_t n, uint8_t *to)
{
    for (size_t i = 0; i < n; i++) {
        int32_t sum = 1 << (POINT - 1);

        for (int k = 0; k < rows; k++)
            sum += from[(size_t)k * n + i] * w[k];
        to[i] = to_byte(sum);
    }
}

/* Only the rows that the result needs are resampled. */
static bool resample(const Pixels *p, const Taps *across, const Taps *down, Pixels *to, Fault *f)
{
    size_t n = (size_t)to->width * (size_t)to->channels;
    int first = down->first[0], last = down->first[to->height - 1] + down->n[to->height - 1];
    uint8_t *rows = nn_new(f, "a picture", (size_t)(last - first), n);

    to->at = nn_new(f, "a picture", (size_t)to->height, n);
    if (rows == NULL || to->at == NULL) {
        free(rows);
        return false;
    }
    for (int y = first; y < last; y++)
        resample_row(across, p->at + (size_t)y * (size_t)p->width * (size_t)p->channels, p->channels, to->width,
                     rows + (size_t)(y - first) * n);
    for (int y = 0; y < to->height; y++)
        resample_column(down->weights + (size_t)y * (size_t)down->most, down->n[y], rows + (size_t)(down->first[y] - first) * n, n,
                        to->at + (size_t)y * n);
    free(rows);
    return true;
}

/* Half of an odd rest is rounded to even. */
static int centre(int whole, int part) { return (int)nearbyint((whole - part) / 2.0); }

static bool cover_and_cut(Pixels *p, const PictureSize *want, Fault *f)
{
    int64_t w = p->width, h = p->height;
    bool wide = want->width * h >= want->height * w; /* the width fits exactly */
    int width = wide ? want->width : (int)(want->height * w / h), height = wide ? (int)(want->width * h / w) : want->height;
    Pixels cut = {.channels = p->channels, .height = want->height, .width = want->width};
    Taps across = {0}, down = {0};
    bool fine = taps_new(p->width, width, centre(width, want->width), want->width, &across, f) &&
                taps_new(p->height, height, centre(height, want->height), want->height, &down, f) &&
                resample(p, &across, &down, &cut, f);

    taps_free(&across);
    taps_free(&down);
    free(p->at);
    *p = cut;
    return fine;
}

/* --- colours --- */

static void to_grey(Pixels *p)
{
    size_t n = (size_t)p->width * (size_t)p->height;
    const uint8_t *from = p->at;

    for (size_t i = 0; i < n; i++, from += 3)
        p->at[i] = (uint8_t)((from[0] * 19595 + from[1] * 38470 + from[2] * 7471 + 32768) >> 16);
    p->channels = 1;
}

bool nn_picture_read(const char *path, const PictureSize *want, uint8_t *to, Fault *f)
{
    size_t n = (size_t)want->height * (size_t)want->width;
    Pixels p;

    if (!read_pixels(path, want, &p, f))
        return false;
    if (want->channels == 1 && p.channels == 3)
        to_grey(&p);
    if ((p.height != want->height || p.width != want->width) && !cover_and_cut(&p, want, f)) {
        free(p.at);
        return false;
    }
    for (int c = 0; c < want->channels; c++)
        for (size_t i = 0; i < n; i++)
            to[(size_t)c * n + i] = p.at[i * (size_t)p.channels + (size_t)(p.channels == 3 ? c : 0)];
    free(p.at);
    return true;
}
