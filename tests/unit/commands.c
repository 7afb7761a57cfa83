/* commands.c -- what a trainer can do beside training, and what it says to mistakes on its command line. */
#include "trainer_run.h"

/* --- what comes after --- */

START_TEST(eval_knows_the_splits)
{
    RUN(0, "train --valid=30");
    RUN(0, "eval");
    SAYS(out, "test samples: 10");
    RUN(0, "eval --split=valid"); /* as many as in training */
    SAYS(out, "valid samples: 30");
    RUN(0, "eval --split train --json");
    SAYS(out, "{\"split\":\"train\",\"samples\":65,\"loss\":");
    SAYS(out, "\"confusion\":[");
    RUN(2, "eval --split=all");
}
END_TEST

/* The numbers of classes come from their order in a file; the model knows them by name. */
START_TEST(eval_knows_classes_by_name)
{
    char whole[300];

    RUN(0, "train --valid=0 --test=0");
    write_file("few.csv", "a,b,label\n-1,0,red\n0.1,2,red\n2,0,blue\n2,4,blue\n");
    RUN(0, "eval --split=train --data few.csv --json");
    snprintf(whole, sizeof whole, "%.299s", out);
    SAYS(whole, "\"confusion\":[2,0,0,0,0,0,0,0,2]}");
    RUN(0, "eval --split=train --data few.csv");
    SAYS(out, "confusion\n      blue green, dar        red\n         2          0          0  blue\n         0          0          0  green, dark\n");
    write_file("new.csv", "a,b,label\n-1,0,red\n0.1,2,pink\n");
    RUN(4, "eval --split=train --data new.csv");
    SAYS(err, "the class 'pink', which the model was not trained on");
}
END_TEST

START_TEST(predict_names_classes)
{
    RUN(0, "");
    write_file("in", "b,a\n-20,0\n110,1\n");
    RUN(0, "predict");
    SAYS(out, "class,probability,blue,\"green, dark\",red\n");
    SAYS(out, "\n\"green, dark\",0.");
    RUN(0, "predict --format=json");
    SAYS(out, "{\"class\":\"red\",\"probability\":0.");
    SAYS(out, ",\"probabilities\":{\"blue\":0.");
    write_file("new.csv", "a\n1\n");
    RUN(4, "predict new.csv");
    SAYS(err, "the model wants b, which is not in the data");
    RUN(0, "predict points.csv points.csv");
}
END_TEST

START_TEST(info_shows_the_model)
{
    RUN(0, "info --plan");
    SAYS(out, "hidden  dense(8)  8");
    SAYS(out, "weights: 51 to train");
    SAYS(out, "the plan");
    RUN(0, "info --json");
    SAYS(out, "\"weights\":51");
    SAYS(out, "{\"name\":\"hidden.weight\",\"kind\":\"param\",\"shape\":[8,2]");
}
END_TEST

START_TEST(check_gradients_tells_right_from_wrong)
{
    RUN(0, "check-gradients");
    SAYS(out, "right");
    tiny_sign = -1;
    RUN(1, "check-gradients");
    SAYS(err, "1 gradient of Tiny differs");
}
END_TEST

START_TEST(bench_measures)
{
    RUN(0, "bench --seconds=0.05");
    SAYS(out, "samples/s");
}
END_TEST

START_TEST(help_names_every_setting)
{
    static const char *const words[] = {"--epochs=N", "[6, tiny.nn:19]", "optimizer", "sgd(lr = 0.05, momentum = 0.9)",
                                        "--valid=N|P%", "[20%, tiny.nn:5]", "hidden", "check-gradients"};

    RUN(0, "--help");
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        SAYS(out, words[i]);
    RUN(0, "predict --help");
    SAYS(out, "--format=NAME");
}
END_TEST

/* --- mistakes --- */

static const struct { const char *command; int status; const char *says; } mistakes[] = {
    {"trian", 2, "did you mean 'train'?"},
    {"--epoch=3", 2, "did you mean --epochs?"},
    {"train --epochs", 2, "--epochs wants a value"},
    {"train --epochs --lr=1", 2, "--epochs wants a value"},
    {"train --epochs=few", 2, "--epochs wants a number, not 'few'"},
    {"train --epochs=1.5", 2, "whole number"},
    {"train --epochs=-1", 2, "whole number"},
    {"train --lr=nan", 2, "--lr wants a number"},
    {"train --epochs=1 --steps=1", 2, "give one of them"},
    {"train --batch=16", 2, "Change line 18 of tiny.nn and compile again"},
    {"train --optimizer=adam", 2, "optimizer is compiled in"},
    {"train --hidden=16", 2, "nnc tiny.nn -D hidden=16"},
    {"train --split=test", 2, "train has no --split"},
    {"train -x", 2, "options begin with --"},
    {"train file", 2, "train takes no file"},
    {"train --valid=200%", 2, "more than 100%"},
    {"train --valid=200", 2, "valid takes 200 samples, but there are only 95"},
    {"train --valid=95", 2, "valid takes 95"},
    {"train --data=none.csv", 4, "tiny.nn:1:8: csv: cannot open "},
    {"train --data=none.csv", 4, "none.csv: No such file or directory\n  help: --data PATH says where it lies\n"},
    {"train --data colours=none.csv", 2, "has no path 'colours'"},
    {"train --data points=none.csv", 4, "none.csv"},
    {"train --data elsewhere", 4, "elsewhere/points.csv): it has x, y"},
    {"train --data path=wrong.csv", 4, "tiny.nn:9: the model wants a, which is not in the data"},
    {"train --data many.csv", 4, "label has 3 classes in the model, but 4 in the data"},
    {"train --run=../x", 2, "plain name"},
    {"train --threads=0", 2, "--threads wants a number from 1 to 4096, not 0"},
    {"resume", 4, "there is no training of Tiny"},
    {"resume nothing", 4, "there is no directory runs/nothing"},
    {"eval", 4, "train first"},
    {"eval --weights=points.csv", 4, "cannot use points.csv"},
    {"eval --weights=empty", 4, "cannot use empty: it has 0 bytes"},
    {"predict --weights=none", 4, "cannot open none: there is no such file in /"},
    {"predict --format=xml", 2, "csv or json"},
};

START_TEST(mistakes_are_explained)
{
    write_file("wrong.csv", "x,y,label\n1,2,red\n3,4,blue\n");
    write_file("many.csv", "a,b,label\n1,2,p\n3,4,q\n5,6,r\n7,8,s\n");
    write_file("empty", "");
    ck_assert_int_eq(mkdir("elsewhere", 0777), 0);
    write_file("elsewhere/points.csv", "x,y,label\n1,2,red\n3,4,blue\n");
    RUN(mistakes[_i].status, mistakes[_i].command);
    SAYS(err, mistakes[_i].says);
    ck_assert_msg(mistakes[_i].status != 2 || access("runs", F_OK) != 0, "a run is left behind");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("commands");
    TCase *c = tcase_create("commands");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, eval_knows_the_splits);
    tcase_add_test(c, eval_knows_classes_by_name);
    tcase_add_test(c, predict_names_classes);
    tcase_add_test(c, info_shows_the_model);
    tcase_add_test(c, check_gradients_tells_right_from_wrong);
    tcase_add_test(c, bench_measures);
    tcase_add_test(c, help_names_every_setting);
    tcase_add_loop_test(c, mistakes_are_explained, 0, COUNT(mistakes));
    suite_add_tcase(suite, c);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
