"""Hostile and damaged ONNX files: nothing outside the model's folder is read, and every answer is one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from shared.manifest import Origin
from tests.zoo.onnx_exports import FLOAT, HEIGHT, INT64, WIDTH, Net, Rcnn, Tf
from tests.zoo.onnx_exports_queries import CELLS, RtDetr, Yolo
from zoo.adapt import adapt
from zoo.adapt.external_data import MAX_BYTES
from zoo.adapt.reading import MIN_OPSET, read
from zoo.errors import ContractError, ForeignModelError, ZooError
from zoo.repository import install

NAMES = ("a", "b", "c")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The model's own folder, with something outside it that must stay unread."""
    (tmp_path / "secret").write_bytes(bytes(4096))
    inner = tmp_path / "model"
    inner.mkdir()
    return inner


def outside(folder: Path, location: str, *, offset: str | None = None, length: str | None = None) -> Path:
    """A model whose one weight, float32 (4, 4), lies at `location`."""
    weight = TensorProto(name="w", data_type=FLOAT, dims=[4, 4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        if value is not None:
            weight.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", FLOAT, [1, 4])],
        [weight],
    )
    path = folder / "f.onnx"
    path.write_bytes(
        helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()
    )
    return path


# -- external data ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("location", ["w.bin", "./w.bin", "deep/er/w.bin"])
def test_weights_beside_the_model_are_read_into_it(folder: Path, location: str) -> None:
    values = np.arange(16, dtype="<f4").reshape(4, 4)
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / location).write_bytes(b"12345678" + values.tobytes() + b"more")
    (weight,) = read(outside(folder, location, offset="8", length="64")).graph.initializer
    np.testing.assert_array_equal(numpy_helper.to_array(weight), values)
    assert weight.data_location == TensorProto.DEFAULT
    assert not weight.external_data


def test_weights_that_onnx_itself_put_aside(folder: Path) -> None:
    """The file that `onnx.save` writes with external data, served as if it were one file."""
    whole, parted = folder / "whole.onnx", folder / "parted.onnx"
    Yolo.of(CELLS, 7).write(whole, columns=True)
    onnx.save(onnx.load(whole), parted, save_as_external_data=True, location="parted.data", size_threshold=0)
    assert parted.stat().st_size < whole.stat().st_size / 2
    assert adapt(parted, labels=NAMES).model.SerializeToString(deterministic=True) == adapt(
        whole, labels=NAMES
    ).model.SerializeToString(deterministic=True)


@pytest.mark.parametrize(
    "location",
    ["../secret", "/etc/passwd", "deep/../../secret", "..", ".", "", "a\\..\\secret", "w\0.bin", "deep", "C:\\w", "~/w",
     "file:///etc/passwd", "../model/../secret"],
)  # fmt: skip
def test_a_location_outside_the_folder_is_refused(folder: Path, location: str) -> None:
    (folder / "deep").mkdir()
    with pytest.raises(ForeignModelError, match=r"must be a file in the folder|is missing beside it"):
        read(outside(folder, location))


def test_a_way_up_is_refused_even_where_it_comes_back(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "w.bin").write_bytes(bytes(64))
    with pytest.raises(ForeignModelError, match="must be a file in the folder"):
        read(outside(folder, "deep/../w.bin"))


def test_a_link_that_leaves_the_folder_is_refused(folder: Path) -> None:
    (folder / "w.bin").symlink_to(folder.parent / "secret")
    (folder / "way").symlink_to(folder.parent)
    (folder / "loop").symlink_to("loop")
    for location in ("w.bin", "way/secret"):
        with pytest.raises(ForeignModelError, match="must be a file in the folder"):
            read(outside(folder, location))
    with pytest.raises(ForeignModelError, match="missing"):
        read(outside(folder, "loop"))


def test_a_link_inside_the_folder_is_followed(folder: Path) -> None:
    (folder / "blob").write_bytes(np.ones(16, "<f4").tobytes())
    (folder / "w.bin").symlink_to("blob")
    assert numpy_helper.to_array(read(outside(folder, "w.bin")).graph.initializer[0]).sum() == 16


def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "w.bin")
    with pytest.raises(ForeignModelError, match="must be a file"):
        read(outside(folder, "w.bin"))
    os.mkfifo(folder / "model.onnx")
    with pytest.raises(ForeignModelError, match="is not a file"):
        read(folder / "model.onnx")


@pytest.mark.parametrize(
    ("offset", "length"),
    [("0", "63"), ("0", "65"), ("1", "64"), ("-1", "64"), ("64", None), ("9" * 30, None), ("1e3", None), ("٣", None)],
)
def test_a_wrong_place_in_the_file_is_refused(folder: Path, offset: str, length: str | None) -> None:
    (folder / "w.bin").write_bytes(bytes(64))
    with pytest.raises(ForeignModelError, match=r"does not hold the 64 bytes|where a number of bytes belongs"):
        read(outside(folder, "w.bin", offset=offset, length=length))


@pytest.mark.parametrize("dims", [[1 << 40, 1 << 40], [1 << 29], [-4, -4]])
def test_a_claimed_size_is_refused_before_anything_is_read(folder: Path, dims: list[int]) -> None:
    path = outside(folder, "w.bin")
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].dims[:] = dims
    path.write_bytes(model.SerializeToString())
    (folder / "w.bin").write_bytes(bytes(64))
    with pytest.raises(ForeignModelError, match=rf"more than {MAX_BYTES:,} bytes|type or shape that is not allowed"):
        read(path)


def test_weights_aside_in_the_body_of_a_loop_count_too(folder: Path) -> None:
    weight = TensorProto(name="w", data_type=FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="../secret")
    body = helper.make_graph(
        [helper.make_node("Constant", [], ["r"], value=weight)],
        "b",
        [],
        [helper.make_tensor_value_info("r", FLOAT, [4])],
    )
    node = helper.make_node("If", ["x"], ["y"], then_branch=body, else_branch=body)
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("x", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("y", FLOAT, [4])],
    )  # fmt: skip
    path = folder / "f.onnx"
    path.write_bytes(helper.make_model(graph, ir_version=8).SerializeToString())
    with pytest.raises(ForeignModelError, match=r"\.\./secret"):
        read(path)


# -- operators --------------------------------------------------------------------------------------------------------


def with_node(
    path: Path, node: onnx.NodeProto, *domains: str, functions: list[onnx.FunctionProto] | None = None
) -> Path:
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("x", FLOAT, [1])], [helper.make_tensor_value_info("y", FLOAT, [1])]
    )
    imports = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(graph, ir_version=8, opset_imports=imports, functions=functions or [])
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("domain", ["org.pytorch.aten", "mmdeploy", "ai.onnx.contrib", "com.microsoft.extensions"])
def test_operators_of_other_libraries_are_refused_by_name(tmp_path: Path, domain: str) -> None:
    path = with_node(tmp_path / "f.onnx", helper.make_node("Magic", ["x"], ["y"], domain=domain), domain)
    with pytest.raises(ForeignModelError, match=f"{domain}::Magic.*standard ONNX operators"):
        read(path)


@pytest.mark.parametrize(("op", "domain"), [("Gelu", "com.microsoft"), ("Scaler", "ai.onnx.ml"), ("Relu", "ai.onnx")])
def test_operators_that_the_runtime_ships_are_taken(tmp_path: Path, op: str, domain: str) -> None:
    node = helper.make_node(op, ["x"], ["y"], domain=domain)
    path = with_node(tmp_path / "f.onnx", node, *({domain} - {"ai.onnx"}))
    assert read(path).graph.node[0].op_type == op


def test_an_operator_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ForeignModelError, match=r"not valid ONNX.*Magic"):
        read(with_node(tmp_path / "f.onnx", helper.make_node("Magic", ["x"], ["y"])))


def function(name: str, *inner: str) -> onnx.FunctionProto:
    names = ["x", *(f"t{k}" for k in range(len(inner) - 1)), "y"]
    nodes = [
        helper.make_node(op, [names[k]], [names[k + 1]], domain="mine" if op[0] == "f" else "")
        for k, op in enumerate(inner)
    ]
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    return helper.make_function("mine", name, ["x"], ["y"], nodes, imports)


def test_local_functions_are_written_out(tmp_path: Path) -> None:
    functions = [function("f0", "Relu", "Abs"), function("f1", "f0", "f0")]
    path = with_node(
        tmp_path / "f.onnx", helper.make_node("f1", ["x"], ["y"], domain="mine"), "mine", functions=functions
    )
    model = read(path)
    assert [node.op_type for node in model.graph.node] == ["Relu", "Abs", "Relu", "Abs"]
    assert not model.functions


def test_functions_that_double_again_and_again_are_refused_unwritten(tmp_path: Path) -> None:
    functions = [function("f0", "Relu", "Abs"), *(function(f"f{k}", f"f{k - 1}", f"f{k - 1}") for k in range(1, 60))]
    path = with_node(
        tmp_path / "f.onnx", helper.make_node("f59", ["x"], ["y"], domain="mine"), "mine", functions=functions
    )
    with pytest.raises(ForeignModelError, match="more than 500,000 nodes"):
        read(path)


def test_a_function_that_calls_itself_is_refused(tmp_path: Path) -> None:
    functions = [function("f0", "f1", "Abs"), function("f1", "f0", "Abs")]
    path = with_node(
        tmp_path / "f.onnx", helper.make_node("f1", ["x"], ["y"], domain="mine"), "mine", functions=functions
    )
    with pytest.raises(ForeignModelError, match="calls itself"):
        read(path)


def test_an_old_opset_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = Tf().write(tmp_path / "f.onnx", opset=MIN_OPSET)
    assert read(path).opset_import[0].version == MIN_OPSET
    model = onnx.load(path)
    model.opset_import[0].version = MIN_OPSET - 1
    onnx.save(model, path)
    with pytest.raises(ForeignModelError, match=r"opset 9; export it again with opset 10 or newer"):
        read(path)


# -- order, names, old habits -----------------------------------------------------------------------------------------


def test_nodes_in_any_order_are_sorted(tmp_path: Path) -> None:
    """Ultralytics' fp16 exports put the last Cast first."""
    path = Yolo.of(CELLS, 7).write(tmp_path / "f.onnx", columns=True)
    good = read(path).graph.node
    model = onnx.load(path)
    backwards = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(backwards)
    onnx.save(model, path)
    assert [node.output for node in read(path).graph.node] != [node.output for node in backwards]
    assert sorted(str(node) for node in read(path).graph.node) == sorted(str(node) for node in good)


def test_nodes_that_wait_for_each_other_are_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Add", ["a", "x"], ["b"])]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", FLOAT, [1])], [helper.make_tensor_value_info("b", FLOAT, [1])]
    )
    (tmp_path / "f.onnx").write_bytes(helper.make_model(graph, ir_version=8).SerializeToString())
    with pytest.raises(ForeignModelError, match="topologically sorted"):
        read(tmp_path / "f.onnx")


def test_constants_that_are_inputs_too_are_no_inputs(tmp_path: Path) -> None:
    """As IR version 3 demanded it: all files of the ONNX model zoo have their weights among the inputs."""
    path = Yolo.of(CELLS, 7).write(tmp_path / "f.onnx", columns=True)
    model = onnx.load(path)
    model.ir_version = 3
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    onnx.save(model, path)
    found = adapt(path, labels=NAMES)
    assert [value.name for value in found.model.graph.input] == ["images"]
    assert found.model.ir_version >= 4


def test_foreign_values_may_have_the_names_of_the_contract(tmp_path: Path) -> None:
    """Also inside a body, and also the prefix of the added nodes."""
    net = Net()
    image = net.add("Identity", "images", out="spotter.constant_1")
    names = ("boxes", "labels", "scores")
    features = net.halves(image)
    for name, wide, kind in zip(names, ((5, 4), (5,), (5,)), (FLOAT, INT64, FLOAT), strict=True):
        net.affine(features, np.zeros((3, *wide)), np.full(wide, 0.5), out=name, dtype=kind)
    body = helper.make_graph(
        [helper.make_node("Identity", ["scores"], ["inner"])],
        "b",
        [],
        [helper.make_tensor_value_info("inner", FLOAT, [1, 5])],
    )
    net.constants.append(numpy_helper.from_array(np.array(True), "yes"))
    net.add("If", "yes", out="bboxes", then_branch=body, else_branch=body)
    path = net.save(
        tmp_path / "f.onnx",
        {"images": (FLOAT, [1, 3, HEIGHT, WIDTH])},
        {"bboxes": (FLOAT, [1, 5]), "labels": (INT64, [1, 5]), "scores": (FLOAT, [1, 5]), "boxes": (FLOAT, [1, 5, 4])},
    )
    model = adapt(path, labels=NAMES, head="ssd-resnet34").model
    onnx.checker.check_model(model)
    (branch,) = (node for node in model.graph.node if node.op_type == "If")
    assert branch.attribute[0].g.node[0].input[0] == "foreign.scores"


# -- damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"\0", b"onnx", b"\x08\x08", b"PK\x03\x04" + bytes(99), b"\x08" * 99])
def test_what_is_no_onnx_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "f.onnx").write_bytes(data)
    with pytest.raises(ForeignModelError, match="not an ONNX file"):
        read(tmp_path / "f.onnx")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(ForeignModelError, match=r"cannot be read: No such file|is not a file"):
            read(path)


def test_a_number_that_is_no_type_is_refused_at_the_latest_by_the_repository(tmp_path: Path) -> None:
    """ONNX's quick check does not look into casts; the strict one does, with an error class of its own."""
    path = Yolo.of(CELLS, 7).write(tmp_path / "f.onnx", columns=True)
    model = onnx.load(path)
    next(node for node in model.graph.node if node.op_type == "Cast").attribute[0].i = 83
    onnx.save(model, path)
    origin = Origin(source="a test", licence="none")
    found = adapt(path, labels=NAMES)
    with pytest.raises(ContractError, match="not valid ONNX"):
        install(tmp_path / "models", "m", found.model, found.traits(origin))


def test_a_hostile_constant_does_not_take_all_the_memory(tmp_path: Path) -> None:
    """A Reshape to 5 * 10**16 rows: ONNX's shape inference with data propagation makes a list of so many."""
    path = Rcnn().write_torchvision(tmp_path / "f.onnx")
    model = onnx.load(path)
    wrong = next(tensor for tensor in model.graph.initializer if numpy_helper.to_array(tensor).tolist() == [8])
    wrong.raw_data = np.array([8 + (0xBF << 48)], "<i8").tobytes()
    onnx.save(model, path)
    program = (
        "import resource, sys; from pathlib import Path; from zoo.adapt import adapt; "
        "resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30)); print(adapt(Path(sys.argv[1]), labels=['a']).head)"
    )
    command = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "torchvision\n", done.stderr


def changed(path: Path, old: bytes, new: bytes) -> Path:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    return path


def test_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = Tf().write(tmp_path / "f.onnx")
    with pytest.raises(ForeignModelError, match="not UTF-8"):
        adapt(changed(path, b"turned_pictures", b"turned_\xff\xfectures"), labels=NAMES)


@pytest.mark.parametrize("size", [1 << 40, 1 << 30, 9000])
def test_sizes_that_no_detector_has_build_nothing(tmp_path: Path, size: int) -> None:
    """Of rows: taken for open; of frames: refused."""
    path = Tf().write(tmp_path / "f.onnx")
    model = onnx.load(path)
    scores = next(value for value in model.graph.output if value.name == "detection_scores:0")
    scores.type.tensor_type.shape.dim[1].dim_value = size
    onnx.save(model, path)
    assert len(adapt(path, labels=NAMES).model.SerializeToString()) < 200_000
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 9000
    onnx.save(model, path)
    with pytest.raises(ForeignModelError, match="9000, which is more than 8192"):
        adapt(path, labels=NAMES)


@pytest.mark.parametrize("kind", [TensorProto.STRING, TensorProto.COMPLEX64, 81])
def test_inputs_of_other_types_are_refused(tmp_path: Path, kind: int) -> None:
    path = RtDetr().write(tmp_path / "f.onnx")
    for place in (0, 1):
        model = onnx.load(path)
        model.graph.input[place].type.tensor_type.elem_type = kind
        (tmp_path / "bad.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(ForeignModelError, match="takes n"):
            adapt(tmp_path / "bad.onnx", labels=NAMES)


SAMPLES: dict[str, bytes] = {}


@pytest.fixture(scope="module", autouse=True)
def _samples(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("samples")
    SAMPLES["tf"] = Tf().write(folder / "tf.onnx").read_bytes()
    SAMPLES["yolo"] = (
        Yolo.of(CELLS, 7).write(folder / "y.onnx", columns=True, notes={"names": "['a','b','c']"}).read_bytes()
    )


@settings(max_examples=200, deadline=None)
@given(data=st.data(), kind=st.sampled_from(["tf", "yolo"]))
def test_damage_anywhere_ends_in_a_model_or_in_one_sentence(
    data: st.DataObject, kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bad = bytearray(SAMPLES[kind])
    for _ in range(data.draw(st.integers(1, 6))):
        # mostly near the ends, where the structure is; the middle is weights
        place = data.draw(st.one_of(st.integers(0, 2000), st.integers(1, 2000).map(lambda back: len(bad) - back)))
        bad[min(place, len(bad) - 1)] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(bad)), st.integers(0, len(bad))))
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(bytes(bad[:cut]))
    try:
        found = adapt(path, labels=NAMES)
    except ZooError:
        return
    assert {value.name for value in found.model.graph.output} >= {"boxes", "scores"}


@settings(max_examples=100, deadline=None)
@given(garbage=st.binary(max_size=400))
def test_garbage_ends_in_one_sentence(garbage: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage.onnx"
    path.write_bytes(garbage)
    with pytest.raises(ZooError):
        adapt(path, labels=NAMES)
