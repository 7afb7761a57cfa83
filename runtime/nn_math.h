/* nn_math.h -- the elementary functions of generated code, on the vectors of nn_vec.h, whose promise of the same bits holds.
 *
 * Nothing here calls libm or branches on values, but sin, cos and tan do for |x| > 100000. Largest errors over all floats, in
 * units in the last place: 0.6 pow; 1 exp log log1p; 1.2 erf; 1.4 atan; 1.5 expm1; 1.6 sin cos; 2.5 sigmoid; 2.7 tanh; 3 tan.
 * tests/numeric/vec_all.c measures and bounds them, tests/numeric/minimax.py derives the polynomials. Without fused
 * multiply-add they are larger. NaN gives NaN; infinities and denormals are treated exactly; odd functions keep the sign of
 * zero. */
#ifndef NN_MATH_H
#define NN_MATH_H

#ifndef NN_VEC_H /* which stands before this in a model */
#include "nn_vec.h"
#endif

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

#endif
