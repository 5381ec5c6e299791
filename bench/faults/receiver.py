"""An endpoint for webhooks that fails as told: it notes every attempt with its id, and checks the signature by itself.

A failure is a 500, a 503, or, the worst of them, a connection that is closed after the message was read and believed:
the sender cannot know, so it must send again, and the receiver must know the id.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import random
from collections import Counter

from bench.loopback import Loopback

MASTER = "whsec_" + base64.b64encode(b"a secret of a fault run only....").decode()
REASONS = {200: "OK", 500: "Internal Server Error", 503: "Service Unavailable"}
READ_S = 30.0


class Receiver(Loopback):
    """`with Receiver(random, 0.3) as receiver:` takes webhooks at `receiver.url`, and fails 30 % of the attempts.

    Attributes:
        believed: how often each `webhook-id` was read and taken for true, answered or not.
        answered: how often each was answered with 200.
        attempts: all.
        forged: with a signature that is not right.
    """

    def __init__(self, chance: random.Random, failing: float, slow_s: float = 0.03) -> None:
        super().__init__("receiver")
        self._chance, self._failing, self._slow_s = chance, failing, slow_s
        self.believed: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.attempts = self.forged = 0
        self._secret = MASTER

    @property
    def url(self) -> str:
        """Where the webhooks go."""
        return f"http://127.0.0.1:{self.port}/hook"

    def learn(self, secret: str) -> None:
        """That of the owner whose webhooks come here, before the first one comes; without it `MASTER` is right."""
        self._secret = secret

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One attempt."""
        async with asyncio.timeout(READ_S):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            body = await reader.readexactly(int(fields["content-length"]))
        await asyncio.sleep(self._slow_s)
        if status := self._judge(fields, body):
            writer.write(f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()

    def _judge(self, fields: dict[str, str], body: bytes) -> int | None:
        """The status to answer with; None: close without a word."""
        name = fields["webhook-id"]
        self.attempts += 1
        if fields["webhook-signature"] != _signature(self._secret, name, fields["webhook-timestamp"], body):
            self.forged += 1
        if self._chance.random() >= self._failing:
            self.believed[name] += 1
            self.answered[name] += 1
            return 200
        how = self._chance.choice([500, 503, None])
        if how is None:
            self.believed[name] += 1
        return how


def _signature(secret: str, name: str, timestamp: str, body: bytes) -> str:
    """As Standard Webhooks 1.0.0 says."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{name}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
