"""What a worker finds in the pictures of these tests: boxes and confidences that are easy to follow by hand."""

from __future__ import annotations

from shared.schema import Box, Claim, Detection, ImageSize, PictureFailure, PictureResult, Timings

WIDTH, HEIGHT = 400, 200
TIMINGS = Timings(
    queue_ms=5, fetch_ms=1, decode_ms=3, batch_wait_ms=0, infer_ms=20.4, select_ms=1, total_ms=30, batch_size=1,
    provider="cpu", precision="fp32",
)  # fmt: skip


def seen(label: str, class_id: int, confidence: float, *box: float) -> Detection:
    """`box`: left, top, width, height in pixels."""
    x, y, width, height = box
    return Detection(
        label=label, class_id=class_id, confidence=confidence, box=Box(x=x, y=y, width=width, height=height)
    )


DOG = seen("dog", 0, 0.9, 100, 50, 200, 100)
CAT = seen("cat", 1, 0.55, 0, 0, 40.6, 20.4)
MOTORBIKE = seen("motorbike", 3, 0.5, 300, 100, 100, 100)


def found(index: int, *detections: Detection) -> PictureResult:
    size = ImageSize(width=WIDTH, height=HEIGHT)
    return PictureResult(
        index=index, status="succeeded", attempts=1, version="1", image=size, detections=detections, timings=TIMINGS
    )


def three(held: Claim) -> PictureResult:
    return found(held.index, DOG, CAT, MOTORBIKE)


def unreadable(held: Claim) -> PictureResult:
    failure = PictureFailure(code="invalid_image", title="Not a readable picture", detail="It is not a picture.")
    return PictureResult(index=held.index, status="failed", attempts=1, error=failure)
