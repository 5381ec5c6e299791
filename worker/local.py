"""Pictures on this disk -> detections on stdout, by the worker's own code and without any service. A composition root.

Run as `python -m worker.local`: a `Request` as one JSON document on stdin, then one `PictureResult` a line on stdout,
in the order of the pictures; or, with `frames_to`, the fitted frames in one `.npy` file. Exit codes as `worker.main`:
0, 78 (EX_CONFIG) where trying again cannot help, 1 for other errors, each with one sentence on stderr. A picture that
cannot be answered fails alone, except among frames.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import cv2
import numpy as np
from pydantic import Field, ValidationError

from shared import manifest
from shared.errors import PictureError, SourceNotFound, SourceTooLarge, SpotterError, StartupError
from shared.manifest import Manifest
from shared.schema import ImageSize, ModelRef, Options, PictureFailure, PictureResult, Strict, Timings
from shared.settings import Settings, load
from worker.draw import draw
from worker.engine import Engine
from worker.frame import Frames, Placement, enough_for, fit_to
from worker.image import Decoder, Pixels
from worker.plan import Asked
from worker.select import select

MOST_REQUEST_BYTES = 16 * 1024**2
MOST_FRAMES_BYTES = 4 * 1024**3


class Request(Strict):
    """What to run on what.

    Attributes:
        model: `name`, `name@version` or `name@alias`.
        models_dir: absent: that of the settings; likewise `provider` and `precision`.
        pictures: paths of encoded pictures.
        options: as in a job; `draw` means nothing here.
        trial: run this file as the variant of `precision`; it is not in the repository yet.
        drawn: path for each picture's annotated JPEG, in the order of the pictures; none where empty.
        frames_to: write the fitted frames here and run nothing: (N, H, W, 3), RGB 0..255, uint8 or float32 as
            `image.fit` gives them.
    """

    model: ModelRef
    models_dir: str | None = None
    pictures: Annotated[tuple[str, ...], Field(min_length=1, max_length=100_000)]
    options: Options = Options()
    provider: str | None = None
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] | None = None
    trial: str | None = None
    drawn: tuple[str, ...] = ()
    frames_to: str | None = None


def main() -> int:
    """The process."""
    logging.basicConfig(level=logging.WARNING, format="worker: %(message)s", stream=sys.stderr)
    cv2.setNumThreads(1)
    try:
        _run(load(), _request(sys.stdin.buffer.read(MOST_REQUEST_BYTES + 1)))
    except SpotterError as error:
        sys.stderr.write(f"worker: {error.detail}\n")
        return os.EX_CONFIG if isinstance(error, StartupError) else 1
    except OSError as error:
        sys.stderr.write(f"worker: {error.filename or 'a file'}: {error.strerror or error}.\n")
        return 1
    return 0


def _request(data: bytes) -> Request:
    if len(data) > MOST_REQUEST_BYTES:
        raise StartupError(f"The request has more than {MOST_REQUEST_BYTES:,} bytes.")
    try:
        request = Request.model_validate_json(data)
    except ValidationError as error:
        raise StartupError(f"The request is not valid: {manifest.wrong_fields(error)}.") from None
    if request.drawn and len(request.drawn) != len(request.pictures):
        raise StartupError(f"{len(request.drawn)} paths for {len(request.pictures)} annotated pictures.")
    return request


def _run(settings: Settings, request: Request) -> None:
    described, path = manifest.find(Path(request.models_dir or settings.models_dir), request.model)
    decoder = Decoder(settings.max_image_pixels, settings.decode_memory_bytes)
    pictures = Pictures(described, decoder, settings.max_image_bytes, scaled=settings.scaled_decode)
    if request.frames_to is not None:
        write_frames(pictures, request.pictures, Path(request.frames_to))
        return
    engine = Engine.load(
        path,
        described,
        provider=request.provider or settings.provider,
        precision=request.precision or settings.precision,
        asked=Asked(threads=settings.infer_threads, device_id=settings.device_id),
        trial=Path(request.trial) if request.trial else None,
    )
    engine.warm_up(1)
    for index, picture in enumerate(request.pictures):
        drawn = Path(request.drawn[index]) if request.drawn else None
        sys.stdout.write(
            answer(pictures, engine, request.options, index, Path(picture), drawn).model_dump_json() + "\n"
        )
        sys.stdout.flush()


class Pictures:
    """Files -> frames of one model, as a worker of these settings would make them."""

    def __init__(self, model: Manifest, decoder: Decoder, max_bytes: int, *, scaled: bool = True) -> None:
        self.model = model
        self._decoder = decoder
        self._at_least = enough_for(model, scaled=scaled)
        self._max_bytes = max_bytes

    def read(self, path: Path) -> bytes:
        """Raises SourceNotFound, SourceTooLarge; OSError where the file may not be read."""
        try:
            with path.open("rb") as file:
                data = file.read(self._max_bytes + 1)
        except (FileNotFoundError, IsADirectoryError):
            raise SourceNotFound(f"There is no file {path}.") from None
        if len(data) > self._max_bytes:
            raise SourceTooLarge(f"{path} has more than {self._max_bytes:,} bytes.")
        return data

    def frame(self, data: bytes) -> tuple[Frames, Placement]:
        """The model's frame of a picture, and its place there. Raises PictureError."""
        return fit_to(self.model, self._decoder.decode(data, self._at_least))

    def pixels(self, data: bytes) -> Pixels:
        """All of them, (H, W, 3). Raises PictureError."""
        return self._decoder.decode(data).pixels


def answer(
    pictures: Pictures, engine: Engine, options: Options, index: int, path: Path, drawn: Path | None
) -> PictureResult:
    """One picture's outcome, alone in its batch; its annotated JPEG is written to `drawn`. Raises OSError."""
    start = time.perf_counter()
    try:
        data = pictures.read(path)
        fetched = time.perf_counter()
        frame, placement = pictures.frame(data)
        decoded = time.perf_counter()
        output = engine.run(frame[None]).picture(0)
        inferred = time.perf_counter()
    except PictureError as error:
        failure = PictureFailure(code=error.code, title=error.title, detail=error.detail)
        return PictureResult(index=index, status="failed", attempts=1, error=failure)
    found = select(output, options, engine.manifest, placement)
    selected = time.perf_counter()
    if drawn is not None:
        drawn.write_bytes(draw(pictures.pixels(data), found))
    timings = Timings(
        queue_ms=0,
        fetch_ms=round((fetched - start) * 1e3, 3),
        decode_ms=round((decoded - fetched) * 1e3, 3),
        batch_wait_ms=0,
        infer_ms=round((inferred - decoded) * 1e3, 3),
        select_ms=round((selected - inferred) * 1e3, 3),
        total_ms=round((selected - start) * 1e3, 3),
        batch_size=1,
        provider=engine.provider,
        precision=engine.precision,
    )
    size = ImageSize(width=placement.width, height=placement.height)
    return PictureResult(
        index=index,
        status="succeeded",
        attempts=1,
        version=engine.manifest.version,
        image=size,
        detections=found,
        timings=timings,
    )


def write_frames(pictures: Pictures, paths: tuple[str, ...], target: Path) -> None:
    """The frames of all pictures in one `.npy` file, written one by one, so that memory holds only one.

    Raises:
        StartupError: a picture cannot be read or decoded, or the frames take more than `MOST_FRAMES_BYTES` in all.
    """
    first = _frame(pictures, paths[0])
    if (whole := first.nbytes * len(paths)) > MOST_FRAMES_BYTES:
        raise StartupError(
            f"The frames would take {whole:,} bytes, more than {MOST_FRAMES_BYTES:,}: use fewer pictures."
        )
    out = np.lib.format.open_memmap(target, "w+", first.dtype, (len(paths), *first.shape))
    for index, path in enumerate(paths):
        out[index] = _frame(pictures, path)
    out.flush()


def _frame(pictures: Pictures, path: str) -> Frames:
    try:
        return pictures.frame(pictures.read(Path(path)))[0]
    except PictureError as error:
        raise StartupError(f"{path}: {error.detail}") from None


if __name__ == "__main__":
    sys.exit(main())
