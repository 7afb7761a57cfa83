/* plan.h -- where every byte of a program lies, before it runs.
 *
 *     context  [scalars][parameters and buffers][derived][optimizer states][metric sums][metrics][work]
 *               '-------- WEIGHT_BYTES: all that predict needs --------'
 *     scratch of predict, scratch of prepare: work of their own, so that a context may stay const; for one sample it
 *     begins with room for what is derived, which is used where that in the context belongs to other weights
 *
 * The work of init, step, eval and report is one region, as large as the largest needs: they never run at the
 * same time. Inside it temporaries share bytes when their lives do not meet (pack.c). What lives within one phase of
 * blocks has room for a block of each thread that can take part. Offsets are multiples of
 * 64. Scalars lie as nn.h numbers them: NN_SCALARS doubles. What eval shares with predict lies at the same offsets, so
 * that the calls of both are the same numbers where they are the same kernels. */
#ifndef NNC_PLAN_H
#define NNC_PLAN_H

#include "graph/program.h"
#include "loops/loops.h"

enum { PLAN_ALIGN = 64 };

/* A program's graphs; the steps after the first are those of the phases after the first. */
typedef enum { GRAPH_INIT, GRAPH_STEP, GRAPH_LAST_STEP = GRAPH_STEP + MAX_PHASES - 1, GRAPH_EVAL, GRAPH_REPORT, GRAPH_PREDICT, GRAPH_PREPARE, GRAPH_DERIVE, GRAPH_SINGLE, GRAPHS } GraphKind;
Graph *program_graph(const Program *p, GraphKind kind); /* or NULL */
static inline bool is_step(GraphKind kind) { return kind >= GRAPH_STEP && kind <= GRAPH_LAST_STEP; }

/* Bytes for a while: a temporary of one graph. */
typedef struct Buffer {
    const char *name;
    Span where;
    int64_t bytes;
    int first, last; /* the times it is alive, both included; last is INT_MAX for a result of the graph */
    int64_t offset;  /* from the start of its block, a multiple of PLAN_ALIGN */
    bool wishes;     /* for the offset that it has before it is placed: it keeps it if that is free */
    int phase;       /* Storage.phase: its block is the room of a thread in that phase, else (-1) the work of the graph */
} Buffer;

/* Gives every buffer its offset and returns the size of the block, a multiple of PLAN_ALIGN. (pack.c) */
int64_t plan_pack(Arena *a, Buffer *buffers, int n);

/* Room that each thread has in a phase of blocks, for what that phase alone needs: of one block of samples. */
typedef struct Room {
    int64_t bytes;  /* of one thread; 0: the phase needs none */
    int threads;    /* so many have one, side by side: no more take part in the phase */
    int buffer;     /* theirs together, in Work.buffers */
} Room;

/* The work of one graph. */
typedef struct Work {
    Loops *loops;    /* or NULL: no such graph */
    int n;           /* buffers */
    Buffer *buffers;
    int *buffer;     /* by Storage.id: its number in buffers, or -1 where it is no work */
    Room *room;      /* by phase */
    int64_t bytes;
} Work;

/* A parameter or state: position in the context, and how its rows lie there. */
typedef struct Place {
    int64_t offset, bytes;
    int64_t row; /* floats from row to row; 0: one double */
} Place;

typedef struct Plan {
    const Functions *functions;
    Work work[GRAPHS];
    Place *kept;          /* like Program.kept */
    int64_t metrics;      /* offset of the metrics: doubles, in the order of Program.metrics */
    int64_t work_offset;  /* of the shared work in the context */
    int64_t weight_bytes; /* scalars, parameters and buffers, what is derived of them */
    int64_t derived_offset, derived_bytes; /* what graph derive makes and, from derived_work on, its work; 0 bytes: nothing */
    int64_t derived_work;
    int64_t bytes;        /* the context */
    int64_t predict_bytes, prepare_bytes;
    int few; /* so many samples or more go in blocks, fewer one by one; below 2: all in blocks, work[GRAPH_SINGLE] is empty */
} Plan;

/* `loops` has GRAPHS members, NULL where the program has no such graph; all made with `f`. */
Plan *plan_make(Arena *a, const Program *p, Loops *const *loops, const Functions *f);

/* --emit=plan: every buffer with offset, bytes, life, name and source line, then what training and inference need. */
void plan_print(Text *t, const Program *p, const Plan *plan);

/* Which of the scalars, in the order of nn.h, or -1. "lr" is the last; behind it stands whether the derived numbers in the
 * context belong to its weights. */
enum { SCALAR_LR = 10, SCALAR_COUNT = 11, SCALAR_DERIVED = SCALAR_COUNT };
int scalar_position(const char *name);
/* Made by graph derive: in the context, or wherever else. */
bool is_derived(const Program *p, const Storage *s);
/* Where its numbers begin in the context, or in what is derived. */
int64_t kept_offset(const Plan *plan, const Program *p, const char *name);
int64_t output_count(const Output *o); /* numbers of one sample, or of the metric */

#endif
