"""torch_bench.py -- the opponent: torch_bench.py WORKLOAD THREADS SETTINGS SECONDS CHUNKS prints one line of JSON, with
the keys of bench.c. SETTINGS are joined by +:

    eager      operator by operator
    traced     torch.jit.trace; frozen for predictions
    compile    torch.compile (inductor) of net and loss, and so of their derivatives
    whole      torch.compile of all a step does: forward, gradients and update as one function
    tuned      with compile: the C++ templates for matrix products, the best measured (max-autotune)
    wrapped    with compile: calls from C++ instead of Python
    last       channels_last
    foreach    the optimizer on lists of tensors; else its fused form

The environment that serves it best (see run) must be set before Python begins."""
import sys
import time

BEGAN = time.monotonic_ns()

import json  # noqa: E402
import os  # noqa: E402

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

from workloads import DECAY, MOMENTUM, RATE, WORKLOADS, layer_shape  # noqa: E402


class Residual(nn.Module):
    def __init__(self, shortcut, body):
        super().__init__()
        self.shortcut, self.body = shortcut, body

    def forward(self, x):
        return F.relu(self.body(x) + self.shortcut(x), inplace=True)


def build(net, shape):
    parts = []
    for layer in net:
        kind = layer[0]
        if kind == "conv":
            _, c, k, stride, pad, bias = layer
            parts.append(nn.Conv2d(shape[0], c, k, stride, pad, bias=bias))
        elif kind == "dense":
            parts.append(nn.Linear(shape[0], layer[1]))
        elif kind == "bn":
            parts.append(nn.BatchNorm2d(shape[0]))
        elif kind == "avgpool":
            parts.append(nn.AvgPool2d(layer[1]))
        elif kind == "maxpool":
            parts.append(nn.MaxPool2d(*layer[1:]))
        elif kind == "gap":
            parts += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        elif kind == "res":
            parts.append(Residual(build(layer[1], shape), build(layer[2], shape)))
        else:
            parts.append({"relu": lambda: nn.ReLU(inplace=True), "tanh": nn.Tanh, "flatten": nn.Flatten}[kind]())
        shape = layer_shape(layer, shape)
    return nn.Sequential(*parts) if parts else nn.Identity()


def memory_kb():
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))


def measure(work, samples, budget, chunks):
    """Samples a second, for each chunk; one call was made before."""
    for _ in range(2):
        start = time.perf_counter()
        work()
        one = time.perf_counter() - start
        if one > budget / 4:
            break
    n, rates, end = max(1, int(budget / chunks / one)), [], time.perf_counter() + 2 * budget
    while len(rates) < chunks and (not rates or time.perf_counter() < end):
        start = time.perf_counter()
        for _ in range(n):
            work()
        took = time.perf_counter() - start
        rates.append(samples * n / took)
        if took < budget / chunks / 4:  # the first calls were slow ones
            n, rates = int(n * budget / chunks / took) + 1, []
    return rates


def make_step(w, settings, net, loss, x, y):
    """One step of training, as a function of nothing."""
    rate = RATE[w.optimizer]
    if "whole" in settings:
        params = dict(net.named_parameters())
        first = {k: torch.zeros_like(p) for k, p in params.items()}
        second = {k: torch.zeros_like(p) for k, p in params.items()}
        steps = torch.zeros(())
        buffers = dict(net.named_buffers())

        def once(params, first, second, steps, buffers, x, y):
            with torch.enable_grad():
                value = loss(torch.func.functional_call(net, (params, buffers), (x,)), y)
                grads = torch.autograd.grad(value, list(params.values()))
            steps.add_(1)
            for (k, p), g in zip(params.items(), grads):
                if w.optimizer == "momentum":
                    g = first[k].mul_(MOMENTUM).add_(g + DECAY * p.detach())
                elif w.optimizer == "adam":
                    first[k].lerp_(g, 0.1)
                    second[k].mul_(0.999).addcmul_(g, g, value=0.001)
                    g = first[k] / (1 - 0.9 ** steps) / (torch.sqrt(second[k] / (1 - 0.999 ** steps)) + 1e-8)
                p.detach().sub_(g, alpha=rate)
            return value

        fast = torch.compile(once)
        return lambda: fast(params, first, second, steps, buffers, x, y)

    form = {"foreach": True} if "foreach" in settings else {"fused": True}
    if w.optimizer == "adam":
        optimizer = torch.optim.Adam(net.parameters(), lr=rate, **form)
    elif w.optimizer == "momentum":
        optimizer = torch.optim.SGD(net.parameters(), lr=rate, momentum=MOMENTUM, weight_decay=DECAY, **form)
    else:
        optimizer = torch.optim.SGD(net.parameters(), lr=rate, **form)

    def forward(x, y):
        return loss(net(x), y)

    fast = torch.compile(forward) if "compile" in settings else forward

    def once():
        optimizer.zero_grad(set_to_none=True)
        fast(x, y).backward()
        optimizer.step()

    return once


def main():
    name, threads, settings = sys.argv[1], int(sys.argv[2]), sys.argv[3].split("+")
    budget, chunks = float(sys.argv[4]), int(sys.argv[5])
    w = WORKLOADS[name]
    compiled = "compile" in settings or "whole" in settings
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    if compiled:
        import torch._inductor.config as inductor
        inductor.cpp_wrapper = "wrapped" in settings
        inductor.max_autotune = "tuned" in settings
        if "tuned" in settings:
            inductor.max_autotune_gemm_backends = "ATEN,CPP"
    last = {"memory_format": torch.channels_last} if "last" in settings else {}

    net = build(w.net, w.shape).to(**last)
    x = torch.randn(w.batch, *w.shape).contiguous(**last)
    y = torch.randint(0, w.classes, (w.batch,)) if w.classes else torch.randn(w.batch, 1)
    trained = torch.jit.trace(net, x) if "traced" in settings else net
    step = make_step(w, settings, trained, F.cross_entropy if w.classes else F.mse_loss, x, y)
    step()
    began = int(os.environ.get("START", BEGAN))
    out = {"first_ms": 1e-6 * (time.monotonic_ns() - began)}
    out["train"] = measure(step, w.batch, budget, chunks)
    out["memory_kb"] = memory_kb()

    net.eval()
    with torch.inference_mode():
        for n in (1, w.many) if w.many else (1,):
            if compiled:
                torch._dynamo.reset()
                inductor.freezing = True
            x = torch.randn(n, *w.shape).contiguous(**last)
            fast = torch.compile(net) if compiled else net
            if "traced" in settings:
                fast = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(net, x)))
            fast(x)
            out["predict%d" % n] = measure(lambda: fast(x), n, budget / 4, chunks)
    print(json.dumps(out))


main()
