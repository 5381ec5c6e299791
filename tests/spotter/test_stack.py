"""The pieces of the local stack on real things: the data folder, the shipped Valkey server, ports, the parts' lines."""

from __future__ import annotations

import base64
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from spotter import acl, address, datafolder, stack, valkey
from spotter.address import free_port
from spotter.errors import StackError
from spotter.supervisor import Supervisor

MAXMEMORY = 64 * 1024 * 1024


def ignore(name: str, line: str) -> None:
    """A log for tests that do not look at it."""


@contextmanager
def valkey_in(folder: Path) -> Iterator[tuple[Supervisor, dict[str, str]]]:
    process, urls = valkey.server(folder, free_port(), MAXMEMORY, dict(os.environ))
    supervisor = Supervisor([[process]], ignore)
    try:
        supervisor.start()
        yield supervisor, urls
    finally:
        assert supervisor.stop()


@contextmanager
def connected(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url, decode_responses=True) as client:
        yield client


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's rights, which no folder is closed to."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


# -- the server ---------------------------------------------------------------------------------------------------


def test_the_shipped_server_keeps_its_data_over_a_restart_and_a_kill(tmp_path: Path) -> None:
    with valkey_in(tmp_path) as (_, urls), connected(urls["api"]) as client:
        client.set("spotter:stopped", "1")
    with valkey_in(tmp_path) as (supervisor, urls), connected(urls["api"]) as client:
        assert client.get("spotter:stopped") == "1"
        client.set("spotter:killed", "2")
        os.kill(supervisor.pids["valkey"], signal.SIGKILL)
        deadline = time.monotonic() + 20
        supervisor.run(
            lambda: time.monotonic() > deadline or (bool(supervisor.pids) and not valkey.why_silent(urls["ops"]))
        )
        assert client.get("spotter:killed") == "2"


@pytest.mark.parametrize("role", acl.ROLES)
def test_the_server_wants_a_role_s_password_and_nothing_shows_it(tmp_path: Path, role: str) -> None:
    with valkey_in(tmp_path) as (supervisor, urls):
        file, url = tmp_path / f"redis.{role}.password", urls[role]
        password = file.read_text().strip()
        assert len(password) >= 43  # 256 bits in base64
        assert mode(file) == mode(tmp_path / "valkey/users.acl") == mode(tmp_path / "valkey/valkey.conf") == 0o600
        assert password not in (tmp_path / "valkey/users.acl").read_text()
        assert password.encode() not in Path(f"/proc/{supervisor.pids['valkey']}/cmdline").read_bytes()
        assert valkey.why_silent(url) is None
        without, wrong = re.sub(r"//.*@", "//", url), re.sub(r":[^:@]*@", ":wrong@", url)
        assert valkey.why_silent(without) == valkey.why_silent(wrong) == "it refuses the password"
        with connected(without) as client, pytest.raises(redis.AuthenticationError):
            client.get("spotter:x")
        assert password not in valkey.shown(url)


def test_the_server_is_set_up_to_lose_nothing(tmp_path: Path) -> None:
    with valkey_in(tmp_path) as (_, urls), connected(urls["ops"]) as client:
        settings = client.config_get("*")
    expected = {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "maxmemory": str(MAXMEMORY),
        "bind": "127.0.0.1",
        "save": "",
        "rdbcompression": "no",
    }
    assert {name: settings[name] for name in expected} == expected


def test_a_folder_with_spaces_and_quotes_holds_a_server(tmp_path: Path) -> None:
    folder = tmp_path / 'my "data" \\ folder'
    folder.mkdir()
    with valkey_in(folder) as (_, urls), connected(urls["worker"]) as client:
        assert client.ping()
    assert (folder / "valkey/appendonlydir").is_dir()


def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    port = free_port()
    environ = {"SPOTTER_REDIS_URL": f"redis://user:geheim@127.0.0.1:{port}/0", "SPOTTER_WEBHOOK_SECRET": "whsec_x"}
    with pytest.raises(StackError) as caught:
        stack.stages(stack.Plan(), Path("unused"), 1, environ)
    assert f"redis://127.0.0.1:{port}/0" in str(caught.value)
    assert "geheim" not in str(caught.value)


# -- the data folder ----------------------------------------------------------------------------------------------


def test_a_folder_in_use_is_refused_until_its_user_ends(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    code = "import sys\nfrom pathlib import Path\nfrom spotter.datafolder import opened\n"
    code += "with opened(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(StackError, match=rf"Another Spotter \(process {other.pid}\) already uses"), _opened(folder):
            pass
        other.kill()
    with _opened(folder) as held:
        assert held == folder.resolve()
    assert mode(folder) == 0o700


@contextmanager
def _opened(folder: Path, smallest_free_bytes: int = 0) -> Iterator[Path]:
    with datafolder.opened(folder, smallest_free_bytes) as held:
        yield held


def test_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"is full: \d+ MiB are free"), _opened(tmp_path, 2**62):
        pass


def test_a_disk_that_fills_up_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(datafolder, "write_private", full)
    with pytest.raises(StackError, match=r"^The disk of .* is full: make room"), _opened(tmp_path):
        pass


def test_a_folder_that_is_a_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(StackError, match=r"data cannot be used \(File exists\)"), _opened(tmp_path / "data"):
        pass


@pytest.mark.parametrize("bits", [0o000, 0o500])
def test_a_closed_folder_is_a_sentence(tmp_path: Path, bits: int) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(bits)
    with as_nobody(), pytest.raises(StackError, match="may not be read or written by this user"), _opened(folder):
        pass


def test_secrets_are_made_once_and_are_private(tmp_path: Path) -> None:
    path = tmp_path / "webhook.secret"
    made = datafolder.kept_secret(path, datafolder.new_webhook_secret)
    assert datafolder.kept_secret(path, datafolder.new_webhook_secret) == made
    assert mode(path) == 0o600
    assert made.startswith("whsec_")
    assert len(base64.b64decode(made.removeprefix("whsec_"), validate=True)) == 32


# -- the address --------------------------------------------------------------------------------------------------


def test_a_taken_port_is_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=f"^Port {port} of 127.0.0.1 is already in use"):
            address.claim("127.0.0.1", port)
    assert address.claim("127.0.0.1", port) == port
    assert address.claim("127.0.0.1", 0) > 0


@pytest.mark.parametrize(
    ("host", "port", "says"),
    [("192.0.2.1", 0, "is not an address of this machine"), ("127.0.0.1", 70000, "not a port")],
)
def test_an_address_that_cannot_be_is_a_sentence(host: str, port: int, says: str) -> None:
    with pytest.raises(StackError, match=says):
        address.claim(host, port)


def test_addresses_as_urls() -> None:
    assert address.url("0.0.0.0", 80) == "http://127.0.0.1:80"
    assert address.url("::", 80) == "http://[::1]:80"
    assert address.url("localhost", 8000) == "http://localhost:8000"
    assert [address.is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "10.0.0.1", "a.b")] == [
        True,
        True,
        True,
        False,
        False,
    ]


@given(st.ip_addresses())
def test_loopback_is_what_the_standard_library_says(ip: object) -> None:
    assert address.is_loopback(str(ip)) == ip.is_loopback  # type: ignore[attr-defined]


# -- the parts ----------------------------------------------------------------------------------------------------


def test_the_parts_get_their_settings_through_the_environment(tmp_path: Path) -> None:
    plan = stack.Plan(port=8000, models_dir=tmp_path / "models", workers=2)
    first, second = stack.stages(plan, tmp_path, 8000, {"PATH": os.environ["PATH"], "SPOTTER_LOG_LEVEL": "DEBUG"})
    assert [part.name for part in first] == ["valkey"]
    assert [part.name for part in second] == ["api", "worker-1", "worker-2"]
    assert not any(name.startswith("SPOTTER_") and "SECRET" in name for name in first[0].env)
    for part in second:
        assert part.env["SPOTTER_LOG_LEVEL"] == "DEBUG"
        assert part.env["SPOTTER_MODELS_DIR"] == str(tmp_path / "models")
        assert part.env["SPOTTER_WEBHOOK_SECRET"] == (tmp_path / "webhook.secret").read_text().strip()
        role = "api" if part.name == "api" else "worker"
        password = (tmp_path / f"redis.{role}.password").read_text().strip()
        assert part.env["SPOTTER_REDIS_URL"].startswith(f"redis://{role}:{password}@")
        assert not any("redis://" in word for word in part.argv)


def test_a_given_server_is_used_and_no_other_started(tmp_path: Path, redis_url: str) -> None:
    environ = {"SPOTTER_REDIS_URL": redis_url, "SPOTTER_WEBHOOK_SECRET": "whsec_given"}
    (only,) = stack.stages(stack.Plan(), tmp_path, 8000, environ)
    assert [part.name for part in only] == ["api", "worker"]
    assert {part.env["SPOTTER_REDIS_URL"] for part in only} == {redis_url}
    assert {part.env["SPOTTER_WEBHOOK_SECRET"] for part in only} == {"whsec_given"}
    assert list(tmp_path.iterdir()) == []


def test_no_model_is_a_sentence(tmp_path: Path) -> None:
    plan = stack.Plan(models_dir=tmp_path / "models", data=tmp_path / "data")
    with (
        pytest.raises(StackError, match="run `spotter models pull yolov3-tiny`"),
        stack.prepared(plan, os.environ, ignore),
    ):
        pass
    assert not (tmp_path / "data").exists()
