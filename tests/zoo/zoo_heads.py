"""Runs a converted network with its labels, and walks a label tree as darknet does, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from zoo import darknet
from zoo.network import Hierarchy


def outputs(
    cfg: str, weights: Path, images: np.ndarray, hierarchy: Hierarchy | None = None, *, as_written: bool = False
) -> dict[str, np.ndarray]:
    """What the converted model says in ONNX Runtime's CPU provider, by output.

    Args:
        as_written: run the graph as it is; of a large one, optimising takes longer than all the rest.
    """
    model = darknet.convert(cfg, weights, hierarchy=hierarchy).model
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if as_written:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"images": images}), strict=True))


def groups(parents: Sequence[int]) -> list[list[int]]:
    """The classes of each run of siblings, as `read_tree` of darknet finds them."""
    found: list[list[int]] = []
    for index, parent in enumerate(parents):
        if index == 0 or parent != parents[index - 1]:
            found.append([])
        found[-1].append(index)
    return found


def given_parent(logits: np.ndarray, parents: Sequence[int]) -> np.ndarray:
    """Softmax in each group: (rows, classes)."""
    found = np.empty_like(logits)
    for group in groups(parents):
        raised = np.exp(logits[:, group] - logits[:, group].max(axis=1, keepdims=True))
        found[:, group] = raised / raised.sum(axis=1, keepdims=True)
    return found


def own(logits: np.ndarray, parents: Sequence[int]) -> np.ndarray:
    """Each class's own probability, (rows, classes): `hierarchy_predictions` of darknet."""
    found = given_parent(logits, parents)
    for index, parent in enumerate(parents):
        if parent >= 0:
            found[:, index] *= found[:, parent]
    return found


def top(probability: np.ndarray, parents: Sequence[int], threshold: float) -> tuple[int, float]:
    """`hierarchy_top_prediction` of the original for one row of own probabilities, line by line; and how far the
    nearest decision was from going the other way."""
    runs = groups(parents)
    child = {parents[run[0]]: run for run in runs if parents[run[0]] >= 0}
    sure, group, margin, first = 1.0, runs[0], np.inf, True
    while True:
        values = probability[group]
        best = group[int(values.argmax())]
        others = np.delete(values, values.argmax())
        margin = min(margin, float(values.max() - others.max()) if len(others) else np.inf)
        margin = min(margin, abs(sure * float(values.max()) - threshold))
        if sure * values.max() > threshold:
            sure *= float(values.max())
            if best not in child:
                return best, margin
            group, first = child[best], False
        elif first:
            return best, margin
        else:
            return parents[group[0]], margin
