/* model.c -- runs the model once, for one graph: its inputs are fields of the data, what comes out are its results. */
#include "check/value.h"

Graph *open_graph(Checker *c, const char *name, bool training)
{
    c->graph = graph_new(c->arena, name, c->program->batch);
    c->training = training;
    c->labels = false;
    c->report = strcmp(name, "report") == 0;
    c->metric = NULL;
    c->output = c->label = val_error();
    c->judged.n = c->predicted.n = 0;
    c->applied = c->cache.n = 0;
    return c->graph;
}

/* A port of the model takes the field of its name; without data, one of its own shape. */
static Val model_input(Checker *c, Frame *f, const Node *port)
{
    bool found = false;
    Val v = val_error();

    if (c->data) {
        int64_t size[MAX_RANK];
        int rank = port_shape(c, f, port, size);
        if (rank >= 0)
            data_hint(c, port->text, rank, size);
        v = data_field(c, port->text, port->span, &found);
        if (!found) {
            LIST(const char *) names = {0};
            for (int i = 0; i < c->raws.n; i++)
                PUSH(c->arena, names, c->raws.at[i]->name);
            for (int i = 0; i < c->ncolumns; i++)
                PUSH(c->arena, names, c->columns[i]);
            error_at(port->span, "the data '%s' has no field '%s'", c->data->text, port->text);
            note_at(c->data->name, "the data");
            if (!suggest_among(c, NULL, port->text, names.n, names.at) && names.n)
                help("it has %s", names_text(c->arena, names.n, names.at));
        }
        return v;
    }
    for (int i = 0; i < c->raws.n; i++)
        if (strcmp(c->raws.at[i]->name, port->text) == 0)
            return (Val){.kind = VAL_FIELD, .raw = c->raws.at[i], .span = port->span};
    Raw *r = NEW(c->arena, Raw);
    *r = (Raw){.name = port->text, .rank = -1, .classes = -1, .where = port->span};
    PUSH(c->arena, c->raws, r);
    return (Val){.kind = VAL_FIELD, .raw = r, .span = port->span};
}

static void add_result(Results *r, Val v, const char *name)
{
    if (r->n == MAX_BOX)
        return;
    r->ok &= v.kind == VAL_TENSOR;
    r->name[r->n] = name;
    r->value[r->n++] = v;
}

Results run_model(Checker *c, Def *model)
{
    const Node *ports = def_part(model, NODE_PORTS, 0), *outputs = def_part(model, NODE_PORTS, 1), *body = def_body(model);
    Frame *f = frame_new(c, NULL, NULL);
    Results r = {.ok = true};
    Val in[MAX_BOX];
    int n = ports && ports->n <= MAX_BOX ? ports->n : 0;

    f->def = model;
    if (!n) {
        error_at(model->node->name, "a model says what it takes, up to %d inputs: model %s of x[4]", MAX_BOX, model->name);
        r.ok = false;
        return r;
    }
    if (!bind_settings(c, f, f, model, 0, NULL, model->node)) {
        r.ok = false;
        return r;
    }
    for (int i = 0; i < n && i < MAX_BOX; i++) {
        in[i] = model_input(c, f, ports->child[i]);
        if (in[i].kind == VAL_LIST) {
            error_at(ports->child[i]->span, "'%s' is a list: the model wants a tensor", ports->child[i]->text);
            in[i] = val_error();
        }
        if (in[i].kind == VAL_ERROR || !bind_inputs(c, f, f, model, i + 1, in, ports->child[i])) {
            r.ok = false;
            return r;
        }
    }
    f->nlead = 0;
    Val v = body->kind == NODE_BLOCK ? run_block(c, f, body, outputs) : eval(c, f, body);
    if (v.kind == VAL_LAYER || (v.kind == VAL_LIST && v.n && v.items[0].kind == VAL_LAYER))
        v = apply(c, f, v, n, in, body);
    if (v.kind != VAL_LIST) {
        if (v.kind != VAL_TENSOR && v.kind != VAL_ERROR)
            error_at(body->span, "the result of a model is a tensor, this is %s", val_kind(c, v));
        add_result(&r, v, outputs && outputs->n == 1 ? outputs->child[0]->text : "output");
    }
    for (int i = 0; v.kind == VAL_LIST && i < v.n; i++)
        add_result(&r, v.items[i], outputs && i < outputs->n ? outputs->child[i]->text : arena_print(c->arena, "output%d", i + 1));
    if (c->first && r.ok)
        warn_sums(c, &r);
    return r;
}
