/* images.c -- pictures and folders of them: the bytes that Pillow gives, and a sentence for everything else. */
#include "data.h"
#include "picture.h"

#include <png.h>
#include <sys/resource.h>
#include <unistd.h>

#include "image_files.h"

/* A PNG of our own: 8 x 6, pixel (x, y) of channel c is 8-bit value(x, y, c), in 8 or 16 bits, interlaced or not. */
static int value(int x, int y, int c) { return (x * 30 + y * 7 + c * 90) % 256; }

static void put_png(const char *name, int type, int bits, bool interlaced)
{
    int channels = type == PNG_COLOR_TYPE_RGB ? 3 : type == PNG_COLOR_TYPE_RGB_ALPHA ? 4 : 1;
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    uint8_t bytes[6][8 * 4 * 2], *rows[6];
    FILE *to;

    put(name, "", 0);
    to = fopen(place(name), "wb");
    png_init_io(png, to);
    png_set_IHDR(png, info, 8, 6, bits, type, interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    for (int y = 0; y < 6; y++) {
        rows[y] = bytes[y];
        for (int x = 0; x < 8; x++)
            for (int c = 0; c < channels; c++)
                for (int b = 0; b < bits / 8; b++) /* 257 v is v in 16 bits */
                    bytes[y][(x * channels + c) * bits / 8 + b] = (uint8_t)value(x, y, c);
    }
    png_write_info(png, info);
    png_write_image(png, rows);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    fclose(to);
}

/* --- pictures --- */

START_TEST(as_pillow_does_it)
{
    const struct Golden *g = &goldens[_i];
    PictureSize size = {g->channels, g->height, g->width};
    int n = g->channels * g->height * g->width, allowed = strncmp(g->name, "jpeg", 4) == 0 ? 2 : 0;
    uint8_t got[3 * 32 * 32];
    Fault f = {0};

    put("golden", g->file, g->n);
    ck_assert_msg(nn_picture_read(place("golden"), &size, got, &f), "%s: %s", g->name, f.text);
    for (int i = 0; i < n; i++) /* decoders of JPEG may round otherwise */
        ck_assert_msg(abs(got[i] - g->want[i]) <= allowed, "%s: byte %d of %dx%dx%d is %d, not %d", g->name, i, g->channels,
                      g->height, g->width, got[i], g->want[i]);
}
END_TEST

START_TEST(every_kind_of_png)
{
    static const struct { int type, bits; bool interlaced; } rows[] = {
        {PNG_COLOR_TYPE_GRAY, 8, true},       {PNG_COLOR_TYPE_GRAY, 16, false},     {PNG_COLOR_TYPE_RGB, 8, false},
        {PNG_COLOR_TYPE_RGB, 8, true},        {PNG_COLOR_TYPE_RGB, 16, true},       {PNG_COLOR_TYPE_RGB_ALPHA, 8, true},
        {PNG_COLOR_TYPE_RGB_ALPHA, 16, false},
    };
    PictureSize size = {3, 6, 8}, is;
    uint8_t got[3 * 6 * 8];

    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        Fault f = {0};
        bool grey = rows[r].type == PNG_COLOR_TYPE_GRAY;

        put_png("kind.png", rows[r].type, rows[r].bits, rows[r].interlaced);
        ck_assert_msg(nn_picture_size(place("kind.png"), &is, &f), "%s", f.text);
        ck_assert(is.channels == (grey ? 1 : 3) && is.height == 6 && is.width == 8);
        ck_assert_msg(nn_picture_read(place("kind.png"), &size, got, &f), "%s", f.text);
        for (int i = 0; i < 3 * 6 * 8; i++)
            ck_assert_msg(got[i] == value(i % 8, i / 8 % 6, grey ? 0 : i / 48), "row %zu, byte %d is %d", r, i, got[i]);
    }
}
END_TEST

/* A comment of 40,000 bytes before the size. */
START_TEST(size_far_behind)
{
    const struct Golden *g = &goldens[12];
    uint8_t *file = calloc(1, g->n + 40002);
    PictureSize near, far;
    Fault f = {0};

    memcpy(file, g->file, 2);
    memcpy(file + 2, "\xff\xfe\x9c\x40", 4);
    memcpy(file + 40004, g->file + 2, g->n - 2); /* the length counts itself, but not its marker */
    put("near.jpg", g->file, g->n);
    put("far.jpg", file, g->n + 40002);
    ck_assert_msg(nn_picture_size(place("near.jpg"), &near, &f) && nn_picture_size(place("far.jpg"), &far, &f), "%s", f.text);
    ck_assert(near.height == far.height && near.width == far.width && near.channels == far.channels);
    free(file);
}
END_TEST

static void refused(const void *bytes, size_t n, const char *why)
{
    PictureSize size = {3, 8, 8};
    uint8_t got[3 * 8 * 8];
    Fault f = {0};

    put("wrong.png", bytes, n);
    ck_assert(!nn_picture_read(place("wrong.png"), &size, got, &f));
    ck_assert_msg(strstr(f.text, why) != NULL && strstr(f.text, "wrong.png") != NULL, "'%s' is not in '%s'", why, f.text);
}

START_TEST(what_is_no_picture)
{
    uint8_t big[200];

    refused("", 0, "is empty");
    refused("GIF89a", 6, "neither a PNG nor a JPEG");
    refused("<!DOCTYPE html>", 15, "web page");
    refused(goldens[0].file, 20, "cut short");
    refused(goldens[0].file, goldens[0].n / 2, "cut short");
    refused(goldens[12].file, goldens[12].n - 60, "cut short");
    refused(goldens[12].file, 30, "is no JPEG picture");
    memcpy(big, goldens[0].file, sizeof big); /* 65,000 x 1,000 pixels in 200 bytes; the sum of the header must be right */
    memcpy(big + 16, "\0\0\xfd\xe8\0\0\3\xe8\10\2\0\0\0\xc8\xd1\xa4\xc7", 17);
    refused(big, sizeof big, "wrong.png");
}
END_TEST

/* A file that promises much takes no memory. */
START_TEST(no_memory_for_promises)
{
    struct rlimit most = {400 << 20, 400 << 20};
    uint8_t file[2000];
    PictureSize size = {3, 8, 8};
    uint8_t got[3 * 8 * 8];
    size_t n = goldens[16].n < sizeof file ? goldens[16].n : sizeof file;
    Fault f = {0};

    memcpy(file, goldens[16].file, n);
    for (size_t i = 0; i + 8 < n; i++)
        if (file[i] == 0xff && file[i + 1] == 0xc2) /* the frame: length, bits, height, width */
            memcpy(file + i + 5, "\x9c\x40\x9c\x40", 4);
    setrlimit(RLIMIT_AS, &most);
    put("big.jpg", file, n);
    ck_assert(!nn_picture_read(place("big.jpg"), &size, got, &f));
    ck_assert_msg(strstr(f.text, "big.jpg") != NULL && f.status == EXIT_FILE, "%s", f.text);
}
END_TEST

/* Any bytes: a picture, or a message with the path. */
START_TEST(cut_and_changed)
{
    const struct Golden *g = &goldens[2 * _i];
    PictureSize size = {3, 9, 9};
    uint8_t got[3 * 9 * 9];
    uint8_t *file = malloc(g->n);
    uint32_t r = (uint32_t)_i + 1;
    int read = 0;

    for (int round = 0; round < 400; round++) {
        size_t n = g->n;
        Fault f = {0};

        memcpy(file, g->file, n);
        for (int k = 0; k < 1 + round % 4; k++) {
            r = r * 1664525u + 1013904223u;
            if (r >> 28 == 0)
                n = (r >> 8) % n + 1;
            else
                file[(r >> 8) % n] = (uint8_t)(r >> 3);
        }
        put("changed", file, n);
        if (nn_picture_read(place("changed"), &size, got, &f))
            read++;
        else
            ck_assert_msg(strstr(f.text, "changed") != NULL, "%s", f.text);
    }
    ck_assert_int_gt(read, 0);
    free(file);
}
END_TEST

/* --- folders --- */

static void folder_refused(const char *name, const char *size, const char *why)
{
    Data data;
    Fault f;

    ck_assert_msg(!open_folder(name, size, &data, &f), "%s was read", name);
    ck_assert_msg(strstr(f.text, why) != NULL, "'%s' is not in '%s'", why, f.text);
}

START_TEST(classes_are_folders)
{
    static const char *const classes[] = {"Zebra", "ant", "bee"}; /* bytewise: capitals come first */
    static const int labels[] = {0, 0, 1, 1, 1, 2};
    uint8_t want[3 * 6 * 7], room[sizeof want];
    Data data;
    Fault f;

    put_golden("animals/ant/2.png", 1);
    put_golden("animals/ant/10.PNG", 0);
    put_golden("animals/ant/deeper/x.jpeg", 6);
    put_golden("animals/Zebra/a.JPG", 7);
    put_golden("animals/Zebra/b.jpg", 9);
    put_golden("animals/bee/1.png", 4);
    put("animals/bee/notes.txt", "no picture", 10);
    put("animals/.git/1.png", "passed over", 11);
    put("animals/readme.md", "passed over", 11);
    ck_assert_msg(open_folder("animals", "6x7", &data, &f), "%s", f.text);
    ck_assert_int_eq(data.n, 6);
    ck_assert_int_eq(data.own_test, 0);
    ck_assert_int_eq(data.ncolumns, 2);
    ck_assert(data.columns[0].rank == 3 && data.columns[0].shape[0] == 3 && data.columns[0].shape[1] == 6 && data.columns[0].shape[2] == 7);
    ck_assert_int_eq(data.columns[1].classes, 3);
    for (int i = 0; i < 3; i++)
        ck_assert_str_eq(data.columns[1].class_names[i], classes[i]);
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(((int32_t *)data.columns[1].data)[i], labels[i]);
    ck_assert_msg(strstr(data.files[2], "animals/ant/10.PNG") != NULL, "%s", data.files[2]);
    ck_assert_msg(strstr(data.files[4], "ant/deeper/x.jpeg") != NULL, "%s", data.files[4]);
    ck_assert(nn_picture_read(place("animals/ant/10.PNG"), &(PictureSize){3, 6, 7}, want, &f));
    ck_assert_mem_eq(nn_data_at(&data, 0, 2, room, &f), want, sizeof want);
    nn_data_free(&data);

    ck_assert_msg(open_folder("animals/Zebra", "1x5x5", &data, &f), "%s", f.text);
    ck_assert(data.ncolumns == 1 && data.n == 2); /* loose pictures: new samples, to predict */
    nn_data_free(&data);
    ck_assert_msg(open_folder("animals/ant/2.png", NULL, &data, &f), "%s", f.text);
    ck_assert(data.ncolumns == 1 && data.n == 1 && data.columns[0].shape[1] == 17 && data.columns[0].shape[2] == 12);
    nn_data_free(&data);
}
END_TEST

START_TEST(train_and_test)
{
    Data data;
    Fault f;

    put_golden("split/train/a/1.png", 0);
    put_golden("split/train/b/1.png", 1);
    put_golden("split/train/b/2.png", 2);
    put_golden("split/test/b/1.png", 3);
    ck_assert_msg(open_folder("split", "4x4", &data, &f), "%s", f.text);
    ck_assert(data.n == 4 && data.own_test == 1 && data.columns[1].classes == 2);
    ck_assert_int_eq(((int32_t *)data.columns[1].data)[3], 1);
    nn_data_free(&data);
    put_golden("split/test/c/1.png", 3);
    folder_refused("split", "4x4", "no class 'c' to train on");
    put_golden("split/val/a/1.png", 3);
    folder_refused("split", "4x4", "valid = 10%");
}
END_TEST

START_TEST(folders_that_are_wrong)
{
    put_golden("loose/1.png", 0);
    put_golden("loose/a/2.png", 0);
    put("hollow/a/x.txt", "", 0);
    put("nothing/x.txt", "", 0);
    put_golden("sizes/a/1.png", 0);
    put_golden("sizes/b/2.png", 1);
    for (int i = 0; i < 40; i++) {
        char name[40];

        snprintf(name, sizeof name, "bad/a/%02d.png", i);
        put_golden(name, i % 10);
        if (i % 10 == 7)
            put(name, "\x89PNG\r\n\x1a\nbroken", 14);
    }
    folder_refused("missing", "4x4", "No such file");
    folder_refused("loose", "4x4", "1.png belongs to no class");
    folder_refused("hollow", "4x4", "holds no PNG or JPEG");
    folder_refused("nothing", "4x4", "holds no folders");
    folder_refused("sizes", NULL, "say size = HEIGHTxWIDTH");
    folder_refused("sizes", "00x4", "whole numbers"); /* 0x4 would be 4 */
    folder_refused("sizes", "4x4x4", "1 channel (grey) or 3");
    for (int i = 0; i < 5; i++) /* the first of the bad ones, whichever thread meets which */
        folder_refused("bad", "4x4", "bad/a/07.png");
}
END_TEST

START_TEST(cifar100)
{
    static uint8_t records[3][2 + 3072] = {{19, 99, 7}, {0, 0, 8}, {5, 98, 9}};
    nn_value path = {.kind = NN_TEXT, .text = "cifar"};
    nn_value call = {.kind = NN_CALL, .text = "cifar100", .n = 1, .parts = &path};
    Data data;
    Fault f = {0};

    put("cifar/cifar-100-binary/train.bin", records, sizeof records);
    put("cifar/cifar-100-binary/test.bin", records, sizeof records[0]);
    ck_assert_msg(nn_data_open(&call, top, &data, &f), "%s", f.text);
    ck_assert(data.n == 4 && data.own_test == 1 && data.ncolumns == 3);
    ck_assert_str_eq(data.columns[2].name, "label");
    ck_assert_str_eq(data.columns[2].class_names[((int32_t *)data.columns[2].data)[0]], "worm");
    ck_assert_str_eq(data.columns[1].class_names[((int32_t *)data.columns[1].data)[1]], "aquatic_mammals");
    ck_assert_int_eq(((uint8_t *)data.columns[0].data)[2 * 3072], 9);
    nn_data_free(&data);
    records[1][1] = 100;
    put("cifar/cifar-100-binary/train.bin", records, sizeof records);
    ck_assert(!nn_data_open(&call, top, &data, &f));
    ck_assert_msg(strstr(f.text, "byte 3075 is 100; it should be 0 to 99") != NULL, "%s", f.text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("images");
    TCase *all = tcase_create("images"), *memory = tcase_create("memory"); /* the latter not under a sanitizer */
    SRunner *runner;
    int failed;

    if (mkdtemp(top) == NULL)
        return 1;
    tcase_set_timeout(all, 60);
    tcase_add_loop_test(all, as_pillow_does_it, 0, GOLDENS);
    tcase_add_test(all, every_kind_of_png);
    tcase_add_test(all, size_far_behind);
    tcase_add_test(all, what_is_no_picture);
    tcase_add_test(memory, no_memory_for_promises);
    tcase_add_loop_test(all, cut_and_changed, 0, GOLDENS / 2);
    tcase_add_test(all, classes_are_folders);
    tcase_add_test(all, train_and_test);
    tcase_add_test(all, folders_that_are_wrong);
    tcase_add_test(all, cifar100);
    suite_add_tcase(suite, all);
    suite_add_tcase(suite, memory);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    remove_all(top);
    return failed != 0;
}
