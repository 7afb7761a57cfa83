/* data_split.c -- see data.h: which samples train, validate and test. */
#include "data.h"

#include <stdlib.h>
#include <string.h>

#include "nn_random.h"

/* The random numbers of shuffles must not be those of anything else under the same seed. */
enum { SPLIT_STREAM = 0x5b117 };

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void shuffle(int64_t *at, int64_t n, uint64_t seed)
{
    uint32_t key = nn_random_key(seed, 0, SPLIT_STREAM);

    for (int64_t i = n - 1; i > 0; i--) {
        uint64_t bits = (uint64_t)nn_random_bits(key, (uint32_t)(2 * i)) << 24 | nn_random_bits(key, (uint32_t)(2 * i + 1));
        int64_t j = (int64_t)(bits % (uint64_t)(i + 1)), other = at[j];

        at[j] = at[i];
        at[i] = other;
    }
}

static bool split_part(DataSplit *split, int part, const int64_t *from, int64_t n, Fault *f)
{
    split->n[part] = n;
    split->samples[part] = nn_new(f, "the split", (size_t)n, sizeof *from);
    if (split->samples[part] == NULL)
        return false;
    memcpy(split->samples[part], from, (size_t)n * sizeof *from);
    qsort(split->samples[part], (size_t)n, sizeof *from, by_size);
    return true;
}

bool nn_data_split(const Data *data, int64_t valid, int64_t test, uint64_t seed, DataSplit *split, Fault *f)
{
    int64_t n = data->n - data->own_test, *order;

    *split = (DataSplit){0};
    if (test > 0 && data->own_test > 0)
        return nn_fail(f, EXIT_USAGE, "%s brings a test split of its own, %lld samples: leave out test", data->origin,
                       (long long)data->own_test);
    if (valid < 0 || test < 0 || valid >= n || test >= n || valid + test >= n)
        return nn_fail(f, EXIT_USAGE, "%s has %lld samples to train with; %lld to validate and %lld to test leave none", data->origin,
                       (long long)n, (long long)valid, (long long)test);
    order = nn_new(f, "the split", (size_t)data->n, sizeof *order);
    if (order == NULL)
        return false;
    for (int64_t i = 0; i < data->n; i++)
        order[i] = i;
    shuffle(order, n, seed);
    if (data->own_test > 0)
        split_part(split, 2, order + n, data->own_test, f);
    else
        split_part(split, 2, order, test, f);
    split_part(split, 1, order + test, valid, f);
    split_part(split, 0, order + test + valid, n - test - valid, f);
    free(order);
    if (f->status != 0)
        nn_data_split_free(split);
    return f->status == 0;
}

void nn_data_split_free(DataSplit *split)
{
    for (int i = 0; i < 3; i++)
        free(split->samples[i]);
    *split = (DataSplit){0};
}
