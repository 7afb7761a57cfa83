/* scatter.c -- sums gathered in memory: places of the result are met more than once, or not at all. One task clears the
 * result and adds point after point, so the order never changes. */
#include "loops/nest.h"

static void print_scatter_step(Nest *n)
{
    const Choice *c = n->c;
    const Equation *q = c->q;
    Arena *a = n->b->arena;
    const Place *p = place_written(n->b, c);
    const char *name = nest_arg(n, p, true);
    unsigned dims = 0;
    bool vary = false;
    Scope s;

    scope_start(&s, n, n->depth);
    scope_users(q->value);
    for (int i = 0; i < q->out->rank; i++)
        vary = vary || (lane_dependent(n, q->at[i]) && !is_batch(q->at[i]));
    const char *lane = vary ? "l" : NULL, *inside = result_inside(n, c, lane, &dims);
    const char *at = address_text(n, p, q->at, lane, &dims), *test = inside ? arena_print(a, "if (%s) ", inside) : "";
    const Expr *value = nest_conditions(n, &s, q->value);
    Piece v = scope_as(&s, scope_value(&s, value), n->doubles ? TYPE_DOUBLE : TYPE_VECTOR);
    if (n->doubles) {
        scope_end(&s, arena_print(a, "%s%s[%s] += (float)(%s);", test, name, at, v.text));
    } else if (vary) {
        v = scope_keep(&s, v, "t");
        scope_end(&s, arena_print(a, "for (int l = 0; l < 16; l++) %s%s[%s] += %s[l];", test, name, at, v.text));
    } else {
        scope_end(&s, arena_print(a, "%snn_store(%s + %s, nn_load(%s + %s) + %s);", test, name, at, name, at, v.text));
    }
}

void nest_scatter(Nest *n)
{
    const Choice *c = n->c;
    const Equation *q = c->q;
    const Place *p = place_written(n->b, c);
    const Layout *l = &p->layout;
    const char *name = nest_arg(n, p, true);
    int depth = n->depth;

    if (q->tail)
        bug("a scattering sum with a tail");
    if (over_samples(c)) {
        line(&n->out, n->depth, "for (long at = 0; at < %lld; at += 16)", (long long)l->stride[0]);
        line(&n->out, n->depth + 1, "nn_store(%s + at, nn_set(0.0f));", name);
    } else {
        line(&n->out, n->depth, "for (long at = 0; at < %lld; at++)", (long long)l->count);
        line(&n->out, n->depth + 1, l->integer ? "%s[at] = 0;" : "%s[at] = 0.0f;", name);
    }
    for (int i = 0; i < q->nbox; i++) {
        const Index *x = q->box[i];
        nest_note(n, x, 1, x == c->lane_index ? LOOP_LANE : LOOP_SERIAL);
        if (x->batch && over_samples(c))
            continue;
        if (!x->batch) {
            nest_open(n, nest_var(n, x)->name, 0, x->size, 1);
            continue;
        }
        line(&n->out, n->depth++, "for (long block = 0; block < blocks; block++) {");
        line(&n->out, n->depth, "const long samples = n - 16 * block < 16 ? n - 16 * block : 16;");
        line(&n->out, n->depth++, "for (long s = 0; s < samples; s++) {");
    }
    print_scatter_step(n);
    while (n->depth > depth)
        nest_close(n);
}
