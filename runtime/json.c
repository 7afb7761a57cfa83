/* json.c -- recursive descent over the bytes; nodes live in blocks, decoded text in one buffer. */
#include "json.h"

#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 64, NODES_PER_BLOCK = 128 };

typedef struct Block {
    struct Block *next;
    int used;
    Json nodes[NODES_PER_BLOCK];
} Block;

struct JsonDocument {
    Json *root;
    Block *blocks;
    char *pool; /* decoded text and numbers: never more bytes than the source, plus a NUL each */
};

typedef struct Parser {
    const unsigned char *start, *at, *end;
    JsonDocument *document;
    char *pool;
    int depth;
    Fault *fault;
} Parser;

static bool wrong(Parser *p, const char *what)
{
    return nn_fail(p->fault, EXIT_FILE, "byte %td: %s", p->at - p->start, what);
}

static Json *node_new(Parser *p, JsonKind kind)
{
    Block *b = p->document->blocks;
    Json *j;

    if (b == NULL || b->used == NODES_PER_BLOCK) {
        b = nn_new(p->fault, "a JSON text", 1, sizeof *b);
        if (b == NULL)
            return NULL;
        b->next = p->document->blocks;
        p->document->blocks = b;
    }
    j = &b->nodes[b->used++];
    j->kind = kind;
    return j;
}

static void skip_space(Parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r'))
        p->at++;
}

static bool next_is(Parser *p, char c)
{
    skip_space(p);
    if (p->at == p->end || *p->at != (unsigned char)c)
        return false;
    p->at++;
    return true;
}

/* Bytes of the UTF-8 sequence at s; 0: invalid. Overlong forms, surrogates and what lies beyond U+10FFFF are invalid. */
static int utf8_length(const unsigned char *s, const unsigned char *end)
{
    static const struct { unsigned char first, last, low, high, n; } rows[] = {
        {0x00, 0x7f, 0x80, 0xbf, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };

    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        if (*s < rows[r].first || *s > rows[r].last)
            continue;
        if (end - s < rows[r].n)
            return 0;
        for (int i = 1; i < rows[r].n; i++)
            if (s[i] < (i == 1 ? rows[r].low : 0x80) || s[i] > (i == 1 ? rows[r].high : 0xbf))
                return 0;
        return rows[r].n;
    }
    return 0;
}

static bool read_hex4(Parser *p, unsigned *value)
{
    *value = 0;
    if (p->end - p->at < 4)
        return wrong(p, "an escape is cut off");
    for (int i = 0; i < 4; i++, p->at++) {
        unsigned char c = *p->at;
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
                  : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;

        if (digit < 0)
            return wrong(p, "\\u wants four hexadecimal digits");
        *value = *value * 16 + (unsigned)digit;
    }
    return true;
}

static char *utf8_put(char *to, unsigned c)
{
    if (c < 0x80) {
        *to++ = (char)c;
        return to;
    }
    if (c < 0x800) {
        *to++ = (char)(0xc0 | c >> 6);
    } else {
        if (c < 0x10000) {
            *to++ = (char)(0xe0 | c >> 12);
        } else {
            *to++ = (char)(0xf0 | c >> 18);
            *to++ = (char)(0x80 | (c >> 12 & 0x3f));
        }
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
    }
    *to++ = (char)(0x80 | (c & 0x3f));
    return to;
}

/* After the backslash. */
static bool read_escape(Parser *p)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    unsigned c, low;
    const char *simple;

    if (p->at == p->end)
        return wrong(p, "an escape is cut off");
    simple = *p->at != '\0' ? strchr(from, *p->at) : NULL;
    if (simple != NULL) {
        p->at++;
        *p->pool++ = to[simple - from];
        return true;
    }
    if (*p->at != 'u')
        return wrong(p, "unknown escape");
    p->at++;
    if (!read_hex4(p, &c))
        return false;
    if (c >= 0xdc00 && c <= 0xdfff)
        return wrong(p, "half a surrogate pair");
    if (c >= 0xd800 && c <= 0xdbff) {
        if (p->end - p->at < 6 || p->at[0] != '\\' || p->at[1] != 'u')
            return wrong(p, "half a surrogate pair");
        p->at += 2;
        if (!read_hex4(p, &low))
            return false;
        if (low < 0xdc00 || low > 0xdfff)
            return wrong(p, "half a surrogate pair");
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    p->pool = utf8_put(p->pool, c);
    return true;
}

/* After the opening quote. */
static bool read_text(Parser *p, const char **text, size_t *length)
{
    *text = p->pool;
    for (;;) {
        int n;

        if (p->at == p->end)
            return wrong(p, "a text has no closing quote");
        if (*p->at == '"')
            break;
        if (*p->at < 0x20)
            return wrong(p, "a control character in a text");
        if (*p->at == '\\') {
            p->at++;
            if (!read_escape(p))
                return false;
            continue;
        }
        n = utf8_length(p->at, p->end);
        if (n == 0)
            return wrong(p, "not UTF-8");
        memcpy(p->pool, p->at, (size_t)n);
        p->pool += n;
        p->at += n;
    }
    p->at++;
    *length = (size_t)(p->pool - *text);
    *p->pool++ = '\0'; /* takes the place of the quotes */
    return true;
}

static bool skip_digits(Parser *p)
{
    const unsigned char *from = p->at;

    while (p->at < p->end && *p->at >= '0' && *p->at <= '9')
        p->at++;
    return p->at > from || wrong(p, "expected a digit");
}

static Json *read_number(Parser *p)
{
    const unsigned char *from = p->at;
    Json *j = node_new(p, JSON_NUMBER);
    char digits[32], *copy = digits, *end;
    size_t n;

    if (j == NULL)
        return NULL;
    j->whole = true;
    p->at += *p->at == '-';
    if (p->at < p->end && *p->at == '0')
        p->at++;
    else if (!skip_digits(p))
        return NULL;
    if (p->at < p->end && *p->at == '.') {
        p->at++;
        j->whole = false;
        if (!skip_digits(p))
            return NULL;
    }
    if (p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
        p->at++;
        j->whole = false;
        if (p->at < p->end && (*p->at == '+' || *p->at == '-'))
            p->at++;
        if (!skip_digits(p))
            return NULL;
    }
    n = (size_t)(p->at - from);
    if (n >= sizeof digits) {
        copy = nn_new(p->fault, "a number", n + 1, 1);
        if (copy == NULL)
            return NULL;
    }
    memcpy(copy, from, n);
    copy[n] = '\0';
    j->number = strtod(copy, &end);
    /* 18 digits always fit; more need not be told apart from what is too large. */
    j->whole = j->whole && n <= 18;
    if (j->whole)
        j->integer = strtoll(copy, NULL, 10);
    if (copy != digits)
        free(copy);
    return j;
}

static Json *read_word(Parser *p, const char *word, JsonKind kind)
{
    size_t n = strlen(word);

    if ((size_t)(p->end - p->at) < n || memcmp(p->at, word, n) != 0) {
        wrong(p, "expected a value");
        return NULL;
    }
    p->at += n;
    return node_new(p, kind);
}

static int key_order(const void *a, const void *b)
{
    const Json *x = *(const Json *const *)a, *y = *(const Json *const *)b;
    size_t n = x->key_length < y->key_length ? x->key_length : y->key_length;
    int order = memcmp(x->key, y->key, n);

    return order != 0 ? order : (x->key_length > y->key_length) - (x->key_length < y->key_length);
}

static bool check_keys(Parser *p, const Json *object)
{
    const Json **sorted;
    int n = 0;
    bool fine = true;

    if (object->count < 2)
        return true;
    sorted = nn_new(p->fault, "the keys of an object", (size_t)object->count, sizeof *sorted);
    if (sorted == NULL)
        return false;
    for (const Json *j = object->first; j != NULL; j = j->next)
        sorted[n++] = j;
    qsort(sorted, (size_t)n, sizeof *sorted, key_order);
    for (int i = 1; i < n && fine; i++)
        if (key_order(&sorted[i - 1], &sorted[i]) == 0)
            fine = nn_fail(p->fault, EXIT_FILE, "byte %td: key \"%.100s\" is there twice", p->at - p->start,
                           sorted[i]->key);
    free(sorted);
    return fine;
}

static Json *read_value(Parser *p);

static bool read_member(Parser *p, Json *parent, Json **last)
{
    const char *key = NULL;
    size_t key_length = 0;
    Json *child;

    if (parent->kind == JSON_OBJECT) {
        if (!next_is(p, '"'))
            return wrong(p, "expected a key");
        if (!read_text(p, &key, &key_length))
            return false;
        if (!next_is(p, ':'))
            return wrong(p, "expected ':'");
    }
    child = read_value(p);
    if (child == NULL)
        return false;
    child->key = key;
    child->key_length = key_length;
    *(*last != NULL ? &(*last)->next : &parent->first) = child;
    *last = child;
    parent->count++;
    return true;
}

/* After the opening bracket. */
static Json *read_members(Parser *p, JsonKind kind, char close)
{
    Json *j = node_new(p, kind), *last = NULL;

    if (j == NULL)
        return NULL;
    if (++p->depth > DEEPEST) {
        wrong(p, "nested too deep");
        return NULL;
    }
    if (!next_is(p, close)) {
        do {
            if (!read_member(p, j, &last))
                return NULL;
        } while (next_is(p, ','));
        if (!next_is(p, close)) {
            wrong(p, kind == JSON_OBJECT ? "expected ',' or '}'" : "expected ',' or ']'");
            return NULL;
        }
    }
    p->depth--;
    if (kind == JSON_OBJECT && !check_keys(p, j))
        return NULL;
    return j;
}

static Json *read_value(Parser *p)
{
    Json *j;

    skip_space(p);
    if (p->at == p->end) {
        wrong(p, "the text ends where a value is expected");
        return NULL;
    }
    switch (*p->at) {
    case '{': p->at++; return read_members(p, JSON_OBJECT, '}');
    case '[': p->at++; return read_members(p, JSON_LIST, ']');
    case 't': return read_word(p, "true", JSON_TRUE);
    case 'f': return read_word(p, "false", JSON_FALSE);
    case 'n': return read_word(p, "null", JSON_NULL);
    case '"':
        p->at++;
        j = node_new(p, JSON_TEXT);
        return j != NULL && read_text(p, &j->text, &j->length) ? j : NULL;
    default:
        if (*p->at == '-' || (*p->at >= '0' && *p->at <= '9'))
            return read_number(p);
        wrong(p, "expected a value");
        return NULL;
    }
}

JsonDocument *nn_json_parse(const char *text, size_t n, Fault *f)
{
    JsonDocument *d = nn_new(f, "a JSON text", 1, sizeof *d);
    Parser p = {.start = (const unsigned char *)text, .document = d, .fault = f};

    if (d == NULL)
        return NULL;
    d->pool = nn_new(f, "a JSON text", n + 1, 1);
    if (d->pool == NULL) {
        free(d);
        return NULL;
    }
    p.at = p.start;
    p.end = p.start + n;
    p.pool = d->pool;
    d->root = read_value(&p);
    if (d->root != NULL) {
        skip_space(&p);
        if (p.at == p.end)
            return d;
        wrong(&p, "text after the end");
    }
    nn_json_free(d);
    return NULL;
}

const Json *nn_json_root(const JsonDocument *d) { return d->root; }

void nn_json_free(JsonDocument *d)
{
    if (d == NULL)
        return;
    while (d->blocks != NULL) {
        Block *b = d->blocks;

        d->blocks = b->next;
        free(b);
    }
    free(d->pool);
    free(d);
}

const Json *nn_json_find(const Json *json, const char *key)
{
    size_t n = strlen(key);

    if (json == NULL || json->kind != JSON_OBJECT)
        return NULL;
    for (const Json *j = json->first; j != NULL; j = j->next)
        if (j->key_length == n && memcmp(j->key, key, n) == 0)
            return j;
    return NULL;
}
