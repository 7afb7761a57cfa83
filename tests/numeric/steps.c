/* steps.c -- a few training steps of a generated model on made-up pictures, its loss, a checksum of all its weights and one
 * of its predictions: the same text on every processor with fused multiply-add.
 *
 *     nnc -S examples/mnist/lenet5.nn -o model.c
 *     cc -O2 -ffp-contract=off -DMODEL=lenet5 -DSIZES=LENET5 -I. steps.c model.c -lm -o steps && ./steps 3 */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define DO(what) JOIN(MODEL, what)
#define SIZE(what) JOIN(SIZES, what)

static _Alignas(SIZE(ALIGN)) unsigned char net[SIZE(BYTES)], scratch[SIZE(PREDICT_BYTES)];
static unsigned char file[SIZE(FILE_BYTES)];
static float image[SIZE(BATCH) * PIXELS], answer[SIZE(BATCH) * 10];
static int32_t label[SIZE(BATCH)];

static uint32_t checksum(const void *bytes, size_t n)
{
    uint32_t sum = 2166136261u;

    for (size_t i = 0; i < n; i++)
        sum = (sum ^ ((const unsigned char *)bytes)[i]) * 16777619u;
    return sum;
}

/* Ten patterns with noise on them. */
static void draw(uint32_t step)
{
    uint32_t state = step + 1;

    for (int b = 0; b < SIZE(BATCH); b++) {
        label[b] = (int32_t)((step + (uint32_t)b) % 10);
        for (int i = 0; i < PIXELS; i++) {
            state = state * 1664525u + 1013904223u;
            image[b * PIXELS + i] = (float)(i * (label[b] + 1) % 16 + (int)(state >> 29));
        }
    }
}

int main(int argc, char **argv)
{
    int steps = argc > 1 ? atoi(argv[1]) : 3, status = DO(init)(net, 1);

    for (int i = 0; i < steps && status == 0; i++) {
        draw((uint32_t)i);
        status = DO(step)(net, &(DO(batch)){image, label}, i % 2 ? SIZE(BATCH) : SIZE(BATCH) - 5);
    }
    if (status != 0 || DO(report)(net) != 0 || DO(save)(net, file, sizeof file) != 0 ||
        DO(predict)(net, scratch, image, 21, answer) != 0)
        return 1;
    printf("loss %.9g weights %08x", DO(loss)(net), checksum(file, sizeof file));
    printf(" predictions %08x", checksum(answer, 21 * 10 * sizeof *answer));
    printf(" one by one %08x\n", DO(predict)(net, scratch, image, 1, answer) == 0 ? checksum(answer, 10 * sizeof *answer) : 0);
    return 0;
}
