"""What the user's pip is configured with -> the few values needed to use the same package index.

Asks pip itself (`pip config list`), since only it knows all the places its configuration lies in; where the environment
has no pip, its variables (`PIP_*`) still count.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_LINE = re.compile(r"(?P<section>:env:|[^.=]+)\.(?P<option>[^=]+)=(?P<value>['\"].*)")
_PRECEDENCE = ("global", "download", ":env:")  # later ones win, as in pip's own option parser
_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class PipSettings:
    """pip's options of the same names. Addresses may hold credentials: show them with `download.shown` only."""

    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    trusted_hosts: tuple[str, ...] = ()
    cert: str | None = None
    client_cert: str | None = None
    proxy: str | None = None


def read(environ: Mapping[str, str] | None = None) -> PipSettings:
    """pip's settings for this interpreter; `environ` replaces the process's environment."""
    environment = dict(os.environ if environ is None else environ)
    options = _options(_config_list(environment))
    if not options:
        options = {key[4:].lower().replace("_", "-"): value for key, value in environment.items() if key[:4] == "PIP_"}
    return PipSettings(
        index_url=options.get("index-url") or None,
        extra_index_urls=tuple(options.get("extra-index-url", "").split()),
        find_links=tuple(options.get("find-links", "").split()),
        no_index=options.get("no-index", "").lower() in ("1", "true", "yes", "on", "t", "y"),
        trusted_hosts=tuple(options.get("trusted-host", "").split()),
        cert=options.get("cert") or None,
        client_cert=options.get("client-cert") or None,
        proxy=options.get("proxy") or None,
    )


def _config_list(environment: dict[str, str]) -> list[str]:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)  # noqa: S603
    except (subprocess.SubprocessError, OSError):
        return []  # no pip in this environment
    return done.stdout.splitlines()


def _options(lines: Iterable[str]) -> dict[str, str]:
    """The lines `section.option='value'` of `pip config list` -> value by option."""
    sections: dict[str, dict[str, str]] = {section: {} for section in _PRECEDENCE}
    for line in lines:
        match = _LINE.fullmatch(line.strip())
        if match and match["section"] in sections:
            sections[match["section"]][match["option"]] = str(ast.literal_eval(match["value"]))
    return {option: value for section in _PRECEDENCE for option, value in sections[section].items()}
