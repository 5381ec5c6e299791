"""How one model uses one device: how many runs side by side, with how many threads, of how many frames.

Comes in: what the settings ask, the cores, the size of the model. Goes out: a `Plan`. Loads nothing; decision
12 has the measurements behind the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

LARGE_BYTES = 128 * 1024**2
"""A graph above this is not loaded a second time for lanes: for YOLOv3 (248 MB) 480 MB for 4 % more pictures."""
MOST_FRAMES = 4
"""In one run on a CPU: more bring no rate, only waiting, memory and seconds of warming up."""


@dataclass(frozen=True)
class Asked:
    """What somebody asks of the device; 0: chosen by `plan`.

    Attributes:
        threads: of all runs of the model together, on a CPU; 0: one for each core that this process may use.
        lanes: runs side by side. A tool that runs one picture at a time wants 1.
        max_batch: frames in one run, at most.
        device_id: which GPU.
    """

    threads: int = 0
    lanes: int = 1
    max_batch: int = 0
    device_id: int = 0


ONE_BY_ONE = Asked()
"""Of a tool that runs one picture at a time."""


@dataclass(frozen=True)
class Plan:
    """How a model is run.

    Attributes:
        lanes: runs that may go on side by side.
        threads: of a run that has the CPU for itself.
        lane_threads: of a run in a lane; all that `threads` says where there is one lane.
        max_batch: frames in one run, at most.
    """

    lanes: int
    threads: int
    lane_threads: int
    max_batch: int


def plan(asked: Asked, cores: int, model_bytes: int, gpu: bool = False) -> Plan:
    """For a CPU of so many cores or a GPU, and a graph of so many bytes."""
    threads = asked.threads or cores
    if gpu:
        return Plan(1, threads, threads, asked.max_batch or 8)
    lanes = asked.lanes or (1 if model_bytes > LARGE_BYTES else lanes_of(threads))
    lanes = min(lanes, threads)
    lane_threads = threads // lanes
    chosen = MOST_FRAMES if lanes == 1 else min(lane_threads, MOST_FRAMES)
    return Plan(lanes, threads, lane_threads, asked.max_batch or chosen)


def lanes_of(threads: int) -> int:
    """Lanes of 1 thread up to 4 threads in all, of 2 up to 12, of 4 beyond.

    OpenVINO's own choice for throughput is likewise 1, 2 or 4 threads a stream, and at least 4 streams where the cores
    are there. What a division leaves over decodes pictures.
    """
    if threads <= 4:
        return threads
    return threads // (2 if threads <= 12 else 4)
