/* settings.h -- the train section and the command line, resolved into what the training loop works with. */
#ifndef NN_SETTINGS_H
#define NN_SETTINGS_H

#include "options.h"

typedef enum { SPLIT_TRAIN, SPLIT_VALID, SPLIT_TEST, NN_SPLITS } Split;
extern const char *const nn_split_names[NN_SPLITS];

/* How many samples a split takes of the data. */
typedef struct Share {
    enum { SHARE_NONE, SHARE_COUNT, SHARE_PERCENT } kind;
    double number;
} Share;

/* A figure that decides something: a metric of a split. */
typedef struct Monitor {
    Split split;
    int metric;
    bool higher_is_better;
} Monitor;

typedef struct Stop {
    enum { STOP_PATIENCE, STOP_TARGET, STOP_SECONDS } kind;
    Monitor monitor; /* PATIENCE, TARGET */
    enum { LESS, LESS_EQUAL, EQUAL, GREATER_EQUAL, GREATER } compare; /* TARGET */
    double number;   /* epochs without improvement; the target; seconds */
} Stop;

enum { NN_MAX_STOPS = 8 };

typedef struct Settings {
    int64_t epochs, steps; /* steps > 0: counts, and epochs does not */
    bool lr_given;
    double lr;
    uint64_t seed;
    int threads; /* 0: as many as there are */
    int restarts, accumulate;
    Share valid, test;
    double cache;      /* bytes */
    Monitor best;
    Stop stops[NN_MAX_STOPS];
    int nstops;
} Settings;

bool nn_settings_resolve(const nn_program *p, const Options *o, Settings *s, Fault *f);

/* How many of n samples a share takes. */
bool nn_share_count(const Share *share, int64_t n, const char *name, int64_t *count, Fault *f);

#endif
