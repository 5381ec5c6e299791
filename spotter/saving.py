"""The body of an answer -> a file, whole or not at all, under the name that the service gives it. Knows no resource."""

from __future__ import annotations

from email.message import Message
from pathlib import Path

import httpx


def save(response: httpx.Response, to: str | Path, otherwise: str) -> Path:
    """Write the body as it comes; returns the file.

    Args:
        to: the file, or a folder, in which it gets the name in `Content-Disposition`, else `otherwise`.

    Raises:
        OSError: it cannot be written.
    """
    path = Path(to)
    if path.is_dir():
        path /= _file_name(response) or otherwise
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            for piece in response.iter_bytes():
                file.write(piece)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _file_name(response: httpx.Response) -> str:
    """The name in `Content-Disposition`, without any folder; '' where there is none."""
    header = Message()
    header["Content-Disposition"] = response.headers.get("Content-Disposition", "")
    return Path(header.get_filename() or "").name
