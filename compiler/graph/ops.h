/* ops.h -- arithmetic as a table: every operation the compiler knows, a row each.
 *
 * A B C are the operands as doubles, a b c and y (the result) the same in derivative texts: prefix, "mul(y,sub(1,y))",
 * "" where there is no derivative. In C, %a %b %c are operands the emitter has put in parentheses where needed; nn_...
 * are functions of runtime/nn_vec.h and nn_math.h on vectors of lanes. Conditions are lane masks there (nn_m): comparisons,
 * and, or, not give one; and, or, not and the first operand of select take one (expr_op sees to it). On doubles a condition is C's.
 *
 * Note: ties in max. max(a, b) passes its gradient to a only where a is larger, so relu = max(x, 0) has slope 0 at 0.
 * max and min give a where a is not a number, so that max(x, 0) hides nothing. expr_op moves a constant to b. */
#ifndef NNC_OPS_H
#define NNC_OPS_H

enum {
    OP_WHOLE = 1,     /* whole where the operands are */
    OP_ROUNDS = 2,    /* whole whatever the operands are */
    OP_CONDITION = 4, /* 1 or 0; a lane mask in vector code */
    OP_DEAR = 8,      /* worth computing once outside a loop */
};

/* clang-format off */
#define OPS(X)                                                                                                           \
    /* name   args  value          d/da                  d/db                d/dc  on vectors            on doubles        */ \
    X(add,      2, A + B,          "1",                  "1",                "", "%a + %b",              "%a + %b",          OP_WHOLE)  \
    X(sub,      2, A - B,          "1",                  "neg(1)",           "", "%a - %b",              "%a - %b",          OP_WHOLE)  \
    X(mul,      2, A * B,          "b",                  "a",                "", "%a * %b",              "%a * %b",          OP_WHOLE)  \
    X(div,      2, A / B,          "div(1,b)",           "neg(div(y,b))",    "", "%a / %b",              "%a / %b",          OP_DEAR)   \
    X(neg,      1, -A,             "neg(1)",             "",                 "", "-%a",                  "-%a",              OP_WHOLE)  \
    X(max,      2, A < B ? B : A,  "gt(y,b)",            "le(y,b)",          "", "nn_max(%a, %b)",       "%a < %b ? %b : %a", OP_WHOLE) \
    X(min,      2, B < A ? B : A,  "lt(y,b)",            "ge(y,b)",          "", "nn_min(%a, %b)",       "%b < %a ? %b : %a", OP_WHOLE) \
    X(abs,      1, fabs(A),        "sign(a)",            "",                 "", "nn_abs(%a)",           "fabs(%a)",         OP_WHOLE)  \
    X(sign,     1, (A > 0) - (A < 0), "",                "",                 "", "nn_sign(%a)",          "(double)((%a > 0) - (%a < 0))", OP_ROUNDS) \
    X(pow,      2, pow(A, B),      "mul(b,pow(a,sub(b,1)))", "select(gt(a,0),mul(y,log(a)),0)", "", "nn_pow(%a, %b)", "pow(%a, %b)", OP_DEAR) \
    X(sqrt,     1, sqrt(A),        "div(0.5,y)",         "",                 "", "nn_sqrt(%a)",          "sqrt(%a)",         OP_DEAR)   \
    X(exp,      1, exp(A),         "y",                  "",                 "", "nn_exp(%a)",           "exp(%a)",          OP_DEAR)   \
    X(expm1,    1, expm1(A),       "add(y,1)",           "",                 "", "nn_expm1(%a)",         "expm1(%a)",        OP_DEAR)   \
    X(log,      1, log(A),         "div(1,a)",           "",                 "", "nn_log(%a)",           "log(%a)",          OP_DEAR)   \
    X(log1p,    1, log1p(A),       "div(1,add(1,a))",    "",                 "", "nn_log1p(%a)",         "log1p(%a)",        OP_DEAR)   \
    X(tanh,     1, tanh(A),        "sub(1,mul(y,y))",    "",                 "", "nn_tanh(%a)",          "tanh(%a)",         OP_DEAR)   \
    X(sigmoid,  1, 1 / (1 + exp(-A)), "mul(y,sub(1,y))", "",                 "", "nn_sigmoid(%a)",       "1 / (1 + exp(-%a))", OP_DEAR) \
    X(erf,      1, erf(A),         "mul(1.1283791670955126,exp(neg(mul(a,a))))", "", "", "nn_erf(%a)",   "erf(%a)",          OP_DEAR)   \
    X(sin,      1, sin(A),         "cos(a)",             "",                 "", "nn_sin(%a)",           "sin(%a)",          OP_DEAR)   \
    X(cos,      1, cos(A),         "neg(sin(a))",        "",                 "", "nn_cos(%a)",           "cos(%a)",          OP_DEAR)   \
    X(tan,      1, tan(A),         "add(1,mul(y,y))",    "",                 "", "nn_tan(%a)",           "tan(%a)",          OP_DEAR)   \
    X(atan,     1, atan(A),        "div(1,add(1,mul(a,a)))", "",             "", "nn_atan(%a)",          "atan(%a)",         OP_DEAR)   \
    X(floor,    1, floor(A),       "",                   "",                 "", "nn_floor(%a)",         "floor(%a)",        OP_ROUNDS) \
    X(ceil,     1, ceil(A),        "",                   "",                 "", "nn_ceil(%a)",          "ceil(%a)",         OP_ROUNDS) \
    /* to the nearest, halves to the even one, as PyTorch and processors do */                                              \
    X(round,    1, nearbyint(A),   "",                   "",                 "", "nn_round(%a)",         "nearbyint(%a)",    OP_ROUNDS) \
    X(trunc,    1, trunc(A),       "",                   "",                 "", "nn_trunc(%a)",         "trunc(%a)",        OP_ROUNDS) \
    /* division and remainder that floor: idiv(-1, 2) = -1, mod(-1, 2) = 1 */                                                \
    X(idiv,     2, floor(A / B),   "",                   "",                 "", "nn_floor(%a / %b)",    "floor(%a / %b)",   OP_ROUNDS | OP_DEAR) \
    X(mod,      2, A - B * floor(A / B), "1",            "neg(floor(div(a,b)))", "", "%a - %b * nn_floor(%a / %b)", "%a - %b * floor(%a / %b)", OP_WHOLE | OP_DEAR) \
    X(lt,       2, A < B,          "",                   "",                 "", "nn_lt(%a, %b)",        "%a < %b",          OP_CONDITION) \
    X(le,       2, A <= B,         "",                   "",                 "", "nn_le(%a, %b)",        "%a <= %b",         OP_CONDITION) \
    X(gt,       2, A > B,          "",                   "",                 "", "nn_gt(%a, %b)",        "%a > %b",          OP_CONDITION) \
    X(ge,       2, A >= B,         "",                   "",                 "", "nn_ge(%a, %b)",        "%a >= %b",         OP_CONDITION) \
    X(eq,       2, A == B,         "",                   "",                 "", "nn_eq(%a, %b)",        "%a == %b",         OP_CONDITION) \
    X(ne,       2, A != B,         "",                   "",                 "", "nn_ne(%a, %b)",        "%a != %b",         OP_CONDITION) \
    X(and,      2, A != 0 && B != 0, "",                 "",                 "", "nn_and(%a, %b)",       "%a && %b",         OP_CONDITION) \
    X(or,       2, A != 0 || B != 0, "",                 "",                 "", "nn_or(%a, %b)",        "%a || %b",         OP_CONDITION) \
    X(not,      1, A == 0,         "",                   "",                 "", "nn_not(%a)",           "!%a",              OP_CONDITION) \
    X(select,   3, A != 0 ? B : C, "",                   "select(a,1,0)",    "select(a,0,1)", "nn_select(%a, %b, %c)", "%a ? %b : %c", OP_WHOLE) \
    /* the value, through which no gradient flows */                                                                         \
    X(detach,   1, A,              "",                   "",                 "", "%a",                   "%a",               OP_WHOLE)  \
    /* the value of a, with c as its derivative by b: grad x = ... of a fn */                                                \
    X(surrogate, 3, A,             "1",                  "c",                "", "%a",                   "%a",               OP_WHOLE)
/* clang-format on */

#endif
