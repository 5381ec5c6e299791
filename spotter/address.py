"""The address that the local stack listens on: is it free, and how is it written in a URL. Knows nothing of HTTP."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket

from spotter.errors import StackError


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody uses now. It is not held: somebody else may take it before its user does."""
    with socket.create_server((host, 0)) as listener:
        return int(listener.getsockname()[1])


def claim(host: str, port: int) -> int:
    """Check that one may listen on `host`:`port`; returns the port, a free one where `port` is 0.

    Raises:
        StackError: it is taken, needs more rights, or is no address of this machine.
    """
    if not 0 <= port <= 65535:
        raise StackError(f"{port} is not a port: give 0 to 65535 to --port.")
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listener:
            # As servers do, so that connections that have just ended (TIME_WAIT) do not count as a taken port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
            listener.listen(1)
            return int(listener.getsockname()[1])
    except socket.gaierror:
        raise StackError(f"There is no host {host}: give an address of this machine to --host.") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            text = f"Port {port} of {host} is already in use: stop what uses it, or give another to --port."
        elif error.errno == errno.EACCES:
            text = f"Port {port} may not be used by this user: give one above 1023 to --port."
        elif error.errno == errno.EADDRNOTAVAIL:
            text = f"{host} is not an address of this machine: give another to --host."
        else:
            text = f"One cannot listen on {host}, port {port}: {os.strerror(error.errno or 0)}."
        raise StackError(text) from None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def url(host: str, port: int) -> str:
    """Where a client on this machine finds a server that listens on `host`:`port`."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"
