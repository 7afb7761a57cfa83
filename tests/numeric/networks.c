/* networks.c -- a network of examples/, compiled by nnc -S, against what PyTorch says of it.
 *
 *     cc -DMODEL='"vgg16.h"' -DPREFIX=vgg16 -DUPPER=VGG16 -DOUTPUTS=1 networks.c vgg16.c && ./a.out golden/networks/vgg16.txt
 *
 * Weights and image are those of networks.py: a formula of the name and the number of each element. They get into the
 * model as anybody's would, through its file. The largest difference is told as a part of the largest output. */
#include MODEL

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PASTE2(a, b) a##b
#define PASTE(a, b) PASTE2(a, b)
#define FN(name) PASTE(PREFIX, _##name)
#define SIZE(name) ((size_t)PASTE(UPPER, _##name))

enum { SHOWN = 16, MOST = 4 * 64 * 64 };

static uint32_t seed_of(const char *name)
{
    uint32_t h = 2166136261u;

    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 16777619u;
    return h;
}

static double uniform(uint32_t seed, size_t i)
{
    uint32_t x = (uint32_t)i * 0x9E3779B9u + seed;

    x = (x ^ x >> 16) * 0x7FEB352Du;
    x = (x ^ x >> 15) * 0x846CA68Bu;
    return ((x ^ x >> 16) >> 8) / 16777216.0;
}

static bool ends(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);

    return n >= m && strcmp(name + n - m, end) == 0;
}

static void fill(const char *name, int rank, double fan, float *to, size_t n)
{
    uint32_t seed = seed_of(name);

    for (size_t i = 0; i < n; i++) {
        double u = uniform(seed, i);
        if (ends(name, "average"))
            to[i] = 0;
        else if (ends(name, "deviation")) /* of image / 255: the image shall arrive as it is */
            to[i] = 1 / 255.0f;
        else if (rank >= 2)
            to[i] = (float)((2 * u - 1) * sqrt(6 / fan));
        else if (ends(name, "running_var"))
            to[i] = (float)(0.5 + u);
        else if (ends(name, "weight"))
            to[i] = (float)(0.75 + 0.5 * u);
        else
            to[i] = (float)(0.2 * (2 * u - 1));
    }
}

/* "name":{"dtype":"F32","shape":[6,1,5,5],"data_offsets":[0,600]}, one after the other. */
static void fill_file(char *file)
{
    uint64_t length;

    memcpy(&length, file, 8);
    char *header = file + 8, *data = header + length;
    for (char *at = header; (at = strstr(at, "\"dtype\":\"F32\"")) != NULL && at < data; at++) {
        char name[256], *start = at - 3, *p;
        size_t from, n = 1;
        double fan = 1;
        int rank = 0;

        while (start[-1] != '"')
            start--;
        snprintf(name, sizeof name, "%.*s", (int)(at - 3 - start), start);
        for (p = strchr(at, '[') + 1; *p != ']'; p += *p == ',') {
            size_t size = strtoul(p, &p, 10);
            n *= size;
            if (rank++ > 0)
                fan *= (double)size;
        }
        from = strtoul(strchr(p + 1, '[') + 1, NULL, 10);
        fill(name, rank, fan, (float *)(void *)(data + from), n);
    }
}

static double compare(FILE *golden, float *const outputs[])
{
    char line[1024];
    double worst = 0;

    for (int k = 0; fgets(line, sizeof line, golden);) {
        double largest, want;
        int at, used;
        if (sscanf(line, "output %*s %lf%n", &largest, &at) != 1)
            continue;
        for (int i = 0; i < SHOWN && sscanf(line + at, "%lf%n", &want, &used) == 1; i++, at += used) {
            double d = fabs(outputs[k][i] - want) / largest;
            if (!(d <= worst)) /* also where it is no number */
                worst = d;
        }
        k++;
    }
    return worst;
}

int main(int argc, char **argv)
{
    void *ctx = aligned_alloc(64, (SIZE(BYTES) + 63) / 64 * 64), *scratch = aligned_alloc(64, (SIZE(PREDICT_BYTES) + 63) / 64 * 64);
    char *file = malloc(SIZE(FILE_BYTES));
    float *image = malloc(sizeof(float) * PIXELS), *outputs[3];
    FILE *golden = argc > 1 ? fopen(argv[1], "r") : NULL;

    for (int k = 0; k < 3; k++)
        outputs[k] = malloc(sizeof(float) * MOST);
    if (!ctx || !scratch || !file || !image || !outputs[2] || !golden)
        return 2;
    for (size_t i = 0; i < PIXELS; i++)
        image[i] = (float)(4 * uniform(seed_of("image"), i) - 2);
    if (FN(init)(ctx, 0) || FN(save)(ctx, file, SIZE(FILE_BYTES)))
        return 2;
    fill_file(file);
    if (FN(load)(ctx, file, SIZE(FILE_BYTES)))
        return 2;
#if OUTPUTS == 3
    int status = FN(predict)(ctx, scratch, image, 1, outputs[0], outputs[1], outputs[2]);
#else
    int status = FN(predict)(ctx, scratch, image, 1, outputs[0]);
#endif
    double worst = compare(golden, outputs);
    printf("%s: differs by %.1e of the largest output\n", argv[1], worst);
    return status || !(worst < 1e-4);
}
