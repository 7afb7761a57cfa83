/* data_cifar.c -- CIFAR-10 and CIFAR-100, binary: records of a label, or a coarse and a fine one, and 3 x 32 x 32 bytes;
 * five files to train and one to test, or one and one. */
#include "data_reader.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIXELS = 3 * 32 * 32, MOST_LABELS = 2 };

static const char *const classes10[] = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
static const char *const coarse100[] = {
    "aquatic_mammals", "fish", "flowers", "food_containers", "fruit_and_vegetables", "household_electrical_devices",
    "household_furniture", "insects", "large_carnivores", "large_man-made_outdoor_things", "large_natural_outdoor_scenes",
    "large_omnivores_and_herbivores", "medium_mammals", "non-insect_invertebrates", "people", "reptiles", "small_mammals",
    "trees", "vehicles_1", "vehicles_2"};
static const char *const fine100[] = {
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy", "bridge",
    "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock", "cloud",
    "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish", "forest", "fox", "girl",
    "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man",
    "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear",
    "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road",
    "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider", "squirrel",
    "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor", "train",
    "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm"};

/* The last file is the test split. */
typedef struct Cifar {
    const char *archive; /* the folder that the archive unpacks into */
    int nfiles;
    const char *files[6];
    int nlabels;
    struct { const char *column; int classes; const char *const *names; } labels[MOST_LABELS];
} Cifar;

static const Cifar cifar10 = {
    "cifar-10-batches-bin", 6, {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"},
    1, {{"label", 10, classes10}}};
static const Cifar cifar100 = {
    "cifar-100-binary", 2, {"train", "test"}, 2, {{"coarse", 20, coarse100}, {"label", 100, fine100}}};

/* More room in a column. */
static bool grow(Column *c, size_t n, size_t each, const char *path, Fault *f)
{
    void *more = realloc(c->data, n * each > 0 ? n * each : 1);

    if (more == NULL)
        return nn_fail_memory(f, path, n * each);
    c->data = more;
    return true;
}

static bool put_record(const Cifar *cifar, const char *path, const uint8_t *record, int64_t at, Data *data, Fault *f)
{
    for (int k = 0; k < cifar->nlabels; k++) {
        if (record[k] >= cifar->labels[k].classes)
            return nn_fail(f, EXIT_FILE, "%s: the label at byte %lld is %d; it should be 0 to %d", path, (long long)at + k,
                           record[k], cifar->labels[k].classes - 1);
        ((int32_t *)data->columns[1 + k].data)[data->n] = record[k];
    }
    memcpy((uint8_t *)data->columns[0].data + data->n * PIXELS, record + cifar->nlabels, PIXELS);
    data->n++;
    return true;
}

/* Appends the records of one file to all columns. */
static bool read_file(const Cifar *cifar, const char *path, Data *data, Fault *f)
{
    uint8_t record[MOST_LABELS + PIXELS];
    size_t bytes = (size_t)cifar->nlabels + PIXELS;
    int64_t more;
    Stream s;

    if (!nn_stream_open(path, &s, f))
        return false;
    more = (int64_t)(s.file_size / bytes);
    if (s.packed || s.file_size % bytes != 0)
        nn_fail(f, EXIT_FILE, s.packed ? "%s: unpack it" : "%s has %llu bytes; records of %zu bytes do not fit into it evenly", path,
                (unsigned long long)s.file_size, bytes);
    for (int k = 0; k <= cifar->nlabels && f->status == 0; k++)
        grow(&data->columns[k], (size_t)(data->n + more), k == 0 ? PIXELS : sizeof(int32_t), path, f);
    for (int64_t i = 0; i < more && f->status == 0; i++)
        if (nn_stream_read(&s, record, bytes, "a picture", f))
            put_record(cifar, path, record, i * (int64_t)bytes, data, f);
    nn_stream_close(&s);
    return f->status == 0;
}

/* data_batch_1 in place of data_batch_1.bin: pickles. */
static bool is_python(const char *path)
{
    char other[PATH_MAX + 64];

    snprintf(other, sizeof other, "%.*s", (int)strlen(path) - 4, path);
    return !nn_file_exists(path) && nn_file_exists(other);
}

/* In the folder that is named, or in the archive's own folder in it. */
static bool read_files(const Cifar *cifar, Data *data, Fault *f)
{
    char path[PATH_MAX + 64];
    const char *inner = cifar->archive;
    int64_t before = 0;

    snprintf(path, sizeof path, "%.*s/%s", PATH_MAX, data->origin, inner);
    if (!nn_file_exists(path))
        inner = ".";
    for (int i = 0; i < cifar->nfiles; i++) {
        before = data->n;
        snprintf(path, sizeof path, "%.*s%s%s/%s.bin", PATH_MAX, data->origin, inner[0] == '.' ? "" : "/", inner[0] == '.' ? "" : inner,
                 cifar->files[i]);
        if (i == 0 && is_python(path))
            return nn_fail(f, EXIT_FILE, "%s holds the Python version of CIFAR; the binary version, %s, can be read", data->origin,
                           cifar->archive);
        if (!read_file(cifar, path, data, f))
            return false;
    }
    data->own_test = data->n - before;
    return true;
}

static bool read_cifar(const Cifar *cifar, const Call *call, Data *data, Fault *f)
{
    const char *folder;

    if (!nn_call_text(call, 0, "folder", NULL, &folder, f))
        return false;
    data->origin = nn_call_find(call, 0, folder, f);
    if (data->origin == NULL ||
        nn_column_add(data, "image", &(Column){.type = DATA_U8, .rank = 3, .shape = {3, 32, 32}}, 0, f) == NULL)
        return false;
    for (int k = 0; k < cifar->nlabels; k++) {
        Column *c = nn_column_add(data, cifar->labels[k].column,
                                  &(Column){.type = DATA_I32, .classes = cifar->labels[k].classes}, 0, f);

        if (c == NULL || !nn_column_name_classes(c, cifar->labels[k].names, f))
            return false;
    }
    return read_files(cifar, data, f);
}

bool nn_read_cifar10(const Call *call, Data *data, Fault *f) { return read_cifar(&cifar10, call, data, f); }
bool nn_read_cifar100(const Call *call, Data *data, Fault *f) { return read_cifar(&cifar100, call, data, f); }
