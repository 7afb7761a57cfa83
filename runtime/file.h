/* file.h -- whole files in, whole files out: what was there before stays whole until the new one is. */
#ifndef NN_FILE_H
#define NN_FILE_H

#include "support.h"

typedef struct Bytes {
    uint8_t *at;
    size_t n;
} Bytes;

/* Reads a regular file of at most `most` bytes; free bytes->at. A NUL follows the last byte. */
bool nn_file_read(const char *path, size_t most, Bytes *bytes, Fault *f);

/* The same, but only its first `most` bytes where it has more. */
bool nn_file_read_begin(const char *path, size_t most, Bytes *bytes, Fault *f);

/* Writes path.tmp.PID, syncs it, renames it to path, syncs the directory. On failure the old file is untouched
 * and the temporary one is gone. */
bool nn_file_save(const char *path, const void *bytes, size_t n, Fault *f);

/* Makes the directory and those above it; it may exist. */
bool nn_directory_make(const char *path, Fault *f);
/* Makes the last directory only; *made is false where it exists already. */
bool nn_directory_make_new(const char *path, bool *made, Fault *f);
bool nn_file_exists(const char *path);
bool nn_folder_exists(const char *path);

/* Holds a directory for this process until it ends: a descriptor, or -1 and a fault where another one holds it.
 * Removes what a killed process left half written there. */
int nn_directory_lock(const char *path, Fault *f);

#endif
