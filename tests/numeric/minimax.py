#!/usr/bin/env python3
"""Derives the polynomials of runtime/nn_math.h.

    python3 tests/numeric/minimax.py [name ...]

Each row below states a function, a basis of powers of x, an interval and the error to be made small (weight * error).
The polynomial with the smallest largest error is found; then the coefficients are rounded to floats one after
another, lowest power first, and the rest is fitted again each time, so that the later ones make good what rounding
the earlier ones spoilt. Printed: the coefficients as exact hexadecimal constants, and log2 of the largest error left.
Needs mpmath and numpy.
"""
import struct
import sys
import numpy as np
from mpmath import mp, mpf, cos, pi, exp, expm1, log, log1p, sin, tan, atan, erf, erfc, sqrt

mp.prec = 160
POINTS = 1000  # of the grid on which the error is looked at
ROUNDS = 150


def grid(a, b):
    """Chebyshev points: dense where the error of a good polynomial peaks, at the ends."""
    return [(a + b) / 2 + (b - a) / 2 * cos(pi * (2 * i + 1) / (2 * POINTS)) for i in range(POINTS)][::-1]


def minimax(values, powers, weights, xs):
    """Coefficients of the powers that make max |weight * (value - polynomial)| smallest on the points xs.

    Lawson's iteration: least squares, where each point then gains importance in proportion to its error. Slower than
    Remez' exchange, but it asks nothing of the basis, and once low powers are fixed the others have no alternation."""
    basis = np.array([[x ** p for p in powers] for x in xs], float) * weights[:, None]
    wanted = values * weights
    scale = np.abs(basis).max(axis=0)
    importance = np.ones(len(xs)) / len(xs)
    best, least = None, np.inf
    for _ in range(ROUNDS):
        root = np.sqrt(importance)
        c = np.linalg.lstsq(basis / scale * root[:, None], wanted * root, rcond=None)[0] / scale
        errors = np.abs(wanted - basis @ c)
        if errors.max() < least:
            best, least = c, errors.max()
        importance *= errors
        importance /= importance.sum()
    return best


def to_float(x):
    return mpf(struct.unpack("<f", struct.pack("<f", float(x)))[0])


def to_double(x):
    return mpf(float(x))


def fit(function, powers, a, b, weight, rounding=to_float):
    xs = [x for x in grid(mpf(a), mpf(b)) if x != 0]
    rest = [function(x) for x in xs]
    weights = np.array([abs(weight(x)) for x in xs], float)
    left, found = list(powers), {}
    while left:
        c = minimax(np.array(rest, float), left, weights, xs)
        p = left.pop(0)
        found[p] = rounding(c[0])
        rest = [v - found[p] * x ** p for v, x in zip(rest, xs)]
    return found, np.abs(np.array(rest, float) * weights).max()


HALF_LN2 = log(mpf(2)) / 2 * mpf("1.0005")  # the reduced argument oversteps a little, being rounded
QUARTER_PI = pi / 4 * mpf("1.0005")
ROOT = sqrt(mpf(2))


def tail(function, head, power):
    """(function - head) / x^power: what the polynomial has to supply."""
    return lambda x: (function(x) - head(x)) / x ** power


ROWS = {
    # exp(r) = 1 + r + r^2 q(r), the error relative to expm1(r), so that expm1 can use it as well; tanh is content with less
    "exp": (tail(expm1, lambda r: r, 2), range(0, 6), -HALF_LN2, HALF_LN2, lambda r: r ** 2 / expm1(r)),
    "tanh": (tail(expm1, lambda r: r, 2), range(0, 5), -HALF_LN2, HALF_LN2, lambda r: r ** 2 / expm1(r)),
    # log(1 + f) = f - f^2/2 + f^3 q(f)
    "log": (tail(log1p, lambda f: f - f ** 2 / 2, 3), range(0, 8), mpf("-0.25"), mpf("0.5"),
            lambda f: f ** 3 / log1p(f)),
    # sin(r) = r + r^3 q(r^2), cos(r) = 1 - r^2/2 + r^4 q(r^2), tan(r) = r + r^3 q(r^2), atan(t) = t + t^3 q(t^2)
    "sin": (tail(sin, lambda r: r, 3), range(0, 6, 2), 0, QUARTER_PI, lambda r: r ** 3 / sin(r)),
    "cos": (tail(cos, lambda r: 1 - r ** 2 / 2, 4), range(0, 6, 2), 0, QUARTER_PI, lambda r: r ** 4 / cos(r)),
    "tan": (tail(tan, lambda r: r, 3), range(0, 14, 2), 0, QUARTER_PI, lambda r: r ** 3 / tan(r)),
    "atan": (tail(atan, lambda t: t, 3), range(0, 18, 2), 0, 1, lambda t: t ** 3 / atan(t)),
    # erf(x) = x + x q(x^2) up to 0.9; beyond it 1 - exp(-q(x)), where the error counts as much as exp(-q) does
    "erf_near": (tail(erf, lambda x: x, 1), range(0, 14, 2), 0, mpf("0.9"), lambda x: x / erf(x)),
    "erf_far": (lambda x: -log(erfc(x)), range(0, 9), mpf("0.9"), mpf("3.95"), lambda x: erfc(x) / erf(x)),
    # pow works in double: log2(1 + f) = f q(f), exp2(r) = q(r)
    "log2": (tail(lambda f: log1p(f) / log(mpf(2)), lambda f: 0, 1), range(0, 14), 1 / ROOT - 1, ROOT - 1,
             lambda f: f / log1p(f) * log(mpf(2)), to_double),
    "exp2": (lambda r: mpf(2) ** r, range(0, 8), mpf("-0.5"), mpf("0.5"), lambda r: mpf(2) ** -r, to_double),
}


def main(names):
    for name in names or ROWS:
        found, worst = fit(*ROWS[name])
        double = len(ROWS[name]) == 6
        print(f"/* {name}: error 2^{float(log(mpf(worst), 2)):.1f} */")
        for p, c in found.items():
            print(f"    {float(c).hex()}{'' if double else 'f'}, /* x^{p}: {mp.nstr(c, 10)} */")
    # constants split into exact parts: c = head + middle + tail
    for name, c, bits in (("ln 2", log(mpf(2)), 15), ("pi/2", pi / 2, 24)):
        head = mpf(int(c * 2 ** (bits if c < 1 else bits - 1))) / 2 ** (bits if c < 1 else bits - 1)
        middle = to_float(c - head)
        print(f"/* {name} */ {float(head).hex()}f, {float(middle).hex()}f, {float(to_float(c - head - middle)).hex()}f")


if __name__ == "__main__":
    main(sys.argv[1:])
