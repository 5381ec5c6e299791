"""What lies between heavy operators, in graphs drawn by hand."""

from __future__ import annotations

import onnx
from onnx import helper

from zoo.precision.trunk import captured, trunk


def graph(*nodes: tuple[str, str, str]) -> onnx.GraphProto:
    """Nodes as (operator, inputs, outputs), names separated by blanks; each node is called by its first output."""
    made = [helper.make_node(op, ins.split(), outs.split(), outs.split()[0]) for op, ins, outs in nodes]
    return helper.make_graph(made, "g", [], [])


def inside(found: onnx.GraphProto) -> set[str]:
    return {found.node[k].name for k in trunk(found).inside}


def test_preprocessing_and_decoding_are_outside() -> None:
    found = graph(
        ("Mul", "images part", "scaled"),
        ("Conv", "scaled w", "a"),
        ("Relu", "a", "b"),
        ("Conv", "b w", "c"),
        ("Relu", "c", "d"),
        ("Conv", "d w", "e"),
        ("Sigmoid", "e", "f"),
        ("Mul", "f g", "boxes"),
    )
    assert inside(found) == {"b", "c", "d"}
    found_trunk = trunk(found)
    assert {found.node[k].name for k in found_trunk.after} == {"b", "c", "d", "e", "f", "boxes"}
    assert {found.node[k].name for k in found_trunk.before} == {"scaled", "a", "b", "c", "d"}


def test_a_path_over_places_is_no_trunk() -> None:
    """Proposals of a two-stage detector: decoded and suppressed between two networks."""
    found = graph(
        ("Conv", "x w", "features"),
        ("Conv", "features w", "deltas"),
        ("Mul", "deltas size", "moved"),
        ("Add", "moved anchors", "proposals"),
        ("RoiAlign", "features proposals batch", "crops"),
        ("Relu", "crops", "positive"),
        ("MatMul", "positive w", "classes"),
        ("MatMul", "classes w", "more"),
    )
    assert inside(found) == set()


def test_routes_and_shortcuts_are_followed() -> None:
    found = graph(
        ("Conv", "x w", "a"),
        ("LeakyRelu", "a", "b"),
        ("Conv", "b w", "c"),
        ("Add", "b c", "d"),
        ("Concat", "d b", "e"),
        ("Exp", "e", "side"),
        ("Resize", "e  scales", "f"),
        ("Conv", "f w", "out"),
    )
    assert inside(found) == {"b", "c", "d", "e", "f"}


def test_bodies_capture_names_at_any_depth() -> None:
    info = helper.make_tensor_value_info
    inner = helper.make_graph([helper.make_node("Neg", ["deep"], ["x"])], "i", [], [info("x", 1, None)])
    middle = helper.make_node("If", ["flag"], ["y"], then_branch=inner, else_branch=inner)
    outer = helper.make_graph([middle], "o", [], [info("straight", 1, None)])
    node = helper.make_node("Loop", ["n", "", "v"], ["z"], body=outer)
    assert {"flag", "deep", "straight"} <= set(captured(node))
    assert set(captured(helper.make_node("Relu", ["a"], ["b"]))) == set()
