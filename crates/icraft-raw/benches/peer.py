"""Times the ways in which scripts read and write raw files: `struct`, one element or one tensor at a time.

python3 crates/icraft-raw/benches/peer.py

Same tensors as the benchmark `raw`: 60 of 116736 elements each, f32 to be read and written, i8 to be decoded.
"""

import os
import struct
import tempfile
import time

TENSORS, ELEMENTS = 60, 116736


def timed(name, count, run):
    times = []
    for _ in range(3):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    print(f"{name}: {min(times) * 1e3:.1f} ms, {count / min(times) / 1e9:.3f} GB/s")


def layout(size):
    start = 4 + 8 * TENSORS
    return [(k, start + k * ELEMENTS * size) for k in range(TENSORS)]


def content(size, payload):
    table = b"".join(struct.pack("<ii", *row) for row in layout(size))
    return struct.pack("<i", TENSORS) + table + payload * TENSORS


def read_elements(path, code, size):
    with open(path, "rb") as file:
        (count,) = struct.unpack("<i", file.read(4))
        for _ in range(count):
            struct.unpack("<ii", file.read(8))
        return [
            [struct.unpack(code, file.read(size))[0] for _ in range(ELEMENTS)] for _ in range(count)
        ]


def read_tensors(path, code, size):
    with open(path, "rb") as file:
        (count,) = struct.unpack("<i", file.read(4))
        for _ in range(count):
            struct.unpack("<ii", file.read(8))
        return [struct.unpack(f"<{ELEMENTS}{code}", file.read(size * ELEMENTS)) for _ in range(count)]


def decode(path):
    return [[q * 0.0078125 for q in tensor] for tensor in read_tensors(path, "b", 1)]


def write(path, tensor):
    with open(path, "wb") as file:
        file.write(struct.pack("<i", TENSORS))
        for row in layout(4):
            file.write(struct.pack("<ii", *row))
        for _ in range(TENSORS):
            for value in tensor:
                file.write(struct.pack("<f", value))


with tempfile.TemporaryDirectory() as folder:
    floats, bytes_ = os.path.join(folder, "f32.raw"), os.path.join(folder, "i8.raw")
    tensor = [k * 0.5 for k in range(ELEMENTS)]
    with open(floats, "wb") as file:
        file.write(content(4, struct.pack(f"<{ELEMENTS}f", *tensor)))
    with open(bytes_, "wb") as file:
        file.write(content(1, bytes(k % 256 for k in range(ELEMENTS))))
    total = TENSORS * ELEMENTS
    timed("read f32, element by element", 4 * total, lambda: read_elements(floats, "<f", 4))
    timed("read f32, tensor by tensor", 4 * total, lambda: read_tensors(floats, "f", 4))
    timed("decode i8 to f32", 4 * total, lambda: decode(bytes_))
    timed("write f32, element by element", 4 * total, lambda: write(os.path.join(folder, "new.raw"), tensor))
