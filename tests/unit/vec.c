/* vec.c -- nn_vec.h and nn_math.h: accuracy against libm in double over a sample of every exponent, special values, and
 * that the bits do not depend on how it is compiled. tests/numeric/vec_all.c does the same over all floats. */
#include "nn_math.h"

#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nn_random.h"

static float from_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}

static uint32_t to_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

/* Errors in units in the last place of the float nearest to the truth; what should have been NaN, infinite or signed
 * differently counts 1e9. */
static double ulps(float got, double truth)
{
    float near = (float)truth;
    int e;

    if (isnan(truth) || isnan(got))
        return isnan(truth) && isnan(got) ? 0 : 1e9;
    if (isinf(near) || isinf(got))
        return got == near || (fabs(truth) > 0x1.fffffcp127 && fabsf(got) > 0x1.fffffcp127f && isfinite(truth)) ? 0 : 1e9;
    if (truth == 0 && (got != 0 || !signbit(truth) != !signbit(got)))
        return 1e9;
    frexp(truth, &e);
    return fabs((double)got - truth) / ldexp(1, e < -125 ? -149 : e - 24);
}

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double same_abs(double x) { return fabs(x); }
static double sign_of(double x) { return (x > 0) - (x < 0); }

#define WRAP(f) static void v_##f(const float *x, float *y) { nn_store(y, nn_##f(nn_load(x))); }
WRAP(exp) WRAP(expm1) WRAP(log) WRAP(log1p) WRAP(tanh) WRAP(sigmoid) WRAP(erf) WRAP(sin) WRAP(cos) WRAP(tan) WRAP(atan)
WRAP(sqrt) WRAP(abs) WRAP(sign) WRAP(floor) WRAP(ceil) WRAP(round) WRAP(trunc)

/* The bounds in the last column hold with fused multiply-add; without it errors are larger, above all in sin and its
 * kin, whose reduction then is only good to an absolute 2^-24. */
static const struct Function {
    const char *name;
    void (*ours)(const float *x, float *y);
    double (*truth)(double);
    double bound;
} functions[] = {
    {"exp", v_exp, exp, 1.0},          {"expm1", v_expm1, expm1, 1.5},  {"log", v_log, log, 1.0},
    {"log1p", v_log1p, log1p, 1.0},    {"tanh", v_tanh, tanh, 2.7},     {"sigmoid", v_sigmoid, sigmoid, 2.5},
    {"erf", v_erf, erf, 1.2},          {"sin", v_sin, sin, 1.6},        {"cos", v_cos, cos, 1.6},
    {"tan", v_tan, tan, 3.0},          {"atan", v_atan, atan, 1.4},     {"sqrt", v_sqrt, sqrt, 0.5001},
    {"abs", v_abs, same_abs, 0},       {"sign", v_sign, sign_of, 0},    {"floor", v_floor, floor, 0},
    {"ceil", v_ceil, ceil, 0},         {"round", v_round, nearbyint, 0}, {"trunc", v_trunc, trunc, 0},
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

static double bound_of(const struct Function *f)
{
    bool trigonometric = f->truth == sin || f->truth == cos || f->truth == tan;

    return NN_FUSED ? f->bound : trigonometric ? 1e8 : 3 * f->bound;
}

/* 2^32 / 997 floats: each exponent some 16,000 times. */
START_TEST(accuracy)
{
    const struct Function *f = &functions[_i];
    double worst = 0;
    float at = 0;

    for (uint64_t u = 0; u < (uint64_t)1 << 32; u += 16 * 997) {
        float x[16], y[16];

        for (uint32_t i = 0; i < 16; i++)
            x[i] = from_bits((uint32_t)u + 997 * i);
        f->ours(x, y);
        for (int i = 0; i < 16; i++) {
            double truth = isnan(x[i]) && f->truth == sign_of ? 0 : f->truth((double)x[i]);
            double error = ulps(y[i], truth);

            if (error > worst) {
                worst = error;
                at = x[i];
            }
        }
    }
    ck_assert_msg(worst <= bound_of(f), "%s(%a) is off by %g units", f->name, (double)at, worst);
}
END_TEST

static const float edges[] = {
    0.0f, -0.0f, 1, -1, 0.5f, -0.5f, 1.5f, 2.5f, -2.5f, 0x1p-149f, -0x1p-149f, 0x1p-126f, -0x1.fffffcp-127f, 0x1p-25f, 0x1p23f, -0x1p23f,
    8388607.5f, 0x1p24f, 0x1.fffffep127f, -0x1.fffffep127f, INFINITY, -INFINITY, NAN, 0x1p31f, -0x1p31f, 88.72283f, 88.722839f, 88.73f,
    -87.33655f, -103.9721f, -103.97209f, -104.1f, -149, 1000, -1000, 1e10f, 9.01f, 9.1f, 3.93f, 3.95f, 17.4f, -17.4f, 100000, 100001,
    3.14159274f, 1.57079637f, 0x1.921fb4p+0f, 0x1.6ac5b2p+99f, 16367173.0f, 0.55f, 0.6f, 0.75f, 1.4999999f,
};

START_TEST(special_values)
{
    const struct Function *f = &functions[_i];

    for (size_t e = 0; e < sizeof edges / sizeof *edges; e++) {
        float x[16], y[16];
        double truth = isnan(edges[e]) && f->truth == sign_of ? 0 : f->truth((double)edges[e]);

        for (int i = 0; i < 16; i++)
            x[i] = i == 5 ? edges[e] : 1.25f;
        f->ours(x, y);
        ck_assert_msg(ulps(y[5], truth) <= bound_of(f), "%s(%a) = %a, not %a", f->name, (double)edges[e], (double)y[5], truth);
        ck_assert(ulps(y[4], f->truth(1.25)) <= bound_of(f)); /* its neighbours do not suffer */
    }
}
END_TEST

START_TEST(power)
{
    double worst = 0;

    for (uint32_t u = 0; u < 400000; u++) {
        float x = from_bits(nn_mix(u)), y = from_bits(nn_mix(u + 1000000));
        nn_v got;

        if (u & 1) { /* as they occur */
            x = expf(fmodf(x, 10));
            y = fmodf(y, 10);
        }
        got = nn_pow(nn_set(x), nn_set(y));
        double error = ulps(got[3], pow((double)x, (double)y));
        if (error > worst)
            worst = error;
        ck_assert_msg(error < (NN_FUSED ? 0.6 : 2), "pow(%a, %a) = %a is off by %g", (double)x, (double)y, (double)got[3], error);
    }
    for (size_t a = 0; a < sizeof edges / sizeof *edges; a++)
        for (size_t b = 0; b < sizeof edges / sizeof *edges; b++) {
            nn_v got = nn_pow(nn_set(edges[a]), nn_set(edges[b]));
            double truth = pow((double)edges[a], (double)edges[b]);
            ck_assert_msg(ulps(got[0], truth) < 2, "pow(%a, %a) = %a, not %a", (double)edges[a], (double)edges[b], (double)got[0], truth);
        }
}
END_TEST

START_TEST(choosing)
{
    for (size_t a = 0; a < sizeof edges / sizeof *edges; a++)
        for (size_t b = 0; b < sizeof edges / sizeof *edges; b++) {
            float x = edges[a], y = edges[b];
            nn_v u = nn_set(x), w = nn_set(y);
            float most = isnan(x) || isnan(y) ? NAN : y > x ? y : x, least = isnan(x) || isnan(y) ? NAN : y < x ? y : x;

            ck_assert((isnan(most) && isnan(nn_max(u, w)[1])) || to_bits(most) == to_bits(nn_max(u, w)[1]));
            ck_assert((isnan(least) && isnan(nn_min(u, w)[1])) || to_bits(least) == to_bits(nn_min(u, w)[1]));
            ck_assert_int_eq(nn_lt(u, w)[2], -(x < y));
            ck_assert_int_eq(nn_le(u, w)[2], -(x <= y));
            ck_assert_int_eq(nn_gt(u, w)[2], -(x > y));
            ck_assert_int_eq(nn_ge(u, w)[2], -(x >= y));
            ck_assert_int_eq(nn_eq(u, w)[2], -(x == y));
            ck_assert_int_eq(nn_ne(u, w)[2], -(x != y));
            ck_assert(nn_num(nn_lt(u, w))[3] == (x < y ? 1.0f : 0.0f));
            ck_assert_uint_eq(to_bits(nn_select(nn_lt(u, w), u, w)[4]), to_bits(x < y ? x : y));
            ck_assert_uint_eq(to_bits(nn_copysign(u, w)[4]), to_bits(copysignf(x, y)));
            if (NN_FUSED && !isnan(fmaf(x, y, x)))
                ck_assert_uint_eq(to_bits(nn_fma(u, w, u)[6]), to_bits(fmaf(x, y, x)));
        }
    for (int n = 0; n <= 16; n++)
        for (int i = 0; i < 16; i++)
            ck_assert_int_eq(nn_first(n)[i], i < n ? -1 : 0);
    ck_assert(!nn_any(nn_first(0)) && nn_any(nn_first(1)));
}
END_TEST

START_TEST(first_lanes)
{
    float from[16], to[17];

    for (int i = 0; i < 16; i++)
        from[i] = (float)i + 1;
    for (int n = 0; n <= 16; n++) {
        /* a block of exactly n floats: valgrind and the sanitizers see the one after */
        float *exact = malloc((size_t)n * sizeof *exact + 1);

        memcpy(exact, from, (size_t)n * sizeof *exact);
        nn_v a = nn_load_first(exact, n);
        memset(to, 0, sizeof to);
        nn_store_first(to, n, a + 1.0f);
        for (int i = 0; i < 16; i++)
            ck_assert(a[i] == (i < n ? from[i] : 0) && to[i] == (i < n ? from[i] + 1 : 0));
        free(exact);
    }
}
END_TEST

START_TEST(sixteen_to_one)
{
    float x[16], tree[16], most = -INFINITY, least = INFINITY;

    for (uint32_t round = 0; round < 1000; round++) {
        most = -INFINITY, least = INFINITY;
        for (uint32_t i = 0; i < 16; i++) {
            x[i] = tree[i] = (nn_random(round, i) - 0.5f) * ldexpf(1, (int)(nn_mix(16 * round + i) % 30));
            most = fmaxf(most, x[i]), least = fminf(least, x[i]);
        }
        for (int half = 8; half > 0; half /= 2)
            for (int i = 0; i < half; i++)
                tree[i] += tree[i + half];
        ck_assert_uint_eq(to_bits(nn_sum(nn_load(x))), to_bits(tree[0]));
        ck_assert(nn_hmax(nn_load(x)) == most && nn_hmin(nn_load(x)) == least);
        x[round & 15] = NAN;
        ck_assert(isnan(nn_hmax(nn_load(x))) && isnan(nn_hmin(nn_load(x))));
    }
}
END_TEST

START_TEST(transposed)
{
    static float src[16 * 19], dst[16 * 21];

    for (int i = 0; i < 16 * 19; i++)
        src[i] = (float)i;
    nn_transpose16(src, 19, dst, 21);
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++)
            ck_assert(dst[j * 21 + i] == src[i * 19 + j]);
}
END_TEST

START_TEST(random_numbers)
{
    for (uint32_t block = 0; block < 1000; block++) {
        uint32_t key = nn_random_key(block, 7, block % 5);
        nn_v r = nn_random_v(key, nn_iota() + nn_seti((int32_t)(block * 0x10000001u)));

        for (uint32_t i = 0; i < 16; i++)
            ck_assert_uint_eq(to_bits(r[i]), to_bits(nn_random(key, block * 0x10000001u + i)));
    }
}
END_TEST

/* --- the same bits from every compiler, at every -O, for every processor with fused multiply-add --- */

static const char hashing[] =
    "#include \"nn_math.h\"\n"
    "#include <stdio.h>\n"
    "static uint32_t h = 2166136261u;\n"
    "static void add(nn_v a) { for (int i = 0; i < 16; i++) { float f = a[i]; union { float f; uint32_t u; } b = {f};\n"
    "    if (f != f) b.u = 0x7fc00000u; h = (h ^ b.u) * 16777619u; } }\n"
    "int main(void) { for (uint32_t u = 0; u < 4294900000u; u += 999983) { float x[16];\n"
    "    for (uint32_t i = 0; i < 16; i++) { union { uint32_t u; float f; } b = {u + i * 61111}; x[i] = b.f; }\n"
    "    nn_v a = nn_load(x), b = nn_random_v(u, nn_iota());\n"
    "    add(nn_exp(a)); add(nn_expm1(a)); add(nn_log(a)); add(nn_log1p(a)); add(nn_tanh(a)); add(nn_sigmoid(a)); add(nn_erf(a));\n"
    "    add(nn_sin(a)); add(nn_cos(a)); add(nn_tan(a)); add(nn_atan(a)); add(nn_pow(a, b)); add(nn_round(a)); add(nn_floor(a));\n"
    "    add(nn_ceil(a)); add(nn_trunc(a)); add(nn_max(a, b)); add(nn_min(b, a)); add(nn_fma(a, b, a)); add(nn_sqrt(a));\n"
    "    add(nn_set(nn_sum(b) + nn_hmax(b))); }\n"
    "    printf(\"%08x\\n\", h); return 0; }\n";

static bool run(const char *command, char *out, int room)
{
    FILE *p = popen(command, "r");
    bool got;

    ck_assert_ptr_nonnull(p);
    got = fgets(out, room, p) != NULL;
    return pclose(p) == 0 && got;
}

START_TEST(same_bits)
{
#if defined __x86_64__
    static const char *const compilers[] = {"gcc", "clang", "clang-19"};
    static const char *const levels[] = {"-O0", "-O3 -fno-math-errno -fno-trapping-math"};
    static const char *const targets[] = {"x86-64-v3", "x86-64-v4"};
    char folder[] = "/tmp/nnc-vec-XXXXXX", command[600], first[32] = "", hash[32];
    bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq");
    int compared = 0;
    FILE *source;

    if (!__builtin_cpu_supports("fma") || access("runtime/nn_math.h", R_OK) != 0)
        return;
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(command, sizeof command, "%s/bits.c", folder);
    source = fopen(command, "w");
    ck_assert_ptr_nonnull(source);
    fputs(hashing, source);
    fclose(source);
    for (int c = 0; c < 3; c++)
        for (int l = 0; l < 2; l++)
            for (int t = 0; t < (wide ? 2 : 1); t++) {
                snprintf(command, sizeof command,
                         "command -v %s >/dev/null 2>&1 && cd '%s' && %s -std=c11 %s -march=%s -ffp-contract=off -w -I'%s/runtime' bits.c -o bits "
                         "2>/dev/null && ./bits", compilers[c], folder, compilers[c], levels[l], targets[t], getenv("PWD"));
                if (!run(command, hash, sizeof hash))
                    continue; /* that compiler is not here */
                if (compared++ == 0)
                    strcpy(first, hash);
                ck_assert_msg(strcmp(first, hash) == 0, "%s %s %s: %s, but the first: %s", compilers[c], levels[l], targets[t], hash, first);
            }
    ck_assert_int_gt(compared, 1);
    snprintf(command, sizeof command, "rm -r '%s'; echo", folder);
    run(command, hash, sizeof hash);
#endif
}
END_TEST

/* The rest of this file is built for any processor, without fused multiply-add; models are not. So it builds itself
 * once more, as they are built, and runs that. */
START_TEST(as_models_are_built)
{
    char folder[] = "/tmp/nnc-vec-XXXXXX", command[600], line[200], last[200] = "";
    bool built;
    FILE *p;

    if (NN_FUSED || access("tests/unit/vec.c", R_OK) != 0)
        return;
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(command, sizeof command,
             "cc -std=c11 -D_GNU_SOURCE -O2 -march=native -ffp-contract=off -w -Iruntime tests/unit/vec.c "
             "-lcheck -lsubunit -lrt -lpthread -lm -o %s/vec 2>&1 && %s/vec 2>&1", folder, folder);
    p = popen(command, "r");
    ck_assert_ptr_nonnull(p);
    while (fgets(line, sizeof line, p) != NULL)
        if (strstr(line, "note:") == NULL)
            snprintf(last, sizeof last, "%s", line);
    built = pclose(p) == 0;
    snprintf(command, sizeof command, "rm -r '%s'; echo", folder);
    run(command, line, sizeof line);
    ck_assert_msg(built, "%s", last);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vec");
    TCase *all = tcase_create("vec");
    SRunner *runner;
    int failed;

    tcase_set_timeout(all, 240);
    tcase_add_loop_test(all, accuracy, 0, FUNCTIONS);
    tcase_add_loop_test(all, special_values, 0, FUNCTIONS);
    tcase_add_test(all, power);
    tcase_add_test(all, choosing);
    tcase_add_test(all, first_lanes);
    tcase_add_test(all, sixteen_to_one);
    tcase_add_test(all, transposed);
    tcase_add_test(all, random_numbers);
    if (!NN_FUSED) { /* once is enough */
        tcase_add_test(all, same_bits);
        tcase_add_test(all, as_models_are_built);
    }
    suite_add_tcase(suite, all);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
