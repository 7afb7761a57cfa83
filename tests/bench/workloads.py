"""workloads.py -- the eight nets that make bench compares: one description for every opponent, and what they cost.

A net is a list of layers, each a tuple: its kind and its numbers.

    ("conv", outputs, kernel, stride, padding, bias)    ("dense", outputs)    ("bn",) ("relu",) ("tanh",)
    ("avgpool", k) ("maxpool", kernel, stride, padding) ("gap",) ("flatten",)
    ("res", shortcut, body)    relu(shortcut(x) + body(x)), both lists of layers

`many` is how many samples the larger prediction takes; 0: none, a batch of these is enough for a day.
The same nets for nnc are the files a.nn ... i.nn beside this one; run compares the numbers of weights."""
from collections import namedtuple

Workload = namedtuple("Workload", "title batch shape classes optimizer net many", defaults=(256,))

RELU, TANH, BN, GAP, FLAT = ("relu",), ("tanh",), ("bn",), ("gap",), ("flatten",)


def conv(c, k, stride=1, pad=None, bias=True):
    return ("conv", c, k, stride, k // 2 if pad is None else pad, bias)


def dense(o):
    return ("dense", o)


def conv_bn(c, k, stride=1):
    return [conv(c, k, stride, bias=False), BN]


def basic(c, stride=1):
    return ("res", conv_bn(c, 1, stride) if stride > 1 else [], conv_bn(c, 3, stride) + [RELU] + conv_bn(c, 3))


def bottleneck(c, stride=1, project=False):
    body = conv_bn(c, 1) + [RELU] + conv_bn(c, 3, stride) + [RELU] + conv_bn(4 * c, 1)
    return ("res", conv_bn(4 * c, 1, stride) if project else [], body)


def pair_of(c):
    return [conv(c, 3), RELU, conv(c, 3), RELU, ("maxpool", 2, 2, 0)]


def stage(c, n, stride=2):
    return [bottleneck(c, stride, True)] + [bottleneck(c)] * (n - 1)


LENET = [conv(6, 5), TANH, ("avgpool", 2), conv(16, 5, pad=0), TANH, ("avgpool", 2), FLAT,
         dense(120), TANH, dense(84), TANH, dense(10)]
RESNET20 = conv_bn(16, 3) + [RELU] + [basic(16)] * 3 + [basic(32, 2)] + [basic(32)] * 2 + \
    [basic(64, 2)] + [basic(64)] * 2 + [GAP, dense(10)]
RESNET50 = conv_bn(64, 7, 2) + [RELU, ("maxpool", 3, 2, 1)] + \
    stage(64, 3, 1) + stage(128, 4) + stage(256, 6) + stage(512, 3) + [GAP, dense(1000)]

# The optimizers' numbers are those of the .nn files.
WORKLOADS = {
    "a": Workload("784-128-10 relu, SGD, batch 64", 64, (1, 28, 28), 10, "sgd",
                  [FLAT, dense(128), RELU, dense(10)]),
    "b": Workload("784-512-512-10 relu, Adam, batch 128", 128, (1, 28, 28), 10, "adam",
                  [FLAT, dense(512), RELU, dense(512), RELU, dense(10)]),
    "c": Workload("LeNet-5 tanh, SGD, batch 64", 64, (1, 28, 28), 10, "sgd", LENET),
    "d": Workload("ResNet-20, batch norm, momentum, batch 128", 128, (3, 32, 32), 10, "momentum", RESNET20),
    "e": Workload("3072-100-10 relu, SGD, batch 64", 64, (3, 32, 32), 10, "sgd",
                  [FLAT, dense(100), RELU, dense(10)]),
    "v": Workload("VGG-like 64-64-128-128-256-256, SGD, batch 64", 64, (3, 32, 32), 10, "sgd",
                  pair_of(64) + pair_of(128) + pair_of(256) + [FLAT, dense(10)]),
    "h": Workload("2-8-8-1 tanh, SGD, batch 10", 10, (2,), 0, "sgd",
                  [dense(8), TANH, dense(8), TANH, dense(1)]),
    "i": Workload("ResNet-50 at 224 x 224, momentum, batch 16", 16, (3, 224, 224), 1000, "momentum", RESNET50, 0),
}
RATE = {"sgd": 1e-3, "momentum": 1e-3, "adam": 1e-4}
MOMENTUM, DECAY = 0.9, 1e-4  # of "momentum"


def size(shape):
    n = 1
    for s in shape:
        n *= s
    return n


def layer_shape(layer, shape):
    """The shape of a layer's result, for one sample."""
    kind = layer[0]
    if kind in ("conv", "maxpool", "avgpool"):
        c = layer[1] if kind == "conv" else shape[0]
        k, stride, pad = {"conv": layer[2:5], "maxpool": layer[1:4], "avgpool": (layer[1], layer[1], 0)}[kind]
        side = (shape[1] + 2 * pad - k) // stride + 1
        return (c, side, side)
    if kind == "res":
        for inner in layer[2]:
            shape = layer_shape(inner, shape)
        return shape
    return {"dense": layer[1:2], "gap": shape[:1], "flatten": (size(shape),)}.get(kind, shape)


def costs(net, shape):
    """Of each layer that has weights: (its weights, multiply-adds of one sample forward)."""
    out = []
    for layer in net:
        after = layer_shape(layer, shape)
        if layer[0] == "dense":
            out.append((layer[1] * (shape[0] + 1), layer[1] * shape[0]))
        elif layer[0] == "conv":
            window = shape[0] * layer[2] ** 2
            out.append((after[0] * (window + layer[5]), size(after) * window))
        elif layer[0] == "bn":
            out.append((2 * shape[0], 0))
        elif layer[0] == "res":
            out += costs(layer[2], shape) + costs(layer[1], shape)
        shape = after
    return out


def weights(w):
    return sum(n for n, _ in costs(w.net, w.shape))


def operations(w, training):
    """Floating-point operations of one sample: two for each multiply-add of a dense layer or convolution, counted
    directly whatever algorithm is used; forward once; in training once more for the gradient of the weights and
    once for that of the input, which the first layer does not need. Nothing else is counted."""
    adds = [n for _, n in costs(w.net, w.shape)]
    return 2 * (3 * sum(adds) - adds[0] if training else sum(adds))
