/* parts.h -- what the files of emit/ share among themselves. */
#ifndef NNC_EMIT_PARTS_H
#define NNC_EMIT_PARTS_H

#include "emit/emit.h"

/* --- names.c --- */
const char *identifier(Arena *a, const char *name); /* an identifier that is no word of C or C++ */
const char *upper(Arena *a, const char *s);
void c_string(Text *t, const char *s);  /* with its quotes */
void c_comment(Text *t, const char *s); /* safe between the marks of a comment */
void c_double(Text *t, double x);       /* a constant of type double */
int span_line(Span where);              /* 0 for nowhere */
int span_column(Span where);
int user_line(Span where, const Layer *l); /* of what stands in l; in the library, the line of the user's call; or 0 */
/* As identifiers, each different from those before it. */
const char **unique_names(Arena *a, int n, const char *const *names);
const char **field_names(const Program *p);
const char **metric_names(const Program *p);
/* Outputs of predict or prepare: also different from the names of the inputs. */
const char **output_names(const Program *p, int n, const Output *outputs);

/* --- count.c --- */
int64_t field_count(const Field *f); /* numbers of one sample */
int64_t count_weights(const Program *p);
int count_measured(const Program *p);
int64_t layer_weights(const Program *p, const Layer *l); /* of the layer and those inside it */
int64_t *layer_operations(const Program *p);             /* of each, with those inside: forward, one sample */
/* The wanted tensors of prepare, as outputs. */
const Output *prepared_outputs(const Program *p, int *n);
const char *field_type(const Field *f); /* "float" or "int32_t" */
const char *step_name(const Program *p, int phase);
double base_rate(const Program *p);     /* the learning rate of the file */

/* --- header.c: arguments that the declaration and the definition share --- */
void print_inputs(Text *t, const Program *p);                            /* "const float *image, " */
void print_outputs(Text *t, const Program *p, int n, const Output *outputs); /* "float *output" */

/* --- profile.c: kernels of a step, for the trainer's bench --- */
enum { PROFILE_SUMS = 12 };
void print_profile_end(Text *t);
void print_profile(Text *t, const Program *p, const Plan *plan);

/* --- file.c --- */
int64_t file_header_bytes(const Program *p);
int64_t file_bytes(const Program *p);
bool file_empty(const Program *p); /* nothing to save */
void print_file_prelude(Text *t, const Program *p);
void print_file_table(Text *t, const Program *p, const Plan *plan);
void print_file_functions(Text *t, const Program *p, const Plan *plan);

/* --- prelude.c --- */
/* Of this text of the runtime what the rest of the model needs. */
void print_prelude(Text *t, const char *path, const char *model);

/* Kernels are static and need not carry the model's name: what begins with that is the entry points. */
#define KERNEL_PREFIX "kernel_"

/* --- list.c: graphs as tables, where one of them has many kernels --- */
typedef struct Lists Lists;
/* NULL where the graphs are functions of calls. */
Lists *lists_make(const Program *p, const Plan *plan);
/* What stands before all lists, and what behind them: the kernels and places that they have in common. */
void print_lists_begin(Text *t, const Lists *all);
void print_lists_end(Text *t, const Lists *all);
/* NAME_calls. */
void print_list(Text *t, const Lists *all, GraphKind graph, const char *name);

/* --- place.c: where the pointers of listed calls point --- */
typedef struct Places Places;
Places *places_make(const Program *p, const Plan *plan);
/* Numbers of places: of pointer i of a kernel, of the room that each thread has in a phase, of a scalar. */
int place_of_pointer(Places *all, GraphKind graph, const Kernel *k, int i);
int place_of_room(Places *all, GraphKind graph, int phase);
int place_of_storage(Places *all, GraphKind graph, const Storage *s);
void print_places(Text *t, const Places *all);

/* --- carry.c: the C that carries lists out --- */
void print_list_types(Text *t, const Program *p);    /* what the numbers mean */
void print_list_pointers(Text *t, const Program *p); /* behind the places */
void print_list_loops(Text *t, const Program *p);    /* behind the kernels */

/* --- run.c: "static void lenet5_run_step(...)", which carries out one graph --- */
void print_run(Text *t, const Program *p, const Plan *plan, GraphKind kind, Lists *lists);
/* The first phase that changes what is kept; the loss must be known before it. -1: none does. */
int first_update(const Loops *l, const Storage *loss);
bool run_in_parallel(const Plan *plan);

/* --- entry.c --- */
void print_entries(Text *t, const Program *p, const Plan *plan);

#endif
