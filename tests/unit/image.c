/* image.c -- safetensors images in memory: what is written can be read, and nothing else can do harm. */
#include "nn_image.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static const nn_image_tensor table[] = {
    /* name, shape, offset, row */
    {"bias", "[5]", 128, 0},
    {"scale", "[]", 192, 0},
    {"weight", "[2,3,5]", 256, 8},
};
enum { CONTEXT = 512, HEADER = 208, DATA = 8 + 20 + 120, FILE_BYTES = 8 + HEADER + DATA };

static void fill(unsigned char *ctx)
{
    float x;
    double scale = 0.1;

    memset(ctx, 0, CONTEXT);
    for (size_t k = 0; k < 3; k += 2)
        for (size_t i = 0; i < (k == 0 ? 5 : 30); i++) {
            x = (float)(100 * k + i) + 0.5f;
            memcpy(ctx + table[k].offset + 4 * (i / 5 * 8 + i % 5), &x, 4);
        }
    memcpy(ctx + 192, &scale, 8);
}

static bool take(unsigned char *ctx, const unsigned char *file, size_t size)
{
    nn_image_found found[3];

    if (!nn_image_read(file, size, table, 3, found))
        return false;
    for (int i = 0; i < 3; i++)
        nn_image_copy(ctx, &table[i], &found[i]);
    return true;
}

START_TEST(round_trip)
{
    unsigned char ctx[CONTEXT], other[CONTEXT] = {0}, file[FILE_BYTES + 1];

    fill(ctx);
    file[FILE_BYTES] = 0xaa;
    nn_image_write(file, HEADER, ctx, table, 3);
    ck_assert_int_eq(file[FILE_BYTES], 0xaa);
    ck_assert(take(other, file, FILE_BYTES));
    ck_assert_mem_eq(ctx, other, CONTEXT);
    /* Doubles first, then by name. */
    ck_assert_int_eq(memcmp(file + 8, "{\"scale\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[0,8]},\"bias\":", 62), 0);
}
END_TEST

START_TEST(cut_off)
{
    unsigned char ctx[CONTEXT], file[FILE_BYTES];

    fill(ctx);
    nn_image_write(file, HEADER, ctx, table, 3);
    for (size_t n = 0; n < FILE_BYTES; n++) {
        unsigned char *part = malloc(n ? n : 1); /* its own block: a byte too far is seen by the sanitizer */
        memcpy(part, file, n);
        ck_assert(!take(ctx, part, n));
        free(part);
    }
}
END_TEST

/* Any byte of the header may have any value: the file is read or refused, but never read beyond its end. */
START_TEST(flipped)
{
    unsigned char ctx[CONTEXT], *file = malloc(FILE_BYTES);

    fill(ctx);
    nn_image_write(file, HEADER, ctx, table, 3);
    for (size_t i = 0; i < 8 + HEADER; i++)
        for (int x = 0; x < 256; x++) {
            unsigned char before = file[i];
            file[i] = (unsigned char)x;
            take(ctx, file, FILE_BYTES);
            file[i] = before;
        }
    ck_assert(take(ctx, file, FILE_BYTES));
    free(file);
}
END_TEST

#define GOOD(name, dtype, shape, offsets) "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define WEIGHT GOOD("weight", "F32", "[2,3,5]", "[0,120]")
#define SCALE GOOD("scale", "F64", "[]", "[120,128]")
#define BIAS GOOD("bias", "F32", "[5]", "[128,148]")

static const struct { const char *header; int data; bool good; } rows[] = {
    {"{" WEIGHT "," SCALE "," BIAS "}", 148, true},
    {"{\"__metadata__\":{\"format\":\"pt\"}," WEIGHT "," SCALE "," BIAS "}  \n", 148, true},
    {"{\"__metadata__\":{}," WEIGHT "," SCALE "," BIAS "}", 148, true},
    {"{ \"bias\" : { \"shape\" : [ 5 ] , \"data_offsets\" : [ 128 , 148 ] , \"dtype\" : \"F32\" } , " WEIGHT "," SCALE "}", 148, true},
    {"{" WEIGHT "," SCALE "," BIAS "," GOOD("more", "I64", "[2]", "[148,164]") "}", 164, true},
    {"{" WEIGHT "," SCALE "," BIAS "," GOOD("more", "BF16", "[0]", "[148,148]") "}", 148, true},
    {"{" WEIGHT "," GOOD("scale", "F32", "[]", "[120,124]") "," GOOD("bias", "F64", "[5]", "[124,164]") "}", 164, true},
    {"{" WEIGHT "," SCALE "}", 128, false},                                                      /* one is missing */
    {"{" WEIGHT "," SCALE "," BIAS "," BIAS "}", 148, false},                                    /* one comes twice */
    {"{" WEIGHT "," SCALE "," BIAS "}", 147, false},                                             /* ends too early */
    {"{" WEIGHT "," SCALE "," BIAS "}", 149, false},                                             /* something left */
    {"{" WEIGHT "," SCALE "," GOOD("bias", "F32", "[1,5]", "[128,148]") "}", 148, false},        /* another shape */
    {"{" WEIGHT "," SCALE "," GOOD("bias", "F16", "[5]", "[128,148]") "}", 148, false},          /* another type */
    {"{" WEIGHT "," SCALE "," GOOD("bias", "F32", "[5]", "[148,128]") "}", 148, false},          /* ends before it begins */
    {"{" WEIGHT "," SCALE "," GOOD("bias", "F32", "[5]", "[-20,0]") "}", 148, false},
    {"{" WEIGHT "," SCALE "," GOOD("bias", "F32", "[5]", "[18446744073709551596,0]") "}", 148, false},
    {"{" WEIGHT "," SCALE "," GOOD("bias", "F32", "[5]", "[99999999999999999999,0]") "}", 148, false},
    {"{" WEIGHT "," SCALE "," GOOD("bias", "F32", "[4611686018427387904,4,5]", "[128,148]") "}", 148, false},
    {"{" WEIGHT "," SCALE "," GOOD("bias", "F32", "[05]", "[128,148]") "}", 148, false},
    {"{" WEIGHT "," SCALE "," GOOD("bias", "F32", "[5,]", "[128,148]") "}", 148, false},
    {"{" WEIGHT "," SCALE "," GOOD("bias", "F32", "[5", "[128,148]") "}", 148, false},
    {"{" WEIGHT "," SCALE ",\"bias\":{\"dtype\":\"F32\",\"shape\":[5]}}", 148, false},
    {"{" WEIGHT "," SCALE ",\"bias\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[5],\"data_offsets\":[128,148]}}", 148, false},
    {"{" WEIGHT "," SCALE ",\"bias\":{\"dtype\":\"F32\",\"shape\":[5],\"data_offsets\":[128,148],\"x\":1}}", 148, false},
    {"{" WEIGHT "," SCALE "," BIAS ",}", 148, false},
    {"{" WEIGHT "," SCALE "," BIAS "}}", 148, false},
    {"{" WEIGHT "," SCALE "," BIAS, 148, false},
    {"{\"__metadata__\":{\"a\":1}," WEIGHT "," SCALE "," BIAS "}", 148, false},
    {"[]", 0, false},
    {"{}", 0, false},
};

START_TEST(headers)
{
    size_t n = strlen(rows[_i].header), size = 8 + n + (size_t)rows[_i].data;
    unsigned char ctx[CONTEXT] = {0}, *file = calloc(1, size);

    file[0] = (unsigned char)n;
    file[1] = (unsigned char)(n >> 8);
    memcpy(file + 8, rows[_i].header, n);
    ck_assert_msg(take(ctx, file, size) == rows[_i].good, "%s", rows[_i].header);
    free(file);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("image");
    TCase *c = tcase_create("image");

    tcase_add_test(c, round_trip);
    tcase_add_test(c, cut_off);
    tcase_add_test(c, flipped);
    tcase_add_loop_test(c, headers, 0, (int)(sizeof rows / sizeof rows[0]));
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
