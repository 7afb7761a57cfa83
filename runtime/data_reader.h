/* data_reader.h -- what the readers of data share: the settings of the call, files (gzip or not), columns. */
#ifndef NN_DATA_READER_H
#define NN_DATA_READER_H

#include "data.h"
#include "file.h"

/* A reader's call with its settings in the order of the reader's row in data.c; NULL where one is not given. */
enum { NN_MAX_SETTINGS = 8 };
typedef struct Call {
    const char *reader;
    const char *whence; /* of what is to be had, or NULL */
    const nn_value *source;
    const nn_value *setting[NN_MAX_SETTINGS];
    const char *directory; /* of the .nn file; NULL: the user named the file himself */
} Call;

/* A setting as text (or a word) or as a number; `otherwise` where it is not given. */
bool nn_call_text(const Call *call, int setting, const char *name, const char *otherwise, const char **text, Fault *f);
bool nn_call_number(const Call *call, int setting, const char *name, double otherwise, double *number, Fault *f);

/* A line of help for files that are not there, where they are those of a .nn file; else "". */
enum { NN_HELP = 300 };
const char *nn_call_help(const Call *call, int setting, char to[NN_HELP]);

/* The path of an existing file or folder, which a setting names; free it. Relative: in the .nn file's directory, else in the current one. */
char *nn_call_find(const Call *call, int setting, const char *path, Fault *f);

/* The readers. Each fills an empty Data; on failure the caller frees what is there. */
bool nn_read_mnist(const Call *call, Data *data, Fault *f);
bool nn_read_fashion_mnist(const Call *call, Data *data, Fault *f);
bool nn_read_idx(const Call *call, Data *data, Fault *f);
bool nn_read_cifar10(const Call *call, Data *data, Fault *f);
bool nn_read_cifar100(const Call *call, Data *data, Fault *f);
bool nn_read_folder(const Call *call, Data *data, Fault *f);
bool nn_read_csv(const Call *call, Data *data, Fault *f);
bool nn_read_npy(const Call *call, Data *data, Fault *f);
bool nn_read_points(const Call *call, Data *data, Fault *f);
bool nn_read_shapes(const Call *call, Data *data, Fault *f);
bool nn_read_pairs(const Call *call, Data *data, Fault *f);
bool nn_read_table(const Call *call, Data *data, Fault *f);

/* A new last column like another one: with room for n samples, all zero; or with its pictures, or the samples
 * that it shows. NULL on failure: then the pictures are still the caller's. */
Column *nn_column_add(Data *data, const char *name, const Column *like, int64_t n, Fault *f);
/* Copies the names of its classes. */
bool nn_column_name_classes(Column *c, const char *const *names, Fault *f);
size_t nn_type_bytes(DataType type);

/* A file read from its beginning, unpacked on the way if it is gzip. */
typedef struct Stream {
    char *path;
    void *gz;
    uint64_t file_size; /* bytes on disk */
    bool packed;
    uint64_t at;        /* bytes delivered */
} Stream;

bool nn_stream_open(const char *path, Stream *s, Fault *f);
void nn_stream_close(Stream *s);
/* Exactly n bytes; `what` says what they would have been. */
bool nn_stream_read(Stream *s, void *to, size_t n, const char *what, Fault *f);
/* Whether the file can hold n more bytes: to be asked before memory is taken for them. */
bool nn_stream_holds(Stream *s, uint64_t n, const char *what, Fault *f);
/* That nothing is left. */
bool nn_stream_end(Stream *s, const char *what, Fault *f);
/* All that is left, a NUL after it; free bytes->at. At most a thousand bytes for one on disk. */
bool nn_stream_rest(Stream *s, Bytes *bytes, Fault *f);

/* "; it begins like a web page ..." when the first bytes of a file of the wrong kind are familiar, else "". */
const char *nn_bytes_guess(const uint8_t *at, size_t n);

#endif
