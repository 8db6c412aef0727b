#!/usr/bin/env python3
"""Records training curves of two small networks under PyTorch, for tests/unit/test_curve.c.

Made once; running it again needs torch and gives the same files up to the last digits.

The networks are those of tests/support/tiny_net.c, the branched one with SiLU throughout (a ReLU that
flips on rounding sends its curve another way within a few steps), written out by hand from the rules of
gpu-runner/net and codec/include/nero/graph.h, with the same names of weights. Everything is computed
in float64, so that the recorded curve is the mathematical one and the engine's distance from it is
its own float32 rounding. Where PyTorch and Keras differ, Keras is re-expressed here:

  batch norm   epsilon 1e-3; running = m * running + (1 - m) * batch, with the biased batch variance
               (PyTorch's own running variance is unbiased, its momentum is 1 - m)
  SGD          v = m v - lr g;  w += v,  with Nesterov  w += m v - lr g
               (PyTorch keeps lr out of v, which differs once lr decays)
  RMSprop      w -= lr g / (sqrt(s) + eps)
  Adam         w -= lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(s) + eps): eps is not corrected
  L2           lambda * sum of squares of kernels, so 2 lambda w in the gradient; no other weights
  rate         lr / (1 + decay * t) with t updates done before

usage: make_pytorch_curve.py   (writes tests/golden/pytorch_curve/)
"""

import json
import math
import os
import random
import struct

import numpy
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "pytorch_curve")
IMAGES = os.path.join(HERE, "..", "..", "data", "cifar10-small-train.bin")

STEPS, BATCH = 50, 16
BN_EPSILON, BN_MOMENTUM, L2 = 1e-3, 0.9, 5e-4
OPTIMISERS = {
    "sgd": dict(lr=0.005, decay=1e-2, momentum=0.9, nesterov=False),
    "nesterov": dict(lr=0.005, decay=1e-2, momentum=0.9, nesterov=True),
    "rmsprop": dict(lr=1e-3, decay=1e-2, rho=0.9),
    "adam": dict(lr=2e-3, decay=1e-2, beta1=0.9, beta2=0.99),
}
EPSILON = 1e-7  # of the optimisers


def batch_norm_shapes(name, channels):
    return [(f"{name}.{part}", [channels]) for part in ("gamma", "beta", "mean", "var")]


PLAIN = (
    [("u00.n001.kernel", [8, 3, 3, 3]), ("u00.n001.bias", [8])]
    + batch_norm_shapes("u00.n002", 8)
    + [("u01.n004.kernel", [8, 8, 1, 1])]
    + batch_norm_shapes("u01.n005", 8)
    + [("u02.n008.kernel", [10, 512]), ("u02.n008.bias", [10])]
)

BRANCHED = (
    [("u00.n001.kernel", [6, 3, 3, 3])]
    + batch_norm_shapes("u01.n002", 6)
    + [("u01.n004.kernel", [8, 6, 1, 1])]
    + batch_norm_shapes("u01.n005", 8)
    + [("u01.n007.kernel", [4, 8, 3, 3])]
    + [("u02.n008.kernel", [6, 6, 2, 2]), ("u02.n008.bias", [6])]
    + batch_norm_shapes("u02.n010", 6)
    + batch_norm_shapes("u03.n017", 16)
    + [("u03.n018.kernel", [4, 16, 3, 3]), ("u04.n019.kernel", [6, 4, 1, 1])]
    + batch_norm_shapes("u04.n020", 6)
    + [("u05.n023.kernel", [12, 96]), ("u05.n023.bias", [12])]
    + [("u06.n025.kernel", [10, 12]), ("u06.n025.bias", [10])]
)


class Model:
    """Weights by name, and batch norm on them."""

    def __init__(self, weights, training):
        self.w = weights
        self.training = training

    def bn(self, x, name):
        w = self.w
        if self.training:
            mean = x.mean(dim=(0, 2, 3))
            var = ((x - mean[None, :, None, None]) ** 2).mean(dim=(0, 2, 3))  # biased
            with torch.no_grad():
                w[name + ".mean"].mul_(BN_MOMENTUM).add_((1 - BN_MOMENTUM) * mean)
                w[name + ".var"].mul_(BN_MOMENTUM).add_((1 - BN_MOMENTUM) * var)
        else:
            mean, var = w[name + ".mean"], w[name + ".var"]
        x = (x - mean[None, :, None, None]) / torch.sqrt(var + BN_EPSILON)[None, :, None, None]
        return x * w[name + ".gamma"][None, :, None, None] + w[name + ".beta"][None, :, None, None]

    def conv(self, x, name, stride=1):
        return F.conv2d(x, self.w[name + ".kernel"], self.w.get(name + ".bias"), stride)

    def fc(self, x, name):
        return F.linear(x.flatten(1), self.w[name + ".kernel"], self.w[name + ".bias"])


def plain(m, x):
    x = m.conv(F.pad(x, (1, 0, 1, 0)), "u00.n001", 2)  # SAME: floor((3-1)/2) before, the rest after
    x = F.relu(m.bn(x, "u00.n002"))
    x = F.relu(m.bn(m.conv(x, "u01.n004"), "u01.n005"))
    return m.fc(F.max_pool2d(x, 2), "u02.n008")


def aligned(x, size):
    """Rows, then columns."""
    x = F.max_pool2d(x, (x.shape[2] - size + 1, 1), 1)
    return F.max_pool2d(x, (1, x.shape[3] - size + 1), 1)


def branched(m, x):
    stem = m.conv(x, "u00.n001", 2)
    wide = F.silu(m.bn(stem, "u01.n002"))
    wide = F.silu(m.bn(m.conv(wide, "u01.n004"), "u01.n005"))
    wide = m.conv(F.pad(wide, (1, 1, 1, 1)), "u01.n007")
    small = m.bn(F.silu(m.conv(stem, "u02.n008", 2)), "u02.n010")
    x = torch.cat([aligned(stem, 7), aligned(wide, 7), small], 1)
    x = m.bn(F.silu(x), "u03.n017")
    x = m.conv(F.pad(x, (1, 1, 1, 1)), "u03.n018")
    x = F.silu(m.bn(m.conv(x, "u04.n019"), "u04.n020"))
    x = F.avg_pool2d(x, 3, 2, padding=1, count_include_pad=False)
    return m.fc(F.silu(m.fc(x, "u05.n023")), "u06.n025")


NETWORKS = {"plain": (PLAIN, plain), "branched": (BRANCHED, branched)}


def initial_weights(shapes, seed):
    rng = numpy.random.RandomState(seed)
    weights = {}
    for name, dims in shapes:
        kind = name.split(".")[-1]
        if kind == "kernel":
            sigma = math.sqrt(2.0 / numpy.prod(dims[1:]))
            weights[name] = (sigma * rng.randn(*dims)).astype(numpy.float32)
        elif kind in ("bias", "beta", "mean"):
            weights[name] = (0.1 * rng.randn(*dims)).astype(numpy.float32)
        else:
            weights[name] = (1.0 + 0.1 * rng.rand(*dims)).astype(numpy.float32)
    return weights


def write_safetensors(path, weights):
    header, offset = {}, 0
    for name, value in weights.items():
        header[name] = {"dtype": "F32", "shape": list(value.shape),
                        "data_offsets": [offset, offset + value.nbytes]}
        offset += value.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for value in weights.values():
            out.write(value.tobytes())


def trained(name):
    return not name.endswith((".mean", ".var"))


def float32(value):
    """Settings reach the engine's updates as float32: use the same numbers."""
    return float(numpy.float32(value))


def update(weights, slots, settings, t):
    kind, s = settings
    lr = float32(s["lr"] / (1.0 + s["decay"] * t))
    for name, w in weights.items():
        if not trained(name):
            continue
        g, slot = w.grad, slots.setdefault(name, [torch.zeros_like(w), torch.zeros_like(w)])
        if kind in ("sgd", "nesterov"):
            m = float32(s["momentum"])
            slot[0] = m * slot[0] - lr * g
            step = m * slot[0] - lr * g if s["nesterov"] else slot[0]
        elif kind == "rmsprop":
            rho = float32(s["rho"])
            slot[0] = rho * slot[0] + (1 - rho) * g * g
            step = -lr * g / (torch.sqrt(slot[0]) + EPSILON)
        else:
            b1, b2 = float32(s["beta1"]), float32(s["beta2"])
            slot[0] = b1 * slot[0] + (1 - b1) * g
            slot[1] = b2 * slot[1] + (1 - b2) * g * g
            c = math.sqrt(1 - s["beta2"] ** (t + 1)) / (1 - s["beta1"] ** (t + 1))
            step = -lr * c * slot[0] / (torch.sqrt(slot[1]) + EPSILON)
        with torch.no_grad():
            w += step
        w.grad = None


def curve(initial, forward, settings, images, labels, batches):
    weights = {name: torch.tensor(value, dtype=torch.float64) for name, value in initial.items()}
    for name, w in weights.items():
        w.requires_grad_(trained(name))
    losses, slots = [], {}
    for t, batch in enumerate(batches):
        loss = F.cross_entropy(forward(Model(weights, True), images[batch]), labels[batch])
        penalty = L2 * sum((w ** 2).sum() for n, w in weights.items() if n.endswith(".kernel"))
        losses.append((loss.item(), penalty.item()))
        (loss + penalty).backward()
        update(weights, slots, settings, t)
    with torch.no_grad():
        last = F.cross_entropy(forward(Model(weights, False), images[batches[0]]),
                               labels[batches[0]])
    return losses, last.item()


def main():
    records = numpy.fromfile(IMAGES, dtype=numpy.uint8).reshape(-1, 3073)
    images = torch.tensor(records[:, 1:].astype(numpy.float32) / numpy.float32(255.0),
                          dtype=torch.float64).reshape(-1, 3, 32, 32)
    labels = torch.tensor(records[:, 0].astype(numpy.int64))
    order = random.Random(5)
    batches = [order.sample(range(len(records)), BATCH) for _ in range(STEPS)]
    os.makedirs(OUT, exist_ok=True)
    for seed, (net, (shapes, forward)) in enumerate(NETWORKS.items()):
        initial = initial_weights(shapes, seed)
        write_safetensors(os.path.join(OUT, net + ".safetensors"), initial)
        for name, settings in OPTIMISERS.items():
            losses, last = curve(initial, forward, (name, settings), images, labels, batches)
            with open(os.path.join(OUT, f"{net}-{name}.txt"), "w") as out:
                for loss, penalty in losses:
                    out.write(f"{loss:.12f} {penalty:.12f}\n")
                out.write(f"{last:.12f} 0\n")
            print(net, name, losses[0][0], losses[-1][0], last)
    with open(os.path.join(OUT, "batches.txt"), "w") as out:
        for batch in batches:
            out.write(" ".join(str(i) for i in batch) + "\n")


if __name__ == "__main__":
    main()
