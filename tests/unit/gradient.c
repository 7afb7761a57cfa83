/* gradient.c -- derived gradients against finite differences, in double. */
#include "equations.h"
#include "graph/check_gradients.h"

#include <check.h>
#include <math.h>

/* The largest |derived - numeric| over all elements of the parameters and real inputs, over the largest numeric one. */
static double gradient_error(Graph *g, bool print)
{
    Tensor *of[32], *grad[32];
    int n = 0, forward = g->equations.n;
    double worst = 0, scale = 1e-3;

    for (int i = 0; i < g->tensors.n; i++) {
        Tensor *t = g->tensors.at[i];
        if ((t->role == ROLE_PARAM || t->role == ROLE_INPUT) && !t->integer)
            of[n++] = t;
    }
    graph_gradient(g, graph_find(g, "loss"), n, of, grad);
    graph_verify(g, "gradient");
    if (print)
        fprintf(stderr, "%s\n", graph_lines(g, forward));

    Run *r = run_filled(g->arena, g);
    run_graph(r);
    double *loss = r->data[graph_find(g, "loss")->id];
    for (int p = 0; p < n; p++) {
        int64_t count = tensor_count(of[p]);
        double *x = r->data[of[p]->id];
        for (int64_t k = 0; k < count; k++) {
            const double h = 1e-4, at = x[k];
            double f[4];
            for (int s = 0; s < 4; s++) { /* five-point formula: error h^4 */
                x[k] = at + h * (double[]){-2, -1, 1, 2}[s];
                for (int i = 0; i < forward; i++)
                    run_equation(r, g->equations.at[i]);
                f[s] = loss[0];
            }
            x[k] = at;
            double numeric = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h);
            double derived = grad[p] ? r->data[grad[p]->id][k] : 0;
            scale = fmax(scale, fabs(numeric));
            worst = fmax(worst, isnan(derived) ? HUGE_VAL : fabs(derived - numeric));
        }
    }
    return worst / scale;
}

static const struct {
    const char *name, *text;
} networks[] = {
    {"dense",
     "input x[b,3]\nparam w[2,3]\nparam v[2]\nscalar count\nscalar total\n"
     "z[b,o] = sum[c] w[o,c] * x[b,c]\n"
     "y[b,o] = tanh(z[b,o] + v[o])\n"
     "loss = sum[b,o] (if b < count then y[b,o]^2 / total else 0)\n"},
    {"convolution, strided and padded",
     "input x[b,2,5]\nparam w[3,2,3]\n"
     "y[b,o,i 3] = sum[c,p] w[o,c,p] * x?[b,c,2*i+p-1]\n"
     "loss = sum[b,o,i] y[b,o,i]^3\n"},
    {"convolution, dilated",
     "input x[b,2,9]\nparam w[3,2,3]\n"
     "y[b,o,i 5] = sum[c,p] w[o,c,p] * x[b,c,i+2*p]\n"
     "loss = sum[b,o,i] y[b,o,i]^2\n"},
    {"relu, from its output",
     "param x[7]\ny[i] = max(x[i], 0)\nloss = sum[i] y[i] * i\n"},
    {"pooling, maximum, overlapping",
     "param x[2,7]\ny[c,i 3] = max[p 3] x[c,2*i+p]\nloss = sum[c,i] y[c,i]^2\n"},
    {"pooling, minimum",
     "param x[2,6]\ny[c,i 3] = min[p 2] x[c,2*i+p]\nloss = sum[c,i] y[c,i]^2\n"},
    {"pooling, mean, padded",
     "param x[2,6]\ny[c,i 3] = sum[p 4] x?[c,2*i+p-1] / 4\nloss = sum[c,i] y[c,i]^2\n"},
    {"softmax and cross entropy",
     "input z[b,5]\ninput label[b] below 5\n"
     "top[b] = max[k] z[b,k]\n"
     "s[b] = sum[k] exp(z[b,k] - top[b])\n"
     "l[b] = log(s[b]) + top[b] - z[b,label[b]]\n"
     "loss = sum[b] l[b] / 4\n"},
    {"layer norm",
     "param x[3,4]\nparam u[4]\n"
     "m[i] = sum[j] x[i,j] / 4\n"
     "v[i] = sum[j] (x[i,j] - m[i])^2 / 4\n"
     "y[i,j] = u[j] * (x[i,j] - m[i]) / sqrt(v[i] + 0.01)\n"
     "loss = sum[i,j] y[i,j]^3\n"},
    {"batch norm over real samples",
     "input x[b,2,3]\nscalar count\n"
     "m[c] = sum[b,i] (if b < count then x[b,c,i] / (count * 3) else 0)\n"
     "v[c] = sum[b,i] (if b < count then (x[b,c,i] - m[c])^2 / (count * 3) else 0)\n"
     "y[b,c,i] = (x[b,c,i] - m[c]) / sqrt(v[c] + 0.01)\n"
     "loss = sum[b,c,i] (if b < count then y[b,c,i]^3 / count else 0)\n"},
    {"embedding",
     "input t[b,3] below 5\nparam e[5,2]\nparam w[3,2]\n"
     "y[b,t2,d] = e[t[b,t2],d]\n"
     "loss = sum[b,t2,d] w[t2,d] * y[b,t2,d]^2\n"},
    {"shared weights, read three ways",
     "param w[3,3]\nparam x[3]\n"
     "y[i] = sum[j] w[i,j] * x[j]\n"
     "z[j] = sum[i] w[i,j] * y[i]\n"
     "loss = sum[i] z[i] * w[i,i]\n"},
    {"broadcast and missing indices",
     "param x[3]\nparam s\n"
     "y[i,j 4] = x[i] * s\n"
     "t[i] = sum[k 5] y[i,2]\n"
     "loss = sum[i] t[i]\n"},
    {"flatten and reshape",
     "param x[2,3,4]\ntemp f[24]\ntemp r[4,6]\n"
     "f[12*c+4*i+j] = x[c,i,j]^2\n"
     "r[k 4,l 6] = f[6*k+l] * k\n"
     "loss = sum[k,l] r[k,l]^2\n"},
    {"concat",
     "param x[2,3]\nparam y[4,3]\n"
     "z[c 6,i] = if c < 2 then x?[c,i] else y?[c-2,i]\n"
     "loss = sum[c,i] z[c,i]^2 * (c + 1)\n"},
    {"slice",
     "param x[6]\ny[i 3] = x[2*i]\nz[i 2] = x[i+1]\nloss = (sum[i 2] y[i] * z[i]^2)\n"},
    {"products", "param x[4]\ny = prod[i] x[i]\nloss = y^2\n"},
    {"products of every sample",
     "input x[b,3]\nparam w[3]\ny[b] = prod[i] (x[b,i] * w[i])\nloss = sum[b] y[b]^2\n"},
    {"guarded branch that overflows",
     "param x[4]\ny[i] = if x[i] > 0 - 9 then x[i] else exp(x[i] * 0 - 2000 * x[i])\nloss = sum[i] y[i]\n"},
    {"contributions that cancel",
     "param x[3]\nparam w[3]\nloss = sum[i] (x[i] + w[i] - x[i])\n"},
    {"scalars",
     "param a\nparam c\nq = a * c + sin(a)\nloss = q / (1 + q^2)\n"},
    {"the same subexpression often",
     "param x[3]\nloss = sum[i] ((((x[i] + 1)^2 + 1)^2 + 1)^2)^2 / 1000000\n"},
    {"random masks",
     "param x[b,3]\ny[b,i] = if random(3, 3*b+i) < 0.5 then 0 else x[b,i] / 0.5\nloss = sum[b,i] y[b,i]^2\n"},
};

START_TEST(test_networks)
{
    Arena *a = arena_new();
    Graph *g = graph_read(a, 4, networks[_i].text);
    double error = gradient_error(g, getenv("SHOW"));

    ck_assert_msg(error < 1e-9, "%s: relative error %g\n%s", networks[_i].name, error, graph_lines(g, 0));
    arena_free(a);
}
END_TEST


/* Eleven equations, a whole network: embedding, strided padded convolution, relu, max-pooling,
 * layer norm, dense, softmax cross-entropy. */
static const char eleven[] =
    "input tok[6] below 5\ninput lab[4]\nparam E[5,6]\nparam W[2,3,3]\nparam U[4,2,3]\n"
    "X[t,e] = E[tok[t],e]\n"
    "C[o,y 3,x 3] = sum[p,q] X?[2*y+p-1,2*x+q-1] * W[o,p,q]\n"
    "A[o,y,x] = max(C[o,y,x], 0)\n"
    "P[o,y] = max[x] A[o,y,x]\n"
    "M[o] = sum[y] P[o,y] / 3\n"
    "V[o] = sum[y] (P[o,y] - M[o])^2 / 3\n"
    "N[o,y] = (P[o,y] - M[o]) / sqrt(V[o] + 0.01)\n"
    "H[k] = sum[o,y] N[o,y] * U[k,o,y]\n"
    "top = max[k] H[k]\n"
    "Z = sum[k] exp(H[k] - top)\n"
    "loss = sum[k] lab[k] * (log(Z) + top - H[k])\n";

START_TEST(test_eleven_equations)
{
    Arena *a = arena_new();
    Graph *g = graph_read(a, 1, eleven);

    ck_assert_int_eq(g->equations.n, 11);
    double error = gradient_error(g, getenv("SHOW"));
    ck_assert_msg(error < 1e-8, "relative error %g", error);
    arena_free(a);
}
END_TEST

/* Nothing is added to a derivation by accident: no copies, no zeros, no ones. */
static const struct {
    const char *text, *derived;
} texts[] = {
    {"param w[2,3]\ninput x[b,3]\nz[b,o] = sum[c] w[o,c] * x[b,c]\nloss = sum[b,o] z[b,o]\n",
     "d.w[o,c] = sum[b] x[b,c]\nd.x[b,c] = sum[o] w[o,c]\n"},
    {"param x[3]\ny[i] = max(x[i], 0)\nloss = sum[i] y[i]^2\n",
     "d.y[i] = 2 * y[i]\nd.x[i] = if y[i] > 0 then d.y[i] else 0\n"},
    {"param x[3]\ny[i] = detach(x[i]) * x[i] * (if x[i] > 0 then 1 else 2)\nloss = sum[i] (y[i] - 3 * detach(y[i]))\n",
     "d.x[i] = (if x[i] > 0 then 1 else 2) * detach(x[i])\n"},
    {"param x[2,7]\ny[c,i 3] = max[p 3] x[c,2*i+p]\nloss = sum[c,i] y[c,i]^2\n",
     "d.y[c,i] = 2 * y[c,i]\narg.y[c,i] = argmax[p] x[c,2*i+p]\n"
     "d.x[c,2*i+p] += if arg.y[c,i] == p then d.y[c,i] else 0\n"},
    {"param x[3]\nloss = sum[i] surrogate(detach(if x[i] > 0 then 1 else 0), x[i] * 2, x[i]^2)\n",
     "d.x[i] = 2 * x[i]^2\n"},
    {"input x[b,3]\nparam w[2,3]\nparam v[2]\ny[b,o] = sum[c] w[o,c] * x[b,c]\nz[b,o] = tanh(y[b,o] + v[o])\nloss = sum[b,o] z[b,o]\n",
     "d.y[b,o] = 1 - z[b,o]^2\nd.x[b,c] = sum[o] d.y[b,o] * w[o,c]\nd.w[o,c] = sum[b] d.y[b,o] * x[b,c]\nd.v[o] = sum[b] d.y[b,o]\n"},
    {"param x[3]\nparam w[3]\ny[i] = x[i]^2\nz[i] = w[i]^2\nt[i] = max(y[i] + z[i], 0)\nloss = sum[i] t[i]\n",
     "d.y[i] = if t[i] > 0 then 1 else 0\nd.x[i] = 2 * (d.y[i] * x[i])\nd.w[i] = 2 * (d.y[i] * w[i])\n"},
    {"param x[4]\nparam w[3]\nz[i] = x[i]\nloss = sum[i] z[i] * z[i]\n", "d.z[i] = 2 * z[i]\nd.x[i] = d.z[i]\n"},
};

START_TEST(test_texts)
{
    Arena *a = arena_new();
    Graph *g = graph_read(a, 4, texts[_i].text);
    Tensor *of[8], *grad[8];
    int n = 0, forward = g->equations.n;

    for (int i = 0; i < g->tensors.n; i++)
        if (g->tensors.at[i]->role != ROLE_TEMP)
            of[n++] = g->tensors.at[i];
    graph_gradient(g, graph_find(g, "loss"), n, of, grad);
    ck_assert_str_eq(graph_lines(g, forward), texts[_i].derived);
    arena_free(a);
}
END_TEST

/* `loss = sum op(p, q, r) * k`, with operands where the operation is smooth: -1.5..-0.5 where it may be, else 0.5..1.5. */
static Graph *graph_of_op(Arena *a, const Op *op)
{
    const char *names[] = {"p", "q", "r"};
    Graph *g = graph_read(a, 1, "input k[7]\nstate p0[7]\nstate q0[7]\nparam p[7]\nparam q[7]\nparam r[7]\n");
    Expr *i = expr_index(a, index_new(a, "i", 7)), *args[3], *one = expr_number(a, 1);
    bool positive = op->arity > 1 || op->id == OP_log || op->id == OP_log1p || op->id == OP_sqrt;
    Expr *middle = expr_number(a, positive ? 1 : -1);

    for (int n = 0; n < 3; n++) {
        Expr *x = expr_load(a, graph_find(g, names[n]), &i, false);
        Expr *half = expr_op(a, "mul", expr_number(a, 0.5), expr_op(a, "sin", x, NULL, NULL), NULL);
        args[n] = expr_op(a, "add", middle, half, NULL);
    }
    if (op->id == OP_select)
        args[0] = expr_op(a, "gt", args[0], one, NULL);
    Expr *y = expr_apply(a, op, args);
    if (y->kind == EXPR_OP)
        y->op = op;
    int64_t size = 7;
    Tensor *t = graph_tensor(g, "y", ROLE_TEMP, 1, &size);
    graph_equation(g, t, &i, EQ_MAP, y);
    Expr *k = expr_load(a, graph_find(g, "k"), &i, false);
    graph_equation(g, graph_tensor(g, "loss", ROLE_TEMP, 0, NULL), NULL, EQ_SUM,
                   expr_op(a, "mul", k, expr_load(a, t, &i, false), NULL));
    return g;
}

static bool differentiable(const Op *op)
{
    return op->id != OP_detach && op->id != OP_surrogate; /* theirs differ on purpose */
}

START_TEST(test_ops)
{
    for (int i = 0; op_at(i); i++) {
        Arena *a = arena_new();
        double error = differentiable(op_at(i)) ? gradient_error(graph_of_op(a, op_at(i)), false) : 0;
        ck_assert_msg(error < 1e-8, "%s: relative error %g", op_at(i)->name, error);
        arena_free(a);
    }
}
END_TEST

/* A derivative that is wrong must be seen: every text of the table, changed in several ways. */
static const char *mutant(Arena *a, const char *text, int kind)
{
    switch (kind) {
    case 0: return arena_print(a, "neg(%s)", text);
    case 1: return arena_print(a, "mul(1.001,%s)", text);
    case 2: return arena_print(a, "add(0.01,%s)", text);
    case 3: return NULL;
    case 4: { /* y for a, a for y, b for a */
        char *s = arena_copy(a, text, strlen(text));
        for (char *c = s; *c; c++)
            if ((c == s || c[-1] == '(' || c[-1] == ',') && (c[1] == '\0' || c[1] == ')' || c[1] == ','))
                *c = *c == 'y' ? 'a' : *c == 'a' || *c == 'b' ? 'y' : *c;
        return s;
    }
    default: return text;
    }
}

START_TEST(test_wrong_derivatives_are_seen)
{
    int seen = 0;

    for (int i = 0; op_at(i) && differentiable(op_at(i)); i++)
        for (int k = 0; k < op_at(i)->arity; k++)
            for (int kind = 0; kind <= 4 && op_at(i)->derivative[k]; kind++) {
                Arena *a = arena_new();
                Op wrong = *op_at(i);
                wrong.derivative[k] = mutant(a, wrong.derivative[k], kind);
                /* the slope of select's and max's condition on which side y is: the same when written with a */
                bool same = kind == 4 && (wrong.id == OP_select ||
                                          strcmp(wrong.derivative[k], op_at(i)->derivative[k]) == 0);
                if (!same) {
                    double error = gradient_error(graph_of_op(a, &wrong), false);
                    ck_assert_msg(error > 1e-5, "%s: d/d%c = %s passes for right", wrong.name, 'a' + k,
                                  wrong.derivative[k] ? wrong.derivative[k] : "0");
                    seen++;
                }
                arena_free(a);
            }
    ck_assert_int_ge(seen, 100);
}
END_TEST

/* Every derived equation counts: one per mille more in any, and the check cries. */
START_TEST(test_wrong_equations_are_seen)
{
    for (int wrong = 0;; wrong++) {
        Arena *a = arena_new();
        Graph *g = graph_read(a, 4, networks[_i].text);
        Tensor *of[32], *grad[32];
        int n = 0, forward = g->equations.n;
        for (int i = 0; i < g->tensors.n; i++)
            if (g->tensors.at[i]->role == ROLE_PARAM)
                of[n++] = g->tensors.at[i];
        graph_gradient(g, graph_find(g, "loss"), n, of, grad);
        bool more = forward + wrong < g->equations.n;
        if (more) {
            Run *r = run_filled(a, g), *s = run_filled(a, g);
            Equation *q = g->equations.at[forward + wrong];
            run_graph(r);
            q->value = expr_op(a, q->how == EQ_ARGMAX ? "neg" : "mul", q->value,
                               q->how == EQ_ARGMAX ? NULL : expr_number(a, 1.001), NULL);
            run_graph(s);
            double most = 0, own = 0;
            for (int64_t k = 0; k < tensor_count(q->out); k++)
                own = fmax(own, fabs(r->data[q->out->id][k]));
            for (int p = 0; p < n; p++)
                for (int64_t k = 0; grad[p] && k < tensor_count(of[p]); k++)
                    most = fmax(most, fabs(r->data[grad[p]->id][k] - s->data[grad[p]->id][k]));
            /* a gradient by a mean or by a shift that is removed again is 0 but for rounding: it may be wrong unseen */
            ck_assert_msg(own < 1e-12 || most > 1e-7, "%s: %s is useless", networks[_i].name, q->out->name);
        }
        arena_free(a);
        if (!more)
            break;
    }
}
END_TEST

/* Where differences do not help. */
static const struct {
    const char *text;
    double x[6], wanted[6];
} points[] = {
    /* ties: the gradient goes to the first of several largest values, all of it */
    {"param x[6]\ny = max[i] x[i]\nz = min[j] x[j]\nloss = 3 * y + 5 * z\n", {1, 7, 1, 7, 0, 0}, {0, 3, 0, 0, 5, 0}},
    {"param x[6]\ny[i] = max(x[i], 0)\nloss = sum[i] y[i]\n", {-1, 0, 1, 2, 0, -3}, {0, 0, 1, 1, 0, 0}},
    {"param x[6]\nloss = sum[i] abs(x[i])\n", {-1, 0, 1, 2, 0, -3}, {-1, 0, 1, 1, 0, -1}},
    /* factors that are 0 */
    {"param x[6]\nloss = prod[i] x[i]\n", {2, 0, 5, 1, 1, 3}, {0, 30, 0, 0, 0, 0}},
    {"param x[6]\nloss = prod[i] x[i]\n", {2, 0, 5, 0, 1, 3}, {0, 0, 0, 0, 0, 0}},
    /* an infinite slope in the branch not taken */
    {"param x[6]\nloss = sum[i] (if x[i] > 0 then x[i] else sqrt(0 - x[i]) * 0)\n", {1, 2, 3, 1, 2, 3}, {1, 1, 1, 1, 1, 1}},
    {"param x[6]\nloss = sum[i] x[i]^2.5\n", {0, 1, 4, 0, 0, 0}, {0, 2.5, 20, 0, 0, 0}},
};

START_TEST(test_points)
{
    Arena *a = arena_new();
    Graph *g = graph_read(a, 1, points[_i].text);
    Tensor *x = graph_find(g, "x"), *d;

    graph_gradient(g, graph_find(g, "loss"), 1, &x, &d);
    Run *r = run_new(a, g);
    memcpy(r->data[x->id], points[_i].x, sizeof points[_i].x);
    run_graph(r);
    for (int i = 0; i < 6; i++)
        ck_assert_double_eq(r->data[d->id][i], points[_i].wanted[i]);
    arena_free(a);
}
END_TEST

/* What does not lead to the loss has no gradient, and nothing is derived for it. */
START_TEST(test_independent)
{
    Arena *a = arena_new();
    Graph *g = graph_read(a, 1, "param x[3]\nparam w[3]\nparam v[3]\ny[i] = x[i] * w[i]\nz[i] = v[i] * 2\nloss = sum[i] y[i]\n");
    Tensor *of[] = {graph_find(g, "x"), graph_find(g, "v")}, *grad[2];
    int before = g->equations.n;

    graph_gradient(g, graph_find(g, "loss"), 2, of, grad);
    ck_assert_ptr_nonnull(grad[0]);
    ck_assert_ptr_null(grad[1]);
    ck_assert_str_eq(graph_lines(g, before), "d.x[i] = w[i]\n");
    arena_free(a);
}
END_TEST

/* A perceptron's step with a derivative by hand: dx = dy as if y were x where |x| < 1. */
START_TEST(test_custom)
{
    Arena *a = arena_new();
    Graph *g = graph_read(a, 4,
                          "input x[b,3]\nparam w[3]\ntemp dz[b]\n"
                          "y[b] = sum[c] w[c] * x[b,c]\n"
                          "z[b] = if y[b] > 0 then 1 else 0\n"
                          "loss = sum[b] z[b]^2 * (b + 1)\n"
                          "dy[b] = if abs(y[b]) < 1 then 3 * dz[b] else 0\n");
    CustomGrad *c = NEW(a, CustomGrad);
    Tensor *w = graph_find(g, "w"), *d;

    *c = (CustomGrad){.first = 1, .last = 2, .in = graph_find(g, "y"), .out = graph_find(g, "z"),
                      .dout = graph_find(g, "dz"), .din = graph_find(g, "dy")};
    PUSH(a, c->equations, g->equations.at[--g->equations.n]);
    PUSH(a, g->customs, c);
    Graph *copy = graph_copy(g, "copy");
    for (int n = 0; n < 2; n++) {
        Graph *h = n ? copy : g;
        int forward = h->equations.n;
        w = graph_find(h, "w");
        graph_gradient(h, graph_find(h, "loss"), 1, &w, &d);
        graph_verify(h, "gradient");
        ck_assert_str_eq(graph_lines(h, forward),
                         "d.z[b] = 2 * ((b + 1) * z[b])\n"
                         "dy[b] = if abs(y[b]) < 1 then 3 * d.z[b] else 0\n"
                         "d.w[c] = sum[b] dy[b] * x[b,c]\n");
    }
    arena_free(a);
}
END_TEST

/* What `nnc check-gradients` says of a network, right and with a wrong derivative of tanh. */
static const char checked[] =
    "input x[b,2,6]\ninput label[b] below 4\nscalar count\nscalar total\n"
    "param conv.weight[3,2,3]\nparam dense.weight[4,18]\nparam dense.bias[4]\nparam spare[2]\n"
    "y[b,o,i 6] = sum[c,p] conv.weight[o,c,p] * x?[b,c,i+p-1]\n"
    "h[b,o,i] = tanh(y[b,o,i])\n"
    "a[b,k] = sum[o,i] dense.weight[k,6*o+i] * h[b,o,i]\n"
    "z[b,k] = a[b,k] + dense.bias[k]\n"
    "top[b] = max[k] z[b,k]\n"
    "s[b] = sum[k] exp(z[b,k] - top[b])\n"
    "l[b] = log(s[b]) + top[b] - z[b,label[b]]\n"
    "loss = sum[b] (if b < count then l[b] / total else 0)\n"
    "later[k] = dense.bias[k] * 2\n";

START_TEST(test_check_gradients)
{
    Arena *a = arena_new();
    Graph *g = graph_read(a, 64, checked);
    Program p = {.arena = a, .batch = 64, .step = g};
    Text t = {.arena = a};

    int equations = g->equations.n;
    GradientCheck *c = check_gradients(a, &p, 1);
    gradient_check_print(&t, c);
    ck_assert_msg(c->good, "%s", t.s);
    ck_assert_int_eq(c->rows.n, 4);
    ck_assert_int_eq(c->rows.at[2].compared, 4);
    ck_assert(c->rows.at[3].unused);
    ck_assert_int_eq(g->equations.n, equations); /* the program is left alone */

    Op wrong = *op_find("tanh");
    wrong.derivative[0] = "sub(1,y)";
    graph_maker(g, graph_find(g, "h"))->value->op = &wrong;
    c = check_gradients(a, &p, 1);
    gradient_check_print(&t, c);
    ck_assert_msg(!c->good && !c->rows.at[0].good && c->rows.at[1].good, "%s", t.s);
    if (getenv("SHOW"))
        fputs(t.s, stderr);
    arena_free(a);
}
END_TEST

/* What is detached stays where it is while the loss is differenced. */
START_TEST(test_check_detached)
{
    Arena *a = arena_new();
    Graph *g = graph_read(a, 4,
                          "input x[b,3]\nparam w[3]\nscalar count\n"
                          "y[b,c] = w[c] * x[b,c]\n"
                          "l[b,c] = (y[b,c] - detach(2 * y[b,c] + w[c]))^2 + w[c] * detach(sin(w[c]) + detach(y[b,c]))\n"
                          "top[b] = max[c] detach(y[b,c])\n"
                          "loss = sum[b,c] (if b < count then l[b,c] * detach(top[b]) else 0)\n");
    Program p = {.arena = a, .batch = 4, .step = g};
    GradientCheck *c = check_gradients(a, &p, 1);
    Text t = {.arena = a};

    gradient_check_print(&t, c);
    ck_assert_msg(c->good && c->rows.n == 1 && fabs(c->rows.at[0].derived) > 0.01, "%s", t.s);
    arena_free(a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("gradient");
    TCase *t = tcase_create("gradient");
    int n = sizeof networks / sizeof *networks;
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_networks, 0, n);
    tcase_add_loop_test(t, test_wrong_equations_are_seen, 0, n);
    tcase_add_loop_test(t, test_texts, 0, sizeof texts / sizeof *texts);
    tcase_add_test(t, test_eleven_equations);
    tcase_add_test(t, test_ops);
    tcase_add_test(t, test_wrong_derivatives_are_seen);
    tcase_add_loop_test(t, test_points, 0, sizeof points / sizeof *points);
    tcase_add_test(t, test_independent);
    tcase_add_test(t, test_custom);
    tcase_add_test(t, test_check_gradients);
    tcase_add_test(t, test_check_detached);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
