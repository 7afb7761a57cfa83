/* make.h -- how the parser makes nodes: spans joined from the children, depth counted, lists copied. */
#ifndef NNC_MAKE_H
#define NNC_MAKE_H

#include "syntax/lex.h"
#include "syntax/tree.h"

typedef LIST(Node *) Nodes;

typedef struct Parser {
    Arena *arena;
    int file;
    Span all; /* the whole file */
    Lexer *lexer;
    Token before; /* the token before the present one */
    Token reducer; /* the last reduction of the statement */
    Node *tree;
    bool too_deep; /* said once */
} Parser;

/* A NULL node (something that was not understood) is left out. */
void add(Parser *p, Nodes *list, Node *n);

/* The span of a node reaches over `at` and all its children, of which some may be NULL. */
Node *make(Parser *p, NodeKind kind, Span at, int n, ...);
Node *make_list(Parser *p, NodeKind kind, Span at, Nodes children);
Node *make_named(Parser *p, NodeKind kind, Token first, Token name, int n, ...);
Node *make_text(Parser *p, NodeKind kind, Token first, Token text);
Node *make_word(Parser *p, NodeKind kind, Token t);
Node *make_dims(Parser *p, Token t);
Node *make_unary(Parser *p, Token op, Node *operand);
Node *make_binary(Parser *p, NodeKind kind, Node *left, Token op, Node *right);
Node *make_postfix(Parser *p, NodeKind kind, Node *head, Nodes rest, Token closer, int flag);
Node *make_member(Parser *p, Node *value, Token member);
Node *make_reduce(Parser *p, Token reducer, Node *indices, Node *body);
Node *make_tuple(Parser *p, Span at, Node *first, Nodes rest);
/* Checks that each target can be assigned to. */
Node *make_assign(Parser *p, Nodes targets, Token op, Nodes values, int flag);
Node *make_draw(Parser *p, Token keyword, Node *port, Node *value, int state, int drawn);
Node *make_setting(Parser *p, Token key, Nodes values);
Token make_key(Parser *p, Token key, Token member);
Node *make_define(Parser *p, Token kind, Token name, Node *params, Node *inputs, Node *outputs, Node *body);

/* The first byte that is not part of a UTF-8 character, or -1. */
int utf8_error(const char *s, int size);

#endif
