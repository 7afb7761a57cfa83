/* augment.c -- see augment.h. */
#include "augment.h"

#include "nn_random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { AUGMENT_STREAM = 0xa6371, MIXED_STREAM = 0x3137 }; /* apart from the streams of the model, which count from 0 */

static const double pi = 3.14159265358979323846;

/* What is being changed: channels x height x width elements in `at`; `other` has room for the result. */
typedef struct Sample {
    int64_t channels;
    int height, width;
    float *at, *other;
    bool sides;   /* its last two axes are those of the pictures */
    bool label, classes;
    double range; /* of its numbers: 255 for bytes, else 1 */
    bool bytes;
    uint32_t own; /* what this field alone draws */
} Sample;

/* Numbers drawn one after the other. */
typedef struct Draws { uint32_t key, next; } Draws;

static double draw(Draws *d) { return (double)nn_random(d->key, d->next++); }

static double draw_between(Draws *d, double a, double b) { return a + (b - a) * draw(d); }

/* 0 to n - 1. */
static int64_t draw_whole(Draws *d, int64_t n)
{
    uint64_t high = nn_random_bits(d->key, d->next++), low = nn_random_bits(d->key, d->next++);
    return (int64_t)((high << 24 | low) % (uint64_t)n);
}

/* By Box and Muller. */
static double draw_normal(Draws *d)
{
    double u = draw(d) + 0.5 / 16777216, v = draw(d);
    return sqrt(-2 * log(u)) * cos(2 * pi * v);
}

/* Gamma(a), by Marsaglia and Tsang (2000); a below 1 from a + 1. */
static double draw_gamma(Draws *d, double a)
{
    double boost = a < 1 ? pow(draw(d) + 0.5 / 16777216, 1 / a) : 1, m = (a < 1 ? a + 1 : a) - 1.0 / 3, c = 1 / sqrt(9 * m);

    for (;;) {
        double x = draw_normal(d), v = (1 + c * x) * (1 + c * x) * (1 + c * x), u = draw(d) + 0.5 / 16777216;

        if (v > 0 && log(u) < 0.5 * x * x + m - m * v + m * log(v))
            return boost * m * v;
    }
}

/* --- steps --- */

static float *swap(Sample *s, int height, int width)
{
    float *was = s->at;

    s->at = s->other;
    s->other = was;
    s->height = height;
    s->width = width;
    return was;
}

static void pad(Sample *s, const struct AugmentStep *step, Draws *d)
{
    int n = (int)step->a, h = s->height, w = s->width;
    const float *from = swap(s, h + 2 * n, w + 2 * n);

    (void)d;
    memset(s->at, 0, (size_t)s->channels * (size_t)s->height * (size_t)s->width * sizeof *s->at);
    for (int64_t c = 0; c < s->channels; c++)
        for (int y = 0; y < h; y++)
            memcpy(s->at + (c * s->height + y + n) * s->width + n, from + (c * h + y) * w, (size_t)w * sizeof *from);
}

static void random_crop(Sample *s, const struct AugmentStep *step, Draws *d)
{
    int h = s->height, w = s->width, height = (int)step->a, width = (int)step->b;
    int64_t top = draw_whole(d, h - height + 1), left = draw_whole(d, w - width + 1);
    const float *from = swap(s, height, width);

    for (int64_t c = 0; c < s->channels; c++)
        for (int y = 0; y < height; y++)
            memcpy(s->at + (c * height + y) * width, from + (c * h + y + top) * w + left, (size_t)width * sizeof *from);
}

static void random_flip(Sample *s, const struct AugmentStep *step, Draws *d)
{
    if (draw(d) >= step->a)
        return;
    for (int64_t row = 0; row < s->channels * s->height; row++) {
        float *at = s->at + row * s->width;

        for (int i = 0, k = s->width - 1; i < k; i++, k--) {
            float kept = at[i];

            at[i] = at[k];
            at[k] = kept;
        }
    }
}

static void shift(Sample *s, const struct AugmentStep *step, Draws *d)
{
    int64_t n = (int64_t)step->a, h = s->height, w = s->width;
    int64_t down = draw_whole(d, 2 * n + 1) - n, right = draw_whole(d, 2 * n + 1) - n;
    int64_t first = right > 0 ? right : 0, last = right < 0 ? w + right : w;
    const float *from = swap(s, s->height, s->width);

    memset(s->at, 0, (size_t)(s->channels * h * w) * sizeof *s->at);
    for (int64_t c = 0; c < s->channels; c++)
        for (int64_t y = 0; y < h; y++)
            if (y - down >= 0 && y - down < h && first < last)
                memcpy(s->at + (c * h + y) * w + first, from + (c * h + y - down) * w + first - right, (size_t)(last - first) * sizeof *from);
}

/* The pixels around a place, and their shares: 0 outside. */
typedef struct Around {
    int64_t at[4];
    float share[4];
} Around;

static Around around(const Sample *s, double y, double x)
{
    double top = floor(y), left = floor(x);
    float down = (float)(y - top), right = (float)(x - left);
    float shares[4] = {(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right};
    Around a;

    for (int i = 0; i < 4; i++) {
        int64_t row = (int64_t)top + i / 2, column = (int64_t)left + i % 2;
        bool inside = row >= 0 && row < s->height && column >= 0 && column < s->width;

        a.at[i] = inside ? row * s->width + column : 0;
        a.share[i] = inside ? shares[i] : 0;
    }
    return a;
}

/* The pixel at (y, x) from the centre comes from (yy y + yx x, xy y + xx x). */
static void warp(Sample *s, double yy, double yx, double xy, double xx)
{
    int h = s->height, w = s->width;
    double middle = (h - 1) / 2.0, centre = (w - 1) / 2.0;
    const float *from = swap(s, h, w);

    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            double v = middle + yy * (y - middle) + yx * (x - centre), u = centre + xy * (y - middle) + xx * (x - centre);
            Around a = s->classes ? around(s, floor(v + 0.5), floor(u + 0.5)) : around(s, v, u);

            for (int64_t c = 0; c < s->channels; c++) {
                const float *plane = from + c * h * w;

                s->at[(c * h + y) * w + x] = plane[a.at[0]] * a.share[0] + plane[a.at[1]] * a.share[1] +
                                             plane[a.at[2]] * a.share[2] + plane[a.at[3]] * a.share[3];
            }
        }
}

static void rotate(Sample *s, const struct AugmentStep *step, Draws *d)
{
    double angle = draw_between(d, -step->a, step->a) * pi / 180;

    warp(s, cos(angle), -sin(angle), sin(angle), cos(angle));
}

static void scale(Sample *s, const struct AugmentStep *step, Draws *d)
{
    double by = 1 / draw_between(d, step->a, step->b);

    warp(s, by, 0, 0, by);
}

static void cutout(Sample *s, const struct AugmentStep *step, Draws *d)
{
    int64_t n = (int64_t)step->a, top = draw_whole(d, s->height) - n / 2, left = draw_whole(d, s->width) - n / 2;

    for (int64_t c = 0; c < s->channels; c++)
        for (int64_t y = top < 0 ? 0 : top; y < top + n && y < s->height; y++)
            for (int64_t x = left < 0 ? 0 : left; x < left + n && x < s->width; x++)
                s->at[(c * s->height + y) * s->width + x] = 0;
}

static float grey(const Sample *s, int64_t i, int64_t n)
{
    return s->channels == 3 ? 0.299f * s->at[i] + 0.587f * s->at[i + n] + 0.114f * s->at[i + 2 * n] : s->at[i];
}

static float keep(const Sample *s, float x)
{
    return !s->bytes ? x : x < 0 ? 0 : x > 255 ? 255 : x;
}

static void jitter(Sample *s, const struct AugmentStep *step, Draws *d)
{
    int64_t n = (int64_t)s->height * s->width, all = s->channels * n;
    float brightness = (float)draw_between(d, 1 - step->a, 1 + step->a);
    float contrast = (float)draw_between(d, 1 - step->a, 1 + step->a);
    float saturation = (float)draw_between(d, 1 - step->a, 1 + step->a);
    double sum = 0;
    float mean;

    if (s->channels != 1 && s->channels != 3)
        return;
    for (int64_t i = 0; i < all; i++)
        s->at[i] = keep(s, s->at[i] * brightness);
    for (int64_t i = 0; i < n; i++)
        sum += (double)grey(s, i, n);
    mean = (float)(sum / (double)n);
    for (int64_t i = 0; i < all; i++)
        s->at[i] = keep(s, mean + (s->at[i] - mean) * contrast);
    for (int64_t i = 0; i < n && s->channels == 3; i++) {
        float g = grey(s, i, n);

        for (int c = 0; c < 3; c++)
            s->at[i + c * n] = keep(s, g + (s->at[i + c * n] - g) * saturation);
    }
}

static void noise(Sample *s, const struct AugmentStep *step, Draws *d)
{
    int64_t n = s->channels * s->height * s->width;
    float by = (float)(step->a * s->range);

    d->key ^= s->own; /* fields do not share their noise */
    for (int64_t i = 0; i < n; i += 2) { /* Box and Muller give two at a time */
        float u = nn_random(d->key, d->next) + 0.5f / 16777216, v = nn_random(d->key, d->next + 1);
        float r = by * sqrtf(-2 * logf(u)), angle = (float)(2 * pi) * v;

        d->next += 2;
        s->at[i] += r * cosf(angle);
        if (i + 1 < n)
            s->at[i + 1] += r * sinf(angle);
    }
}

/* --- the chain --- */

enum { KIND_PAD, KIND_CROP, KIND_FLIP, KIND_MIXUP, KINDS = 10 };
static const struct {
    const char *name;
    int needed, most;  /* numbers */
    double least;      /* the smallest that each may be */
    int work;          /* time, in copies of the sample */
    bool sides;        /* moves the pixels of a picture: everything that lies on them moves along */
    bool labels;       /* changes labels as well as inputs */
    void (*change)(Sample *s, const struct AugmentStep *step, Draws *d);
} kinds[KINDS] = {
    [KIND_PAD] = {"pad", 1, 1, 0, 1, true, true, pad},
    [KIND_CROP] = {"random_crop", 1, 2, 1, 1, true, true, random_crop},
    [KIND_FLIP] = {"random_flip", 0, 1, 0, 1, true, true, random_flip},
    [KIND_MIXUP] = {"mixup", 1, 1, 0.001, 2, false, true, NULL},
    {"rotate", 1, 1, 0, 40, true, true, rotate},
    {"shift", 1, 1, 0, 1, true, true, shift},
    {"scale", 2, 2, 0.01, 40, true, true, scale},
    {"cutout", 1, 1, 1, 1, true, false, cutout},
    {"jitter", 1, 1, 0, 10, true, false, jitter},
    {"noise", 1, 1, 0, 70, false, false, noise},
};

int nn_augment_work(const Augment *a)
{
    int work = 0;

    for (int i = 0; i < a->nsteps; i++)
        work = (a->steps[i].kind == KIND_MIXUP ? 2 * work : work) + kinds[a->steps[i].kind].work;
    return work;
}

uint32_t nn_augment_key(uint64_t seed, int64_t epoch)
{
    return nn_random_key(seed, (uint64_t)epoch, AUGMENT_STREAM);
}

static uint32_t sample_key(uint32_t key, int64_t sample)
{
    return nn_mix(nn_mix((uint32_t)sample * 0x9e3779b9u + key) ^ (uint32_t)((uint64_t)sample >> 32) ^ key);
}

/* What a field is made from, and in which rooms. */
typedef struct Making {
    const Augment *a;
    float *const *room;
    const Data *data;
    const nn_field *field;
    int column;
    Fault *f;
} Making;

static bool load(const Making *m, int64_t sample, float *to, float *other, Sample *s)
{
    const Augment *a = m->a;
    const nn_field *field = m->field;
    const Column *c = &m->data->columns[m->column];

    *s = (Sample){.channels = c->size, .height = 1, .width = 1, .at = to, .other = other, .label = field->label,
                  .classes = field->classes > 0, .bytes = c->type == DATA_U8, .range = c->type == DATA_U8 ? 255 : 1,
                  .own = nn_mix((uint32_t)m->column + 1)};

    if (a->height > 0 && c->rank >= 2 && c->shape[c->rank - 2] == a->height && c->shape[c->rank - 1] == a->width) {
        s->height = a->height;
        s->width = a->width;
        s->channels = c->size / ((int64_t)a->height * a->width);
        s->sides = true;
    }
    return nn_data_floats(m->data, m->column, sample, to, m->f);
}

static bool change(const Making *m, int steps, uint32_t key, Sample *s);

/* l x + (1 - l) y; y is made in the third room and in the one that x does not need at the moment. */
static bool mixup(const Making *m, int step, uint32_t key, Draws *d, Sample *s)
{
    const Augment *a = m->a;
    int64_t with = a->train[draw_whole(d, a->ntrain)], n = s->channels * s->height * s->width;
    double x = draw_gamma(d, a->steps[step].a + 1), y = draw_gamma(d, a->steps[step].a);
    float l = (float)(x / (x + y));
    Sample other;

    if (s->classes)
        return true;
    if (!load(m, with, m->room[2], s->other, &other) || !change(m, step, nn_mix(key ^ MIXED_STREAM), &other))
        return false;
    for (int64_t i = 0; i < n; i++)
        s->at[i] = l * s->at[i] + (1 - l) * other.at[i];
    return true;
}

static bool change(const Making *m, int steps, uint32_t key, Sample *s)
{
    for (int i = 0; i < steps; i++) {
        const struct AugmentStep *step = &m->a->steps[i];
        Draws d = {.key = nn_mix(key ^ ((uint32_t)(i + 1) * 0x85ebca6bu))};

        if ((kinds[step->kind].sides && !s->sides) || (!kinds[step->kind].labels && s->label))
            continue;
        if (step->kind == KIND_MIXUP) {
            if (!mixup(m, i, key, &d, s))
                return false;
        } else if (kinds[step->kind].labels || !s->classes) {
            kinds[step->kind].change(s, step, &d);
        }
    }
    return true;
}

bool nn_augment_field(const Augment *a, float *const room[3], uint32_t key, const Data *data, const nn_field *field, int column,
                      int64_t sample, void *to, Fault *f)
{
    Making m = {a, room, data, field, column, f};
    Sample s;
    int64_t n;

    if (!load(&m, sample, room[0], room[1], &s) || !change(&m, a->nsteps, sample_key(key, sample), &s))
        return false;
    n = s.channels * s.height * s.width;
    if (field->classes == 0)
        memcpy(to, s.at, (size_t)n * sizeof *s.at);
    for (int64_t i = 0; i < n && field->classes > 0; i++)
        ((int32_t *)to)[i] = (int32_t)s.at[i];
    return true;
}

/* --- opening --- */

static bool read_step(const nn_value *v, struct AugmentStep *step, Fault *f)
{
    const char *names[KINDS];
    const char *near;

    for (int i = 0; i < KINDS; i++)
        names[i] = kinds[i].name;
    for (step->kind = 0; step->kind < KINDS && strcmp(names[step->kind], v->text) != 0;)
        step->kind++;
    near = nn_nearest(v->text, names, KINDS);
    if (step->kind == KINDS)
        return nn_fail(f, EXIT_USAGE, "there is no augmentation '%s'%s%s%s", v->text, near ? "; did you mean " : "", near ? near : "",
                       near ? "?" : "");
    if (v->n < kinds[step->kind].needed || v->n > kinds[step->kind].most)
        return nn_fail(f, EXIT_USAGE, "%s takes %d numbers, but gets %d", v->text, kinds[step->kind].most, v->n);
    for (int i = 0; i < v->n; i++)
        if (v->parts[i].kind != NN_NUMBER || !(v->parts[i].number >= kinds[step->kind].least && v->parts[i].number <= 1e6))
            return nn_fail(f, EXIT_USAGE, "%s wants numbers from %g on", v->text, kinds[step->kind].least);
    step->a = v->n > 0 ? v->parts[0].number : 0.5;
    step->b = v->n > 1 ? v->parts[1].number : step->a;
    return true;
}

/* The size after the steps, and the largest on the way. */
static bool follow(const Augment *a, int *height, int *width, int64_t *most, Fault *f)
{
    *most = (int64_t)*height * *width;
    for (int i = 0; i < a->nsteps; i++) {
        const struct AugmentStep *step = &a->steps[i];

        if (step->kind == KIND_PAD) {
            *height += 2 * (int)step->a;
            *width += 2 * (int)step->a;
        } else if (step->kind == KIND_CROP) {
            if (step->a > *height || step->b > *width || step->a < 1 || step->b < 1)
                return nn_fail(f, EXIT_USAGE, "random_crop: %g x %g pixels cannot be cut out of %d x %d", step->a, step->b, *height, *width);
            *height = (int)step->a;
            *width = (int)step->b;
        }
        if ((int64_t)*height * *width > *most)
            *most = (int64_t)*height * *width;
    }
    return true;
}

/* Pictures: the first input of rank 3. */
static void find_pictures(const nn_program *p, const Data *data, const int *columns, Augment *a)
{
    for (int i = 0; i < p->nfields && a->height == 0; i++) {
        const Column *c = columns[i] >= 0 ? &data->columns[columns[i]] : NULL;

        if (c != NULL && !p->fields[i].label && c->rank == 3 && c->shape[1] <= 1 << 20 && c->shape[2] <= 1 << 20) {
            a->height = (int)c->shape[1];
            a->width = (int)c->shape[2];
        }
    }
}

static bool check_steps(const Augment *a, const Data *data, Fault *f)
{
    for (int i = 0; i < a->nsteps; i++)
        if (kinds[a->steps[i].kind].sides && a->height == 0)
            return nn_fail(f, EXIT_USAGE, "%s is for pictures, and the data (%s) has none", kinds[a->steps[i].kind].name, data->origin);
    return true;
}

/* What the model gets must be what the steps leave. */
static bool check_fields(const nn_program *p, const Data *data, const int *columns, const Augment *a, int64_t most, int64_t *room, Fault *f)
{
    int height = a->height, width = a->width;
    int64_t ignored;

    follow(a, &height, &width, &ignored, f);
    for (int i = 0; i < p->nfields; i++) {
        const Column *c = columns[i] >= 0 ? &data->columns[columns[i]] : NULL;
        int64_t planes;

        if (c == NULL)
            continue;
        if (c->size > *room)
            *room = c->size;
        if (a->height == 0 || c->rank < 2 || c->shape[c->rank - 2] != a->height || c->shape[c->rank - 1] != a->width)
            continue;
        planes = c->size / ((int64_t)a->height * a->width);
        if (planes * most > *room)
            *room = planes * most;
        if (nn_shape_size(p->fields[i].rank, p->fields[i].shape) != planes * height * width)
            return nn_fail(f, EXIT_USAGE, "%s has %d x %d pixels after the augmentation, which is not what the model takes",
                           p->fields[i].name, height, width);
    }
    return true;
}

bool nn_augment_open(const nn_program *p, const Data *data, const int *columns, Augment *a, Fault *f)
{
    const nn_value *v = NULL;
    int64_t most;
    int height, width;

    *a = (Augment){0};
    for (int i = 0; i < p->ndata; i++)
        if (strcmp(p->data[i].name, "augment") == 0)
            v = &p->data[i].value;
    if (v == NULL || v->n == 0)
        return true;
    if (v->kind != NN_LIST || v->n > NN_MAX_STEPS)
        return nn_fail(f, EXIT_USAGE, "augment should be a list of at most %d steps", NN_MAX_STEPS);
    for (; a->nsteps < v->n; a->nsteps++)
        if (!read_step(&v->parts[a->nsteps], &a->steps[a->nsteps], f))
            return false;
    find_pictures(p, data, columns, a);
    height = a->height;
    width = a->width;
    return check_steps(a, data, f) && follow(a, &height, &width, &most, f) && check_fields(p, data, columns, a, most, &a->room, f);
}
