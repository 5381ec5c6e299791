"""A job's snapshot -> its pictures with names and labels, page by page, and all of them in another form."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import chain
from typing import Any

from fastapi import Response

from api.answers import etag
from api.formats import FORMATS, JSON, Export, Format, FormatName
from api.formats.dataset import About, Entry
from api.formats.labels import Labels
from api.formats.names import Names, split
from api.state import State
from shared.errors import FieldError, InvalidRequest, JobNotFinished, NoResults
from shared.refusals import no_such_job
from shared.schema import INLINE_RESULTS, StoredSource, UploadSource, UrlSource
from shared.views import Snapshot, descriptions, pictures

PAGE = 100
"""Pictures in memory at once, for each export that runs."""


def check_ended(snapshot: Snapshot) -> None:
    """Raises JobNotFinished, NoResults: the job cannot be converted, now or ever."""
    if not snapshot.final:
        raise JobNotFinished(
            f"The job is {snapshot.view.status}. Ask again with ?wait=60 on GET /jobs/{snapshot.spec.id}, or read what "
            "there is from its /results.",
            retry_after_s=1,
        )
    if snapshot.view.counts.succeeded == 0:
        raise NoResults(
            f"The job is {snapshot.view.status} and none of its pictures has detections. GET /jobs/{snapshot.spec.id} "
            "says why."
        )


async def about(state: State, snapshot: Snapshot) -> About:
    """The job as a data set: its labels are those of the version that answered last."""
    model = snapshot.view.model
    reference = f"{model.name}@{model.version}" if model.version else ""
    described = (await state.store.run(descriptions([reference]))).get(reference) if reference else None
    return About(snapshot.spec.id, model.name, snapshot.ended_ms, Labels(described.labels if described else ()))


async def pages(state: State, snapshot: Snapshot) -> AsyncIterator[list[Entry]]:
    """All pictures by index, `PAGE` at a time, each with its name among them.

    Raises JobNotFound: the job was deleted, or changed into another one, meanwhile. What was made so far is no whole.
    """
    names, base_url = Names(), state.settings.base_url or ""
    for first in range(0, snapshot.spec.total, PAGE):
        read = await state.store.run(pictures(snapshot, first, PAGE))
        if len(read) < min(PAGE, snapshot.spec.total - first):
            raise no_such_job(snapshot.spec.id)
        entries = []
        for result, source in read:
            name = names.name(result.index, source)
            address = _address(source, f"{base_url}/jobs/{snapshot.spec.id}/pictures/{result.index}")
            entries.append(Entry(result, source.id, name, split(name)[0], address))
        yield entries


async def exported(state: State, snapshot: Snapshot, export: Export) -> AsyncIterator[bytes]:
    """The data set of an ended job, as it is made. Memory holds a page, and the names of all pictures.

    Raises JobNotFound: the job was deleted or tried again meanwhile, so that the file would be of no one moment. It
    comes after bytes were sent: the connection is broken off, and the client sees that the file is not whole.
    """
    writer = export.writer(await about(state, snapshot))
    async for page in pages(state, snapshot):
        if made := await asyncio.to_thread(writer.page, page):
            yield made
    if (await state.snapshot(snapshot.spec.id, snapshot.spec.owner)).version != snapshot.version:
        raise no_such_job(snapshot.spec.id)
    yield await asyncio.to_thread(writer.end)


async def converted(state: State, snapshot: Snapshot, form: FormatName) -> Response:
    """An ended job of at most `INLINE_RESULTS` pictures in one answer.

    Raises JobNotFinished, NoResults, InvalidRequest (too many pictures).
    """
    check_ended(snapshot)
    if snapshot.spec.total > INLINE_RESULTS:
        reason = f"of a job of more than {INLINE_RESULTS} pictures: ask for /export?format= or /results?format="
        raise InvalidRequest(f"Correct format: {reason}.", errors=(FieldError("format", reason),))
    chosen, headers = FORMATS[form], {"ETag": etag(snapshot, form)}
    if chosen.export is not None and (chosen.text is None or snapshot.spec.total > 1):
        body = b"".join([piece async for piece in exported(state, snapshot, chosen.export)])
        return Response(body, 200, headers | disposition(snapshot, chosen.export), chosen.export.media_type)
    known = await about(state, snapshot)
    entries = list(chain.from_iterable([page async for page in pages(state, snapshot)]))
    if chosen.text is not None:
        return Response(chosen.text.write(entries[0], known), 200, headers, chosen.text.media_type)
    return Response(await asyncio.to_thread(_json, chosen, entries, known), 200, headers, JSON)


def disposition(snapshot: Snapshot, export: Export) -> dict[str, str]:
    """The name under which a client may keep the file (RFC 6266)."""
    return {"Content-Disposition": f'attachment; filename="{snapshot.spec.id}.{export.suffix}"'}


def _json(form: Format, entries: list[Entry], about: About) -> str:
    assert form.picture is not None
    value: Any
    if len(entries) == 1:
        value = form.picture(entries[0], about)
        return json.dumps(form.around([value], about) if form.around else value)
    values = [form.among(entry, about) for entry in entries]
    return json.dumps(form.around(values, about) if form.around else values)


def _address(source: StoredSource, here: str) -> str:
    if isinstance(source, UploadSource):
        return here
    return source.url if isinstance(source, UrlSource) else source.s3
