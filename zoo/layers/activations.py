"""Darknet's activations -> ONNX nodes. Formulas are those of `activations.h` and `activations.c` in both forks.

A new one is a line in `ACTIVATIONS`. AlexeyAB's fork computes relu6 in its GPU code alone (its CPU code gives 0): that
formula counts.
"""

from __future__ import annotations

from collections.abc import Callable

from zoo.cfg import Section
from zoo.graph import Graph
from zoo.network import Network

Activation = Callable[[Graph, str], str]


def _between(graph: Graph, value: str, low: float, high: float) -> str:
    return graph.add("Clip", value, graph.reals(low), graph.reals(high))


def _times(graph: Graph, value: str, factor: float) -> str:
    return graph.add("Mul", value, graph.reals(factor))


def _plus(graph: Graph, value: str, term: float) -> str:
    return graph.add("Add", value, graph.reals(term))


def _with_slope(graph: Graph, value: str, inside: str, low: float, high: float, slope: float) -> str:
    """`inside` plus `slope` times what of `value` lies outside of `low`..`high`."""
    outside = graph.add("Sub", value, _between(graph, value, low, high))
    return graph.add("Add", inside, _times(graph, outside, slope))


def _loggy(graph: Graph, value: str) -> str:
    """2 / (1 + exp(-x)) - 1"""
    return _plus(graph, _times(graph, graph.add("Sigmoid", value), 2), -1)


def _gelu(graph: Graph, value: str) -> str:
    """x / 2 * (1 + tanh(0.797885 x + 0.035677 x^3)), with darknet's rounded constants."""
    square = graph.add("Mul", value, value)
    inner = graph.add("Mul", value, _plus(graph, _times(graph, square, 0.035677), 0.797885))
    return graph.add("Mul", _times(graph, value, 0.5), _plus(graph, graph.add("Tanh", inner), 1))


def _ramp(graph: Graph, value: str) -> str:
    """max(x, 0) + x / 10"""
    return graph.add("Add", graph.add("Relu", value), _times(graph, value, 0.1))


def _plse(graph: Graph, value: str) -> str:
    """x / 8 + 1 / 2 for |x| <= 4, from there on a slope of 0.01."""
    inside = _between(graph, _plus(graph, _times(graph, value, 0.125), 0.5), 0, 1)
    return _with_slope(graph, value, inside, -4, 4, 0.01)


def _lhtan(graph: Graph, value: str) -> str:
    """x for 0 <= x <= 1, from there on a slope of 0.001."""
    return _with_slope(graph, value, _between(graph, value, 0, 1), 0, 1, 0.001)


def _stair(graph: Graph, value: str) -> str:
    """floor(x / 2), and where floor(x) is odd the part of x behind the point on top."""
    floor = graph.add("Floor", value)
    step = graph.add("Floor", _times(graph, floor, 0.5))
    odd = graph.add("Sub", floor, _times(graph, step, 2))
    return graph.add("Add", step, graph.add("Mul", odd, graph.add("Sub", value, floor)))


def _swish(graph: Graph, value: str) -> str:
    """x * sigmoid(x)"""
    return graph.add("Mul", value, graph.add("Sigmoid", value))


def _mish(graph: Graph, value: str) -> str:
    """x * tanh(log(1 + exp(x))); darknet's thresholds at -20 and 20 are below float32's precision."""
    return graph.add("Mul", value, graph.add("Tanh", graph.add("Softplus", value)))


def _hard_mish(graph: Graph, value: str) -> str:
    """0 up to -2, x * x / 2 + x up to 0, then x: x times a ramp from 0 to 1."""
    return graph.add("Mul", value, _between(graph, _plus(graph, _times(graph, value, 0.5), 1), 0, 1))


ACTIVATIONS: dict[str, Activation] = {
    "linear": lambda graph, value: value,
    "leaky": lambda graph, value: graph.add("LeakyRelu", value, alpha=0.1),
    "revleaky": lambda graph, value: graph.add("LeakyRelu", value, alpha=0.1),
    "relie": lambda graph, value: graph.add("LeakyRelu", value, alpha=0.01),
    "relu": lambda graph, value: graph.add("Relu", value),
    "relu6": lambda graph, value: _between(graph, value, 0, 6),
    "ramp": _ramp,
    "elu": lambda graph, value: graph.add("Elu", value, alpha=1.0),
    "selu": lambda graph, value: graph.add("Selu", value, alpha=1.6732, gamma=1.0507),
    "gelu": _gelu,
    "logistic": lambda graph, value: graph.add("Sigmoid", value),
    "loggy": _loggy,
    "tanh": lambda graph, value: graph.add("Tanh", value),
    "hardtan": lambda graph, value: _between(graph, value, -1, 1),
    "lhtan": _lhtan,
    "plse": _plse,
    "stair": _stair,
    "swish": _swish,
    "mish": _mish,
    "hard_mish": _hard_mish,
}

WITH_INPUT = ("swish", "mish", "hard_mish")
"""Darknet computes these apart from the others; a layer that does not know them gives zeros."""


def activate(net: Network, section: Section, value: str, default: str, apart: tuple[str, ...] = ()) -> str:
    """Append the section's activation and return its output.

    Args:
        apart: those of `WITH_INPUT` that darknet computes in this layer.

    Raises:
        CfgError: one that is not in `ACTIVATIONS`, or that darknet does not compute in this layer.
    """
    name = section.word("activation", default)
    activation = ACTIVATIONS.get(name)
    if activation is None:
        raise section.error(f"activation={name} is not supported; supported are {', '.join(sorted(ACTIVATIONS))}")
    if name in WITH_INPUT and name not in apart:
        raise section.error(f"activation={name} gives zeros in this layer of darknet, so it is not supported here")
    return activation(net.graph, value)
