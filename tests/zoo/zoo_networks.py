"""Random small networks of every darknet layer, as a hypothesis strategy: cfg text whose layers fit each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import strategies as st

from tests.zoo.zoo_activations import ACTIVATIONS
from tests.zoo.zoo_random import CHANNELS_IN, sections
from tests.zoo.zoo_shapes import Shape, layer_shape

_LARGEST = 400  # places of a layer; the NumPy pass goes from one to the next
_PLAIN = sorted(set(ACTIVATIONS) - {"swish", "mish", "hard_mish"})


@dataclass
class State:
    """The network so far: the shape of its last output, of all outputs, which of them others may read, and the input
    channels and text of each convolution by its place."""

    current: Shape
    shapes: list[Shape] = field(default_factory=list)
    readable: list[int] = field(default_factory=list)
    convolutions: dict[int, tuple[int, str]] = field(default_factory=dict)

    def where(self, fits: Callable[[Shape], bool]) -> list[int]:
        return [at for at in self.readable if fits(self.shapes[at])]


@st.composite
def networks(draw: st.DrawFn) -> str:
    """Up to seven layers after `[net]`, no head."""
    width, height = draw(st.integers(6, 14)), draw(st.integers(6, 14))
    state = State((CHANNELS_IN, height, width))
    texts: list[str] = []
    for _ in range(draw(st.integers(1, 7))):
        possible = [layer(state) for layer in LAYERS]
        text = draw(draw(st.sampled_from([one for one in possible if one is not None])))
        ((kind, options),) = sections(text)
        before = state.current
        state.current = layer_shape(kind, options, before, state.shapes)
        state.shapes.append(state.current)
        if options.get("antialiasing", "0") == "0":
            state.readable.append(len(state.shapes) - 1)
        if kind == "convolutional":
            state.convolutions[len(texts)] = (before[0], text)
        texts.append(text)
    return "\n".join(f"[net] width={width} height={height} {' '.join(texts)}".split())


def _strides() -> st.SearchStrategy[str]:
    one = st.integers(1, 3).map(lambda stride: f"stride={stride}")
    return one | st.tuples(st.integers(1, 2), st.integers(1, 3)).map(
        lambda pair: f"stride_x={pair[0]} stride_y={pair[1]}"
    )


def _convolutional(state: State) -> st.SearchStrategy[str]:
    channels, height, width = state.current

    @st.composite
    def text(draw: st.DrawFn) -> str:
        filters, size = draw(st.sampled_from([1, 4, 6, 8])), draw(st.sampled_from([1, 2, 3, 5]))
        groups = draw(st.sampled_from([n for n in (1, 2, 3, 4) if channels % n == 0 and filters % n == 0]))
        dilation = draw(st.integers(1, 2)) if size in (3, 5) else 1
        inside = min(height, width) >= size
        pad = "pad=1" if dilation > 1 or not inside else draw(st.sampled_from(["pad=1", "pad=0", "padding=1"]))
        blur = draw(st.sampled_from([0, 0, 0, 1, 2])) if min(height, width) > 6 else 0
        norm, activation = draw(st.integers(0, 1)), draw(st.sampled_from(sorted(ACTIVATIONS)))
        flipped = " flipped=1" * draw(st.sampled_from([False, False, True]))
        return (
            f"[convolutional] filters={filters} size={size} {draw(_strides())} groups={groups} {pad} "
            f"dilation={dilation} batch_normalize={norm} antialiasing={blur} activation={activation}{flipped}"
        )

    return text()


def _shared(state: State) -> st.SearchStrategy[str] | None:
    """A convolution with the weights of an earlier one."""
    channels, height, width = state.current
    texts = [
        f"{text} share_index={at}"
        for at, (inside, text) in state.convolutions.items()
        if inside == channels and min(height, width) > 6 and "share_index" not in text
    ]
    return st.sampled_from(texts) if texts else None


def _pooling(state: State) -> st.SearchStrategy[str]:
    channels, height, width = state.current

    @st.composite
    def text(draw: st.DrawFn) -> str:
        if draw(st.sampled_from([False, False, False, True])):
            return f"[maxpool] maxpool_depth=1 out_channels={draw(st.integers(1, channels))}"
        size = draw(st.integers(1, 4))
        padding = f"padding={draw(st.integers(0, size - 1))}" if min(height, width) >= size else ""
        blur = draw(st.sampled_from([0, 0, 1, 2])) if min(height, width) > 6 else 0
        kind = draw(st.sampled_from([f"[maxpool] antialiasing={blur}", "[local_avgpool]"]))
        return f"{kind} size={size} {draw(_strides())} {padding}"

    return text()


def _to_one_place(state: State) -> st.SearchStrategy[str]:
    connected = st.tuples(st.integers(1, 6), st.integers(0, 1), st.sampled_from(_PLAIN)).map(
        lambda drawn: f"[connected] output={drawn[0]} batch_normalize={drawn[1]} activation={drawn[2]}"
    )
    implicit = st.integers(1, 4).map(lambda filters: f"[implicit] filters={filters}")
    return st.just("[avgpool]") | connected | implicit


def _same_shape(state: State) -> st.SearchStrategy[str]:
    activation = st.sampled_from(_PLAIN).map(lambda name: f"[activation] activation={name}")
    return activation | st.sampled_from(["[batchnorm]", "[dropout] probability=0.3", "[empty]"])


def _reshaping(state: State) -> st.SearchStrategy[str] | None:
    channels, height, width = state.current
    even = height % 2 == 0 and width % 2 == 0
    small = height * width * 4 <= _LARGEST
    texts = ["[upsample] stride=2 scale=0.7"] * small + ["[upsample] stride=-2 scale=0.5"] * even
    texts += ["[reorg] stride=1 flatten=1"]
    texts += ["[reorg3d] stride=2"] * even + ["[reorg] stride=2"] * (even and channels % 4 == 0)
    texts += ["[reorg] stride=2 reverse=1"] * (small and channels % 4 == 0)
    texts += ["[reorg3d] stride=2 reverse=1"] * (small and channels % 16 == 0)
    return st.sampled_from(texts)


def _route(state: State) -> st.SearchStrategy[str] | None:
    if not state.readable:
        return None

    @st.composite
    def text(draw: st.DrawFn) -> str:
        first = state.shapes[draw(st.sampled_from(state.readable))]
        level = state.where(lambda shape: shape[1:] == first[1:])
        sources = draw(st.lists(st.sampled_from(level), min_size=1, max_size=3))
        groups = draw(st.sampled_from([n for n in (1, 2) if all(state.shapes[at][0] % n == 0 for at in sources)]))
        layers = ",".join(map(str, sources))
        return f"[route] layers={layers} groups={groups} group_id={draw(st.integers(0, groups - 1))}"

    return text()


def _shortcut(state: State) -> st.SearchStrategy[str] | None:
    _, height, width = state.current
    level = state.where(lambda shape: shape[1:] == state.current[1:])
    resized = state.where(
        lambda shape: (shape[2] // width, width // shape[2]) == (shape[1] // height, height // shape[1])
    )
    if not resized:
        return None
    activations = st.sampled_from([*_PLAIN, "swish", "mish"])

    @st.composite
    def text(draw: st.DrawFn) -> str:
        if not level or draw(st.booleans()):
            scales = draw(st.sampled_from(["", "alpha=0.5 beta=-1.5"]))
            return f"[shortcut] from={draw(st.sampled_from(resized))} {scales} activation={draw(activations)}"
        others = ",".join(map(str, draw(st.lists(st.sampled_from(level), min_size=1, max_size=3))))
        kind = draw(st.sampled_from(["none", "per_feature", "per_channel"]))
        how = draw(st.sampled_from(["none", "relu", "softmax"]))
        weights = f"weights_type={kind} weights_normalization={how}"
        return f"[shortcut] from={others} {weights} activation={draw(activations)}"

    return text()


def _product(state: State) -> st.SearchStrategy[str] | None:
    channels, height, width = state.current
    texts = [f"[sam] from={at}" for at in state.where(lambda shape: shape == state.current)]
    if (height, width) == (1, 1):
        texts += [f"[scale_channels] from={at}" for at in state.where(lambda shape: shape[0] == channels)]
    if channels == 1:
        places = state.where(lambda shape: shape[1:] == state.current[1:])
        texts += [f"[scale_channels] from={at} scale_wh=1" for at in places]
    if not texts:
        return None
    return st.tuples(st.sampled_from(texts), st.sampled_from(_PLAIN)).map(lambda two: f"{two[0]} activation={two[1]}")


LAYERS: list[Callable[[State], st.SearchStrategy[str] | None]] = [
    _convolutional,
    _convolutional,
    _shared,
    _pooling,
    _to_one_place,
    _same_shape,
    _reshaping,
    _route,
    _shortcut,
    _product,
]
