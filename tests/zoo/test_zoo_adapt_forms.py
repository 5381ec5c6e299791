"""Every form of export under the contract: frames in, and out the boxes, scores and labels that NumPy works out.

The numbers of each network are known (`onnx_exports`), so the reference is the exporter's documented meaning of its
outputs, written here once more. A wrong channel order, normalisation, axis, box order or class number shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from shared.manifest import Frame, Origin
from tests.zoo.onnx_exports import HEIGHT, WIDTH, KerasYolo, Rcnn, SsdResnet34, Tf, rows
from tests.zoo.onnx_exports_queries import CELLS, QUERIES, Detr, RtDetr, Yolo, Yolox
from zoo.adapt import Adapted, adapt
from zoo.repository import install

Array = NDArray[np.float64]
FRAME = Frame(width=WIDTH, height=HEIGHT)
SIZE = np.array([WIDTH, HEIGHT, WIDTH, HEIGHT])
COCO = tuple((Path(__file__).parents[2] / "zoo" / "labels" / "coco.names").read_text().split("\n")[:80])
ULTRALYTICS = {"author": "Ultralytics", "task": "detect", "stride": "32", "names": "{0: 'a', 1: 'b', 2: 'c'}"}
THREE = ("a", "b", "c")


@pytest.fixture
def frames() -> NDArray[np.uint8]:
    """Three pictures (3, H, W, 3) whose halves and channels differ."""
    rng = np.random.default_rng(0)
    levels = rng.integers(30, 220, (3, 2, 2, 3))
    blocks = levels.repeat(HEIGHT // 2, axis=1).repeat(WIDTH // 2, axis=2)
    return np.asarray(blocks + rng.integers(-20, 20, blocks.shape), np.uint8)


def features(frames: NDArray[np.uint8], kind: str) -> Array:
    """What the networks compute of the pictures, from the exporter's own description of the input: float64 (N, 3)."""
    pixels = frames.astype(np.float64)
    if kind in ("bgr", "bgr minus mean"):
        pixels = pixels[..., ::-1]
    if kind == "bgr minus mean":
        pixels = pixels - [102.9801, 115.9465, 122.7717]
    if kind in ("unit", "imagenet"):
        pixels = pixels / 255
    if kind == "imagenet":
        pixels = (pixels - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    return np.asarray(pixels[:, :, : WIDTH // 2].mean(axis=(1, 2)))


def served(found: Adapted, frames: NDArray[np.uint8], folder: Path) -> dict[str, Array]:
    """Installs the model as `import` does, which checks it strictly, and runs it in ONNX Runtime."""
    made = install(folder / "models", "m", found.model, found.traits(Origin(source="a test", licence="none")))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        folder / "models" / "m" / made.version / "model.onnx", options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    one_each = found.max_batch == 1
    runs = [frames[k : k + 1] for k in range(len(frames))] if one_each else [frames]
    answers = [session.run(names, {"images": run}) for run in runs]
    return {name: np.concatenate([answer[k] for answer in answers]) for k, name in enumerate(names)}


def corners(rows: Array) -> Array:
    centre, size = rows[..., :2], rows[..., 2:4]
    return np.concatenate([centre - size / 2, centre + size / 2], -1)


def sigmoid(values: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-values)))


def same(found: Array, reference: Array, tolerance: float = 2e-5) -> None:
    assert found.shape == reference.shape
    np.testing.assert_allclose(found, reference, rtol=tolerance, atol=tolerance)


# -- TensorFlow -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "suffix", "opset", "open_rows"),
    [("image_tensor:0", ":0", 10, True), ("image_tensor", "", 11, False), ("input_tensor:0", "", 13, True),
     ("input_tensor", "", 18, False), ("serving_default_input_tensor:0", "", 21, True)],
)  # fmt: skip
def test_tensorflow(
    frames: NDArray[np.uint8], tmp_path: Path, name: str, suffix: str, opset: int, open_rows: bool
) -> None:
    net = Tf()
    path = net.write(tmp_path / "f.onnx", name=name, suffix=suffix, opset=opset, open_rows=open_rows)
    found = adapt(path, labels=[f"c{k}" for k in range(1, 91)], frame=FRAME)
    assert (found.head, found.family, found.max_batch) == ("tf-detection", "tf-detection", None)
    assert (found.frame, found.resize, found.single_label, found.suppressed) == (FRAME, "stretch", True, True)
    assert found.unfit == ("openvino",), "its provider ends the process on the Loop over the pictures"
    answer = served(found, frames, tmp_path)
    raw = features(frames, "raw")
    same(answer["boxes"], net.boxes.at(raw)[..., [1, 0, 3, 2]])
    same(answer["scores"], net.scores.at(raw))
    assert answer["labels"].dtype == np.int64
    assert (
        answer["labels"].tolist() == [[0, 2, 1, 89, -1]] * 3
    )  # counted from 1; the fifth row is beyond num_detections


def test_tensorflow_2_says_how_many_classes_and_takes_one_picture(frames: NDArray[np.uint8], tmp_path: Path) -> None:
    path = Tf(classes=(1, 13, 90, 12, 1), count=5).write(
        tmp_path / "f.onnx", name="input_tensor", suffix="", batch=1, classes=90
    )
    found = adapt(path, labels=COCO, frame=FRAME)
    assert found.max_batch == 1
    assert found.labels == COCO
    answer = served(found, frames, tmp_path)
    names = [[COCO[k] if k >= 0 else None for k in row] for row in answer["labels"]]
    assert names == [["person", "stop sign", "toothbrush", None, "person"]] * 3  # COCO's ids 13 and 90; 12 is nothing


@pytest.mark.parametrize("labels", [("a", "b", "c"), COCO], ids=["three", "coco"])
def test_class_numbers_without_a_name_say_nothing(tmp_path: Path, labels: tuple[str, ...]) -> None:
    """The background, ids that COCO never used, and numbers beyond the names or below all of them."""
    path = Tf(classes=(0, 1, 3, 4, 12), count=5).write(tmp_path / "low.onnx")
    more = Tf(classes=(90, 91, 200, -1, -90), count=5).write(tmp_path / "high.onnx")
    frame = np.zeros((1, HEIGHT, WIDTH, 3), np.uint8)
    found = [served(adapt(one, labels=labels, frame=FRAME), frame, tmp_path)["labels"].tolist() for one in (path, more)]
    if len(labels) == 3:
        assert found == [[[-1, 0, 2, -1, -1]], [[-1, -1, -1, -1, -1]]]
    else:
        assert found == [[[-1, 0, 2, 3, -1]], [[79, -1, -1, -1, -1]]]


# -- the ONNX model zoo -----------------------------------------------------------------------------------------------


def test_ssd_resnet34_of_the_zoo(frames: NDArray[np.uint8], tmp_path: Path) -> None:
    net = SsdResnet34()
    found = adapt(net.write(tmp_path / "f.onnx"), labels=COCO)
    assert (found.head, found.frame, found.resize, found.max_batch) == ("ssd-resnet34", FRAME, "stretch", 1)
    answer = served(found, frames, tmp_path)
    seen = features(frames, "imagenet")
    same(answer["boxes"], net.boxes.at(seen))
    same(answer["scores"], net.scores.at(seen))
    assert answer["labels"].tolist() == [[0, 79, 16, 1, 2, 0]] * 3


@pytest.mark.parametrize(
    "names",
    [("yolonms_layer_1", "yolonms_layer_1:1", "yolonms_layer_1:2"),
     ("yolonms_layer_1/ExpandDims_1:0", "yolonms_layer_1/ExpandDims_3:0", "yolonms_layer_1/concat_2:0")],
)  # fmt: skip
def test_yolov3_of_the_zoo(frames: NDArray[np.uint8], tmp_path: Path, names: tuple[str, str, str]) -> None:
    net = KerasYolo()
    found = adapt(net.write(tmp_path / "f.onnx", names), labels=THREE, frame=FRAME)
    assert (found.head, found.resize, found.padding, found.max_batch) == ("keras-yolov3", "letterbox", 128, 1)
    assert not found.suppressed
    assert "NonMaxSuppression" not in {node.op_type for node in found.model.graph.node}
    answer = served(found, frames, tmp_path)
    seen = features(frames, "unit")
    same(answer["boxes"], net.boxes.at(seen)[..., [1, 0, 3, 2]])
    same(answer["scores"], net.scores.at(seen).transpose(0, 2, 1))


def check_rcnn(net: Rcnn, found: Adapted, frames: NDArray[np.uint8], seen: Array, folder: Path) -> None:
    """Rows that differ in number with the picture, so one picture at a time."""
    counts = set()
    for k in range(len(frames)):
        answer = served(found, frames[k : k + 1], folder)
        scores = net.scores.at(seen)[k]
        kept = scores > 0.5
        same(answer["boxes"], (net.boxes.at(seen)[k][kept] / SIZE)[np.newaxis])
        same(answer["scores"], scores[kept][np.newaxis])
        assert answer["labels"].tolist() == [(np.array(net.classes)[kept] - 1).tolist()]
        counts.add(int(kept.sum()))
    assert len(counts) > 1, "the pictures must differ in how many rows they have"


@pytest.mark.parametrize(("rank", "scores_first"), [(3, False), (3, True), (4, False)])
def test_torchvision(frames: NDArray[np.uint8], tmp_path: Path, rank: int, scores_first: bool) -> None:
    net = Rcnn()
    path = net.write_torchvision(tmp_path / "f.onnx", rank=rank, scores_first=scores_first)
    found = adapt(path, labels=["__background__", *(f"c{k}" for k in range(1, 91))])
    assert (found.head, found.resize, found.max_batch, len(found.labels)) == ("torchvision", "corner", 1, 90)
    assert found.unfit == ()
    check_rcnn(net, found, frames, features(frames, "imagenet"), tmp_path)


@pytest.mark.parametrize("masks", [False, True])
def test_rcnn_of_the_zoo(frames: NDArray[np.uint8], tmp_path: Path, masks: bool) -> None:
    net = Rcnn(boxes=rows(7, 8, 4, low=5, high=60, swing=0.01), scores=rows(21, 8, low=0.4, high=0.6, swing=0.003))
    found = adapt(
        net.write_benchmark(tmp_path / "f.onnx", masks=masks), labels=[f"c{k}" for k in range(90)], frame=FRAME
    )
    assert (found.head, found.resize, found.max_batch) == ("maskrcnn-benchmark", "corner", 1)
    check_rcnn(net, found, frames, features(frames, "bgr minus mean"), tmp_path)


# -- YOLO -------------------------------------------------------------------------------------------------------------


def check_pixels(
    found: Adapted, frames: NDArray[np.uint8], boxes: Array, scores: Array, folder: Path, tolerance: float = 2e-5
) -> None:
    answer = served(found, frames, folder)
    same(answer["boxes"], boxes / SIZE, tolerance)
    same(answer["scores"], scores, tolerance)


@pytest.mark.parametrize("dynamic", [False, True])
def test_yolov5(frames: NDArray[np.uint8], tmp_path: Path, dynamic: bool) -> None:
    net = Yolo.of(3 * CELLS, 5 + 3)
    notes = {"stride": "32", "names": "['a', 'b', 'c']"}
    found = adapt(net.write(tmp_path / "f.onnx", notes=notes, dynamic=dynamic), frame=FRAME)
    assert (found.head, found.labels, found.resize, found.padding) == ("yolov5", THREE, "letterbox", 114)
    assert found.max_batch == (None if dynamic else 1)
    seen = net.numbers.at(features(frames, "unit"))
    check_pixels(found, frames, corners(seen), seen[..., 5:] * seen[..., 4:5], tmp_path)


@pytest.mark.parametrize(
    ("task", "dynamic", "half"), [("detect", False, False), ("detect", True, False), ("pose", False, False),
                                  ("segment", True, False), ("detect", False, True)],
)  # fmt: skip
def test_yolov8(frames: NDArray[np.uint8], tmp_path: Path, task: str, dynamic: bool, half: bool) -> None:
    net = Yolo.of(CELLS, 4 + 3 + (0 if task == "detect" else 32))
    path = net.write(
        tmp_path / "f.onnx", columns=True, notes=ULTRALYTICS | {"task": task}, dynamic=dynamic, half=half,
        masks=task == "segment",
    )  # fmt: skip
    found = adapt(path, frame=FRAME)
    assert (found.head, found.labels, found.single_label, found.suppressed) == ("yolov8", THREE, False, False)
    seen = net.numbers.at(features(frames, "unit"))
    check_pixels(found, frames, corners(seen), seen[..., 4:7], tmp_path, tolerance=2e-3 if half else 2e-5)


@pytest.mark.parametrize(
    "notes", [{"end2end": "True"}, {"end2end": "False", "args": "{'nms': True, 'batch': 1}"}], ids=["end2end", "nms"]
)
def test_suppressed_yolo(frames: NDArray[np.uint8], tmp_path: Path, notes: dict[str, str]) -> None:
    net = Yolo.of(20, 6)
    net.numbers.weights[..., 5], net.numbers.bias[:, 5] = 0, [0, 1, 2, 2] * 5
    found = adapt(net.write(tmp_path / "f.onnx", notes=ULTRALYTICS | notes))
    assert (found.head, found.labels, found.single_label, found.suppressed) == ("yolov10", THREE, True, True)
    seen = net.numbers.at(features(frames, "unit"))
    check_pixels(found, frames, seen[..., :4], seen[..., 4], tmp_path)
    assert served(found, frames, tmp_path)["labels"].tolist() == [[0, 1, 2, 2] * 5] * 3


def test_rtdetr_of_ultralytics(frames: NDArray[np.uint8], tmp_path: Path) -> None:
    net = Yolo.of(300, 4 + 3)
    net.numbers.bias[:, :4] /= 100
    net.numbers.weights[..., :4] /= 100
    notes = ULTRALYTICS | {"description": "Ultralytics rtdetr-l model"}
    found = adapt(net.write(tmp_path / "f.onnx", notes=notes))
    assert (found.head, found.resize, found.suppressed) == ("rtdetr-ultralytics", "stretch", True)
    seen = net.numbers.at(features(frames, "unit"))
    answer = served(found, frames, tmp_path)
    same(answer["boxes"], corners(seen))
    same(answer["scores"], seen[..., 4:])


def test_rtdetr_of_ultralytics_that_chooses_in_the_graph(frames: NDArray[np.uint8], tmp_path: Path) -> None:
    net = Yolo.of(20, 6)
    net.numbers.weights[..., 5], net.numbers.bias[:, 5] = 0, [0, 1, 2, 2] * 5
    found = adapt(net.write(tmp_path / "f.onnx", notes=ULTRALYTICS | {"head": "RTDETRDecoder"}))
    assert (found.head, found.resize) == ("rtdetr-ultralytics-top", "stretch")
    seen = net.numbers.at(features(frames, "unit"))
    answer = served(found, frames, tmp_path)
    same(answer["boxes"], corners(seen))
    same(answer["scores"], seen[..., 4])
    assert answer["labels"].tolist() == [[0, 1, 2, 2] * 5] * 3


def yolox_rows(values: Array) -> tuple[Array, Array]:
    """YOLOX's `demo_postprocess` in words: offsets and logarithms in cells of strides 8, 16, 32, row by row."""
    boxes = values[..., :4].copy()
    place = 0
    for stride in (8, 16, 32):
        for y in range(HEIGHT // stride):
            for x in range(WIDTH // stride):
                boxes[:, place, :2] = (boxes[:, place, :2] + [x, y]) * stride
                boxes[:, place, 2:] = np.exp(boxes[:, place, 2:]) * stride
                place += 1
    rest = sigmoid(values[..., 4:])
    return corners(boxes), rest[..., 1:] * rest[..., :1]


@pytest.mark.parametrize("decoded", [False, True])
@pytest.mark.parametrize("batch", [1, "batch"])
def test_yolox(frames: NDArray[np.uint8], tmp_path: Path, decoded: bool, batch: int | str) -> None:
    net = Yolox()
    path = net.write(tmp_path / "f.onnx", decoded=decoded, batch=batch, open_sizes=batch == "batch")
    found = adapt(path, labels=THREE, head="yolox-decoded" if decoded and batch == "batch" else None)
    assert found.head == ("yolox-decoded" if decoded else "yolox")
    assert (found.resize, found.padding, found.max_batch) == ("corner", 114, None if batch == "batch" else 1)
    boxes, scores = yolox_rows(net.numbers.at(features(frames, "bgr")))
    check_pixels(found, frames, boxes, scores, tmp_path)


# -- DETR -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [None, (64, 64), ("height", "width")])
def test_detr(frames: NDArray[np.uint8], tmp_path: Path, mask: tuple[int | str, int | str] | None) -> None:
    net = Detr(rows(14, QUERIES, 92, low=-2, high=2, swing=0.5))
    found = adapt(net.write(tmp_path / "f.onnx", mask=mask), labels=COCO)
    assert (found.head, found.resize, found.suppressed, found.max_batch) == ("detr", "corner", True, None)
    assert found.labels == COCO
    seen = features(frames, "imagenet")
    powers = np.exp(net.logits.at(seen))
    probabilities = powers / powers.sum(-1, keepdims=True)
    answer = served(found, frames, tmp_path)
    same(answer["boxes"], corners(net.boxes.at(seen)))
    assert answer["scores"].shape == (3, QUERIES, 80)
    for name, number in (("person", 1), ("stop sign", 13), ("toothbrush", 90)):  # ids of COCO's annotations
        same(answer["scores"][..., COCO.index(name)], probabilities[..., number])


def test_detr_with_names_of_its_own(frames: NDArray[np.uint8], tmp_path: Path) -> None:
    net = Detr(rows(14, QUERIES, 4, low=-2, high=2, swing=0.5))
    found = adapt(net.write(tmp_path / "f.onnx", names=("pred_logits", "pred_boxes"), image="inputs"), labels=THREE)
    powers = np.exp(net.logits.at(features(frames, "imagenet")))
    same(served(found, frames, tmp_path)["scores"], (powers / powers.sum(-1, keepdims=True))[..., :3])


def test_rt_detr_of_hugging_face(frames: NDArray[np.uint8], tmp_path: Path) -> None:
    net = Detr(rows(14, QUERIES, 3, low=-2, high=2, swing=0.5))
    found = adapt(net.write(tmp_path / "f.onnx", sampling=True), labels=THREE)
    assert (found.head, found.family, found.resize) == ("rt-detr-logits", "rt-detr", "stretch")
    seen = features(frames, "unit")
    answer = served(found, frames, tmp_path)
    same(answer["boxes"], corners(net.boxes.at(seen)), 1e-4)
    same(answer["scores"], sigmoid(net.logits.at(seen)), 1e-4)


@pytest.mark.parametrize(("labels", "columns"), [(THREE, [0, 1, 2]), (("a", "b"), [0, 1])])
def test_rf_detr(frames: NDArray[np.uint8], tmp_path: Path, labels: Sequence[str], columns: list[int]) -> None:
    net = Detr(rows(14, QUERIES, 3, low=-2, high=2, swing=0.5))
    path = net.write(tmp_path / "f.onnx", names=("labels", "dets"), image="input")
    found = adapt(path, labels=labels)
    assert (found.head, found.family) == ("rf-detr", "rf-detr")
    seen = features(frames, "imagenet")
    answer = served(found, frames, tmp_path)
    same(answer["boxes"], corners(net.boxes.at(seen)))
    same(answer["scores"], sigmoid(net.logits.at(seen))[..., columns])


def test_rt_detr_by_its_own_exporter(frames: NDArray[np.uint8], tmp_path: Path) -> None:
    net = RtDetr()
    found = adapt(net.write(tmp_path / "f.onnx"), labels=COCO)
    assert (found.head, found.max_batch, found.single_label) == ("rt-detr", None, True)
    seen = features(frames, "unit")
    answer = served(found, frames, tmp_path)
    same(answer["boxes"], net.boxes.at(seen))
    same(answer["scores"], net.scores.at(seen))
    assert answer["labels"].tolist() == [list(net.classes)] * 3
