"""Darknet's `.cfg` text -> sections with their line numbers. Knows the syntax, not what any layer means.

The syntax is that of darknet's `read_cfg`: blanks are dropped wherever they stand, `[kind]` opens a section,
`key=value` adds an option, lines that begin with `#` or `;` are comments. Of a repeated key the first counts. Short
names of layers (`[conv]`) become the long ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from zoo.errors import CfgError

MAX_SECTIONS = 4096

SHORT_NAMES = {
    "network": "net",
    "conv": "convolutional",
    "deconv": "deconvolutional",
    "conn": "connected",
    "max": "maxpool",
    "avg": "avgpool",
    "local_avg": "local_avgpool",
    "lrn": "normalization",
    "soft": "softmax",
    "silence": "empty",
}
"""What darknet's `string_to_layer_type` takes for the same layer."""


@dataclass
class Section:
    """One `[kind]` of a cfg.

    Attributes:
        kind: the text between the brackets, lower case, long name.
        line: where the section begins, counted from 1.
        options: raw text by key; read them with `number`, `real`, `numbers`, `reals` and `word`, which take note of it.
    """

    kind: str
    line: int
    options: dict[str, str] = field(default_factory=dict)
    _read: set[str] = field(default_factory=set, repr=False, compare=False)

    def unread(self) -> list[str]:
        """The options that nobody has asked for yet, in the order of the cfg."""
        return [key for key in self.options if key not in self._read]

    def error(self, problem: str) -> CfgError:
        """The error that names this section: raise what it returns."""
        return CfgError(f"cfg line {self.line}: [{self.kind}] {problem}.")

    def number(self, key: str, default: int, *, low: int = 0, high: int = 1 << 20) -> int:
        """An integer option.

        Raises:
            CfgError: not an integer or outside `low`..`high`.
        """
        text = self._text(key)
        if text is None:
            return default
        try:
            value = int(text)
        except ValueError:
            raise self.error(f"{key}={text} is not a whole number") from None
        if not low <= value <= high:
            raise self.error(f"{key}={value} is outside {low}..{high}")
        return value

    def real(self, key: str, default: float) -> float:
        """A floating point option. Raises CfgError where it is not one."""
        values = self.reals(key)
        if len(values) > 1:
            raise self.error(f"{key} takes one number")
        return values[0] if values else default

    def numbers(self, key: str) -> list[int]:
        """A comma-separated list of integers; empty where the option is missing. Raises CfgError."""
        try:
            return [int(part) for part in self._parts(key)]
        except ValueError:
            raise self.error(f"{key}={self.options[key]} is not a list of whole numbers") from None

    def reals(self, key: str) -> list[float]:
        """A comma-separated list of finite numbers; empty where the option is missing. Raises CfgError."""
        try:
            values = [float(part) for part in self._parts(key)]
        except ValueError:
            raise self.error(f"{key}={self.options[key]} is not a list of numbers") from None
        if not all(map(math.isfinite, values)):
            raise self.error(f"{key}={self.options[key]} is not a list of finite numbers")
        return values

    def word(self, key: str, default: str) -> str:
        """A text option."""
        text = self._text(key)
        return default if text is None else text

    def _text(self, key: str) -> str | None:
        self._read.add(key)
        return self.options.get(key)

    def _parts(self, key: str) -> Iterator[str]:
        return (part for part in (self._text(key) or "").split(",") if part)


def parse(text: str) -> list[Section]:
    """Split a cfg into its sections; the first is `[net]`.

    Raises:
        CfgError: a line that is neither section, option nor comment; no `[net]` at the start; no layers.
    """
    sections: list[Section] = []
    for number, raw in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        line = "".join(raw.split())
        if not line or line[0] in "#;\0":
            continue
        if line[0] == "[":
            kind = line.strip("[]").lower()
            sections.append(Section(kind=SHORT_NAMES.get(kind, kind), line=number))
            continue
        key, equals, value = line.partition("=")
        if not equals or not sections:
            raise CfgError(f"cfg line {number}: {line[:40]!r} is neither a [section] nor key=value inside one.")
        sections[-1].options.setdefault(key, value.partition("#")[0])
    if not sections or sections[0].kind != "net":
        raise CfgError("The cfg does not begin with a [net] section: is this a darknet cfg?")
    if not 2 <= len(sections) <= MAX_SECTIONS:
        raise CfgError(f"The cfg has {len(sections) - 1} layers; 1 to {MAX_SECTIONS - 1} can be converted.")
    return sections
