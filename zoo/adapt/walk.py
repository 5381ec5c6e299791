"""Ways through an ONNX graph and the graphs inside its nodes: find, sort, rename, prune. Knows ONNX only."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

from onnx import AttributeProto, GraphProto, NodeProto


def graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """A graph and those inside its nodes (bodies of If, Loop, Scan)."""
    yield graph
    for node in graph.node:
        for body in bodies(node):
            yield from graphs(body)


def nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """Every node of a graph and of the graphs inside its nodes."""
    for inner in graphs(graph):
        yield from inner.node


def bodies(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs that a node holds as attributes."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == AttributeProto.GRAPHS:
            yield from attribute.graphs


def references(node: NodeProto) -> Iterator[str]:
    """The names of all values that a node reads, those inside its graphs included; more than needed, never fewer."""
    yield from node.input
    for body in bodies(node):
        for inner in body.node:
            yield from references(inner)
        yield from (value.name for value in body.output)


def sort(graph: GraphProto) -> None:
    """Put the nodes into an order in which each comes after what it reads, and otherwise as they are.

    ONNX demands it and ONNX Runtime does it by itself, so some exporters (Ultralytics' fp16) forget it. Nodes on a
    cycle stay at the end, for the checker to refuse.
    """
    maker = {name: place for place, node in enumerate(graph.node) for name in node.output if name}
    waits = [{maker[name] for name in references(node) if name in maker} for node in graph.node]
    if all(before < place for place, others in enumerate(waits) for before in others):
        return
    followers: dict[int, list[int]] = {}
    for place, others in enumerate(waits):
        for before in others:
            followers.setdefault(before, []).append(place)
    open_now = [place for place, others in enumerate(waits) if not others]
    heapq.heapify(open_now)
    order: list[int] = []
    while open_now:
        place = heapq.heappop(open_now)
        order.append(place)
        for follower in followers.get(place, ()):
            waits[follower].discard(place)
            if not waits[follower]:
                heapq.heappush(open_now, follower)
    done = set(order)
    old = list(graph.node)
    order += [place for place in range(len(old)) if place not in done]
    del graph.node[:]
    graph.node.extend(old[place] for place in order)


def make_room(graph: GraphProto, names: Iterable[str], prefix: str) -> dict[str, str]:
    """Rename the values that are called one of `names` or begin with `prefix`; what was renamed to what."""
    wanted = frozenset(names)
    taken = set(values(graph))
    renamed: dict[str, str] = {}
    for name in sorted(one for one in taken if one in wanted or one.startswith(prefix)):
        free = f"foreign.{name}"
        while free in taken:
            free = f"{free}_"
        taken.add(free)
        renamed[name] = free
    if renamed:
        _rename(graph, renamed)
    return renamed


def values(graph: GraphProto) -> Iterable[str]:
    yield from (one.name for one in (*graph.input, *graph.output, *graph.initializer))
    yield from (one.values.name for one in graph.sparse_initializer)
    for node in graph.node:
        yield from (*node.input, *node.output)
        for body in bodies(node):
            yield from values(body)


def _rename(graph: GraphProto, renamed: dict[str, str]) -> None:
    """In the graphs inside nodes too: they see the values around them."""
    for one in (
        *graph.input,
        *graph.output,
        *graph.initializer,
        *(sparse.values for sparse in graph.sparse_initializer),
    ):
        one.name = renamed.get(one.name, one.name)
    for note in graph.quantization_annotation:
        note.tensor_name = renamed.get(note.tensor_name, note.tensor_name)
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name in renamed:
                    names[place] = renamed[name]
        for body in bodies(node):
            _rename(body, renamed)


def prune(graph: GraphProto) -> None:
    """Drop the nodes and constants that no output needs: masks, second outputs, suppression that is not used."""
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.isdisjoint(node.output):
            continue
        kept.append(node)
        needed.update(references(node))
    kept.reverse()
    del graph.node[:]
    graph.node.extend(kept)
    constants = [tensor for tensor in graph.initializer if tensor.name in needed]
    if len(constants) < len(graph.initializer):
        del graph.initializer[:]
        graph.initializer.extend(constants)
    sparse = [tensor for tensor in graph.sparse_initializer if tensor.values.name in needed]
    del graph.sparse_initializer[:]
    graph.sparse_initializer.extend(sparse)
