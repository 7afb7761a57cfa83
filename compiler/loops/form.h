/* form.h -- texts of C that differ in numbers only: one text with parameters, and what each of them gives to it. */
#ifndef NNC_FORM_H
#define NNC_FORM_H

#include "loops/loops.h"

typedef enum { TOKEN_TEXT, TOKEN_NAME, TOKEN_NUMBER, TOKEN_REAL } TokenKind;

typedef struct Token {
    TokenKind kind;
    const char *s;
    int n;
    const char *type; /* of a number: "", or what it is converted to, "(float)" or "(double)"; parameters are whole numbers
                       * and doubles */
    bool named;       /* a number that is a parameter, or computed from some: size0, (2 * size0 + 1) */
    bool step;        /* a number that the step of an unrolled loop is multiplied with */
    bool length;      /* a number between the brackets of a declaration */
} Token;

/* A text: kernels' and tiles' bodies. */
typedef struct Form {
    Function *function; /* whose body it is, or NULL */
    const char *text;   /* of a function: without its parameters that are numbers */
    LIST(const char *) parameters; /* these, in order */
    bool odd;           /* an array is as long as one of them says */
    LIST(Token) tokens; /* names are those that the text declares */
    Text skeleton;      /* names and numbers by their order only */
    uint32_t hash;
    bool done;
} Form;

/* With `fixed`, numbers that the C compiler must know stay in the text: lengths of arrays, ends of unrolled loops, and the
 * first arguments of a tile; and other doubles and floats than whole numbers are taken out of it. */
void form_read(Arena *a, Form *f, const char *text, bool fixed);
/* The body of a function, "(const float *x, long size0)\n{ ...". Its parameters that are numbers are left out of its head and
 * are numbers in the text, and so is what is computed from them. */
void form_read_function(Arena *a, Form *f, const char *body);
bool form_same(const Form *x, const Form *y);
bool token_letter(char c); /* may stand in a name */
bool token_is(const Token *t, const char *s);
bool token_is_type(const Token *t);
bool token_is_blank(const Token *t);

/* A number of all forms. */
typedef struct Column {
    int64_t *at;      /* by form */
    const char *text; /* what stands for it: a parameter, or what follows from other columns */
    bool parameter;
} Column;

/* A number that some forms are given. */
typedef struct Named {
    const char **at;  /* by form: what it is there */
    const char *text; /* what stands for it */
    bool parameter;
} Named;

typedef struct Columns {
    Arena *arena;
    int forms;
    int64_t most; /* y = a * x + b is no chance if b is not larger */
    LIST(Column) list; /* that differ somewhere, each once; from small numbers to large ones: strides follow from sizes */
    LIST(const char **) reals; /* likewise what is no whole number: its texts as a double, by form; called real0, real1 ... */
    LIST(Named) named;         /* numbers that are parameters of some forms: texts */
} Columns;

/* The numbers in which forms of one kind differ. */
void columns_make(Columns *c, Arena *a, Form *const *forms, int n, int64_t most);
/* Parameters are called NAME0, NAME1 ..., or as they were called before; their count. */
int columns_name(Columns *c, const char *name);
/* The column with these numbers is a parameter of this name, if there is one. */
void columns_call(Columns *c, const int64_t *at, const char *name);
/* Every column follows from these numbers, called by this name, and from no other; else false. */
bool columns_follow(Columns *c, const int64_t *at, const char *name);
/* The text of the first form with columns in the place of numbers; arrays as long as the longest. */
const char *columns_text(const Columns *c, Form *const *forms);

#endif
