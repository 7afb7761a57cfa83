/* trainer.h -- one session of a trainer: the program, its context, its data, and what every command does with
 * them. The commands are in train.c, evaluate.c, predict.c, export.c, info.c, gradients.c; command.c chooses. */
#ifndef NN_TRAINER_H
#define NN_TRAINER_H

#include "ahead.h"
#include "checkpoint.h"
#include "options.h"
#include "progress.h"
#include "run.h"
#include "samples.h"
#include "settings.h"

typedef struct Trainer {
    const nn_program *p; /* in a phase of the training &now */
    nn_program now;
    Options options;
    Settings settings;
    Samples samples;
    Ahead ahead; /* every batch comes from it, whatever for */
    void *ctx;
    void *scratch;    /* of predict and prepare, whichever is larger */
    double *scalars;  /* inside ctx */
    double *measured; /* the measured states, one behind the other: they are the same for every restart */
    bool is_measured;
    StSource *sources; /* room for saving */
    Checkpoint checkpoint; /* the one that was loaded */
    JsonDocument *recalled; /* holds the options that the checkpoint remembers */
    JsonDocument *classes;  /* and the names of its classes */
    const char **class_names;
    char path[NN_FILE_PATH]; /* of the checkpoint */
    Run run;
    Display display;
} Trainer;

/* Checks the processor and the program, allocates the context, sets the number of threads. */
bool nn_trainer_start(Trainer *t, Fault *f);
void nn_trainer_end(Trainer *t);

/* From here on the step and the settings are those of this phase. The first phase needs no call. */
bool nn_trainer_phase(Trainer *t, int64_t phase, Fault *f);

/* Opens the data, as the options and settings say; its classes are numbered as those of the loaded checkpoint. again: the
 * same samples will be asked for again, so that it pays to keep what is read. */
bool nn_trainer_open_data(Trainer *t, bool again, Fault *f);

/* init, and the measured states from the training split (counted once, then remembered). */
bool nn_trainer_init(Trainer *t, uint64_t seed, Fault *f);

/* `init = load("file", into = layer)`: first values from a file. */
bool nn_trainer_load_init(Trainer *t, Fault *f);
/* --weights of a training: all of them, from a checkpoint. */
bool nn_trainer_load_start(Trainer *t, Fault *f);

/* Loads trained weights for eval, predict and export: --weights, else the best of the run. The options that the
 * training was given become those of this session, where the command line says nothing else. */
bool nn_trainer_load(Trainer *t, const char *run, Fault *f);
bool nn_trainer_recall(Trainer *t, const Checkpoint *c, Fault *f);

/* The names of the classes that the loaded checkpoint speaks of; *names is NULL where it names none. The strings live
 * as long as the trainer. */
bool nn_trainer_classes(Trainer *t, const char ***names, int *n, Fault *f);

/* Turns a status of init, step ... into a fault. */
bool nn_trainer_fail(const Trainer *t, int status, const char *what, Fault *f);

/* Loss and metrics over a split: afterwards nn_trainer_metric gives them. `stop` is looked at between batches:
 * false without a fault means that it was set. */
bool nn_trainer_evaluate(Trainer *t, Split split, const volatile int *stop, Fault *f);
/* False and the reason where the loss tells that samples are not what it demands: those of a batch, or, where n is 0, those
 * that were reported of. */
bool nn_trainer_demands(Trainer *t, void *const *fields, int n, Fault *f);
const double *nn_trainer_metric(const Trainer *t, int metric);

/* The commands. What they print is on standard output; they return false with a fault, or true. */
bool nn_train(Trainer *t, Fault *f);
bool nn_evaluate(Trainer *t, Fault *f);
bool nn_predict(Trainer *t, Fault *f);
bool nn_export(Trainer *t, Fault *f);
bool nn_info(Trainer *t, Fault *f);
bool nn_check_gradients(Trainer *t, Fault *f);
bool nn_bench(Trainer *t, Fault *f);

#endif
