/* trainer.c -- training: what it leaves behind, when it stops, and that going on ends with the same bits. */
#include "trainer_run.h"

#include <fcntl.h>
#include <sys/file.h>

/* --- comparing runs --- */

static void same_files(const char *a, const char *b)
{
    static char x[100000], y[100000];
    size_t n = read_file(a, x, sizeof x);

    ck_assert_uint_eq(n, read_file(b, y, sizeof y));
    ck_assert_msg(memcmp(x, y, n) == 0, "%s and %s differ", a, b);
}

static bool files_differ(const char *a, const char *b)
{
    static char x[100000], y[100000];
    size_t n = read_file(a, x, sizeof x);

    return n != read_file(b, y, sizeof y) || memcmp(x, y, n) != 0;
}

/* The rows of two logs without their last three columns, which are times. */
static void same_logs(const char *a, const char *b)
{
    FILE *x = fopen(a, "rb"), *y = fopen(b, "rb");
    char p[1000], q[1000];
    int rows = 0;

    ck_assert(x != NULL && y != NULL);
    while (fgets(p, sizeof p, x) != NULL) {
        ck_assert_msg(fgets(q, sizeof q, y) != NULL, "%s has fewer rows", b);
        for (int i = 0; i < 3; i++) {
            *strrchr(p, ',') = '\0';
            *strrchr(q, ',') = '\0';
        }
        ck_assert_str_eq(p, q);
        rows++;
    }
    ck_assert_msg(fgets(q, sizeof q, y) == NULL, "%s has more rows", b);
    ck_assert_int_gt(rows, 1);
    fclose(x);
    fclose(y);
}

/* --- train --- */

START_TEST(train_writes_a_run)
{
    char text[5000];
    int lines = 0;

    RUN(0, "");
    SAYS(out, "test accuracy: ");
    SAYS(out, "weights: runs/tiny/best.safetensors");
    SAYS(out, "samples/s");
    SAYS(err, "74 samples, 21 to validate, 10 to test");
    SAYS(err, "\nepoch 6/6  loss ");
    read_file("runs/tiny/log.csv", text, sizeof text);
    for (const char *s = text; (s = strchr(s, '\n')) != NULL; s++)
        lines++;
    ck_assert_int_eq(lines, 7);
    SAYS(text, "epoch,train_loss,train_accuracy,valid_loss,valid_accuracy,lr,seconds,samples_per_second,waiting\n1,");
    read_file("runs/tiny/config.json", text, sizeof text);
    SAYS(text, "\"model\":\"Tiny\"");
}
END_TEST

START_TEST(train_never_overwrites)
{
    RUN(0, "train --epochs=1");
    RUN(0, "train --epochs=1");
    RUN(0, "train --epochs=1 --run=mine");
    SAYS(out, "runs/mine/best.safetensors");
    RUN(2, "train --epochs=1 --run=mine");
    SAYS(err, "runs/mine holds a training already");
    ck_assert(access("runs/tiny-2/best.safetensors", R_OK) == 0);
}
END_TEST

START_TEST(train_gives_the_same_bits_for_the_same_seed)
{
    RUN(0, "train --run=a --seed=3");
    RUN(0, "train --run=b --seed 3 --threads=2");
    RUN(0, "train --run=c --seed=4");
    same_logs("runs/a/log.csv", "runs/b/log.csv");
    ck_assert(files_differ("runs/a/best.safetensors", "runs/c/best.safetensors"));
    same_files("runs/a/best.safetensors", "runs/b/best.safetensors");
    same_files("runs/a/last.safetensors", "runs/b/last.safetensors");
}
END_TEST

START_TEST(train_counts_steps)
{
    char text[5000];

    RUN(0, "train --steps=23"); /* 10 steps an epoch: 75 samples in batches of 8 */
    SAYS(err, "epoch 3/3");
    read_file("runs/tiny/last.safetensors", text, sizeof text);
    SAYS(text + 8, "\"steps\":\"23\"");
}
END_TEST

START_TEST(train_keeps_the_best_of_restarts)
{
    char text[5000];

    RUN(0, "train --restarts=3 --epochs=2");
    SAYS(err, "restart 3/3  epoch 2/2");
    SAYS(out, " of restart ");
    read_file("runs/tiny/log.csv", text, sizeof text);
    SAYS(text, "\n3,2,");
}
END_TEST

START_TEST(train_starts_from_given_weights)
{
    RUN(0, "train --run=a");
    RUN(0, "export w.safetensors --run=a");
    RUN(0, "train --run=b --epochs=1 --lr=0 --weights=w.safetensors");
    RUN(0, "export v.safetensors --run=b");
    same_files("w.safetensors", "v.safetensors");
}
END_TEST

/* --- conditions to stop --- */

static const nn_value three[] = {{.kind = NN_DURATION, .number = 3, .text = "epochs"}};
static const nn_value accurate[] = {{.kind = NN_WORD, .text = "train.accuracy"}, {.kind = NN_NUMBER, .number = 0.5}};
static const nn_value accuracy[] = {{.kind = NN_WORD, .text = "valid.accuracy"}};
static const nn_value mistaken[] = {{.kind = NN_WORD, .text = "valid.acuracy"}};
static const nn_value table[] = {{.kind = NN_WORD, .text = "confusion"}};

static const struct { const char *name; nn_value value; int status; const char *says; } stop_rows[] = {
    {"stop", {.kind = NN_CALL, .text = "patience", .n = 1, .parts = three}, 0, "it no longer improves"},
    {"stop", {.kind = NN_CALL, .text = ">=", .n = 2, .parts = accurate}, 0, "the target is reached"},
    {"stop", {.kind = NN_DURATION, .number = 0, .text = "seconds"}, 0, "its time is over"},
    {"stop", {.kind = NN_WORD, .text = "soon"}, 2, "tiny.nn:30:5: stop = as written: expected patience(n)"},
    {"checkpoint", {.kind = NN_CALL, .text = "best", .n = 1, .parts = accuracy}, 0, "best: epoch "},
    {"checkpoint", {.kind = NN_CALL, .text = "best", .n = 1, .parts = mistaken}, 2, "did you mean accuracy?"},
    {"checkpoint", {.kind = NN_CALL, .text = "best", .n = 1, .parts = table}, 2, "this is a table"},
};

static nn_program with_setting(nn_setting *settings, const char *name, const nn_value *value)
{
    nn_program p = tiny;

    memcpy(settings, tiny_train, sizeof tiny_train);
    settings[p.ntrain++] = (nn_setting){name, *value, "as written", 30, 5};
    p.train = settings;
    return p;
}

START_TEST(train_stops)
{
    nn_setting settings[COUNT(tiny_train) + 1];
    nn_program p = with_setting(settings, stop_rows[_i].name, &stop_rows[_i].value);
    int status = run_program(&p, "train --epochs=300");

    ck_assert_msg(status == stop_rows[_i].status, "%d: %s%s", status, out, err);
    strcat(err, out);
    SAYS(err, stop_rows[_i].says);
}
END_TEST

/* Two halves of a batch twice as large, with short ones at the end, give the same update. */
START_TEST(train_accumulates)
{
    nn_value two = {.kind = NN_NUMBER, .number = 2};
    nn_setting settings[COUNT(tiny_train) + 1];
    nn_program p = with_setting(settings, "accumulate", &two);
    char text[5000];

    ck_assert_msg(run_program(&p, "train --epochs=4") == 0, "%s", err);
    read_file("runs/tiny/last.safetensors", text, sizeof text);
    SAYS(text + 8, "\"steps\":\"20\"");
}
END_TEST

/* --- resume --- */

static const struct { int at, number, status; const char *options; } signal_rows[] = {
    {1, SIGINT, 130, ""},   {5, SIGINT, 130, ""},   {10, SIGTERM, 143, ""}, {11, SIGUSR1, 138, ""},
    {37, SIGINT, 130, ""},  {60, SIGTERM, 143, ""}, {1, SIGKILL, 1009, ""}, {45, SIGKILL, 1009, ""},
    {60, SIGKILL, 1009, ""}, {13, SIGINT, 130, " --restarts=2"}, {23, SIGINT, 130, " --steps=25"},
    {20, SIGKILL, 1009, " --lr=0.01 --valid=30% --test=0"}, {9, SIGTERM, 143, " --patience=2 --epochs=30"},
};

START_TEST(resume_ends_with_the_same_bits)
{
    char command[200];

    snprintf(command, sizeof command, "train --run=whole%s", signal_rows[_i].options);
    RUN(0, command);
    tiny_signal = signal_rows[_i].number;
    tiny_signal_at = signal_rows[_i].at;
    snprintf(command, sizeof command, "train --run=parts%s", signal_rows[_i].options);
    RUN(signal_rows[_i].status, command);
    if (signal_rows[_i].number != SIGKILL)
        SAYS(err, "Go on with: tiny resume parts");
    tiny_signal_at = -1;
    RUN(0, "resume parts");
    same_files("runs/whole/last.safetensors", "runs/parts/last.safetensors");
    same_files("runs/whole/best.safetensors", "runs/parts/best.safetensors");
    same_logs("runs/whole/log.csv", "runs/parts/log.csv");
}
END_TEST

START_TEST(resume_goes_on_in_the_middle_of_validation)
{
    RUN(0, "train --run=whole");
    tiny_signal = SIGINT;
    tiny_signal_at_eval = 5; /* the second of three batches, in the second epoch */
    RUN(130, "train --run=parts");
    SAYS(err, "stopped after epoch 1, step 10");
    tiny_signal_at_eval = -1;
    RUN(0, "resume parts");
    same_files("runs/whole/last.safetensors", "runs/parts/last.safetensors");
    same_files("runs/whole/best.safetensors", "runs/parts/best.safetensors");
    same_logs("runs/whole/log.csv", "runs/parts/log.csv");
}
END_TEST

START_TEST(resume_trains_longer)
{
    RUN(0, "train --run=long --epochs=9");
    RUN(0, "train --run=short --epochs=4");
    RUN(2, "resume short");
    SAYS(err, "is finished");
    RUN(0, "resume short --epochs=9");
    SAYS(err, "going on after epoch 4");
    same_logs("runs/long/log.csv", "runs/short/log.csv");
}
END_TEST

START_TEST(train_stops_where_the_loss_is_not_finite)
{
    tiny_fail_at = 25;
    RUN(5, "");
    SAYS(err, "not finite in epoch 3, step 5");
    tiny_fail_at = -1;
    RUN(0, "resume");
    SAYS(err, "epoch 6/6");
}
END_TEST

START_TEST(only_one_trains_in_a_run)
{
    int held;

    RUN(0, "train --run=a");
    held = open("runs/a", O_RDONLY | O_DIRECTORY);
    ck_assert_int_eq(flock(held, LOCK_EX), 0);
    RUN(4, "resume a --epochs=9");
    SAYS(err, "another process is training in runs/a");
    close(held);
    write_file("runs/a/last.safetensors.tmp.123", "half");
    RUN(0, "resume a --epochs=9");
    ck_assert_msg(access("runs/a/last.safetensors.tmp.123", F_OK) != 0, "what was half written is left behind");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("trainer");
    TCase *c = tcase_create("commands");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, train_writes_a_run);
    tcase_add_test(c, train_never_overwrites);
    tcase_add_test(c, train_gives_the_same_bits_for_the_same_seed);
    tcase_add_test(c, train_counts_steps);
    tcase_add_test(c, train_keeps_the_best_of_restarts);
    tcase_add_test(c, train_starts_from_given_weights);
    tcase_add_loop_test(c, train_stops, 0, COUNT(stop_rows));
    tcase_add_test(c, train_accumulates);
    tcase_add_loop_test(c, resume_ends_with_the_same_bits, 0, COUNT(signal_rows));
    tcase_add_test(c, resume_goes_on_in_the_middle_of_validation);
    tcase_add_test(c, resume_trains_longer);
    tcase_add_test(c, train_stops_where_the_loss_is_not_finite);
    tcase_add_test(c, only_one_trains_in_a_run);
    suite_add_tcase(suite, c);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
