"""onnx_bench.py -- the opponent in predictions: onnx_bench.py WORKLOAD THREADS SETTINGS SECONDS CHUNKS runs the net in ONNX
Runtime and prints one line of JSON. SETTINGS: plain, or bound (inputs and outputs bound to memory beforehand)."""
import json
import sys
import time

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from workloads import WORKLOADS, layer_shape


class Graph:
    """Nodes and their constants, in order; a value is a name."""

    def __init__(self):
        self.nodes, self.constants, self.draw = [], [], np.random.default_rng(0)

    def constant(self, *shape, scale=1.0, value=None):
        data = self.draw.standard_normal(shape, dtype="float32") * np.float32(scale) if value is None else \
            np.full(shape, value, dtype="float32")
        self.constants.append(numpy_helper.from_array(data, "c%d" % len(self.constants)))
        return self.constants[-1].name

    def node(self, op, *inputs, **attributes):
        out = "v%d" % len(self.nodes)
        self.nodes.append(helper.make_node(op, list(inputs), [out], **attributes))
        return out

    def net(self, net, x, shape):
        for layer in net:
            x = self.layer(layer, x, shape)
            shape = layer_shape(layer, shape)
        return x

    def layer(self, layer, x, shape):
        kind = layer[0]
        if kind == "conv":
            _, c, k, stride, pad, bias = layer
            weight = self.constant(c, shape[0], k, k, scale=(2 / (shape[0] * k * k)) ** 0.5)
            return self.node("Conv", x, weight, *([self.constant(c, value=0)] if bias else []),
                             kernel_shape=[k, k], strides=[stride] * 2, pads=[pad] * 4)
        if kind == "dense":
            weight = self.constant(shape[0], layer[1], scale=(2 / shape[0]) ** 0.5)
            return self.node("Gemm", x, weight, self.constant(layer[1], value=0))
        if kind == "bn":
            return self.node("BatchNormalization", x, *(self.constant(shape[0], value=v) for v in (1, 0, 0, 1)))
        if kind == "avgpool":
            return self.node("AveragePool", x, kernel_shape=[layer[1]] * 2, strides=[layer[1]] * 2)
        if kind == "maxpool":
            return self.node("MaxPool", x, kernel_shape=[layer[1]] * 2, strides=[layer[2]] * 2, pads=[layer[3]] * 4)
        if kind == "gap":
            return self.node("Flatten", self.node("GlobalAveragePool", x))
        if kind == "res":
            short, body = self.net(layer[1], x, shape), self.net(layer[2], x, shape)
            return self.node("Relu", self.node("Add", body, short))
        return self.node({"relu": "Relu", "tanh": "Tanh", "flatten": "Flatten"}[kind], x)


def session(w, n, threads):
    g = Graph()
    out = g.net(w.net, "x", w.shape)
    result = layer_shape(w.net[-1], (1,))
    graph = helper.make_graph(g.nodes, "net",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, (n,) + w.shape)],
                              [helper.make_tensor_value_info(out, TensorProto.FLOAT, (n,) + tuple(result))], g.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]), out


def measure(work, samples, budget, chunks):
    work()
    start = time.perf_counter()
    work()
    n, rates = max(1, int(budget / chunks / (time.perf_counter() - start))), []
    end = time.perf_counter() + 2 * budget
    while len(rates) < chunks and (not rates or time.perf_counter() < end):
        start = time.perf_counter()
        for _ in range(n):
            work()
        rates.append(samples * n / (time.perf_counter() - start))
    return rates


def main():
    name, threads, settings, budget, chunks = sys.argv[1:6]
    w, out = WORKLOADS[name], {}
    for n in (1, w.many) if w.many else (1,):
        run, result = session(w, n, int(threads))
        x = np.random.default_rng(1).standard_normal((n,) + w.shape, dtype="float32")
        if settings == "bound":
            binding = run.io_binding()
            binding.bind_ortvalue_input("x", ort.OrtValue.ortvalue_from_numpy(x))
            binding.bind_output(result)
            out["predict%d" % n] = measure(lambda: run.run_with_iobinding(binding), n, float(budget) / 2, int(chunks))
        else:
            out["predict%d" % n] = measure(lambda: run.run([result], {"x": x}), n, float(budget) / 2, int(chunks))
    print(json.dumps(out))


main()
