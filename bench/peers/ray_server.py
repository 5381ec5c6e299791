"""Ray Serve: a proxy process hands requests to replicas, whose `serve.batch` collects them.

Ways: `batch` (an async deployment that prepares pictures on threads and batches model runs). The flags of Ray's tuning
page are environment variables, in `bench.peers.roster`.
"""

# mypy: disable-error-code="import-not-found,misc,no-any-unimported,untyped-decorator,attr-defined"
# The peer's package is installed in an environment of its own.

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from bench.peers.serving import VARIABLE, Answer, Detector, Prepared, Serving

SERVING = Serving.from_environment()


@serve.deployment(
    num_replicas=SERVING.workers, max_ongoing_requests=100, ray_actor_options={"num_cpus": SERVING.threads}
)
class Detection:
    """One replica."""

    def __init__(self) -> None:
        self._detector = Detector(SERVING)
        self._pool = ThreadPoolExecutor(SERVING.side_by_side)
        self._device = ThreadPoolExecutor(1)

    @serve.batch(max_batch_size=SERVING.max_batch, batch_wait_timeout_s=SERVING.wait_ms / 1000)
    async def _finish(self, prepared: list[Prepared]) -> list[Answer]:
        return await asyncio.get_running_loop().run_in_executor(self._device, self._detector.finish, prepared)

    async def __call__(self, request: Request) -> Response:
        """One picture; the event loop only waits."""
        data = await request.body()
        prepared = await asyncio.get_running_loop().run_in_executor(self._pool, self._detector.prepare, data)
        return Response(json.dumps(await self._finish(prepared)), media_type="application/json")


def main() -> None:
    """The server's process, until SIGTERM."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    passed = {name: os.environ[name] for name in (VARIABLE, "PYTHONPATH")}
    ray.init(
        num_cpus=SERVING.workers * SERVING.threads,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": passed},
        _temp_dir=os.environ["PEER_FOLDER"],
    )
    serve.start(http_options={"host": "127.0.0.1", "port": SERVING.port})
    serve.run(Detection.bind(), name="detection", route_prefix="/")
    ended.wait()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
