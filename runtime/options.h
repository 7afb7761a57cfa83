/* options.h -- the trainer's command line: what may be said, what was said, and --help.
 *
 * One table holds every option: the commands that know it, the setting of the .nn file whose value it replaces,
 * and its line of help. */
#ifndef NN_OPTIONS_H
#define NN_OPTIONS_H

#include "nn.h"
#include "support.h"

typedef enum {
    COMMAND_TRAIN, COMMAND_RESUME, COMMAND_EVAL, COMMAND_PREDICT, COMMAND_EXPORT, COMMAND_INFO, COMMAND_GRADIENTS,
    COMMAND_BENCH, NN_COMMANDS
} Command;

enum { NN_MAX_DATA = 8, NN_MAX_FILES = 1024 };

/* A number that may not have been given. */
typedef struct GivenNumber { bool given; double value; } GivenNumber;

typedef struct Options {
    const char *program; /* argv[0] */
    Command command;
    bool help;
    GivenNumber epochs, steps, lr, seed, threads, patience, restarts, batch, tolerance, seconds;
    const char *run, *valid, *test, *split, *format, *weights, *start, *cache;
    bool json, plan;
    const char *data[NN_MAX_DATA]; /* "NAME=PATH" or "PATH" */
    int ndata;
    const char *files[NN_MAX_FILES]; /* what is not an option */
    int nfiles;
} Options;

/* The command word, if there is one, then options and files. */
bool nn_options_read(const nn_program *p, int argc, char **argv, Options *o, Fault *f);

/* The inside of a JSON list: the options that change the training, for the checkpoint, which resume and eval read.
 * The same options give the same text, in whatever order they were given. */
void nn_options_overrides(const Options *o, Text *t);

/* Applies what a checkpoint remembers beneath what is already in `o`: the command line wins. The strings must
 * outlive `o`. */
bool nn_options_recall(const nn_program *p, const char *const *arguments, int n, Options *o, Fault *f);

/* Prints the help of o->command. */
void nn_options_help(const nn_program *p, const Options *o);

/* The named setting, or NULL. */
const nn_setting *nn_setting_find(const nn_setting *settings, int n, const char *name);
/* The last component of the .nn file's path, for messages. */
const char *nn_source_name(const nn_program *p);

#endif
