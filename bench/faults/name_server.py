"""A name server that changes its mind: real DNS over UDP on 127.0.0.1, each name with answers that take turns.

Answers questions for A and AAAA (RFC 1035, section 4) with a lifetime of zero. Knows nothing of who asks.
"""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from struct import pack
from types import TracebackType

Turn = Sequence[str]
"""Addresses, of both families, of one answer; or a name, which is answered as an alias (CNAME) with its address."""
A, CNAME, AAAA = 1, 5, 28


class NameServer:
    """`with NameServer(turns) as server:` answers the n-th look-up of `name` with `turns(name, n)`, n from 0.

    A look-up is a question for AAAA and then one for A: `server.asked` counts the latter.
    """

    def __init__(self, turns: Callable[[str, int], Turn]) -> None:
        self._turns = turns
        self.asked: Counter[str] = Counter()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="names", daemon=True)
        self._ended = threading.Event()

    def __enter__(self) -> NameServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(10)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            message, asker = self._socket.recvfrom(4096)
            if self._ended.is_set():
                return
            self._socket.sendto(self._answer(message), asker)

    def _answer(self, message: bytes) -> bytes:
        labels, at = list[str](), 12
        while message[at]:
            labels.append(message[at + 1 : at + 1 + message[at]].decode())
            at += message[at] + 1
        end, kind, name = at + 5, int.from_bytes(message[at + 1 : at + 3]), ".".join(labels).lower()
        turn = self._turns(name, self.asked[name])
        self.asked[name] += kind == A
        records = [record for one in turn for record in self._records(one, kind)]
        head = message[:2] + pack(">HHHHH", 0x8180, 1, len(records), 0, 0)
        return head + message[12:end] + b"".join(records)

    def _records(self, one: str, kind: int) -> list[bytes]:
        """What answers the question, whose name stands at offset 12 (a pointer of 0xC00C)."""
        if one[-1].isalpha():
            alias = b"".join(bytes([len(label)]) + label.encode() for label in one.split(".")) + b"\0"
            record = pack(">HHHIH", 0xC00C, CNAME, 1, 0, len(alias)) + alias
            return [record, *([alias + pack(">HHIH", A, 1, 0, 4) + b"\x7f\0\0\1"] if kind == A else [])]
        address = ip_address(one)
        if kind != {4: A, 6: AAAA}[address.version]:
            return []
        return [pack(">HHHIH", 0xC00C, kind, 1, 0, len(address.packed)) + address.packed]
