"""BentoML: `bentoml serve` imports the `Detection` of this module by name.

Ways: `threads` (one Service, every request on a thread of its own, no batches), `batch` (its batching page: a Service
that takes requests, and behind it one whose batchable API collects them). Annotations are live objects here, because
BentoML reads them; so no postponed ones.
"""

# mypy: disable-error-code="import-not-found,misc,no-any-unimported,untyped-decorator,no-redef"
# The peer's package is installed in an environment of its own.

from pathlib import Path
from typing import Annotated

import bentoml
from bentoml.validators import ContentType

from bench.peers.serving import Answer, Detector, Serving

SERVING = Serving.from_environment()
Picture = Annotated[Path, ContentType("image/jpeg")]
"""A raw body: BentoML keeps it in a file for as long as the request lasts."""

QUIET = {"traffic": {"timeout": 60}, "logging": {"access": {"enabled": False}}, "metrics": {"enabled": False}}
"""No line for each request and no histograms: the others have none either."""

if SERVING.way == "threads":

    @bentoml.service(workers=SERVING.workers, threads=SERVING.side_by_side, **QUIET)
    class Detection:
        """Everything for one request on one thread."""

        def __init__(self) -> None:
            self.detector = Detector(SERVING)

        @bentoml.api(route="/detect")
        def detect(self, picture: Picture, /) -> Answer:
            """One picture."""
            return self.detector.detect([picture.read_bytes()])[0]

else:

    @bentoml.service(workers=SERVING.workers, threads=1, **QUIET)
    class Batches:
        """Bytes of several pictures -> their detections."""

        def __init__(self) -> None:
            self.detector = Detector(SERVING)

        @bentoml.api(batchable=True, max_batch_size=SERVING.max_batch, max_latency_ms=round(SERVING.wait_ms))
        def batch(self, pictures: list[bytes]) -> list[Answer]:
            """One batch."""
            return self.detector.detect(pictures)

    @bentoml.service(workers=1, **QUIET)
    class Detection:
        """Takes the requests."""

        batches = bentoml.depends(Batches)

        @bentoml.api(route="/detect")
        async def detect(self, picture: Picture, /) -> Answer:
            """One picture."""
            answers: list[Answer] = await self.batches.to_async.batch([picture.read_bytes()])
            return answers[0]
