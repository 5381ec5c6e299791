"""LitServe: its HTTP process hands raw bodies to worker processes, which collect batches.

Ways: `queue` (multiprocessing's) and `fast_queue` (ZeroMQ) between these. The hooks are those of its batching page;
`batch` prepares the pictures side by side. Annotations are live objects here, because LitServe takes the request's type
from them; so no postponed ones.
"""

# mypy: disable-error-code="import-not-found,misc,no-any-unimported"
# The peer's package is installed in an environment of its own.

from collections.abc import Sequence
from typing import Annotated

import litserve
from fastapi import Body

from bench.peers.serving import Answer, Detector, Prepared, Serving


class Detection(litserve.LitAPI):
    """The hooks of LitServe's life cycle, in its order."""

    def setup(self, device: str) -> None:
        """Once in each worker process."""
        self.detector = Detector(Serving.from_environment())

    def decode_request(self, request: Annotated[bytes, Body(media_type="image/jpeg")]) -> bytes:
        """The raw body; pictures are decoded in `batch`, where there are several."""
        return request

    def batch(self, inputs: Sequence[bytes]) -> list[Prepared]:
        """Prepared side by side."""
        return self.detector.prepare_all(inputs)

    def predict(self, x: Sequence[Prepared]) -> list[Answer]:
        """One batch."""
        return self.detector.finish(x)

    def unbatch(self, output: list[Answer]) -> list[Answer]:
        """One answer for each picture already."""
        return output

    def encode_response(self, output: Answer) -> Answer:
        """LitServe writes the JSON."""
        return output


def main() -> None:
    """The server's process."""
    serving = Serving.from_environment()
    server = litserve.LitServer(
        Detection(max_batch_size=serving.max_batch, batch_timeout=serving.wait_ms / 1000),
        accelerator="cpu",
        devices=1,
        workers_per_device=serving.workers,
        timeout=60,
        fast_queue=serving.way == "fast_queue",
    )
    server.run(host="127.0.0.1", port=serving.port, num_api_servers=1, log_level="warning", generate_client_file=False)


if __name__ == "__main__":
    main()
