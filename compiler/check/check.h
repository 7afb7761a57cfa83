/* check.h -- from the tree to a Program: names are resolved, definitions expanded, sizes bound, equations made.
 *
 * The checker runs the file like an interpreter whose values are numbers, layers and tensors known by their shapes;
 * applying a layer to a tensor appends the layer's equations to the graph at hand. A model is run once for each graph
 * it needs (training, evaluation, prediction); parameters are told apart by their names alone. */
#ifndef NNC_CHECK_H
#define NNC_CHECK_H

#include "graph/program.h"
#include "syntax/tree.h"

/* One -D name=value of the command line: replaces the default of an option. */
typedef struct Define {
    const char *name, *value;
    bool used;
} Define;

/* The program of a file, or NULL after errors. `tree` is what parse() gave for it, without errors. */
Program *check(Arena *a, const Node *tree, Define *defines, int ndefines);

/* Definitions of the library, for `nnc doc`: calls `each` for every one, in file order. */
typedef void DocVisitor(void *data, const char *space, const Node *definition);
void library_visit(DocVisitor *each, void *data);

#endif
