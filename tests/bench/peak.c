/* peak.c -- how many multiply-adds this machine does at this moment: peak THREADS [SECONDS].
 *
 * Twelve independent sums on the widest vectors the compiler was told of, in registers: GFLOP/s of all threads
 * together, the median of eleven short runs. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#ifdef __AVX512F__
enum { WIDTH = 16 };
#elif defined __AVX__
enum { WIDTH = 8 };
#else
enum { WIDTH = 4 };
#endif
typedef float Vector __attribute__((vector_size(4 * WIDTH)));
#if defined __x86_64__
#define HELD "+x" /* a vector register, whatever its width */
#else
#define HELD "+w"
#endif

enum { SUMS = 12, RUNS = 11 };

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void multiply_add(long n)
{
    Vector sum[SUMS] = {{0}}, x = (Vector){0} + 1, y = (Vector){0};

    __asm__ volatile("" : HELD(x), HELD(y));
    for (long k = 0; k < n; k++) {
#pragma GCC unroll 12
        for (int i = 0; i < SUMS; i++)
            sum[i] = sum[i] * x + y;
#pragma GCC unroll 12
        for (int i = 0; i < SUMS; i++) /* or the compiler would see what all this comes to */
            __asm__ volatile("" : HELD(sum[i]));
    }
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : 1;
    double budget = argc > 2 ? atof(argv[2]) : 0.3, rate[RUNS], start = seconds();
    long n = 1000000;

    multiply_add(n);
    n = (long)((double)n * budget / RUNS / (seconds() - start)) + 1;
    for (int r = -1; r < RUNS; r++) { /* the first begins the threads */
        start = seconds();
#pragma omp parallel for num_threads(threads) schedule(static, 1)
        for (int t = 0; t < threads; t++)
            multiply_add(n);
        if (r >= 0)
            rate[r] = 2e-9 * WIDTH * SUMS * (double)n * threads / (seconds() - start);
    }
    qsort(rate, RUNS, sizeof *rate, compare);
    printf("%.1f\n", rate[RUNS / 2]);
    return 0;
}
