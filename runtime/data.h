/* data.h -- what a data section reads: columns of samples, whatever the files look like.
 *
 *     Data data;
 *     if (!nn_data_open(&p->data[0].value, directory, &data, fault)) ...
 *     int image = nn_data_find(&data, "image");
 *     nn_data_floats(&data, image, sample, to, fault);
 *     nn_data_free(&data);
 *
 * The samples of all columns are numbered alike, 0 to n - 1. Where the source brings a test split of its own (mnist,
 * cifar10, idx(test_images = ...)), its samples are the last ones. Everything is in memory, as small as it came: an
 * image stays one byte a pixel. But the pictures of a folder are read when they are asked for, by whichever thread.
 *
 * Readers believe nothing: any bytes give data or a message with the file and the line or byte; memory is only taken
 * for what the file can really hold. */
#ifndef NN_DATA_H
#define NN_DATA_H

#include "nn.h"
#include "support.h"

typedef enum { DATA_U8, DATA_F32, DATA_I32 } DataType;

typedef struct Column {
    char *name;
    int rank;
    int64_t shape[NN_MAX_RANK]; /* of one sample; rank 0: a number */
    int64_t size;               /* elements of one sample */
    DataType type;
    int classes;                /* > 0: class indices below this; 0: numbers */
    char **class_names;         /* `classes` of them, or NULL: their names are their numbers */
    int64_t whole_below;        /* of a rank 0 column: nn_column_whole_below */
    void *data;                 /* samples x size elements; or: */
    struct Pictures *pictures;  /* files that they are read from (pictures.h); or: */
    const int64_t *which;       /* sample i is sample which[i] of the base's column `of` */
    int of;
} Column;

typedef struct Data {
    int ncolumns;
    Column *columns;
    int64_t n;        /* samples in all */
    int64_t own_test; /* the last so many are the source's own test split */
    char *origin;     /* what was read, for people: "/data/mnist", "spiral, 500 points" */
    char *const *files; /* of each sample the file that it is, or NULL: samples are not files */
    struct Data *base; /* what columns with `which` show, or NULL */
    int64_t *chosen;   /* the numbers */
} Data;

/* Whether part `part` of a source call is the path of a file or of a folder, and what the reader calls it; NULL: it has none
 * such. */
typedef enum { DATA_NO_PATH, DATA_FILE, DATA_FOLDER } DataPath;
DataPath nn_data_path(const nn_value *source, int part, const char **name);

/* Reads what a source call like mnist("data/mnist") names. Relative paths are looked for in `directory` (that of the
 * .nn file) first, then in the current one. */
bool nn_data_open(const nn_value *source, const char *directory, Data *data, Fault *f);
void nn_data_free(Data *data);

/* From now on samples that are read are kept in memory, as many as fit into so many bytes. */
void nn_data_keep(Data *data, double bytes);
/* Whether the samples of the column are read from files; how many files have no place in memory. */
bool nn_data_is_read(const Data *data, int column);
int64_t nn_data_left_out(const Data *data);

/* The number of a column, or -1. */
int nn_data_find(const Data *data, const char *name);
/* "image, label": for messages. */
const char *nn_data_names(const Data *data, char *to, size_t room);

/* The elements of one sample of a column, of the column's type: where they are, or read into `room`. */
const void *nn_data_at(const Data *data, int column, int64_t sample, void *room, Fault *f);

/* One sample of a column, as it is: class indices and bytes become the numbers they are; numbers become the
 * nearest whole ones, at the ends of the range of int32_t where they are beyond it. */
bool nn_data_floats(const Data *data, int column, int64_t sample, float *to, Fault *f);
bool nn_data_ints(const Data *data, int column, int64_t sample, int32_t *to, Fault *f);

/* The same of a column of one number a sample, which is always in memory. */
int32_t nn_data_class(const Data *data, int column, int64_t sample);

/* The name of a class, printed into `to` (room for 16) where it is only a number. */
const char *nn_data_class_name(const Column *c, int class, char *to);

/* Which samples train, validate and test.
 *
 * The rule: the samples that are not the source's own test split are shuffled (Fisher and Yates, with the random
 * numbers of nn_random.h under the seed); the first `test` of them test, the next `valid` validate, the rest trains.
 * Where the source has its own test split, that one tests, and `test` must be 0. Each list is sorted. The same seed and
 * counts give the same split, on any machine. */
typedef struct DataSplit {
    int64_t *samples[3]; /* training, validation, test */
    int64_t n[3];
} DataSplit;

bool nn_data_split(const Data *data, int64_t valid, int64_t test, uint64_t seed, DataSplit *split, Fault *f);
void nn_data_split_free(DataSplit *split);

/* One more than the largest number of a column, if all are whole and from 0 on, so that they may be classes; else 0. */
int64_t nn_column_whole_below(const Column *c, int64_t n);

/* counts[c] = how many of the samples are of class c; counts has room for `classes` (or `whole_below`) of the column. */
void nn_data_class_counts(const Data *data, int column, const int64_t *samples, int64_t n, int64_t *counts);

#endif
