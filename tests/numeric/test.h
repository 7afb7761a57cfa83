/* test.h -- one case on its way: its source, its program, what its parameters and states hold. */
#ifndef TEST_H
#define TEST_H

#include "cases.h"
#include "check/check.h"

/* What params and states hold between runs of several graphs, by name. */
typedef struct Cell {
    const char *name;
    int64_t n;
    double *v;
} Cell;
typedef LIST(Cell) Store;

typedef struct Test {
    Arena *arena;
    const Case *c;
    Text source, news;
    Program *program;
    Store store;
    int64_t samples; /* real ones in a batch */
    bool bad;
} Test;

/* Prints the case once, then why. */
void fail(Test *t, const char *format, ...) PRINTF_LIKE(2, 3);
/* Parses and checks t->source; false after a failure. */
bool build(Test *t);
double largest(int64_t n, const double *v);
/* Fails unless all n numbers agree to `tolerance` of the largest wanted one. */
void compare(Test *t, const char *what, int64_t n, const double *is, const double *want, double tolerance);

Cell *cell_find(Test *t, const char *name); /* or NULL */
Cell *cell_get(Test *t, const char *name, int64_t n);
/* Initial values of everything kept: graph init, then the case's own. */
void store_init(Test *t);
/* Parameters and states of a run, from the store; and back, as they are after it. */
void run_load(Test *t, Run *r);
void run_save(Test *t, Run *r);
void set_scalar(Run *r, const char *name, double x);
void clock_set(Run *r, double count, double total);
/* Samples first.. of the case's inputs and labels; what is beyond them gets numbers that must not matter. */
void inputs_fill(Test *t, Run *r, int64_t first);

#endif
