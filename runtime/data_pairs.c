/* data_pairs.c -- samples beside others, for nets that compare: pairs(mnist("folder")) and triplets(mnist("folder")).
 *
 * pairs gives every sample of the reader with a partner, half of them of the same class: `image`, `image2`, and `label`,
 * 1 where both are of one class, else 0. triplets gives one of the same class and one of another: `image`, `image2`,
 * `image3`, no label. Every column but the label is doubled like that. Partners are drawn under `seed`, and a sample that
 * is not of the reader's own test split never gets a partner that is. Nothing is copied: partners are numbers. */
#include "data_reader.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn_random.h"

/* The samples of a range by class: those of class k are order[first[k]] to order[first[k + 1] - 1]. */
typedef struct Sorted {
    int classes;
    int64_t from, n, *first, *order;
} Sorted;

static bool sort_classes(const Data *data, int label, int64_t from, int64_t n, Sorted *s, Fault *f)
{
    *s = (Sorted){.classes = data->columns[label].classes, .from = from, .n = n};
    s->first = nn_new(f, "classes", (size_t)s->classes + 2, sizeof *s->first);
    s->order = nn_new(f, "classes", (size_t)n + 1, sizeof *s->order);
    if (f->status != 0)
        return false;
    for (int64_t i = 0; i < n; i++)
        s->first[nn_data_class(data, label, from + i) + 2]++;
    for (int k = 2; k < s->classes + 2; k++)
        s->first[k] += s->first[k - 1];
    for (int64_t i = 0; i < n; i++) /* first[k + 1] moves from the beginning of class k to its end */
        s->order[s->first[nn_data_class(data, label, from + i) + 1]++] = from + i;
    for (int k = 0; k < s->classes; k++)
        if (n > 0 && s->first[k + 1] - s->first[k] == n)
            return nn_fail(f, EXIT_USAGE, "%s: all samples are of one class, so there are no pairs of two", data->origin);
    return true;
}

static int64_t draw_below(uint32_t key, uint32_t *at, int64_t n)
{
    uint64_t bits = (uint64_t)nn_random_bits(key, *at) << 24 | nn_random_bits(key, *at + 1);

    *at += 2;
    return (int64_t)(bits % (uint64_t)n);
}

/* A sample of the class, or of any other one, drawn evenly. */
static int64_t partner(const Sorted *s, int class, bool same, uint32_t key, uint32_t *at)
{
    int64_t first = s->first[class], n = s->first[class + 1] - first;

    if (same)
        return s->order[first + draw_below(key, at, n)];
    int64_t i = draw_below(key, at, s->n - n);
    return s->order[i < first ? i : i + n];
}

/* A column with the samples of these numbers in place of its own. */
static bool show_column(Data *data, int of, int place, const int64_t *which, Fault *f)
{
    Column shown = data->base->columns[of];
    char name[256];

    shown.data = NULL;
    shown.pictures = NULL;
    shown.of = of;
    shown.which = which;
    snprintf(name, sizeof name, place ? "%s%d" : "%s", shown.name, place + 1);
    return nn_column_add(data, name, &shown, 0, f) != NULL;
}

/* The numbers of all partners: `each` for a sample, its own number first. */
static bool draw_partners(const Data *in, int label, int each, uint64_t seed, int64_t *samples, float *same, Fault *f)
{
    int64_t bounds[3] = {0, in->n - in->own_test, in->n};

    for (int part = 0; part < 2 && f->status == 0; part++) {
        Sorted s;
        bool sorted = sort_classes(in, label, bounds[part], bounds[part + 1] - bounds[part], &s, f);

        for (int64_t i = s.from; sorted && i < s.from + s.n; i++) {
            uint32_t key = nn_random_key(seed, (uint64_t)i, 0xba125), at = 0;
            int class = nn_data_class(in, label, i);
            bool alike = each == 3 || draw_below(key, &at, 2) == 1;

            samples[i] = i;
            samples[in->n + i] = partner(&s, class, alike, key, &at);
            if (each == 3)
                samples[2 * in->n + i] = partner(&s, class, false, key, &at);
            else
                same[i] = alike;
        }
        free(s.first);
        free(s.order);
    }
    return f->status == 0;
}

static bool make_pairs(int label, int each, uint64_t seed, Data *data, Fault *f)
{
    const Data *in = data->base;
    float *same = NULL;

    data->n = in->n;
    data->own_test = in->own_test;
    data->chosen = nn_new(f, "pairs", (size_t)(each * in->n), sizeof *data->chosen);
    if (each == 2) {
        Column *c = nn_column_add(data, "label", &(Column){.type = DATA_F32}, in->n, f);
        same = c ? c->data : NULL;
    }
    if (f->status == 0 && draw_partners(in, label, each, seed, data->chosen, same, f))
        for (int k = 0; k < in->ncolumns * each && f->status == 0; k++)
            if (k / each != label)
                show_column(data, k / each, k % each, data->chosen + k % each * in->n, f);
    return f->status == 0;
}

bool nn_read_pairs(const Call *call, Data *data, Fault *f)
{
    int each = strcmp(call->reader, "triplets") == 0 ? 3 : 2, label;
    double seed;
    Data *in;

    if (call->setting[0] == NULL || call->setting[0]->kind != NN_CALL)
        return nn_fail(f, EXIT_USAGE, "%s wants a reader, as in %s(mnist(\"folder\"))", call->reader, call->reader);
    data->base = in = nn_new(f, "pairs", 1, sizeof *in);
    if (!nn_call_number(call, 1, "seed", 0, &seed, f) || in == NULL || !nn_data_open(call->setting[0], call->directory, in, f))
        return false;
    label = nn_data_find(in, "label");
    if (label >= 0 && in->columns[label].classes == 0 && in->columns[label].whole_below > 0)
        in->columns[label].classes = (int)in->columns[label].whole_below;
    if (!(seed >= 0 && seed <= 0x1p53) || seed != floor(seed))
        return nn_fail(f, EXIT_USAGE, "%s: seed should be a whole number, not %g", call->reader, seed);
    if (label < 0 || in->columns[label].classes == 0 || in->columns[label].rank != 0)
        return nn_fail(f, EXIT_USAGE, "%s: %s has no column 'label' with a class for every sample", call->reader, in->origin);
    data->origin = strdup(in->origin);
    return (data->origin != NULL || nn_fail_memory(f, call->reader, 0)) && make_pairs(label, each, (uint64_t)seed, data, f);
}
