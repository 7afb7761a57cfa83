/* checkpoint.c -- see checkpoint.h. */
#include "checkpoint.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { LONGEST_NAME = 600 };

static const char *prefix_of(const nn_tensor *t)
{
    if (t->kind == NN_METRIC)
        return "metric.";
    return t->kind == NN_OPTIMIZER && strncmp(t->name, "optimizer.", 10) != 0 ? "optimizer." : "";
}

static bool is_kept(const nn_tensor *t, Keep keep)
{
    return t->kind == NN_METRIC ? keep == KEEP_SUMS : t->kind == NN_OPTIMIZER ? keep >= KEEP_STATE : true;
}

bool nn_checkpoint_build(const nn_program *p, const void *ctx, Keep keep, const char *notes, StSource *sources,
                         StImage *image, Fault *f)
{
    int n = 0;

    for (int i = 0; i < p->ntensors; i++) {
        const nn_tensor *t = &p->tensors[i];

        if (is_kept(t, keep))
            sources[n++] = (StSource){prefix_of(t), t->name, t->rank, t->shape, t->row,
                                      (const char *)ctx + t->offset};
    }
    return nn_safetensors_build(image, sources, n, notes, f);
}

bool nn_checkpoint_open(const char *path, Checkpoint *c, Fault *f)
{
    Fault why = {0};

    *c = (Checkpoint){.path = path};
    if (!nn_file_read(path, (size_t)1 << 46, &c->bytes, f))
        return false;
    if (nn_safetensors_parse(c->bytes.at, c->bytes.n, &c->st, &why))
        return true;
    free(c->bytes.at);
    c->bytes = (Bytes){0};
    return nn_fail(f, why.status, "cannot use %s: %s", path, why.text);
}

void nn_checkpoint_close(Checkpoint *c)
{
    nn_safetensors_free(&c->st);
    free(c->bytes.at);
    *c = (Checkpoint){0};
}

/* --- loading --- */

static const char *name_in_file(const nn_tensor *t, char name[LONGEST_NAME])
{
    snprintf(name, LONGEST_NAME, "%s%s", prefix_of(t), t->name);
    return name;
}

static bool check_tensor(const nn_program *p, const Checkpoint *c, const nn_tensor *t, Fault *f)
{
    char name[LONGEST_NAME], mine[NN_SHAPE_TEXT], its[NN_SHAPE_TEXT];
    const StTensor *s = nn_safetensors_find(&c->st, name_in_file(t, name));

    if (s == NULL)
        return nn_fail(f, EXIT_FILE, "%s does not hold %s (%s), which %s:%d wants", c->path, name,
                       nn_shape_text(mine, t->rank, t->shape), p->source, t->line);
    if (!nn_shape_equal(t->rank, t->shape, s->rank, s->shape))
        return nn_fail(f, EXIT_FILE, "%s: %s is %s there, but %s in %s:%d", c->path, name,
                       nn_shape_text(its, s->rank, s->shape), nn_shape_text(mine, t->rank, t->shape), p->source,
                       t->line);
    if (!nn_safetensors_has_numbers(s))
        return nn_fail(f, EXIT_FILE, "%s: %s holds %s, not numbers", c->path, name, s->dtype);
    return true;
}

/* PyTorch counts the batches that a normalisation has seen; nobody reads the count. */
static bool is_counter(const char *name)
{
    static const char end[] = ".num_batches_tracked";
    size_t n = strlen(name);

    return n >= sizeof end - 1 && strcmp(name + n - (sizeof end - 1), end) == 0;
}

static bool is_known(const nn_program *p, const char *name)
{
    char mine[LONGEST_NAME];

    for (int i = 0; i < p->ntensors; i++)
        if (strcmp(name_in_file(&p->tensors[i], mine), name) == 0)
            return true;
    return is_counter(name);
}

static bool check_tensors(const nn_program *p, const Checkpoint *c, Keep keep, Fault *f)
{
    for (int i = 0; i < p->ntensors; i++)
        if (is_kept(&p->tensors[i], keep) && !check_tensor(p, c, &p->tensors[i], f))
            return false;
    for (int i = 0; i < c->st.n; i++) {
        const char *name = c->st.tensors[i].name;
        bool other = strncmp(name, "optimizer.", 10) == 0 || strncmp(name, "metric.", 7) == 0;

        if (!is_known(p, name) && !(other && keep == KEEP_WEIGHTS))
            return nn_fail(f, EXIT_FILE, "%s holds %.200s, which is not in %s", c->path, name, p->source);
    }
    return true;
}

static void copy_tensor(const StTensor *from, const nn_tensor *t, void *ctx)
{
    char *to = (char *)ctx + t->offset;
    int64_t width = t->rank > 0 ? t->shape[t->rank - 1] : 1;
    int64_t n = nn_shape_size(t->rank, t->shape), row = t->rank > 1 ? t->row : width;

    if (t->rank == 0) {
        double x = nn_safetensors_number(from, 0);

        memcpy(to, &x, sizeof x);
    } else if (strcmp(from->dtype, "F32") == 0) {
        for (int64_t i = 0; i < n; i += width)
            memcpy(to + i / width * row * (int64_t)sizeof(float), from->data + (size_t)i * sizeof(float),
                   (size_t)width * sizeof(float));
    } else {
        for (int64_t i = 0; i < n; i++)
            ((float *)(void *)to)[i / width * row + i % width] = (float)nn_safetensors_number(from, (size_t)i);
    }
}

bool nn_checkpoint_load(const nn_program *p, const Checkpoint *c, Keep keep, void *ctx, Fault *f)
{
    char name[LONGEST_NAME];

    if (!check_tensors(p, c, keep, f))
        return false;
    for (int i = 0; i < p->ntensors; i++)
        if (is_kept(&p->tensors[i], keep))
            copy_tensor(nn_safetensors_find(&c->st, name_in_file(&p->tensors[i], name)), &p->tensors[i], ctx);
    return true;
}

/* --- parts of a file --- */

/* The name of a tensor inside the layer, or NULL where it is not of the layer. */
static const char *name_inside(const nn_tensor *t, const char *layer)
{
    size_t n = layer != NULL ? strlen(layer) : 0;

    if (t->kind != NN_PARAM && t->kind != NN_BUFFER)
        return NULL;
    if (n == 0)
        return t->name;
    return strncmp(t->name, layer, n) == 0 && t->name[n] == '.' ? t->name + n + 1 : NULL;
}

/* prefix.name of the file; the prefix is `n` characters of `prefix` and may be none. */
static const StTensor *find_inside(const Checkpoint *c, const char *prefix, size_t n, const char *name)
{
    char whole[LONGEST_NAME];

    snprintf(whole, sizeof whole, "%.*s%s%s", (int)n, prefix, n > 0 ? "." : "", name);
    return nn_safetensors_find(&c->st, whole);
}

/* The first tensor of the layer that the file does not have under the prefix, or NULL. */
static const nn_tensor *first_missing(const nn_program *p, const Checkpoint *c, const char *layer, const char *prefix, size_t n)
{
    for (int i = 0; i < p->ntensors; i++) {
        const char *name = name_inside(&p->tensors[i], layer);

        if (name != NULL && !is_counter(name) && find_inside(c, prefix, n, name) == NULL)
            return &p->tensors[i];
    }
    return NULL;
}

/* The one prefix under which the file has all of the layer. */
static bool find_prefix(const nn_program *p, const Checkpoint *c, const char *layer, const char **prefix, size_t *n, Fault *f)
{
    const nn_tensor *first = first_missing(p, c, layer, "\n", 1); /* no file has that */
    const char *name = first != NULL ? name_inside(first, layer) : "";
    size_t length = strlen(name);

    *prefix = NULL;
    for (int i = 0; i < c->st.n && first != NULL; i++) {
        const char *its = c->st.tensors[i].name;
        size_t all = strlen(its), before = all - length;

        if (all < length || strcmp(its + before, name) != 0 || (before > 0 && its[before - 1] != '.'))
            continue;
        before -= before > 0;
        if (first_missing(p, c, layer, its, before) != NULL)
            continue;
        if (*prefix != NULL)
            return nn_fail(f, EXIT_FILE, "%s has such weights more than once, as '%.*s' and as '%.*s': say which, from = ...", c->path,
                           (int)*n, *prefix, (int)before, its);
        *prefix = its;
        *n = before;
    }
    if (*prefix == NULL && first != NULL)
        return nn_fail(f, EXIT_FILE, "%s does not hold the weights of %s: %s and those that belong with it", c->path,
                       layer != NULL ? layer : p->name, name);
    return first != NULL || nn_fail(f, EXIT_FILE, "%s has no weights to load", layer != NULL ? layer : p->name);
}

bool nn_checkpoint_fill(const nn_program *p, const Checkpoint *c, const char *into, const char *from, void *ctx, Fault *f)
{
    size_t n = from != NULL ? strlen(from) : 0;
    const nn_tensor *missing;

    if (from == NULL && !find_prefix(p, c, into, &from, &n, f))
        return false;
    missing = first_missing(p, c, into, from, n);
    if (missing != NULL)
        return nn_fail(f, EXIT_FILE, "%s does not hold %.*s%s%s", c->path, (int)n, from, n > 0 ? "." : "", name_inside(missing, into));
    for (int pass = 0; pass < 2; pass++) /* nothing is copied unless all fits */
        for (int i = 0; i < p->ntensors; i++) {
            const nn_tensor *t = &p->tensors[i];
            const char *name = name_inside(t, into);
            const StTensor *s = name != NULL ? find_inside(c, from, n, name) : NULL;
            char mine[NN_SHAPE_TEXT], its[NN_SHAPE_TEXT];

            if (s == NULL)
                continue;
            if (!nn_shape_equal(t->rank, t->shape, s->rank, s->shape))
                return nn_fail(f, EXIT_FILE, "%s: %s is %s there, but %s is %s in %s:%d", c->path, s->name,
                               nn_shape_text(its, s->rank, s->shape), t->name, nn_shape_text(mine, t->rank, t->shape), p->source, t->line);
            if (!nn_safetensors_has_numbers(s))
                return nn_fail(f, EXIT_FILE, "%s: %s holds %s, not numbers", c->path, s->name, s->dtype);
            if (pass == 1)
                copy_tensor(s, t, ctx);
        }
    return true;
}

/* --- notes --- */

bool nn_checkpoint_number(const Checkpoint *c, const char *key, double *number, Fault *f)
{
    const char *s = nn_safetensors_note(&c->st, key);
    char *end;

    if (s == NULL)
        return nn_fail(f, EXIT_FILE, "%s does not say its %s: a training cannot go on from it", c->path, key);
    *number = strtod(s, &end);
    if (end == s || *end != '\0')
        return nn_fail(f, EXIT_FILE, "%s: its %s is '%.40s', not a number", c->path, key, s);
    return true;
}

bool nn_checkpoint_count(const Checkpoint *c, const char *key, int64_t *count, Fault *f)
{
    double x;

    if (!nn_checkpoint_number(c, key, &x, f))
        return false;
    if (!(x >= 0 && x <= 9007199254740992.0) || x != floor(x))
        return nn_fail(f, EXIT_FILE, "%s: its %s is no count", c->path, key);
    *count = (int64_t)x;
    return true;
}

/* --- looking at the context --- */

static bool tensor_is_finite(const nn_tensor *t, const void *ctx)
{
    const char *at = (const char *)ctx + t->offset;
    int64_t width = t->rank > 0 ? t->shape[t->rank - 1] : 1, n = nn_shape_size(t->rank, t->shape);
    double number;

    if (t->rank == 0) {
        memcpy(&number, at, sizeof number);
        return isfinite(number);
    }
    for (int64_t i = 0; i < n; i += width) {
        const float *row = (const float *)(const void *)at + (t->rank > 1 ? i / width * t->row : 0);
        float sum = 0; /* 0 * x is 0 for finite x, and nan for the others */

        for (int64_t j = 0; j < width; j++)
            sum += 0 * row[j];
        if (sum != 0)
            return false;
    }
    return true;
}

const nn_tensor *nn_tensor_not_finite(const nn_program *p, const void *ctx)
{
    for (int i = 0; i < p->ntensors; i++)
        if ((p->tensors[i].kind == NN_PARAM || p->tensors[i].kind == NN_BUFFER) &&
            !tensor_is_finite(&p->tensors[i], ctx))
            return &p->tensors[i];
    return NULL;
}

static uLong hash_text(uLong h, const char *s) { return crc32_z(h, (const Bytef *)s, strlen(s) + 1); }

uint32_t nn_program_fingerprint(const nn_program *p)
{
    uLong h = hash_text(0, p->name);

    h = crc32_z(h, (const Bytef *)&p->batch, sizeof p->batch);
    for (int i = 0; i < p->ntensors; i++) {
        h = hash_text(h, p->tensors[i].name);
        h = crc32_z(h, (const Bytef *)p->tensors[i].shape, (size_t)p->tensors[i].rank * sizeof(int64_t));
    }
    for (int i = 0; i < p->nlayers; i++)
        h = hash_text(h, p->layers[i].call);
    for (int i = 0; i < p->ntrain && p->nphases == 0; i++)
        h = hash_text(hash_text(h, p->train[i].name), p->train[i].text);
    for (int k = 0; k < p->nphases; k++)
        for (int i = 0; i < p->phases[k].ntrain; i++)
            h = hash_text(hash_text(h, p->phases[k].train[i].name), p->phases[k].train[i].text);
    for (int i = 0; i < p->ndata; i++)
        h = hash_text(hash_text(h, p->data[i].name), p->data[i].text);
    for (int i = 0; i < p->noptions; i++)
        h = hash_text(hash_text(h, p->options[i].name), p->options[i].text);
    return (uint32_t)h;
}
