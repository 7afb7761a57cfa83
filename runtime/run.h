/* run.h -- the directory of one training, runs/NAME: config.json, log.csv, best.safetensors, last.safetensors. */
#ifndef NN_RUN_H
#define NN_RUN_H

#include "file.h"
#include "nn.h"

enum { NN_RUN_PATH = 1000 };

typedef struct Run {
    char directory[NN_RUN_PATH];
    int lock; /* a descriptor, or -1 */
    int log;  /* log.csv, or -1 */
} Run;

/* A new directory: runs/NAME, which must not hold a run already; without a name, the model's in lower case, with
 * the first number that is free: runs/lenet5, runs/lenet5-2, ... */
bool nn_run_create(const nn_program *p, const char *name, Run *run, Fault *f);

/* The directory of a run of this model: runs/NAME (or NAME, if that is a directory); without a name, the one that
 * was saved last and holds `file`. */
bool nn_run_find(const nn_program *p, const char *name, const char *file, Run *run, Fault *f);

/* Takes a found run to train on in it. */
bool nn_run_lock(Run *run, Fault *f);
void nn_run_close(Run *run);

/* Path of a file of the run; to has room for NN_RUN_PATH + 40 bytes. */
enum { NN_FILE_PATH = NN_RUN_PATH + 40 };
const char *nn_run_path(const Run *run, const char *file, char to[NN_FILE_PATH]);

/* Opens the log: a new one begins with `header`; of one that exists, `rows` rows after the first line stay. */
bool nn_log_open(Run *run, const char *header, int64_t rows, Fault *f);
bool nn_log_row(Run *run, const Text *row, Fault *f);

#endif
