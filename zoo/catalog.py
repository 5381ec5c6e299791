"""`zoo/catalog.toml` -> the public models that can be pulled, with their sources, checksums and licences.

Knows what there is, not how it is fetched (`zoo/pull.py`).
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from zoo import names
from zoo.errors import CatalogError, NamesError
from zoo.topologies import TOPOLOGIES

_HERE = Path(__file__).parent


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class File(_Frozen):
    """One file that is fetched: what it must be, byte for byte. `size` is in bytes."""

    name: Annotated[str, Field(pattern=r"[A-Za-z0-9][A-Za-z0-9._-]*")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=1, le=2_000_000_000)]


class Fetched(File):
    """A small file that lies at `url`."""

    url: str


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
        labels: file in `zoo/labels`, one class name a line; None where `names` is fetched instead.
        names: a `.names` file that is too large to ship.
        tree: the `.tree` file of a network whose classes are a tree.
        sources: of the weights, in the order in which they are tried.
    """

    topology: str
    labels: str | None = None
    names: Fetched | None = None
    tree: Fetched | None = None
    licence: str
    weights: File
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]

    @field_validator("topology")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in TOPOLOGIES:
            raise ValueError(f"no topology {value}")
        return value

    @model_validator(mode="after")
    def _says_its_labels(self) -> Self:
        if (self.labels is None) == (self.names is None):
            raise ValueError("give either labels or names")
        return self

    @property
    def cfg(self) -> str:
        """The network as darknet cfg text."""
        return TOPOLOGIES[self.topology]()

    def class_names(self, fetched: Path | None = None) -> tuple[str, ...]:
        """The labels in the order of the network's classes.

        Args:
            fetched: where `names` lies, for an entry that has it.

        Raises:
            NamesError: the file cannot be read.
        """
        if self.labels is not None:
            return names.labels(_HERE / "labels" / self.labels)
        if fetched is None:
            raise NamesError("The labels of this model are not here: they are fetched with it.")
        return names.labels(fetched)


def load(path: Path = _HERE / "catalog.toml") -> dict[str, Entry]:
    """The whole catalog by model name.

    Raises:
        CatalogError: the file is missing or malformed.
    """
    try:
        return {name: Entry.model_validate(entry) for name, entry in tomllib.loads(path.read_text("utf-8")).items()}
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise CatalogError(f"{path.name} cannot be read: {error}") from None
