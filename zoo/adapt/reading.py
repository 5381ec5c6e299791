"""The path of an ONNX file that somebody else made -> a checked ModelProto that needs no other file.

Everything hostile ends here: sizes, damaged protobufs, external data outside the model's folder, operators that ONNX
Runtime does not ship. Knows nothing of detection. Nothing in the file is run, and no path that it names is opened
before it is known to lie beside the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx.inliner
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import ModelProto, NodeProto, helper

from zoo.adapt.external_data import MAX_BYTES, embed
from zoo.adapt.walk import bodies, graphs, nodes, sort, values
from zoo.errors import ForeignModelError

MAX_NODES = 500_000
"""After local functions are put in place of their calls: nested ones can stand for any number."""

DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
"""Operator sets that every build of ONNX Runtime ships; any other needs a library of the exporter's."""

MIN_OPSET = 10
"""The oldest operator set in which all the nodes that `zoo.adapt` adds mean what they mean in the newest."""

_MIN_IR = 8  # below 4, constants had to be inputs too


def read(path: Path) -> ModelProto:
    """Parse, check and complete the model at `path`.

    External data (weights in files of their own, from torch.onnx's dynamo exporter or for large models) is read into
    the model where every location lies inside the folder of the model, also after symbolic links are followed. Local
    functions are put in place of their calls. Intermediate shapes are dropped: they are hints, and wrong ones after
    the frame is fixed.

    Raises:
        ForeignModelError: the file is missing, too large, damaged, not valid ONNX, older than opset 10, or uses
            operators or files that are not allowed; the text names them.
    """
    try:
        size = path.stat().st_size
        if not path.is_file() or size > MAX_BYTES:
            raise ForeignModelError(f"{path} is not a file of at most {MAX_BYTES:,} bytes, as an ONNX file is.")
        model = ModelProto.FromString(path.read_bytes())
    except OSError as error:
        raise ForeignModelError(f"{path} cannot be read: {error.strerror}.") from None
    except DecodeError:
        raise ForeignModelError(f"{path.name} is not an ONNX file, or it is cut short.") from None
    if not model.HasField("graph") or not model.graph.node:
        raise ForeignModelError(f"{path.name} is not an ONNX file: it has no graph.")
    try:
        _refuse_bytes(model)
        model = _without_functions(model)
        _refuse_foreign_operators(model)
        embed(model, path.parent, path.name)
        sort(model.graph)
        onnx.checker.check_model(model)
    except UnicodeDecodeError:
        raise ForeignModelError(f"{path.name} is damaged: it holds names that are not UTF-8.") from None
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise ForeignModelError(f"{path.name} is not valid ONNX: {_first_line(error)}.") from None
    _tidy(model)
    return model


def _refuse_bytes(model: ModelProto) -> None:
    """ONNX's strings are not checked while they are parsed: what is not UTF-8 comes as bytes, or raises when read."""
    notes = (text for entry in model.metadata_props for text in (entry.key, entry.value))
    if not all(isinstance(text, str) for text in (*values(model.graph), *notes)):
        raise ForeignModelError("The model is damaged: it holds names that are not UTF-8.")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].strip().rstrip(".")[:300] if lines else type(error).__name__


# -- operators ------------------------------------------------------------------------------------------------------


def _without_functions(model: ModelProto) -> ModelProto:
    if not model.functions:
        return model
    sizes: dict[tuple[str, str], int] = {}
    calls = {(function.domain, function.name): function for function in model.functions}

    def size_of(inner: Iterator[NodeProto], open_calls: tuple[tuple[str, str], ...]) -> int:
        total = 0
        for node in inner:
            key = (node.domain, node.op_type)
            if key in open_calls:
                raise ForeignModelError(f"The model's function {node.op_type} calls itself.")
            if key in calls and key not in sizes:
                body = (part for top in calls[key].node for part in (top, *_inside(top)))
                sizes[key] = size_of(body, (*open_calls, key))
            total += sizes.get(key, 1)
            if total > MAX_NODES:
                raise ForeignModelError(f"The model has more than {MAX_NODES:,} nodes with its functions written out.")
        return total

    size_of(nodes(model.graph), ())
    return onnx.inliner.inline_local_functions(model)


def _inside(node: NodeProto) -> Iterator[NodeProto]:
    for body in bodies(node):
        yield from nodes(body)


def _normalise_domain(model: ModelProto) -> None:
    """The standard operators have two names, the empty one and `ai.onnx`; the checker takes them for two domains."""
    standard = opset_of(model)
    for node in nodes(model.graph):
        if node.domain == "ai.onnx":
            node.domain = ""
    imports = [one for one in model.opset_import if one.domain not in ("", "ai.onnx")]
    del model.opset_import[:]
    model.opset_import.extend([helper.make_opsetid("", standard), *imports])


def _refuse_foreign_operators(model: ModelProto) -> None:
    _normalise_domain(model)
    strange = sorted({f"{node.domain}::{node.op_type}" for node in nodes(model.graph) if node.domain not in DOMAINS})
    if strange:
        more = f" and {len(strange) - 5} more" if len(strange) > 5 else ""
        raise ForeignModelError(
            f"The model uses operators that ONNX Runtime does not ship: {', '.join(strange[:5])}{more}. "
            "Export it with standard ONNX operators only."
        )
    opset = opset_of(model)
    if opset < MIN_OPSET:
        raise ForeignModelError(
            f"The model is written in ONNX opset {opset}; export it again with opset {MIN_OPSET} or newer (17 is good)."
        )


def opset_of(model: ModelProto) -> int:
    """The version of the standard operators that a model is written in; 0 where it says none."""
    return max((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), default=0)


def _tidy(model: ModelProto) -> None:
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer} | {one.values.name for one in graph.sparse_initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    del graph.input[:]
    graph.input.extend(inputs)
    for inner in graphs(graph):
        del inner.value_info[:]
    used = {node.domain for node in nodes(graph)} | {""}
    imports = [one for one in model.opset_import if one.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(imports)
    model.ir_version = max(model.ir_version, _MIN_IR)
