"""Times onnxruntime and OpenVINO beside `bench` on one network, on one thread.

    cargo run --release --bin quantize -- --methods max --samples 0      # leaves out/quantize/float.safetensors
    pip install numpy onnx onnxruntime openvino pillow
    python examples/bench/peers.py --network out/quantize/float.safetensors --images IMAGES --imgsz 640

The float network is exported to ONNX here, or given by --onnx. onnxruntime's own quantiser makes the int8 model of it
(QDQ, u8 activations, s8 weights per channel, min-max on the images), which onnxruntime and OpenVINO then run. All take
turns: a round is some runs of each; what counts is each one's median over a round. No program and no test needs this file.
"""

import argparse
import json
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image

OPSET = 17
ROUNDS = 5
WARM_UP_RUNS = 3


def read_network(path):
    """Description and constants of a saved network (docs/program-format.md)."""
    data = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    program = json.loads(header.pop("__metadata__")["quant-program"])["body"]["program"]
    constants = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        dtype = {"F32": "<f4", "I8": "i1", "I32": "<i4"}[entry["dtype"]]
        constants[name] = np.frombuffer(data[8 + length + start : 8 + length + end], dtype)
    return program, constants


def activation(function, source, target):
    """Nodes of an activation."""
    if function == "silu":
        gate = target + ".sigmoid"
        return [helper.make_node("Sigmoid", [source], [gate]), helper.make_node("Mul", [source, gate], [target])]
    if function == "relu":
        return [helper.make_node("Relu", [source], [target])]
    if isinstance(function, dict) and "leaky-relu" in function:
        return [helper.make_node("LeakyRelu", [source], [target], alpha=function["leaky-relu"]["slope"])]
    sys.exit(f"error: no export of the activation {function}")


def convolution(op, sources, target, constants, initializers):
    """Nodes of an f32 convolution with its activation."""
    geometry = op["geometry"]
    shape = [geometry["out_channels"], geometry["in_channels"] // geometry["groups"], *geometry["kernel"]]
    initializers.append(numpy_helper.from_array(constants[op["weight"]].reshape(shape), op["weight"]))
    initializers.append(numpy_helper.from_array(constants[op["bias"]], op["bias"]))
    sums = target + ".sums" if op["activation"] else target
    node = helper.make_node(
        "Conv",
        [*sources, op["weight"], op["bias"]],
        [sums],
        kernel_shape=geometry["kernel"],
        strides=geometry["stride"],
        pads=geometry["padding"] * 2,
        dilations=geometry["dilation"],
        group=geometry["groups"],
    )
    return [node, *(activation(op["activation"], sums, target) if op["activation"] else [])]


def nodes_of(op, sources, target, constants, initializers):
    """Nodes of one step."""
    kind, options = next(iter(op.items())) if isinstance(op, dict) else (op, {})
    if kind == "conv-f32":
        return convolution(options, sources, target, constants, initializers)
    if kind == "activation":
        return activation(options, sources[0], target)
    if kind == "add":
        return [helper.make_node("Add", sources, [target])]
    if kind == "concat":
        return [helper.make_node("Concat", sources, [target], axis=1)]
    if kind == "max-pool":
        sides = {"kernel_shape": [options["kernel"]] * 2, "strides": [options["stride"]] * 2}
        return [helper.make_node("MaxPool", sources, [target], pads=[options["padding"]] * 4, **sides)]
    if kind == "upsample":
        scales = np.array([1, 1, options["scale"], options["scale"]], np.float32)
        initializers.append(numpy_helper.from_array(scales, target + ".scales"))
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return [helper.make_node("Resize", [sources[0], "", target + ".scales"], [target], **how)]
    sys.exit(f"error: no export of the operator {kind}; give an ONNX file by --onnx")


def export(path, side, target):
    """Writes the saved float network as ONNX for images of `side` x `side`."""
    program, constants = read_network(path)
    names = [tensor["name"] for tensor in program["tensors"]]
    nodes, initializers = [], []
    for step in program["steps"]:
        sources = [names[index] for index in step["inputs"]]
        nodes += nodes_of(step["op"], sources, names[step["output"]], constants, initializers)
    image = helper.make_tensor_value_info(names[0], TensorProto.FLOAT, [1, program["tensors"][0]["channels"], side, side])
    outputs = [helper.make_tensor_value_info(names[index], TensorProto.FLOAT, None) for index in program["outputs"]]
    graph = helper.make_graph(nodes, Path(path).stem, [image], outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(model)
    onnx.save(model, target)


def image_values(path, side):
    """An image on a grey square, planar RGB in [0, 1]."""
    picture = Image.open(path).convert("RGB")
    picture.thumbnail((side, side))
    square = Image.new("RGB", (side, side), (114, 114, 114))
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return np.asarray(square, np.float32).transpose(2, 0, 1)[None] / 255


class Reader(CalibrationDataReader):
    """Hands images to onnxruntime's quantiser."""

    def __init__(self, name, paths, side):
        self.inputs = iter([{name: image_values(path, side)} for path in paths])

    def get_next(self):
        return next(self.inputs, None)


def quantize(model, paths, side, folder):
    """Writes the QDQ model; gives its path."""
    prepared, quantized = folder / "prepared.onnx", folder / "int8.onnx"
    quant_pre_process(str(model), str(prepared), skip_symbolic_shape=True)
    name = onnx.load(prepared).graph.input[0].name
    kinds = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    reader = Reader(name, paths, side)
    quantize_static(str(prepared), str(quantized), reader, quant_format=QuantFormat.QDQ, per_channel=True, **kinds)
    return quantized


def onnxruntime_runner(model):
    """A function that runs the model once on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda image: session.run(None, {name: image})


def openvino_runner(model):
    """As above; single precision where the model has it, not bf16."""
    how = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = openvino.Core().compile_model(str(model), "CPU", how).create_infer_request()
    return lambda image: request.infer([image], share_inputs=True, share_outputs=True)


def timed(run, image, runs):
    """Median wall milliseconds, and mean CPU milliseconds, of a number of runs."""
    walls, start = [], time.process_time()
    for _ in range(runs):
        before = time.perf_counter()
        run(image)
        walls.append(1e3 * (time.perf_counter() - before))
    return statistics.median(walls), 1e3 * (time.process_time() - start) / runs


def ours(arguments):
    """Rows of `bench --json` on one thread, each precision by itself, as the others are."""
    for precision in arguments.precision.split(","):
        options = ["--precision", precision, "--threads", "1", "--imgsz", str(arguments.imgsz), "--json"]
        options += ["--runs", str(arguments.runs)] + (["--weights", arguments.weights] if arguments.weights else [])
        command = [*arguments.bench.split(), *options]
        yield from json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--network", help="float network that `quantize` saved, to be exported")
    model.add_argument("--onnx", help="float ONNX model with one input of shape (1, 3, imgsz, imgsz)")
    parser.add_argument("--images", required=True, help="folder of images to calibrate onnxruntime's quantiser on")
    parser.add_argument("--num-calib", type=int, default=16, help="how many of them [16]")
    parser.add_argument("--weights", help="the same network for `bench` [its default]")
    parser.add_argument("--precision", default="i8,i8-pre8,f32", help="precisions of `bench` [i8,i8-pre8,f32]")
    parser.add_argument("--bench", default="cargo run --release --quiet --bin bench --", help="command of `bench`")
    parser.add_argument("--imgsz", type=int, default=640, help="side of the images [640]")
    parser.add_argument("--runs", type=int, default=20, help="runs of each per round [20]")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    paths = sorted(path for path in Path(arguments.images).iterdir() if path.suffix in (".jpg", ".jpeg", ".png"))
    paths = paths[: arguments.num_calib]
    if not paths:
        sys.exit(f"error: {arguments.images} holds no image")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        float_model = Path(arguments.onnx) if arguments.onnx else folder / "float.onnx"
        if arguments.network:
            export(arguments.network, arguments.imgsz, float_model)
        int8_model = quantize(float_model, paths, arguments.imgsz, folder)
        peers = {
            f"onnxruntime {onnxruntime.__version__} int8": onnxruntime_runner(int8_model),
            f"onnxruntime {onnxruntime.__version__} f32": onnxruntime_runner(float_model),
            f"openvino {openvino.__version__.split('-')[0]} int8": openvino_runner(int8_model),
            f"openvino {openvino.__version__.split('-')[0]} f32": openvino_runner(float_model),
        }
    image = image_values(paths[0], arguments.imgsz)
    rounds = {}
    for run in peers.values():
        timed(run, image, WARM_UP_RUNS)
    for _ in range(ROUNDS):
        for row in ours(arguments):
            name = f"bench {row['precision']} ({row['instructions']})"
            rounds.setdefault(name, []).append((row["ms"], row["cpu_ms"]))
        for name, run in peers.items():
            rounds.setdefault(name, []).append(timed(run, image, arguments.runs))
    print(f"{arguments.imgsz}x{arguments.imgsz}, one thread, {ROUNDS} rounds of {arguments.runs} runs")
    print(f"{'':<36} {'median ms':>10} {'best ms':>10} {'CPU ms':>10}")
    for name, times in rounds.items():
        walls = [wall for wall, _ in times]
        cpu = min((cpu for _, cpu in times if cpu is not None), default=float("nan"))
        print(f"{name:<36} {statistics.median(walls):>10.2f} {min(walls):>10.2f} {cpu:>10.2f}")


if __name__ == "__main__":
    main()
