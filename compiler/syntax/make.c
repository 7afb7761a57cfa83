/* make.c -- nodes of the tree. */
#include "syntax/make.h"

#include <stdlib.h>

void add(Parser *p, Nodes *list, Node *n)
{
    if (n)
        PUSH(p->arena, *list, n);
}

/* Gives the node its children; from here on its span and depth hold. */
static Node *adopt(Parser *p, Node *n, Node **child, int count)
{
    n->child = child;
    n->n = count;
    n->depth = 1;
    for (int i = 0; i < count; i++) {
        if (!child[i])
            continue;
        n->span = n->span.file < 0 ? child[i]->span : span_join(n->span, child[i]->span);
        if (child[i]->depth + 1 > n->depth)
            n->depth = child[i]->depth + 1;
    }
    if (n->depth > DEEPEST && !p->too_deep) {
        p->too_deep = true;
        error_at(n->span, "this is nested or chained more than %d deep", DEEPEST);
        help("give parts of it names");
    }
    return n;
}

static Node *adopt_all(Parser *p, Node *n, int count, va_list args)
{
    Node **child = count ? NEW_ARRAY(p->arena, Node *, count) : NULL;

    for (int i = 0; i < count; i++)
        child[i] = va_arg(args, Node *);
    adopt(p, n, child, count);
    if (n->name.file < 0)
        n->name = n->span;
    return n;
}

static Node *fresh(Parser *p, NodeKind kind, Span span, Span name)
{
    Node *n = NEW(p->arena, Node);

    n->kind = kind;
    n->span = span;
    n->name = name;
    return n;
}

Node *make(Parser *p, NodeKind kind, Span at, int n, ...)
{
    va_list args;

    va_start(args, n);
    Node *made = adopt_all(p, fresh(p, kind, at, NOWHERE), n, args);
    va_end(args);
    return made;
}

Node *make_list(Parser *p, NodeKind kind, Span at, Nodes children)
{
    Node *n = adopt(p, fresh(p, kind, at, NOWHERE), children.at, children.n);

    n->name = n->span;
    return n;
}

Node *make_named(Parser *p, NodeKind kind, Token first, Token name, int n, ...)
{
    va_list args;
    Node *made = fresh(p, kind, span_join(first.span, name.span), name.span);

    made->text = name.text;
    va_start(args, n);
    adopt_all(p, made, n, args);
    va_end(args);
    return made;
}

Node *make_text(Parser *p, NodeKind kind, Token first, Token text) { return make_named(p, kind, first, text, 0); }

Node *make_word(Parser *p, NodeKind kind, Token t)
{
    Node *n = make_named(p, kind, t, t, 0);

    n->number = t.number;
    return n;
}

Node *make_dims(Parser *p, Token t)
{
    Nodes sizes = {0};

    for (const char *s = t.text; *s;) {
        size_t n = strcspn(s, "x");
        Token one = {.span = {t.span.file, t.span.start + (int)(s - t.text), t.span.start + (int)(s - t.text + n)},
                     .text = arena_copy(p->arena, s, n)};
        char digits[32];
        size_t used = 0;
        for (size_t i = 0; i < n && used < sizeof digits - 1; i++)
            if (s[i] != '_')
                digits[used++] = s[i];
        digits[used] = '\0';
        one.number = strtod(digits, NULL);
        if (used > 15)
            error_at(one.span, "this number is too large");
        add(p, &sizes, make_word(p, NODE_NUMBER, one));
        s += n + (s[n] == 'x');
    }
    return make_list(p, NODE_DIMS, t.span, sizes);
}

Node *make_unary(Parser *p, Token op, Node *operand)
{
    Node *n = make(p, NODE_UNARY, op.span, 1, operand);

    n->text = op.text;
    n->name = op.span;
    return n;
}

Node *make_binary(Parser *p, NodeKind kind, Node *left, Token op, Node *right)
{
    Node *n = make(p, kind, NOWHERE, 2, left, right);

    n->text = op.text;
    n->name = op.span;
    return n;
}

Node *make_postfix(Parser *p, NodeKind kind, Node *head, Nodes rest, Token closer, int flag)
{
    Nodes all = {0};

    add(p, &all, head);
    for (int i = 0; i < rest.n; i++)
        add(p, &all, rest.at[i]);
    Node *n = make_list(p, kind, span_join(head->span, closer.span), all);
    n->flag = flag;
    return n;
}

Node *make_member(Parser *p, Node *value, Token member)
{
    Node *n = make(p, NODE_MEMBER, member.span, 1, value);

    n->text = member.text;
    n->name = member.span;
    return n;
}

Node *make_reduce(Parser *p, Token reducer, Node *indices, Node *body)
{
    return make_named(p, NODE_REDUCE, reducer, reducer, 2, indices, body);
}

Node *make_tuple(Parser *p, Span at, Node *first, Nodes rest)
{
    Nodes all = {0};

    add(p, &all, first);
    for (int i = 0; i < rest.n; i++)
        add(p, &all, rest.at[i]);
    return make_list(p, NODE_TUPLE, at, all);
}

/* --- statements --- */

static bool assignable(const Node *n)
{
    if (n->kind == NODE_SUBSCRIPT && !n->flag)
        n = n->child[0];
    return n->kind == NODE_NAME || n->kind == NODE_NEXT || n->kind == NODE_GRAD;
}

Node *make_assign(Parser *p, Nodes targets, Token op, Nodes values, int flag)
{
    for (int i = 0; i < targets.n; i++)
        if (!assignable(targets.at[i])) {
            error_at(targets.at[i]->span, "cannot assign to this");
            help("the left side of %s is a name, y, or a tensor at indices, y[i, j]", flag ? "+=" : "=");
        }
    Node *left = make_list(p, NODE_LIST, NOWHERE, targets), *right = make_list(p, NODE_LIST, NOWHERE, values);
    Node *n = make(p, NODE_ASSIGN, NOWHERE, 2, left, right);
    n->flag = flag;
    n->name = op.span;
    return n;
}

Node *make_draw(Parser *p, Token keyword, Node *port, Node *value, int state, int drawn)
{
    Node *n = make(p, NODE_DRAW, keyword.span, 2, port, value);

    n->flag = state;
    n->number = drawn;
    n->name = port->name;
    return n;
}

Node *make_setting(Parser *p, Token key, Nodes values)
{
    Node *n = make_list(p, NODE_SETTING, key.span, values);

    n->text = key.text;
    n->name = key.span;
    return n;
}

Token make_key(Parser *p, Token key, Token member)
{
    key.text = arena_print(p->arena, "%s.%s", key.text, member.text);
    key.span = span_join(key.span, member.span);
    return key;
}

/* --- definitions and the comments above them --- */

/* Appends the comment that starts at s (after its '#'), without the blank that follows the '#'. */
static void comment_add(Text *t, const char *s)
{
    size_t n;

    s += *s == ' ';
    n = strcspn(s, "\n");
    while (n > 0 && strchr(" \t\r", s[n - 1]))
        n--;
    text_print(t, "%s%.*s", t->n ? "\n" : "", (int)n, s);
}

static const char *skip_blanks(const char *s) { return s + strspn(s, " \t\r"); }

/* The comment lines directly above the definition, else the comment at the end of its first line, else NULL. */
static const char *comment_of(Parser *p, Span definition)
{
    const char *text = source_get(p->file)->text, *line = text + definition.start, *first;
    Text t = {.arena = p->arena};

    while (line > text && line[-1] != '\n')
        line--;
    for (first = line; first > text;) {
        const char *above = first - 1;
        while (above > text && above[-1] != '\n')
            above--;
        if (*skip_blanks(above) != '#')
            break;
        first = above;
    }
    for (; first < line; first += strcspn(first, "\n") + 1)
        comment_add(&t, skip_blanks(first) + 1);
    if (t.n)
        return t.s;
    for (const char *s = text + definition.start; *s && *s != '\n'; s++) {
        if (*s == '#') {
            comment_add(&t, s + 1);
            return t.s;
        }
        if (*s == '"')
            for (s++; *s && *s != '"' && *s != '\n' && s[1]; s++)
                s += *s == '\\';
    }
    return NULL;
}

Node *make_define(Parser *p, Token kind, Token name, Node *params, Node *inputs, Node *outputs, Node *body)
{
    Span after = {name.span.file, name.span.end, name.span.end};
    Node **part[] = {&params, &inputs, &outputs};

    for (int i = 0; i < 3; i++)
        if (!*part[i])
            *part[i] = make_list(p, i ? NODE_PORTS : NODE_PARAMS, after, (Nodes){0});
    Node *n = make_named(p, NODE_DEFINE, kind, name, 4, params, inputs, outputs, body);
    n->flag = (int)kind.number;
    n->doc = comment_of(p, n->span);
    return n;
}

/* --- characters --- */

int utf8_error(const char *s, int size)
{
    const unsigned char *u = (const unsigned char *)s;

    for (int i = 0; i < size;) {
        int n = u[i] < 0x80 ? 1 : u[i] >= 0xC2 && u[i] < 0xE0 ? 2 : u[i] >> 4 == 14 ? 3 : u[i] >= 0xF0 && u[i] < 0xF5 ? 4 : 0;
        if (n == 0 || i + n > size)
            return i;
        for (int k = 1; k < n; k++)
            if ((u[i + k] & 0xC0) != 0x80)
                return i;
        if ((u[i] == 0xE0 && u[i + 1] < 0xA0) || (u[i] == 0xED && u[i + 1] >= 0xA0) ||
            (u[i] == 0xF0 && u[i + 1] < 0x90) || (u[i] == 0xF4 && u[i + 1] >= 0x90))
            return i; /* too long for its value, half of a pair, or beyond Unicode */
        i += n;
    }
    return -1;
}
