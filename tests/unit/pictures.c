/* pictures.c -- pictures that are read when they are asked for: the same bits as those that are kept, whoever reads them,
 * and a sentence where one can no longer be read. */
#include "ahead.h"
#include "pictures.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image_files.h"

/* Pictures of 3 x 9 x 10, of which 8 x 7 are trained on. */
enum { N = 40, BYTES = 3 * 9 * 10, SIDE = 7, HEIGHT = 8, CROPPED = 3 * HEIGHT * SIDE, BATCH = 6 };

static const double rooms_for[] = {0, 13.5 * BYTES, 1e9}; /* pictures to keep: none, 13, all */
enum { ROOMS = sizeof rooms_for / sizeof *rooms_for };

static void name_of(int i, char name[40]) { snprintf(name, 40, "some/%s/%02d.%s", i < N / 2 ? "a" : "b", i, i % 10 < 6 ? "png" : "jpg"); }

static void fill_folder(void)
{
    char name[40];

    for (int i = 0; i < N; i++) {
        name_of(i, name);
        put_golden(name, i % 10);
    }
}

static const char *path_of(int i)
{
    char name[40];

    name_of(i, name);
    return place(name);
}

START_TEST(kept_or_read_again)
{
    PictureSize size = {3, 9, 10};
    uint8_t want[BYTES], room[BYTES];
    Data data;
    Fault f;

    fill_folder();
    for (int r = 0; r < ROOMS; r++) {
        int64_t kept = r == 0 ? 0 : r == 1 ? 13 : N;

        ck_assert_msg(open_folder("some", "9x10", &data, &f), "%s", f.text);
        ck_assert(nn_data_is_read(&data, 0) && !nn_data_is_read(&data, 1));
        nn_data_keep(&data, rooms_for[r]);
        ck_assert_int_eq(nn_data_left_out(&data), N - kept);
        for (int k = 0; k < 3 * N; k++) {
            int i = k * 7 % N;
            const void *at = nn_data_at(&data, 0, i, room, &f);

            ck_assert_msg(at != NULL, "%s", f.text);
            ck_assert_int_eq(at != room, i < kept);
            ck_assert(nn_picture_read(path_of(i), &size, want, &f));
            ck_assert_mem_eq(at, want, BYTES);
        }
        nn_data_free(&data);
    }
}
END_TEST

/* --- batches --- */

static const nn_field fields[2] = {
    {.name = "image", .rank = 3, .shape = {3, HEIGHT, SIDE}},
    {.name = "label", .classes = 2, .label = true},
};
static nn_value side[2] = {{.kind = NN_NUMBER, .number = HEIGHT}, {.kind = NN_NUMBER, .number = SIDE}}, much = {.kind = NN_NUMBER, .number = 0.5};
static nn_value steps[3] = {
    {.kind = NN_CALL, .text = "random_crop", .n = 2, .parts = side},
    {.kind = NN_CALL, .text = "random_flip"},
    {.kind = NN_CALL, .text = "mixup", .n = 1, .parts = &much},
};
static nn_setting setting = {"augment", {.kind = NN_LIST, .n = 3, .parts = steps}, "", 1, 1};
static nn_program program = {.name = "Some", .source = "some.nn", .batch = BATCH, .nfields = 2, .fields = fields, .ndata = 1, .data = &setting};
static int columns[2] = {0, 1};
static int64_t everyone[N];

typedef struct Batches {
    Samples samples;
    Ahead ahead;
    Fault f;
} Batches;

static void open_batches(Batches *b, double keep, int readers)
{
    *b = (Batches){.samples.columns = columns};
    ck_assert_msg(open_folder("some", "9x10", &b->samples.data, &b->f), "%s", b->f.text);
    nn_data_keep(&b->samples.data, keep);
    ck_assert_msg(nn_augment_open(&program, &b->samples.data, columns, &b->samples.augment, &b->f), "%s", b->f.text);
    for (int i = 0; i < N; i++)
        everyone[i] = i * 7 % N;
    b->samples.augment.train = everyone;
    b->samples.augment.ntrain = N;
    ck_assert(nn_ahead_start(&b->ahead, &program, &b->samples, 1, &b->f));
    ck_assert(readers == 0 || nn_ahead_threads(&b->ahead, readers, &b->f));
}

static void close_batches(Batches *b)
{
    nn_ahead_end(&b->ahead);
    nn_data_free(&b->samples.data);
}

/* The epoch's samples one behind the other: N, or fewer where one cannot be read. */
static int run_epoch(Batches *b, const Seen *seen, float *images, int32_t *labels)
{
    int done = 0, count;

    nn_ahead_begin(&b->ahead, everyone, 0, N, seen);
    for (; done < N; done += count) {
        void **got = nn_ahead_next(&b->ahead, &count, &b->f);

        if (got == NULL)
            break;
        memcpy(images + done * CROPPED, got[0], (size_t)(count * CROPPED) * sizeof *images);
        memcpy(labels + done, got[1], (size_t)count * sizeof *labels);
    }
    return done;
}

static float want[4][N * CROPPED], images[N * CROPPED];
static int32_t wanted[N], labels[N];

START_TEST(same_batches)
{
    Batches b;

    fill_folder();
    for (int r = 0; r < ROOMS; r++)
        for (int readers = 0; readers < 6; readers += 2) {
            open_batches(&b, rooms_for[r], readers);
            for (int e = 0; e < 4; e++) {
                Seen seen = {5, e};
                bool first = r == 0 && readers == 0; /* the last epoch as they are: cut from the middle */

                ck_assert_msg(run_epoch(&b, e < 3 ? &seen : NULL, first ? want[e] : images, first ? wanted : labels) == N, "%s", b.f.text);
                ck_assert(first || (memcmp(images, want[e], sizeof images) == 0 && memcmp(labels, wanted, sizeof labels) == 0));
            }
            close_batches(&b);
        }
    ck_assert(memcmp(want[0], want[1], sizeof images) != 0);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(wanted[i], everyone[i] >= N / 2);
}
END_TEST

/* --- what goes wrong in the middle --- */

static void cut_short(const char *path) { ck_assert_int_eq(truncate(path, 200), 0); }
static void take_away(const char *path) { ck_assert_int_eq(remove(path), 0); }
static void touch(const char *path) { ck_assert_int_eq(utimensat(AT_FDCWD, path, NULL, 0), 0); }

/* Other bytes, of which neither the length nor the time of the file tells. */
static void spoil(const char *path)
{
    struct stat st;
    FILE *file;

    ck_assert_int_eq(stat(path, &st), 0);
    file = fopen(path, "r+b");
    ck_assert_ptr_nonnull(file);
    fseek(file, 40, SEEK_SET);
    for (int i = 0; i < 100; i++)
        fputc(255, file);
    fclose(file);
    ck_assert_int_eq(utimensat(AT_FDCWD, path, (struct timespec[]){st.st_atim, st.st_mtim}, 0), 0);
}

static const struct { void (*harm)(const char *path); const char *why; } harms[] = {
    {cut_short, "has changed"}, {take_away, "No such file"}, {touch, "has changed"}, {spoil, "picture that can be read"},
};
enum { HARMS = sizeof harms / sizeof *harms };

/* The batches before it come, and the first one in the order is named, whoever meets which. */
START_TEST(harmed_while_it_trains)
{
    static const int bad[] = {22, 23, 31};
    Batches b;

    for (int readers = 0; readers < 6; readers++) {
        fill_folder();
        open_batches(&b, rooms_for[1], readers);
        ck_assert_int_eq(run_epoch(&b, NULL, images, labels), N);
        for (int k = 0; k < 3; k++)
            harms[_i].harm(path_of((int)everyone[bad[k]]));
        ck_assert_int_eq(run_epoch(&b, NULL, images, labels), 22 / BATCH * BATCH);
        ck_assert_msg(strstr(b.f.text, harms[_i].why) != NULL && strstr(b.f.text, path_of((int)everyone[22])) != NULL, "%s", b.f.text);
        ck_assert_int_eq(b.f.status, EXIT_FILE);
        close_batches(&b);

        fill_folder();
        open_batches(&b, 1e9, readers); /* what is kept does not mind */
        ck_assert_int_eq(run_epoch(&b, NULL, images, labels), N);
        harms[_i].harm(path_of((int)everyone[22]));
        ck_assert_int_eq(run_epoch(&b, NULL, images, labels), N);
        close_batches(&b);
    }
}
END_TEST

/* --- pairs --- */

START_TEST(pairs_of_pictures)
{
    static const char *const names[] = {"path", "size"};
    nn_value parts[2] = {{.kind = NN_TEXT, .text = "some"}, {.kind = NN_NUMBER, .number = 6}};
    nn_value folder = {.kind = NN_CALL, .text = "folder", .n = 2, .parts = parts, .names = names};
    nn_value call = {.kind = NN_CALL, .text = "pairs", .n = 1, .parts = &folder};
    float one[108], other[108];
    uint8_t file[108];
    Data data;
    Fault f = {0};

    fill_folder();
    ck_assert_msg(nn_data_open(&call, top, &data, &f), "%s", f.text);
    nn_data_keep(&data, 20 * 108);
    ck_assert_int_eq(nn_data_left_out(&data), N - 20);
    for (int i = 0; i < N; i++) {
        int with = (int)data.columns[nn_data_find(&data, "image2")].which[i];

        ck_assert(nn_data_floats(&data, nn_data_find(&data, "image"), i, one, &f));
        ck_assert(nn_data_floats(&data, nn_data_find(&data, "image2"), i, other, &f));
        ck_assert_int_eq(nn_data_class(&data, nn_data_find(&data, "label"), i), i / 20 == with / 20);
        ck_assert(nn_picture_read(path_of(with), &(PictureSize){3, 6, 6}, file, &f));
        for (int k = 0; k < 108; k++)
            ck_assert(other[k] == (float)file[k] && (i != with || one[k] == other[k]));
    }
    nn_data_free(&data);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pictures");
    TCase *all = tcase_create("pictures");
    SRunner *runner;
    int failed;

    if (mkdtemp(top) == NULL)
        return 1;
    tcase_set_timeout(all, 60);
    tcase_add_test(all, kept_or_read_again);
    tcase_add_test(all, same_batches);
    tcase_add_loop_test(all, harmed_while_it_trains, 0, HARMS);
    tcase_add_test(all, pairs_of_pictures);
    suite_add_tcase(suite, all);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    remove_all(top);
    return failed != 0;
}
