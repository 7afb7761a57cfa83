/* data_points.c -- points of the plane in two classes, -1 and 1: the generators of TensorFlow's Playground.
 *
 * points.spiral(n = 500, noise = 0, seed = 0) and xor, circle, gauss, as dataset.ts there draws them (noise is its
 * slider / 100), and moons, two half circles. The order of the points is theirs: class by class, so shuffle.
 * Number i of draw d is a pure function of (seed, i, d): the same points on every machine. */
#include "data_reader.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nn_random.h"

#define TWO_PI 6.28318530717958647692

typedef struct Draw {
    uint32_t key;
    uint32_t at; /* draws so far: one sequence for the whole data set */
} Draw;

static double draw_uniform(Draw *d, double from, double to)
{
    /* 48 random bits: no point falls on another one, as it might with 24 */
    double high = nn_random_bits(d->key, d->at++), low = nn_random_bits(d->key, d->at++);

    return from + (high + low * 0x1p-24) * 0x1p-24 * (to - from);
}

/* Box and Muller, in the polar form without sine and cosine that the Playground has. */
static double draw_normal(Draw *d, double mean, double variance)
{
    double a, b, s;

    do {
        a = draw_uniform(d, -1, 1);
        b = draw_uniform(d, -1, 1);
        s = a * a + b * b;
    } while (s > 1 || s == 0);
    return mean + sqrt(variance) * sqrt(-2 * log(s) / s) * a;
}

typedef struct Point {
    double x, y, label;
} Point;

/* The first half of the points is one class, the second the other; i counts inside a half of n. */
static Point draw_spiral(Draw *d, bool second, int64_t i, int64_t n, double noise)
{
    double part = (double)i / (double)n, r = part * 5, t = 1.75 * part * TWO_PI + (second ? TWO_PI / 2 : 0);
    double x = r * sin(t) + draw_uniform(d, -1, 1) * noise;
    double y = r * cos(t) + draw_uniform(d, -1, 1) * noise;

    return (Point){x, y, second ? -1 : 1};
}

static Point draw_circle(Draw *d, bool second, int64_t i, int64_t n, double noise)
{
    const double radius = 5;
    double r = second ? draw_uniform(d, radius * 0.7, radius) : draw_uniform(d, 0, radius * 0.5);
    double angle = draw_uniform(d, 0, TWO_PI), x = r * sin(angle), y = r * cos(angle);
    double nx = draw_uniform(d, -radius, radius) * noise, ny = draw_uniform(d, -radius, radius) * noise;

    (void)i, (void)n;
    /* noise moves the point that is judged, not the one that is shown: labels near the border get wrong */
    return (Point){x, y, sqrt((x + nx) * (x + nx) + (y + ny) * (y + ny)) < radius * 0.5 ? 1 : -1};
}

static Point draw_xor(Draw *d, bool second, int64_t i, int64_t n, double noise)
{
    double x = draw_uniform(d, -5, 5), y = draw_uniform(d, -5, 5), nx, ny;

    (void)second, (void)i, (void)n;
    x += x > 0 ? 0.3 : -0.3;
    y += y > 0 ? 0.3 : -0.3;
    nx = draw_uniform(d, -5, 5) * noise;
    ny = draw_uniform(d, -5, 5) * noise;
    return (Point){x, y, (x + nx) * (y + ny) >= 0 ? 1 : -1};
}

static Point draw_gauss(Draw *d, bool second, int64_t i, int64_t n, double noise)
{
    double variance = 0.5 + noise * 7; /* 0 to 0.5 becomes 0.5 to 4 */
    double centre = second ? -2 : 2;
    double x = draw_normal(d, centre, variance), y = draw_normal(d, centre, variance);

    (void)i, (void)n;
    return (Point){x, y, second ? -1 : 1};
}

static Point draw_moons(Draw *d, bool second, int64_t i, int64_t n, double noise)
{
    double t = n > 1 ? TWO_PI / 2 * (double)i / (double)(n - 1) : 0;
    double x = second ? 1 - cos(t) : cos(t), y = second ? 0.5 - sin(t) : sin(t);

    x += draw_normal(d, 0, noise * noise);
    y += draw_normal(d, 0, noise * noise);
    return (Point){x, y, second ? -1 : 1};
}

static const struct {
    const char *name;
    Point (*draw)(Draw *d, bool second, int64_t i, int64_t n, double noise);
} shapes[] = {
    {"points.spiral", draw_spiral}, {"points.circle", draw_circle}, {"points.xor", draw_xor},
    {"points.gauss", draw_gauss},   {"points.moons", draw_moons},
};

bool nn_read_points(const Call *call, Data *data, Fault *f)
{
    static const char *const names[] = {"x1", "x2", "label"};
    double wanted, noise, seed;
    int64_t n, half;
    float *to[3];
    size_t shape = 0;
    char origin[64];
    Draw d;

    while (strcmp(shapes[shape].name, call->reader) != 0)
        shape++;
    if (!nn_call_number(call, 0, "n", 500, &wanted, f) || !nn_call_number(call, 1, "noise", 0, &noise, f) ||
        !nn_call_number(call, 2, "seed", 0, &seed, f))
        return false;
    if (!(wanted >= 2 && wanted <= 1e8) || wanted != floor(wanted))
        return nn_fail(f, EXIT_USAGE, "%s: n should be a whole number from 2 to 100,000,000, not %g", call->reader, wanted);
    if (!(noise >= 0 && noise <= 100))
        return nn_fail(f, EXIT_USAGE, "%s: noise should be from 0 to 100, not %g", call->reader, noise);
    if (!(seed >= 0 && seed <= 0x1p53) || seed != floor(seed))
        return nn_fail(f, EXIT_USAGE, "%s: seed should be a whole number, not %g", call->reader, seed);
    n = (int64_t)wanted;
    half = n / 2;
    for (int i = 0; i < 3; i++) {
        Column *c = nn_column_add(data, names[i], &(Column){.type = DATA_F32}, n, f);
        if (c == NULL)
            return false;
        to[i] = c->data;
    }
    d = (Draw){.key = nn_random_key((uint64_t)seed, 0, (uint32_t)shape)};
    for (int64_t i = 0; i < n; i++) { /* of an odd number the second class has one more */
        bool second = i >= half;
        Point p = shapes[shape].draw(&d, second, second ? i - half : i, second ? n - half : half, noise);

        to[0][i] = (float)p.x;
        to[1][i] = (float)p.y;
        to[2][i] = (float)p.label;
    }
    data->n = n;
    snprintf(origin, sizeof origin, "%s, %lld points", call->reader + strlen("points."), (long long)n);
    data->origin = strdup(origin);
    return true;
}
