/* body.c -- statements of layers and models: assignments, assertions, branches, results. */
#include "check/value.h"

/* --- assignments --- */

static bool lifts(Checker *c, Frame *f, const Node *n)
{
    switch (n->kind) {
    case NODE_BINARY:
    case NODE_UNARY:
    case NODE_REDUCE:
    case NODE_NEXT: return dynamic(c, f, NULL, n);
    case NODE_CHOOSE: return dynamic(c, f, NULL, n->child[0]);
    default: return false;
    }
}

static void bind_local(Checker *c, Frame *f, const Node *to, Val v)
{
    if (v.kind == VAL_LAYER && !v.layer->bound) {
        LayerVal *l = NEW(c->arena, LayerVal);
        *l = *v.layer;
        l->bound = path_join(c, f->path, to->text);
        v.layer = l;
    }
    Bind *b = frame_bind(c, f, to->text, v, to->span);
    b->local = true;
    if (output_port(f, to->text) || v.kind == VAL_ERROR)
        b->used = true;
}

static void assign_next(Checker *c, Frame *f, const Node *to, const Node *from, Span where)
{
    const Node *state = to->kind == NODE_SUBSCRIPT ? to->child[0] : to;
    Bind *b = frame_find(f, state->text);
    Left l = {.name = arena_print(c->arena, "next.%s", state->text), .sized = true, .sized_at = state->span};
    const char *next = arena_print(c->arena, "next %s", state->text);

    Tensor *s = b && b->val.kind == VAL_TENSOR ? b->val.tensor : NULL;
    if (s && s->role == ROLE_TEMP) /* as an earlier use in this step left it */
        s = graph_find(c->graph, path_join(c, f->path, state->text));
    if (!s || (s->role != ROLE_STATE && s->role != ROLE_PARAM)) {
        error_in(c, f, state->span, "'%s' is no state", state->text);
        return;
    }
    if (to->kind == NODE_SUBSCRIPT) {
        l.subs = (const Node *const *)to->child + 1;
        l.nsubs = to->n - 1;
    }
    l.rank = s->rank;
    for (int i = 0; i < s->rank; i++)
        l.size[i] = s->size[i];
    Tensor *t = equation(c, f, &l, from, NULL, where);
    if (!t)
        return;
    if (t->batched) {
        error_in(c, f, where, "a state belongs to no sample: take a mean over the batch");
        return;
    }
    if (c->training)
        kept_next(s, t);
    frame_bind(c, f, next, val_tensor(t, where), where)->used = true;
}

static void assign_equation(Checker *c, Frame *f, const Node *to, const Node *from, bool plus, Span where)
{
    Left l = {.name = to->child[0]->text, .subs = (const Node *const *)to->child + 1, .nsubs = to->n - 1};
    Tensor *old = NULL;

    if (to->child[0]->kind != NODE_NAME) {
        error_in(c, f, to->span, "cannot assign to this");
        return;
    }
    if (plus) {
        Bind *b = frame_find(f, l.name);
        if (b && b->val.kind == VAL_ERROR)
            return;
        if (!b || b->val.kind != VAL_TENSOR) {
            error_in(c, f, to->child[0]->span, "'+=' adds to a tensor, but '%s' is none yet", l.name);
            bind_local(c, f, to->child[0], val_error());
            return;
        }
        old = b->val.tensor;
    }
    int errors = error_count();
    l.sized = port_size(c, f, &l);
    Tensor *t = error_count() > errors ? NULL : equation(c, f, &l, from, old, where);
    bind_local(c, f, to->child[0], t ? val_tensor(t, where) : val_error());
}

static void assign_one(Checker *c, Frame *f, const Node *to, const Node *from, bool plus, Span where)
{
    const Node *base = to->kind == NODE_SUBSCRIPT ? to->child[0] : to;

    if (base->kind == NODE_NEXT) {
        assign_next(c, f, to, from, where);
    } else if (to->kind == NODE_SUBSCRIPT) {
        assign_equation(c, f, to, from, plus, where);
    } else if (to->kind != NODE_NAME) {
        error_in(c, f, to->span, "cannot assign to this");
    } else if (plus) {
        const Node *parts[2] = {to, from};
        Node sum = {.kind = NODE_BINARY, .text = "+", .span = where, .name = where, .n = 2, .child = (Node **)parts};
        bind_local(c, f, to, lift(c, f, &sum, to->text));
    } else {
        Val v = lifts(c, f, from) ? lift(c, f, from, to->text) : eval(c, f, from);
        bind_local(c, f, to, v);
    }
}

/* grad z = expression with `grad y`: what flows back to z instead of the derived gradient. */
static void custom_grad(Checker *c, Frame *f, const Node *n)
{
    const Node *to = n->child[0]->child[0], *from = n->child[1]->child[0];
    const Node *in = to->kind == NODE_SUBSCRIPT ? to->child[0] : to;
    Bind *z = frame_find(f, in->text);
    CustomGrad *cg = NEW(c->arena, CustomGrad);
    int n0 = c->graph->equations.n;
    Tensor *out = NULL;

    for (int i = f->binds.n; i-- > 0 && !out;) {
        const Bind *b = &f->binds.at[i];
        if (b->val.kind == VAL_TENSOR && output_port(f, b->name))
            out = b->val.tensor;
    }
    if (!z || z->val.kind != VAL_TENSOR || !out) {
        error_in(c, f, to->span, z ? "the result must be known before its derivative" : "'%s' is no input", in->text);
        return;
    }
    *cg = (CustomGrad){.first = f->first_equation, .last = n0, .in = z->val.tensor, .out = out};
    cg->dout = graph_tensor(c->graph, arena_print(c->arena, "grad.%s", out->name), ROLE_TEMP, out->rank, out->size);
    cg->dout->batched = out->batched;
    const Node *outputs = def_part(f->def, NODE_PORTS, 1);
    const char *y = outputs && outputs->n ? outputs->child[0]->text : "y";
    frame_bind(c, f, arena_print(c->arena, "grad %s", y), val_tensor(cg->dout, n->span), n->span);
    if (to->kind == NODE_SUBSCRIPT) {
        Left l = {.name = arena_print(c->arena, "grad.%s", in->text), .subs = (const Node *const *)to->child + 1, .nsubs = to->n - 1,
                  .sized = true, .rank = sample_rank(f, cg->in), .sized_at = in->span};
        for (int i = 0; i < l.rank; i++)
            l.size[i] = sample_size(f, cg->in)[i];
        cg->din = equation(c, f, &l, from, NULL, n->span);
    } else {
        Val v = lift(c, f, from, arena_print(c->arena, "grad.%s", in->text));
        cg->din = v.kind == VAL_TENSOR ? v.tensor : NULL;
    }
    for (int i = n0; i < c->graph->equations.n; i++)
        PUSH(c->arena, cg->equations, c->graph->equations.at[i]);
    c->graph->equations.n = n0;
    if (cg->din)
        PUSH(c->arena, c->graph->customs, cg);
}

static void assign(Checker *c, Frame *f, const Node *n)
{
    const Node *targets = n->child[0], *values = n->child[1];
    const Node *first = targets->child[0], *base = first->kind == NODE_SUBSCRIPT ? first->child[0] : first;

    if (base->kind == NODE_GRAD) {
        custom_grad(c, f, n);
        return;
    }
    if (values->n == 1 && targets->n > 1) {
        Val v = eval(c, f, values->child[0]);
        if (v.kind != VAL_LIST || v.n != targets->n) {
            if (v.kind != VAL_ERROR)
                error_in(c, f, n->span, "%d names on the left, but %s on the right", targets->n, val_kind(c, v));
            v = val_error();
        }
        for (int i = 0; i < targets->n; i++) {
            if (targets->child[i]->kind == NODE_NAME)
                bind_local(c, f, targets->child[i], v.kind == VAL_ERROR ? v : v.items[i]);
            else
                error_in(c, f, targets->child[i]->span, "several results are given plain names, as in a, b = x -> split(2)");
        }
        return;
    }
    if (values->n != targets->n) {
        error_in(c, f, n->span, "%d on the left, but %d on the right", targets->n, values->n);
        return;
    }
    for (int i = 0; i < targets->n; i++)
        assign_one(c, f, targets->child[i], values->child[i], n->flag == 1, n->span);
}

/* --- other statements --- */

/* The comment behind an assertion, which says what is wrong when it does not hold; or NULL. */
static const char *reason(Checker *c, Span at)
{
    const char *s = source_get(at.file)->text + at.end;

    s += strspn(s, " \t");
    if (*s != '#')
        return NULL;
    s += strspn(s, "# \t");
    size_t n = strcspn(s, "\r\n");
    return n ? arena_copy(c->arena, s, n) : NULL;
}

/* "H is 4, size(x) is 5": what the names and sizes in a condition are. */
static void add_values(Checker *c, Frame *f, const Node *n, Text *t)
{
    if ((n->kind == NODE_NAME || is_size(n)) && t->n < 80) {
        Val v = eval(c, f, n);
        Text name = {.arena = c->arena};
        tree_source(&name, n);
        const char *is = v.kind == VAL_NUMBER     ? arena_print(c->arena, "%s is %s", name.s, number_text(c->arena, v.number))
                         : v.kind == VAL_DURATION ? arena_print(c->arena, "%s is %s %s", name.s, number_text(c->arena, v.number), v.text)
                                                  : NULL;
        if (is && !(t->s && strstr(t->s, is)))
            text_print(t, "%s%s", t->n ? ", " : "", is);
    }
    for (int i = n->kind == NODE_CALL; i < n->n; i++) /* what is called is no value */
        if (n->child[i])
            add_values(c, f, n->child[i], t);
}

void run_assert(Checker *c, Frame *f, const Node *n)
{
    const Node *cond = n->child[0];
    const char *why = reason(c, n->span);
    Text t = {.arena = c->arena}, values = {.arena = c->arena};
    bool yes;

    if (c->in_loss && dynamic(c, f, NULL, cond)) {
        if (c->judging.end)
            demand(c, f, cond, why);
        return;
    }
    if (!eval_condition(c, f, cond, &yes) || yes)
        return;
    tree_source(&t, cond);
    add_values(c, f, cond, &values);
    if (why)
        error_in(c, f, cond->span, "%s", why);
    else
        error_in(c, f, cond->span, "this does not hold: %s", t.s);
    if (why && in_library(n->span))
        note_at(NOWHERE, "%s does not hold: %s", t.s, values.n ? values.s : "");
    else if (values.n)
        note_at(NOWHERE, "%s", values.s);
}

static void run_statement(Checker *c, Frame *f, const Node *n, bool last, Val *result)
{
    bool yes;

    switch (n->kind) {
    case NODE_ASSIGN: assign(c, f, n); break;
    case NODE_DRAW: run_draw(c, f, n); break;
    case NODE_ASSERT: /* of what could not be made there are no weights to count */
        if (result->kind != VAL_ERROR)
            run_assert(c, f, n);
        break;
    case NODE_BRANCH:
        if (!eval_condition(c, f, n->child[0], &yes))
            break;
        if (yes || (n->n > 2 && n->child[2])) {
            const Node *block = n->child[yes ? 1 : 2];
            for (int i = 0; i < block->n; i++)
                run_statement(c, f, block->child[i], last && i == block->n - 1, result);
        }
        break;
    case NODE_RESULT: {
        Val *items = NEW_ARRAY(c->arena, Val, n->n);
        for (int i = 0; i < n->n; i++)
            items[i] = lifts(c, f, n->child[i]) ? lift(c, f, n->child[i], "y") : eval(c, f, n->child[i]);
        *result = n->n == 1 ? items[0] : val_list(c, n->n, items);
        if (!last && !in_library(n->span) && result->kind != VAL_ERROR)
            warning_at(n->span, "nobody uses this result");
        break;
    }
    default: error_in(c, f, n->span, "this cannot stand in a body"); break;
    }
}

/* A size the header promises must be the size that came out. */
static void check_output(Checker *c, Frame *f, const Node *port, Val v)
{
    Left l = {.name = port->text};
    bool same = v.kind == VAL_TENSOR;

    if (!same || !port->child[0] || !port_size(c, f, &l))
        return;
    for (int i = 0; i < l.rank; i++)
        if (!l.size[i])
            return; /* '...' is whatever the right side made of it */
    same = l.rank == sample_rank(f, v.tensor);
    for (int i = 0; same && i < l.rank; i++)
        same = l.size[i] == sample_size(f, v.tensor)[i];
    if (!same) {
        error_in(c, f, port->span, "the header says '%s' is %s, but it is %s", port->text, sizes_text(c, l.rank, l.size), shape_text(c, f, v.tensor));
    }
}

Val run_block(Checker *c, Frame *f, const Node *block, const Node *outputs)
{
    Val result = {.kind = VAL_LIST};
    int nout = outputs ? outputs->n : 0, last = block->n - 1;

    while (last > 0 && block->child[last]->kind == NODE_ASSERT)
        last--;
    for (int i = 0; i < block->n; i++)
        run_statement(c, f, block->child[i], i == last, &result);
    bool none = result.kind == VAL_LIST && !result.n;
    Val *items = NEW_ARRAY(c->arena, Val, nout);
    for (int i = 0; i < nout; i++) {
        Bind *b = frame_find(f, outputs->child[i]->text);
        if (!b || (b->val.kind != VAL_TENSOR && b->val.kind != VAL_ERROR && !val_known(b->val))) {
            if (nout == 1 && !none)
                return result;
            error_in(c, f, outputs->child[i]->span, "the result '%s' is never assigned", outputs->child[i]->text);
            return val_error();
        }
        b->used = true;
        items[i] = b->val;
        items[i].text = outputs->child[i]->text;
        check_output(c, f, outputs->child[i], b->val);
    }
    for (int i = 0; i < f->binds.n; i++)
        note_local(c, block, &f->binds.at[i]);
    if (nout)
        return nout == 1 ? items[0] : val_list(c, nout, items);
    if (none) {
        error_in(c, f, block->span, "this has no result: its last line must be an expression");
        return val_error();
    }
    return result;
}
