/* tables.c -- CSV, tables in the file, points; calls of readers that are wrong; splits. */
#include "readers.h"

/* --- CSV --- */

START_TEST(csv_good)
{
    Data data;
    Fault f;

    put_text("t.csv", "\xef\xbb\xbf" "a,sepal length (cm) , \"kind\"\r\n\r\n1,2.5,\"b, \"\"x\"\"\"\r\n-3e2, .5 ,a\r\n4,5,\"two\nlines\"");
    ck_assert_msg(open_one("csv", "t.csv", &data, &f), "%s", f.text);
    ck_assert_int_eq(data.n, 3);
    ck_assert_int_eq(data.ncolumns, 3);
    ck_assert(number_at(&data, "a", 1) == -300 && number_at(&data, "sepal_length__cm_", 0) == 2.5f);
    ck_assert_int_eq(data.columns[2].classes, 3);
    ck_assert_str_eq(data.columns[2].class_names[0], "a");
    ck_assert_str_eq(data.columns[2].class_names[1], "b, \"x\"");
    ck_assert_str_eq(data.columns[2].class_names[2], "two\nlines");
    ck_assert(number_at(&data, "kind", 0) == 1 && number_at(&data, "kind", 1) == 0 && number_at(&data, "kind", 2) == 2);
    ck_assert_int_eq(data.columns[0].whole_below, 0);
    nn_data_free(&data);

    put_text("t.tsv", "p\tdigit\n0.5\t3\n1\t0\n");
    ck_assert_msg(open_one("csv", "t.tsv", &data, &f), "%s", f.text);
    ck_assert_int_eq(data.columns[1].whole_below, 4);
    nn_data_free(&data);
}
END_TEST

START_TEST(csv_separator)
{
    static const char *const names[] = {NULL, "separator"};
    const char *texts[] = {"t.csv", ";"};
    nn_value call = source_call("csv", 2, names, texts, NULL);
    Data data;
    Fault f = {0};

    put_text("t.csv", "a;kind;b\n1;yes;2\n3;no;4\n");
    ck_assert_msg(nn_data_open(&call, folder, &data, &f), "%s", f.text);
    ck_assert_int_eq(data.ncolumns, 3);
    ck_assert(number_at(&data, "b", 1) == 4 && number_at(&data, "kind", 0) == 1);
    ck_assert_str_eq(data.columns[1].class_names[1], "yes");
    nn_data_free(&data);
}
END_TEST

START_TEST(csv_that_is_wrong)
{
    static const struct { const char *csv, *says; } rows[] = {
        {"", "is empty"},
        {"\n \n", "is blank"},
        {"a,b\n", "no samples"},
        {"1,2\n3,4\n", "t.csv:1:1: the first line should name the columns"},
        {"a,a\n1,2\n", "t.csv:1:3: two columns are called 'a'"},
        {"a,\n1,2\n", "t.csv:1:3: a column without a name"},
        {"a,b\n1\n", "t.csv:2:1: the line has fewer than the 2 cells"},
        {"a,b\n1,2,3\n", "t.csv:2:3: the line has more than the 2 cells"},
        {"a,b\n1,2\n3,\n", "t.csv:3:3: column 'b': the value is missing"},
        {"a,b\n1,2\n3,NA\n", "t.csv:3:3: column 'b': 'NA' is no value"},
        {"a,b\n1,2\n3,nan\n", "t.csv:3:3: column 'b': 'nan' is no value"},
        {"a,b\n1,2\n3, inf\n", "t.csv:3:4: column 'b': 'inf' is no value"},
        {"a,b\n1,2\n3,1e400\n", "t.csv:3:3: column 'b': 1e400 is too large"},
        {"a,b\n1,2\n3,0x10\n", "t.csv:3:3: column 'b': '0x10' is not a number"},
        {"a,b\n1,2\n3,four\n", "t.csv:3:3: column 'b': 'four' is not a number"},
        {"a,b\n1,\"2\n", "t.csv:2:3: this quote is never closed"},
        {"a,b\n1,\"2\"3\n", "t.csv:2:3: after the closing quote"},
        {"<html>", "web page"},
        {"version https://git-lfs.github.com/spec/v1\n", "Git LFS"},
    };
    Data data;
    Fault f;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        put_text("t.csv", rows[i].csv);
        ck_assert_msg(!open_one("csv", "t.csv", &data, &f), "%s", rows[i].csv);
        ck_assert_msg(strstr(f.text, rows[i].says) != NULL, "%s says %s", rows[i].csv, f.text);
    }
    put("t.csv", "a\n1\0002\n", 6);
    ck_assert(!open_one("csv", "t.csv", &data, &f));
    ck_assert_ptr_nonnull(strstr(f.text, "byte 0"));
}
END_TEST

/* A million bytes of zeros are a thousand packed ones; text that unpacks a thousandfold is a bomb. */
START_TEST(csv_bomb)
{
    struct rlimit limit = {(rlim_t)1 << 32, (rlim_t)1 << 32};
    static char blanks[1 << 20];
    gzFile out = gzopen(place("t.csv"), "wb9");
    Data data;
    Fault f;

    memset(blanks, '\n', sizeof blanks);
    for (int i = 0; i < 64; i++)
        gzwrite(out, blanks, sizeof blanks);
    gzclose(out);
    if (getenv("CK_FORK") == NULL) /* a limit would stay with the other tests */
        setrlimit(RLIMIT_AS, &limit);
    ck_assert(!open_one("csv", "t.csv", &data, &f));
}
END_TEST

static uint32_t bits(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

START_TEST(csv_garbage)
{
    static const char *const pieces[] = {"a", "1", ",", "\n", "\"", "\r\n", "-", "e5", ".", " ", "\t", "nan", "\"\"", "b", ",,", "\xff"};
    uint32_t state = 1;
    char text[200];
    Data data;
    Fault f;
    int good = 0;

    for (int round = 0; round < 3000; round++) {
        text[0] = '\0';
        strcat(text, round & 1 ? "a,b\n" : "a\n");
        for (int i = (int)(bits(&state) % 20); i >= 0; i--)
            strcat(text, pieces[bits(&state) % (sizeof pieces / sizeof *pieces)]);
        put_text("t.csv", text);
        good += survives(open_one("csv", "t.csv", &data, &f), &data, &f);
    }
    ck_assert_int_gt(good, 50);
}
END_TEST

/* --- points and tables --- */

static void make_points(const char *reader, double n, double noise, double seed, Data *data)
{
    static const char *const names[] = {NULL, "noise", "seed"};
    nn_value call = source_call(reader, 3, names, NULL, (double[]){n, noise, seed});
    Fault f = {0};

    ck_assert_msg(nn_data_open(&call, NULL, data, &f), "%s: %s", reader, f.text);
}

START_TEST(points)
{
    static const char *const readers[] = {"points.spiral", "points.xor", "points.circle", "points.gauss", "points.moons"};
    Data a, b, c;

    for (int r = 0; r < 5; r++) {
        int positive = 0, right = 0;

        make_points(readers[r], 501, 0, 3, &a);
        make_points(readers[r], 501, 0, 3, &b);
        make_points(readers[r], 501, 0.3, 4, &c);
        ck_assert_int_eq(a.n, 501);
        for (int i = 0; i < 501; i++) {
            double x = (double)number_at(&a, "x1", i), y = (double)number_at(&a, "x2", i);
            float label = number_at(&a, "label", i);

            ck_assert(x == (double)number_at(&b, "x1", i) && y == (double)number_at(&b, "x2", i));
            ck_assert(label == 1 || label == -1);
            ck_assert(fabs(x) < 9 && fabs(y) < 9 && isfinite(number_at(&c, "x1", i)));
            positive += label > 0;
            /* the rule of each shape, without noise */
            right += r == 0   ? fabs(hypot(x, y) - 5.0 * (label > 0 ? i / 250.0 : (i - 250) / 251.0)) < 1e-5
                     : r == 1 ? (x * y >= 0) == (label > 0) && fabs(x) >= 0.3 && fabs(y) >= 0.3
                     : r == 2 ? (hypot(x, y) < 2.5) == (label > 0) && (label > 0 || hypot(x, y) > 3.5 - 1e-5)
                     : r == 3 ? (x + y > 0) == (label > 0)
                              : fabs(label > 0 ? hypot(x, y) - 1 : hypot(x - 1, y - 0.5) - 1) < 1e-5;
        }
        ck_assert_int_ge(right, r == 3 ? 495 : 501);
        ck_assert(positive > 200 && positive < 300);
        nn_data_free(&a), nn_data_free(&b), nn_data_free(&c);
    }
}
END_TEST

/* The variance of gauss is 0.5 without noise and 4 at the end of the Playground's slider. */
START_TEST(points_spread)
{
    for (int end = 0; end < 2; end++) {
        Data a;
        double mean = 0, square = 0;

        make_points("points.gauss", 20000, end ? 0.5 : 0, 1, &a);
        for (int i = 0; i < 10000; i++) {
            double x = (double)number_at(&a, "x1", i);
            mean += x / 10000;
            square += x * x / 10000;
        }
        ck_assert_double_eq_tol(mean, 2, 0.1);
        ck_assert_double_eq_tol(square - mean * mean, end ? 4 : 0.5, end ? 0.2 : 0.03);
        nn_data_free(&a);
    }
}
END_TEST

static nn_value numbers_of(int n, nn_value *parts, const double *x)
{
    for (int i = 0; i < n; i++)
        parts[i] = (nn_value){.kind = NN_NUMBER, .number = x[i]};
    return (nn_value){.kind = NN_LIST, .n = n, .parts = parts};
}

START_TEST(tables)
{
    static const char *const names[] = {"x", "label"};
    nn_value a[2], b[2], x[2] = {numbers_of(2, a, (double[]){0, 1}), numbers_of(2, b, (double[]){2, 3.5})};
    nn_value labels[2] = {{.kind = NN_TEXT, .text = "yes"}, {.kind = NN_TEXT, .text = "no"}};
    nn_value columns[2] = {{.kind = NN_LIST, .n = 2, .parts = x}, {.kind = NN_LIST, .n = 2, .parts = labels}};
    nn_value call = {.kind = NN_CALL, .text = "table", .n = 2, .parts = columns, .names = names};
    Data data;
    Fault f = {0};
    float sample[2];

    ck_assert_msg(nn_data_open(&call, NULL, &data, &f), "%s", f.text);
    ck_assert(nn_data_floats(&data, 0, 1, sample, &f));
    ck_assert(sample[0] == 2 && sample[1] == 3.5f && data.columns[0].rank == 1);
    ck_assert(data.columns[1].classes == 2 && number_at(&data, "label", 0) == 1);
    nn_data_free(&data);

    x[1].n = 1;
    ck_assert(!nn_data_open(&call, NULL, &data, &f));
    ck_assert_ptr_nonnull(strstr(f.text, "differ in shape"));
    columns[0].n = 1;
    f = (Fault){0};
    ck_assert(!nn_data_open(&call, NULL, &data, &f));
    ck_assert_ptr_nonnull(strstr(f.text, "'label' has 2 samples, but 'x' 1"));
}
END_TEST

/* --- calls and splits --- */

START_TEST(calls_that_are_wrong)
{
    static const char *const names[] = {"seperator"}, *const twice[] = {NULL, "path"};
    const char *texts[] = {"t.csv", "t.csv"};
    const struct { nn_value call; const char *says; } rows[] = {
        {source_call("minst", 1, NULL, texts, NULL), "did you mean 'mnist'"},
        {source_call("csv", 1, names, texts, NULL), "did you mean 'separator'"},
    };
    nn_value again = source_call("csv", 2, twice, texts, NULL), none = source_call("csv", 0, NULL, NULL, NULL);
    Data data;
    Fault f;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        f = (Fault){0};
        ck_assert(!nn_data_open(&rows[i].call, folder, &data, &f));
        ck_assert_msg(strstr(f.text, rows[i].says) != NULL, "%s", f.text);
    }
    f = (Fault){0};
    ck_assert(!nn_data_open(&again, folder, &data, &f));
    ck_assert_ptr_nonnull(strstr(f.text, "'path' is given twice"));
    f = (Fault){0};
    ck_assert(!nn_data_open(&none, folder, &data, &f));
    ck_assert_ptr_nonnull(strstr(f.text, "'path' must be given"));
    ck_assert(!open_two("points.xor", "a", "b", &data, &f));
    ck_assert_ptr_nonnull(strstr(f.text, "should be a number"));
}
END_TEST

START_TEST(splits)
{
    Data data;
    DataSplit a, b, c;
    Fault f = {0};
    int64_t counts[2], seen = 0;
    int label;

    put_text("t.csv", "x,kind\n1,a\n2,b\n3,a\n4,b\n5,a\n6,b\n7,a\n8,b\n9,a\n10,b\n");
    ck_assert(open_one("csv", "t.csv", &data, &f));
    label = nn_data_find(&data, "kind");
    ck_assert(nn_data_split(&data, 2, 3, 7, &a, &f) && nn_data_split(&data, 2, 3, 7, &b, &f) && nn_data_split(&data, 2, 3, 8, &c, &f));
    ck_assert(a.n[0] == 5 && a.n[1] == 2 && a.n[2] == 3);
    for (int part = 0; part < 3; part++)
        for (int64_t i = 0; i < a.n[part]; i++) {
            ck_assert(a.samples[part][i] == b.samples[part][i] && (i == 0 || a.samples[part][i] > a.samples[part][i - 1]));
            seen |= (int64_t)1 << a.samples[part][i];
        }
    ck_assert_int_eq(seen, 1023);
    ck_assert(memcmp(a.samples[0], c.samples[0], 5 * sizeof(int64_t)) != 0);
    nn_data_class_counts(&data, label, a.samples[0], a.n[0], counts);
    ck_assert_int_eq(counts[0] + counts[1], 5);
    nn_data_split_free(&a), nn_data_split_free(&b), nn_data_split_free(&c);
    ck_assert(!nn_data_split(&data, 5, 5, 0, &a, &f));
    ck_assert_ptr_nonnull(strstr(f.text, "leave none"));
    nn_data_free(&data);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        csv_good, csv_separator, csv_that_is_wrong, csv_bomb, csv_garbage, points, points_spread, tables,
        calls_that_are_wrong, splits};

    return run_tests("tables", tests, sizeof tests / sizeof *tests);
}
