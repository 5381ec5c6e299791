"""A decoder that crashes, hangs or eats memory on marked pictures: what tests and the fault bench do to a worker.

Nothing of the product knows of it: it is a `sitecustomize` module in a folder that goes onto PYTHONPATH, so that every
Python process which is started with it has Pillow patched. A picture is marked by its size.
"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

CRASH = (13, 661)
"""Width and height of a picture whose decoder ends by SIGSEGV."""
HANG = (13, 662)
"""... is never done."""
DEVOUR = (13, 663)
"""... takes memory without end, in blocks of 64 MiB."""
DIE = (13, 664)
"""... ends by SIGKILL, as the system ends a process when memory runs out."""

_SITECUSTOMIZE = f"""
import ctypes, os, signal, time
from PIL import ImageFile

def crash():
    ctypes.string_at(0)

def hang():
    ctypes.PyDLL(None).pause()  # in C, holding the interpreter

def devour():
    blocks = []
    while True:
        blocks.append(bytearray(b"x") * (64 << 20))

def die():
    os.kill(os.getpid(), signal.SIGKILL)

ACTS = {{{CRASH}: crash, {HANG}: hang, {DEVOUR}: devour, {DIE}: die}}
load = ImageFile.ImageFile.load

def loaded(self):
    ACTS.get(self.size, lambda: None)()
    return load(self)

ImageFile.ImageFile.load = loaded
"""


def install(folder: Path) -> None:
    """Write the module; `folder` then goes onto PYTHONPATH of what shall crash."""
    (folder / "sitecustomize.py").write_text(_SITECUSTOMIZE)


def marked(size: tuple[int, int]) -> bytes:
    """A JPEG that is marked."""
    out = io.BytesIO()
    Image.new("RGB", size, "red").save(out, "JPEG")
    return out.getvalue()
