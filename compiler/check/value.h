/* value.h -- what the checker computes with; private to check/.
 *
 * value.c     values, frames, conversions       news.c     errors and the chain of definitions, did you mean
 * define.c    files, library, options, names    warn.c     what compiles and is yet wrong
 * eval.c      expressions known when compiling  call.c     calls, pipelines, repetition
 * ports.c     sizes and inputs are bound        apply.c    running definitions
 * load.c      elements of tensors               element.c  element expressions
 * reduce.c    sums, means, maxima, softmax ...  extent.c   ranges of indices, shapes of bare names
 * equation.c  y[o, i] = ...                     body.c     statements
 * args.c      settings of a call are bound      draw.c     params, states and their first values
 * names.c     names, where nothing is known     columns.c  what a CSV file has
 * data.c      fields and their transforms       setting.c  data and train sections for the trainer
 * reader.c    which readers there are           train.c    the settings of a training
 * model.c     the model, run for one graph      loss.c     loss and metrics
 * demand.c    what a loss demands of the data   shown.c    what a loss shows of an output
 * program.c   model and train to the graphs     update.c   penalties, clipping, optimizer, schedule */
#ifndef NNC_VALUE_H
#define NNC_VALUE_H

#include "check/check.h"

typedef enum {
    VAL_ERROR, /* already reported; makes more of itself in silence */
    VAL_NUMBER,
    VAL_BOOL,
    VAL_TEXT,
    VAL_WORD,     /* same, tf_same */
    VAL_PERCENT,
    VAL_DURATION, /* number, text: the unit */
    VAL_LIST,     /* of anything: sizes, layers (a fork), tensors (several inputs) */
    VAL_RANGE,    /* number..until */
    VAL_TENSOR,   /* with the axes of one sample; the batch is never seen */
    VAL_EXPR,     /* one element of something: inside element expressions */
    VAL_FIELD,    /* a field of the data that no one has asked for yet: its shape and kind come from the first use */
    VAL_LAYER,
} ValKind;

struct LayerVal;
struct Raw;

typedef struct Val {
    ValKind kind;
    double number, until;
    const char *text; /* WORD, TEXT, DURATION; one of several results: its name */
    int n;
    struct Val *items;
    Tensor *tensor; /* VAL_TENSOR; VAL_EXPR: whose element it is, or NULL */
    Expr *expr;
    struct Raw *raw;
    struct LayerVal *layer;
    Span span; /* where it was made */
} Val;

/* A definition: fn, layer or model. Several may share a name in a space (conv in one, two and three dimensions). */
typedef struct Def {
    const char *name, *space; /* "conv", "layers"; the user's: "" */
    const Node *node;
    bool used;
    struct Def *namesake; /* defined next, or NULL */
} Def;

typedef struct Arg {
    const char *name; /* NULL: positional */
    Val val;
    Span span;
} Arg;

typedef enum { LAYER_DEF, LAYER_CHAIN, LAYER_REPEAT, LAYER_SHAPE } LayerKind;

/* A layer that waits for its input. */
typedef struct LayerVal {
    LayerKind kind;
    const char *name;  /* DEF */
    const char *space; /* DEF: where it was found */
    int nargs;         /* DEF: settings, evaluated where they were written */
    Arg *args;
    Val *parts;        /* CHAIN: n; REPEAT: one; */
    int n;             /* CHAIN: parts; REPEAT: times */
    Val shape;         /* SHAPE: what must come here */
    const Node *stages; /* SHAPE: what it is said of */
    const char *bound; /* full name of the instance, when it was bound to a name: all its uses share weights */
    const Node *node;  /* where it is mentioned */
} LayerVal;

typedef struct Bind {
    const char *name;
    Val val;
    Span span;
    bool used, local; /* local: made by a statement of a body, worth a warning when nobody reads it */
} Bind;

typedef struct Counter {
    const char *name;
    int n;
} Counter;

/* A body being run. */
typedef struct Frame {
    struct Frame *outer;  /* names are looked up here next; NULL: globals */
    struct Frame *caller; /* for the chain of notes */
    LIST(Bind) binds;
    LIST(Counter) *counters; /* names of anonymous layers; shared with frames that open no scope */
    LIST(Counter) own_counters;
    const char *path; /* "stage1.basic2", "" in the model */
    Layer *layer;
    const Def *def;
    const Node *call; /* the mention that led here, its settings and its inputs: for messages */
    int ngiven, ninputs;
    const Arg *given;
    const Val *inputs;
    int nargs;        /* overrides for params: init = ..., weight = token.weight */
    Arg *args;
    bool *arg_used;
    int nlead; /* leading axes this body runs over, after the batch */
    int64_t lead[MAX_RANK];
    bool has_dots; /* what `...` stands for in the header */
    int ndots;
    int64_t dots[MAX_RANK];
    double fan_in, fan_out;
    int nrandom;
    int first_equation; /* of the graph, when this body began */
    int depth;
} Frame;

/* The element an equation is about: which indices are in scope. Copied, extended and dropped with C scopes. */
typedef struct Elem {
    int nambient; /* batch and leading axes */
    Index *ambient[MAX_RANK];
    int nindex;
    struct {
        const char *name;
        Expr *value;
        Span from; /* the place that gives it its range; NOWHERE: written out */
    } index[MAX_BOX];
    bool implicit; /* `...`, or the axes of tensors named without subscripts */
    int nimplicit;
    Index *implied[MAX_RANK];
    Span implied_at; /* the name whose axes they are */
} Elem;

/* A field as the data source delivers it. */
typedef struct Raw {
    const char *name;
    int rank; /* -1: not known before it is used */
    int64_t size[MAX_RANK];
    int classes;     /* 0: real numbers, -1: not known before it is used */
    double least, most; /* both occur; equal: not known */
    bool label;
    Span where;
    const Graph *graph; /* the graph that `tensor` is an input of */
    Tensor *tensor;
} Raw;

/* The value of a sub-expression that is a tensor of its own. */
typedef struct Cached {
    const Node *node;
    const Frame *frame;
    Val val;
} Cached;

/* A layer and what it gave, for the warnings. */
typedef struct Applied {
    const LayerVal *value;
    const Def *def;
    Layer *layer;
    Tensor *out;
    Tensor *in;        /* its one input, or NULL */
    bool weighted_sum; /* of its input, by a matrix: two of them in a row are one */
    bool rows;         /* ... over several further axes, which flatten would have joined */
} Applied;

/* A model of more is a mistake: 110 layers of ResNet are 400 applications. */
enum { MOST_APPLIED = 20000, MOST_NESTED = 200, MOST_DEEP = 1500, MOST_EVALS = 2000000 };
#define MOST_SIZE 2147483647.0     /* of an axis */
#define MOST_ELEMENTS 0x1p40       /* of a tensor, over the batch */

typedef struct Checker {
    Arena *arena;
    Program *program;
    Graph *graph;   /* the one being filled */
    bool training;
    LIST(const char *) frozen; /* layers that this phase of the training leaves as they are */
    bool first;     /* first run of the model: parameters are made, drawn and counted, warnings are given */
    bool report;    /* batch sums are read from the metric states, not computed */
    const char *metric; /* name of the metric being lowered: batch sums go to states; or NULL */
    int nsums;          /* batch sums of this metric so far */
    const char **headings; /* of its columns, where it has several results; else NULL */
    const char *space;  /* namespace a train key looks into first, or NULL */
    const Node *file;
    LIST(Def *) defs;
    Names def_names; /* the first of each name, in defs */
    LIST(Bind) globals; /* options and constants */
    Define *defines;
    int ndefines;
    LIST(Raw *) raws;
    LIST(Cached) cache; /* while one element expression is worked on */
    const Node *data;   /* the data definition in use, or NULL */
    const Node *source; /* its reader's call */
    int ncolumns;       /* of a CSV file, by the names of its first line; -1: not known */
    const char **columns;
    bool applies_default; /* a loss named without arguments gets (output, label) */
    Val output, label;    /* what it gets */
    bool in_loss;         /* a loss is being applied */
    Span judging;         /* ... which is trained with; else NOWHERE */
    LIST(Tensor *) demands; /* 1 where the data is what the loss asserts */
    LIST(Tensor *) judged, predicted; /* outputs that a loss was given, and what it makes of them for people to see */
    const char *defining;  /* the tensor on the left of the equation at hand, or NULL */
    Expr *element_default; /* in penalties: the weight, which l2(1e-4) is applied to */
    bool transform;       /* in a transform of the data: a list of numbers is a vector */
    bool labels;          /* fields asked for now are labels, not inputs */
    bool measures;        /* some state is measured before training */
    LIST(Bind) fields;    /* fields of this graph, transformed */
    const Graph *fields_of;
    LIST(const char *) fields_used; /* of any graph */
    LIST(Tensor *) integers; /* tensors of class indices and how many classes */
    LIST(int) classes;
    int applied;         /* definitions, of layers and of elements */
    LIST(Applied) made;  /* in the first run of the model */
    LIST(Bind) locals;   /* names made in bodies of the user's, of all graphs */
    const Frame *failed; /* the call whose insides were told of last */
    int nested, evals;
} Checker;

/* --- value.c --- */
Val val_error(void);
Val val_number(double x);
Val val_bool(bool b);
Val val_tensor(Tensor *t, Span at);
Val val_expr(Expr *e);
Val val_list(Checker *c, int n, const Val *items);
const char *val_kind(Checker *c, Val v); /* "a number", "a layer", "a tensor 16x5x5": for messages */
bool val_known(Val v);                   /* neither tensor, element, field nor error */
Bind *frame_find(Frame *f, const char *name);
Bind *frame_bind(Checker *c, Frame *f, const char *name, Val v, Span at);
Frame *frame_new(Checker *c, Frame *caller, Frame *outer);
/* "basic2.": the next name for an anonymous `name` in this scope. */
const char *frame_instance(Checker *c, Frame *f, const char *name);
const char *path_join(Checker *c, const char *path, const char *name);
int sample_rank(const Frame *f, const Tensor *t);
const int64_t *sample_size(const Frame *f, const Tensor *t);
const char *shape_text(Checker *c, const Frame *f, const Tensor *t);
double elements(int rank, const int64_t *size); /* their product, which may be beyond int64 */
/* False, after an error, when a tensor of this size is beyond all memory. */
bool fits(Checker *c, const Frame *f, const char *name, int rank, const int64_t *size, Span at);
const char *sizes_text(Checker *c, int rank, const int64_t *size);
int tensor_classes(Checker *c, const Tensor *t); /* 0: real numbers */
void tensor_set_classes(Checker *c, Tensor *t, int classes);
bool want_number(Checker *c, Frame *f, const Node *n, Val v, double *x);
bool want_size(Checker *c, Frame *f, const Node *n, Val v, int64_t *size);
uint32_t stream_of(const char *name, int n);
bool node_mentions(const Node *n, const char *name); /* the name stands somewhere in it */

/* --- news.c --- */
/* An error with the chain of definitions that led there. One inside the library is news of the user's call: told
 * there, once, as "conv: ..."; what goes wrong after it in the same call is not told. */
void error_in(Checker *c, const Frame *f, Span at, const char *format, ...) PRINTF_LIKE(4, 5);
void error_marks_in(Checker *c, const Frame *f, Span at, const Mark *marks, int nmarks, const char *format, ...) PRINTF_LIKE(6, 7);
/* Inputs that do not go together: each is marked with its shape. `body` is the frame they were to be bound in. */
void error_inputs(Checker *c, const Frame *body, const char *format, ...) PRINTF_LIKE(3, 4);
/* Help after it: where two images differ only in their channels, or only in their places, there is a way out. */
void help_shapes(Checker *c, const Frame *body);
/* Help after an error about a name: what other systems call so, or the nearest of n; false when neither. `scope` is
 * the definition or section whose setting it should be; NULL: a name in an expression. */
bool suggest_among(Checker *c, const char *scope, const char *wrong, int n, const char *const *names);
/* ... among names that could stand here. */
void suggest(Checker *c, Frame *f, const char *wrong);
/* The advice in foreign.txt under shapes.KEY, if any; $1 is words[0]. */
void help_with(Checker *c, const char *key, const char *const *words);
const char *names_text(Arena *a, int n, const char *const *names); /* "a, b, c" */
bool in_library(Span s);

/* --- warn.c --- */
/* After a layer has been applied in the first run of the model; `in`: its one input, or NULL. */
void warn_applied(Checker *c, const Frame *body, const LayerVal *l, Tensor *in, Tensor *out);
const Applied *made_innermost(const Checker *c, const Tensor *t); /* the innermost layer that made t, or NULL */
void shape_checked(Checker *c, const Tensor *t); /* the source says of t that its shape is meant */
void warn_rows(Checker *c);
/* The last layer of the model does to z what the loss does by itself to make `predicted` of z. */
void warn_twice(Checker *c, const Applied *last, const Node *loss, Tensor *z);
void warn_unused(Checker *c);
void note_local(Checker *c, const Node *body, const Bind *b); /* a local name at its scope's end, used or not */

/* --- shown.c --- */
/* a and b are functions of z alone, and give the same numbers for some z: taken to be the same function. */
bool same_function(Checker *c, const Tensor *z, const Tensor *a, const Tensor *b);
/* What is shown of z is one number from 0 to 1 for each class, together 1, or one alone: that of yes. */
bool gives_probabilities(Checker *c, const Tensor *z, const Tensor *shown);

/* --- define.c --- */
void define_all(Checker *c, const Node *tree);
/* Definitions named `name` that may be seen here: the user's, else those of `first`, else those of layers,
 * activations and math. Returns how many; *defs points into an arena. */
int defs_find(Checker *c, const char *first, const char *name, Def ***defs);
int defs_in(Checker *c, const char *space, const char *name, Def ***defs);
bool def_visible(const char *first, const Def *d);
/* What the file means by the name: a constant, an option, a definition. The library does not see the file's constants. */
Val global_value(Checker *c, const Node *name, bool *found);
/* `batch` as the number of samples: the file has no constant or option of this name. */
bool is_sample_count(Checker *c, const Node *n);

/* --- names.c --- */
/* Are the names in n, and the settings of their calls, known? For what cannot be evaluated. */
void check_names(Checker *c, const Node *n);
const char *word_at(int i); /* a name that is always known; NULL after the last */

/* --- eval.c --- */
Val eval(Checker *c, Frame *f, const Node *n);
bool too_deep(Checker *c, Frame *f, const Node *n); /* or too long: told of */
/* Does its value depend on tensors, indices or the clock of the training? */
bool is_size(const Node *n); /* size(x), rank(x): known even where x is not */
bool dynamic(Checker *c, Frame *f, const Elem *el, const Node *n);
bool eval_condition(Checker *c, Frame *f, const Node *n, bool *yes);

/* --- call.c --- */
Val eval_call(Checker *c, Frame *f, const Node *n);
Val eval_pipe(Checker *c, Frame *f, const Node *n);
Val eval_shape(Checker *c, Frame *f, const Node *n);
Val eval_for(Checker *c, Frame *f, const Node *n);
Val repeat(Checker *c, Frame *f, const Node *n, Val layer, const Node *count, Val times); /* f * n */
bool is_layer(Val v); /* or a fork of layers */

/* --- phase.c --- */
/* The train section as it holds in each of its phases, at most MAX_PHASES, and their names; a training without groups
 * is one phase without a name. */
int train_phases(Checker *c, const Node *train, const Node **phases, const char **names);
void phase_freeze(Checker *c, const Node *train); /* what is frozen from here on */
bool is_frozen(const Checker *c, const char *name);
void check_frozen(Checker *c, const Node *train); /* after the model was run: there are such layers */
void check_init(Checker *c, const Node *train);

/* --- apply.c --- */
/* What the loss shows of an output, or NULL. */
Tensor *predicted_of(const Checker *c, const Tensor *output);
Val apply(Checker *c, Frame *f, Val layer, int n, const Val *inputs, const Node *at);
/* --- ports.c --- */
/* Named settings that no definition of this layer has are told of where they are written. */
bool check_settings(Checker *c, Frame *f, const LayerVal *l);
/* Settings of a definition bound in `body` from args; false after an error. */
bool bind_settings(Checker *c, Frame *f, Frame *body, const Def *def, int nargs, Arg *args, const Node *at);
const Node *def_part(const Def *d, NodeKind kind, int nth); /* PARAMS; PORTS 0: inputs, 1: outputs */
const Node *def_body(const Def *d);
bool body_declares(const Node *body, const char *param, bool *draws);
bool body_has_params(const Node *body); /* or states */
/* Applies a definition element by element, in the scope of `el`: a fn named inside an expression. */
Expr *apply_element(Checker *c, Frame *f, Elem *el, const LayerVal *l, int n, Expr *const *inputs, const Node *at);
Def *choose_def(Checker *c, Frame *f, const LayerVal *l, int rank, const Node *at);
/* The tensor of a field; what is not known of its shape and classes is taken from the arguments. */
Val field_value(Checker *c, Frame *f, Val field, int rank, const int64_t *size, int classes, Span at);
/* The sizes of a port where all are numbers known by now; -1 where not. */
int port_shape(Checker *c, Frame *f, const Node *port, int64_t *size);
bool bind_inputs(Checker *c, Frame *f, Frame *body, const Def *def, int n, Val *inputs, const Node *at);

/* --- load.c --- */
Elem elem_new(Checker *c, const Frame *f);
void elem_imply(Checker *c, Elem *el, int rank, const int64_t *size);
/* One more named index in scope, whose range comes from the place `from`; false when there are too many. */
bool elem_add(Checker *c, Frame *f, Elem *el, const char *name, Index *i, Span from);
Expr *elem_load(Checker *c, Frame *f, Elem *el, Tensor *t, const Node *at); /* bare: no subscripts or the implied ones */
/* node as a tensor of its own: an equation over the shape its bare tensors imply. */
Val lift(Checker *c, Frame *f, const Node *n, const char *name);
/* A tensor named `name` and the equation `t[indices of e] how= e`; indices in *order* first, others appended. */
Tensor *materialise(Checker *c, Frame *f, const char *name, How how, Expr *e, int nout, Index **out, Span at);
int elem_indices(const Elem *el, Expr *e, Index **out);
/* Subscripts: x[i, j], next s[c], list[i], random[...]. */
Expr *element_subscript(Checker *c, Frame *f, Elem *el, const Node *n);
Val subscripted(Checker *c, Frame *f, const Node *base);

/* --- element.c, extent.c --- */
Expr *element(Checker *c, Frame *f, Elem *el, const Node *n);
/* An elementwise body (fn, optimizer, schedule): its value with names bound to elements. */
Expr *element_body(Checker *c, Frame *f, Elem *el, const Def *def);
bool collect_shape(Checker *c, Frame *f, const Node *n, Elem *el);
/* The range of an index: the size of the axis where it stands alone. A padded read gives one only where nothing else
 * does: with `known`, the header has given it. */
bool find_range(Checker *c, Frame *f, const Node *n, const char *index, bool known, Span *where, int64_t *size);
bool find_ellipsis(Checker *c, Frame *f, const Node *n, int *rank, int64_t *size);
Val cached(Checker *c, Frame *f, const Node *n);
/* A call or pipe that works element by element on its arguments; all others are tensors of their own. */
bool inlines(Checker *c, Frame *f, const Node *n);
bool is_in_steps(const Node *n); /* in_steps(5 epochs) */
Expr *element_value(Checker *c, Frame *f, Elem *el, const Node *n, Val v);

/* --- reduce.c --- */
Expr *reduce(Checker *c, Frame *f, Elem *el, const Node *n);
/* `k in 8` or `k in 0..8`: how many places that is. */
bool written_size(Checker *c, Frame *f, const Node *r, int64_t *size);
/* The operand of a plain sum, max ... that may stand directly as an equation (not over the batch, no mean, no
 * softmax), with its kind; *plain false and NULL when n is none. */
Expr *reduce_direct(Checker *c, Frame *f, Elem *el, const Node *n, How *how, bool *plain);
Expr *batch_guard(Checker *c, const Elem *el, Expr *e, double otherwise);
/* Mean over samples of a per-sample tensor, through the metric states. */
Expr *metric_mean(Checker *c, Frame *f, Val v);

/* --- equation.c --- */
/* The left side of an index equation, taken apart. */
typedef struct Left {
    const char *name;
    const Node *const *subs;
    int nsubs;
    bool sized; /* size[i] is that of the axis at subs[i], from the header or the state itself; 0 at `...` */
    int rank;
    int64_t size[MAX_RANK];
    Span sized_at;
} Left;
const Node *output_port(const Frame *f, const char *name); /* in the header of f's definition, or NULL */
/* Sizes of `y[O, (H - K) // stride + 1]` in the header, 0 for `...`; false where it has none. */
bool port_size(Checker *c, Frame *f, Left *l);
/* Left = right, as one equation; the tensor, or NULL after an error. */
Tensor *equation(Checker *c, Frame *f, const Left *l, const Node *right, Tensor *add_to, Span where);

/* --- body.c --- */
/* `assert condition`, in whatever body. */
void run_assert(Checker *c, Frame *f, const Node *n);
/* Runs a block; the value of its last expression, or of the named outputs. */
Val run_block(Checker *c, Frame *f, const Node *block, const Node *outputs);
Tensor *kept_tensor(Checker *c, const char *name, KeptKind kind, int rank, const int64_t *size, Frame *f, Span at);
Tensor *kept_next(Tensor *state, Tensor *value);

/* --- draw.c: first values --- */
void init_constant(Checker *c, const Kept *k, double value);
/* Draws k from an initialiser: a fn of u or n, or a layer of u[R, C] or n[R, C]. */
void init_draw(Checker *c, Frame *f, const Kept *k, Val init, const Node *at);
void run_draw(Checker *c, Frame *f, const Node *n);

/* --- data.c --- */
/* The fields of the data section; NULL: those of the model's inputs, and label. False after an error. */
bool data_open(Checker *c, Frame *f, const Node *data);
/* A field by name, transformed as the data section says. */
Val data_field(Checker *c, const char *name, Span at, bool *found);
/* A model wants field `name` in this shape: what a reader does not say (idx, npy) is taken from there. */
void data_hint(Checker *c, const char *name, int rank, const int64_t *size);
Val stack(Checker *c, Frame *f, const Node *list); /* a list of numbers as a vector */
void warn_fields(Checker *c);

/* --- reader.c --- */
/* The reader's call, after `if`s on options; NULL after an error. */
const Node *data_source(Checker *c, Frame *f, const Node *data);
const Node *reader_name(const Node *source); /* `points` for points.xor */
bool is_pairs(const char *reader);
bool reader_check(Checker *c, Frame *f, const Node *source);
void data_check(Checker *c, Frame *f, const Node *data); /* a section that nobody trains on: is there such a reader? */

/* --- picture.c --- */
/* The steps of `augment`, checked: a list of calls. */
Value augment_value(Checker *c, Frame *f, const Node *n);
/* What `augment` makes of the size of the pictures that the reader delivers. */
void pictures_augment(Checker *c, Frame *f, const Node *augment);
/* channels, height and width that folder(...) asks for: 3, or -1 where it does not say (or after an error). */
int picture_size(Checker *c, Frame *f, const Node *source, int64_t size[3]);

/* --- columns.c --- */
/* The names in the first line of the file that csv(...) reads; -1 when it cannot be read now. */
int csv_columns(Checker *c, const Node *call, const char ***names);

/* --- setting.c: data and train sections for the trainer --- */
Value setting_value(Checker *c, Frame *f, const Node *n);
Value text_value(Checker *c, const Node *n); /* as it is written */
Setting setting_exported(Checker *c, Frame *f, const Node *s, bool evaluate);
bool is_data_key(const char *name); /* a setting of a data section that is no field */
void export_data(Checker *c, Frame *f);
const Node *train_setting(const Node *train, const char *key);

/* --- train.c --- */
void check_train(Checker *c, const Node *settings); /* are its keys known? */
bool is_train_key(const char *name);
void train_needs(const Node *train, const char *key, const char *example); /* the error that it is missing */
void export_train(Checker *c, Frame *f, const Node *train, SettingList *out);
void check_monitors(Checker *c, const SettingList *train); /* once the metrics are known */

/* --- model.c --- */
/* What a run of the model gives. */
typedef struct Results {
    bool ok;
    int n;
    Val value[MAX_BOX];
    const char *name[MAX_BOX];
} Results;
Graph *open_graph(Checker *c, const char *name, bool training);
Results run_model(Checker *c, Def *model);
/* Weighted sums of weighted sums, after the first run of the model. */
void warn_sums(Checker *c, const Results *r);

/* --- loss.c --- */
/* The scope of loss and metrics: outputs by their names; fields are found through the data. */
Frame *train_scope(Checker *c, const Results *r);
/* A value of the train section, which `space` is searched for first. */
Val train_value(Checker *c, Frame *f, const Node *n, const char *space, const char *name);
/* Loss and metrics in step, eval and report; gives the loss to differentiate, or NULL, and their scope. */
Tensor *build_loss(Checker *c, const Node *train, const Results *r, Frame **scope);
bool same_shape(const Tensor *a, const Tensor *b);
/* Several results of a metric, one beside the other: their names are headings then. */
Val metric_table(Checker *c, Frame *f, Val results);

/* --- demand.c --- */
/* `assert condition` about elements, in a loss; `why` it is wrong not to hold, or NULL. */
void demand(Checker *c, Frame *f, const Node *condition, const char *why);
/* The loss of each sample, -inf where it is not what was demanded. */
Val demanded(Checker *c, Frame *f, Val loss);

/* --- program.c, update.c --- */
void build_program(Checker *c);
/* Gradients, penalties, clipping, schedule and optimizer: everything after the loss. `prefix` begins the names of what the
 * optimizer keeps: "optimizer."; the rate goes to `settings`. */
void build_update(Checker *c, Frame *f, const Node *train, Tensor *loss, const char *prefix, SettingList *settings);

#endif
