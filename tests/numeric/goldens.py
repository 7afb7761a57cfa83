#!/usr/bin/env python3
"""Writes tests/numeric/golden/*.txt: what PyTorch says, in float64, about every definition in lang/.

    python3 tests/numeric/goldens.py            (needs torch; written with 2.13)

numeric.c reads the files. A file is lines of words; the first word says what the line is. `#` begins a comment.

    case NAME                     a new case
    kind layer | loss | optimizer | schedule | metric
    expr TEXT                     as in a .nn file: conv(4, 3, stride = 2)
    define TEXT                   a line of a definition that expr uses (textbook.txt, written by hand)
    classes N                     how many classes the labels have
    training                      the layer runs as in training; else as in use
    lr X                          optimizers and schedules: the rate as given
    clock PER_EPOCH TOTAL         schedules: steps in an epoch, in all
    input NAME SIZES NUMBERS      real numbers; the first of SIZES is the batch: 2x3x7x7, or 2 for one number a sample
    label NAME SIZES NUMBERS      the same, class indices
    param NAME SIZES NUMBERS      by its name in the model: conv1.weight
    state NAME SIZES NUMBERS      before the call
    next NAME SIZES NUMBERS       the same after it
    upstream SIZES NUMBERS        gradients are those of sum(output * upstream)
    output SIZES NUMBERS          losses: the mean over the batch, SIZES 1; metrics: the value
    grad NAME SIZES NUMBERS       by the input or parameter NAME
    gradient SIZES NUMBERS        optimizers: of step 1, of step 2 ...
    after SIZES NUMBERS           optimizers: the weight after step 1, after step 2 ...
    valid NUMBERS                 schedules: the validation loss after each epoch
    rates NUMBERS                 schedules: the learning rate of step 1, 2 ...

Inputs are rounded to three decimals, so that they are short and the same double everywhere; results have 17 digits.
"""
import math
import os
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")


def short(t):
    return torch.round(t * 1000) / 1000


def draw(*size, scale=1.0, away=0.0):
    """Random numbers of three decimals; none nearer to 0 than `away`: for functions with a kink there."""
    t = short(torch.randn(*size) * scale)
    if away:
        t = torch.where(t.abs() < away, torch.full_like(t, away) * (2 * (t >= 0) - 1), t)
    return t


def text(t):
    return " ".join(repr(float(v)).removesuffix(".0") for v in torch.as_tensor(t).detach().reshape(-1))


def sizes(t):
    return "x".join(map(str, t.shape)) if t.dim() else "1"


class Writer:
    def __init__(self, name):
        self.file = open(os.path.join(here, name + ".txt"), "w")
        self.name = name
        self.n = 0
        self.file.write(f"# {name}: written by goldens.py, torch {torch.__version__.split('+')[0]}, float64\n")
        torch.manual_seed(sum(map(ord, name)))

    def line(self, *words):
        self.file.write(" ".join(map(str, words)) + "\n")

    def start(self, kind, expr):
        self.n += 1
        self.line(f"\ncase {self.name} {self.n}")
        self.line("kind", kind)
        self.line("expr", expr)

    def tensor(self, key, name, t):
        self.line(*[w for w in (key, name, sizes(t), text(t)) if w])

    def layer(self, expr, inputs, call, params=None, states=None, training=False, define=(), inner=""):
        """call(*inputs, **params) -> output; or (output, dict of states after it). `inner`: the layer in expr that has them."""
        self.start("layer", expr)
        for line in define:
            self.line("define", line)
        if training:
            self.line("training")
        name = expr.split("(")[0].split(" ")[0] + "1." + inner
        if not isinstance(inputs, dict):
            inputs = {"x": inputs}
        params, states = params or {}, states or {}
        for k, v in inputs.items():
            self.tensor("input", k, v)
        for k, v in params.items():
            self.tensor("param", name + k, v)
        for k, v in states.items():
            self.tensor("state", name + k, v)
        xs = [v.clone().requires_grad_() for v in inputs.values()]
        ps = {k: v.clone().requires_grad_() for k, v in params.items()}
        out = call(*xs, **ps)
        after = {}
        if isinstance(out, tuple):
            out, after = out
        up = draw(*out.shape)
        self.tensor("upstream", "", up)
        self.tensor("output", "", out)
        (out * up).sum().backward()
        for k, v in zip(inputs, xs):
            self.tensor("grad", k, v.grad if v.grad is not None else torch.zeros_like(v))
        for k, v in ps.items():
            self.tensor("grad", name + k, v.grad)
        for k, v in after.items():
            self.tensor("next", name + k, v)

    def loss(self, expr, inputs, call, label=None, classes=0, define=()):
        """call(*inputs[, label]) -> mean loss; gradients by the first input."""
        self.start("loss", expr)
        for line in define:
            self.line("define", line)
        if classes:
            self.line("classes", classes)
        for k, v in zip(("x", "label"), inputs.values()):
            self.tensor("input", k, v)
        if label is not None:
            self.tensor("label", "label", label)
        xs = [v.clone().requires_grad_(i == 0) for i, v in enumerate(inputs.values())]
        out = call(*xs, label) if label is not None else call(*xs)
        self.tensor("output", "", out)
        out.backward()
        self.tensor("grad", "x", xs[0].grad)

    def metric(self, expr, z, label, value, classes=0):
        self.start("metric", expr)
        if classes:
            self.line("classes", classes)
        self.tensor("input", "x", z)
        self.tensor("label" if classes else "input", "label", label)
        self.tensor("output", "", torch.as_tensor(value, dtype=torch.float64))


# ---- layers


def dense():
    w = Writer("dense")
    for b, c, o, bias in [(1, 1, 1, True), (2, 3, 4, True), (5, 7, 1, True), (3, 1, 5, True), (1, 13, 11, True),
                          (4, 2, 2, False), (2, 17, 3, False), (1, 1, 1, False), (7, 5, 5, True), (16, 3, 2, True),
                          (17, 2, 3, True), (2, 16, 16, True)]:
        p = {"weight": draw(o, c)}
        if bias:
            p["bias"] = draw(o)
        w.layer(f"dense({o})" if bias else f"dense({o}, bias = false)", draw(b, c), lambda x, weight, bias=None: F.linear(x, weight, bias), p)
    w.layer("dense(3)", draw(2, 5, 4), lambda x, weight, bias: F.linear(x, weight, bias), {"weight": draw(3, 4), "bias": draw(3)})
    w.layer("dense(2)", draw(2, 2, 3, 4), lambda x, weight, bias: F.linear(x, weight, bias), {"weight": draw(2, 4), "bias": draw(2)})


def dims(v):
    return "x".join(map(str, v)) if isinstance(v, tuple) else str(v)


def tf_same(x, k, s, d):
    """x padded as TensorFlow's SAME does: the odd zero at the end."""
    pads = []
    for i in range(x.dim() - 2):
        n = x.shape[2 + i]
        total = max((-(-n // s[i]) - 1) * s[i] + d[i] * (k[i] - 1) + 1 - n, 0)
        pads = [total // 2, total - total // 2] + pads
    return F.pad(x, pads)


def convolution(name, rank, rows):
    w = Writer(name)
    call = [F.conv1d, F.conv2d, F.conv3d][rank - 1]
    for b, shape, o, k, options in rows:
        full = lambda v: v if isinstance(v, tuple) else (v,) * rank
        g, bias = options.get("groups", 1), options.get("bias", True)
        s, d, pad = full(options.get("stride", 1)), full(options.get("dilation", 1)), options.get("pad", 0)
        p = {"weight": draw(o, shape[0] // g, *full(k), scale=0.5)}
        if bias:
            p["bias"] = draw(o)

        def run(x, weight, bias=None):
            if pad == "tf_same":
                return call(tf_same(x, full(k), s, d), weight, bias, s, 0, d, g)
            n = tuple(d[i] * (full(k)[i] // 2) for i in range(rank)) if pad == "same" else full(pad)
            return call(x, weight, bias, s, n, d, g)

        words = [str(o), dims(k)] + [f"{key} = {str(v).lower() if isinstance(v, bool) else dims(v)}" for key, v in options.items()]
        w.layer(f"conv({', '.join(words)})", draw(b, *shape), run, p)


def conv():
    convolution("conv1d", 1, [
        (1, (1, 1), 1, 1, {}), (2, (3, 7), 4, 3, {}), (2, (2, 8), 3, 2, {"stride": 2}), (1, (2, 11), 2, 5, {"pad": 2}),
        (3, (1, 5), 2, 3, {"pad": 1, "stride": 3}), (2, (2, 13), 2, 3, {"dilation": 3}), (2, (4, 6), 6, 3, {"groups": 2, "pad": 1}),
        (1, (3, 5), 3, 3, {"groups": 3}), (2, (2, 7), 1, 3, {"bias": False}), (1, (2, 9), 2, 3, {"pad": "same", "dilation": 2}),
        (2, (2, 8), 2, 4, {"pad": "tf_same", "stride": 2}), (2, (1, 7), 2, 3, {"pad": "tf_same", "stride": 2}),
        (1, (2, 3), 1, 3, {}), (1, (1, 3), 1, 5, {"pad": 4, "dilation": 2})])
    convolution("conv2d", 2, [
        (1, (1, 1, 1), 1, 1, {}), (2, (3, 5, 5), 4, 3, {}), (2, (2, 6, 7), 3, 3, {"stride": 2, "pad": 1}),
        (1, (2, 7, 5), 2, (3, 2), {}), (2, (1, 5, 6), 2, (2, 3), {"stride": (2, 1)}), (1, (3, 4, 4), 2, 1, {}),
        (1, (2, 5, 5), 2, 5, {"pad": 2}), (2, (2, 7, 7), 2, 3, {"dilation": 2}), (1, (1, 9, 8), 1, 3, {"dilation": (3, 2), "pad": (2, 1)}),
        (2, (4, 5, 5), 6, 3, {"groups": 2, "pad": 1}), (1, (3, 5, 4), 3, 3, {"groups": 3, "stride": 2, "pad": 1}),
        (2, (2, 4, 4), 6, 3, {"groups": 2, "bias": False}), (1, (4, 3, 3), 4, 1, {"groups": 4}), (3, (2, 4, 5), 1, 2, {"bias": False}),
        (1, (2, 6, 6), 2, 3, {"pad": "same"}), (1, (2, 7, 6), 2, 3, {"pad": "same", "stride": 2}),
        (1, (2, 6, 7), 2, 3, {"pad": "tf_same", "stride": 2}), (1, (1, 6, 6), 2, 4, {"pad": "tf_same"}),
        (1, (1, 2, 2), 1, 3, {"pad": 3}), (17, (1, 3, 3), 2, 2, {}), (1, (5, 3, 3), 7, 3, {}), (2, (1, 7, 3), 1, 2, {"stride": 3})])
    convolution("conv3d", 3, [
        (1, (1, 1, 1, 1), 1, 1, {}), (1, (2, 3, 4, 3), 2, 2, {}), (2, (1, 3, 3, 3), 2, 3, {}), (1, (1, 4, 3, 5), 1, 2, {"stride": 2}),
        (1, (2, 3, 3, 3), 1, 3, {"pad": 1}), (1, (1, 3, 4, 4), 2, (1, 2, 3), {}), (1, (1, 5, 5, 4), 1, 2, {"dilation": 2}),
        (1, (2, 3, 3, 2), 4, 2, {"groups": 2}), (1, (2, 2, 3, 3), 2, 3, {"groups": 2, "pad": 1, "bias": False}),
        (1, (1, 3, 4, 3), 1, (3, 1, 2), {"stride": (1, 2, 1), "pad": (1, 0, 1)}), (1, (1, 3, 3, 4), 1, 3, {"pad": "same"}),
        (1, (1, 3, 4, 3), 1, 2, {"pad": "tf_same", "stride": 2}), (2, (1, 2, 2, 2), 1, 2, {"bias": False})])


def deconv():
    def rows(name, rank, table):
        w = Writer(name)
        call = [F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d][rank - 1]
        for b, shape, o, k, options in table:
            full = lambda v: v if isinstance(v, tuple) else (v,) * rank
            g, bias = options.get("groups", 1), options.get("bias", True)
            p = {"weight": draw(shape[0], o // g, *full(k), scale=0.5)}
            if bias:
                p["bias"] = draw(o)
            words = [str(o), dims(k)] + [f"{key} = {str(v).lower() if isinstance(v, bool) else dims(v)}" for key, v in options.items()]
            w.layer(f"deconv({', '.join(words)})", draw(b, *shape), lambda x, weight, bias=None: call(
                x, weight, bias, options.get("stride", 1), options.get("pad", 0), options.get("extra", 0), g, options.get("dilation", 1)), p)
    rows("deconv1d", 1, [
        (1, (1, 1), 1, 1, {}), (2, (3, 4), 2, 3, {}), (2, (2, 5), 3, 2, {"stride": 2}), (1, (2, 5), 2, 3, {"pad": 1}),
        (1, (2, 4), 2, 3, {"stride": 2, "pad": 1, "extra": 1}), (2, (1, 5), 2, 3, {"dilation": 2}), (2, (4, 3), 2, 3, {"groups": 2}),
        (1, (3, 4), 3, 2, {"groups": 3, "stride": 3}), (1, (2, 5), 1, 4, {"bias": False, "pad": 2}), (1, (2, 3), 1, 2, {"stride": 4, "extra": 2}),
        (3, (1, 1), 2, 5, {}), (1, (2, 3), 4, 3, {"groups": 2, "stride": 2, "pad": 1, "dilation": 2, "extra": 1})])
    rows("deconv2d", 2, [
        (1, (1, 1, 1), 1, 1, {}), (2, (3, 3, 4), 2, 3, {}), (1, (2, 3, 3), 3, 2, {"stride": 2}), (1, (2, 4, 3), 2, 3, {"pad": 1}),
        (1, (2, 3, 4), 2, 3, {"stride": 2, "pad": 1, "extra": 1}), (1, (1, 3, 3), 2, (3, 2), {"stride": (1, 2)}),
        (1, (1, 3, 4), 1, 2, {"dilation": 2}), (2, (4, 2, 3), 2, 3, {"groups": 2}), (1, (3, 3, 3), 3, 2, {"groups": 3, "bias": False}),
        (1, (1, 2, 3), 1, (2, 3), {"stride": (3, 2), "extra": (2, 0)}), (1, (2, 3, 2), 1, 4, {"stride": 2, "pad": 1}), (3, (2, 2, 2), 1, 1, {"stride": 2})])
    rows("deconv3d", 3, [
        (1, (1, 1, 1, 1), 1, 1, {}), (1, (2, 2, 3, 2), 2, 2, {}), (1, (1, 2, 2, 2), 2, 2, {"stride": 2}), (1, (1, 3, 2, 3), 1, 3, {"pad": 1}),
        (1, (1, 2, 2, 3), 1, 3, {"stride": 2, "pad": 1, "extra": 1}), (1, (2, 2, 2, 2), 2, 2, {"groups": 2}), (2, (1, 2, 2, 2), 1, (1, 2, 3), {}),
        (1, (1, 2, 3, 2), 1, 2, {"dilation": 2}), (1, (2, 1, 2, 1), 1, 2, {"bias": False}), (1, (1, 2, 1, 2), 1, 2, {"stride": (1, 2, 3)}),
        (1, (1, 2, 2, 2), 1, 2, {"stride": 2, "extra": (1, 0, 1)}), (1, (4, 1, 2, 2), 4, 2, {"groups": 4})])


def pooling():
    def rows(name, expr, calls, table):
        w = Writer(name)
        for b, shape, k, options in table:
            x = draw(b, *shape)
            if options.pop("ties", False):
                x = torch.round(x)
            rank = len(shape) - 1
            full = lambda v: v if isinstance(v, tuple) else (v,) * rank
            words = [dims(k)] + [f"{key} = {dims(v)}" for key, v in options.items()]
            pad = tuple(n // 2 for n in full(k)) if options.get("pad") == "same" else options.get("pad", 0)
            w.layer(f"{expr}({', '.join(words)})", x, lambda x: calls[rank - 1](x, k, options.get("stride", k), pad))
    table = [
        (1, (1, 4), 2, {}), (2, (3, 7), 3, {}), (2, (2, 8), 3, {"stride": 2}), (1, (1, 5), 3, {"stride": 1, "pad": 1}), (3, (1, 1), 1, {}),
        (1, (1, 2, 2), 2, {}), (2, (3, 6, 6), 2, {}), (1, (2, 7, 5), 3, {"stride": 2}), (2, (1, 7, 7), 3, {"stride": 2, "pad": 1}),
        (1, (2, 5, 6), (2, 3), {}), (1, (2, 6, 5), (3, 2), {"stride": (1, 2)}), (1, (1, 5, 5), 3, {"stride": 1, "pad": "same"}),
        (1, (2, 1, 3), 1, {}), (2, (2, 6, 5), 4, {"stride": 3, "pad": 2}), (1, (1, 3, 3), 3, {}), (17, (1, 4, 4), 2, {}),
        (1, (1, 7, 5), (3, 2), {"stride": (3, 1), "pad": (1, 0)}), (2, (2, 6, 6), 2, {"ties": True}), (1, (1, 8, 8), 3, {"stride": 2, "ties": True}),
        (1, (1, 2, 2, 2), 2, {}), (1, (2, 4, 3, 5), 2, {}), (1, (1, 4, 4, 3), 3, {"stride": 1, "pad": 1}), (1, (1, 3, 4, 4), (1, 2, 3), {}),
        (1, (1, 5, 4, 3), 2, {"stride": (2, 1, 1), "pad": (1, 0, 1)})]
    rows("maxpool", "maxpool", [F.max_pool1d, F.max_pool2d, F.max_pool3d], [(b, s, k, dict(o)) for b, s, k, o in table])
    rows("avgpool", "avgpool", [F.avg_pool1d, F.avg_pool2d, F.avg_pool3d], [(b, s, k, dict(o)) for b, s, k, o in table])

    w = Writer("globalpool")
    for b, shape in [(1, (1, 1, 1)), (2, (3, 4, 5)), (1, (2, 7, 1)), (3, (1, 2, 2)), (2, (5, 3, 3)), (2, (3, 6)), (1, (2, 1)),
                     (1, (2, 2, 3, 4)), (1, (7, 3, 2)), (17, (2, 2, 2)), (2, (1, 13)), (1, (4, 5, 5))]:
        x = draw(b, *shape)
        axes = tuple(range(2, x.dim()))
        w.layer("globalavgpool", x, lambda x: x.mean(dim=axes))
        w.layer("globalmaxpool", x, lambda x: x.flatten(2).max(dim=2).values)
    for b, shape, h, v in [(1, (1, 4, 4), 2, 2), (2, (2, 6, 6), 3, 2), (1, (1, 5, 5), 2, 2), (1, (2, 7, 5), 3, 3), (1, (1, 3, 3), 5, 4),
                           (2, (1, 1, 1), 1, 1), (1, (2, 8, 3), 3, 1), (1, (1, 7, 7), 7, 7), (2, (1, 5, 4), 1, 3), (1, (1, 2, 9), 2, 4),
                           (1, (3, 4, 6), 4, 5), (1, (1, 11, 2), 4, 1)]:
        w.layer(f"adaptive_avgpool({h}, {v})", draw(b, *shape), lambda x: F.adaptive_avg_pool2d(x, (h, v)))


def norms():
    w = Writer("batchnorm")
    for b, shape, options in [(2, (3,), {}), (4, (1,), {}), (3, (2, 5), {}), (2, (3, 2, 2), {}), (1, (2, 3, 3), {}), (5, (2, 1, 1), {}),
                              (2, (2, 2, 2, 2), {}), (3, (4, 3, 1), {"update": 0.01}), (2, (2, 3, 2), {"eps": 0.001}), (17, (2,), {}),
                              (2, (1, 7, 5), {"update": 1}), (3, (5, 2), {"update": 0.25, "eps": 0.1})]:
        c = shape[0]
        p = {"weight": draw(c), "bias": draw(c)}
        s = {"running_mean": draw(c), "running_var": draw(c).abs() + 0.5, "num_batches_tracked": torch.tensor([4.0])}
        words = ", ".join(f"{k} = {v}" for k, v in options.items())
        expr = f"batchnorm({words})" if words else "batchnorm"

        def run(x, weight, bias):
            m, v = s["running_mean"].clone(), s["running_var"].clone()
            y = F.batch_norm(x, m, v, weight, bias, True, options.get("update", 0.1), options.get("eps", 1e-5))
            return y, {"running_mean": m, "running_var": v, "num_batches_tracked": torch.tensor([5.0])}
        w.layer(expr, draw(b, *shape), run, p, s, training=True)
        w.layer(expr, draw(b, *shape), lambda x, weight, bias: F.batch_norm(
            x, s["running_mean"], s["running_var"], weight, bias, False, 0.1, options.get("eps", 1e-5)), p, s)
    for b, shape in [(3, (2,)), (2, (3, 2, 2))]:  # one of them, used twice: it sees two batches
        c = shape[0]
        p = {"weight": draw(c), "bias": draw(c)}
        s = {"running_mean": draw(c), "running_var": draw(c).abs() + 0.5, "num_batches_tracked": torch.tensor([4.0])}

        def run(x, weight, bias):
            m, v = s["running_mean"].clone(), s["running_var"].clone()
            y = F.batch_norm(torch.tanh(F.batch_norm(x, m, v, weight, bias, True)), m, v, weight, bias, True)
            return y, {"running_mean": m, "running_var": v, "num_batches_tracked": torch.tensor([6.0])}
        w.layer("twice", draw(b, *shape), run, p, s, True, ["layer twice of x {", "    same = batchnorm", "    x -> same -> tanh -> same", "}"],
                "same.")

    w = Writer("norms")
    for b, shape, eps in [(1, (2,), None), (2, (5,), None), (3, (7,), None), (2, (3, 4), None), (1, (2, 2, 3), None), (4, (13,), 0.1),
                          (1, (16,), None), (2, (17,), None), (5, (3,), 1e-3), (2, (2, 1), None), (1, (6,), None), (3, (1,), None)]:
        c = shape[-1]
        tail = "" if eps is None else f"(eps = {eps:g})"
        w.layer("layernorm" + tail, draw(b, *shape), lambda x, weight, bias: F.layer_norm(x, (c,), weight, bias, eps or 1e-5),
                {"weight": draw(c), "bias": draw(c)})
        w.layer("rmsnorm" + tail, draw(b, *shape), lambda x, weight: F.rms_norm(x, (c,), weight, eps or 1e-6), {"weight": draw(c)})
    for b, shape, g, eps in [(1, (2, 3), 1, None), (2, (4, 3), 2, None), (2, (6, 2, 2), 3, None), (1, (4, 3, 3), 4, None), (3, (2, 5), 2, None),
                             (2, (6,), 2, None), (1, (5, 2, 3), 1, 0.01), (1, (9, 2), 3, None), (2, (4, 1, 2), 2, None), (1, (2, 2, 2, 2), 2, None),
                             (17, (2, 2), 1, None), (1, (8, 1, 3), 4, 1e-3)]:
        tail = "" if eps is None else f", eps = {eps:g}"
        w.layer(f"groupnorm({g}{tail})", draw(b, *shape), lambda x, weight, bias: F.group_norm(x, g, weight, bias, eps or 1e-5),
                {"weight": draw(shape[0]), "bias": draw(shape[0])})
    for b, shape, affine, eps in [(1, (1, 2), False, None), (2, (3, 4), False, None), (1, (2, 3, 3), False, None), (3, (1, 2, 5), True, None),
                                  (2, (4, 2, 2), True, None), (1, (2, 2, 2, 3), False, None), (2, (2, 7), True, 0.01), (1, (5, 3), False, 1e-3),
                                  (1, (2, 1, 4), True, None), (4, (1, 3, 1), False, None), (1, (3, 5, 5), True, None), (2, (2, 2, 2, 2), True, None)]:
        words = (["affine = true"] if affine else []) + ([f"eps = {eps:g}"] if eps else [])
        w.layer(f"instancenorm({', '.join(words)})" if words else "instancenorm", draw(b, *shape),
                lambda x, weight=None, bias=None: F.instance_norm(x, weight=weight, bias=bias, eps=eps or 1e-5),
                {"weight": draw(shape[0]), "bias": draw(shape[0])} if affine else {})


def shapes():
    w = Writer("shapes")
    images = [(1, (1, 1, 1)), (2, (3, 4, 5)), (1, (2, 7, 1)), (3, (1, 2, 3)), (1, (4, 3, 3)), (2, (2, 5, 2)), (17, (1, 2, 2)), (1, (5, 1, 4)),
              (2, (6, 2, 1)), (1, (2, 3, 7)), (4, (1, 4, 4)), (1, (7, 2, 2))]
    for i, (b, s) in enumerate(images):
        x = draw(b, *s)
        n = 1 + i % 3
        w.layer("flatten", x, lambda x: x.flatten(1))
        w.layer(f"upsample({n})", x, lambda x: x.repeat_interleave(n, 2).repeat_interleave(n, 3))
        w.layer(f"subsample({n})", x, lambda x: x[:, :, ::n, ::n] * 1)
        w.layer(f"pad({n})", x, lambda x: F.pad(x, (n, n, n, n)))
        w.layer(f"pad_channels({s[0] + n - 1})", x, lambda x: F.pad(x, (0, 0, 0, 0, 0, n - 1)))
        w.layer("identity", x, lambda x: x * 1)
        p = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)][i % 6]
        w.layer(f"permute({p[0]}, {p[1]}, {p[2]})", x, lambda x: x.permute(0, *[1 + k for k in p]) * 1)
        shape = [(s[0] * s[1] * s[2],), (s[1], s[0] * s[2]), (s[2], s[0], s[1]), (1, s[2], s[1], s[0])][i % 4]
        w.layer(f"reshape({dims(shape) if len(shape) > 1 else shape[0]})", x, lambda x: x.reshape(b, *shape))
        w.layer("mul", {"x": x, "z": draw(b, *s)}, lambda x, z: x * z)
        w.layer("add", {"x": x, "z": draw(b, *s)}, lambda x, z: x + z)
        w.layer("concat", {"x": x, "z": draw(b, n, *s[1:])}, lambda x, z: torch.cat((x, z), 1))
        w.layer("dropout(0.3)", x, lambda x: x * 1)
    for b, s in [(2, (3,)), (1, (2, 3)), (2, (2, 2, 2, 3)), (1, (1,)), (3, (5, 2))]:
        x = draw(b, *s)
        w.layer("flatten", x, lambda x: x.flatten(1))
        w.layer("add", {"x": x, "z": draw(b, *s), "u": draw(b, *s)}, lambda x, z, u: x + z + u)
        w.layer("concat", {"x": x, "z": draw(b, *s), "u": draw(b, *s)}, lambda x, z, u: torch.cat((x, z, u), 1))
    w.layer("permute(1, 0)", draw(2, 3, 4), lambda x: x.transpose(1, 2) * 1)
    w.layer("split(2) -> mul", draw(2, 6), lambda x: x[:, :3] * x[:, 3:])
    w.layer("split(3) -> add", draw(2, 6, 2, 2), lambda x: x[:, :2] + x[:, 2:4] + x[:, 4:])
    w.layer("split(2) -> mul", draw(2, 3, 4), lambda x: x[:, :, :2] * x[:, :, 2:])
    for s, n in [((1, 3, 4), 2), ((2, 5, 1), 3), ((3, 2, 2), 4), ((1, 1, 7), 1)]:
        w.layer(f"bilinear({n})", draw(2, *s), lambda x: F.interpolate(x, scale_factor=n, mode="bilinear", align_corners=False))
    for p in [(0, 1, 2, 3), (1, 0, 2, 3), (3, 1, 0, 2), (2, 3, 1, 0)]:
        w.layer("permute(%d, %d, %d, %d)" % p, draw(2, 2, 3, 4, 5), lambda x: x.permute(0, *[1 + k for k in p]) * 1)
    for s, n in [((4, 1, 2), 2), ((9, 2, 1), 3), ((8, 3, 2), 2), ((3, 2, 2), 1)]:
        w.layer(f"pixel_shuffle({n})", draw(2, *s), lambda x: F.pixel_shuffle(x, n))


# ---- activations


def activations():
    w = Writer("activations")
    table = [
        ("relu", F.relu), ("relu6", F.relu6), ("leaky_relu(0.01)", lambda x: F.leaky_relu(x, 0.01)), ("leaky_relu(slope = 0.3)", lambda x: F.leaky_relu(x, 0.3)),
        ("elu", F.elu), ("elu(alpha = 0.5)", lambda x: F.elu(x, 0.5)), ("selu", F.selu), ("softplus", lambda x: torch.logaddexp(x, torch.zeros_like(x))),
        ("softplus(beta = 2)", lambda x: torch.logaddexp(2 * x, torch.zeros_like(x)) / 2), ("gelu", F.gelu),
        ("gelu(tanh = true)", lambda x: F.gelu(x, approximate="tanh")), ("silu", F.silu), ("mish", F.mish), ("hardtanh", F.hardtanh),
        ("hardtanh(low = -2, high = 0.5)", lambda x: F.hardtanh(x, -2, 0.5)),
        ("hardsigmoid", lambda x: torch.clamp(x + 3, 0, 6) / 6),  # the derivative of PyTorch's own is 1/6 as a float
        ("hardswish", F.hardswish),
        ("softsign", F.softsign), ("sigmoid", torch.sigmoid), ("tanh", torch.tanh), ("identity", lambda x: x * 1),
        ("step", lambda x: (x >= 0).double() + 0 * x), ("softmax", lambda x: F.softmax(x, -1)), ("log_softmax", lambda x: F.log_softmax(x, -1))]
    inputs = [(1, (1,), 1), (2, (5,), 1), (3, (7,), 3), (1, (13,), 10), (2, (2, 3), 1), (1, (2, 3, 2), 2), (4, (3,), 0.1), (17, (2,), 1),
              (1, (16,), 5), (2, (1, 4), 1), (3, (4,), 8), (1, (6,), 30)]
    for expr, call in table:
        for b, s, scale in inputs:
            if expr.startswith("mish") and scale == 30:
                scale = 15  # beyond 20 PyTorch's softplus is cut off
            w.layer(expr, draw(b, *s, scale=scale, away=0.002), call)
    for expr, call in table:
        if expr.split("(")[0] in ("relu", "leaky_relu", "elu", "selu", "silu", "softplus", "gelu", "softsign", "hardswish", "mish"):
            w.layer(expr, torch.tensor([[0.0, -0.0, 1.0]]), call)
    for b, s, scale in inputs:
        w.layer("prelu", draw(b, *s, scale=scale, away=0.002), lambda x, weight: F.prelu(x, weight), {"weight": draw(1)})
    for b, s, n in [(1, (2,), 2), (2, (6,), 2), (2, (6,), 3), (1, (4, 3), 2), (2, (4, 2, 2), 4), (1, (6, 1, 3), 2), (3, (5,), 5), (1, (1,), 1),
                    (2, (8, 2), 2), (1, (9, 2), 3), (17, (2,), 2), (1, (2, 2, 2, 2), 2)]:
        w.layer(f"maxout({n})" if n != 2 else "maxout", draw(b, *s), lambda x: x.reshape(b, s[0] // n, n, *s[1:]).max(dim=2).values)


# ---- losses


def losses():
    w = Writer("losses")
    pairs = [(1, (1,)), (2, (3,)), (5, (1,)), (3, (2, 2)), (1, (7,)), (2, (1, 3, 2)), (4, (5,)), (17, (2,)), (1, (13,)), (2, (2, 3)), (3, (4,)), (1, (1, 1, 1))]
    regress = [("mse", F.mse_loss), ("mae", F.l1_loss), ("huber", F.huber_loss), ("huber(delta = 0.3)", lambda y, t: F.huber_loss(y, t, delta=0.3)),
               ("smooth_l1", F.smooth_l1_loss), ("smooth_l1(beta = 0.3)", lambda y, t: F.smooth_l1_loss(y, t, beta=0.3))]
    for expr, call in regress:
        for b, s in pairs:
            w.loss(expr, {"y": draw(b, *s), "t": draw(b, *s)}, call)
    for b, s in pairs:
        w.loss("binary_cross_entropy", {"y": draw(b, *s, scale=3), "t": short(torch.rand(b, *s))}, F.binary_cross_entropy_with_logits)
        w.loss("binary_cross_entropy", {"y": draw(b, *s, scale=300), "t": (torch.rand(b, *s) > 0.5).double()}, F.binary_cross_entropy_with_logits)
        sign = 2.0 * (torch.rand(b, *s) > 0.5) - 1
        w.loss("hinge", {"y": draw(b, *s), "t": sign}, lambda y, t: F.relu(1 - t * y).mean())
        w.loss("hinge(margin = 0.2)", {"y": draw(b, *s), "t": sign}, lambda y, t: F.relu(0.2 - t * y).mean())
    w.loss("binary_cross_entropy", {"y": torch.zeros(2, 2), "t": torch.tensor([[0.0, 1.0], [0.3, 0.5]])}, F.binary_cross_entropy_with_logits)

    vectors = [(1, 2), (2, 3), (5, 4), (3, 7), (1, 13), (17, 2), (4, 10), (2, 5), (3, 3), (6, 2), (1, 16), (2, 11)]
    for b, c in vectors:
        y, t = draw(b, c), draw(b, c)
        w.loss("cosine", {"y": y, "t": t}, lambda y, t: (1 - F.cosine_similarity(y, t)).mean())
        p = torch.softmax(draw(b, c), -1)
        p[:, 0] = 0 if b % 2 else p[:, 0]
        w.loss("kl", {"y": short(F.log_softmax(y, -1)), "t": short(p)}, lambda y, t: F.kl_div(y, t, reduction="batchmean"))
        for expr, margin in [("triplet(a, p, n)", 1.0), ("triplet(a, p, n, margin = 3)", 3.0)]:
            w.loss(expr, {"y": draw(b, 3, c)}, lambda y: F.triplet_margin_loss(y[:, 0], y[:, 1], y[:, 2], margin=margin), define=[
                f"model M of x: 3x{c} -> a, p, n {{", "    a[c] = x[0, c]", "    p[c] = x[1, c]", "    n[c] = x[2, c]", "}"])
    for i, (b, c) in enumerate(vectors):
        label = torch.randint(c, (b,))
        weight = short(torch.rand(c) + 0.2)
        words = ", ".join(repr(float(v)) for v in weight)
        z = draw(b, c, scale=[1, 3, 0.1, 1e4][i % 4])
        hidden = int((label[0] + 1) % c)  # a class to ignore, never that of the first sample
        w.loss("cross_entropy", {"z": z}, F.cross_entropy, label, c)
        w.loss("cross_entropy(smoothing = 0.1)", {"z": z}, lambda z, l: F.cross_entropy(z, l, label_smoothing=0.1), label, c)
        w.loss(f"cross_entropy(weight = [{words}])", {"z": z}, lambda z, l: F.cross_entropy(z, l, weight), label, c)
        w.loss(f"cross_entropy(ignore = {hidden})", {"z": z}, lambda z, l: F.cross_entropy(z, l, ignore_index=hidden), label, c)
        w.loss(f"cross_entropy(smoothing = 0.2, weight = [{words}], ignore = {hidden})", {"z": z},
               lambda z, l: F.cross_entropy(z, l, weight, ignore_index=hidden, label_smoothing=0.2), label, c)
        logp = short(F.log_softmax(draw(b, c), -1))
        w.loss("nll", {"z": logp}, F.nll_loss, label, c)
        w.loss(f"nll(weight = [{words}])", {"z": logp}, lambda z, l: F.nll_loss(z, l, weight), label, c)
        w.loss(f"nll(ignore = {hidden})", {"z": logp}, lambda z, l: F.nll_loss(z, l, ignore_index=hidden), label, c)

        def focal(gamma):
            def run(z, l):
                logp = F.log_softmax(z, -1).gather(1, l[:, None])[:, 0]
                return (-(1 - logp.exp()) ** gamma * logp).mean()
            return run
        z = draw(b, c, scale=[1, 3, 0.1][i % 3])
        w.loss("focal", {"z": z}, focal(2), label, c)
        w.loss("focal(gamma = 3)", {"z": z}, focal(3), label, c)
    for b, c, h, v in [(1, 2, 1, 1), (2, 3, 2, 3), (3, 4, 5, 1), (1, 3, 4, 17)]:  # pictures of classes
        z, label = draw(b, c, h, v), torch.randint(c, (b, h, v))

        def focal(z, l):
            logp = F.log_softmax(z, 1).gather(1, l[:, None])[:, 0]
            return (-(1 - logp.exp()) ** 2 * logp).mean()

        def dice(smooth):
            def run(z, l):
                p, t = F.softmax(z, 1), F.one_hot(l, c).permute(0, 3, 1, 2).double()
                return (1 - (2 * (p * t).sum((2, 3)) + smooth) / ((p + t).sum((2, 3)) + smooth)).mean()
            return run
        w.loss("focal", {"z": z}, focal, label, c)
        w.loss("dice", {"z": z}, dice(1), label, c)
        w.loss("dice(smooth = 0.1)", {"z": z}, dice(0.1), label, c)
    for b, c, h, v, none in [(3, 4, 5, 1, 255), (1, 3, 4, 17, 3), (5, 2, 1, 2, 1)]:  # labels that are ignored, most of them no class
        z, label = draw(b, c, h, v), torch.randint(c, (b, h, v))
        label[torch.rand(b, h, v) < 0.3] = none
        label[0, 0, 0] = 0
        weight = short(torch.rand(c) + 0.2)
        words = ", ".join(repr(float(x)) for x in weight)
        here = (label != none).double()

        def focal(z, l):
            logp = F.log_softmax(z, 1).gather(1, (l * (l < c))[:, None])[:, 0]
            return (-(1 - logp.exp()) ** 2 * logp * (l != none)).sum() / (l != none).sum()

        def dice(z, l):
            p, t = F.softmax(z, 1) * here[:, None], F.one_hot(l, 256).permute(0, 3, 1, 2).double()[:, :c] * here[:, None]
            return (1 - (2 * (p * t).sum((2, 3)) + 1) / ((p + t).sum((2, 3)) + 1)).mean()
        w.loss(f"cross_entropy(ignore = {none})", {"z": z}, lambda z, l: F.cross_entropy(z, l, ignore_index=none), label, max(c, none + 1))
        w.loss(f"cross_entropy(smoothing = 0.2, weight = [{words}], ignore = {none})", {"z": z},
               lambda z, l: F.cross_entropy(z, l, weight, ignore_index=none, label_smoothing=0.2), label, max(c, none + 1))
        w.loss(f"focal(ignore = {none})", {"z": z}, focal, label, max(c, none + 1))
        w.loss(f"dice(ignore = {none})", {"z": z}, dice, label, max(c, none + 1))
        z, label = z[:, :, 0, 0], label[:, 0, 0]
        w.loss(f"cross_entropy(ignore = {none})", {"z": z}, lambda z, l: F.cross_entropy(z, l, ignore_index=none), label, max(c, none + 1))
        w.loss(f"cross_entropy(smoothing = 0.2, weight = [{words}], ignore = {none})", {"z": z},
               lambda z, l: F.cross_entropy(z, l, weight, ignore_index=none, label_smoothing=0.2), label, max(c, none + 1))
        w.loss(f"nll(weight = [{words}], ignore = {none})", {"z": z}, lambda z, l: F.nll_loss(z, l, weight, ignore_index=none), label, max(c, none + 1))
        w.loss(f"focal(ignore = {none})", {"z": z}, focal, label, max(c, none + 1))


# ---- optimizers, schedules, metrics


class Lion(torch.optim.Optimizer):
    """Chen et al., 2023, algorithm 2: PyTorch has none."""

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0):
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                b1, b2 = group["betas"]
                update = torch.sign(b1 * m + (1 - b1) * p.grad) + group["weight_decay"] * p
                p -= group["lr"] * update
                m.mul_(b2).add_(p.grad, alpha=1 - b2)


def optimizers():
    w = Writer("optimizers")
    O = torch.optim
    table = [
        ("sgd(lr = 0.1)", O.SGD, dict(lr=0.1)), ("sgd(lr = 0.1, momentum = 0.9)", O.SGD, dict(lr=0.1, momentum=0.9)),
        ("sgd(lr = 0.05, momentum = 0.8, nesterov = true)", O.SGD, dict(lr=0.05, momentum=0.8, nesterov=True)),
        ("sgd(lr = 0.1, decay = 0.01)", O.SGD, dict(lr=0.1, weight_decay=0.01)),
        ("sgd(lr = 0.1, momentum = 0.9, nesterov = true, decay = 0.1)", O.SGD, dict(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1)),
        ("adam", O.Adam, {}), ("adam(lr = 0.1, betas = (0.5, 0.9), eps = 0.01)", O.Adam, dict(lr=0.1, betas=(0.5, 0.9), eps=0.01)),
        ("adam(decay = 0.1)", O.Adam, dict(weight_decay=0.1)), ("adamw", O.AdamW, {}),
        ("adamw(lr = 0.1, decay = 0.3)", O.AdamW, dict(lr=0.1, weight_decay=0.3)), ("adamw(betas = (0.9, 0.99), decay = 0)", O.AdamW, dict(betas=(0.9, 0.99), weight_decay=0)),
        ("nadam", O.NAdam, {}), ("nadam(lr = 0.1, momentum_decay = 0.1)", O.NAdam, dict(lr=0.1, momentum_decay=0.1)), ("nadam(decay = 0.1)", O.NAdam, dict(weight_decay=0.1)),
        ("rmsprop", O.RMSprop, {}), ("rmsprop(lr = 0.1, alpha = 0.8, momentum = 0.9)", O.RMSprop, dict(lr=0.1, alpha=0.8, momentum=0.9)),
        ("rmsprop(centered = true)", O.RMSprop, dict(centered=True)), ("rmsprop(decay = 0.1, eps = 0.01)", O.RMSprop, dict(weight_decay=0.1, eps=0.01)),
        ("adagrad", O.Adagrad, {}), ("adagrad(lr = 0.1, lr_decay = 0.1, init = 0.1, decay = 0.01)", O.Adagrad, dict(lr=0.1, lr_decay=0.1, initial_accumulator_value=0.1, weight_decay=0.01)),
        ("adadelta", O.Adadelta, {}), ("adadelta(lr = 0.5, rho = 0.7, eps = 0.01)", O.Adadelta, dict(lr=0.5, rho=0.7, eps=0.01)), ("adadelta(decay = 0.1)", O.Adadelta, dict(weight_decay=0.1)),
        ("lion", Lion, {}), ("lion(lr = 0.01, betas = (0.8, 0.95), decay = 0.1)", Lion, dict(lr=0.01, betas=(0.8, 0.95), weight_decay=0.1))]
    for expr, cls, options in table:
        for shape in [(2, 3), (1, 1), (1, 5)]:
            w.start("optimizer", expr)
            p = draw(*shape).requires_grad_()
            opt = cls([p], **options)
            w.line("lr", repr(opt.param_groups[0]["lr"]))
            w.tensor("param", "w", p)
            gs = draw(10, *shape)
            w.tensor("gradient", "", gs)
            out = []
            for g in gs:
                p.grad = g.clone()
                opt.step()
                out.append(p.detach().clone())
            w.tensor("after", "", torch.stack(out))


def schedules():
    w = Writer("schedules")
    S = torch.optim.lr_scheduler

    def emit(expr, per_epoch, total, lr, rates, valid=None):
        w.start("schedule", expr)
        w.line("lr", repr(lr))
        w.line("clock", per_epoch, total)
        if valid is not None:
            w.line("valid", text(torch.tensor(valid)))
        w.line("rates", text(torch.tensor(rates)))

    def run(expr, per_epoch, total, lr, make, every_step):
        opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
        sched = make(opt)
        rates = []
        for k in range(total):
            rates.append(opt.param_groups[0]["lr"])
            opt.step()
            if every_step or (k + 1) % per_epoch == 0:
                sched.step()
        emit(expr, per_epoch, total, lr, rates)

    for per_epoch, total in [(1, 7), (3, 20), (5, 30)]:
        run("constant", per_epoch, total, 0.1, lambda o: S.LambdaLR(o, lambda e: 1.0), False)
        run("step(every = 2 epochs)", per_epoch, total, 0.1, lambda o: S.StepLR(o, 2), False)
        run("step(every = 3 steps, factor = 0.5)", per_epoch, total, 0.1, lambda o: S.StepLR(o, 3, 0.5), True)
        run("step(at = [2, 5], factor = 0.2)", per_epoch, total, 0.1, lambda o: S.MultiStepLR(o, [2, 5], 0.2), False)
        run("step(at = [4 steps, 6 steps])", per_epoch, total, 0.1, lambda o: S.MultiStepLR(o, [4, 6]), True)
        run("exponential(0.9)", per_epoch, total, 0.1, lambda o: S.ExponentialLR(o, 0.9), False)
        run("poly", per_epoch, total, 0.1, lambda o: S.PolynomialLR(o, total, 1.0), True)
        run("poly(power = 2)", per_epoch, total, 0.1, lambda o: S.PolynomialLR(o, total, 2.0), True)
        run("inverse(0.1, 0.75)", per_epoch, total, 0.1, lambda o: S.LambdaLR(o, lambda e: (1 + 0.1 * e) ** -0.75), True)
        run("cosine", per_epoch, total, 0.1, lambda o: S.LambdaLR(o, lambda e: (1 + math.cos(math.pi * e / total)) / 2), True)
        run("cosine(to = 0.01)", per_epoch, total, 0.1, lambda o: S.LambdaLR(o, lambda e: (0.01 + 0.09 * (1 + math.cos(math.pi * e / total)) / 2) / 0.1), True)
        run("onecycle(max = 0.5)", per_epoch, total, 0.1, lambda o: S.OneCycleLR(o, 0.5, total, cycle_momentum=False), True)
        run("onecycle(0.5, start = 0.4, div = 10, final = 100)", per_epoch, total, 0.1,
            lambda o: S.OneCycleLR(o, 0.5, total, pct_start=0.4, div_factor=10, final_div_factor=100, cycle_momentum=False), True)
        run("warmup(4 steps) -> constant", per_epoch, total, 0.1, lambda o: S.LambdaLR(o, lambda e: min(e / 4, 1)), True)
        run("warmup(1 epoch, from = 0.01) -> step(at = [3, 5])", per_epoch, total, 0.1, lambda o: S.LambdaLR(o, lambda e: (
            (0.01 + 0.09 * e / per_epoch) / 0.1 if e < per_epoch else 0.1 ** sum(e // per_epoch >= m for m in (3, 5)))), True)
        run("warmup(5 steps, power = 4) -> cosine", per_epoch, total, 0.1, lambda o: S.LambdaLR(o, lambda e: (
            (e / 5) ** 4 if e < 5 else (1 + math.cos(math.pi * (e - 5) / (total - 5))) / 2)), True)
    for per_epoch, epochs, options, words in [(1, 12, dict(patience=2), "patience = 2"), (2, 12, dict(patience=0, factor=0.5), "patience = 0, factor = 0.5"),
                                               (3, 14, dict(patience=1, threshold=0.1), "patience = 1, threshold = 0.1"), (1, 25, {}, "")]:
        valid = [2.0, 1.0, 1.5, 0.99995, 1.2, 1.1, 0.95, 0.94, 0.9, 1.0, 1.0, 1.0, 1.0, 1.0][:epochs] + [1.0] * (epochs - 14)
        opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        sched = S.ReduceLROnPlateau(opt, **{"factor": 0.1, **options})
        rates = []
        for v in valid:
            rates += [opt.param_groups[0]["lr"]] * per_epoch
            opt.step()
            sched.step(v)
        emit(f"plateau({words})" if words else "plateau", per_epoch, per_epoch * epochs, 0.1, rates, valid)


def metrics():
    w = Writer("metrics")
    for b, c in [(1, 2), (5, 3), (7, 4), (12, 2), (17, 5), (30, 3), (2, 7), (9, 10), (33, 4), (4, 2), (64, 3), (11, 6)]:
        z, l = draw(b, c), torch.randint(c, (b,))
        g = z.argmax(1)
        tp = torch.tensor([((g == k) & (l == k)).sum() for k in range(c)]).double()
        gp = torch.tensor([(g == k).sum() for k in range(c)]).double()
        ap = torch.tensor([(l == k).sum() for k in range(c)]).double()
        ce = F.cross_entropy(z, l)
        w.metric("accuracy", z, l, (g == l).double().mean(), c)
        w.metric("errors", z, l, (g != l).sum(), c)
        k = min(c, 2)
        w.metric(f"top({k})", z, l, (z.topk(k).indices == l[:, None]).any(1).double().mean(), c)
        w.metric("precision", z, l, (tp / gp.clamp(min=1)).mean(), c)
        w.metric("recall", z, l, (tp / ap.clamp(min=1)).mean(), c)
        w.metric("f1", z, l, (2 * tp / (gp + ap).clamp(min=1)).mean(), c)
        w.metric("confusion", z, l, torch.tensor([[((l == i) & (g == j)).sum() for j in range(c)] for i in range(c)]), c)
        w.metric("perplexity", z, l, ce.exp(), c)
        w.metric("bits_per_char", z, l, ce / math.log(2), c)
        y, t = draw(b, c), draw(b, c)
        w.metric("mae", y, t, (y - t).abs().mean())
        w.metric("rmse", y, t, ((y - t) ** 2).mean().sqrt())
        if b > 1:
            w.metric("r2", y, t, (1 - ((y - t) ** 2).sum(0) / ((t - t.mean(0)) ** 2).sum(0)).mean())
        s, yes = draw(b, 1), torch.randint(2, (b,)).double()
        w.metric("accuracy", s, yes, ((s[:, 0] > 0) == (yes > 0)).double().mean())
        w.metric("errors(threshold = 0.5)", s, yes, ((s[:, 0] > 0.5) != (yes > 0.5)).sum())
        bins = torch.floor(500 * torch.sigmoid(s[:, 0]))
        p, n = bins[yes > 0], bins[yes <= 0]
        d = p[:, None] - n[None, :]
        w.metric("auc", s, yes, ((d > 0).double() + 0.5 * (d == 0)).sum() / max(d.numel(), 1))
    for b, c, h, v in [(1, 2, 1, 1), (2, 3, 2, 3), (3, 2, 4, 1), (5, 4, 2, 2), (2, 5, 3, 3), (1, 3, 5, 2)]:
        z, l = draw(b, c, h, v), torch.randint(c, (b, h, v))
        g = z.argmax(1)
        tp = torch.tensor([((g == k) & (l == k)).sum() for k in range(c)]).double()
        both = torch.tensor([(g == k).sum() + (l == k).sum() for k in range(c)]).double()
        w.metric("iou", z, l, (tp / (both - tp).clamp(min=1)).mean(), c)
        w.metric("dice", z, l, (2 * tp / both.clamp(min=1)).mean(), c)
    for b, c, h, v in [(1, 2, 1, 1), (3, 4, 2, 5), (17, 3, 2, 1)]:
        z, l = draw(b, c, h, v), torch.randint(c, (b, h, v))
        g = z.argmax(1)
        w.metric("accuracy", z, l, (g == l).double().mean(), c)
        w.metric("confusion", z, l, torch.tensor([[((l == i) & (g == j)).sum() for j in range(c)] for i in range(c)]), c)
        s, yes = draw(b, 1), torch.randint(2, (b,)).double()
        for t in 0, 0.5:
            table = [[((yes == i) & ((s[:, 0] > t) == bool(j))).sum() for j in (0, 1)] for i in (0, 1)]
            w.metric(f"confusion(threshold = {t})", s, yes, torch.tensor(table))
    for b, c, h, v in [(5, 4, 2, 2), (12, 3, 3, 1), (33, 5, 1, 2)]:  # labels of 255, which are no class
        z, l = draw(b, c, h, v), torch.randint(c, (b, h, v))
        l[torch.rand(b, h, v) < 0.3] = 255
        for z, l in (z, l), (z[:, :, 0, 0], l[:, 0, 0]):
            g, here = z.argmax(1), l < c
            tp = torch.tensor([((g == k) & (l == k)).sum() for k in range(c)]).double()
            gp = torch.tensor([((g == k) & here).sum() for k in range(c)]).double()
            ap = torch.tensor([(l == k).sum() for k in range(c)]).double()
            w.metric("accuracy", z, l, (g == l).sum() / here.sum(), 256)
            w.metric("confusion", z, l, torch.tensor([[((l == i) & (g == j)).sum() for j in range(c)] for i in range(c)]), 256)
            if z.dim() > 2:
                w.metric("iou", z, l, (tp / (gp + ap - tp).clamp(min=1)).mean(), 256)
                continue
            zz, ll = z[here], l[here]
            w.metric("errors", z, l, (here & (g != l)).sum(), 256)
            w.metric("top(2)", z, l, (zz.topk(2).indices == ll[:, None]).any(1).double().mean(), 256)
            w.metric("precision", z, l, (tp / gp.clamp(min=1)).mean(), 256)
            w.metric("f1", z, l, (2 * tp / (gp + ap).clamp(min=1)).mean(), 256)
            w.metric("perplexity", z, l, F.cross_entropy(zz, ll).exp(), 256)
            w.metric("bits_per_char", z, l, F.cross_entropy(zz, ll) / math.log(2), 256)
    for b, c in [(1, 2), (5, 3), (33, 4)]:  # a question of yes or no for each output
        z, yes = draw(b, c), torch.randint(2, (b, c)).double()
        tp, gp, ap = ((z > 0) * yes).sum(0), (z > 0).sum(0), yes.sum(0)
        p, r, f = tp / gp.clamp(min=1), tp / ap.clamp(min=1), 2 * tp / (gp + ap).clamp(min=1)
        w.metric("accuracy", z, yes, ((z > 0) == (yes > 0)).double().mean())
        w.metric("precision", z, yes, p.mean())
        w.metric("recall", z, yes, r.mean())
        w.metric("f1", z, yes, f.mean())
        w.metric("by_class", z, yes, torch.stack((p, r, f), 1))
        w.metric("accuracy(threshold = 0.5)", z, yes, ((z > 0.5) == (yes > 0.5)).double().mean())


if __name__ == "__main__":
    os.makedirs(here, exist_ok=True)
    for part in (dense, conv, deconv, pooling, norms, shapes, activations, losses, optimizers, schedules, metrics):
        part()
