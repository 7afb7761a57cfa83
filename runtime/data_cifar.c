/* data_cifar.c -- CIFAR-10, binary: records of a label and 3 x 32 x 32 bytes, in five files to train and one to test. */
#include "data_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILES = 6, PIXELS = 3 * 32 * 32, RECORD = 1 + PIXELS, CLASSES = 10 };
static const char *const class_names[CLASSES] = {"airplane", "automobile", "bird", "cat", "deer",
                                                 "dog", "frog", "horse", "ship", "truck"};

/* Appends the records of one file to both columns; *n samples are there before it. */
static bool cifar_file(const char *path, Column *image, Column *label, int64_t *n, Fault *f)
{
    Stream s;
    uint8_t record[RECORD];
    int64_t more;
    void *images, *labels;

    if (!nn_stream_open(path, &s, f))
        return false;
    more = (int64_t)(s.file_size / RECORD);
    if (s.packed || s.file_size % RECORD != 0)
        nn_fail(f, EXIT_FILE, s.packed ? "%s: unpack it" : "%s has %llu bytes; records of %d bytes do not fit into it evenly", path,
                (unsigned long long)s.file_size, RECORD);
    images = f->status ? NULL : realloc(image->data, (size_t)(*n + more) * PIXELS);
    if (images != NULL)
        image->data = images;
    labels = f->status ? NULL : realloc(label->data, (size_t)(*n + more) * sizeof(int32_t));
    if (labels != NULL)
        label->data = labels;
    if (images == NULL || labels == NULL)
        nn_fail_memory(f, path, (size_t)s.file_size);
    for (int64_t i = 0; i < more && f->status == 0; i++, ++*n) {
        if (!nn_stream_read(&s, record, RECORD, "a picture", f))
            break;
        if (record[0] >= CLASSES)
            nn_fail(f, EXIT_FILE, "%s: the label at byte %lld is %d; it should be 0 to %d", path, (long long)(i * RECORD),
                    record[0], CLASSES - 1);
        memcpy((uint8_t *)image->data + *n * PIXELS, record + 1, PIXELS);
        ((int32_t *)label->data)[*n] = record[0];
    }
    nn_stream_close(&s);
    return f->status == 0;
}

bool nn_read_cifar10(const Call *call, Data *data, Fault *f)
{
    static const char *const files[FILES] = {"data_batch_1", "data_batch_2", "data_batch_3",
                                             "data_batch_4", "data_batch_5", "test_batch"};
    const char *folder;
    char *path;
    size_t room, stem;
    Column *columns;

    if (!nn_call_text(call, 0, "folder", NULL, &folder, f))
        return false;
    data->origin = nn_call_find(call, folder, f);
    if (data->origin == NULL ||
        nn_column_add(data, "image", &(Column){.type = DATA_U8, .rank = 3, .shape = {3, 32, 32}}, 0, f) == NULL ||
        nn_column_add(data, "label", &(Column){.type = DATA_I32, .classes = CLASSES}, 0, f) == NULL)
        return false;
    columns = data->columns;
    room = strlen(data->origin) + 64;
    path = nn_new(f, "a path", room, 1);
    if (path == NULL)
        return false;
    /* the archive unpacks into a folder of its own: either that one is named or the one it is in */
    stem = (size_t)snprintf(path, room, "%s/cifar-10-batches-bin", data->origin);
    if (!nn_file_exists(path))
        stem = strlen(data->origin);
    for (int i = 0; i < FILES && f->status == 0; i++) {
        int64_t before = data->n;

        snprintf(path + stem, room - stem, "/%s.bin", files[i]);
        if (cifar_file(path, &columns[0], &columns[1], &data->n, f) && i == FILES - 1)
            data->own_test = data->n - before;
    }
    free(path);
    return f->status == 0 && nn_column_name_classes(&columns[1], class_names, f);
}
