"""Environments for the peers, one each, below a folder of the user's. Never touches the project's own environment.

What all of them need for the shared work comes in the versions of the project's lock; a peer's own packages are
pinned in the roster, and theirs in turn are what pip finds.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from bench.peers.roster import PEERS
from zoo import catalog, pull

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements" / "local.txt"
SHARED = ("numpy", "pillow", "opencv-python-headless", "onnxruntime-openvino", "pydantic", "pydantic-settings")
INSTALL_TIMEOUT_S = 1200
CVLIB_FOLDER = Path(".cvlib", "object_detection", "yolo", "yolov3")
"""Below HOME: cvlib's own place for cfg, weights and names."""


def python(venvs: Path, peer: str) -> Path:
    """The interpreter of a peer's environment."""
    return venvs / peer / "bin" / "python"


def locked(lock: str) -> dict[str, str]:
    """Every `name==version; marker` of a lock file, as pip takes it, by name; a name may stand twice."""
    lines: dict[str, list[str]] = {}
    for line in lock.splitlines():
        if found := re.match(r"([A-Za-z0-9._-]+)==[^\\]+", line):
            lines.setdefault(found[1], []).append(found[0].strip())
    return {name: "\n".join(found) for name, found in lines.items()}


def requirements(peer: str, lock: dict[str, str]) -> str:
    """A requirements file: the shared work in the lock's versions, and the peer."""
    own = [lock.get(package, package) for package in PEERS[peer].packages]
    return "\n".join([*(lock[name] for name in SHARED), *own]) + "\n"


def install(venvs: Path, peer: str) -> None:
    """Make the peer's environment. Raises CalledProcessError, TimeoutExpired, and for cvlib also ZooError."""
    folder = venvs / peer
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
    wanted = folder / "requirements.txt"
    wanted.write_text(requirements(peer, locked(LOCK.read_text())))
    subprocess.run(
        [str(python(venvs, peer)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(wanted)],
        check=True, timeout=INSTALL_TIMEOUT_S,
    )  # fmt: skip
    if peer == "cvlib":
        bring_darknet_files(folder)


def bring_darknet_files(home: Path) -> None:
    """cfg, weights and names of yolov3-tiny where cvlib looks for them; else it loads them by itself."""
    entry = catalog.load()["yolov3-tiny"]
    folder = home / CVLIB_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    weights, _ = pull.bring_weights(entry, folder)
    for left in set(folder.iterdir()) - {weights}:
        left.unlink()  # the archive that held it
    os.replace(weights, folder / "yolov3-tiny.weights")
    (folder / "yolov3-tiny.cfg").write_text(entry.cfg)
    (folder / "yolov3_classes.txt").write_text("\n".join(entry.class_names()) + "\n")


def versions(venvs: Path, peer: str) -> dict[str, str]:
    """Installed versions of the peer's own packages and of what the shared work rests on."""
    names = [re.split(r"[=\[]", package)[0] for package in PEERS[peer].packages] + ["onnxruntime-openvino", "numpy"]
    code = "import importlib.metadata as m, sys; [print(n, m.version(n)) for n in sys.argv[1:]]"
    out = subprocess.run(
        [str(python(venvs, peer)), "-c", code, *names], check=True, capture_output=True, text=True, timeout=60
    )
    return dict(line.split() for line in out.stdout.splitlines())
