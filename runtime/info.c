/* info.c -- the command info: layers with shapes, weights and operations; memory. */
#include "trainer.h"

#include <stdio.h>
#include <string.h>

static int64_t count_numbers(const nn_program *p, nn_kind kind, bool frozen)
{
    int64_t n = 0;

    for (int i = 0; i < p->ntensors; i++)
        if (p->tensors[i].kind == kind && p->tensors[i].frozen == frozen)
            n += nn_shape_size(p->tensors[i].rank, p->tensors[i].shape);
    return n;
}

/* Operations of the outermost layers: those inside are in theirs. */
static int64_t count_operations(const nn_program *p)
{
    int64_t n = 0;
    int least = p->nlayers > 0 ? p->layers[0].depth : 0;

    for (int i = 0; i < p->nlayers; i++)
        least = p->layers[i].depth < least ? p->layers[i].depth : least;
    for (int i = 0; i < p->nlayers; i++)
        if (p->layers[i].depth == least)
            n += p->layers[i].operations;
    return n;
}

/* --- for people --- */

static void print_field(const nn_field *f)
{
    char shape[NN_SHAPE_TEXT];

    printf("%s: %s", f->name, nn_shape_text(shape, f->rank, f->shape));
    if (f->classes > 0)
        printf(", one of %d classes", f->classes);
    printf("%s\n", f->label ? " (label)" : "");
}

/* A layer inside another is shown where it holds weights. */
static bool is_shown(const nn_layer *l) { return l->depth == 0 || l->weights > 0; }

static int widest(const nn_program *p, bool calls)
{
    int most = 5;

    for (int i = 0; i < p->nlayers; i++) {
        const nn_layer *l = &p->layers[i];
        int n = (int)strlen(calls ? l->call : l->name) + (calls ? 0 : 2 * l->depth);

        most = is_shown(l) && n > most ? n : most;
    }
    return most < 44 ? most : 44;
}

static void print_layers(const nn_program *p)
{
    int name = widest(p, false), call = widest(p, true);
    char shape[NN_SHAPE_TEXT], weights[32], operations[32];

    printf("%-*s  %-*s  %-14s %12s %16s  line\n", name, "layer", call, "call", "result", "weights", "operations");
    for (int i = 0; i < p->nlayers; i++) {
        const nn_layer *l = &p->layers[i];

        if (!is_shown(l))
            continue;
        printf("%*s%-*s  %-*s  %-14s %12s %16s  %d\n", 2 * l->depth, "", name - 2 * l->depth, l->name, call, l->call,
               nn_shape_text(shape, l->rank, l->shape), l->weights > 0 ? nn_count_text(weights, l->weights) : "",
               l->operations > 0 ? nn_count_text(operations, l->operations) : "", l->line);
    }
}

static void print_memory(const nn_program *p)
{
    char a[32];

    printf("memory to train: %s (batch %d)\n", nn_bytes_text(a, (double)p->bytes), p->batch);
    printf("memory to predict: %s beside the weights\n", nn_bytes_text(a, (double)p->predict_bytes));
}

static void print_info(const nn_program *p)
{
    int64_t frozen = count_numbers(p, NN_PARAM, true);
    char a[32], b[32];

    printf("%s, %s; compiled by nnc %s for %s\n", p->name, p->source, p->version, p->target);
    for (int i = 0; i < p->nfields; i++)
        print_field(&p->fields[i]);
    printf("\n");
    print_layers(p);
    printf("\nweights: %s to train", nn_count_text(a, count_numbers(p, NN_PARAM, false)));
    if (frozen > 0)
        printf(", %s frozen", nn_count_text(a, frozen));
    printf(", %s in buffers, %s kept by the optimizer\n",
           nn_count_text(a, count_numbers(p, NN_BUFFER, false) + count_numbers(p, NN_BUFFER, true)),
           nn_count_text(b, count_numbers(p, NN_OPTIMIZER, false) + count_numbers(p, NN_OPTIMIZER, true)));
    printf("operations: %s a sample, forward\n", nn_count_text(a, count_operations(p)));
    print_memory(p);
}

/* --- for programs --- */

static void put_text(Text *t, const char *key, const char *text)
{
    nn_text_print(t, "\"%s\":", key);
    nn_text_json(t, text, strlen(text));
}

static void put_shape(Text *t, int rank, const int64_t *shape)
{
    nn_text_print(t, ",\"shape\":[");
    for (int i = 0; i < rank; i++)
        nn_text_print(t, "%s%lld", i > 0 ? "," : "", (long long)shape[i]);
    nn_text_print(t, "]");
}

static void put_fields(const nn_program *p, Text *t)
{
    nn_text_print(t, ",\"fields\":[");
    for (int i = 0; i < p->nfields; i++) {
        const nn_field *f = &p->fields[i];

        nn_text_print(t, i > 0 ? ",{" : "{");
        put_text(t, "name", f->name);
        put_shape(t, f->rank, f->shape);
        nn_text_print(t, ",\"classes\":%d,\"label\":%s,\"line\":%d}", f->classes, f->label ? "true" : "false", f->line);
    }
    nn_text_print(t, "]");
}

static void put_layers(const nn_program *p, Text *t)
{
    nn_text_print(t, ",\"layers\":[");
    for (int i = 0; i < p->nlayers; i++) {
        const nn_layer *l = &p->layers[i];

        nn_text_print(t, i > 0 ? ",{" : "{");
        put_text(t, "name", l->name);
        nn_text_print(t, ",");
        put_text(t, "call", l->call);
        put_shape(t, l->rank, l->shape);
        nn_text_print(t, ",\"weights\":%lld,\"operations\":%lld,\"depth\":%d,\"line\":%d}", (long long)l->weights,
                      (long long)l->operations, l->depth, l->line);
    }
    nn_text_print(t, "]");
}

static void put_tensors(const nn_program *p, Text *t)
{
    static const char *const kinds[] = {"param", "buffer", "optimizer", "metric"};

    nn_text_print(t, ",\"tensors\":[");
    for (int i = 0; i < p->ntensors; i++) {
        const nn_tensor *x = &p->tensors[i];

        nn_text_print(t, i > 0 ? ",{" : "{");
        put_text(t, "name", x->name);
        nn_text_print(t, ",\"kind\":\"%s\"", kinds[x->kind]);
        put_shape(t, x->rank, x->shape);
        nn_text_print(t, ",\"frozen\":%s,\"line\":%d}", x->frozen ? "true" : "false", x->line);
    }
    nn_text_print(t, "]");
}

static bool print_json(const nn_program *p, Fault *f)
{
    Text t = {0};
    bool fine;

    nn_text_print(&t, "{");
    put_text(&t, "model", p->name);
    nn_text_print(&t, ",");
    put_text(&t, "source", p->source);
    nn_text_print(&t, ",");
    put_text(&t, "nnc", p->version);
    nn_text_print(&t, ",");
    put_text(&t, "target", p->target);
    nn_text_print(&t, ",\"batch\":%d,\"weights\":%lld,\"frozen\":%lld,\"operations\":%lld", p->batch,
                  (long long)count_numbers(p, NN_PARAM, false), (long long)count_numbers(p, NN_PARAM, true),
                  (long long)count_operations(p));
    nn_text_print(&t, ",\"bytes\":{\"train\":%zu,\"predict\":%zu,\"prepare\":%zu}", p->bytes, p->predict_bytes,
                  p->prepare_bytes);
    put_fields(p, &t);
    put_layers(p, &t);
    put_tensors(p, &t);
    nn_text_print(&t, "}\n");
    fine = !t.failed || nn_fail_memory(f, "the table", t.n);
    if (fine)
        fputs(t.s, stdout);
    nn_text_free(&t);
    return fine;
}

bool nn_info(Trainer *t, Fault *f)
{
    if (t->options.json)
        return print_json(t->p, f);
    print_info(t->p);
    if (t->options.plan && t->p->plan != NULL)
        printf("\n%s", t->p->plan);
    return true;
}
