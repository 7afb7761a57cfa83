/* gradients.c -- the command check-gradients: the gradients that a training step uses, against differences of the
 * loss.
 *
 * A step does not show its gradients, but what it leaves behind is made of them: the change of a weight over the
 * learning rate (sgd: the gradient itself), or what the optimizer keeps (adam: m = 0.1 g; rmsprop, adagrad: the root
 * of v, with the sign of the change). Which of these it is, and by what factor, is one choice and one number for
 * the whole model, found by a fit that a few wrong parameters cannot sway; weight decay and an l2 penalty add a
 * multiple of the weight. With that choice made, every parameter is compared element by element with central differences of the loss of the same
 * step. Everything is in float: where the difference itself is not sure enough, the element is left out. */
#include "trainer.h"

#include "nn_random.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PROBES = 240, PROBES_PER_TENSOR = 12, STEPS = 8, MOST_KINDS = 24, TERMS = 3 };

/* One element of one parameter. */
typedef struct Probe {
    const nn_tensor *tensor;
    int64_t element;
    double weight;
    double difference, doubt; /* the derivative by differences, and how unsure that is */
    double scale;             /* how large the gradients of this parameter are: the measure of its errors */
    double seen[MOST_KINDS];  /* what might be the gradient */
} Probe;

/* One way to read gradients out of a context after its first step. */
typedef struct Kind {
    char rest[80]; /* the name of the optimizer's state without that of the parameter; "": change of the weight */
    bool root;
    double factor[TERMS]; /* gradient = f0 seen + f1 weight of matrices + f2 other weights */
    double error;         /* what does not fit: 0 to 1 */
} Kind;

typedef struct Check {
    Trainer *t;
    int n; /* samples in the batch */
    void **fields;
    char *start; /* the context before the step */
    Probe probes[MOST_PROBES];
    int nprobes;
    Kind kinds[MOST_KINDS];
    int nkinds;
    bool decays;
} Check;

static double get(const void *ctx, const nn_tensor *t, int64_t i)
{
    const char *at = (const char *)ctx + t->offset;
    int64_t width = t->rank > 0 ? t->shape[t->rank - 1] : 1;

    if (t->rank == 0)
        return *(const double *)(const void *)at;
    return (double)((const float *)(const void *)at)[t->rank > 1 ? i / width * t->row + i % width : i];
}

static void set(void *ctx, const nn_tensor *t, int64_t i, double x)
{
    char *at = (char *)ctx + t->offset;
    int64_t width = t->rank > 0 ? t->shape[t->rank - 1] : 1;

    if (t->rank == 0)
        *(double *)(void *)at = x;
    else
        ((float *)(void *)at)[t->rank > 1 ? i / width * t->row + i % width : i] = (float)x;
}

static int64_t size_of(const nn_tensor *t) { return nn_shape_size(t->rank, t->shape); }

/* --- the loss of the first step --- */

static bool run_step(Check *c, double *loss, Fault *f)
{
    Trainer *t = c->t;
    int status = t->p->reset(t->ctx);

    if (status == NN_OK)
        status = t->p->step(t->ctx, (const void *const *)c->fields, c->n);
    if (status == NN_OK)
        status = t->p->report(t->ctx);
    if (status != NN_OK)
        return nn_trainer_fail(t, status, "a step", f);
    *loss = *nn_trainer_metric(t, 0);
    return true;
}

static void go_back(Check *c) { memcpy(c->t->ctx, c->start, c->t->p->bytes); }

static bool loss_at(Check *c, const Probe *q, double h, double *loss, double *moved, Fault *f)
{
    go_back(c);
    set(c->t->ctx, q->tensor, q->element, q->weight + h);
    *moved = get(c->t->ctx, q->tensor, q->element); /* rounded to a float */
    return run_step(c, loss, f);
}

/* Central differences over steps that halve: of three neighbours the ones that agree best are believed, and their
 * disagreement is the doubt. Long steps cross the kinks of relu and max, short ones drown in rounding. */
static bool differentiate(Check *c, Probe *q, double scale, Fault *f)
{
    const double rounding = 0x1p-24; /* of the loss, a float for each sample */
    double d[STEPS], h = 0.2 * scale;

    q->doubt = (double)INFINITY;
    for (int i = 0; i < STEPS; i++, h /= 2) {
        double up, down, high, low, doubt;

        if (!loss_at(c, q, h, &up, &high, f) || !loss_at(c, q, -h, &down, &low, f))
            return false;
        d[i] = (up - down) / (high - low);
        if (i < 2)
            continue;
        doubt = fabs(d[i] - d[i - 1]) + fabs(d[i - 1] - d[i - 2]) + rounding * (fabs(up) + fabs(down)) / (high - low);
        if (doubt < q->doubt) {
            q->doubt = doubt;
            q->difference = d[i];
        }
    }
    return true;
}

/* --- what the step leaves behind --- */

/* The state of the optimizer that belongs to a parameter, by name and shape; NULL: there is none of this kind. */
static const nn_tensor *find_state(const nn_program *p, const nn_tensor *w, const Kind *k)
{
    for (int i = 0; i < p->ntensors; i++) {
        const nn_tensor *s = &p->tensors[i];
        const char *at = s->kind == NN_OPTIMIZER ? strstr(s->name, w->name) : NULL;
        size_t before = at != NULL ? (size_t)(at - s->name) : 0;

        if (at != NULL && nn_shape_equal(s->rank, s->shape, w->rank, w->shape) && strlen(k->rest) >= before &&
            strncmp(s->name, k->rest, before) == 0 && strcmp(at + strlen(w->name), k->rest + before) == 0)
            return s;
    }
    return NULL;
}

static void add_kind(Check *c, const char *rest, bool root)
{
    Kind *k = &c->kinds[c->nkinds];

    if (c->nkinds == MOST_KINDS)
        return;
    *k = (Kind){.root = root};
    snprintf(k->rest, sizeof k->rest, "%s", rest);
    c->nkinds++;
}

static void find_kinds(Check *c)
{
    const nn_program *p = c->t->p;
    const nn_tensor *w = c->probes[0].tensor;

    add_kind(c, "", false);
    for (int i = 0; i < p->ntensors; i++) {
        const nn_tensor *s = &p->tensors[i];
        const char *at = s->kind == NN_OPTIMIZER ? strstr(s->name, w->name) : NULL;
        char rest[80];

        if (at == NULL || !nn_shape_equal(s->rank, s->shape, w->rank, w->shape))
            continue;
        snprintf(rest, sizeof rest, "%.*s%s", (int)(at - s->name), s->name, at + strlen(w->name));
        add_kind(c, rest, false);
        add_kind(c, rest, true);
    }
}

/* A learning rate so large that the old weight does not blur the change. */
static bool look_at_step(Check *c, Fault *f)
{
    Trainer *t = c->t;
    const double huge = 1048576;
    double loss, lr;

    go_back(c);
    t->scalars[NN_BASE_LR] = huge;
    if (!run_step(c, &loss, f))
        return false;
    lr = t->scalars[NN_LR];
    for (int i = 0; i < c->nprobes; i++) {
        Probe *q = &c->probes[i];
        double change = q->weight - get(t->ctx, q->tensor, q->element);

        for (int k = 0; k < c->nkinds; k++) {
            const nn_tensor *s = find_state(t->p, q->tensor, &c->kinds[k]);
            double x = s != NULL ? get(t->ctx, s, q->element) : 0;

            q->seen[k] = k == 0 ? (lr != 0 ? change / lr : 0) : c->kinds[k].root ? copysign(sqrt(fabs(x)), change) : x;
        }
    }
    return true;
}

/* --- the fit --- */

static void terms_of(const Probe *q, int kind, double term[TERMS])
{
    term[0] = q->seen[kind];
    term[1] = q->tensor->rank >= 2 ? q->weight : 0;
    term[2] = q->tensor->rank >= 2 ? 0 : q->weight;
}

/* Gauss and Jordan on the normal equations; a term that nothing depends on gets factor 0. */
static void solve(double a[TERMS][TERMS + 1], int n, double *x)
{
    for (int i = 0; i < n; i++) {
        double pivot = a[i][i];

        if (pivot <= 1e-30)
            continue;
        for (int j = 0; j <= TERMS; j++)
            a[i][j] /= pivot;
        for (int k = 0; k < n; k++) {
            double m = a[k][i];

            for (int j = 0; j <= TERMS && k != i; j++)
                a[k][j] -= m * a[i][j];
        }
    }
    for (int i = 0; i < TERMS; i++)
        x[i] = i < n && a[i][i] > 0 ? a[i][TERMS] : 0;
}

static double gradient_of(const Check *c, const Probe *q, const Kind *k)
{
    double term[TERMS], g = 0;

    terms_of(q, (int)(k - c->kinds), term);
    for (int i = 0; i < TERMS; i++)
        g += k->factor[i] * term[i];
    return g;
}

/* Relative to the gradients of its parameter. */
static double error_of(const Check *c, const Probe *q, const Kind *k)
{
    return q->scale > 0 ? fabs(q->difference - gradient_of(c, q, k)) / q->scale : 0;
}

/* One round of least squares, where what fitted badly in the round before counts less. */
static void fit_once(Check *c, Kind *k, bool first)
{
    double a[TERMS][TERMS + 1] = {{0}};

    for (int p = 0; p < c->nprobes; p++) {
        const Probe *q = &c->probes[p];
        double term[TERMS], e = first ? 1 : error_of(c, q, k), weight;

        if (!(q->scale > 0))
            continue;
        weight = 1 / (q->scale * q->scale * (e > 1e-4 ? e : 1e-4));
        terms_of(q, (int)(k - c->kinds), term);
        for (int i = 0; i < TERMS; i++) {
            for (int j = 0; j < TERMS; j++)
                a[i][j] += weight * term[i] * term[j];
            a[i][TERMS] += weight * term[i] * q->difference;
        }
    }
    solve(a, c->decays ? TERMS : 1, k->factor);
}

/* Reweighted rounds come to the least sum of absolute errors, which outliers do not sway. */
static void fit(Check *c, Kind *k)
{
    for (int round = 0; round < 30; round++)
        fit_once(c, k, round == 0);
    k->error = k->factor[0] > 0 ? 0 : 2;
    for (int p = 0; p < c->nprobes; p++) {
        double e = error_of(c, &c->probes[p], k);

        k->error += (e < 1 ? e : 1) / c->nprobes;
    }
}

static const Kind *best_kind(Check *c)
{
    const Kind *best = &c->kinds[0];

    for (int i = 0; i < c->nkinds; i++) {
        fit(c, &c->kinds[i]);
        if (c->kinds[i].error < best->error)
            best = &c->kinds[i];
    }
    return best;
}

/* --- probes --- */

static double rms_of(const Check *c, const nn_tensor *t)
{
    double sum = 0;

    for (int64_t i = 0; i < size_of(t); i++)
        sum += get(c->start, t, i) * get(c->start, t, i);
    return sqrt(sum / (double)size_of(t));
}

static bool probe_tensor(Check *c, const nn_tensor *t, int each, uint64_t seed, Fault *f)
{
    double rms = rms_of(c, t), scale = rms > 0.05 ? rms : 0.05;
    uint32_t key = nn_random_key(seed, 0, (uint32_t)t->offset);
    int64_t size = size_of(t);

    for (int i = 0; i < each && i < size && c->nprobes < MOST_PROBES; i++) {
        Probe *q = &c->probes[c->nprobes++];
        /* Small tensors element by element, large ones at random places. */
        int64_t at = size <= each ? i : (int64_t)((uint64_t)nn_random_bits(key, (uint32_t)(2 * i)) << 24 |
                                                  nn_random_bits(key, (uint32_t)(2 * i + 1))) % size;

        *q = (Probe){.tensor = t, .element = at, .weight = get(c->start, t, at)};
        if (!differentiate(c, q, scale, f))
            return false;
    }
    return true;
}

static void measure_scales(Check *c)
{
    for (int i = 0; i < c->nprobes; i++) {
        double sum = 0;
        int n = 0;

        for (int j = 0; j < c->nprobes; j++) {
            if (c->probes[j].tensor != c->probes[i].tensor)
                continue;
            sum += c->probes[j].difference * c->probes[j].difference;
            n++;
        }
        c->probes[i].scale = sqrt(sum / n);
    }
}

static bool is_probed(const nn_tensor *t) { return t->kind == NN_PARAM && !t->frozen && size_of(t) > 0; }

static bool probe_all(Check *c, Fault *f)
{
    const nn_program *p = c->t->p;
    int n = 0, each;

    for (int i = 0; i < p->ntensors; i++)
        n += is_probed(&p->tensors[i]);
    if (n == 0)
        return nn_fail(f, EXIT_USAGE, "%s has no weights to train", p->name);
    each = MOST_PROBES / n > PROBES_PER_TENSOR ? PROBES_PER_TENSOR : MOST_PROBES / n > 1 ? MOST_PROBES / n : 1;
    for (int i = 0; i < p->ntensors; i++)
        if (is_probed(&p->tensors[i]) && !probe_tensor(c, &p->tensors[i], each, c->t->settings.seed, f))
            return false;
    measure_scales(c);
    return true;
}

/* --- the verdict --- */

/* Prints the line of one parameter; false: its gradient is wrong. */
static bool judge(const Check *c, const Kind *k, const nn_tensor *t, double tolerance, int *sure)
{
    double scale = 0, worst = 0;
    int n = 0;

    for (int i = 0; i < c->nprobes; i++) {
        const Probe *q = &c->probes[i];

        if (q->tensor != t)
            continue;
        scale = q->scale;
        if (!(q->doubt < tolerance * scale / 4))
            continue;
        n++;
        worst = error_of(c, q, k) > worst ? error_of(c, q, k) : worst;
    }
    *sure += n;
    printf("%-32s %3d elements  gradient %-9.3g error %-9.2g %s\n", t->name, n, scale, worst,
           n == 0 ? "unsure" : worst <= tolerance ? "right" : "WRONG");
    return worst <= tolerance;
}

/* "m" of "optimizer..m". */
static const char *state_name(const Kind *k)
{
    const char *name = k->rest;

    if (strncmp(name, "optimizer.", 10) == 0)
        name += 10;
    return name + strspn(name, ".");
}

static void print_kind(const Kind *k)
{
    if (k->rest[0] == '\0')
        printf("gradients read from the change of the weights / learning rate");
    else
        printf("gradients read from %s%s, which the optimizer keeps", k->root ? "the root of " : "", state_name(k));
    printf(", times %.4g\n", k->factor[0]);
}

static bool report(Check *c, Fault *f)
{
    const nn_program *p = c->t->p;
    double tolerance = c->t->options.tolerance.given ? c->t->options.tolerance.value : 0.1;
    const Kind *k = best_kind(c);
    int wrong = 0, sure = 0;

    print_kind(k);
    for (int i = 0; i < p->ntensors; i++)
        if (is_probed(&p->tensors[i]))
            wrong += !judge(c, k, &p->tensors[i], tolerance, &sure);
    printf("tolerance %g of a parameter's typical gradient; %d of %d elements could be judged in float\n"
           "finer, in double, of the equations: nnc check-gradients %s\n", tolerance, sure, c->nprobes, p->source);
    if (wrong > 0)
        return nn_fail(f, EXIT_WRONG, "%d gradient%s of %s differ%s from the differences of the loss", wrong,
                       wrong == 1 ? "" : "s", p->name, wrong == 1 ? "s" : "");
    return true;
}

/* --- the command --- */

static bool has_part(const nn_value *v, const char *name)
{
    for (int i = 0; i < v->n; i++)
        if ((v->kind == NN_CALL && v->names != NULL && v->names[i] != NULL && strcmp(v->names[i], name) == 0) ||
            has_part(&v->parts[i], name))
            return true;
    return v->kind == NN_CALL && v->text != NULL && strcmp(v->text, name) == 0;
}

static bool prepare(Check *c, Fault *f)
{
    Trainer *t = c->t;
    const nn_setting *penalty = nn_setting_find(t->p->train, t->p->ntrain, "penalty");
    const nn_setting *optimizer = nn_setting_find(t->p->train, t->p->ntrain, "optimizer");
    int64_t n;

    if (penalty != NULL && strstr(penalty->text, "l1") != NULL)
        return nn_fail(f, EXIT_USAGE, "%s:%d:%d: an l1 penalty cannot be told from the gradient; take it out for this check",
                       t->p->source, penalty->line, penalty->column);
    c->decays = penalty != NULL || (optimizer != NULL && has_part(&optimizer->value, "decay")) ||
                (optimizer != NULL && strcmp(optimizer->value.text != NULL ? optimizer->value.text : "", "adamw") == 0);
    if (!nn_trainer_open_data(t, false, f) || !nn_trainer_init(t, t->settings.seed, f))
        return false;
    n = t->samples.split.n[SPLIT_TRAIN];
    c->n = (int)(n < t->p->batch ? n : t->p->batch);
    nn_samples_shuffle(&t->samples, t->settings.seed, 0);
    nn_ahead_begin(&t->ahead, t->samples.shuffled, 0, c->n, NULL);
    c->fields = nn_ahead_next(&t->ahead, &c->n, f);
    if (c->fields == NULL)
        return false;
    t->scalars[NN_COUNT] = t->scalars[NN_TOTAL] = c->n;
    t->scalars[NN_LAST] = 1;
    t->scalars[NN_STEPS] = 0;
    t->scalars[NN_EPOCH] = 1;
    t->scalars[NN_STEPS_PER_EPOCH] = (double)((n + t->p->batch - 1) / t->p->batch);
    t->scalars[NN_TOTAL_STEPS] = t->scalars[NN_STEPS_PER_EPOCH] * (double)t->settings.epochs;
    t->scalars[NN_VALID_LOSS] = (double)INFINITY;
    c->start = nn_new(f, "a copy of the model", t->p->bytes, 1);
    if (c->start == NULL)
        return false;
    memcpy(c->start, t->ctx, t->p->bytes);
    return true;
}

bool nn_check_gradients(Trainer *t, Fault *f)
{
    Check *c = nn_new(f, "the check", 1, sizeof *c);
    bool fine = c != NULL;

    if (fine) {
        c->t = t; /* with phases, of the last: it leaves the least frozen, as a rule */
        fine = nn_trainer_phase(t, t->p->nphases > 0 ? t->p->nphases - 1 : 0, f) && prepare(c, f) && probe_all(c, f);
    }
    if (fine) {
        find_kinds(c);
        fine = look_at_step(c, f) && report(c, f);
    }
    if (c != NULL)
        free(c->start);
    free(c);
    return fine;
}
