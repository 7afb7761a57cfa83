/* program.h -- a model as the checker leaves it: graphs that share their parameters and states, and what the
 * trainer must know. Everything the later passes and the emitter work on hangs here. */
#ifndef NNC_PROGRAM_H
#define NNC_PROGRAM_H

#include "graph/graph.h"

/* Graphs speak of the same parameter or state by the same name: `kept` lists each once. */
typedef enum {
    KEPT_PARAM,     /* trained; in the checkpoint under its name */
    KEPT_BUFFER,    /* a layer's state, such as running_mean; in the checkpoint under its name */
    KEPT_OPTIMIZER, /* a state of the optimizer, schedule or accumulation; in the checkpoint under optimizer. */
    KEPT_METRIC,    /* sums of a loss or metric over a split; not in the checkpoint */
    KEPT_DERIVED,   /* made of the first two by graph derive; not in the checkpoint. They come last of all */
} KeptKind;

/* How a `measured` state gets its value before training: a statistic of a tensor over the training split. */
typedef enum { MEASURE_NONE, MEASURE_MEAN, MEASURE_STD } Measure;

typedef struct Kept {
    const char *name;
    KeptKind kind;
    bool integer;
    int rank;
    int64_t size[MAX_RANK];
    bool frozen; /* a parameter that this training leaves alone */
    Measure measure;
    const char *measured; /* the output of graph `prepare` that is measured along its axis 1 (axis 0 of a sample) */
    Layer *layer;
    Span where;
} Kept;

/* What a sample consists of: inputs of the graphs, in the order the caller passes them. */
typedef struct Field {
    const char *name;
    int rank;
    int64_t size[MAX_RANK]; /* of one sample, without the batch */
    int classes;            /* > 0: an index 0..classes-1; 0: real numbers */
    bool label;             /* needed for training and evaluation, not for predict */
    Span where;
} Field;

/* A result of predict, or a metric: a tensor of graph predict or report. */
typedef struct Output {
    const char *name;   /* "output", "main"; metrics as written: "accuracy", "top(5)" */
    const char *tensor; /* its name in the graph */
    int rank;
    int64_t size[MAX_RANK]; /* of one sample */
    const char **columns;   /* metrics: the names of the last axis' elements, or NULL */
    bool higher_is_better;  /* metrics: what `best` means */
    bool probabilities;     /* predict: sums to one over the classes, so the trainer may name the best class */
} Output;

/* A value of a setting, evaluated: what the trainer gets of data and train sections. */
typedef enum { VALUE_NUMBER, VALUE_TEXT, VALUE_WORD, VALUE_BOOL, VALUE_PERCENT, VALUE_DURATION, VALUE_LIST, VALUE_CALL } ValueKind;
typedef struct Value {
    ValueKind kind;
    double number;    /* PERCENT: 20 for 20%; DURATION: how many */
    const char *text; /* TEXT, WORD; DURATION: "epochs" "steps" "samples" "seconds"; CALL: the name, "patience" */
    int n;            /* LIST, CALL: parts */
    struct Value *parts;
    const char **names; /* CALL: names of the parts, NULL for positional ones */
    Span where;
} Value;

typedef struct Setting {
    const char *name; /* "epochs", "valid" */
    Value value;
    const char *text; /* as written, for --help and config.json */
    Span where;
} Setting;

typedef LIST(Setting) SettingList;

/* What a loss demands of each sample, which is not known before the data is there. */
typedef struct Demand {
    const char *loss, *text; /* "hinge", "it wants targets -1 and 1" */
    const char *field;       /* that it is about, or NULL */
    bool transformed;        /* what is demanded is not of the field as the data has it */
    Span where;              /* the loss in the train section */
} Demand;

/* A part of the training, with a step of its own: `head { freeze = body ... }`. */
enum { MAX_PHASES = 4 };
typedef struct TrainPhase {
    const char *name;
    Graph *step;
    SettingList train;
} TrainPhase;

typedef struct Program {
    Arena *arena;
    const char *name;   /* of the model, "LeNet5" */
    const char *source; /* path of the .nn file */
    int64_t batch;
    LIST(Kept) kept; /* see program_keep */
    Names kept_names;
    LIST(Field) fields;
    LIST(Output) outputs; /* of predict */
    LIST(Output) metrics; /* of report; the first is the loss */
    LIST(Layer *) layers; /* of the model, in order, for `info` */
    LIST(Setting) options;
    LIST(Setting) data;  /* the reader is the setting named "source", a VALUE_CALL; then valid, test, ... */
    SettingList train;   /* epochs, batch, lr, seed, stop, checkpoint, restarts ... */
    LIST(TrainPhase) phases; /* empty where the training has one part only; else step and train are those of the first */
    const char *data_name;
    LIST(Demand) demands;

    /* NULL where the file has no train section: step, eval, report.
     * init     draws every parameter and initial state (wanted tensors named as the kept ones)
     * step     one call: inputs + labels -> updated params, states, metric sums; `loss` is its wanted scalar
     * eval     the same without updates of parameters: adds to the metric sums
     * report   metric sums -> metrics
     * predict  inputs -> outputs
     * prepare  inputs -> what the measured states measure (NULL when there are none)
     * single   predict for one sample, made of it by a pass; NULL where samples meet
     * derive   params and buffers -> what single makes of them alone; NULL where that is not worth keeping */
    Graph *init, *step, *eval, *report, *predict, *prepare, *single, *derive;
} Program;

/* Parts single into itself and derive. (derive.c) */
void program_derive(Program *p);

/* Where it is kept until the next one comes. */
static inline Kept *program_keep(Program *p, Kept k)
{
    names_add(p->arena, &p->kept_names, k.name, p->kept.n);
    PUSH(p->arena, p->kept, k);
    return &p->kept.at[p->kept.n - 1];
}

/* NULL: there is none. */
static inline Kept *program_kept(const Program *p, const char *name)
{
    int i = names_find(&p->kept_names, name);

    return i < 0 ? NULL : &p->kept.at[i];
}

#endif
