"""How one model uses one device: how many runs side by side, with how many threads, of how many frames.

Comes in: what the settings ask, the cores, the size of the model. Goes out: a `Plan`. Loads nothing; decision
12 has the measurements behind the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LARGE_BYTES = 128 * 1024**2
"""A graph above this is not loaded a second time for lanes: for YOLOv3 (248 MB) 480 MB for 4 % more pictures."""
MOST_FRAMES = 4
"""In one run on a CPU: more bring no rate, only waiting, memory and seconds of warming up."""

GPU_FRAMES = 32
"""In one run on a GPU. Not measured: none was at hand."""
IN_FLIGHT = 2
"""Batches on a GPU: one computes while the other is copied and answered."""
FEWEST_PICTURES, PICTURES_PER_CORE, MOST_PICTURES = 8, 4, 64
"""Prepared side by side in one worker. On 2 cores 4, 8, 16 and 32 gave the same rate; more only take memory."""


@dataclass(frozen=True)
class Asked:
    """What somebody asks of the device; 0: chosen by `plan`.

    Attributes:
        threads: of all runs of the model together, on a CPU; 0: one for each core that this process may use.
        lanes: runs side by side. A tool that runs one picture at a time wants 1.
        max_batch: frames in one run, at most.
        device_id: which GPU.
        memory_bytes: of a GPU, for each model of a process; 0: all.
        cache: where TensorRT's engines are kept; None: nowhere.
    """

    threads: int = 0
    lanes: int = 1
    max_batch: int = 0
    device_id: int = 0
    memory_bytes: int = 0
    cache: Path | None = None


ONE_BY_ONE = Asked()
"""Of a tool that runs one picture at a time."""


@dataclass(frozen=True)
class Plan:
    """How a model is run.

    Attributes:
        lanes: runs that may go on side by side: parts of a CPU, or batches in flight on a GPU.
        threads: of a run that has the CPU for itself.
        lane_threads: of a run in a lane; all that `threads` says where there is one lane.
        max_batch: frames in one run, at most.
    """

    lanes: int
    threads: int
    lane_threads: int
    max_batch: int
    gpu: bool = False

    @property
    def divided(self) -> bool:
        """Whether lanes are parts of the device; a GPU has all of itself for each batch."""
        return self.lanes > 1 and not self.gpu

    @property
    def sizes(self) -> tuple[int, ...]:
        """Batches that the device is prepared for: all on a CPU; on a GPU powers of two and the largest."""
        if not self.gpu:
            return tuple(range(1, self.max_batch + 1))
        powers = (2**k for k in range(self.max_batch.bit_length()))
        return tuple(dict.fromkeys((*powers, self.max_batch)))


@dataclass(frozen=True)
class Share:
    """What one session may use of the device.

    Attributes:
        threads: of all its runs together, on a CPU.
        streams: runs side by side.
        device_id: which GPU.
        memory_bytes: of the GPU; 0: all.
        max_batch: frames in one run, at most.
        frame: width and height, pixels.
        cache: a folder for compiled engines.
    """

    threads: int
    streams: int = 1
    device_id: int = 0
    memory_bytes: int = 0
    max_batch: int = 1
    frame: tuple[int, int] = (0, 0)
    cache: Path | None = None


def plan(asked: Asked, cores: int, model_bytes: int, gpu: bool = False) -> Plan:
    """For a CPU of so many cores or a GPU, and a graph of so many bytes."""
    threads = asked.threads or cores
    if gpu:
        return Plan(asked.lanes or IN_FLIGHT, threads, threads, asked.max_batch or GPU_FRAMES, gpu=True)
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


def concurrency(asked: int, cores: int, gpu: bool) -> int:
    """Pictures that a worker prepares side by side; `asked` unless that is 0. For a GPU enough to fill all batches."""
    if asked:
        return asked
    return IN_FLIGHT * GPU_FRAMES if gpu else min(MOST_PICTURES, max(FEWEST_PICTURES, PICTURES_PER_CORE * cores))
