"""Tensors of the Open Inference Protocol v2: request body -> pictures, and results -> response body.

With Triton's extension for binary tensors: behind the JSON, whose length a header says, lie the raw values. Source:
kserve/open-inference-protocol, `inference_rest.md`; triton-inference-server, `extension_binary_data.md`.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from api.adapters.bodies import from_base64, invalid
from api.adapters.pixels import png
from shared.errors import BadJson, BodyTooLarge, UnsupportedMedia
from shared.schema import INLINE_RESULTS, Detection, PictureResult

LENGTH_HEADER = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Inference:
    """A request that was read.

    Attributes:
        pictures: each as bytes of a picture file.
        outputs: names of the wanted outputs, with whether their values come in binary.
    """

    id: str | None
    pictures: Sequence[bytes]
    options: Mapping[str, Any]
    outputs: Mapping[str, bool]


def unpacked(body: bytes, encoding: str, most: int) -> bytes:
    """The body without its `Content-Encoding`. Raises UnsupportedMedia, BodyTooLarge: over `most` bytes."""
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "deflate"):
        raise UnsupportedMedia(f"The content encoding {encoding} is not read here: use gzip, deflate or none.")
    stream = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)  # tells gzip and zlib by their heads
    try:
        plain = stream.decompress(body, most + 1)
    except zlib.error:
        raise UnsupportedMedia(f"The body is not {encoding}.") from None
    if len(plain) > most:
        raise BodyTooLarge(f"Unpacked, the body may hold {most} bytes at most.")
    if not stream.eof:
        raise UnsupportedMedia(f"The body is not whole {encoding}.")
    return plain


def read_inference(body: bytes, head_length: str | None, most_bytes: int) -> Inference:
    """A request's body, unpacked; a picture may have `most_bytes`. Raises BadJson, InvalidRequest."""
    length = len(body)
    if head_length is not None:
        length = int(head_length) if re.fullmatch("[0-9]{1,12}", head_length) else -1
        if not 0 <= length <= len(body):
            raise invalid(LENGTH_HEADER, "must be the bytes of JSON at the body's begin")
    try:
        document = json.loads(body[:length])
    except (ValueError, RecursionError):
        raise BadJson("The body is not JSON.") from None
    if not isinstance(document, dict):
        raise invalid("body", "must be an object")
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise invalid("inputs", "must be one tensor: BYTES of picture files, or UINT8 pixels of RGB")
    parameters = _object(document, "parameters")
    name = document.get("id")
    if name is not None and not isinstance(name, str):
        raise invalid("id", "must be a text")
    return Inference(
        name,
        _pictures(inputs[0], body[length:], most_bytes),
        {one: parameters[one] for one in ("threshold", "iou", "max_detections") if one in parameters},
        _wanted(document, bool(parameters.get("binary_data_output"))),
    )


def _object(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name, {})
    if not isinstance(found, dict):
        raise invalid(name, "must be an object")
    return found


def _wanted(document: Mapping[str, Any], binary: bool) -> dict[str, bool]:
    asked = document.get("outputs") or [{"name": name} for name in OUTPUTS]
    if not isinstance(asked, list) or not all(isinstance(one, dict) and one.get("name") in OUTPUTS for one in asked):
        raise invalid("outputs", f"there are {', '.join(OUTPUTS)}")
    return {one["name"]: bool(_object(one, "parameters").get("binary_data", binary)) for one in asked}


# -- in -------------------------------------------------------------------------------------------------------------


def _pictures(tensor: Mapping[str, Any], tail: bytes, most: int) -> list[bytes]:
    shape, kind = tensor.get("shape"), tensor.get("datatype")
    if not isinstance(shape, list) or len(shape) > 4 or not all(type(one) is int and 0 <= one < 2**31 for one in shape):
        raise invalid("inputs.shape", "must be up to four whole numbers")
    size = _object(tensor, "parameters").get("binary_data_size")
    if size is not None and size != len(tail):
        raise invalid("inputs.parameters.binary_data_size", f"{len(tail)} bytes follow the JSON")
    raw = tail if size is not None else None
    if kind == "BYTES":
        pictures = (
            list(_elements(raw))
            if raw is not None
            else [from_base64(text, "inputs.data", most) for text in _texts(tensor)]
        )
        if prod(shape) != len(pictures) or not pictures:
            raise invalid("inputs.shape", f"does not fit: {len(pictures)} pictures came")
        return pictures
    if kind != "UINT8" or len(shape) not in (3, 4) or shape[-1] != 3:
        raise invalid("inputs", "must be BYTES [n] of picture files, or UINT8 [n, height, width, 3]")
    pixels = raw if raw is not None else _values(tensor)
    height, width = shape[-3:-1]
    count, each = (shape[0] if len(shape) == 4 else 1), height * width * 3
    if not 0 < count <= INLINE_RESULTS or count * each != len(pixels):
        raise invalid("inputs.shape", f"does not fit: {len(pixels)} values came")
    return [png(width, height, pixels[at * each : (at + 1) * each]) for at in range(count)]


def _elements(raw: bytes) -> Iterator[bytes]:
    """Each element of a binary BYTES tensor: its length in 4 bytes, lowest first, then itself."""
    at = 0
    while at < len(raw):
        length = int.from_bytes(raw[at : at + 4], "little")
        at += 4
        if at + length > len(raw) or length == 0:
            raise invalid("inputs", "an element of the binary tensor is cut off or empty")
        yield raw[at : at + length]
        at += length


def _flat(data: Any) -> Iterator[Any]:  # noqa: ANN401 - any JSON
    """The values of nested lists, whose shape is said beside them. No recursion: the nesting is the client's."""
    waiting = [iter(data if isinstance(data, list) else [data])]
    while waiting:
        for one in waiting[-1]:
            if isinstance(one, list):
                waiting.append(iter(one))
                break
            yield one
        else:
            waiting.pop()


def _texts(tensor: Mapping[str, Any]) -> list[str]:
    found = list(_flat(tensor.get("data", [])))
    if not all(isinstance(one, str) for one in found):
        raise invalid("inputs.data", "must be base64 of picture files")
    return found


def _values(tensor: Mapping[str, Any]) -> bytes:
    try:
        return bytes(_flat(tensor.get("data", [])))
    except (TypeError, ValueError):
        raise invalid("inputs.data", "must be whole numbers 0..255") from None


# -- out ------------------------------------------------------------------------------------------------------------

OUTPUTS: dict[str, tuple[str, tuple[int, ...]]] = {
    "boxes": ("FP32", (4,)),
    "scores": ("FP32", ()),
    "class_ids": ("INT32", ()),
    "labels": ("BYTES", ()),
    "num_detections": ("INT32", ()),
}
"""Datatype, and shape of what belongs to one detection; all but `num_detections` are [pictures, detections, ...].

`boxes` are x1 y1 x2 y2 in pixels of the upright picture. Pictures with fewer detections than others are filled up with
zeros, the class -1 and the empty label.
"""


def written(inference: Inference, model: str, results: Sequence[PictureResult]) -> tuple[bytes, int | None]:
    """The response's body, and the bytes of JSON at its begin where binary values follow."""
    found = [result.detections or () for result in results]
    most = max(map(len, found), default=0)
    outputs, tail = [], b""
    for name, binary in inference.outputs.items():
        kind, each = OUTPUTS[name]
        values = list(_column(name, found, most))
        shape = [len(found)] if name == "num_detections" else [len(found), most, *each]
        output: dict[str, Any] = {"name": name, "datatype": kind, "shape": shape}
        if binary:
            raw = _packed(kind, values)
            output["parameters"] = {"binary_data_size": len(raw)}
            tail += raw
        else:
            output["data"] = values
        outputs.append(output)
    document: dict[str, Any] = {"model_name": model, "model_version": results[0].version or "", "outputs": outputs}
    if inference.id is not None:
        document["id"] = inference.id
    head = json.dumps(document).encode()
    return head + tail, len(head) if any(inference.outputs.values()) else None


def _column(name: str, found: Sequence[Sequence[Detection]], most: int) -> Iterator[float | int | str]:
    for detections in found:
        if name == "num_detections":
            yield len(detections)
            continue
        for one in detections:
            yield from _VALUES[name](one)
        for _ in range(most - len(detections)):
            yield from _FILL[name]


def _corners(one: Detection) -> tuple[float, ...]:
    box = one.box
    return box.x, box.y, box.x + box.width, box.y + box.height


_VALUES: dict[str, Any] = {
    "boxes": _corners,
    "scores": lambda one: (one.confidence,),
    "class_ids": lambda one: (one.class_id,),
    "labels": lambda one: (one.label,),
}
_FILL: dict[str, tuple[float | int | str, ...]] = {
    "boxes": (0.0,) * 4,
    "scores": (0.0,),
    "class_ids": (-1,),
    "labels": ("",),
}


def _packed(kind: str, values: Sequence[Any]) -> bytes:
    if kind == "BYTES":
        texts = [text.encode() for text in values]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    return struct.pack(f"<{len(values)}{'f' if kind == 'FP32' else 'i'}", *values)
