/* vec_all.c -- every function of nn_math.h over every float, against double: the largest error in units in the last
 * place, and where it is. Takes some minutes.
 *
 *     cc -std=gnu11 -O2 -march=native -ffp-contract=off -fopenmp -Iruntime tests/numeric/vec_all.c -lm -o vec_all
 *     ./vec_all [step] [function ...]      step 1: all floats; 257: a quick look
 *
 * Exit status 1 if an error is above the bound in nn_math.h. */
#include "nn_math.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

#define F(name, reference, bound) {#name, nn_##name, reference, bound},
static const struct {
    const char *name;
    nn_v (*ours)(nn_v);
    double (*reference)(double);
    double bound;
} functions[] = {
    F(exp, exp, 1.0)
    F(expm1, expm1, 1.5)
    F(log, log, 1.0)
    F(log1p, log1p, 1.0)
    F(tanh, tanh, 2.7)
    F(sigmoid, sigmoid, 2.5)
    F(erf, erf, 1.2)
    F(sin, sin, 1.6)
    F(cos, cos, 1.6)
    F(tan, tan, 3.0)
    F(atan, atan, 1.4)
    F(sqrt, sqrt, 0.51)
};

static float from_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}

/* The distance in units in the last place of the float nearest to the truth; a wrong NaN, infinity or sign of zero is
 * worth 1e9. */
static double ulps(float got, double truth)
{
    float near = (float)truth;
    if (isnan(truth) || isnan(got))
        return isnan(truth) && isnan(got) ? 0 : 1e9;
    if (isinf(near) || isinf(got)) {
        if (got == near)
            return 0;
        /* one of them may have been rounded to infinity, the other just not */
        return fabs(truth) > 0x1.fffffcp127 && fabs((double)got) > 0x1.fffffcp127 && isfinite(truth) ? 1 : 1e9;
    }
    if (truth == 0 && (got != 0 || !signbit(truth) != !signbit(got)))
        return 1e9;
    int e;
    frexp(truth, &e);
    return fabs((double)got - truth) / ldexp(1, e < -125 ? -149 : e - 24);
}

int main(int argc, char **argv)
{
    uint64_t step = argc > 1 ? (uint64_t)atoll(argv[1]) : 1;
    int failed = 0;

    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
        int wanted = argc < 3;
        for (int i = 2; i < argc; i++)
            wanted |= !strcmp(argv[i], functions[f].name);
        if (!wanted)
            continue;
        double worst = -1;
        uint32_t where = 0;
#pragma omp parallel for schedule(static)
        for (int64_t block = 0; block < 4096; block++) {
            double mine = -1;
            uint32_t at = 0;
            uint64_t first = (uint64_t)block << 20, end = first + (1u << 20);
            for (uint64_t u = first + (block ? (step - first % step) % step : 0); u < end; u += 16 * step) {
                nn_v x = nn_set(0), y;
                for (int i = 0; i < 16; i++)
                    x[i] = from_bits((uint32_t)(u + i * step < end ? u + i * step : end - 1));
                y = functions[f].ours(x);
                for (int i = 0; i < 16; i++) {
                    double error = ulps(y[i], functions[f].reference((double)x[i]));
                    if (error > mine) {
                        float xi = x[i];
                        mine = error;
                        memcpy(&at, &xi, 4);
                    }
                }
            }
#pragma omp critical
            if (mine > worst || (mine == worst && at < where)) {
                worst = mine;
                where = at;
            }
        }
        float x = from_bits(where);
        printf("%-8s %8.3f ulp at %-14.8g (0x%08x): %.9g, truth %.12g%s\n", functions[f].name, worst, (double)x, where,
               (double)functions[f].ours(nn_set(x))[0], functions[f].reference((double)x), worst > functions[f].bound ? "  TOO MUCH" : "");
        fflush(stdout);
        failed |= worst > functions[f].bound;
    }
    return failed;
}
