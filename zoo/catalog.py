"""`zoo/catalog.toml` -> the public models that can be pulled, with their sources, checksums and licences.

Knows what there is, not how it is fetched (`zoo/pull.py`).
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from zoo.errors import CatalogError
from zoo.topologies import TOPOLOGIES

_HERE = Path(__file__).parent


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class File(_Frozen):
    """One file that is fetched: what it must be, byte for byte. `size` is in bytes."""

    name: Annotated[str, Field(pattern=r"[A-Za-z0-9][A-Za-z0-9._-]*")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=1, le=2_000_000_000)]


class Address(_Frozen):
    """The weights file itself lies at `url`."""

    kind: Literal["url"]
    url: str

    @property
    def title(self) -> str:
        """How the source is named to the user and in `model.json`."""
        return self.url


class Package(_Frozen):
    """The weights file is `member` of the source archive of a Python package."""

    kind: Literal["package"]
    package: str
    version: str
    member: str
    archive: File

    @property
    def title(self) -> str:
        """How the source is named to the user and in `model.json`."""
        return f"Python package {self.package} {self.version} ({self.archive.name})"


Source = Annotated[Address | Package, Field(discriminator="kind")]


class Entry(_Frozen):
    """One model of the catalog.

    Attributes:
        topology: key of `zoo.topologies.TOPOLOGIES`.
        labels: file in `zoo/labels`, one class name a line.
        sources: in the order in which they are tried.
    """

    topology: str
    labels: str
    licence: str
    weights: File
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]

    @field_validator("topology")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in TOPOLOGIES:
            raise ValueError(f"no topology {value}")
        return value

    @property
    def cfg(self) -> str:
        """The network as darknet cfg text."""
        return TOPOLOGIES[self.topology]()

    def class_names(self) -> tuple[str, ...]:
        """The labels in the order of the network's classes."""
        text = (_HERE / "labels" / self.labels).read_text(encoding="utf-8")
        return tuple(line.strip() for line in text.splitlines() if line.strip())


def load(path: Path = _HERE / "catalog.toml") -> dict[str, Entry]:
    """The whole catalog by model name.

    Raises:
        CatalogError: the file is missing or malformed.
    """
    try:
        return {name: Entry.model_validate(entry) for name, entry in tomllib.loads(path.read_text("utf-8")).items()}
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise CatalogError(f"{path.name} cannot be read: {error}") from None
