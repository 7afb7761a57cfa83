/* data_shapes.c -- pictures to learn segmentation from: discs, squares and triangles drawn on noise.
 *
 * shapes(n = 1000, size = 64, noise = 0.25, seed = 0) gives `image`, 1 x size x size numbers: 0 with shapes from 0.5 to 1
 * bright, and normal noise of that deviation added; and `label`, size x size, which says of every pixel what stands
 * there: 0 nothing, 1 a disc, 2 a square, 3 a triangle. A pixel belongs to the shape that its centre is in, and to the
 * last of those that lie over one another. Picture i is a pure function of (seed, i). */
#include "data_reader.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nn_random.h"

enum { MOST_SHAPES = 3, CLASSES = 4 };

typedef struct Shape {
    int class;
    double x, y, radius, cosine, sine, light;
} Shape;

typedef struct Pen {
    uint32_t key, at;
} Pen;

static double pen_uniform(Pen *p, double from, double to)
{
    return from + (double)nn_random_bits(p->key, p->at++) * 0x1p-24 * (to - from);
}

/* Box and Muller (1958). */
static double pen_normal(Pen *p)
{
    double u = pen_uniform(p, 0, 1), v = pen_uniform(p, 0, 6.28318530717958647692);

    return sqrt(-2 * log(1 - u)) * cos(v);
}

static Shape shape_draw(Pen *p, double size)
{
    double angle = pen_uniform(p, 0, 6.28318530717958647692);
    Shape s = {.class = 1 + (int)pen_uniform(p, 0, 3), .radius = pen_uniform(p, 0.12, 0.24) * size, .light = pen_uniform(p, 0.5, 1)};

    s.x = pen_uniform(p, s.radius, size - s.radius);
    s.y = pen_uniform(p, s.radius, size - s.radius);
    s.cosine = cos(angle);
    s.sine = sin(angle);
    return s;
}

/* Inside a disc, a turned square or a turned triangle with equal sides, all of them touching the circle of `radius`. */
static bool shape_covers(const Shape *s, double x, double y)
{
    double dx = x - s->x, dy = y - s->y;
    double u = (dx * s->cosine + dy * s->sine) / s->radius, v = (dy * s->cosine - dx * s->sine) / s->radius;

    switch (s->class) {
    case 1: return u * u + v * v < 1;
    case 2: return fabs(u) < 0.70710678118654752 && fabs(v) < 0.70710678118654752;
    default: return u > -0.5 && u + 1.7320508075688772 * fabs(v) < 1;
    }
}

static void picture_draw(Pen *p, int64_t size, double noise, float *image, uint8_t *label)
{
    Shape shapes[MOST_SHAPES];
    int n = 1 + (int)pen_uniform(p, 0, MOST_SHAPES);

    for (int i = 0; i < n; i++)
        shapes[i] = shape_draw(p, (double)size);
    for (int64_t y = 0; y < size; y++)
        for (int64_t x = 0; x < size; x++) {
            int on_top = n - 1;

            while (on_top >= 0 && !shape_covers(&shapes[on_top], (double)x + 0.5, (double)y + 0.5))
                on_top--;
            image[y * size + x] = (float)((on_top < 0 ? 0 : shapes[on_top].light) + noise * pen_normal(p));
            label[y * size + x] = on_top < 0 ? 0 : (uint8_t)shapes[on_top].class;
        }
}

static bool whole(const Call *call, const char *name, double x, double low, double high, Fault *f)
{
    if (x >= low && x <= high && x == floor(x))
        return true;
    return nn_fail(f, EXIT_USAGE, "%s: %s should be a whole number from %g to %g, not %g", call->reader, name, low, high, x);
}

bool nn_read_shapes(const Call *call, Data *data, Fault *f)
{
    static const char *const names[CLASSES] = {"background", "disc", "square", "triangle"};
    double n, size, noise, seed;
    char origin[64];

    if (!nn_call_number(call, 0, "n", 1000, &n, f) || !nn_call_number(call, 1, "size", 64, &size, f) ||
        !nn_call_number(call, 2, "noise", 0.25, &noise, f) || !nn_call_number(call, 3, "seed", 0, &seed, f) ||
        !whole(call, "n", n, 2, 1e6, f) || !whole(call, "size", size, 8, 4096, f) || !whole(call, "seed", seed, 0, 0x1p53, f))
        return false;
    if (!(noise >= 0 && noise <= 100))
        return nn_fail(f, EXIT_USAGE, "%s: noise should be from 0 to 100, not %g", call->reader, noise);
    int64_t side = (int64_t)size;
    Column like = {.type = DATA_F32, .rank = 3, .shape = {1, side, side}};
    if (!nn_column_add(data, "image", &like, (int64_t)n, f))
        return false;
    like = (Column){.type = DATA_U8, .rank = 2, .shape = {side, side}, .classes = CLASSES};
    if (!nn_column_add(data, "label", &like, (int64_t)n, f) || !nn_column_name_classes(&data->columns[1], names, f))
        return false;
    data->n = (int64_t)n;
    for (int64_t i = 0; i < data->n; i++) {
        Pen p = {.key = nn_random_key((uint64_t)seed, (uint64_t)i, 0x54a9e5)};

        picture_draw(&p, side, noise, (float *)data->columns[0].data + i * side * side,
                     (uint8_t *)data->columns[1].data + i * side * side);
    }
    snprintf(origin, sizeof origin, "%lld pictures of shapes", (long long)data->n);
    data->origin = strdup(origin);
    return data->origin != NULL || nn_fail_memory(f, "shapes", sizeof origin);
}
