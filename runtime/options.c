/* options.c -- see options.h. */
#include "options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum { TAKES_NOTHING, TAKES_COUNT, TAKES_NUMBER, TAKES_TEXT, TAKES_DATA } Takes;

#define IN(command) (1u << COMMAND_##command)
enum {
    TRAINS = IN(TRAIN) | IN(RESUME),
    READS = IN(TRAIN) | IN(RESUME) | IN(EVAL) | IN(GRADIENTS) | IN(BENCH),
    LOADS = IN(EVAL) | IN(PREDICT) | IN(EXPORT),
    ANY = (1u << NN_COMMANDS) - 1,
};

typedef struct Row {
    const char *name, *value; /* value: how --help calls it */
    unsigned commands;
    Takes takes;
    size_t offset; /* of the member of Options */
    bool kept;     /* changes the training: a checkpoint remembers it */
    const char *help, *otherwise; /* otherwise: the default, where no setting of the .nn file says it */
} Row;

#define AT(member) offsetof(Options, member)

/* clang-format off */
static const Row rows[] = {
    {"epochs",     "N",       TRAINS,            TAKES_COUNT,   AT(epochs),    true,  "passes over the training data", "10"},
    {"steps",      "N",       TRAINS,            TAKES_COUNT,   AT(steps),     true,  "updates of the weights, in place of epochs", ""},
    {"lr",         "X",       TRAINS,            TAKES_NUMBER,  AT(lr),        true,  "learning rate, before the schedule", "of the optimizer"},
    {"batch",      "N",       IN(TRAIN),         TAKES_COUNT,   AT(batch),     false, "samples an update (compiled in)", ""},
    {"seed",       "N",       IN(TRAIN) | IN(GRADIENTS) | IN(BENCH), TAKES_COUNT, AT(seed), true, "of weights, shuffling and dropout", "0"},
    {"restarts",   "N",       IN(TRAIN),         TAKES_COUNT,   AT(restarts),  true,  "train so many times, from seed, seed + 1, ...; keep the best", "1"},
    {"patience",   "N",       TRAINS,            TAKES_COUNT,   AT(patience),  true,  "stop after so many epochs without improvement", "never"},
    {"valid",      "N|P%",    IN(TRAIN) | IN(EVAL), TAKES_TEXT, AT(valid),     true,  "samples held back for validation: a number, or a part of all", "none"},
    {"test",       "N|P%",    IN(TRAIN) | IN(EVAL), TAKES_TEXT, AT(test),      true,  "samples held back for the test at the end", "what the data brings"},
    {"data",       "NAME=PATH", READS,           TAKES_DATA,    AT(data),      true,  "read the data from there", ""},
    {"cache",      "SIZE|P%", TRAINS | IN(BENCH), TAKES_TEXT,   AT(cache),     false, "memory for pictures once they are read, as 4GB or a part of all; others are read again", "50%"},
    {"run",        "NAME",    TRAINS | LOADS,    TAKES_TEXT,    AT(run),       false, "the directory runs/NAME", ""},
    {"weights",    "FILE",    IN(TRAIN),         TAKES_TEXT,    AT(start),     true,  "start from the weights in this safetensors file", ""},
    {"weights",    "FILE",    LOADS,             TAKES_TEXT,    AT(weights),   false, "take the weights from this safetensors file", "the newest run"},
    {"split",      "NAME",    IN(EVAL),          TAKES_TEXT,    AT(split),     false, "train, valid or test", "test, else valid, else train"},
    {"format",     "NAME",    IN(PREDICT),       TAKES_TEXT,    AT(format),    false, "csv, or json: one object a line", "csv"},
    {"json",       NULL,      IN(INFO) | IN(EVAL), TAKES_NOTHING, AT(json),    false, "for programs", ""},
    {"plan",       NULL,      IN(INFO),          TAKES_NOTHING, AT(plan),      false, "the memory, buffer by buffer", ""},
    {"tolerance",  "X",       IN(GRADIENTS),     TAKES_NUMBER,  AT(tolerance), false, "largest relative difference that passes", "0.1"},
    {"seconds",    "X",       IN(BENCH),         TAKES_NUMBER,  AT(seconds),   false, "how long to measure", "5"},
    {"threads",    "N",       ANY & ~(IN(INFO) | IN(EXPORT)), TAKES_COUNT, AT(threads), false, "threads of the processor; the result is the same", "all"},
    {"help",       NULL,      ANY,               TAKES_NOTHING, AT(help),      false, "this", ""},
};

static const struct { const char *name, *files, *help; } commands[NN_COMMANDS] = {
    [COMMAND_TRAIN]     = {"train", "", "train from the start (what happens if no command is given)"},
    [COMMAND_RESUME]    = {"resume", " [RUN]", "go on with a training that was stopped, exactly where it was"},
    [COMMAND_EVAL]      = {"eval", " [RUN]", "loss and metrics of trained weights"},
    [COMMAND_PREDICT]   = {"predict", " [FILE... | INPUT=FILE...]", "what the trained model says to new data: CSV, NPY, IDX, PNG, JPEG or a folder of pictures; CSV from standard input"},
    [COMMAND_EXPORT]    = {"export", " [FILE]", "write the weights alone, as safetensors with PyTorch's names"},
    [COMMAND_INFO]      = {"info", "", "layers, weights, operations, memory"},
    [COMMAND_GRADIENTS] = {"check-gradients", "", "compare the gradients with differences of the loss"},
    [COMMAND_BENCH]     = {"bench", "", "how fast this machine trains, evaluates and predicts"},
};
/* clang-format on */

enum { NROWS = sizeof rows / sizeof rows[0] };

const nn_setting *nn_setting_find(const nn_setting *settings, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(settings[i].name, name) == 0)
            return &settings[i];
    return NULL;
}

const char *nn_source_name(const nn_program *p)
{
    const char *slash = strrchr(p->source, '/');

    return slash != NULL ? slash + 1 : p->source;
}

/* --- reading --- */

/* Options that only the compiler can change get an answer of their own. */
static bool fail_compiled(const nn_program *p, const char *name, const char *value, Fault *f)
{
    const nn_setting *option = nn_setting_find(p->options, p->noptions, name);
    const nn_setting *s = nn_setting_find(p->train, p->ntrain, name);

    if (option != NULL)
        return nn_fail(f, EXIT_USAGE, "%s is compiled in: %s (%s:%d). Compile again: nnc %s -D %s=%s", name,
                       option->text, nn_source_name(p), option->line, p->source, name,
                       value != NULL ? value : "...");
    if (s != NULL)
        return nn_fail(f, EXIT_USAGE, "%s is compiled in: %s. Change line %d of %s and compile again", name, s->text,
                       s->line, p->source);
    return true;
}

static bool fail_unknown(const nn_program *p, const Options *o, const char *name, const char *value, Fault *f)
{
    const char *names[NROWS + 1], *near;
    const char *command = commands[o->command].name;
    int n = 0;

    if (!fail_compiled(p, name, value, f))
        return false;
    for (int i = 0; i < NROWS; i++) {
        if ((rows[i].commands & 1u << o->command) != 0)
            names[n++] = rows[i].name;
        else if (strcmp(rows[i].name, name) == 0)
            return nn_fail(f, EXIT_USAGE, "%s has no --%s; see %s %s --help", command, name, o->program, command);
    }
    near = nn_nearest(name, names, n);
    if (near != NULL)
        return nn_fail(f, EXIT_USAGE, "unknown option --%s; did you mean --%s?", name, near);
    return nn_fail(f, EXIT_USAGE, "unknown option --%s; see %s %s --help", name, o->program, command);
}

static bool set_number(const Row *row, const char *value, GivenNumber *to, Fault *f)
{
    char *end;
    double x;

    errno = 0;
    x = strtod(value, &end);
    if (end == value || *end != '\0' || !isfinite(x))
        return nn_fail(f, EXIT_USAGE, "--%s wants a number, not '%s'", row->name, value);
    if (row->takes == TAKES_COUNT && (x != floor(x) || x < 0 || x > 9007199254740992.0))
        return nn_fail(f, EXIT_USAGE, "--%s wants a whole number from 0 to 2^53, not '%s'", row->name, value);
    *to = (GivenNumber){true, x};
    return true;
}

static bool set_option(const Row *row, const char *value, Options *o, Fault *f)
{
    char *at = (char *)o + row->offset;

    switch (row->takes) {
    case TAKES_NOTHING: *(bool *)at = true; break;
    case TAKES_TEXT: *(const char **)at = value; break;
    case TAKES_COUNT:
    case TAKES_NUMBER:
        if (!set_number(row, value, (GivenNumber *)at, f))
            return false;
        break;
    case TAKES_DATA:
        if (o->ndata == NN_MAX_DATA)
            return nn_fail(f, EXIT_USAGE, "--data is given more than %d times", NN_MAX_DATA);
        o->data[o->ndata++] = value;
        break;
    }
    return true;
}

static bool is_given(const Row *row, const Options *o)
{
    const char *at = (const char *)o + row->offset;

    switch (row->takes) {
    case TAKES_NOTHING: return *(const bool *)at;
    case TAKES_DATA: return o->ndata > 0;
    case TAKES_TEXT: return *(const char *const *)at != NULL;
    default: return ((const GivenNumber *)at)->given;
    }
}

static void put_override(const Row *row, const char *value, Text *t)
{
    nn_text_print(t, t->n > 0 ? ",\"--%s=" : "\"--%s=", row->name);
    nn_text_escape(t, value, strlen(value));
    nn_text_print(t, "\"");
}

void nn_options_overrides(const Options *o, Text *t)
{
    for (int i = 0; i < NROWS; i++) {
        const char *at = (const char *)o + rows[i].offset;
        Text number = {0};

        if (!rows[i].kept || !is_given(&rows[i], o))
            continue;
        if (rows[i].takes == TAKES_DATA) {
            for (int d = 0; d < o->ndata; d++)
                put_override(&rows[i], o->data[d], t);
        } else if (rows[i].takes == TAKES_TEXT) {
            put_override(&rows[i], *(const char *const *)(const void *)at, t);
        } else {
            nn_text_number(&number, ((const GivenNumber *)(const void *)at)->value);
            put_override(&rows[i], nn_text(&number), t);
        }
        nn_text_free(&number);
    }
}

/* argument begins with "--"; next is what follows it, or NULL. *used is how many were taken. */
static bool read_option(const nn_program *p, const char *argument, const char *next, Options *o, int *used, Fault *f)
{
    const char *name = argument + 2, *equals = strchr(name, '=');
    const char *value = equals != NULL ? equals + 1 : next;
    char word[64];

    snprintf(word, sizeof word, "%.*s", equals != NULL ? (int)(equals - name) : (int)strlen(name), name);
    *used = 1;
    for (int i = 0; i < NROWS; i++) {
        if (strcmp(rows[i].name, word) != 0 || (rows[i].commands & 1u << o->command) == 0)
            continue;
        if (rows[i].takes == TAKES_NOTHING) {
            if (equals != NULL)
                return nn_fail(f, EXIT_USAGE, "--%s takes no value", word);
            return set_option(&rows[i], "", o, f);
        }
        if (value == NULL || (equals == NULL && strncmp(value, "--", 2) == 0))
            return nn_fail(f, EXIT_USAGE, "--%s wants a value: --%s=%s", word, word, rows[i].value);
        *used = equals != NULL ? 1 : 2;
        return set_option(&rows[i], value, o, f);
    }
    return fail_unknown(p, o, word, value, f);
}

static bool read_command(const char *word, Options *o, Fault *f)
{
    const char *names[NN_COMMANDS], *near;

    for (int i = 0; i < NN_COMMANDS; i++) {
        names[i] = commands[i].name;
        if (strcmp(word, names[i]) == 0) {
            o->command = (Command)i;
            return true;
        }
    }
    near = nn_nearest(word, names, NN_COMMANDS);
    return nn_fail(f, EXIT_USAGE, near != NULL ? "unknown command '%s'; did you mean '%s'?"
                                               : "unknown command '%s'; %s --help lists them",
                   word, near != NULL ? near : o->program);
}

static bool check_options(const nn_program *p, const Options *o, Fault *f)
{
    if (o->batch.given && (int64_t)o->batch.value != p->batch) {
        char value[32];

        snprintf(value, sizeof value, "%.0f", o->batch.value);
        if (fail_compiled(p, "batch", value, f))
            nn_fail(f, EXIT_USAGE, "batch is compiled in: %d. Set batch = %s in %s and compile again", p->batch, value,
                    p->source);
        return false;
    }
    if (o->threads.given && (o->threads.value < 1 || o->threads.value > 4096))
        return nn_fail(f, EXIT_USAGE, "--threads wants a number from 1 to 4096, not %g", o->threads.value);
    if (o->restarts.given && (o->restarts.value < 1 || o->restarts.value > 1e6))
        return nn_fail(f, EXIT_USAGE, "--restarts wants a number from 1 to a million, not %g", o->restarts.value);
    if (o->lr.given && o->lr.value < 0)
        return nn_fail(f, EXIT_USAGE, "--lr wants a number that is not negative, not %g", o->lr.value);
    if (o->epochs.given && o->steps.given)
        return nn_fail(f, EXIT_USAGE, "--epochs and --steps both say how long to train: give one of them");
    if (o->nfiles > 0 && commands[o->command].files[0] == '\0')
        return nn_fail(f, EXIT_USAGE, "%s takes no file, but there is '%s'", commands[o->command].name, o->files[0]);
    if (o->nfiles > 1 && o->command != COMMAND_PREDICT)
        return nn_fail(f, EXIT_USAGE, "%s takes one name, but there is '%s', too", commands[o->command].name,
                       o->files[1]);
    return true;
}

bool nn_options_read(const nn_program *p, int argc, char **argv, Options *o, Fault *f)
{
    bool only_files = false;
    int i = 1;

    *o = (Options){.program = argc > 0 ? argv[0] : "trainer"};
    if (argc > 1 && argv[1][0] != '-') {
        if (!read_command(argv[1], o, f))
            return false;
        i = 2;
    }
    while (i < argc) {
        int used = 1;

        if (!only_files && strcmp(argv[i], "--") == 0) {
            only_files = true;
        } else if (!only_files && strcmp(argv[i], "-h") == 0) {
            o->help = true;
        } else if (!only_files && strncmp(argv[i], "--", 2) == 0) {
            if (!read_option(p, argv[i], i + 1 < argc ? argv[i + 1] : NULL, o, &used, f))
                return false;
        } else if (!only_files && argv[i][0] == '-' && argv[i][1] != '\0') {
            return nn_fail(f, EXIT_USAGE, "unknown option %s: options begin with --", argv[i]);
        } else if (o->nfiles == NN_MAX_FILES) {
            return nn_fail(f, EXIT_USAGE, "more than %d files", NN_MAX_FILES);
        } else {
            o->files[o->nfiles++] = argv[i];
        }
        i += used;
    }
    return o->help || check_options(p, o, f);
}

bool nn_options_recall(const nn_program *p, const char *const *arguments, int n, Options *o, Fault *f)
{
    Options old = {.program = o->program, .command = COMMAND_TRAIN};
    bool fine = true;
    int used;

    for (int i = 0; i < n && fine; i++)
        fine = strncmp(arguments[i], "--", 2) == 0 && read_option(p, arguments[i], NULL, &old, &used, f);
    if (!fine)
        nn_fail(f, EXIT_FILE, "the checkpoint remembers an option that this trainer does not know");
    for (int i = 0; i < NROWS && fine; i++) {
        const Row *row = &rows[i];
        /* --epochs replaces a remembered --steps, and the other way round. */
        bool beaten = is_given(row, o) || (row->offset == AT(steps) && o->epochs.given) ||
                      (row->offset == AT(epochs) && o->steps.given);
        const char *from = (const char *)&old + row->offset;

        if (!row->kept || beaten || !is_given(row, &old))
            continue;
        if (row->takes == TAKES_DATA) {
            memcpy(o->data, old.data, sizeof o->data);
            o->ndata = old.ndata;
        } else {
            memcpy((char *)o + row->offset, from, row->takes == TAKES_TEXT ? sizeof(char *) : sizeof(GivenNumber));
        }
    }
    return fine;
}

/* --- help --- */

/* What the option is if it is not given, and where that is written. */
static void print_default(const nn_program *p, const Row *row)
{
    const nn_setting *s = nn_setting_find(p->train, p->ntrain, row->name);

    if (s == NULL)
        s = nn_setting_find(p->data, p->ndata, row->name);
    if (row->takes == TAKES_DATA)
        s = nn_setting_find(p->data, p->ndata, "source");
    if (s != NULL)
        printf("  [%s, %s:%d]", s->text, nn_source_name(p), s->line);
    else if (row->offset == AT(batch))
        printf("  [%d]", p->batch);
    else if (row->otherwise[0] != '\0')
        printf("  [%s]", row->otherwise);
}

static bool is_option(const char *name)
{
    for (int i = 0; i < NROWS; i++)
        if (strcmp(rows[i].name, name) == 0 && (rows[i].commands & TRAINS) != 0)
            return true;
    return false;
}

static void print_compiled(const nn_program *p)
{
    int shown = 0;

    for (int i = 0; i < p->ntrain; i++) {
        const nn_setting *s = &p->train[i];

        if (is_option(s->name))
            continue;
        if (shown++ == 0)
            printf("\nSettings of the training that are compiled in (edit the file, then run nnc again):\n");
        printf("  %-12s = %s  [%s:%d]\n", s->name, s->text, nn_source_name(p), s->line);
    }
    for (int i = 0; i < p->noptions; i++) {
        const nn_setting *s = &p->options[i];

        if (i == 0)
            printf("\nOptions of the model that are compiled in (nnc %s -D NAME=VALUE):\n", p->source);
        printf("  %-12s = %s  [%s:%d]\n", s->name, s->text, nn_source_name(p), s->line);
    }
}

void nn_options_help(const nn_program *p, const Options *o)
{
    printf("%s %s: %s\n\n", p->name, commands[o->command].name, commands[o->command].help);
    printf("Usage: %s %s [options]%s\n\nOptions:  [default, and the line that sets it]\n", o->program,
           commands[o->command].name, commands[o->command].files);
    for (int i = 0; i < NROWS; i++) {
        char left[40];

        if ((rows[i].commands & 1u << o->command) == 0)
            continue;
        snprintf(left, sizeof left, "--%s%s%s", rows[i].name, rows[i].value != NULL ? "=" : "",
                 rows[i].value != NULL ? rows[i].value : "");
        printf("  %-18s %s", left, rows[i].help);
        print_default(p, &rows[i]);
        printf("\n");
    }
    if (o->command == COMMAND_TRAIN || o->command == COMMAND_RESUME)
        print_compiled(p);
    if (o->command == COMMAND_TRAIN) {
        printf("\nCommands (each has its own --help):\n");
        for (int i = 0; i < NN_COMMANDS; i++)
            printf("  %-18s %s\n", commands[i].name, commands[i].help);
    }
}
