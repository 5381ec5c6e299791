"""Weights that a model keeps in other files -> weights in the model itself.

Every location is hostile until it is known to lie in the folder of the model; see `embed`. Knows no operators.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from onnx import GraphProto, ModelProto, TensorProto, helper

from zoo.adapt.walk import bodies
from zoo.errors import ForeignModelError

MAX_BYTES = (1 << 31) - 1
"""Of a model with its weights: protobuf messages cannot be longer, and `model.onnx` is one message."""

_SMALL_BITS: dict[int, int] = {TensorProto.INT4: 4, TensorProto.UINT4: 4, TensorProto.FLOAT4E2M1: 4}
_SMALL_BITS |= {TensorProto.INT2: 2, TensorProto.UINT2: 2}


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
        for body in bodies(node):
            yield from _tensors(body)


def embed(model: ModelProto, folder: Path, name: str) -> None:
    """Read all external data of a model into it, in place.

    Args:
        folder: of the model's own file; nothing outside it is opened, also not by a symbolic link.
        name: of the file, for errors.

    Raises:
        ForeignModelError: a location is not allowed or missing, the bytes there are not those of the tensor, or the
            model would be larger than `MAX_BYTES`.
    """
    outside = [tensor for tensor in _tensors(model.graph) if tensor.data_location == TensorProto.EXTERNAL]
    total = model.ByteSize()
    for tensor in outside:
        total += _size_of(tensor)
        if total > MAX_BYTES:
            raise ForeignModelError(f"{name} has more than {MAX_BYTES:,} bytes with its external data.")
    for tensor in outside:
        place = {entry.key: entry.value for entry in tensor.external_data}
        tensor.raw_data = _read_part(tensor, place, folder)
        tensor.ClearField("data_location")
        del tensor.external_data[:]


def _size_of(tensor: TensorProto) -> int:
    """Bytes of the values; as `onnx.proto` says for `raw_data`, small types are packed."""
    if tensor.data_type in (TensorProto.UNDEFINED, TensorProto.STRING) or any(dim < 0 for dim in tensor.dims):
        raise ForeignModelError(f"The external tensor {tensor.name!r} has a type or shape that is not allowed.")
    count: int = math.prod(tensor.dims)
    if tensor.data_type in _SMALL_BITS:
        return int(count * _SMALL_BITS[tensor.data_type] + 7) // 8
    try:
        return count * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    except KeyError:
        raise ForeignModelError(f"The external tensor {tensor.name!r} has an unknown type.") from None


def _read_part(tensor: TensorProto, place: dict[str, str], folder: Path) -> bytes:
    path = _beside(place.get("location", ""), folder)
    size = _size_of(tensor)
    offset, length = (_whole(place.get(key, default)) for key, default in (("offset", "0"), ("length", str(size))))
    try:
        with path.open("rb") as file:
            there = os.fstat(file.fileno()).st_size
            if length != size or offset + size > there:
                raise ForeignModelError(
                    f"{path.name} does not hold the {size:,} bytes of the tensor {tensor.name!r} at {offset:,}."
                )
            file.seek(offset)
            return file.read(size)
    except OSError as error:
        raise ForeignModelError(f"The external data {path.name} cannot be read: {error.strerror}.") from None


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ForeignModelError(f"The external data has {text[:40]!r} where a number of bytes belongs.")
    return int(text)


def _beside(location: str, folder: Path) -> Path:
    """The file that an external location names.

    Raises:
        ForeignModelError: it is absolute, climbs with `..`, leaves the folder by a link, or is no regular file.
    """
    refused = ForeignModelError(
        f"The model's external data lies at {location[:200]!r}: it must be a file in the folder of the model."
    )
    parts = PurePosixPath(location).parts
    if not parts or location.startswith("/") or ".." in parts or "\\" in location or "\0" in location:
        raise refused
    try:
        root = folder.resolve(strict=True)
        path = (root / location).resolve(strict=True)
    except (OSError, RuntimeError):
        raise ForeignModelError(f"The model's external data {location[:200]!r} is missing beside it.") from None
    if not path.is_relative_to(root) or not path.is_file():
        raise refused
    return path
