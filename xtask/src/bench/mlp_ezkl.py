"""Proves a multilayer perceptron with EZKL: `setup FOLDER LAYERS WIDTH`, then `prove FOLDER`. Each ends with a line of JSON."""

import json
import math
import os
import resource
import signal
import sys
import time

import ezkl
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SECONDS_MAX = 600
MEMORY_MAX = 14 << 30
# Making a longer reference string takes longer than proving with it.
LOG_ROWS_MAX = 18


def write_model(path, layers, width, shift):
    """Weights of 8 bits over 2^shift: a fixed point of that many bits holds them exactly."""
    random = np.random.default_rng(1)
    nodes, weights, current = [], [], "input"
    for layer in range(layers):
        weight, total = f"weight {layer}", f"sum {layer}"
        output = "output" if layer + 1 == layers else f"activation {layer}"
        entries = random.integers(-127, 128, (width, width)) / 2.0**shift
        weights.append(numpy_helper.from_array(entries.astype(np.float32), weight))
        nodes.append(helper.make_node("Gemm", [current, weight], [total]))
        nodes.append(helper.make_node("Relu", [total], [output]))
        current = output
    vector = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, width])
    graph = helper.make_graph(nodes, "mlp", [vector("input")], [vector("output")], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)


def timed(step, *arguments):
    # Kills this process, whatever native code it is in.
    signal.alarm(SECONDS_MAX)
    start = time.perf_counter()
    assert step(*arguments), f"{step.__name__} failed"
    return time.perf_counter() - start


def write_settings(file, shift):
    """Two columns, as EZKL has by default; more where the reference string has no more rows."""
    arguments = ezkl.PyRunArgs()
    arguments.input_visibility = arguments.output_visibility = "public"
    arguments.param_visibility = "fixed"
    arguments.input_scale, arguments.param_scale = 7, shift
    columns = 2
    while True:
        arguments.num_inner_cols = columns
        ezkl.gen_settings(file("model.onnx"), file("settings.json"), arguments)
        with open(file("settings.json")) as settings:
            rows = json.load(settings)["num_rows"]
        # Blinding takes a few rows; range checks need 2^14, and what blinds those.
        log_rows = max(15, math.ceil(math.log2(rows + 64)))
        if log_rows <= LOG_ROWS_MAX:
            break
        columns *= 2
    arguments.logrows = log_rows
    ezkl.gen_settings(file("model.onnx"), file("settings.json"), arguments)
    return log_rows, columns


def setup(file, layers, width):
    # Sums of random terms grow as the root of their number.
    shift = 6 + int(math.log2(width)) // 2
    write_model(file("model.onnx"), layers, width, shift)
    with open(file("input.json"), "w") as values:
        json.dump({"input_data": [[number % 128 / 128 for number in range(width)]]}, values)
    log_rows, columns = write_settings(file, shift)
    ezkl.compile_circuit(file("model.onnx"), file("circuit"), file("settings.json"))
    # Made here, by a process that knows its secret: good for measuring, for nothing else.
    ezkl.gen_srs(file("reference"), log_rows)
    seconds = timed(ezkl.setup, file("circuit"), file("verifying"), file("proving"), file("reference"))
    size = os.path.getsize(file("proving"))
    return {"setupSeconds": seconds, "logRows": log_rows, "columns": columns, "provingKeyBytes": size}


def prove(file):
    witness = timed(ezkl.gen_witness, file("input.json"), file("circuit"), file("witness.json"))
    proof = file("proof.json")
    proving = timed(ezkl.prove, file("witness.json"), file("circuit"), file("proving"), proof, file("reference"))
    verifying = timed(ezkl.verify, proof, file("settings.json"), file("verifying"), file("reference"))
    with open(proof) as text:
        length = len(json.load(text)["hex_proof"].removeprefix("0x")) // 2
    return {"witnessSeconds": witness, "proveSeconds": proving, "verifySeconds": verifying, "proofBytes": length}


def main():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    step, folder, *numbers = sys.argv[1:]
    file = lambda name: os.path.join(folder, name)
    steps = {"setup": setup, "prove": prove}
    print(json.dumps(steps[step](file, *map(int, numbers))))


main()
