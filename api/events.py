"""A job's events as a stream of Server-Sent Events (WHATWG HTML, 9.2): from the listener's last id to the job's end.

Looks at the store when the job changed and never otherwise. Listeners at the same place of the same job share one look
and the bytes that it makes; a place is all that is kept of each. Knows nothing of keys and routes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fastapi import Response
from starlette.types import Receive, Scope, Send

from api.changes import Changes, Watch
from api.connections import break_off
from api.listeners import Listeners
from api.looks import Looks
from shared.errors import Overloaded
from shared.events import Event, News, Position, news
from shared.refusals import no_such_job
from shared.store import AsyncJobStore

logger = logging.getLogger(__name__)

HEARTBEAT_S = 15.0
"""A comment at least so often, so that proxies (60 s is common) do not take a quiet stream for a dead one."""
AGAIN_S = 2.0
"""A store that does not answer is asked again after this; the stream stays."""
MEDIA_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""Nobody on the way is to keep or to collect it (the second is nginx's)."""

_RECONNECT = b"retry: 2000\n\n"
_HEARTBEAT = b":\n\n"

Asked = tuple[str, Position]


@dataclass(frozen=True)
class Told:
    """What one look found for everybody at one place, written out once."""

    news: News
    text: bytes


def written(events: Sequence[Event]) -> bytes:
    """Events in the form of the stream. JSON has no line ends, so each needs one `data:` line."""
    return "".join(
        f"event: {event.name}\nid: {event.id}\ndata: {event.data.model_dump_json()}\n\n" for event in events
    ).encode()


def event_looks(store: AsyncJobStore, write: Callable[[Sequence[Event]], bytes] = written) -> Looks[Asked, Told | None]:
    """The looks of all streams of one form in a process; None for a job that is not there."""

    async def ask(asked: list[Asked]) -> list[Told | None]:
        found = await store.run(news(asked))
        return [Told(one, write(one.events)) if one else None for one in found]

    return Looks(ask)


class EventStream(Response):
    """The answer to one listener. Raises, before anything is sent: JobNotFound, TooManyListeners, ServiceBusy,
    StoreUnavailable.

    204 for one who has seen the end: that tells an EventSource not to come again.
    """

    media_type = MEDIA_TYPE
    beginning, heartbeat = _RECONNECT, _HEARTBEAT
    says_its_end = True
    """Otherwise only a stream that comes to the job's end is completed, and any other broken off."""

    def __init__(
        self, looks: Looks[Asked, Told | None], changes: Changes, listeners: Listeners, owner: str, job: str,
        seen: Position,
    ) -> None:  # fmt: skip
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._looks, self._changes, self._listeners = looks, changes, listeners
        self._owner, self._job, self._seen = owner, job, seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        with self._listeners.one_more(self._owner), self._changes.watch(self._job, only_final=False) as watch:
            told = await self._look(watch)
            if told is None:
                raise no_such_job(self._job)
            if told.news.ended and not told.news.events:
                await Response(status_code=204, headers=HEADERS)(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            with watch.while_there(receive):
                ended = await self._send_all(send, watch, told)
            if ended or self.says_its_end:
                await send({"type": "http.response.body", "body": b""})
            else:
                break_off(scope)

    async def _send_all(self, send: Send, watch: Watch, told: Told | None) -> bool:
        """Until the job ends (true) or is gone, the listener leaves, or the process drains."""
        text = self.beginning
        while told is not None:
            text += told.text
            if text:
                await send({"type": "http.response.body", "body": text, "more_body": True})
            if told.news.ended or watch.over:
                return told.news.ended
            self._seen, text = told.news.position, b""
            if not told.news.more:
                while not await watch.change(HEARTBEAT_S):
                    await self._beat(send)
            told = await self._look_patiently(send, watch)
        return False

    async def _beat(self, send: Send) -> None:
        if self.heartbeat:
            await send({"type": "http.response.body", "body": self.heartbeat, "more_body": True})

    async def _look(self, watch: Watch) -> Told | None:
        watch.changed.clear()  # before the look: a change during it is not missed
        told = await self._looks.look((self._job, self._seen))
        return told if told is not None and told.news.owner == self._owner else None

    async def _look_patiently(self, send: Send, watch: Watch) -> Told | None:
        """A stream that ended in an error would come back to a 503, and an EventSource gives up on one."""
        while True:
            try:
                return await self._look(watch)
            except Overloaded as error:
                logger.warning("events wait for the store", extra={"code": error.code})
                await asyncio.sleep(AGAIN_S)
                await self._beat(send)
                if watch.over:
                    return None
