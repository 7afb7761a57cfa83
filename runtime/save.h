/* save.h -- writing a run's files: config.json, best.safetensors and last.safetensors.
 *
 * A small model may finish thousands of epochs a second, and a disk a few hundred saves: so the best weights wait in
 * memory, and files are written at most about once a second, and at the end. What is on the disk is always whole and
 * belongs together: the best is written before the last that speaks of it. */
#ifndef NN_SAVE_H
#define NN_SAVE_H

#include "clock.h"
#include "trainer.h"

typedef struct Saver {
    StImage best, last;
    bool best_waits; /* in memory, not yet in its file */
    double saved, cost; /* when, and how long it took */
    Text fixed, notes;  /* what the metadata always says; all of it */
} Saver;

bool nn_saver_start(Saver *s, Trainer *t, Fault *f);
void nn_saver_end(Saver *s);

/* The best weights so far are those in the context now. */
bool nn_saver_best(Saver *s, Trainer *t, const Clock *c, Fault *f);
/* Writes what waits, and the state as it is; not if the last time was a moment ago, unless `now`. */
bool nn_saver_save(Saver *s, Trainer *t, const Clock *c, bool now, Fault *f);

bool nn_config_write(const Trainer *t, Fault *f);

#endif
