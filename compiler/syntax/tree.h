/* tree.h -- a .nn file as it was written. Nodes are plain and uniform: a kind, a span, children.
 *
 * The parser makes the tree and says nothing about meaning; the checker reads it. */
#ifndef NNC_TREE_H
#define NNC_TREE_H

#include "base/base.h"
#include "base/diag.h"

/* X(kind, children) -- `text` and `number` where noted. A child in [brackets] may be NULL. */
#define NODES(X)                                                                                  \
    /* items */                                                                                   \
    X(FILE, "items ...")                                                                          \
    X(IMPORT, "text: path")                                                                       \
    X(OPTION, "SETTING ...")                                                                      \
    X(CONSTANT, "text: name; value")                                                              \
    X(DEFINE, "text: name; flag: DEFINE_FN/LAYER/MODEL; PARAMS, INPUTS, OUTPUTS, body (an expression or BLOCK)") \
    X(DATA, "text: name; source expression, [SETTINGS]")                                          \
    X(TRAIN, "text: model name; [NAME of the data], SETTINGS")                                    \
    /* parts of a header */                                                                       \
    X(PARAMS, "PARAM ...")                                                                        \
    X(PARAM, "text: name; [default]")                                                             \
    X(PORTS, "PORT ... (INPUTS and OUTPUTS; empty when not written)")                             \
    X(PORT, "text: name; [sizes: LIST of expressions], [declared: expression after the colon]")   \
    /* statements */                                                                              \
    X(BLOCK, "statements ...")                                                                    \
    X(RESULT, "expressions ... (more than one: a tuple)")                                         \
    X(ASSIGN, "LIST of targets, LIST of values; flag: 0 '=', 1 '+='")                             \
    X(DRAW, "flag: 0 param, 1 state; PORT, value; number: 0 '=', 1 '~'")                          \
    X(ASSERT, "condition")                                                                        \
    X(BRANCH, "condition, BLOCK, [BLOCK]")                                                        \
    X(SETTINGS, "SETTING or GROUP ...")                                                           \
    X(SETTING, "text: key, dotted keys joined with '.'; values ...")                              \
    X(GROUP, "text: key; SETTINGS")                                                               \
    /* expressions */                                                                             \
    X(NAME, "text")                                                                               \
    X(NUMBER, "number; text as written")                                                          \
    X(DIMS, "NUMBER ...: 1x28x28")                                                                \
    X(PERCENT, "number: 20 for 20%")                                                              \
    X(DURATION, "number; text: unit, plural: epochs steps samples seconds minutes hours")         \
    X(STRING, "text, unescaped")                                                                  \
    X(BOOL, "number: 0 or 1")                                                                     \
    X(LIST, "expressions ...: [a, b]")                                                            \
    X(TUPLE, "expressions ...: (a, b)")                                                           \
    X(ELLIPSIS, "")                                                                               \
    X(PIPE, "left, right: left -> right")                                                         \
    X(SHAPE, "value, shape: value : 16x5x5")                                                      \
    X(RANGE, "from, to: 0..4")                                                                    \
    X(CHOOSE, "condition, then, else")                                                            \
    X(BINARY, "text: operator as written (+ - * / // mod ^ @ and or == != < <= > >=); left, right") \
    X(UNARY, "text: - or not; operand")                                                           \
    X(REDUCE, "text: sum max mean ...; LIST of REDUCED or ELLIPSIS, body")                        \
    X(REDUCED, "text: index; [range]")                                                            \
    X(CALL, "callee, ARG or expressions ...")                                                     \
    X(ARG, "text: name; value")                                                                   \
    X(SUBSCRIPT, "value, subscripts ...; flag: 1 for ?[")                                         \
    X(MEMBER, "text: member; value")                                                              \
    X(NEXT, "text: state")                                                                        \
    X(GRAD, "text: tensor")                                                                       \
    X(FOR, "text: index; range, BLOCK")

typedef enum {
#define X(kind, what) NODE_##kind,
    NODES(X)
#undef X
} NodeKind;

/* A tree is walked by recursion, so it must not be too deep. */
enum { MOST_BRACKETS = 256, DEEPEST = 1024 };

enum { DEFINE_FN, DEFINE_LAYER, DEFINE_MODEL };

typedef struct Node {
    NodeKind kind;
    int flag;
    double number;
    const char *text;
    Span span;      /* all of it */
    Span name;      /* of text, where the node has one; else the span (of the operator, in BINARY) */
    const char *doc; /* DEFINE: the comment lines directly above, without '#', or the comment at its line's end; or NULL */
    int depth;       /* nodes on the longest way down from here, at most DEEPEST in a tree without errors */
    int n;
    struct Node **child;
} Node;

/* Parses a source. Errors go to diag; the tree holds what could be understood and is never NULL. */
Node *parse(Arena *a, int file);
void tree_print(Text *t, const Node *n);
/* The expression as source text, canonical spaces: "conv(6, 5, pad = 2)". */
void tree_source(Text *t, const Node *n);

#endif
