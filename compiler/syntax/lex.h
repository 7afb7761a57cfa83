/* lex.h -- the tokens of a source, as the parser wants them.
 *
 * The lexer decides which newlines end a statement, and it keeps the brackets: what the parser gets is always
 * balanced. A closer that was forgotten is reported and made up, one too many is reported and left out. */
#ifndef NNC_LEX_H
#define NNC_LEX_H

#include "base/diag.h"

typedef struct Token {
    int kind; /* T_NAME ... of parse.h; 0 at the end */
    bool made_up; /* not in the source: the lexer has already said why */
    Span span;
    double number;
    const char *text; /* names, strings (unescaped), units; operators and numbers as written; T_NL: how to call it */
} Token;

typedef struct Bracket {
    int kind; /* T_LP T_LB T_LC */
    Span span;
} Bracket;

typedef struct Lexer {
    Arena *arena;
    int file;
    const unsigned char *text, *end;
    const unsigned char *cur, *marker, *context; /* re2c's */
    int last;     /* kind of the token handed out before */
    int last_end; /* where that token ends: a statement that breaks off does so there */
    int forgiven; /* brackets that need no closer any more, after a syntax error */
    bool stopped; /* brackets too deep, or too many errors: the rest is not read */
    LIST(Bracket) open;
    LIST(Token) queue; /* tokens to hand out first; queue.at[given] is next */
    int given;
} Lexer;

void lex_begin(Lexer *x, Arena *a, int file);
Token lex_next(Lexer *x);
/* The innermost bracket open at the last token: ( or [, not {; or NULL. */
const Bracket *lex_open(const Lexer *x);
/* After a syntax error: forget the open ( and [ of this statement if nothing closes them, so that its line ends. */
void lex_forgive(Lexer *x);

#endif
