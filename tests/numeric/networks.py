#!/usr/bin/env python3
"""Writes tests/numeric/golden/networks/*.txt: the outputs of PyTorch for the networks of examples/.

    make && python3 tests/numeric/networks.py [NAME ...]         (needs torch; written with 2.13)

The architectures are written out below as the papers and torchvision have them. Nothing big is stored: weights and
the image are drawn by a formula from the name and the number of each element (value() here, networks.c on the other
side), and PyTorch's parameters get the names of ours by their order, their shapes being compared.

    options size=64 classes=1000     how the .nn file was compiled: nnc -D size=64 -D classes=1000
    weights N                        trained numbers
    output NAME LARGEST NUMBERS      the largest |number| of an output, and its first 16 numbers
"""
import os
import re
import subprocess
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

here = os.path.dirname(os.path.abspath(__file__))
root = os.path.dirname(os.path.dirname(here))
torch.set_default_dtype(torch.float64)


def uniform(name, n):
    """n numbers in [0, 1): FNV-1a of the name, then a hash of 32 bits (Wellons' lowbias32) of every number."""
    seed = 2166136261
    for c in name.encode():
        seed = (seed ^ c) * 16777619 & 0xFFFFFFFF
    x = (np.arange(n, dtype=np.uint64) * np.uint64(0x9E3779B9) + np.uint64(seed)) & np.uint64(0xFFFFFFFF)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
        x ^= x >> np.uint64(shift)
        x = x * np.uint64(factor) & np.uint64(0xFFFFFFFF)
    return (x >> np.uint64(8)).astype(np.float64) / 2.0**24


def value(name, shape):
    """What a kept tensor holds: rectifiers keep their variance, and no statistic is the one it starts with."""
    u = uniform(name, int(np.prod(shape)))
    if len(shape) >= 2:
        x = (2 * u - 1) * np.sqrt(6 / np.prod(shape[1:]))
    elif name.endswith("running_var"):
        x = 0.5 + u
    elif name.endswith("weight"):
        x = 0.75 + 0.5 * u
    else:
        x = 0.2 * (2 * u - 1)
    return torch.from_numpy(x.astype(np.float32).astype(np.float64).reshape(shape))


def picture(name, shape):
    return torch.from_numpy((4 * uniform(name, int(np.prod(shape))) - 2).astype(np.float32).astype(np.float64).reshape(shape))


# --- the networks, in the order of their layers

def conv_bn(i, o, k, stride=1, groups=1, eps=1e-5):
    return nn.Sequential(nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False), nn.BatchNorm2d(o, eps=eps))


class Join(nn.Module):
    """Branches of one input, added or stacked."""

    def __init__(self, join, *branches):
        super().__init__()
        self.join, self.branches = join, nn.ModuleList(branches)

    def forward(self, x):
        y = [b(x) for b in self.branches]
        return sum(y) if self.join == "add" else torch.cat(y, 1)


def pooled():
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def alexnet(classes):
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.AdaptiveAvgPool2d(6), nn.Flatten(), nn.Linear(9216, 4096), nn.ReLU(),
        nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, classes))


def vgg16(classes):
    layers, c = [], 3
    for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        layers += [nn.Conv2d(c, width, 3, padding=1), nn.ReLU()] if width else [nn.MaxPool2d(2)]
        c = width or c
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(25088, 4096), nn.ReLU(),
                         nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, classes))


def fire(c, squeeze, expand):
    return nn.Sequential(nn.Conv2d(c, squeeze, 1), nn.ReLU(),
                         Join("concat", nn.Sequential(nn.Conv2d(squeeze, expand, 1), nn.ReLU()),
                              nn.Sequential(nn.Conv2d(squeeze, expand, 3, padding=1), nn.ReLU())))


def squeezenet(classes, old=False):
    pool = lambda: nn.MaxPool2d(3, 2, ceil_mode=True)
    if old:
        front = [nn.Conv2d(3, 96, 7, 2), nn.ReLU(), pool(), fire(96, 16, 64), fire(128, 16, 64), fire(128, 32, 128), pool(),
                 fire(256, 32, 128), fire(256, 48, 192), fire(384, 48, 192), fire(384, 64, 256), pool(), fire(512, 64, 256)]
    else:
        front = [nn.Conv2d(3, 64, 3, 2), nn.ReLU(), pool(), fire(64, 16, 64), fire(128, 16, 64), pool(), fire(128, 32, 128),
                 fire(256, 32, 128), pool(), fire(256, 48, 192), fire(384, 48, 192), fire(384, 64, 256), fire(512, 64, 256)]
    return nn.Sequential(*front, nn.Conv2d(512, classes, 1), nn.ReLU(), pooled())


def mobilenetv2(classes):
    layers, c = [conv_bn(3, 32, 3, 2), nn.ReLU6()], 32
    for t, width, n, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
                                (6, 320, 1, 1)):
        for i in range(n):
            wide, s = c * t, stride if i == 0 else 1
            body = ([conv_bn(c, wide, 1), nn.ReLU6()] if t > 1 else []) + [
                conv_bn(wide, wide, 3, s, groups=wide), nn.ReLU6(), conv_bn(wide, width, 1)]
            body = nn.Sequential(*body)
            layers.append(Join("add", body, nn.Identity()) if s == 1 and c == width else body)
            c = width
    return nn.Sequential(*layers, conv_bn(c, 1280, 1), nn.ReLU6(), pooled(), nn.Linear(1280, classes))


def resnet50(classes):
    layers, c = [conv_bn(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], 64
    for width, n, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(n):
            s = stride if i == 0 else 1
            body = nn.Sequential(conv_bn(c, width, 1), nn.ReLU(), conv_bn(width, width, 3, s), nn.ReLU(), conv_bn(width, 4 * width, 1))
            layers += [Join("add", body, conv_bn(c, 4 * width, 1, s) if i == 0 else nn.Identity()), nn.ReLU()]
            c = 4 * width
    return nn.Sequential(*layers, pooled(), nn.Linear(c, classes))


def densenet121(classes, growth=32):
    brc = lambda i, o, k: nn.Sequential(nn.BatchNorm2d(i), nn.ReLU(), nn.Conv2d(i, o, k, padding=k // 2, bias=False))
    layers = [nn.Conv2d(3, 2 * growth, 7, 2, 3, bias=False), nn.BatchNorm2d(2 * growth), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    c = 2 * growth
    for block, n in enumerate((6, 12, 24, 16)):
        for _ in range(n):
            layers.append(Join("concat", nn.Identity(), nn.Sequential(brc(c, 4 * growth, 1), brc(4 * growth, growth, 3))))
            c += growth
        if block < 3:
            layers += [brc(c, c // 2, 1), nn.AvgPool2d(2)]
            c //= 2
    return nn.Sequential(*layers, nn.BatchNorm2d(c), nn.ReLU(), pooled(), nn.Linear(c, classes))


def twice(i, o):
    return nn.Sequential(conv_bn(i, o, 3), nn.ReLU(), conv_bn(o, o, 3), nn.ReLU())


def unet(i, c, depth):
    """Ronneberger et al. (2015), with padding and batch normalisation."""
    if depth == 0:
        return twice(i, c)
    deep = nn.Sequential(nn.MaxPool2d(2), unet(c, 2 * c, depth - 1), nn.ConvTranspose2d(2 * c, c, 2, 2))
    return nn.Sequential(twice(i, c), Join("concat", nn.Identity(), deep), twice(2 * c, c))


class Around(nn.Module):
    """What is given, with the channels of each pixel last."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Scale(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(c))

    def forward(self, x):
        return self.weight * x


def convnext(classes):
    norm = lambda c: nn.LayerNorm(c, eps=1e-6)
    layers, c = [nn.Conv2d(3, 96, 4, 4), Around(norm(96))], 96
    for width, n in ((96, 3), (192, 3), (384, 9), (768, 3)):
        if width != c:
            layers += [Around(norm(c)), nn.Conv2d(c, width, 2, 2)]
        c = width
        layers += [Join("add", nn.Identity(), nn.Sequential(
            nn.Conv2d(c, c, 7, padding=3, groups=c),
            Around(norm(c), nn.Linear(c, 4 * c), nn.GELU(), nn.Linear(4 * c, c), Scale(c)))) for _ in range(n)]
    return nn.Sequential(*layers, pooled(), norm(c), nn.Linear(c, classes))


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.ask, self.say, self.heads = nn.Linear(width, 3 * width), nn.Linear(width, width), heads

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.ask(x).reshape(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        return self.say(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, c))


class Tokens(nn.Module):
    def __init__(self, n, width):
        super().__init__()
        self.first, self.position = nn.Parameter(torch.zeros(1, width)), nn.Parameter(torch.zeros(n + 1, width))

    def forward(self, x):
        return torch.cat((self.first.expand(len(x), 1, -1), x.flatten(2).transpose(1, 2)), 1) + self.position


class First(nn.Module):
    def forward(self, x):
        return x[:, 0]


def vit(classes, size, depth=12, width=768, heads=12):
    norm = lambda: nn.LayerNorm(width, eps=1e-6)
    block = lambda: nn.Sequential(
        Join("add", nn.Identity(), nn.Sequential(norm(), Attention(width, heads))),
        Join("add", nn.Identity(), nn.Sequential(norm(), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))))
    return nn.Sequential(nn.Conv2d(3, width, 16, 16), Tokens((size // 16) ** 2, width), *[block() for _ in range(depth)],
                         norm(), First(), nn.Linear(width, classes))


class GoogLeNet(nn.Module):
    def __init__(self, classes):
        super().__init__()
        cr = lambda i, o, k, s=1: nn.Sequential(conv_bn(i, o, k, s, eps=1e-3), nn.ReLU())
        half = lambda k: nn.MaxPool2d(k, 2, ceil_mode=True)

        def inception(i, a, b1, b3, c1, c3, p):
            return Join("concat", cr(i, a, 1), nn.Sequential(cr(i, b1, 1), cr(b1, b3, 3)), nn.Sequential(cr(i, c1, 1), cr(c1, c3, 3)),
                        nn.Sequential(nn.MaxPool2d(3, 1, 1), cr(i, p, 1)))

        def auxiliary(i):
            return nn.Sequential(nn.AdaptiveAvgPool2d(4), cr(i, 128, 1), nn.Flatten(), nn.Linear(2048, 1024), nn.ReLU(),
                                 nn.Linear(1024, classes))

        self.low = nn.Sequential(cr(3, 64, 7, 2), half(3), cr(64, 64, 1), cr(64, 192, 3), half(3),
                                 inception(192, 64, 96, 128, 16, 32, 32), inception(256, 128, 128, 192, 32, 96, 64), half(3),
                                 inception(480, 192, 96, 208, 16, 48, 64))
        self.mid = nn.Sequential(inception(512, 160, 112, 224, 24, 64, 64), inception(512, 128, 128, 256, 24, 64, 64),
                                 inception(512, 112, 144, 288, 32, 64, 64))
        self.aux1, self.aux2 = auxiliary(512), auxiliary(528)
        self.main = nn.Sequential(inception(528, 256, 160, 320, 32, 128, 128), half(2), inception(832, 256, 160, 320, 32, 128, 128),
                                  inception(832, 384, 192, 384, 48, 128, 128), pooled(), nn.Linear(1024, classes))

    def forward(self, x):
        low = self.low(x)
        mid = self.mid(low)
        return self.main(mid), self.aux1(low), self.aux2(mid)


def resnet(depth, skip=True):
    """He et al. (2015), section 4.2, shortcuts of kind A."""

    class Pad(nn.Module):
        def forward(self, x):
            return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, x.shape[1]))

    layers, c = [conv_bn(3, 16, 3), nn.ReLU()], 16
    for width in (16, 32, 64):
        for i in range((depth - 2) // 6):
            s = 2 if width != c else 1
            body = nn.Sequential(conv_bn(c, width, 3, s), nn.ReLU(), conv_bn(width, width, 3))
            layers += [Join("add", Pad() if s == 2 else nn.Identity(), body) if skip else body, nn.ReLU()]
            c = width
    return nn.Sequential(*layers, pooled(), nn.Linear(64, 10))


NETWORKS = {
    # name: (file, options of the .nn file, network, trained numbers)
    "alexnet": ("imagenet/alexnet", "size=64", lambda: alexnet(1000), 61100840),
    "vgg16": ("imagenet/vgg16", "size=32", lambda: vgg16(1000), 138357544),
    "squeezenet": ("imagenet/squeezenet", "size=64", lambda: squeezenet(1000), 1235496),
    "squeezenet10": ("imagenet/squeezenet", "size=64 old=true", lambda: squeezenet(1000, True), 1248424),
    "mobilenetv2": ("imagenet/mobilenetv2", "size=64", lambda: mobilenetv2(1000), 3504872),
    "resnet50": ("imagenet/resnet50", "size=64", lambda: resnet50(1000), 25557032),
    "densenet121": ("imagenet/densenet121", "size=64", lambda: densenet121(1000), 7978856),
    "googlenet": ("imagenet/googlenet", "size=64", lambda: GoogLeNet(1000), 13004888),
    "convnext": ("imagenet/convnext", "size=64", lambda: convnext(1000), 28589128),
    "vit": ("imagenet/vit", "size=64 depth=3", lambda: vit(1000, 64, 3), 22638568),
    "resnet20": ("cifar10/resnet", "mirror=false", lambda: resnet(20), 269722),
    "unet": ("unet/unet", "", lambda: nn.Sequential(unet(1, 8, 3), nn.Conv2d(8, 4, 1)), 121060),
    "plain20": ("cifar10/resnet", "skip=false mirror=false", lambda: resnet(20, False), 269722),
}
for _name in list(NETWORKS):  # as published: 224 x 224
    if NETWORKS[_name][0].startswith("imagenet/"):
        _file, _options, _make, _weights = NETWORKS[_name]
        NETWORKS[_name + "-224"] = (_file, " ".join(o for o in _options.split() if not o.startswith("size=")), _make, _weights)
NETWORKS["vit-224"] = ("imagenet/vit", "", lambda: vit(1000, 224), 86567656)


def kept(file, options):
    """Names and shapes of what the model keeps, in the order in which it is made."""
    defines = [word for o in options.split() for word in ("-D", o)]
    text = subprocess.run([os.path.join(root, "build/nnc"), os.path.join(root, "examples", file + ".nn"), "--emit=main", *defines],
                          check=True, capture_output=True, text=True).stdout
    for name, kind, shape in re.findall(r'\{"([^"]*)", NN_(PARAM|BUFFER), \d+, \{([^}]*)\}', text):
        if not name.endswith(("average", "deviation", "num_batches_tracked")):
            yield name, kind, tuple(int(s) for s in shape.split(","))


def write(name):
    file, options, make, weights = NETWORKS[name]
    net = make().eval()
    theirs = {n: t for n, t in net.state_dict().items() if not n.endswith("num_batches_tracked")}
    ours = list(kept(file, options))
    assert [tuple(t.shape) for t in theirs.values()] == [s for _, _, s in ours], name
    assert sum(p.numel() for p in net.parameters()) == weights, name
    net.load_state_dict({n: value(o, s) for n, (o, _, s) in zip(theirs, ours)}, strict=False)
    size = next((int(o[5:]) for o in options.split() if o.startswith("size=")), 224 if "imagenet" in file else 32)
    shape = (1, 1, 64, 64) if name == "unet" else (1, 3, size, size)
    with torch.no_grad():
        outputs = net(picture("image", shape))
    outputs = {"main": outputs[0], "aux1": outputs[1], "aux2": outputs[2]} if isinstance(outputs, tuple) else {"output": outputs}
    with open(os.path.join(here, "golden/networks", name + ".txt"), "w") as f:
        print("file", file, file=f)
        if options:
            print("options", options, file=f)
        print("weights", weights, file=f)
        for o, y in outputs.items():
            print("output", o, "%.9g" % y.abs().max(), *("%.9g" % v for v in y[0].reshape(-1)[:16]), file=f)
    print(name, {o: "%.3g" % y.abs().max() for o, y in outputs.items()})


if __name__ == "__main__":
    os.makedirs(os.path.join(here, "golden/networks"), exist_ok=True)
    for name in sys.argv[1:] or NETWORKS:
        write(name)
