/* passes.c -- the passes that make equations simpler, each alone. */
#include "passes.h"

START_TEST(gather_rows)
{
    static const Row rows[] = {
        {"stride 1, padded",
         "param w[3,2,3]\n"
         "input g[b,3,5]\n"
         "temp x[b,2,5]\n"
         "x?[b,c,i+p-1] += w[o,c,p] * g[b,o,i]\n", "x",
         "x[b,c,i] = sum[o,p] w[o,c,p] * g?[b,o,i+1-p]\n"},
        {"stride 1",
         "param w[3,2,3]\n"
         "input g[b,3,5]\n"
         "temp x[b,2,7]\n"
         "x[b,c,i+p] += w[o,c,p] * g[b,o,i]\n", "x",
         "x[b,c,i] = sum[o,p] w[o,c,p] * g?[b,o,i-p]\n"},
        {"kernel as large as the picture",
         "param w[3,2,5]\n"
         "input g[b,3,1]\n"
         "temp x[b,2,5]\n"
         "x[b,c,i+p] += w[o,c,p] * g[b,o,i]\n", "x",
         "x[b,c,i+p] = sum[o] w[o,c,p] * g[b,o,i]\n"},
        {"two axes",
         "param w[3,2,3,2]\n"
         "input g[b,3,5,6]\n"
         "temp x[b,2,5,7]\n"
         "x?[b,c,i+p-1,j+q] += w[o,c,p,q] * g[b,o,i,j]\n", "x",
         "x[b,c,i,j] = sum[o,p,q] w[o,c,p,q] * g?[b,o,i+1-p,j-q]\n"},
        {"dilated",
         "param w[3,2,3]\n"
         "input g[b,3,5]\n"
         "temp x[b,2,9]\n"
         "x[b,c,i+2*p] += w[o,c,p] * g[b,o,i]\n", "x",
         "x[b,c,i] = sum[o,p] w[o,c,p] * g?[b,o,i-2*p]\n"},
        {"stride 2, kernel 3, padded, even size",
         "param w[3,2,3]\n"
         "input g[b,3,4]\n"
         "temp x[b,2,8]\n"
         "x?[b,c,2*i+p-1] += w[o,c,p] * g[b,o,i]\n", "x",
         "x[b,c,2*i+ir] = sum[o,p] w?[o,c,2*p+(ir+1)%2] * g?[b,o,i+(ir+1)//2-p]\n"},
        {"stride 2, kernel 3, padded, odd size",
         "param w[3,2,3]\n"
         "input g[b,3,4]\n"
         "temp x[b,2,7]\n"
         "x?[b,c,2*i+p-1] += w[o,c,p] * g[b,o,i]\n", "x",
         "x[b,c,i] = sum[o,p] w?[o,c,2*p+(i+1)%2] * g?[b,o,(i+1)//2-p]\n"},
        {"stride 2, kernel 4",
         "param w[3,2,4]\n"
         "input g[b,3,3]\n"
         "temp x[b,2,8]\n"
         "x[b,c,2*i+p] += w[o,c,p] * g[b,o,i]\n", "x",
         "x[b,c,2*i+ir] = sum[o,p] w[o,c,2*p+ir] * g?[b,o,i-p]\n"},
        {"stride 3, kernel 5, dilated by 2",
         "param w[3,2,5]\n"
         "input g[b,3,4]\n"
         "temp x[b,2,18]\n"
         "x[b,c,3*i+2*p] += w[o,c,p] * g[b,o,i]\n", "x",
         "x[b,c,3*i+ir] = sum[o,p] w?[o,c,3*p+2*ir%3] * g?[b,o,i+(ir+6-2*(2*ir%3))//3-2*p-2]\n"},
        {"stride 2, dilated by 2: not coprime",
         "param w[3,2,3]\n"
         "input g[b,3,4]\n"
         "temp x[b,2,12]\n"
         "x[b,c,2*i+2*p] += w[o,c,p] * g[b,o,i]\n", "x",
         "x[b,c,2*i+ir] = sum[o,p] (if ir == 0 then w[o,c,p] * g?[b,o,i-p] else 0)\n"},
        {"stride 2, kernel 1",
         "param w[3,2]\n"
         "input g[b,3,4]\n"
         "temp x[b,2,8]\n"
         "x[b,c,2*i] += w[o,c] * g[b,o,i]\n", "x",
         "x.dense[b,c,i] = sum[o] w[o,c] * g[b,o,i]\n"
         "x[b,c,i] = if i % 2 == 0 then x.dense[b,c,i//2] else 0\n"},
        {"stride 3, kernel 2: gaps",
         "param w[3,2,2]\n"
         "input g[b,3,3]\n"
         "temp x[b,2,9]\n"
         "x[b,c,3*i+p] += w[o,c,p] * g[b,o,i]\n", "x",
         "x[b,c,3*i+ir] = sum[o] w?[o,c,ir] * g[b,o,i]\n"},
        {"pooling that fits",
         "input g[b,2,3]\n"
         "temp x[b,2,6]\n"
         "x[b,c,2*i+p 2] += g[b,c,i] / 2\n", "x",
         "x[b,c,2*i+p] = g[b,c,i] / 2\n"},
        {"pooling that leaves a rest",
         "input g[b,2,3]\n"
         "temp x[b,2,7]\n"
         "x[b,c,2*i+p 2] += g[b,c,i] / 2\n", "x",
         "x[b,c,i] = g?[b,c,i//2] * 0.5\n"},
        {"pooling, largest",
         "input g[b,2,3]\n"
         "input a[b,2,3] below 2\n"
         "temp x[b,2,6]\n"
         "x[b,c,2*i+p 2] += if a[b,c,i] == p then g[b,c,i] else 0\n", "x",
         "x[b,c,2*i+p] = if a[b,c,i] == p then g[b,c,i] else 0\n"},
        {"pooling, largest, overlapping",
         "input g[b,2,4]\n"
         "input a[b,2,4] below 3\n"
         "temp x[b,2,8]\n"
         "x?[b,c,2*i+p 3-1] += if a[b,c,i] == p then g[b,c,i] else 0\n", "x",
         "x[b,c,2*i+ir] = sum[p] (if 2 * p + (ir + 1) % 2 < 3 then (if a?[b,c,i+(ir+1)//2-p] == 2 * p + (ir + 1) % 2 then g?[b,c,i+(ir+1)//2-p] else 0) else 0)\n"},
        {"pooling of constants",
         "temp x[7]\n"
         "x?[2*i 4+p 3-1] += 1\n", "x",
         "x[i] = sum[p] (if (i + 1) // 2 - p >= 0 then (if 2 * p + (i + 1) % 2 < 3 then 1 else 0) else 0)\n"},
        {"groups",
         "param w[6,2,3]\n"
         "input g[b,6,5]\n"
         "temp x[b,4,7]\n"
         "x[b,o 6//3*2+c,i+p] += w[o,c,p] * g[b,o,i]\n", "x",
         "x[b,2*o+c,i] = sum[or,p] w[3*o+or,c,p] * g?[b,3*o+or,i-p]\n"},
        {"flatten",
         "input x[b,2,3,4]\n"
         "temp f[b,24]\n"
         "f[b,c*12+i*4+j] += x[b,c,i,j]\n", "f",
         "f[b,12*c+4*i+j] = x[b,c,i,j]\n"},
        {"flatten with a rest",
         "input x[b,2,3]\n"
         "temp f[b,7]\n"
         "f[b,c*3+i] += x[b,c,i]\n", "f",
         "f[b,c] = x?[b,c//3,c%3]\n"},
        {"label",
         "input e[b]\n"
         "input label[b] below 5\n"
         "temp z[b,5]\n"
         "z[b,label[b]] += e[b]\n", "z",
         "z[b,k] = if k == label[b] then e[b] else 0\n"},
        {"embedding stays",
         "input g[b,6,2]\n"
         "input t[b,6] below 50\n"
         "temp e[50,2]\n"
         "e[t[b,i],d] += g[b,i,d]\n", "e",
         "e[t[b,i],d] += g[b,i,d]\n"},
        {"concat",
         "input g[b,6]\n"
         "temp x[b,2]\n"
         "temp y[b,4]\n"
         "x?[b,c 6] += if c < 2 then g[b,c] else 0\n"
         "y?[b,c 6-2] += if c < 2 then 0 else g[b,c]\n", "x y",
         "x[b,c] = g[b,c]\n"
         "y[b,c] = g[b,c+2]\n"},
        {"one place",
         "input g[b,3]\n"
         "temp x[b,4,3]\n"
         "x[b,3,i] += g[b,i]\n", "x",
         "x[b,k,i] = if k == 3 then g[b,i] else 0\n"},
        {"transposed convolution, its margin cut off",
         "param w[3,2,3]\n"
         "input x[b,3,4]\n"
         "temp whole[b,2,9]\n"
         "whole[b,c,2*i+p] += w[o,c,p] * x[b,o,i]\n"
         "y[b,c,i 8] = whole?[b,c,i+1]\n", "y",
         "y[b,c,2*i+ir] = sum[o,p] w?[o,c,2*p+(ir+1)%2] * x?[b,o,i+(ir+1)//2-p]\n"},
        {"a window on a scatter that others read",
         "input x[b,4]\n"
         "temp whole[b,9]\n"
         "whole[b,2*i+p 3] += x[b,i]\n"
         "y[b,i 6] = whole[b,i+1]\n"
         "z[b,i] = whole[b,i]^2\n", "y z",
         "whole[b,i] = sum[p] (if 2 * p + i % 2 < 3 then x?[b,i//2-p] else 0)\n"
         "y[b,i] = whole[b,i+1]\n"
         "z[b,i] = whole[b,i]^2\n"},
        {"diagonal",
         "input g[3]\n"
         "temp x[3,3]\n"
         "x[i,i] += g[i]\n", "x",
         "x[i,k] = if k == i then g[i] else 0\n"},
        {"from the end",
         "input g[3]\n"
         "temp x[5]\n"
         "x[4-i] += g[i]^2\n", "x",
         "x[i] = g?[4-i]^2\n"},
        {"nonlinear in what is read",
         "input x[b,7]\n"
         "input g[b,5]\n"
         "temp d[b,7]\n"
         "d[b,i+p 3] += 2 * g[b,i] * x[b,i+p] / (1 + x[b,i+p]^2)\n", "d",
         "d[b,i] = sum[p] (if i - p >= 0 and i - p < 5 then 2 * g?[b,i-p] * x[b,i] / (1 + x[b,i]^2) else 0)\n"},
        {"no factor is 0 outside",
         "input g[b,5]\n"
         "temp d[b,7]\n"
         "d[b,i+p 3] += exp(g[b,i])\n", "d",
         "d[b,i] = sum[p] (if i - p >= 0 and i - p < 5 then exp(g?[b,i-p]) else 0)\n"},
    };
    CHECK_ROWS(graph_gather, rows);
}
END_TEST

START_TEST(simplify_rows)
{
    static const Row rows[] = {
        {"copies and constants",
         "input x[b,3]\n"
         "y[b,i] = x[b,i]\n"
         "k[b,i 3] = 2\n"
         "z[b,j 3] = y[b,j] * k[b,j] + y[b,2]\n", "z",
         "y[b,i] = x[b,i]\n"
         "k[b,i] = 2\n"
         "z[b,j] = x[b,j] * 2 + x[b,2]\n"},
        {"a copy that is wanted stays",
         "input x[b,3]\n"
         "y[b,i] = x[b,i]\n"
         "z[b,i] = y[b,i]^2\n", "y z",
         "y[b,i] = x[b,i]\n"
         "z[b,i] = x[b,i]^2\n"},
        {"a shifted copy is read, not copied",
         "input x[b,3]\n"
         "y[b,i 2] = x[b,i+1]\n"
         "z[b,i 3] = y?[b,i-1]\n", "z",
         "y[b,i] = x[b,i+1]\n"
         "z[b,i] = y?[b,i-1]\n"},
        {"equal up to names",
         "input x[b,3]\n"
         "param w[3]\n"
         "y[b,i] = x[b,i] * w[i]\n"
         "z[b,c] = x[b,c] * w[c]\n"
         "s[b] = sum[i] y[b,i]\n"
         "t[b] = sum[k] z[b,k]\n"
         "r[b] = s[b] + t[b]\n", "r",
         "y[b,i] = x[b,i] * w[i]\n"
         "z[b,c] = x[b,c] * w[c]\n"
         "s[b] = sum[i] y[b,i]\n"
         "t[b] = s[b]\n"
         "r[b] = s[b] + s[b]\n"},
        {"equal but for an axis",
         "input x[3,3]\n"
         "y[i,j] = x[i,j] * 2\n"
         "z[i,j] = x[j,i] * 2\n"
         "r[i,j] = y[i,j] + z[i,j]\n", "r",
         "y[i,j] = x[i,j] * 2\n"
         "z[i,j] = x[j,i] * 2\n"
         "r[i,j] = y[i,j] + z[i,j]\n"},
        {"conditions that ranges decide",
         "input x[6]\n"
         "y[i] = if i < 6 then x[i] else 0\n"
         "z[i 4] = if i + 2 >= 6 then 1 else x[i+2]\n"
         "r[i 6] = if i < 4 and i >= 0 then 1 else x[i]\n", "y z r",
         "y[i] = x[i]\n"
         "z[i] = x[i+2]\n"
         "r[i] = if i < 4 then 1 else x[i]\n"},
        {"digits put together",
         "input x[b,12]\n"
         "y[b,i 12] = x[b,i//4*4+i%4] + x[b,(3*i+2)//3]\n", "y",
         "y[b,i] = x[b,i] + x[b,i]\n"},
        {"padding that is not needed",
         "input x[6]\n"
         "y[i 4] = x?[i+1] * x?[i+3]\n", "y",
         "y[i] = x[i+1] * x?[i+3]\n"},
        {"factors leave the sum",
         "input x[b,5]\n"
         "param w[3,5]\n"
         "scalar total\n"
         "y[o,c] = sum[b] x[b,c] * 2 / total * w[o,c]\n", "y",
         "y.sum[o,c] = sum[b] x[b,c]\n"
         "y[o,c] = y.sum[o,c] * w[o,c] / total * 2\n"},
        {"a condition leaves the sum",
         "input x[b,5]\n"
         "scalar count\n"
         "y[b] = sum[c] (if b < count then 0 - x[b,c] else 0)\n", "y",
         "y.sum[b] = sum[c] (0 - x[b,c])\n"
         "y[b] = if b < count then y.sum[b] else 0\n"},
        {"signs",
         "input x[3]\n"
         "y[i] = x[i] + (-x[2])\n"
         "z[i] = -x[i] * x[2]\n"
         "r[i] = x[i] / (-x[2])\n", "y z r",
         "y[i] = x[i] - x[2]\n"
         "z[i] = -(x[i] * x[2])\n"
         "r[i] = -(x[i] / x[2])\n"},
        {"x - x stays: x may be infinite",
         "input x[3]\n"
         "y[i] = x[i] - x[i]\n"
         "z[i] = x[i] * 0\n"
         "r[i] = x[i] + 0\n", "y z r",
         "y[i] = x[i] - x[i]\n"
         "z[i] = x[i] * 0\n"
         "r[i] = x[i] + 0\n"},
        {"division by powers of two",
         "input x[3]\n"
         "y[i] = x[i] / 4\n"
         "z[i] = x[i] / 3\n", "y z",
         "y[i] = x[i] * 0.25\n"
         "z[i] = x[i] / 3\n"},
        {"sums of one term",
         "param w[3,2,1,1]\n"
         "input x[b,2,4,4]\n"
         "y[b,o,i 4,j 4] = sum[c,p,q] w[o,c,p,q] * x[b,c,i+p,j+q]\n", "y",
         "y[b,o,i,j] = sum[c] w[o,c,0,0] * x[b,c,i,j]\n"},
        {"a sum of one element",
         "input x[b,1]\n"
         "y[b] = sum[i] x[b,i] + 1\n"
         "z[b] = argmax[i] x[b,i]\n", "y z",
         "y[b] = x[b,0] + 1\n"
         "z[b] = 0\n"},
        {"a sum that counts",
         "scalar count\n"
         "n = sum[b] (if b < count then 1 else 0)\n"
         "m = sum[i 5] 2 * count\n", "n m",
         "n = sum[b] (if b < count then 1 else 0)\n"
         "m = 2 * count * 5\n"},
    };
    CHECK_ROWS(graph_simplify, rows);
}
END_TEST

START_TEST(hoist_rows)
{
    static const Row rows[] = {
        {"Adam's corrections",
         "param w[4]\n"
         "input m[4]\n"
         "input v[4]\n"
         "scalar steps\n"
         "scalar base_lr\n"
         "z[i] = w[i] - base_lr * (m[i] / (1 - pow(0.9, steps))) / (sqrt(v[i] / (1 - pow(0.99, steps))) + 0.01)\n", "z",
         "scalar = 1 / (1 - 0.9^steps)\n"
         "scalar.2 = 1 / (1 - 0.99^steps)\n"
         "z[i] = w[i] - base_lr * (m[i] * scalar) / (sqrt(v[i] * scalar.2) + 0.01)\n"},
        {"the same twice",
         "input x[4]\n"
         "scalar steps\n"
         "y[i] = x[i] * exp(steps)\n"
         "z[i] = x[i] + 2 * exp(steps)\n", "y z",
         "scalar = exp(steps)\n"
         "y[i] = x[i] * scalar\n"
         "scalar.2 = 2 * exp(steps)\n"
         "z[i] = x[i] + scalar.2\n"},
        {"no loop, no hoist",
         "scalar steps\n"
         "y = exp(steps) + 1\n", "y",
         "y = exp(steps) + 1\n"},
        {"out of a reduction, not out of its scalar tail",
         "input x[b]\n"
         "scalar total\n"
         "y = log(total) * sum[b] x[b] * exp(total)\n", "y",
         "scalar = exp(total)\n"
         "y.sum = sum[b] x[b]\n"
         "y = log(total) * (y.sum * scalar)\n"},
        {"what fewer indices need",
         "input x[b,2,30]\n"
         "input v[2]\n"
         "param w[2]\n"
         "y[b,c,i] = w[c] * x[b,c,i] / sqrt(v[c] + 0.1)\n", "y",
         "y.part[c] = 1 / sqrt(v[c] + 0.1)\n"
         "y[b,c,i] = w[c] * x[b,c,i] * y.part[c]\n"},
        {"a row's sum",
         "input x[b,20]\n"
         "s[b] = sum[i] exp(x[b,i])\n"
         "y[b,i] = exp(x[b,i]) / s[b]\n", "y",
         "s[b] = sum[i] exp(x[b,i])\n"
         "y.part[b] = 1 / s[b]\n"
         "y[b,i] = exp(x[b,i]) * y.part[b]\n"},
    };
    CHECK_ROWS(graph_hoist, rows);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("passes");
    TCase *t = tcase_create("rows");

    tcase_add_test(t, gather_rows);
    tcase_add_test(t, simplify_rows);
    tcase_add_test(t, hoist_rows);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_set_fork_status(r, CK_NOFORK);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
