/* augment.c -- each way of changing training samples does what augment.h says, and the same whenever it is asked. */
#include "ahead.h"
#include "augment.h"
#include "samples.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Pictures of 2 x 5 x 6 numbers, a mask of 5 x 6 classes, a number, a class. */
enum { N = 40, C = 2, H = 5, W = 6, SIZE = C * H * W, PICTURES = 0, MASKS, NUMBERS, LABELS, FIELDS };

static float pictures[N][C][H][W], numbers[N];
static int32_t masks[N][H][W], labels[N];
static Column columns[FIELDS] = {
    {.name = "image", .rank = 3, .shape = {C, H, W}, .size = SIZE, .type = DATA_F32, .data = pictures},
    {.name = "mask", .rank = 2, .shape = {H, W}, .size = H * W, .type = DATA_I32, .classes = 100, .data = masks},
    {.name = "y", .size = 1, .type = DATA_F32, .data = numbers},
    {.name = "label", .size = 1, .type = DATA_I32, .classes = N, .data = labels},
};
static Data data = {.ncolumns = FIELDS, .columns = columns, .n = N, .origin = "made"};
static nn_field fields[FIELDS];
static const int bound[FIELDS] = {PICTURES, MASKS, NUMBERS, LABELS};
static int64_t everyone[N];
static nn_value steps[8], parts[8][2];
static nn_setting setting = {"augment", {.kind = NN_LIST, .parts = steps}, "", 1, 1};
static nn_program program = {.name = "Made", .source = "made.nn", .batch = 8, .nfields = FIELDS, .fields = fields, .ndata = 1, .data = &setting};
static Augment augment;

typedef struct Try { const char *name; double a, b; } Try; /* negative numbers: not given */

static float brick(int s, int c, int y, int x) { return (float)(100 * s + 1000 * c + 10 * y + x + 1); }

static void fill(void)
{
    for (int s = 0; s < N; s++) {
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++) {
                for (int c = 0; c < C; c++)
                    pictures[s][c][y][x] = brick(s, c, y, x);
                masks[s][y][x] = 10 * y + x + 1;
            }
        numbers[s] = (float)s;
        labels[s] = s;
        everyone[s] = s;
    }
}

/* The model takes pictures of height x width. */
static bool try_open(int height, int width, const Try *list, int n, Fault *f)
{
    for (int i = 0; i < n; i++) {
        parts[i][0] = (nn_value){.kind = NN_NUMBER, .number = list[i].a};
        parts[i][1] = (nn_value){.kind = NN_NUMBER, .number = list[i].b};
        steps[i] = (nn_value){.kind = NN_CALL, .text = list[i].name, .n = (list[i].a >= 0) + (list[i].b >= 0), .parts = parts[i]};
    }
    setting.value.n = n;
    fields[PICTURES] = (nn_field){.name = "image", .rank = 3, .shape = {C, height, width}};
    fields[MASKS] = (nn_field){.name = "mask", .rank = 2, .shape = {height, width}, .classes = 100, .label = true};
    fields[NUMBERS] = (nn_field){.name = "y", .label = true};
    fields[LABELS] = (nn_field){.name = "label", .classes = N, .label = true};
    *f = (Fault){0};
    if (!nn_augment_open(&program, &data, bound, &augment, f))
        return false;
    augment.train = everyone;
    augment.ntrain = N;
    return true;
}

static void open_steps(int height, int width, const Try *list, int n)
{
    Fault f;

    ck_assert_msg(try_open(height, width, list, n, &f), "%s", f.text);
}

static void refused(const char *why, const Try *list, int n)
{
    Fault f;

    ck_assert(!try_open(H, W, list, n, &f));
    ck_assert_msg(strstr(f.text, why) != NULL, "'%s' is not in '%s'", why, f.text);
}

#define STEPS(...) (const Try[]){__VA_ARGS__}, sizeof(const Try[]){__VA_ARGS__} / sizeof(Try)
#define OPEN(height, width, ...) open_steps(height, width, STEPS(__VA_ARGS__))

static void same_number(float got, float want, double tolerance)
{
    ck_assert_msg(fabs((double)got - (double)want) <= tolerance, "%g, not %g", (double)got, (double)want);
}

static float image[SIZE * 20];
static int32_t mask[H * W * 20];

static float rooms[3][SIZE * 20];
static float *const room[3] = {rooms[0], rooms[1], rooms[2]};

static void see_field(int field, int sample, uint64_t seed, int64_t epoch, void *to)
{
    Fault f = {0};

    ck_assert_int_le(augment.room, SIZE * 20);
    ck_assert(nn_augment_field(&augment, room, nn_augment_key(seed, epoch), &data, &fields[field], field, sample, to, &f));
}

static void see(int sample, uint64_t seed, int64_t epoch)
{
    see_field(PICTURES, sample, seed, epoch, image);
    see_field(MASKS, sample, seed, epoch, mask);
}

static float number_seen(int sample, int64_t epoch)
{
    float y;

    see_field(NUMBERS, sample, 1, epoch, &y);
    return y;
}

/* --- steps that move pixels --- */

/* Where the mask's pixel came from is where the picture's came from. */
static void moved_together(int sample, int height, int width)
{
    for (int i = 0; i < height * width; i++) {
        int y = (mask[i] - 1) / 10, x = (mask[i] - 1) % 10;

        for (int c = 0; c < C; c++) {
            float want = mask[i] == 0 ? 0 : brick(sample, c, y, x);
            ck_assert_msg(image[c * height * width + i] == want, "pixel %d of %d: %g, not %g", i, sample,
                          (double)image[c * height * width + i], (double)want);
        }
    }
}

START_TEST(flips)
{
    int flipped = 0;

    fill();
    OPEN(H, W, {"random_flip", 1, -1});
    see(3, 1, 1);
    for (int i = 0; i < H * W; i++)
        ck_assert_int_eq(mask[i], 10 * (i / W) + W - i % W);
    moved_together(3, H, W);
    OPEN(H, W, {"random_flip", -1, -1});
    for (int e = 0; e < 1000; e++) {
        see(3, 1, e);
        moved_together(3, H, W);
        flipped += mask[0] != 1;
    }
    ck_assert_msg(abs(flipped - 500) < 60, "%d of 1000", flipped);
}
END_TEST

START_TEST(crops_what_it_padded)
{
    int corner[4][4] = {{0}};

    fill();
    OPEN(H, W, {"pad", 2, -1}, {"random_crop", H, W});
    for (int e = 0; e < 2000; e++) {
        see(e % N, 7, e);
        moved_together(e % N, H, W);
        for (int y = 0; y < 3; y++)
            for (int x = 0; x < 3; x++)
                corner[y][x] += mask[(2 - y) * W + 2 - x] == 1; /* moved down and right by this much */
    }
    for (int y = 0; y < 3; y++)
        for (int x = 0; x < 3; x++)
            ck_assert_msg(corner[y][x] > 40 && corner[y][x] < 130, "%d of 2000 moved by %d, %d", corner[y][x], y, x);
    OPEN(3, 2, {"random_crop", 3, 2});
    see(5, 1, 1);
    moved_together(5, 3, 2);
    ck_assert_int_eq(mask[5] - mask[0], 21);
}
END_TEST

START_TEST(shifts_turns_and_scales)
{
    fill();
    OPEN(H, W, {"shift", 9, -1});
    for (int e = 0; e < 300; e++) {
        see(e % N, 2, e);
        moved_together(e % N, H, W);
    }
    OPEN(H, W, {"rotate", 0, -1}, {"scale", 1, 1}, {"shift", 0, -1}, {"pad", 0, -1}, {"jitter", 0, -1}, {"noise", 0, -1});
    see(4, 1, 1);
    ck_assert_mem_eq(image, pictures[4], sizeof pictures[4]);
    OPEN(H, W, {"scale", 2, 2}); /* twice as large: the middle stays, halves come between */
    see(0, 1, 1);
    same_number(image[2 * W + 2], brick(0, 0, 2, 2) + 0.25f, 1e-4);
    same_number(image[3 * W + 3], brick(0, 0, 2, 2) + 5 + 0.75f, 1e-4);
    OPEN(H, W, {"rotate", 180, -1});
    for (int e = 0; e < 200; e++)
        see(e % N, 3, e); /* no bytes but its own: the sanitizers watch */
}
END_TEST

/* --- steps that change numbers --- */

START_TEST(cuts_out)
{
    int most = 0;

    fill();
    OPEN(H, W, {"cutout", 2, -1});
    for (int e = 0; e < 300; e++) {
        int zeros = 0;

        see(1, 4, e);
        for (int i = 0; i < H * W; i++) {
            ck_assert((image[i] == 0) == (image[H * W + i] == 0));
            ck_assert_int_eq(mask[i], 10 * (i / W) + i % W + 1); /* labels stay */
            zeros += image[i] == 0;
        }
        ck_assert(zeros == 1 || zeros == 2 || zeros == 4);
        most = zeros > most ? zeros : most;
    }
    ck_assert_int_eq(most, 4);
}
END_TEST

START_TEST(adds_noise)
{
    double sum = 0, squares = 0, n = 0;

    fill();
    OPEN(H, W, {"noise", 3, -1});
    for (int e = 0; e < 1000; e++) {
        see(e % N, 5, e);
        for (int i = 0; i < SIZE; i++, n++) {
            double d = (double)image[i] - (double)((float *)pictures[e % N])[i];

            sum += d;
            squares += d * d;
        }
        ck_assert_int_eq(mask[0], 1);
    }
    ck_assert_double_eq_tol(sum / n, 0, 0.05);
    ck_assert_double_eq_tol(sqrt(squares / n), 3, 0.05);
}
END_TEST

/* Bytes stay bytes: 3 x 1 x 2 pixels. */
START_TEST(jitters)
{
    static uint8_t bytes[1][3][1][2] = {{{{250, 10}}, {{200, 20}}, {{100, 30}}}};
    static Column c = {.name = "image", .rank = 3, .shape = {3, 1, 2}, .size = 6, .type = DATA_U8, .data = bytes};
    static Data d = {.ncolumns = 1, .columns = &c, .n = 1, .origin = "bytes"};
    static const nn_field f = {.name = "image", .rank = 3, .shape = {3, 1, 2}};
    nn_program p = {.nfields = 1, .fields = &f, .ndata = 1, .data = &setting};
    int column = 0, brighter = 0, changed = 0;
    Augment a;
    Fault fault = {0};
    float to[6];

    OPEN(H, W, {"jitter", 0.5, -1});
    ck_assert(nn_augment_open(&p, &d, &column, &a, &fault));
    for (int e = 0; e < 500; e++) {
        ck_assert(nn_augment_field(&a, room, nn_augment_key(1, e), &d, &f, 0, 0, to, &fault));
        for (int i = 0; i < 6; i++)
            ck_assert(to[i] >= 0 && to[i] <= 255);
        brighter += to[2] > 200;
        changed += to[0] - to[2] != 50;
    }
    ck_assert_msg(brighter > 150 && brighter < 350, "%d", brighter);
    ck_assert_int_gt(changed, 490);
}
END_TEST

START_TEST(mixes)
{
    double kept = 0;
    int32_t label;

    fill();
    OPEN(H, W, {"mixup", 1, -1});
    for (int e = 0; e < 4000; e++) {
        int s = e % N;
        float other, l;

        see(s, 1, e);
        see_field(LABELS, s, 1, e, &label);
        ck_assert_int_eq(label, s);
        ck_assert_int_eq(mask[1], 2);
        /* one picture is 100 s above the other everywhere, the number s: both say the same of l (100 - s') + ... */
        other = number_seen(s, e);
        for (int i = 0; i < SIZE; i++)
            same_number(image[i] - ((float *)pictures[s])[i], 100 * (other - (float)s), 0.02);
        l = fabsf(other - (float)s); /* (1 - l) |s' - s|, whose mean is (1 - l) times that of |s' - s| */
        kept += (double)l;
    }
    /* l is from Beta(2, 1), its mean 2/3; two of 40 numbers lie (40^2 - 1) / 120 apart on average */
    ck_assert_double_eq_tol(kept / 4000, (1 - 2.0 / 3) * 1599 / 120, 0.2);
}
END_TEST

/* --- reproducible --- */

START_TEST(depends_on_seed_epoch_and_sample)
{
    static float first[SIZE], second[SIZE];
    int same = 0;

    fill();
    OPEN(H, W, {"pad", 1, -1}, {"random_crop", H, W}, {"random_flip", -1, -1}, {"noise", 1, -1}, {"mixup", 0.5, -1});
    see(3, 1, 1);
    memcpy(first, image, sizeof first);
    see(4, 1, 1);
    memcpy(second, image, sizeof second);
    see(3, 1, 1);
    ck_assert_mem_eq(first, image, sizeof first);
    see(3, 2, 1);
    same += memcmp(first, image, sizeof first) == 0;
    see(3, 1, 2);
    same += memcmp(first, image, sizeof first) == 0;
    same += memcmp(first, second, sizeof first) == 0;
    ck_assert_int_eq(same, 0);
}
END_TEST

/* Readers, however many, deliver what is made at once, wherever an epoch begins and ends. */
START_TEST(read_ahead)
{
    static const int threads[] = {0, 1, 2, 5};
    static float want[FIELDS][N * SIZE];
    Samples samples = {.data = data, .columns = (int *)bound};
    Room own;
    void *rows[FIELDS];
    int64_t order[N];
    Ahead ahead = {0};
    Fault f = {0};
    Seen seen = {9, 0};

    fill();
    OPEN(H, W, {"rotate", 10, -1}, {"noise", 1, -1}, {"scale", 0.9, 1.1}, {"mixup", 0.5, -1});
    samples.augment = augment;
    ck_assert(nn_room_new(&samples, &own, &f));
    for (int i = 0; i < N; i++)
        order[i] = (i * 7) % N;
    for (int i = 0; i < FIELDS; i++)
        rows[i] = want[i];
    ck_assert(nn_ahead_start(&ahead, &program, &samples, 0, &f));
    ck_assert_int_eq(ahead.nreaders, 0); /* so little is made at once */
    ck_assert(_i == 0 || nn_ahead_threads(&ahead, threads[_i], &f));
    ck_assert_int_eq(ahead.nreaders, threads[_i]);
    for (int e = 0; e < 400; e++) {
        int first = e % N, n = N - e % 3, count;

        seen.epoch = e;
        for (int i = 0; i < N; i++)
            ck_assert(nn_samples_put(&program, &samples, &own, order[i], &seen, i, rows, &f));
        nn_ahead_begin(&ahead, order, first, n, &seen);
        for (int at = first; at < n && at - first < e % 60; at += count) { /* some epochs are left early */
            void **got = nn_ahead_next(&ahead, &count, &f);

            ck_assert_int_eq(count, n - at < 8 ? n - at : 8);
            for (int i = 0; i < FIELDS; i++) {
                int64_t size = nn_shape_size(fields[i].rank, fields[i].shape);
                ck_assert_mem_eq(got[i], want[i] + at * size, (size_t)(count * size) * sizeof(float));
            }
        }
        nn_ahead_stop(&ahead);
    }
    nn_ahead_end(&ahead);
    nn_room_free(&own);
}
END_TEST

START_TEST(what_cannot_be_done)
{
    fill();
    refused("did you mean random_flip", STEPS({"randm_flip", -1, -1}));
    refused("takes 1 numbers", STEPS({"pad", -1, -1}));
    refused("cannot be cut out of 5 x 6", STEPS({"random_crop", 9, 9}));
    refused("not what the model takes", STEPS({"pad", 1, -1}));
    refused("from 0.01 on", STEPS({"scale", 0, 1}));
    OPEN(H, W, {"noise", 1, -1});
    ck_assert_int_eq(augment.height, H);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("augment");
    TCase *all = tcase_create("augment");
    SRunner *runner;
    int failed;

    tcase_set_timeout(all, 60);
    tcase_add_test(all, flips);
    tcase_add_test(all, crops_what_it_padded);
    tcase_add_test(all, shifts_turns_and_scales);
    tcase_add_test(all, cuts_out);
    tcase_add_test(all, adds_noise);
    tcase_add_test(all, jitters);
    tcase_add_test(all, mixes);
    tcase_add_test(all, depends_on_seed_epoch_and_sample);
    tcase_add_loop_test(all, read_ahead, 0, 4);
    tcase_add_test(all, what_cannot_be_done);
    suite_add_tcase(suite, all);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
