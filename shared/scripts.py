"""The texts of the store's scripts: each of `lua/*.lua` behind those of `lua/parts/*.lua` that it names.

A script or part says `-- with: turns ends` in one of its first lines; `parts/keys.lua` is in all of them. A server
compiles a script once, but runs what stands at its top, the making of every function, at each call: so a script has
what it uses and no more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable

_WITH = re.compile(r"^-- with: (.+)$", re.MULTILINE)
_IN_ALL = "keys"


def scripts() -> dict[str, str]:
    """The whole text of every script by name.

    A script's first line may be its flags, `#!lua flags=...` (Redis 7 and Valkey, "Script flags"). `no-writes`: answers
    also where the server cannot write. `allow-oom`: goes on when memory is full, as everything must that sees accepted
    jobs to their ends. With any such line the server refuses a script as a whole, before its first command; without
    one it would break off at the first command that needs memory, and what came before would stay done.
    """
    folder = files("shared") / "lua"
    parts = _texts(folder / "parts")
    return {name: _whole(text, parts) for name, text in _texts(folder).items()}


def _texts(folder: Traversable) -> dict[str, str]:
    return {path.name.removesuffix(".lua"): path.read_text() for path in folder.iterdir() if path.name.endswith(".lua")}


def _whole(text: str, parts: Mapping[str, str]) -> str:
    flags, rest = text.split("\n", 1) if text.startswith("#!") else ("#!lua", text)
    wanted = [_IN_ALL]
    _want(text, parts, wanted)
    return "\n".join([flags, *(parts[name] for name in wanted), rest])


def _want(text: str, parts: Mapping[str, str], wanted: list[str]) -> None:
    """Add the parts that a text names, each behind those that it names itself."""
    found = _WITH.search(text)
    for name in found[1].split() if found else ():
        if name not in wanted:
            _want(parts[name], parts, wanted)
            wanted.append(name)
