"""The peer of bench_train: the same graphs in PyTorch, timed on request (protocol: bench_peer.h)."""
import json
import sys
import time

import torch
import torch.nn.functional as F


def padded(x, pad, value):
    """Padding that a layer cannot express itself: more after than before."""
    top, left, bottom, right = pad
    return F.pad(x, (left, right, top, bottom), value=value)


class Net(torch.nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.nodes = spec["nodes"]
        self.layers = torch.nn.ModuleDict()
        c, h, w = spec["input"]
        x = torch.zeros(2, c, h, w)
        shapes = {0: x.shape}
        for i, node in enumerate(self.nodes[1:], 1):
            width = sum(shapes[k][1] for k in node["inputs"])
            top, left, bottom, right = node["pad"]
            node["even"] = top == bottom and left == right
            pad = (top, left) if node["even"] else 0
            if node["op"] == "conv":
                layer = torch.nn.Conv2d(width, node["c"], node["kernel"], node["stride"], pad,
                                        bias=node["bias"])
            elif node["op"] == "batch_norm":
                layer = torch.nn.BatchNorm2d(width, eps=1e-3)
            elif node["op"] == "relu":
                layer = torch.nn.ReLU(inplace=True)
            elif node["op"] == "silu":
                layer = torch.nn.SiLU(inplace=True)
            elif node["op"] == "max_pool":
                layer = torch.nn.MaxPool2d(node["kernel"], node["stride"], pad)
            elif node["op"] == "avg_pool":
                layer = torch.nn.AvgPool2d(node["kernel"], node["stride"], pad,
                                           count_include_pad=False)
            elif node["op"] == "fc":
                shape = shapes[node["inputs"][0]]
                layer = torch.nn.Linear(shape[1] * shape[2] * shape[3], node["c"],
                                        bias=node["bias"])
            else:
                layer = None
            if layer is not None:
                self.layers[str(i)] = layer
            with torch.no_grad():
                shapes[i] = self.step(i, [torch.zeros(shapes[k]) for k in node["inputs"]]).shape

    def step(self, i, inputs):
        node = self.nodes[i]
        if node["op"] == "concat":
            return torch.cat(inputs, 1)
        x = inputs[0]
        if node["op"] == "fc":
            return self.layers[str(i)](x.flatten(1)).reshape(x.shape[0], node["c"], 1, 1)
        if not node["even"]:
            x = padded(x, node["pad"], -float("inf") if node["op"] == "max_pool" else 0.0)
        return self.layers[str(i)](x)

    def forward(self, x):
        values = [x]
        for i in range(1, len(self.nodes)):
            values.append(self.step(i, [values[k] for k in self.nodes[i]["inputs"]]))
        return values[-1].flatten(1)


class Trainer:
    def __init__(self, spec, layout):
        torch.manual_seed(1)
        self.format = (torch.channels_last if layout == "channels_last"
                       else torch.contiguous_format)
        self.net = Net(spec).to(memory_format=self.format).train()
        try:
            self.optimiser = torch.optim.SGD(self.net.parameters(), lr=0.01, momentum=0.9,
                                             weight_decay=1e-4, fused=True)
        except (RuntimeError, TypeError, ValueError):
            self.optimiser = torch.optim.SGD(self.net.parameters(), lr=0.01, momentum=0.9,
                                             weight_decay=1e-4)
        self.batch = spec["batch"]
        self.images = torch.rand(self.batch, *spec["input"])
        self.labels = torch.randint(0, 10, (self.batch,))

    def step(self):
        self.optimiser.zero_grad(set_to_none=True)
        images = self.images.to(memory_format=self.format)
        loss = F.cross_entropy(self.net(images), self.labels)
        loss.backward()
        self.optimiser.step()
        return loss.item()

    def rate(self, seconds):
        start = time.perf_counter()
        steps = 0
        while True:
            self.step()
            steps += 1
            elapsed = time.perf_counter() - start
            if elapsed >= seconds:
                return steps * self.batch / elapsed


def main():
    torch.set_num_threads(1)
    print("torch", torch.__version__, flush=True)
    trainers = {}
    for line in sys.stdin:
        word, _, rest = line.partition(" ")
        if word == "net":
            spec = json.loads(rest)
            trainers = {name: Trainer(spec, name) for name in ("contiguous", "channels_last")}
            for trainer in trainers.values():
                trainer.step()
            print("ok", flush=True)
        else:
            layout, threads, seconds = rest.split()
            torch.set_num_threads(int(threads))
            print(trainers[layout].rate(float(seconds)), flush=True)


main()
