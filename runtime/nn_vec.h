/* nn_vec.h -- sixteen floats at a time: the vectors and the elementary functions of generated code.
 *
 * nnc pastes what a model needs of this text into its model.c, so it includes nothing but the compiler's own intrinsics.
 *
 * Same bits everywhere: with a fused multiply-add in the processor (AVX-512, AVX2 with FMA, NEON ...) every function
 * gives the same result for gcc and clang, at any -O, on any of them, provided -ffp-contract=off and no -ffast-math.
 * Without one (NN_FUSED is 0) nn_fma is a multiplication and an addition: another numeric profile, results differ in the
 * last places. Nothing here calls libm or branches on values, but sin, cos and tan do for |x| > 100000.
 *
 * Largest errors over all floats, in units in the last place: 0.6 pow; 1 exp log log1p; 1.2 erf; 1.4 atan; 1.5 expm1;
 * 1.6 sin cos; 2.5 sigmoid; 2.7 tanh; 3 tan. tests/numeric/vec_all.c measures and bounds them,
 * tests/numeric/minimax.py derives the polynomials. Without fused multiply-add they are larger.
 * NaN gives NaN; infinities and denormals are treated exactly; odd functions keep the sign of zero. */
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

/* ---- exp and its kin ---- */

/* x = k ln 2 + r with k whole and |r| < 0.347, for |x| < 2^21. */
typedef struct nn_reduced {
    nn_v r, k;
    nn_u bits; /* the low ones count k in two's complement: adding 1.5 * 2^23 leaves no room for a fraction */
} nn_reduced;

NN_INLINE nn_reduced nn_count_ln2(nn_v x)
{
    nn_v z = nn_fma(x, nn_set(0x1.715476p+0f), nn_set(0x1.8p23f));
    return (nn_reduced){.k = z - 0x1.8p23f, .bits = (nn_u)z};
}

NN_INLINE nn_reduced nn_reduce_exp(nn_v x)
{
    nn_reduced e = nn_count_ln2(x);
    e.r = nn_fma(e.k, nn_set(-0x1.62e4p-1f), x); /* exact: the constant has 15 bits */
    e.r = nn_fma(e.k, nn_set(-0x1.7f7d1cp-20f), e.r);
    return e;
}

/* For |x| < 20: k is too small for what the constant lacks to matter. */
NN_INLINE nn_reduced nn_reduce_small(nn_v x)
{
    nn_reduced e = nn_count_ln2(x);
    e.r = nn_fma(e.k, nn_set(-0x1.62e43p-1f), x);
    return e;
}

/* Polynomials are evaluated by pairs (Estrin): more multiplications than Horner's way, but half as long a wait.
 * c0 + c1 x, and four and eight coefficients. */
NN_INLINE nn_v nn_poly2(nn_v x, float c0, float c1) { return nn_fma(x, nn_set(c1), nn_set(c0)); }
NN_INLINE nn_v nn_poly4(nn_v x, nn_v x2, float c0, float c1, float c2, float c3)
{
    return nn_fma(nn_poly2(x, c2, c3), x2, nn_poly2(x, c0, c1));
}

/* exp(r) = 1 + r + r^2 q */
NN_INLINE nn_v nn_exp_tail(nn_v r)
{
    nn_v r2 = r * r, q = nn_poly4(r, r2, 0x1.5554f8p-5f, 0x1.1112d8p-7f, 0x1.6d3a4ap-10f, 0x1.9e7380p-13f);
    return nn_fma(q, r2, nn_poly2(r, 0x1.000000p-1f, 0x1.555554p-3f));
}

/* 2^(k + more), a normal number: shifting leaves of the bits what belongs into an exponent. */
NN_INLINE nn_v nn_power_of_two(nn_reduced e, int more) { return (nn_v)((e.bits << 23) + ((uint32_t)(127 + more) << 23)); }

/* p * 2^k for k from -252 to 254, rounded once where that is no normal number. */
NN_INLINE nn_v nn_scale(nn_v p, nn_reduced e)
{
#if defined __AVX512F__
    return (nn_v)_mm512_scalef_ps((__m512)p, (__m512)e.k);
#else
    nn_i k = (nn_i)(e.bits - 0x4b400000u), half = k >> 1;
    nn_v low = (nn_v)(((nn_u)half + 127) << 23), high = (nn_v)(((nn_u)(k - half) + 127) << 23);
    return p * low * high;
#endif
}

NN_INLINE nn_v nn_exp(nn_v x)
{
    nn_reduced e = nn_reduce_exp(nn_max(nn_min(x, nn_set(89.0f)), nn_set(-104.0f))); /* beyond: inf, 0 */
    nn_v high = e.r + 1.0f, low = e.r - (high - 1.0f); /* their sum is 1 + r exactly */
    return nn_scale(high + nn_fma(e.r * e.r, nn_exp_tail(e.r), low), e);
}

NN_INLINE nn_v nn_expm1(nn_v x)
{
    nn_reduced e = nn_reduce_exp(nn_max(nn_min(x, nn_set(89.0f)), nn_set(-30.0f)));
    nn_v p = nn_fma(e.r * e.r, nn_exp_tail(e.r), e.r);
    nn_v half = nn_power_of_two(e, -1); /* k = 128 must not overflow yet */
    nn_v y = nn_fma(half, p, half - 0.5f);
    return nn_select(nn_lt(nn_abs(x), nn_set(0x1p-25f)), x, y + y);
}

/* t / (t + 2) with t = exp(2 x) - 1. */
NN_INLINE nn_v nn_tanh(nn_v x)
{
    nn_v a = nn_min(nn_abs(x), nn_set(9.03f)); /* beyond, it rounds to 1 */
    nn_reduced e = nn_reduce_small(a + a);
    nn_v r2 = e.r * e.r, power = nn_power_of_two(e, 0), t;
    t = nn_fma(r2, nn_set(0x1.6b9c68p-10f), nn_poly2(e.r, 0x1.5556f2p-5f, 0x1.12254ap-7f));
    t = nn_fma(r2, t, nn_poly2(e.r, 0x1.fffffep-2f, 0x1.5554b4p-3f));
    t = nn_fma(power, nn_fma(r2, t, e.r), power - 1.0f);
    return nn_copysign(t / (t + 2.0f), x);
}

/* e / (1 + e) left of 0 and 1 / (1 + e) right of it, e = exp(-|x|): small results keep their digits. */
NN_INLINE nn_v nn_sigmoid(nn_v x)
{
    nn_v e = nn_exp(-nn_abs(x));
    return nn_select(nn_lt(x, nn_set(0)), e, nn_set(1)) / (e + 1.0f);
}

/* ---- logarithms ---- */

/* e ln 2 + log(1 + f), 0.75 <= 1 + f < 1.5. */
NN_INLINE nn_v nn_log_reduced(nn_v f, nn_v e)
{
    nn_v s = f * f, y;
    nn_v q = nn_poly4(f, s, 0x1.288234p-3f, -0x1.0d9cfap-3f, 0x1.acf8c4p-4f, -0x1.71de38p-5f);
    q = nn_fma(q, s * s, nn_poly4(f, s, 0x1.5555a4p-2f, -0x1.000048p-2f, 0x1.996982p-3f, -0x1.54ed9ep-3f));
    y = nn_fma(q, f, nn_set(-0.5f));
    y = nn_fma(y, s, e * 0x1.7f7d1cp-20f);
    return nn_fma(e, nn_set(0x1.62e4p-1f), f + y);
}

/* Whole e with x / 2^e in [0.75, 1.5), for normal x > 0. */
NN_INLINE nn_i nn_exponent(nn_v x) { return (nn_i)((nn_u)x - 0x3f400000u) >> 23; }

/* What the logarithm of u is where the formula does not say. */
NN_INLINE nn_v nn_log_edges(nn_v u, nn_v r)
{
    nn_v none = nn_select(nn_eq(u, nn_set(0)), nn_set(-__builtin_inff()), nn_set(__builtin_nanf("")));
    return nn_select(nn_gt(u, nn_set(0)), nn_select(nn_eq(u, nn_set(__builtin_inff())), u, r), none);
}

NN_INLINE nn_v nn_log(nn_v x)
{
#if defined __AVX512F__
    /* the same numbers: 0 and inf give e = -inf and inf, a negative x gives f = NaN */
    __m512 m = _mm512_getmant_ps((__m512)x, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_nan);
    __m512 e = _mm512_sub_ps(_mm512_getexp_ps((__m512)x), _mm512_getexp_ps(m));
    return nn_log_reduced((nn_v)m - 1.0f, (nn_v)e);
#else
    nn_m small = nn_lt(x, nn_set(0x1p-126f));
    nn_v y = nn_select(small, x * 0x1p23f, x);
    nn_i e = nn_exponent(y);
    nn_v m = (nn_v)((nn_u)y - ((nn_u)e << 23));
    return nn_log_edges(x, nn_log_reduced(m - 1.0f, nn_float(e - (small & 23))));
#endif
}

NN_INLINE nn_v nn_log1p(nn_v x)
{
    nn_v u = x + 1.0f;
    nn_i e = nn_exponent(u);
    nn_v s = (nn_v)((nn_u)(129 - e) << 23); /* 4 / 2^e: even for e = 128 a normal number */
    nn_v f = nn_fma(x * 0.25f, s, nn_fma(s, nn_set(0.25f), nn_set(-1.0f)));
    nn_v r = nn_log_edges(u, nn_log_reduced(f, nn_float(e)));
    return nn_select(nn_lt(nn_abs(x), nn_set(0x1p-25f)), x, r);
}

/* ---- erf ---- */

NN_LOCAL nn_v nn_erf(nn_v x)
{
    nn_v a = nn_min(nn_abs(x), nn_set(3.95f)), s = a * a; /* beyond, it rounds to 1 */
    nn_v p = nn_set(0x1.4d2864p-14f), q = nn_set(0x1.8d027ep-21f), power;
    nn_reduced e;

    /* up to 0.9: a + a p(a^2) */
    p = nn_fma(p, s, nn_set(-0x1.a583bcp-11f));
    p = nn_fma(p, s, nn_set(0x1.543f2ap-8f));
    p = nn_fma(p, s, nn_set(-0x1.b80062p-6f));
    p = nn_fma(p, s, nn_set(0x1.ce2d60p-4f));
    p = nn_fma(p, s, nn_set(-0x1.812740p-2f));
    p = nn_fma(p, s, nn_set(0x1.06eba8p-3f));
    p = nn_fma(p, a, a);

    /* beyond: 1 - exp(-q(a)) */
    q = nn_fma(q, a, nn_set(0x1.7ac5d2p-17f));
    q = nn_fma(q, a, nn_set(-0x1.8d23a8p-12f));
    q = nn_fma(q, a, nn_set(0x1.05bd52p-8f));
    q = nn_fma(q, a, nn_set(-0x1.95e628p-6f));
    q = nn_fma(q, a, nn_set(0x1.b9c92cp-4f));
    q = nn_fma(q, a, nn_set(0x1.446f8ap-1f));
    q = nn_fma(q, a, nn_set(0x1.211f2ap+0f));
    q = nn_fma(q, a, nn_set(-0x1.3bdb74p-13f));
    e = nn_reduce_exp(-q);
    power = nn_power_of_two(e, 0);
    q = 1.0f - nn_fma(power, nn_fma(e.r * e.r, nn_exp_tail(e.r), e.r), power);
    return nn_copysign(nn_select(nn_lt(a, nn_set(0.9f)), p, q), x);
}

/* ---- sin, cos, tan, atan ---- */

/* Payne and Hanek's reduction in integers, for one |x| beyond the fast one's reach. x = m 2^e: those bits of 2/pi that
 * make whole turns of m 2^e are left out, 96 further ones give the quadrant and 70 correct bits of the rest. */
NN_LOCAL float nn_reduce_far(float x, int32_t *quadrant)
{
    static const uint32_t two_over_pi[] = {0,           0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u,
                                           0xdb629599u, 0x3c439041u, 0xfe5163abu, 0xdebbc561u};
    union { float f; uint32_t u; } bits = {x};
    int e = (int)(bits.u >> 23 & 255) - 150, first = e + 30, shift = first & 31, i = first / 32;
    uint64_t m = (bits.u & 0x7fffffu) | 0x800000u;
    uint64_t high = (uint64_t)two_over_pi[i] << 32 | two_over_pi[i + 1];
    uint64_t low = (uint64_t)two_over_pi[i + 2] << 32 | two_over_pi[i + 3];
    double r;

    if (e > 104)
        return x - x; /* inf, NaN */
    if (shift) {
        high = high << shift | low >> (64 - shift);
        low <<= shift;
    }
    /* m * (96 bits), modulo 2^96; its two highest bits count quarter turns */
    low = m * (low >> 32);
    high = m * high + (low >> 32);
    *quadrant = (int32_t)(high >> 62);
    high = high << 2 | (low >> 30 & 3);
    *quadrant += (int32_t)(high >> 63); /* to the nearest: the rest is in [-1/2, 1/2) */
    r = (double)(int64_t)high * 0x1p-64 * 1.57079632679489661923;
    if (bits.u >> 31) {
        *quadrant = -*quadrant;
        r = -r;
    }
    return (float)r;
}

/* x = quadrant * pi/2 + r, |r| <= pi/4. */
NN_INLINE nn_v nn_reduce(nn_v x, nn_i *quadrant)
{
    nn_m far = nn_not(nn_le(nn_abs(x), nn_set(NN_FUSED ? 100000.0f : 8192.0f)));
    nn_v y = nn_select(far, nn_set(0), x), k = (y * 0x1.45f306p-1f + 0x1.8p23f) - 0x1.8p23f, r;
    nn_i n = nn_int(k);
#if NN_FUSED
    r = nn_fma(k, nn_set(-0x1.921fb4p+0f), y);
    r = nn_fma(k, nn_set(-0x1.4442d2p-24f), r);
    r = nn_fma(k, nn_set(0x1.ee59dap-50f), r);
#else
    r = y - k * 0x1.92p+0f; /* few bits in the first constants, and the products are exact */
    r = r - k * 0x1.fb4p-12f;
    r = r - k * 0x1.444p-24f;
    r = r - k * 0x1.68c234p-39f;
#endif
    if (nn_any(far))
        for (int i = 0; i < NN_LANES; i++)
            if (far[i]) {
                int32_t q = 0;
                r[i] = nn_reduce_far(x[i], &q);
                n[i] = q;
            }
    *quadrant = n;
    return r;
}

/* Sine of r plus a quarter turn for each quadrant. */
NN_INLINE nn_v nn_sin_reduced(nn_v r, nn_i quadrant)
{
    nn_v s = r * r, p = nn_set(-0x1.995300p-13f), q = nn_set(0x1.99e904p-16f);
    p = nn_fma(p, s, nn_set(0x1.110776p-7f));
    p = nn_fma(p, s, nn_set(-0x1.555546p-3f));
    p = nn_fma(p, s * r, r);
    q = nn_fma(q, s, nn_set(-0x1.6c0c2ap-10f));
    q = nn_fma(q, s, nn_set(0x1.55554ap-5f));
    q = nn_fma(q, s, nn_set(-0.5f));
    q = nn_fma(q, s, nn_set(1.0f));
    p = nn_select(-(quadrant & 1), q, p);
    return (nn_v)((nn_u)p ^ (((nn_u)quadrant & 2u) << 30));
}

NN_LOCAL nn_v nn_sin(nn_v x)
{
    nn_i quadrant;
    nn_v r = nn_reduce(x, &quadrant);
    return nn_select(nn_eq(x, nn_set(0)), x, nn_sin_reduced(r, quadrant));
}

NN_LOCAL nn_v nn_cos(nn_v x)
{
    nn_i quadrant;
    nn_v r = nn_reduce(x, &quadrant);
    return nn_sin_reduced(r, quadrant + 1);
}

NN_LOCAL nn_v nn_tan(nn_v x)
{
    nn_i quadrant;
    nn_v r = nn_reduce(x, &quadrant), s = r * r, p = nn_set(0x1.1ec918p-8f);
    p = nn_fma(p, s, nn_set(0x1.817c52p-14f));
    p = nn_fma(p, s, nn_set(0x1.62f220p-7f));
    p = nn_fma(p, s, nn_set(0x1.5cba1ap-6f));
    p = nn_fma(p, s, nn_set(0x1.bada4cp-5f));
    p = nn_fma(p, s, nn_set(0x1.110d9cp-3f));
    p = nn_fma(p, s, nn_set(0x1.555560p-2f));
    p = nn_fma(p, s * r, r);
    p = nn_select(-(quadrant & 1), -1.0f / p, p);
    return nn_select(nn_eq(x, nn_set(0)), x, p);
}

/* Beyond 1: pi/2 - atan(1 / x). */
NN_LOCAL nn_v nn_atan(nn_v x)
{
    nn_v a = nn_abs(x);
    nn_m far = nn_gt(a, nn_set(1));
    nn_v t = nn_select(far, -1.0f / a, a), s = t * t, p = nn_set(-0x1.d35992p-10f);
    p = nn_fma(p, s, nn_set(0x1.6424b0p-7f));
    p = nn_fma(p, s, nn_set(-0x1.fd7e08p-6f));
    p = nn_fma(p, s, nn_set(0x1.da2a0cp-5f));
    p = nn_fma(p, s, nn_set(-0x1.58091cp-4f));
    p = nn_fma(p, s, nn_set(0x1.c08c4ep-4f));
    p = nn_fma(p, s, nn_set(-0x1.242086p-3f));
    p = nn_fma(p, s, nn_set(0x1.9991e4p-3f));
    p = nn_fma(p, s, nn_set(-0x1.55553ep-2f));
    p = nn_fma(p, s * t, t);
    return nn_copysign(nn_select(far, 0x1.921fb6p+0f + (p - 0x1.777a5cp-25f), p), x);
}

/* ---- pow: in double, since an error in the logarithm grows by y log x ---- */

#define NN_8(a) {a, a, a, a, a, a, a, a}

NN_INLINE nn_d nn_setd(double a) { return (nn_d)NN_8(a); }
NN_INLINE nn_d nn_selectd(nn_l m, nn_d a, nn_d b) { return (nn_d)((m & (nn_l)a) | (~m & (nn_l)b)); }

/* x^y for x >= 0 or NaN; 0^0, inf^0 and 1^inf are put right by nn_pow. */
NN_INLINE nn_d nn_powd(nn_d x, nn_d y)
{
    nn_l e = (nn_l)((nn_ul)x - 0x3fe6a09e667f3bcdu) >> 52;
    nn_d f = (nn_d)((nn_ul)x - ((nn_ul)e << 52)) - 1.0, q = nn_setd(-0x1.1da6a9dc43d78p-4), t, k;
    q = nn_fmad(q, f, nn_setd(0x1.0f627353a81dap-3));
    q = nn_fmad(q, f, nn_setd(-0x1.13b891a86d9f7p-3));
    q = nn_fmad(q, f, nn_setd(0x1.0acdf370cea0ap-3));
    q = nn_fmad(q, f, nn_setd(-0x1.23d650d9e3f48p-3));
    q = nn_fmad(q, f, nn_setd(0x1.481fac988b855p-3));
    q = nn_fmad(q, f, nn_setd(-0x1.7188d2f8387a8p-3));
    q = nn_fmad(q, f, nn_setd(0x1.a61b7dd29b066p-3));
    q = nn_fmad(q, f, nn_setd(-0x1.ec6f2e027b9ebp-3));
    q = nn_fmad(q, f, nn_setd(0x1.2776b6ccef868p-2));
    q = nn_fmad(q, f, nn_setd(-0x1.71547888386f8p-2));
    q = nn_fmad(q, f, nn_setd(0x1.ec709de33ca63p-2));
    q = nn_fmad(q, f, nn_setd(-0x1.71547651b7096p-1));
    q = nn_fmad(q, f, nn_setd(0x1.71547652b58f6p+0));
    /* e is small: its sum with 1.5 * 2^52 is built from bits, the processor may have no conversion */
    t = (nn_d)(e + 0x4338000000000000) - 0x1.8p52;
    t = nn_fmad(q, f, t);
    t = nn_selectd(x > 0.0, t, nn_setd(-__builtin_inf()));
    t = nn_selectd(x < __builtin_inf(), t, x);
    t = t * y;
    t = nn_selectd(t > 400.0, nn_setd(400.0), t);
    t = nn_selectd(t < -400.0, nn_setd(-400.0), t);
    k = t + 0x1.8p52;
    f = t - (k - 0x1.8p52);
    q = nn_setd(0x1.fe1776b57057bp-17);
    q = nn_fmad(q, f, nn_setd(0x1.446a1fc4fbf6bp-13));
    q = nn_fmad(q, f, nn_setd(0x1.5d8a7092b72cep-10));
    q = nn_fmad(q, f, nn_setd(0x1.3b29dc40f5145p-7));
    q = nn_fmad(q, f, nn_setd(0x1.c6b08aaf26c23p-5));
    q = nn_fmad(q, f, nn_setd(0x1.ebfbe0a4be5cbp-3));
    q = nn_fmad(q, f, nn_setd(0x1.62e42ff116297p-1));
    q = nn_fmad(q, f, nn_setd(1.0));
    return nn_selectd(t == t, (nn_d)((nn_ul)q + ((nn_ul)k << 52)), t);
}

/* The special cases are those of C's pow. */
NN_LOCAL nn_v nn_pow(nn_v x, nn_v y)
{
    nn_v a = nn_abs(x), r = nn_set(0), half = y * 0.5f;
    nn_m negative = (nn_i)x >> 31;
    nn_m whole = nn_or(nn_eq(nn_trunc(y), y), nn_eq(nn_abs(y), nn_set(__builtin_inff())));
    nn_m odd = nn_and(nn_lt(nn_abs(y), nn_set(0x1p24f)), nn_and(whole, nn_ne(nn_trunc(half), half)));
    typedef union { nn_v v; nn_v8 half[2]; } halves;
    halves ha = {a}, hy = {y}, hr = {r};
    for (int i = 0; i < 2; i++)
        hr.half[i] = __builtin_convertvector(nn_powd(__builtin_convertvector(ha.half[i], nn_d),
                                                     __builtin_convertvector(hy.half[i], nn_d)), nn_v8);
    r = nn_select(nn_eq(a, nn_set(1)), nn_set(1), hr.v);
    r = nn_select(nn_and(negative, odd), -r, r);
    r = nn_select(nn_and(nn_and(nn_lt(x, nn_set(0)), nn_lt(a, nn_set(__builtin_inff()))), nn_not(whole)), nn_set(__builtin_nanf("")), r);
    r = nn_select(nn_or(nn_eq(x, nn_set(1)), nn_eq(y, nn_set(0))), nn_set(1), r);
    return r;
}

/* ---- random numbers: lane by lane those of nn_random.h ---- */

NN_INLINE nn_u nn_mix_v(nn_u x)
{
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    x ^= x >> 16;
    return x;
}

NN_INLINE nn_v nn_random_v(uint32_t key, nn_i counter)
{
    nn_u bits = nn_mix_v(nn_mix_v((nn_u)counter * 0x9e3779b9u + key) ^ key) >> 8;
    return nn_float((nn_i)bits) * 0x1p-24f;
}

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
