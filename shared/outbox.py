"""The outbox of webhooks, as whoever makes the attempts sees it: deliveries that are due, and what came of them.

    pending --2xx--> delivered           a redelivery begins again from any of the three: same id, whole schedule
       |----410----> disabled            the address gets nothing more for `GONE_S`, or until it takes something
       `--all spent-> failed

Each endpoint has its own line and so many attempts at once, so a dead one stands in nobody's way. Knows neither HTTP
nor signatures; what owners see is in `shared/deliveries.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from shared.schema import Webhook
from shared.store import Call

State = Literal["pending", "delivered", "failed", "disabled"]
TEST_EVENT = "webhook.test"

KEPT_S = 7 * 86_400
"""A delivery that is over can be looked at and sent again for so long, as far as its job is kept."""
LOG_ENTRIES = 20
GONE_S = 7 * 86_400

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class DueDelivery:
    """One webhook attempt to make now.

    Attributes:
        job: '' for a test.
        at_ms: when the event happened.
        tries: attempts of this round that came before.
        round: redeliveries so far; `settle_hook` wants it back.
        rotations, old_until_ms: of the owner's secret, see `shared/signing.py`.
    """

    name: str
    job: str
    event: str
    url: str
    at_ms: int
    tries: int
    round: int
    owner: str
    rotations: int
    old_until_ms: int


def endpoint_of(url: str) -> str:
    """`https://host:443`: what shares one line of deliveries and one bound of attempts at once.

    URLs that cannot be read share `invalid`: their attempts fail at once.
    """
    try:
        split = urlsplit(url)
        port = split.port or _PORTS[split.scheme]
    except (ValueError, KeyError):
        return "invalid"
    host = (split.hostname or "").rstrip(".")
    return f"{split.scheme}://[{host}]:{port}" if ":" in host else f"{split.scheme}://{host}:{port}"


def hook_text(webhook: Webhook | None) -> str:
    """What the store keeps of a job's webhook: JSON, or '' for none."""
    return json.dumps(webhook.model_dump() | {"to": endpoint_of(webhook.url)}) if webhook else ""


def due_hooks(most: int, lease_s: float) -> Call[list[DueDelivery]]:
    """The webhook attempts to make now; each comes back after `lease_s` unless `settle_hook` records it."""

    def read(reply: list[list[bytes]]) -> list[DueDelivery]:
        return [_due(*(part.decode() for part in row)) for row in reply]

    return Call("due_hooks", (most, int(lease_s * 1000), KEPT_S), read)


def _due(
    name: str, job: str, event: str, url: str, at: str, tries: str, turn: str, owner: str, turned: str, until: str
) -> DueDelivery:
    return DueDelivery(name, job, event, url, int(at), int(tries), int(turn), owner, int(turned), int(until))


def settle_hook(
    one: DueDelivery,
    *,
    log: str,
    state: State,
    next_try_s: float | None,
    because: Literal["gone", "trouble", "no"] = "no",
) -> Call[int]:
    """Record one attempt and when the next is due. Reads as the attempts made so far; 0: it is kept no more.

    Args:
        log: an `Attempt` as JSON, without its number.
        next_try_s: None: the delivery is over.
        because: where it was not delivered. gone: the address wants nothing more, `GONE_S` long. trouble: no answer
            came, or one that asks for patience, so for a minute few attempts are made there at once.
    """
    due = "" if next_try_s is None else int(next_try_s * 1000)
    what = "ok" if state == "delivered" else because
    args = (one.name, one.round, log, due, state, KEPT_S, LOG_ENTRIES, what, GONE_S * 1000, one.tries)
    return Call("settle_hook", args, int)


def hooks_due() -> Call[int]:
    """At how many endpoints webhook attempts are due now."""
    return Call("hooks_due", (), int)
