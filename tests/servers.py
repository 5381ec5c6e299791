"""Further real servers for tests: Valkey with options, replicas, Sentinels, TLS in front of one, RabbitMQ."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from spotter.address import free_port
from spotter.valkey import binary
from tests.waiting import until

TLS_FRONT = Path(__file__).with_name("tls_front.py")
RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Where Debian puts the program itself; the one on the PATH wants to be another user."""


@contextmanager
def valkey(folder: Path, *options: str, port: int = 0) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A server on 127.0.0.1 with further command line options; its port and its process."""
    port = port or free_port()
    command = [str(binary()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder), *options]
    with running(command) as process:
        until(lambda: pings(port))
        yield port, process


def pings(port: int) -> bool:
    """Whether a server answers there."""
    try:
        with redis.Redis(port=port) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


@contextmanager
def running(command: list[str], env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process, ended at the end if it has not ended before."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def sentinel(folder: Path, master: int) -> Iterator[int]:
    """One Sentinel that alone decides over `mymaster`, after half a second of silence; its port."""
    port = free_port()
    path = folder / "sentinel.conf"
    path.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
        f"sentinel monitor mymaster 127.0.0.1 {master} 1\n"
        "sentinel down-after-milliseconds mymaster 500\n"
        "sentinel failover-timeout mymaster 2000\n"
    )
    with running([str(binary()), str(path), "--sentinel"]):
        until(lambda: pings(port))
        yield port


@contextmanager
def tls(folder: Path, behind: int) -> Iterator[tuple[int, Path]]:
    """TLS in front of a local port, under a certificate of its own for 127.0.0.1; the port and the certificate."""
    key, certificate = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate),
         "-days", "2", "-subj", "/CN=spotter-test", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    port = free_port()
    command = [sys.executable, str(TLS_FRONT), str(port), str(behind), str(certificate), str(key)]
    with running(command):
        until(lambda: listens(port))
        yield port, certificate


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


@contextmanager
def rabbitmq(folder: Path) -> Iterator[str]:
    """A RabbitMQ node of its own; its amqp:// address."""
    port, distribution = free_port(), free_port()
    node = f"spotter{port}@localhost"
    env = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "RABBITMQ_NODENAME": node, "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1", "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"), "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"), "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "RABBITMQ_PID_FILE": str(folder / "pid"), "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1",
        "ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_PORT": str(free_port()), "LANG": "C.UTF-8",
    }  # fmt: skip
    try:
        with running([str(RABBITMQ)], env):
            until(lambda: greets(port), 60)
            yield f"amqp://guest:guest@127.0.0.1:{port}//"
    finally:  # Erlang's port mapper was started along and stays
        subprocess.run(["epmd", "-port", env["ERL_EPMD_PORT"], "-kill"], env=env, check=True, capture_output=True)


def greets(port: int) -> bool:
    """Whether an AMQP 0-9-1 server answers a protocol header it does not speak with its own (4.2.2 of the spec)."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as sock:
            sock.sendall(b"AMQP\x00\x00\x00\x00")
            sock.settimeout(2)
            return sock.recv(8).startswith(b"AMQP")
    except OSError:
        time.sleep(0.1)
        return False
