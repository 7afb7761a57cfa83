/* checkpoint.c -- JSON, safetensors and checkpoints: what is refused, and what comes back. */
#include "checkpoint.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "trainer_model.h"

/* --- JSON --- */

static const struct { const char *text; bool fine; } json_rows[] = {
    {"{}", true}, {" [ ] ", true}, {"0", true}, {"-0", true}, {"1.5e-3", true}, {"\"\\u00e9\\n\"", true},
    {"[1, {\"a\": [true, false, null]}]", true}, {"\"\xc3\xa9\"", true}, {"\"\\ud83d\\ude00\"", true},
    {"{\"a\":1,\"b\":1}", true}, {"123456789012345678901234567890", true}, {"\"\\u0000\"", true},
    {"", false}, {"[", false}, {"[1", false}, {"[1,", false}, {"[1,]", false}, {"{,}", false}, {"{\"a\"}", false},
    {"{\"a\":}", false}, {"{a:1}", false}, {"{'a':1}", false}, {"01", false}, {"+1", false}, {".5", false}, {"5.", false},
    {"1e", false}, {"1e+", false}, {"-", false}, {"--1", false}, {"0x10", false}, {"NaN", false}, {"Infinity", false},
    {"tru", false}, {"nul", false}, {"\"", false}, {"\"\\", false}, {"\"\\x\"", false}, {"\"\\u12\"", false},
    {"\"\\u12g4\"", false}, {"\"\t\"", false}, {"\"\xff\"", false}, {"\"\xc0\x80\"", false}, {"\"\xed\xa0\x80\"", false},
    {"\"\xf4\x90\x80\x80\"", false}, {"\"\xe2\x82\"", false}, {"\"\\ud800\"", false}, {"\"\\udc00\"", false},
    {"\"\\ud800\\u0041\"", false}, {"[1] 2", false}, {"{} x", false}, {"{\"a\":1,\"a\":2}", false},
    {"{\"a\":1,\"\\u0061\":2}", false}, {"[1 2]", false}, {"{\"a\" 1}", false}, {"// 1", false}, {"\xef\xbb\xbf{}", false},
};

START_TEST(json_is_strict)
{
    Fault f = {0};
    JsonDocument *d = nn_json_parse(json_rows[_i].text, strlen(json_rows[_i].text), &f);

    ck_assert_msg((d != NULL) == json_rows[_i].fine, "%s: %s", json_rows[_i].text, f.text);
    ck_assert((f.status == 0) == json_rows[_i].fine);
    nn_json_free(d);
}
END_TEST

START_TEST(json_is_not_too_deep)
{
    char text[100001];
    Fault f = {0};

    memset(text, '[', sizeof text);
    ck_assert_ptr_null(nn_json_parse(text, sizeof text, &f));
    ck_assert_ptr_nonnull(strstr(f.text, "deep"));
}
END_TEST

START_TEST(json_values_come_back)
{
    static const char text[] = "{\"a\": [1, -2.5, \"x\\u00e9\\ud83d\\ude00\"], \"b\": 9007199254740993}";
    Fault f = {0};
    JsonDocument *d = nn_json_parse(text, strlen(text), &f);
    const Json *a = nn_json_find(nn_json_root(d), "a"), *b = nn_json_find(nn_json_root(d), "b");

    ck_assert_int_eq(a->count, 3);
    ck_assert(a->first->whole && a->first->integer == 1);
    ck_assert(!a->first->next->whole && a->first->next->number == -2.5);
    ck_assert_str_eq(a->first->next->next->text, "x\xc3\xa9\xf0\x9f\x98\x80");
    ck_assert(b->whole && b->integer == 9007199254740993);
    nn_json_free(d);
}
END_TEST

/* --- safetensors --- */

#define ONE "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"
#define TENSOR(shape, offsets) "{\"a\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

/* header, bytes of payload, a word of the message; NULL: it is accepted */
static const struct { const char *header; int payload; const char *why; } st_rows[] = {
    {"{}", 0, NULL},
    {"{" ONE "}", 8, NULL},
    {"{" ONE "}   ", 8, NULL},
    {"{\"__metadata__\":{\"k\":\"v\"}," ONE "}", 8, NULL},
    {TENSOR("[]", "[0,4]"), 4, NULL},
    {TENSOR("[2,0]", "[0,0]"), 0, NULL},
    {"{" ONE "}", 7, "outside"},
    {"{" ONE "}", 9, "after the last"},
    {" {" ONE "}", 8, "begin with"},
    {"[]", 0, "begin with"},
    {"{" ONE "," ONE "}", 8, "twice"},
    {"{\"a\":{\"dtype\":\"F31\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "dtype"},
    {"{\"a\":{\"dtype\":7,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "dtype"},
    {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "must have"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}", 8, "must have"},
    {"{\"a\":3}", 0, "must have"},
    {TENSOR("2", "[0,8]"), 8, "shape"},
    {TENSOR("[-2]", "[0,8]"), 8, "shape"},
    {TENSOR("[2.0]", "[0,8]"), 8, "shape"},
    {TENSOR("[1,1,1,1,1,1,1,1,2]", "[0,8]"), 8, "axes"},
    {TENSOR("[3]", "[0,8]"), 8, "bytes"},
    {TENSOR("[2]", "[0]"), 8, "two data_offsets"},
    {TENSOR("[2]", "[0,8,8]"), 8, "two data_offsets"},
    {TENSOR("[2]", "[8,0]"), 8, "outside"},
    {TENSOR("[2]", "[-8,0]"), 8, "outside"},
    {TENSOR("[2]", "[0,18446744073709551615]"), 8, "outside"},
    {TENSOR("[4294967296,4294967296]", "[0,8]"), 8, "bytes"},
    {TENSOR("[9223372036854775807,2]", "[0,8]"), 8, "shape"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
     4, "overlaps"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "hole"},
    {"{\"__metadata__\":[]}", 0, "__metadata__"},
    {"{\"__metadata__\":{\"k\":1}}", 0, "__metadata__"},
    {"{\"\\u0000\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "NUL"},
    {"{\"a\xff\":1}", 0, "UTF-8"},
    {"{\"__metadata__\":{\"nnc\":\"1\"}}", 0, "checksum"},
    {"{\"__metadata__\":{\"crc32\":\"00000000\"}}", 0, "checksum"},
};

/* In memory of exactly its size, so that a read beyond the end is seen by the sanitizers. */
static uint8_t *st_file(const char *header, uint64_t length, int payload, size_t *n)
{
    uint8_t *bytes;

    *n = 8 + strlen(header) + (size_t)payload;
    bytes = calloc(1, *n);
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(length >> (8 * i));
    memcpy(bytes + 8, header, strlen(header));
    return bytes;
}

START_TEST(safetensors_are_checked)
{
    const char *header = st_rows[_i].header, *why = st_rows[_i].why;
    SafeTensors st;
    Fault f = {0};
    size_t n;
    uint8_t *bytes = st_file(header, strlen(header), st_rows[_i].payload, &n);
    bool fine = nn_safetensors_parse(bytes, n, &st, &f);

    ck_assert_msg(fine == (why == NULL), "%s: %s", header, f.text);
    ck_assert_msg(why == NULL || strstr(f.text, why) != NULL, "%s: %s, not %s", header, f.text, why);
    nn_safetensors_free(&st);
    free(bytes);
}
END_TEST

START_TEST(safetensors_lengths_are_checked)
{
    static const uint64_t lengths[] = {0, 1, 3, 100000001, UINT64_MAX, UINT64_MAX - 7, (uint64_t)1 << 63};

    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        SafeTensors st;
        Fault f = {0};
        size_t n;
        uint8_t *bytes = st_file("{}", lengths[i], 0, &n);

        ck_assert(!nn_safetensors_parse(bytes, n, &st, &f));
        free(bytes);
    }
}
END_TEST

START_TEST(safetensors_half_floats_are_read)
{
    static const struct { const char *dtype; uint16_t bits; double value; } rows[] = {
        {"F16", 0x3c00, 1}, {"F16", 0xc000, -2}, {"F16", 0x0001, 0x1p-24}, {"F16", 0x7c00, (double)INFINITY},
        {"F16", 0x3555, 0x1.554p-2}, {"BF16", 0x3f80, 1}, {"BF16", 0xc049, -3.140625},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        StTensor t = {.dtype = rows[i].dtype, .data = (const uint8_t *)&rows[i].bits, .bytes = 2};

        ck_assert_double_eq(nn_safetensors_number(&t, 0), rows[i].value);
    }
}
END_TEST

/* --- checkpoints --- */

static Tiny *tiny_new(uint64_t seed)
{
    Tiny *t = aligned_alloc(64, (sizeof *t + 63) / 64 * 64);

    tiny_init(t, seed);
    t->updates = 0.1; /* not a float */
    t->v.w1[3][1] = 5;
    t->losses = 7.25;
    return t;
}

static void build(const Tiny *t, Keep keep, StImage *image)
{
    StSource sources[sizeof tiny_tensors / sizeof tiny_tensors[0]];
    Fault f = {0};

    ck_assert(nn_checkpoint_build(&tiny, t, keep, "\"nnc\":\"0.1\",\"k\":\"v\\\"\\n\"", sources, image, &f));
}

START_TEST(checkpoint_comes_back)
{
    Tiny *a = tiny_new(1), *b = tiny_new(2);
    StImage image = {0}, again = {0};
    Checkpoint c = {.path = "test"};
    Fault f = {0};

    build(a, KEEP_SUMS, &image);
    ck_assert_msg(nn_safetensors_parse(image.bytes, image.n, &c.st, &f), "%s", f.text);
    ck_assert(c.st.checked);
    ck_assert_str_eq(nn_safetensors_note(&c.st, "k"), "v\"\n");
    b->v.w1[3][1] = 0;
    b->updates = b->losses = 0;
    ck_assert_msg(nn_checkpoint_load(&tiny, &c, KEEP_SUMS, b, &f), "%s", f.text);
    build(b, KEEP_SUMS, &again);
    ck_assert_uint_eq(image.n, again.n);
    ck_assert_mem_eq(image.bytes, again.bytes, image.n);
    ck_assert(b->updates == 0.1 && b->losses == 7.25 && b->v.w1[3][1] == 5.0f);
    nn_safetensors_free(&c.st);
    nn_safetensors_image_free(&image);
    nn_safetensors_image_free(&again);
    free(a);
    free(b);
}
END_TEST

START_TEST(checkpoint_cut_anywhere_is_refused)
{
    Tiny *t = tiny_new(1);
    StImage image = {0};

    build(t, KEEP_STATE, &image);
    for (size_t n = 0; n < image.n; n++) {
        uint8_t *part = malloc(n + 1);
        SafeTensors st;
        Fault f = {0};

        memcpy(part, image.bytes, n);
        ck_assert_msg(!nn_safetensors_parse(part, n, &st, &f), "cut at %zu", n);
        ck_assert(f.text[0] != '\0');
        free(part);
    }
    nn_safetensors_image_free(&image);
    free(t);
}
END_TEST

START_TEST(checkpoint_with_a_changed_bit_is_refused)
{
    Tiny *t = tiny_new(1);
    StImage image = {0};

    build(t, KEEP_STATE, &image);
    for (size_t bit = 0; bit < 8 * image.n; bit++) {
        SafeTensors st;
        Fault f = {0};

        image.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_msg(!nn_safetensors_parse(image.bytes, image.n, &st, &f), "bit %zu", bit);
        image.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    nn_safetensors_image_free(&image);
    free(t);
}
END_TEST

/* A tensor too few, one too many, another shape: named, and nothing is copied. */
START_TEST(checkpoint_of_another_model_is_refused)
{
    static const char *const words[] = {"does not hold", "which is not in", "is 8x2 there"};
    nn_tensor tensors[sizeof tiny_tensors / sizeof tiny_tensors[0] + 1];
    Tiny *t = tiny_new(1), *other = tiny_new(2), *before = tiny_new(2);
    nn_program changed = tiny;
    StImage image = {0};
    Checkpoint c = {.path = "test"};
    Fault f = {0};

    memcpy(tensors, tiny_tensors, sizeof tiny_tensors);
    changed.tensors = tensors;
    if (_i == 0) {
        tensors[tiny.ntensors] = tensors[0];
        tensors[tiny.ntensors].name = "extra.weight";
        changed.ntensors++;
    } else if (_i == 1) {
        changed.ntensors -= 8; /* x.mean and what follows */
    } else {
        tensors[0].shape[1] = 3;
    }
    build(t, KEEP_WEIGHTS, &image);
    ck_assert(nn_safetensors_parse(image.bytes, image.n, &c.st, &f));
    ck_assert(!nn_checkpoint_load(&changed, &c, KEEP_WEIGHTS, other, &f));
    ck_assert_msg(strstr(f.text, words[_i]) != NULL, "%s", f.text);
    ck_assert_mem_eq(other, before, sizeof *other);
    nn_safetensors_free(&c.st);
    nn_safetensors_image_free(&image);
    free(t);
    free(other);
    free(before);
}
END_TEST

/* --- files --- */

START_TEST(save_that_fails_leaves_the_old_file)
{
    char directory[] = "/tmp/nn-save-XXXXXX", path[100];
    Fault f = {0};
    Bytes bytes;

    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/file", directory);
    ck_assert_msg(nn_file_save(path, "first", 5, &f), "%s", f.text);
    ck_assert(nn_file_save(path, "second", 6, &f));
    ck_assert(nn_file_read(path, 100, &bytes, &f));
    ck_assert_str_eq((char *)bytes.at, "second");
    free(bytes.at);
    ck_assert(!nn_file_read(path, 3, &bytes, &f));
    unlink(path);
    ck_assert_msg(rmdir(directory) == 0, "a temporary file is left");
    f = (Fault){0};
    ck_assert(!nn_file_save(path, "x", 1, &f));
    ck_assert_int_eq(f.status, EXIT_FILE);
    ck_assert_ptr_nonnull(strstr(f.text, "No such file"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("checkpoint");
    TCase *json = tcase_create("json"), *st = tcase_create("safetensors"), *c = tcase_create("checkpoint");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_loop_test(json, json_is_strict, 0, COUNT(json_rows));
    tcase_add_test(json, json_is_not_too_deep);
    tcase_add_test(json, json_values_come_back);
    tcase_add_loop_test(st, safetensors_are_checked, 0, COUNT(st_rows));
    tcase_add_test(st, safetensors_lengths_are_checked);
    tcase_add_test(st, safetensors_half_floats_are_read);
    tcase_add_test(c, checkpoint_comes_back);
    tcase_add_test(c, checkpoint_cut_anywhere_is_refused);
    tcase_add_test(c, checkpoint_with_a_changed_bit_is_refused);
    tcase_add_loop_test(c, checkpoint_of_another_model_is_refused, 0, 3);
    tcase_add_test(c, save_that_fails_leaves_the_old_file);
    tcase_set_timeout(c, 60);
    suite_add_tcase(suite, json);
    suite_add_tcase(suite, st);
    suite_add_tcase(suite, c);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
