/* cases.h -- the golden files of goldens.py, read. */
#ifndef CASES_H
#define CASES_H

#include "base/base.h"

/* A line with numbers. Keys without a name ("output") have an empty one. */
typedef struct Row {
    const char *key, *name;
    int rank;
    int64_t size[8];
    int64_t n; /* numbers */
    double *v;
} Row;

typedef struct Case {
    const char *name; /* "conv2d 7" */
    const char *kind, *expr;
    Text define; /* definitions that expr uses */
    int classes;
    bool training;
    double lr;
    int per_epoch, total;
    LIST(Row) rows;
} Case;

typedef LIST(Case *) Cases;

/* Adds the cases of a file; false when it cannot be read. */
bool cases_read(Arena *a, const char *path, Cases *out);
/* The first row with this key (and name, unless NULL), or NULL. */
const Row *case_row(const Case *c, const char *key, const char *name);

#endif
