"""Picture results as a worker stores them, made up and by chance."""

from __future__ import annotations

from hypothesis import strategies as st

from shared.schema import Box, Detection, ImageSize, PictureResult, Timings

LABELS = ("dog", "cat", "Traffic Light")
SPENT = Timings(
    queue_ms=1.9, fetch_ms=0.1, decode_ms=3.1, batch_wait_ms=0.4, infer_ms=7.2, select_ms=0.4, total_ms=13.4,
    batch_size=4, provider="cpu", precision="fp32",
)  # fmt: skip


def found(label: str, class_id: int, confidence: float, *box: float) -> Detection:
    x, y, width, height = box
    return Detection(
        label=label, class_id=class_id, confidence=confidence, box=Box(x=x, y=y, width=width, height=height)
    )


def picture(*detections: Detection, index: int = 0, width: int = 768, height: int = 576) -> PictureResult:
    return PictureResult(
        index=index, status="succeeded", attempts=1, version="1", image=ImageSize(width=width, height=height),
        detections=detections, timings=SPENT,
    )  # fmt: skip


DOG = found("dog", 0, 0.829, 124.0, 220.0, 258.0, 298.0)


@st.composite
def pictures(draw: st.DrawFn) -> PictureResult:
    """Any picture with boxes inside it, the most confident first."""
    width, height = draw(st.integers(1, 5000)), draw(st.integers(1, 5000))
    boxes = []
    for _ in range(draw(st.integers(0, 30))):
        x, y = draw(st.floats(0, width)), draw(st.floats(0, height))
        kind = draw(st.integers(0, len(LABELS) - 1))
        boxes.append(
            found(
                LABELS[kind], kind, draw(st.floats(0, 1)),
                x, y, draw(st.floats(0, width - x)), draw(st.floats(0, height - y)),
            )
        )  # fmt: skip
    return picture(*sorted(boxes, key=lambda one: -one.confidence), width=width, height=height)
