/* nn_random.h -- random numbers as a pure function of (seed, step, stream, counter).
 *
 * Counter-based (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): there is no state, so any
 * number can be had in any order by any thread, and a resumed training draws what an uninterrupted one draws.
 * The mixing function is the 32-bit finaliser found by Ettinger ("lowbias32"), applied to a key and a counter. */
#ifndef NN_RANDOM_H
#define NN_RANDOM_H

#include <stdint.h>

static inline uint32_t nn_mix(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    x ^= x >> 16;
    return x;
}

/* The key of one stream in one step. */
static inline uint32_t nn_random_key(uint64_t seed, uint64_t step, uint32_t stream)
{
    uint32_t k = nn_mix((uint32_t)seed + 0x9e3779b9u);

    k = nn_mix(k ^ (uint32_t)(seed >> 32));
    k = nn_mix(k ^ (uint32_t)step);
    k = nn_mix(k + (uint32_t)(step >> 32));
    return nn_mix(k ^ (stream * 0x85ebca6bu));
}

/* 24 random bits: the number drawn is this / 2^24. */
static inline uint32_t nn_random_bits(uint32_t key, uint32_t counter)
{
    return nn_mix(nn_mix(counter * 0x9e3779b9u + key) ^ key) >> 8;
}

/* Uniform in [0, 1), a multiple of 2^-24: exact in float and double. */
static inline float nn_random(uint32_t key, uint32_t counter)
{
    return (float)nn_random_bits(key, counter) * (1.0f / 16777216.0f);
}

#endif
