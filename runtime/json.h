/* json.h -- a strict reader of JSON (RFC 8259), for checkpoints' headers and config.json.
 *
 * What is not JSON is refused with the byte where it stops being JSON: duplicate keys, lone surrogates, invalid
 * UTF-8, numbers such as 01, text after the end, more than 64 levels. Memory is proportional to the text. */
#ifndef NN_JSON_H
#define NN_JSON_H

#include "support.h"

typedef enum { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_TEXT, JSON_LIST, JSON_OBJECT } JsonKind;

typedef struct Json {
    JsonKind kind;
    double number;
    int64_t integer;    /* valid if whole: written with digits (and sign) only, and within int64_t */
    bool whole;
    const char *text;   /* TEXT, decoded; it ends in NUL, and may hold NULs before */
    size_t length;
    const char *key;    /* in an object */
    size_t key_length;
    int count;          /* children */
    struct Json *first, *next;
} Json;

typedef struct JsonDocument JsonDocument;

/* The text need not end in NUL. The document owns everything that it gives out, and needs the text no more. */
JsonDocument *nn_json_parse(const char *text, size_t n, Fault *f);
const Json *nn_json_root(const JsonDocument *d);
void nn_json_free(JsonDocument *d);

/* The child with that key; NULL if there is none (or json is NULL or not an object). */
const Json *nn_json_find(const Json *json, const char *key);

#endif
