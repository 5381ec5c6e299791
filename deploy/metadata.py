"""pyproject.toml -> a `.dist-info` folder with name and version, so that an image's code knows its own version.

Installing the project itself would put every side's code into every image. Run as `metadata.py PYPROJECT FOLDER`.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path


def write(pyproject: Path, folder: Path) -> Path:
    """Make `<name>-<version>.dist-info` in `folder` and return it (PyPA: "Recording installed projects")."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    name, version = project["name"], project["version"]
    made = folder / f"{re.sub(r'[-_.]+', '_', name).lower()}-{version}.dist-info"
    made.mkdir(parents=True)
    (made / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    return made


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
