"""What darknet's libraries say of `networks.py` -> JSON on stdout. `heads.json` is made with it:

    python -m tests.reference.record_heads ORIGINAL/libdarknet.so ALEXEYAB/libdarknet.so > tests/reference/heads.json

The original is that of Debian's package `darknet`; AlexeyAB's is built from its public source for the CPU. Some rows
and classes of each are kept; of a tree all rows, their `labels` at each threshold, and the `mapped` classes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tests.reference import networks

KEPT_ROWS, KEPT_CLASSES = 32, 5


def darknet(fork: str, library: Path, name: str, folder: Path, tree: Path | None = None) -> dict[str, np.ndarray]:
    """Everything that `run_darknet.py` says of one network, by name; its files lie in `folder`.

    Args:
        tree: the file of a tree other than `networks.TREE`, with the map beside it.
    """
    cfg = networks.text(name)
    if not (folder / "weights").exists():
        networks.write_weights(folder / "weights", cfg)
    np.save(folder / "frame.npy", networks.frame(cfg))
    wishes: list[str] = []
    if "tree=" in cfg:
        path = tree or networks.write_tree(folder / "little.tree")
        places = tree.with_name("coco9k.map") if tree else networks.write_map(folder / "little.map")
        cfg = cfg.replace("data/9k.tree", str(path))
        wishes = ["--tree", str(path), "--map", str(places), "--hier", *map(str, networks.HIERARCHY)]
    (folder / "network.cfg").write_text(cfg)
    script = Path(__file__).with_name("run_darknet.py")
    files = ("network.cfg", "weights", "frame.npy", "found.npz")
    subprocess.run(
        [sys.executable, str(script), fork, str(library), *files, *wishes],
        cwd=folder,
        env=os.environ | {"QT_QPA_PLATFORM": "offscreen"},  # Debian's library is linked with a window toolkit
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=120,
        check=True,
    )
    with np.load(folder / "found.npz") as found:
        return dict(found)


def kept(found: dict[str, np.ndarray]) -> dict[str, Any]:
    """What is recorded of one network."""
    count = len(found["boxes"])
    rows = np.unique(np.linspace(0, count - 1, KEPT_ROWS).astype(int)) if "scores" in found else np.arange(count)
    record: dict[str, Any] = {"rows": rows.tolist(), "boxes": _numbers(found["boxes"][rows])}
    if "scores" in found:
        classes = np.unique(np.linspace(0, found["scores"].shape[1] - 1, KEPT_CLASSES).astype(int))
        return record | {"classes": classes.tolist(), "scores": _numbers(found["scores"][np.ix_(rows, classes)])}
    labels = {form.removeprefix("hier "): scores for form, scores in found.items() if form.startswith("hier ")}
    record["labels"] = {hier: scores[rows].argmax(axis=1).tolist() for hier, scores in labels.items()}
    record["scores"] = _numbers(next(iter(labels.values()))[rows].max(axis=1))
    return record | {
        "mapped": _numbers(found["mapped"][rows, : len(networks.MAPPED)]),
        "found": _numbers(found["found"]),
    }


def _numbers(values: np.ndarray) -> Any:
    return np.vectorize(lambda number: float(f"{number:.7g}"))(values).tolist()


def main(original: Path, alexeyab: Path) -> None:
    """Record every network."""
    libraries = {"original": original.resolve(), "alexeyab": alexeyab.resolve()}
    record: dict[str, Any] = {}
    for name, fork in networks.FORKS.items():
        with TemporaryDirectory() as folder:
            record[name] = {"fork": fork} | kept(darknet(fork, libraries[fork], name, Path(folder)))
    lines = (f" {json.dumps(name)}: {json.dumps(said, separators=(',', ':'))}" for name, said in record.items())
    sys.stdout.write("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
