/* emit.h -- the C that a program becomes: model.h and model.c to embed anywhere, main.c for a trainer.
 *
 * model.c is one self-contained file of C11: a banner, the vector and random helpers it needs, one function a
 * kernel (equal kernels are one function), one function a graph that runs its kernels in order, and the entry
 * points that model.h declares. It has no mutable file-scope data and calls neither malloc nor stdio.
 *
 *     names.c    identifiers, C strings and comments that hold whatever the .nn file says
 *     header.c   model.h
 *     model.c    model.c, top to bottom; one function a graph
 *     list.c     graphs of many kernels: a table instead of calls
 *     place.c    where the pointers of such calls point
 *     carry.c    how such a table is carried out
 *     entry.c    the public functions
 *     file.c     save and load of a safetensors image
 *     trainer.c  main.c: the tables of runtime/nn.h
 *     count.c    weights and operations of each layer
 *     profile.c  what the trainer's bench knows of the kernels */
#ifndef NNC_EMIT_H
#define NNC_EMIT_H

#include "graph/program.h"
#include "plan/plan.h"

void emit_model_h(Text *t, const Program *p, const Plan *plan);
/* `header` is the name to #include: "model.h". With a profile, which main.c needs, it is not for embedding. */
void emit_model_c(Text *t, const Program *p, const Plan *plan, const char *header, bool profile);

/* What main.c must know of how the compiler was called. */
typedef struct Trainer {
    const char *header;    /* "model.h" */
    const char *directory; /* where the .nn file lies: its data paths are relative to it */
    const char *version;   /* of nnc */
    const char *target;    /* "native", "x86-64-v3", "x86-64-v4", "generic" */
    const char *features;  /* what __builtin_cpu_supports must find, separated by blanks: "avx2 fma"; "" for none */
} Trainer;
void emit_main_c(Text *t, const Program *p, const Plan *plan, const Trainer *how);

/* The model's name as a prefix for C: "LeNet5" -> "lenet5", never a word that C or the runtime uses. */
const char *emit_prefix(Arena *a, const Program *p);

#endif
