"""Who is compared: each peer's pinned packages, how its server is started, and the settings that were tried.

The first setting of a peer is the one that was best here (decision 10 has all of them); `--only peer/setting` takes
another.
On a machine with C cores, `workers` processes of `threads` threads each share them: workers x threads = C.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.peers.serving import Serving


@dataclass(frozen=True)
class Setting:
    """One documented way to set a peer up.

    Attributes:
        way: name of it in the peer's server.
        per_core: a model process for each core with one thread each; else one process with all the cores.
        wait_ms: how long a batch may wait to fill; of BentoML's, the latency that it aims to stay below.
        side_by_side: pictures that one process prepares at once; 0: one for each core.
        max_batch: pictures in one run.
        env: what the peer reads from the environment.
    """

    way: str
    per_core: bool = False
    wait_ms: float = 0
    side_by_side: int = 0
    max_batch: int = 8
    env: Mapping[str, str] = field(default_factory=dict)

    def serving(self, port: int, models: Path, precision: str, cores: int) -> Serving:
        """The server's orders on a machine with so many cores."""
        return Serving(
            port=port,
            models_dir=str(models),
            precision=precision,
            way=self.way,
            workers=cores if self.per_core else 1,
            threads=1 if self.per_core else cores,
            max_batch=self.max_batch,
            wait_ms=self.wait_ms,
            side_by_side=self.side_by_side or cores,
        )


@dataclass(frozen=True)
class Peer:
    """One other way to serve.

    Attributes:
        packages: pinned requirements beside those that the shared work needs.
        command: arguments of the environment's Python; `{port}` is filled in.
        path: where pictures are posted.
        ready: a GET of it answers 200 once the server takes pictures.
        settings: by name, the best one first.
    """

    packages: tuple[str, ...]
    command: tuple[str, ...]
    path: str
    ready: str
    settings: Mapping[str, Setting]


RAY_FAST = {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
RAY_FASTEST = RAY_FAST | {"RAY_SERVE_ENABLE_HA_PROXY": "1"}
"""Ray then listens on all interfaces while it runs, whatever host it is told."""

PEERS: dict[str, Peer] = {
    "litserve": Peer(
        packages=("litserve==0.2.19",),
        command=("-m", "bench.peers.litserve_server"),
        path="/predict",
        ready="/health",
        settings={
            "worker-per-core-batch4": Setting("queue", per_core=True, wait_ms=5, side_by_side=1, max_batch=4),
            "one-worker": Setting("queue", wait_ms=5),
            "one-worker-10ms": Setting("queue", wait_ms=10),
            "one-worker-zmq": Setting("fast_queue", wait_ms=5),
            "worker-per-core": Setting("queue", per_core=True, wait_ms=5, side_by_side=1),
            "worker-per-core-zmq": Setting("fast_queue", per_core=True, wait_ms=5, side_by_side=1),
        },
    ),
    "mosec": Peer(
        packages=("mosec==0.9.8",),
        command=("-m", "bench.peers.mosec_server"),
        path="/inference",
        ready="/",
        settings={
            "single-per-core-batch4": Setting("single", per_core=True, wait_ms=5, side_by_side=1, max_batch=4),
            "stages": Setting("stages", wait_ms=5),
            "single": Setting("single", wait_ms=5),
            "single-per-core": Setting("single", per_core=True, wait_ms=5, side_by_side=1),
            "single-per-core-2ms": Setting("single", per_core=True, wait_ms=2, side_by_side=1),
        },
    ),
    "bentoml": Peer(
        packages=("bentoml==1.4.39",),
        command=(
            "-m",
            "bentoml",
            "serve",
            "bench.peers.bentoml_server:Detection",
            "--host",
            "127.0.0.1",
            "--port",
            "{port}",
        ),
        path="/detect",
        ready="/readyz",
        settings={
            "threads": Setting("threads", side_by_side=8),
            "per-core": Setting("threads", per_core=True, side_by_side=2),
            "batch": Setting("batch", wait_ms=10_000),
            "batch-per-core": Setting("batch", per_core=True, wait_ms=10_000, side_by_side=1),
        },
    ),
    "ray": Peer(
        packages=("ray[serve]==2.60.0",),
        command=("-m", "bench.peers.ray_server"),
        path="/",
        ready="/-/healthz",
        settings={
            "haproxy": Setting("batch", env=RAY_FASTEST, side_by_side=4),
            "optimised": Setting("batch", env=RAY_FAST, wait_ms=0, side_by_side=4),
            "optimised-5ms": Setting("batch", env=RAY_FAST, wait_ms=5, side_by_side=4),
            "plain": Setting("batch", wait_ms=5, side_by_side=4),
            "replica-per-core": Setting("batch", env=RAY_FAST, per_core=True, wait_ms=0, side_by_side=2),
        },
    ),
    "cvlib": Peer(
        packages=("cvlib==0.2.7", "fastapi", "uvicorn"),
        command=("-m", "bench.peers.cvlib_server"),
        path="/predict",
        ready="/",
        settings={"one-at-a-time": Setting("one-at-a-time"), "tutorial": Setting("tutorial")},
    ),
}


def choose(words: str | None) -> list[tuple[str, str]]:
    """`litserve/worker-per-core,mosec` -> pairs of peer and setting; the best setting where none is named.

    Raises:
        ValueError: there is no such peer or setting.
    """
    chosen: list[tuple[str, str]] = []
    for word in words.split(",") if words else PEERS:
        name, _, setting = word.partition("/")
        if name not in PEERS:
            raise ValueError(f"there is no peer {name}: take {', '.join(PEERS)}")
        known = PEERS[name].settings
        if setting and setting not in known:
            raise ValueError(f"{name} has no setting {setting}: take {', '.join(known)}")
        chosen.append((name, setting or next(iter(known))))
    return chosen
