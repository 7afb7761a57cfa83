"""jax_bench.py -- another opponent: jax_bench.py WORKLOAD THREADS SETTINGS SECONDS CHUNKS prints one line of JSON, with
the keys of bench.c. A whole step is one jit function whose arguments are given away. SETTINGS: first (NCHW) or last
(NHWC), where the channels stand. One thread: the process keeps to one processor, which is how XLA counts them."""
import os
import sys
import time

BEGAN = time.monotonic_ns()
name, threads, settings, budget, chunks = sys.argv[1:6]
if int(threads) < len(os.sched_getaffinity(0)):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-int(threads):])

import json  # noqa: E402

import jax  # noqa: E402
import jax.numpy as np  # noqa: E402
from jax import lax  # noqa: E402
from numpy.random import default_rng  # noqa: E402

from workloads import DECAY, MOMENTUM, RATE, WORKLOADS, layer_shape  # noqa: E402

w, LAST, draw = WORKLOADS[name], settings == "last", default_rng(0)
FORMAT = ("NHWC", "HWIO", "NHWC") if LAST else ("NCHW", "OIHW", "NCHW")
PLANE = (1, 2) if LAST else (2, 3)


def normal(*shape):
    return np.asarray(draw.standard_normal(shape, dtype="float32"))


def make(net, shape):
    """The parameters of a net: a list as long as the net; and the running statistics of its batch norms, likewise."""
    params, state = [], []
    for layer in net:
        p, s = (), ()
        if layer[0] == "conv":
            _, c, k, _, _, bias = layer
            scale = (2 / (shape[0] * k * k)) ** 0.5
            p = (normal(*((k, k, shape[0], c) if LAST else (c, shape[0], k, k))) * scale,) + ((np.zeros(c),) if bias else ())
        elif layer[0] == "dense":
            p = (normal(shape[0], layer[1]) * (2 / shape[0]) ** 0.5, np.zeros(layer[1]))
        elif layer[0] == "bn":
            p, s = (np.ones(shape[0]), np.zeros(shape[0])), (np.zeros(shape[0]), np.ones(shape[0]))
        elif layer[0] == "res":
            (p0, s0), (p1, s1) = make(layer[1], shape), make(layer[2], shape)
            p, s = (p0, p1), (s0, s1)
        params.append(p)
        state.append(s)
        shape = layer_shape(layer, shape)
    return params, state


def along(c):
    return c if LAST else c[:, None, None]


def pool(x, start, op, k, stride, pad):
    window, step, around = [1] * 4, [1] * 4, [(0, 0)] * 4
    for axis in PLANE:
        window[axis], step[axis], around[axis] = k, stride, (pad, pad)
    return lax.reduce_window(x, start, op, window, step, around)


def norm(x, p, s, training):
    if not training:
        scale = p[0] * lax.rsqrt(s[1] + 1e-5)
        return x * along(scale) + along(p[1] - s[0] * scale), s
    axes = (0,) + PLANE
    mean = x.mean(axes)
    variance = (x * x).mean(axes) - mean * mean
    scale = p[0] * lax.rsqrt(variance + 1e-5)
    n = x.size / mean.size
    after = (0.9 * s[0] + 0.1 * mean, 0.9 * s[1] + 0.1 * variance * n / (n - 1))
    return x * along(scale) + along(p[1] - mean * scale), lax.stop_gradient(after)


def apply(net, params, state, x, training):
    after = []
    for layer, p, s in zip(net, params, state):
        kind = layer[0]
        if kind == "conv":
            _, _, _, stride, pad, bias = layer
            x = lax.conv_general_dilated(x, p[0], (stride,) * 2, [(pad, pad)] * 2, dimension_numbers=FORMAT)
            x = x + along(p[1]) if bias else x
        elif kind == "dense":
            x = x @ p[0] + p[1]
        elif kind == "bn":
            x, s = norm(x, p, s, training)
        elif kind == "avgpool":
            x = pool(x, 0.0, lax.add, layer[1], layer[1], 0) / layer[1] ** 2
        elif kind == "maxpool":
            x = pool(x, -np.inf, lax.max, *layer[1:])
        elif kind == "gap":
            x = x.mean(PLANE)
        elif kind == "res":
            short, s0 = apply(layer[1], p[0], s[0], x, training)
            body, s1 = apply(layer[2], p[1], s[1], x, training)
            x, s = jax.nn.relu(short + body), (s0, s1)
        else:
            x = {"relu": jax.nn.relu, "tanh": np.tanh, "flatten": lambda x: x.reshape(len(x), -1)}[kind](x)
        after.append(s)
    return x, after


def loss(params, state, x, y):
    z, state = apply(w.net, params, state, x, True)
    if not w.classes:
        return ((z - y) ** 2).mean(), state
    return -np.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1).mean(), state


def update(params, moments, grads, t):
    """Moments: nothing, one or two as large as the parameters."""
    rate, each = RATE[w.optimizer], jax.tree_util.tree_map
    if w.optimizer == "sgd":
        return each(lambda p, g: p - rate * g, params, grads), moments
    if w.optimizer == "momentum":
        m = each(lambda m, p, g: MOMENTUM * m + g + DECAY * p, moments[0], params, grads)
        return each(lambda p, m: p - rate * m, params, m), (m,)
    m = each(lambda m, g: 0.9 * m + 0.1 * g, moments[0], grads)
    v = each(lambda v, g: 0.999 * v + 0.001 * g * g, moments[1], grads)
    a, b = 1 - 0.9 ** t, 1 - 0.999 ** t
    return each(lambda p, m, v: p - rate * (m / a) / (np.sqrt(v / b) + 1e-8), params, m, v), (m, v)


def step(params, moments, state, t, x, y):
    (_, state), grads = jax.value_and_grad(loss, has_aux=True)(params, state, x, y)
    params, moments = update(params, moments, grads, t)
    return params, moments, state, t + 1


def measure(work, samples, budget):
    """Samples a second, for each chunk; work(n) does n calls and waits for the last; one call was made before."""
    count, start = int(chunks), time.perf_counter()
    work(1)
    one = time.perf_counter() - start
    if one < budget / count:
        n = max(1, int(budget / count / one / 4))
        start = time.perf_counter()
        work(n)
        one = (time.perf_counter() - start) / n
    n, rates, end = max(1, int(budget / count / one)), [], time.perf_counter() + 2 * budget
    while len(rates) < count and (not rates or time.perf_counter() < end):
        start = time.perf_counter()
        work(n)
        rates.append(samples * n / (time.perf_counter() - start))
    return rates


def picture(n):
    shape = w.shape[1:] + w.shape[:1] if LAST and len(w.shape) == 3 else w.shape
    return normal(n, *shape)


def main():
    params, state = make(w.net, w.shape)
    moments = tuple(jax.tree_util.tree_map(np.zeros_like, params)
                    for _ in range({"sgd": 0, "momentum": 1, "adam": 2}[w.optimizer]))
    x = picture(w.batch)
    y = np.asarray(draw.integers(0, w.classes, w.batch)) if w.classes else normal(w.batch, 1)
    fast, now = jax.jit(step, donate_argnums=(0, 1, 2, 3)), [params, moments, state, np.float32(1)]

    def train(n):
        for _ in range(n):
            now[:] = fast(*now, x, y)
        jax.block_until_ready(now)

    train(1)
    out = {"first_ms": 1e-6 * (time.monotonic_ns() - int(os.environ.get("START", BEGAN)))}
    out["train"] = measure(train, w.batch, float(budget))
    with open("/proc/self/status") as f:
        out["memory_kb"] = next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))

    ask = jax.jit(lambda params, state, x: apply(w.net, params, state, x, False)[0])
    for n in (1, w.many) if w.many else (1,):
        x = picture(n)

        def predict(m):
            for _ in range(m):
                z = ask(now[0], now[2], x)
                z.block_until_ready()

        predict(1)
        out["predict%d" % n] = measure(predict, n, float(budget) / 4)
    print(json.dumps(out))


main()
