/* driver.h -- what lies around the passes: the command line, the files written, the C compiler.
 *
 *     options.c  the command line and --help
 *     passes.c   the table of passes that is the compiler, and running it
 *     output.c   files that appear whole or not at all
 *     cc.c       from model.c to a program
 *     doc.c      nnc doc
 *     main.c     puts them together */
#ifndef NNC_DRIVER_H
#define NNC_DRIVER_H

#include "check/check.h"
#include "emit/emit.h"

#define NNC_VERSION "0.1"

/* What --emit can show, in the order in which it comes to be. */
typedef enum { SHOW_NOTHING, SHOW_TREE, SHOW_GRAPH, SHOW_LOOPS, SHOW_PLAN, SHOW_C, SHOW_H, SHOW_MAIN } Show;

typedef struct Pass Pass;

typedef enum { COMMAND_COMPILE, COMMAND_DOC, COMMAND_CHECK_GRADIENTS } CommandKind;

typedef struct Options {
    CommandKind command;
    const char *file;   /* the .nn file */
    const char *output; /* -o; NULL: a name made from the file's */
    Show emit;
    const Pass *after;  /* stop after this pass, or NULL */
    bool source, object;        /* -S -c */
    bool depend, verbose, time, verify;
    const char *cc;     /* NULL: clang, or what there is */
    const char *target; /* "native" */
    LIST(const Pass *) skip;
    LIST(Define) defines;
    LIST(const char *) words; /* arguments that are no options */
} Options;

/* Reads the command line; the exit status when there is nothing more to do, else -1. */
int options_read(Options *o, Arena *a, int argc, char **argv);
/* A complaint about the command line: "nnc: error: ...". Returns EXIT_USAGE. */
int usage(const char *format, ...) PRINTF_LIKE(1, 2);

/* One compilation, as far as it has come. */
typedef struct Job {
    Arena *arena;
    Options *options;
    int file;
    Node *tree;
    Program *program;
    Functions functions;
    Loops *loops[GRAPHS];
    Plan *plan;
    Trainer trainer;
    bool profile; /* the C is for a trainer, whose bench looks into it */
} Job;

struct Pass {
    const char *name;
    void (*whole)(Job *j);    /* a pass is one of these two: */
    void (*graph)(Graph *g);  /* carried out on every graph of the program */
    Show shows;               /* the dump in which one sees what it did */
    bool skippable;
    const char *help;
};

extern const Pass passes[];
extern const int npasses;
const Pass *pass_find(const char *name);
/* Runs as many passes as the options ask for; false after errors in the source. */
bool passes_run(Job *j);
/* The dump; what it shows must have been made. */
void passes_show(Text *t, Job *j, Show show);

/* Ends with EXIT_FILES: "nnc: error: cannot write 'x.c': No space left on device". */
void fail_file(const char *doing, const char *path) NO_RETURN;
/* Writes the whole file under a temporary name and renames it; "-" is standard output. */
void output_text(const char *path, const Text *t);
/* A name beside `path` to write to, removed at the end of nnc unless output_keep renames it to path. */
const char *output_begin(Arena *a, const char *path);
void output_keep(const char *temporary, const char *path);
/* A directory that is removed with its files at the end of nnc, however it ends. */
const char *output_scratch(Arena *a);
/* A file in it. */
const char *output_scratch_file(Arena *a, const char *name);

/* "model" for "dir/model.nn". */
const char *path_stem(Arena *a, const char *path);
const char *path_directory(Arena *a, const char *path);
const char *base_name(const char *path); /* what follows the last slash */

/* What a target means: flags for the C compiler, features to be found at run time, and the row of the loops' machine
 * table. Returns NULL for an unknown target. */
typedef struct Target {
    const char *name;
    const char *march;    /* "-march=native" or "" */
    const char *features; /* for __builtin_cpu_supports */
    const char *machine;  /* for machine_find */
} Target;
const Target *target_find(Arena *a, const char *name);
extern const char *const target_names[];
extern const int ntargets;

/* Compiles to an object, or compiles and links with the runtime. Ends with EXIT_FILES when that cannot be done. */
void cc_object(Job *j, const Text *model_c, const Text *model_h, const char *header, const char *out);
void cc_program(Job *j, const Text *model_c, const Text *model_h, const Text *main_c, const char *out);

int doc_show(Options *o, Arena *a);

double now(void); /* seconds */

#endif
