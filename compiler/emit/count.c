/* count.c -- numbers about a program that headers and tables repeat. */
#include "emit/parts.h"

int64_t field_count(const Field *f)
{
    int64_t n = 1;

    for (int i = 0; i < f->rank; i++)
        n *= f->size[i];
    return n;
}

const char *field_type(const Field *f) { return f->classes > 0 ? "int32_t" : "float"; }

static int64_t kept_count(const Kept *k)
{
    int64_t n = 1;

    for (int i = 0; i < k->rank; i++)
        n *= k->size[i];
    return n;
}

int64_t count_weights(const Program *p)
{
    int64_t n = 0;

    for (int i = 0; i < p->kept.n; i++)
        if (p->kept.at[i].kind == KEPT_PARAM && !p->kept.at[i].frozen)
            n += kept_count(&p->kept.at[i]);
    return n;
}

int count_measured(const Program *p)
{
    int n = 0;

    for (int i = 0; i < p->kept.n; i++)
        n += p->kept.at[i].measure != MEASURE_NONE;
    return n;
}

static bool layer_inside(const Layer *l, const Layer *outer)
{
    while (l && l != outer)
        l = l->parent;
    return l != NULL;
}

int64_t layer_weights(const Program *p, const Layer *l)
{
    int64_t n = 0;

    for (int i = 0; i < p->kept.n; i++)
        if (p->kept.at[i].kind == KEPT_PARAM && layer_inside(p->kept.at[i].layer, l))
            n += kept_count(&p->kept.at[i]);
    return n;
}

/* Every operation counts one, subscripts nothing; comparisons and choices are operations too. */
static int64_t expr_operations(const Expr *e)
{
    int64_t n = e->kind == EXPR_OP;

    if (e->kind == EXPR_OP)
        for (int i = 0; i < e->nargs; i++)
            n += expr_operations(e->args[i]);
    return n;
}

static const Layer *param_layer(const Program *p, const Expr *e)
{
    if (e->kind == EXPR_LOAD && e->tensor->role == ROLE_PARAM)
        return program_kept(p, e->tensor->name)->layer;
    const Layer *l = NULL;
    for (int i = 0; e->kind == EXPR_OP && i < e->nargs && !l; i++)
        l = param_layer(p, e->args[i]);
    return l;
}

/* Graphs have Layer objects of their own: the same layer has the same name. */
static void add_operations(const Program *p, int64_t *n, const Layer *l, int64_t operations)
{
    for (; l; l = l->parent)
        for (int k = 0; k < p->layers.n; k++)
            if (strcmp(p->layers.at[k]->name, l->name) == 0)
                n[k] += operations;
}

/* After fusion an equation may hold several layers: dense in its sum, tanh in its tail. The sum belongs to the layer whose
 * parameter it reads. */
int64_t *layer_operations(const Program *p)
{
    int64_t *n = NEW_ARRAY(p->arena, int64_t, p->layers.n + 1);

    for (int i = 0; p->predict && i < p->predict->equations.n; i++) {
        const Equation *q = p->predict->equations.at[i];
        const Layer *l = q->how == EQ_MAP ? NULL : param_layer(p, q->value);
        int64_t points = 1, results = 1;
        for (int j = 0; j < q->nbox; j++)
            points *= q->box[j]->batch ? 1 : q->box[j]->size;
        for (int j = q->out->batched; j < q->out->rank; j++)
            results *= q->out->size[j];
        add_operations(p, n, l ? l : q->layer, points * (expr_operations(q->value) + (q->how != EQ_MAP)));
        if (q->tail)
            add_operations(p, n, q->layer, results * expr_operations(q->tail));
    }
    return n;
}

const Output *prepared_outputs(const Program *p, int *n)
{
    *n = 0;
    if (!p->prepare)
        return NULL;
    Output *list = NEW_ARRAY(p->arena, Output, p->prepare->tensors.n + 1);
    for (int i = 0; i < p->prepare->tensors.n; i++) {
        const Tensor *t = p->prepare->tensors.at[i];
        if (!t->wanted || !t->batched)
            continue;
        Output *o = &list[(*n)++];
        o->name = o->tensor = t->name;
        o->rank = t->rank - 1;
        for (int a = 1; a < t->rank; a++)
            o->size[a - 1] = t->size[a];
    }
    return list;
}

static const Value *call_part(const Value *call, const char *name)
{
    for (int i = 0; i < call->n; i++)
        if (call->names && call->names[i] && strcmp(call->names[i], name) == 0)
            return &call->parts[i];
    return NULL;
}

/* `lr` of the train section, or of its optimizer, by name or as its first argument; else 0.01. */
/* "step", and "step_all" for the phase `all` where that is not the first. */
const char *step_name(const Program *p, int phase)
{
    return phase ? arena_print(p->arena, "step_%s", p->phases.at[phase].name) : "step";
}

double base_rate(const Program *p)
{
    for (int i = 0; i < p->train.n; i++)
        if (strcmp(p->train.at[i].name, "lr") == 0 && p->train.at[i].value.kind == VALUE_NUMBER)
            return p->train.at[i].value.number;
    for (int i = 0; i < p->train.n; i++) {
        const Value *v = &p->train.at[i].value;
        if (strcmp(p->train.at[i].name, "optimizer") != 0 || v->kind != VALUE_CALL)
            continue;
        const Value *lr = call_part(v, "lr");
        if (!lr && v->n > 0 && !(v->names && v->names[0]))
            lr = &v->parts[0];
        if (lr && lr->kind == VALUE_NUMBER)
            return lr->number;
    }
    return 0.01;
}
