/* nest.h -- one kernel while its C is being printed (nest.c, reduce.c, scatter.c, value.c, load.c, address.c). */
#ifndef NNC_NEST_H
#define NNC_NEST_H

#include "loops/build.h"

/* What a piece of C is. Uniform: the same for all lanes. */
typedef enum {
    TYPE_WHOLE,  /* long, uniform */
    TYPE_TRUTH,  /* a condition of C, uniform */
    TYPE_FLOAT,  /* float, uniform */
    TYPE_VECTOR, /* nn_v */
    TYPE_MASK,   /* nn_m */
    TYPE_DOUBLE, /* double: everything real in LANE_NONE */
} Type;

/* An expression of C. `dims`: bit d is set when it depends on tile dimension d. */
typedef struct Piece {
    Type type;
    unsigned dims;
    const char *text;
    bool atom; /* needs no parentheses */
} Piece;

static inline Piece piece(Type type, unsigned dims, bool atom, const char *text)
{
    return (Piece){type, dims, text, atom};
}

/* The number of loops over the tile around a value of these dimensions when it needs no array, or -1. */
static inline int level_of(unsigned dims)
{
    int level = 0;

    while (dims >> level & 1)
        level++;
    return dims >> level ? -1 : level;
}

typedef struct Var {
    const Index *index;
    const char *name;
    int dim;    /* of the tile, or -1 */
    bool whole; /* the tile has all of it: it is the step itself */
} Var;

/* What is inside of the loops over the result, for one part of it; see parts.c. */
typedef struct Inside {
    const char *text;
    int tile[MAX_TILES], partial;
    int64_t strip[STRIPS];
} Inside;

typedef struct Nest {
    Build *b;
    const Choice *c;
    Kernel *k;
    const char *arg_name[MAX_ARGS];
    int nvars;
    Var var[MAX_BOX];
    int tile[MAX_TILES];            /* steps, in the part of the result being printed: smaller in remainders */
    const char *step_name[MAX_TILES];
    const char *sum, *beside;       /* name of the sums being printed; of the second ones of a group */
    int partial;                    /* lanes in use, less than 16 in the last vector of a row */
    bool doubles;                   /* scalar code */
    int64_t strip[STRIPS];          /* tiles, in the part of the result being printed */
    bool in_piece;                  /* the reduction being printed goes through one piece of an index */
    int nkeys;
    uint32_t key[MAX_NUMBERS];      /* streams of random numbers */
    Text head;                      /* declarations at the top of the function */
    Text out;                       /* the function's body, or what is inside of a part */
    int depth;                      /* of indentation */
    LIST(Inside) parts;
    int ntemps;
    LIST(const char *) names;       /* all that are taken */
} Nest;

/* --- address.c --- */
const Var *nest_var(const Nest *n, const Index *i);
const char *nest_arg(Nest *n, const Place *p, bool writes);
/* "stage1.basic2.conv1.weight" -> "weight", "d.conv1.y" -> "d_y": the same in equal layers. */
const char *nest_arg_wish(Arena *a, const char *tensor);
/* A name that nothing in the kernel has yet, like the one wished for. */
const char *nest_fresh_name(Nest *n, const char *wish);
/* A whole-valued operation on operands already printed. */
const char *whole_operation(Arena *a, const Expr *e, const char *const *x);
/* A whole-valued expression as C long. `lane`: name of the variable that counts lanes, or NULL when e must not depend
 * on the lane. Adds to dims. */
const char *whole_text(Nest *n, const Expr *e, const char *lane, unsigned *dims);
/* The element of subscripts `at`, counted from the start of the storage. */
const char *address_text(Nest *n, const Place *p, Expr *const *at, const char *lane, unsigned *dims);
/* What must hold for a padded load to be inside its storage, or NULL when the halo takes care of it. */
const char *inside_text(Nest *n, const Place *p, const Expr *load, const char *lane, unsigned *dims);
/* What must hold for the place of a result that drops what falls outside, or NULL. */
const char *result_inside(Nest *n, const Choice *c, const char *lane, unsigned *dims);
/* The storage has zeros wherever the load may go along axis a, or all is inside. */
bool within_halo(const Layout *l, const Expr *load, int a);
bool lane_dependent(const Nest *n, const Expr *e);
/* How many elements lie from one lane to the next, or -1 when that is not always the same. */
int64_t lane_step(const Nest *n, const Place *p, Expr *const *at);
/* Of the lanes, where they are two rows of eight, the first ones of both that are in use; and a loop over all that are. */
int half_lanes(const Nest *n);
const char *each_lane(const Nest *n);
/* From lane 0 to lane 8, where the lanes are two rows of eight; else half of the way along all of them. */
int64_t fold_step(const Nest *n, const Place *p, Expr *const *at);
/* Loads may take more than the lanes in use: there is room behind the last row, and what is there is not stored. */
bool may_run_over(const Nest *n, const Place *p);
/* Steps of the lane's index are steps of one element: a vector may be loaded or stored at once. */
bool is_contiguous(const Nest *n, const Place *p, Expr *const *at);

/* --- nest.c --- */
/* "for (long i = from; i < to; i += step) {" and its end. */
void nest_open(Nest *n, const char *name, int64_t from, int64_t to, int64_t step);
void nest_close(Nest *n);
/* For the dump. */
void nest_note(Nest *n, const Index *x, int64_t tile, LoopRole role);
/* "acc" -> "acc[o_][j_]": the element of an array over the whole tile, and the dimensions it depends on. */
const char *nest_steps(const Nest *n, const char *array);
unsigned nest_dims(const Nest *n);

/* --- value.c, load.c --- */
/* The statements that lead to a value: level 0 stands before the loops over the tile, level d + 1 inside those of
 * dimensions 0..d. Whatever depends on fewer dimensions than its user is computed further out. */
enum { MAX_TEMPS = 1024 };
typedef struct Scope {
    Nest *n;
    Text level[MAX_TILES + 1];
    int depth;    /* of indentation at level 0 */
    Piece result; /* what EXPR_RESULT stands for */
    int nmemo;
    struct {
        const Expr *e;
        Piece piece;
    } memo[MAX_TEMPS];
} Scope;

void scope_start(Scope *s, Nest *n, int depth);
/* Once for an expression, before its values are asked for: counts who shares what. */
void scope_users(const Expr *e);
Piece scope_value(Scope *s, const Expr *e);
Piece scope_as(Scope *s, Piece p, Type type);
/* p in a variable of its own, at the level where its dimensions are known. */
Piece scope_keep(Scope *s, Piece p, const char *hint);
/* a * b + sum, the factors multiplied where they change least. */
Piece scope_multiply_add(Scope *s, const Expr *product, Piece sum);
/* From now on p is the value of e. */
void scope_know(Scope *s, const Expr *e, Piece p);
/* Prints the levels, with `last` inside all loops over the tile. */
void scope_end(Scope *s, const char *last);

/* Statements outside of the tile that stand there again and again, with other numbers: once, in a loop that is unrolled;
 * `last` as in scope_end. (roll.c) */
void scope_roll(Scope *s, const char **last);
/* Ends a scope: v, the finished result, and those of the maps that follow it are put into their places. (nest.c) */
void nest_finish(Nest *n, Scope *s, Piece v);
/* Takes the conditions off a sum's value: where one fails there is nothing to add. (reduce.c) */
const Expr *nest_conditions(Nest *n, Scope *s, const Expr *value);
/* --- sums.c --- */
/* What a sum, product or extreme begins with. */
const char *sums_neutral(How how, bool doubles);
/* How many there are in the largest tile. */
int sums_most(const Choice *c);
/* The sum of the tile's element at hand. */
const char *sums_text(const Nest *n);
/* A statement for each element of the tile; its format takes both texts. */
void sums_over_tile(Nest *n, const char *format, const char *what, const char *value);
/* Declares the sums, or others like them; `format` says how each gets its value. */
void sums_declare_as(Nest *n, const char *name, const char *format, const char *value);
void sums_declare(Nest *n, const char *name, const char *value);
/* result = tail(sums) */
void sums_end(Nest *n);

/* Around what is inside of a part: it is put aside, with a mark in its place. (parts.c) */
Text part_begin(Nest *n, int *depth);
void part_end(Nest *n, const Text *outside, int depth);
/* The kernel's text, with the parts in the places of their marks, or with calls of functions for those that are alike. */
const char *parts_join(Nest *n, Arena *scratch, const char *name, Tiles *tiles);
void nest_reduce(Nest *n);  /* reduce.c */
void nest_pieces(Nest *n);  /* the same for all tiles of the strips, piece by piece */
void nest_scatter(Nest *n); /* scatter.c */
Piece scope_load(Scope *s, const Expr *e);
Piece scope_index(Scope *s, const Expr *e);
Piece scope_random(Scope *s, const Expr *e);

const char *float_text(Arena *a, double x);

/* An indented line. */
void line(Text *t, int depth, const char *format, ...) PRINTF_LIKE(3, 4);

#endif
