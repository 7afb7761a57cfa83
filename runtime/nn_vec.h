/* nn_vec.h -- sixteen floats at a time: the vectors of generated code. nn_math.h has exp, sin and their like.
 *
 * nnc pastes what a model needs of this text into its model.c, so it includes nothing but the compiler's own intrinsics.
 *
 * Same bits everywhere: with a fused multiply-add in the processor (AVX-512, AVX2 with FMA, NEON ...) every function
 * gives the same result for gcc and clang, at any -O, on any of them, provided -ffp-contract=off and no -ffast-math.
 * Without one (NN_FUSED is 0) nn_fma is a multiplication and an addition: another numeric profile, results differ in the
 * last places. NaN gives NaN. */
#ifndef NN_VEC_H
#define NN_VEC_H

#include <stdint.h>

#if defined __SSE2__
#include <immintrin.h>
#elif defined __ARM_NEON && defined __aarch64__
#include <arm_neon.h>
#endif

#if defined __AVX512F__ || defined __FMA__ || defined __ARM_FEATURE_FMA || defined __FP_FAST_FMAF
#define NN_FUSED 1
#else
#define NN_FUSED 0
#endif

/* Vectors wider than the processor's are passed between functions of one file only: no ABI is at stake. */
#pragma GCC diagnostic ignored "-Wpsabi"

enum { NN_LANES = 16 };

__extension__ typedef float nn_v __attribute__((vector_size(64)));
__extension__ typedef float nn_vu __attribute__((vector_size(64), aligned(4), may_alias)); /* anywhere in memory */
__extension__ typedef int32_t nn_i __attribute__((vector_size(64)));
__extension__ typedef int32_t nn_iu __attribute__((vector_size(64), aligned(4), may_alias));
__extension__ typedef uint32_t nn_u __attribute__((vector_size(64)));
typedef nn_i nn_m; /* a lane is -1 (yes) or 0 (no) */
__extension__ typedef double nn_d __attribute__((vector_size(64))); /* eight lanes; pow needs them */
__extension__ typedef int64_t nn_l __attribute__((vector_size(64)));
__extension__ typedef uint64_t nn_ul __attribute__((vector_size(64)));
__extension__ typedef float nn_v8 __attribute__((vector_size(32)));
__extension__ typedef float nn_v4 __attribute__((vector_size(16)));

#define NN_INLINE static inline __attribute__((always_inline, unused))
#define NN_LOCAL static inline __attribute__((unused)) /* long: the compiler may choose */

/* ---- in and out ---- */

#define NN_16(a) {a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a}

/* Small arrays whose every element becomes a register, once the loops over them are unrolled. */
#if defined __clang__
#define NN_UNROLL _Pragma("clang loop unroll(full)")
#define NN_ROLLED _Pragma("clang loop unroll(disable)")
#elif defined __GNUC__
#define NN_UNROLL _Pragma("GCC unroll 32")
#define NN_ROLLED _Pragma("GCC unroll 1")
#else
#define NN_UNROLL
#define NN_ROLLED
#endif

NN_INLINE nn_v nn_set(float a) { return (nn_v)NN_16(a); }
NN_INLINE nn_i nn_seti(int32_t a) { return (nn_i)NN_16(a); }
NN_INLINE nn_v nn_load(const float *p) { return *(const nn_vu *)p; }
NN_INLINE void nn_store(float *p, nn_v a) { *(nn_vu *)p = a; }
/* Asks for what stands there, to be read soon: into the second-level cache. */
NN_INLINE void nn_fetch(const float *p) { __builtin_prefetch(p, 0, 2); }
/* And asks for what stands `next` floats further on, if anything. */
NN_INLINE nn_v nn_load_ahead(const float *p, long next)
{
    __builtin_prefetch((const void *)((uintptr_t)p + (uintptr_t)next * sizeof *p), 0, 2);
    return nn_load(p);
}
NN_INLINE nn_i nn_loadi(const int32_t *p) { return *(const nn_iu *)p; }
NN_INLINE void nn_storei(int32_t *p, nn_i a) { *(nn_iu *)p = a; }
NN_INLINE nn_i nn_iota(void) { return (nn_i){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}; }
NN_INLINE nn_v nn_float(nn_i a) { return __builtin_convertvector(a, nn_v); }
NN_INLINE nn_i nn_int(nn_v a) { return __builtin_convertvector(a, nn_i); } /* towards zero; a must fit */

/* The first n lanes, n from 0 to 16. */
NN_INLINE nn_m nn_first(int n) { return (nn_iota() - nn_seti(n)) >> 31; }

/* The first n floats, zeros after them; nothing beyond p[n - 1] is touched. */
NN_INLINE nn_v nn_load_first(const float *p, int n)
{
    if (n == NN_LANES)
        return nn_load(p);
#if defined __AVX512F__
    return (nn_v)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
    nn_v a = nn_set(0);
    for (int i = 0; i < n; i++)
        a[i] = p[i];
    return a;
#endif
}

/* p[0], p[step], ... p[(n - 1) * step], then zeros. */
NN_INLINE nn_v nn_gather_first(const float *p, int step, int n)
{
#if defined __AVX512F__
    const nn_i at = nn_iota() * nn_seti(step);
    return (nn_v)_mm512_mask_i32gather_ps(_mm512_setzero_ps(), (__mmask16)((1u << n) - 1), (__m512i)at, p, 4);
#else
    nn_v a = nn_set(0);
    for (int i = 0; i < n; i++)
        a[i] = p[i * step];
    return a;
#endif
}

NN_INLINE void nn_store_first(float *p, int n, nn_v a)
{
    if (n == NN_LANES) {
        nn_store(p, a);
        return;
    }
#if defined __AVX512F__
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)a);
#else
    for (int i = 0; i < n; i++)
        p[i] = a[i];
#endif
}

/* ---- choosing ---- */

/* gcc takes a comparison of vectors wider than the processor's apart into single lanes: it is given parts. */
#if defined __GNUC__ && !defined __clang__ && !defined __AVX512F__
#if defined __AVX__
typedef nn_v8 nn_part;
#else
typedef nn_v4 nn_part;
#endif
typedef union nn_compared {
    nn_v v;
    nn_m m;
    nn_part part[sizeof(nn_v) / sizeof(nn_part)];
} nn_compared;
#define NN_COMPARISON(name, op)                                            \
    NN_INLINE nn_m name(nn_v a, nn_v b)                                    \
    {                                                                      \
        nn_compared x = {a}, y = {b};                                      \
        for (unsigned i = 0; i < sizeof(nn_v) / sizeof(nn_part); i++)      \
            x.part[i] = (nn_part)(x.part[i] op y.part[i]);                 \
        return x.m;                                                        \
    }
#else
#define NN_COMPARISON(name, op) NN_INLINE nn_m name(nn_v a, nn_v b) { return a op b; }
#endif
NN_COMPARISON(nn_lt, <)
NN_COMPARISON(nn_le, <=)
NN_COMPARISON(nn_gt, >)
NN_COMPARISON(nn_ge, >=)
NN_COMPARISON(nn_eq, ==)
NN_COMPARISON(nn_ne, !=) /* yes where either is NaN */
NN_INLINE nn_m nn_and(nn_m a, nn_m b) { return a & b; }
NN_INLINE nn_m nn_or(nn_m a, nn_m b) { return a | b; }
NN_INLINE nn_m nn_not(nn_m a) { return ~a; }
NN_INLINE nn_v nn_select(nn_m m, nn_v a, nn_v b) { return (nn_v)((m & (nn_i)a) | (~m & (nn_i)b)); }
NN_INLINE nn_i nn_selecti(nn_m m, nn_i a, nn_i b) { return (m & a) | (~m & b); }
NN_INLINE nn_v nn_num(nn_m m) { return (nn_v)(m & (nn_i)nn_set(1)); } /* 1 for yes, 0 for no */

NN_INLINE int nn_any(nn_m m)
{
#if defined __AVX512F__
    return _mm512_test_epi32_mask((__m512i)m, (__m512i)m) != 0;
#elif defined __AVX__
    union { nn_m m; __m256 part[2]; } x = {m};
    return _mm256_movemask_ps(_mm256_or_ps(x.part[0], x.part[1])) != 0;
#else
    int32_t any = 0;
    for (int i = 0; i < NN_LANES; i++)
        any |= m[i];
    return any != 0;
#endif
}

/* ---- arithmetic: + - * / are the C operators ---- */

/* The processor's own vectors inside ours. */
typedef union nn_parts {
    nn_v v;
#if defined __AVX__
    __m256 part[2];
#elif defined __SSE2__
    __m128 part[4];
#elif defined __ARM_NEON && defined __aarch64__
    float32x4_t part[4];
#endif
} nn_parts;

/* a * b + c, rounded once where NN_FUSED. */
NN_INLINE nn_v nn_fma(nn_v a, nn_v b, nn_v c)
{
#if defined __AVX512F__
    return (nn_v)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined __FMA__ && defined __AVX__
    nn_parts x = {a}, y = {b}, z = {c};
    z.part[0] = _mm256_fmadd_ps(x.part[0], y.part[0], z.part[0]);
    z.part[1] = _mm256_fmadd_ps(x.part[1], y.part[1], z.part[1]);
    return z.v;
#elif defined __ARM_NEON && defined __aarch64__
    nn_parts x = {a}, y = {b}, z = {c};
    for (int i = 0; i < 4; i++)
        z.part[i] = vfmaq_f32(z.part[i], x.part[i], y.part[i]);
    return z.v;
#elif NN_FUSED
    for (int i = 0; i < NN_LANES; i++)
        c[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return c;
#else
    return a * b + c;
#endif
}

NN_INLINE nn_v nn_fmas(float a, nn_v b, nn_v c) { return nn_fma(nn_set(a), b, c); }

/* Eight doubles. */
NN_INLINE nn_d nn_fmad(nn_d a, nn_d b, nn_d c)
{
#if defined __AVX512F__
    return (nn_d)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif NN_FUSED
    for (int i = 0; i < 8; i++)
        c[i] = __builtin_fma(a[i], b[i], c[i]);
    return c;
#else
    return a * b + c;
#endif
}

/* NaN if either is NaN, a if they are equal (so max(-0, +0) is -0). A constant belongs in b: then this is one
 * instruction. */
NN_INLINE nn_v nn_max(nn_v a, nn_v b)
{
#if defined __AVX512F__
    nn_v r = (nn_v)_mm512_max_ps((__m512)b, (__m512)a); /* its second operand if equal or unordered */
#else
    nn_v r = nn_select(nn_gt(b, a), b, a);
#endif
    return nn_select(nn_ne(b, b), b, r);
}

NN_INLINE nn_v nn_min(nn_v a, nn_v b)
{
#if defined __AVX512F__
    nn_v r = (nn_v)_mm512_min_ps((__m512)b, (__m512)a);
#else
    nn_v r = nn_select(nn_lt(b, a), b, a);
#endif
    return nn_select(nn_ne(b, b), b, r);
}

NN_INLINE nn_v nn_abs(nn_v a) { return (nn_v)((nn_i)a & 0x7fffffff); }
NN_INLINE nn_v nn_neg(nn_v a) { return -a; }
/* The size of a with the sign bit of b. */
NN_INLINE nn_v nn_copysign(nn_v a, nn_v b)
{
    nn_i sign = (nn_i)nn_set(-0.0f);
    return (nn_v)(((nn_i)a & ~sign) | ((nn_i)b & sign));
}
/* -1, 0 or 1; 0 for NaN. */
NN_INLINE nn_v nn_sign(nn_v a) { return nn_num(nn_gt(a, nn_set(0))) - nn_num(nn_lt(a, nn_set(0))); }

NN_INLINE nn_v nn_sqrt(nn_v a)
{
#if defined __AVX512F__
    return (nn_v)_mm512_sqrt_ps((__m512)a);
#elif defined __AVX__
    nn_parts x = {a};
    x.part[0] = _mm256_sqrt_ps(x.part[0]);
    x.part[1] = _mm256_sqrt_ps(x.part[1]);
    return x.v;
#elif defined __SSE2__
    nn_parts x = {a};
    for (int i = 0; i < 4; i++)
        x.part[i] = _mm_sqrt_ps(x.part[i]);
    return x.v;
#elif defined __ARM_NEON && defined __aarch64__
    nn_parts x = {a};
    for (int i = 0; i < 4; i++)
        x.part[i] = vsqrtq_f32(x.part[i]);
    return x.v;
#else
    for (int i = 0; i < NN_LANES; i++)
        a[i] = __builtin_sqrtf(a[i]);
    return a;
#endif
}

/* To whole numbers. Adding and taking away 2^23 rounds to the nearest, halves to even; larger numbers are whole. */
NN_INLINE nn_v nn_round(nn_v a)
{
#if defined __AVX512F__
    return (nn_v)_mm512_roundscale_ps((__m512)a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
    nn_v size = nn_abs(a);
    nn_v whole = (size + 8388608.0f) - 8388608.0f;
    return nn_copysign(nn_select(nn_lt(size, nn_set(8388608.0f)), whole, size), a);
#endif
}
NN_INLINE nn_v nn_floor(nn_v a)
{
#if defined __AVX512F__
    return (nn_v)_mm512_roundscale_ps((__m512)a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#else
    nn_v r = nn_round(a);
    return nn_copysign(r - nn_num(nn_gt(r, a)), a);
#endif
}
NN_INLINE nn_v nn_ceil(nn_v a)
{
#if defined __AVX512F__
    return (nn_v)_mm512_roundscale_ps((__m512)a, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
#else
    nn_v r = nn_round(a);
    return nn_copysign(r + nn_num(nn_lt(r, a)), a);
#endif
}
NN_INLINE nn_v nn_trunc(nn_v a)
{
#if defined __AVX512F__
    return (nn_v)_mm512_roundscale_ps((__m512)a, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
#else
    return nn_copysign(nn_floor(nn_abs(a)), a);
#endif
}

/* ---- sixteen to one, in a fixed tree: lane i with i + 8, then i + 4, i + 2, i + 1 ---- */

#if defined __clang__ || __GNUC__ >= 12
#define NN_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#endif

NN_INLINE float nn_sum(nn_v a)
{
#ifdef NN_SHUFFLE
    nn_v8 b = NN_SHUFFLE(a, a, 0, 1, 2, 3, 4, 5, 6, 7) + NN_SHUFFLE(a, a, 8, 9, 10, 11, 12, 13, 14, 15);
    nn_v4 c = NN_SHUFFLE(b, b, 0, 1, 2, 3) + NN_SHUFFLE(b, b, 4, 5, 6, 7);
#else
    nn_v8 b = {0};
    nn_v4 c = {0};
    for (int i = 0; i < 8; i++)
        b[i] = a[i] + a[i + 8];
    for (int i = 0; i < 4; i++)
        c[i] = b[i] + b[i + 4];
#endif
    return (c[0] + c[2]) + (c[1] + c[3]);
}

/* Lane k is nn_sum(a[k]), to the bit: halves of two vectors become one, eight, four, two times and once. */
NN_INLINE nn_v nn_sum16(const nn_v *a)
{
#ifdef NN_SHUFFLE
    nn_v b[8], c[4], d[2];
    NN_UNROLL for (int k = 0; k < 8; k++)
        b[k] = NN_SHUFFLE(a[k], a[k + 8], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
               NN_SHUFFLE(a[k], a[k + 8], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    NN_UNROLL for (int k = 0; k < 4; k++)
        c[k] = NN_SHUFFLE(b[k], b[k + 4], 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27) +
               NN_SHUFFLE(b[k], b[k + 4], 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
    NN_UNROLL for (int k = 0; k < 2; k++)
        d[k] = NN_SHUFFLE(c[k], c[k + 2], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
               NN_SHUFFLE(c[k], c[k + 2], 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
    return NN_SHUFFLE(d[0], d[1], 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30) +
           NN_SHUFFLE(d[0], d[1], 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
#else
    nn_v sum = nn_set(0);
    for (int k = 0; k < NN_LANES; k++)
        sum[k] = nn_sum(a[k]);
    return sum;
#endif
}

/* Eight floats here and eight there; only the first n of each are touched. */
__extension__ typedef float nn_v8u __attribute__((vector_size(32), aligned(4), may_alias));
NN_INLINE nn_v nn_load_halves(const float *p, const float *q, int n)
{
#ifdef NN_SHUFFLE
    if (n < 8)
        return NN_SHUFFLE(nn_load_first(p, n), nn_load_first(q, n), 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
    nn_v8 a = *(const nn_v8u *)p, b = *(const nn_v8u *)q;
    return NN_SHUFFLE(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#else
    nn_v a = nn_set(0);
    for (int i = 0; i < n; i++) {
        a[i] = p[i];
        a[i + 8] = q[i];
    }
    return a;
#endif
}
NN_INLINE void nn_store_halves(float *p, float *q, int n, nn_v a)
{
#ifdef NN_SHUFFLE
    if (n == 8) {
        *(nn_v8u *)p = NN_SHUFFLE(a, a, 0, 1, 2, 3, 4, 5, 6, 7);
        *(nn_v8u *)q = NN_SHUFFLE(a, a, 8, 9, 10, 11, 12, 13, 14, 15);
    } else {
        nn_store_first(p, n, a);
        nn_store_first(q, n, NN_SHUFFLE(a, a, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
    }
#else
    for (int i = 0; i < n; i++) {
        p[i] = a[i];
        q[i] = a[i + 8];
    }
#endif
}

/* Every second one of sixteen floats here and sixteen there. */
NN_INLINE nn_v nn_load_even(const float *p, const float *q)
{
#ifdef NN_SHUFFLE
    nn_v a = nn_load(p), b = nn_load(q);
    return NN_SHUFFLE(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
#else
    nn_v a = nn_set(0);
    for (int i = 0; i < 8; i++) {
        a[i] = p[2 * i];
        a[i + 8] = q[2 * i];
    }
    return a;
#endif
}

/* NaN if any lane is. */
NN_INLINE float nn_hmax(nn_v a)
{
#ifdef NN_SHUFFLE
    a = nn_max(a, NN_SHUFFLE(a, a, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
    a = nn_max(a, NN_SHUFFLE(a, a, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
    a = nn_max(a, NN_SHUFFLE(a, a, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
    a = nn_max(a, NN_SHUFFLE(a, a, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14));
#else
    for (int half = 8; half > 0; half /= 2) {
        nn_v b = a;
        for (int i = 0; i < half; i++)
            b[i] = a[i + half];
        a = nn_max(a, b);
    }
#endif
    return a[0];
}
NN_INLINE float nn_hmin(nn_v a) { return -nn_hmax(-a); }

/* ---- a block of sixteen by sixteen: dst[j][i] = src[i][j], strides in floats ---- */

NN_LOCAL void nn_transpose16(const float *src, long src_stride, float *dst, long dst_stride)
{
#if defined NN_SHUFFLE && (defined __clang__ || defined __AVX512F__) /* gcc would move lane by lane */
    nn_v a[16], b[16];

    /* 1 x 1 blocks, then 2 x 2, inside each quarter of a vector ... */
    for (int i = 0; i < 16; i++)
        a[i] = nn_load(src + i * src_stride);
    for (int i = 0; i < 16; i += 2) {
        b[i] = NN_SHUFFLE(a[i], a[i + 1], 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
        b[i + 1] = NN_SHUFFLE(a[i], a[i + 1], 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; j++) {
            nn_v low = b[i + j], high = b[i + j + 2];
            a[i + 2 * j] = NN_SHUFFLE(low, high, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
            a[i + 2 * j + 1] = NN_SHUFFLE(low, high, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
        }
    /* ... now a[4 i + j] holds columns j, 4 + j, 8 + j, 12 + j of rows 4 i ... 4 i + 3: whole quarters move. */
    for (int i = 0; i < 16; i += 8)
        for (int j = 0; j < 4; j++) {
            nn_v low = a[i + j], high = a[i + j + 4];
            b[i + j] = NN_SHUFFLE(low, high, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
            b[i + j + 4] = NN_SHUFFLE(low, high, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
        }
    for (int j = 0; j < 8; j++) {
        nn_v low = b[j], high = b[j + 8];
        nn_v even = NN_SHUFFLE(low, high, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
        nn_v odd = NN_SHUFFLE(low, high, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
        nn_store(dst + j * dst_stride, even);
        nn_store(dst + (j + 8) * dst_stride, odd);
    }
#else
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++)
            dst[j * dst_stride + i] = src[i * src_stride + j];
#endif
}

#endif
