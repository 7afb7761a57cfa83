/* samples.h -- the data of a training: fields bound by name, splits, shuffling, batches.
 *
 * The readers (data.h) know files; this knows what the model wants of them. */
#ifndef NN_SAMPLES_H
#define NN_SAMPLES_H

#include "augment.h"
#include "data.h"
#include "settings.h"

typedef struct Samples {
    Data data;
    DataSplit split;
    int64_t *shuffled; /* the training split in the order of this epoch */
    int *columns;      /* of each field of the program; -1: a label that is not there; -2: all that `row` lists */
    int *row, nrow;    /* columns of numbers that make up the only input, in order */
    int32_t *classes;  /* of the data -> of the model, for the label that names classes; NULL: they are the same */
    int named;         /* the field that they belong to */
    Augment augment;   /* what is done to the samples of the training split */
} Samples;

/* The epoch that samples are augmented for. */
typedef struct Seen { uint64_t seed; int64_t epoch; } Seen;

/* Opens the data section's source, or what --data puts in its place, binds its columns to the fields of the program
 * and cuts the splits. */
bool nn_samples_open(const nn_program *p, const Options *o, const Settings *s, Samples *samples, Fault *f);

/* The same for data that is there and is taken over: new samples, which need not have labels; there are no splits. The only
 * input of a model need not have its name: the only column of its size serves, or as many columns of numbers as it has
 * elements. */
bool nn_samples_new(const nn_program *p, const Data *data, Samples *samples, Fault *f);

void nn_samples_close(Samples *samples);

/* The order of an epoch is a pure function of the seed and the epoch. */
void nn_samples_shuffle(Samples *samples, uint64_t seed, int64_t epoch);

/* Makes one sample and puts it into row b of a batch, augmented; seen NULL: as it is. Several threads may do so at the same
 * time, each with a room of its own. False where it cannot be read. */
typedef struct Room { float *at[3]; } Room;
bool nn_samples_put(const nn_program *p, const Samples *samples, Room *room, int64_t sample, const Seen *seen, int b, void *const *fields, Fault *f);
bool nn_room_new(const Samples *samples, Room *room, Fault *f);
void nn_room_free(Room *room);

/* A batch of each field; NULL for a label that is not there. nn_fields_free frees it. */
void **nn_fields_new(const nn_program *p, const Samples *samples, Fault *f);
void nn_fields_free(const nn_program *p, void **fields);
/* Whether one of n samples holds inf or nan; says which field, and where it is asked for. */
bool nn_fields_not_finite(const nn_program *p, void *const *fields, int n, char *to, size_t room);

/* The field of the label that names classes, or -1: its class names come from the data. */
int nn_samples_label(const nn_program *p, const Samples *samples);

/* The model was trained on classes of these names: where the data numbers the same names otherwise, it is renumbered.
 * A name that the model does not know is a fault. */
bool nn_samples_rename(const nn_program *p, Samples *samples, const char *const *names, int n, Fault *f);

#endif
