/* names.c -- identifiers, string literals and comments of C that hold whatever the .nn file says.
 *
 * A name from the source may be a keyword of C or C++, a string may hold quotes, newlines and trigraphs, and a
 * comment its own end: nothing of that may get out of the place where it is put. */
#include "emit/parts.h"

/* Words that cannot be names in C11 or C++17, and those that our own functions use for their arguments. */
static const char *const reserved[] = {
    "alignas", "alignof", "and", "asm", "auto", "bitand", "bitor", "bool", "break", "case", "catch", "char", "class",
    "compl", "const", "constexpr", "continue", "ctx", "decltype", "default", "delete", "do", "double", "else", "enum",
    "explicit", "export", "extern", "false", "file", "float", "for", "friend", "goto", "if", "inline", "int", "long",
    "mutable", "n", "namespace", "new", "noexcept", "not", "nullptr", "operator", "or", "private", "protected",
    "public", "register", "reinterpret_cast", "restrict", "return", "scratch", "short", "signed", "size", "sizeof",
    "static", "struct", "switch", "template", "this", "throw", "true", "try", "typedef", "typeid", "typename", "union",
    "unix", "linux", "unsigned", "using", "virtual", "void", "volatile", "wchar_t", "while", "xor",
};

static bool is_reserved(const char *s)
{
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (strcmp(s, reserved[i]) == 0)
            return true;
    return strncmp(s, "nn_", 3) == 0;
}

/* Letters, digits and _ stay; other bytes become one _ between them. ASCII only, whatever the locale says. */
static char *plain_name(Arena *a, const char *name)
{
    char *plain = arena_alloc(a, 2 * strlen(name) + 2), *to = plain;
    bool gap = false;

    if (!*name || (*name >= '0' && *name <= '9') || *name == '_')
        *to++ = 'x';
    for (const char *s = name; *s; s++) {
        bool fine = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') || *s == '_';
        if (fine && gap)
            *to++ = '_';
        if (fine)
            *to++ = *s;
        gap = !fine && to > plain;
    }
    if (to == plain)
        *to++ = 'x';
    return plain;
}

const char *identifier(Arena *a, const char *name)
{
    const char *s = plain_name(a, name);

    return is_reserved(s) ? arena_print(a, "x_%s", s) : s;
}

const char *emit_prefix(Arena *a, const Program *p)
{
    char *s = plain_name(a, p->name);

    for (char *c = s; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    static const char *const taken[] = {"nn", "omp", "atomic", "kernel"}; /* nn_batch would be the runtime's */
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
        if (strcmp(s, taken[i]) == 0)
            return arena_print(a, "%s_model", s);
    return s;
}

const char *upper(Arena *a, const char *s)
{
    char *u = arena_print(a, "%s", s);

    for (char *c = u; *c; c++)
        if (*c >= 'a' && *c <= 'z')
            *c = (char)(*c - 'a' + 'A');
    return u;
}

/* Octal escapes always have three digits, so the next character cannot join them. */
void c_string(Text *t, const char *s)
{
    text_print(t, "\"");
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            text_print(t, "\\%c", c);
        else if (c == '\n')
            text_print(t, "\\n");
        else if (c == '?' && s[1] == '?') /* a trigraph would begin here */
            text_print(t, "?\\");
        else if (c < 32 || c >= 127)
            text_print(t, "\\%03o", c);
        else
            text_print(t, "%c", c);
    }
    text_print(t, "\"");
}

/* Inside a comment: no end, no new beginning, no trigraph, one line. */
void c_comment(Text *t, const char *s)
{
    char before = 0;

    for (; *s; s++) {
        char c = *s;
        if ((unsigned char)c < 32 || c == 127)
            c = ' ';
        if ((before == '*' && c == '/') || (before == '/' && c == '*') || (before == '?' && c == '?'))
            text_print(t, " ");
        if (c == '\\' && !s[1])
            c = ' ';
        text_print(t, "%c", c);
        before = c;
    }
}

void c_double(Text *t, double x)
{
    if (x != x)
        text_print(t, "(double)NAN");
    else if (x - x != 0)
        text_print(t, x > 0 ? "(double)INFINITY" : "-(double)INFINITY");
    else {
        const char *s = number_text(t->arena, x);
        text_print(t, "%s%s", s, strpbrk(s, ".e") ? "" : ".0");
    }
}

int span_line(Span where)
{
    int line = 0, column = 0;

    if (where.file >= 0)
        source_place(where, &line, &column);
    return line;
}

int span_column(Span where)
{
    int line = 0, column = 0;

    if (where.file >= 0)
        source_place(where, &line, &column);
    return column;
}

int user_line(Span where, const Layer *l)
{
    for (; where.file >= 0 && source_get(where.file)->library && l; l = l->parent)
        where = l->where;
    return where.file >= 0 && source_get(where.file)->library ? 0 : span_line(where);
}

/* "image, a, b": each name once among those before it, so that arguments and members never collide. */
const char **unique_names(Arena *a, int n, const char *const *names)
{
    const char **u = NEW_ARRAY(a, const char *, n + 1);

    for (int i = 0; i < n; i++) {
        const char *s = identifier(a, names[i]);
        int copy = 1;
        for (int j = 0; j < i; j++)
            if (strcmp(u[j], s) == 0) {
                s = arena_print(a, "%s_%d", identifier(a, names[i]), ++copy);
                j = -1;
            }
        u[i] = s;
    }
    return u;
}

const char **field_names(const Program *p)
{
    const char **names = NEW_ARRAY(p->arena, const char *, p->fields.n + 1);

    for (int i = 0; i < p->fields.n; i++)
        names[i] = p->fields.at[i].name;
    return unique_names(p->arena, p->fields.n, names);
}

const char **metric_names(const Program *p)
{
    const char **names = NEW_ARRAY(p->arena, const char *, p->metrics.n + 1);

    for (int i = 0; i < p->metrics.n; i++)
        names[i] = upper(p->arena, p->metrics.at[i].name);
    return unique_names(p->arena, p->metrics.n, names);
}

const char **output_names(const Program *p, int n, const Output *outputs)
{
    const char **names = NEW_ARRAY(p->arena, const char *, p->fields.n + n + 1), **fields = field_names(p);

    for (int i = 0; i < p->fields.n; i++)
        names[i] = fields[i];
    for (int i = 0; i < n; i++)
        names[p->fields.n + i] = outputs[i].name;
    return unique_names(p->arena, p->fields.n + n, names) + p->fields.n;
}
