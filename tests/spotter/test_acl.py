"""The rules of the store's users, judged by a real server: what each role needs it may do, and nothing beyond."""

from __future__ import annotations

import hashlib
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from shared.connection import connect
from shared.store import PREFIX
from spotter import acl
from spotter.errors import StackError
from tests.roles import as_role

ROOT = Path(__file__).parent.parent.parent
SCRIPTS = sorted((ROOT / "shared/lua").rglob("*.lua"))
TEXT = "\n".join(path.read_text() for path in SCRIPTS)
FAMILIES = sorted(set(re.findall(r"\bP \.\. '([a-z_:]+)'", TEXT)))
FOR_THE_API_ALONE = {"keys", "keys:used", "idem:", "kept:", "sizes:"}
"""Key families that no worker may touch."""
CALLS = sorted(set(re.findall(r"redis\.call\('([A-Z]+)'", TEXT)))

# What would give a role more than its own: other people's keys, the keyspace as a whole, the server itself.
FORBIDDEN = [
    "FLUSHALL", "FLUSHDB", "KEYS *", "SCAN 0", "RANDOMKEY", "DBSIZE", "SWAPDB 0 1", "MOVE spotter:job:x 1",
    "CONFIG GET *", "CONFIG SET maxmemory 1", "CONFIG REWRITE", "DEBUG SLEEP 0", "DEBUG OBJECT spotter:job:x",
    "MODULE LIST", "MODULE LOAD /tmp/x.so", "FUNCTION LIST", "FUNCTION FLUSH", "SCRIPT FLUSH", "SCRIPT KILL",
    "SHUTDOWN NOSAVE", "BGSAVE", "BGREWRITEAOF", "SAVE", "REPLICAOF 127.0.0.1 1", "FAILOVER", "CLUSTER INFO",
    "ACL LIST", "ACL SETUSER api +@all", "ACL GETUSER worker", "CLIENT LIST", "CLIENT KILL ID 1", "CLIENT PAUSE 1",
    "MONITOR", "SLOWLOG GET", "LATENCY DOCTOR", "MEMORY DOCTOR", "PSYNC ? -1", "DUMP spotter:job:x",
    "RESTORE spotter:job:x 0 x", "MIGRATE 127.0.0.1 1 spotter:job:x 0 1", "SORT spotter:job:x", "COPY spotter:job:x x",
    "RENAME spotter:job:x spotter:job:y", "EVAL return(1) 0", "GET other", "SET other 1", "DEL other",
    "GET spotterx:job:x", "SUBSCRIBE other", "PSUBSCRIBE *", "PUBLISH other 1",
]  # fmt: skip
OF_THE_API = [
    "RPOP spotter.deliver",
    "BRPOP spotter.detect.m 1",
    "DEL spotter.deliver",
    "HGETALL unacked",
    "GET unacked_mutex",
]
OF_THE_WORKER = ["SUBSCRIBE spotter:events", "INFO", "GET spotter:unheard-of", "SET spotter:unheard-of 1",
                 "HSET spotter:aliases m@default x", "HDEL spotter:aliases x", "DEL spotter:aliases"]  # fmt: skip
OF_OPS = ["GET spotter:stats", "HGETALL spotter:stats", "EVALSHA x 0", "SCRIPT LOAD return(1)", "SET spotter:x 1",
          "LPUSH spotter.deliver 1", "PUBLISH spotter:events x"]  # fmt: skip
API_MAY = {"CONFIG GET *"}
"""It shows how durable the server is; users and passwords are in a file of their own, so no secret is in there."""
OPS_MAY = {"DBSIZE", "CONFIG GET *", "CLIENT LIST", "SLOWLOG GET"}
REFUSED = [
    *(("api", command) for command in (*FORBIDDEN, *OF_THE_API) if command not in API_MAY),
    *(("worker", command) for command in (*FORBIDDEN, *OF_THE_WORKER)),
    *(("ops", command) for command in (*FORBIDDEN, *OF_OPS) if command not in OPS_MAY),
]


@pytest.fixture
def server(valkey_server: str) -> str:
    """The server as it is: refusals are what these tests are about."""
    return valkey_server


@pytest.mark.parametrize(("role", "command"), REFUSED)
def test_a_role_may_not(server: str, role: str, command: str) -> None:
    # The server refuses DEBUG and MODULE LOAD by its own settings before it looks at the user.
    by_the_server = command.startswith(("DEBUG", "MODULE LOAD"))
    refusal = redis.ResponseError if by_the_server else redis.exceptions.NoPermissionError
    with connect(as_role(server, role), "test") as client, pytest.raises(refusal):
        client.execute_command(*command.split())
    assert "has no permissions" in dry_run(server, role, *command.split())


def test_nobody_without_a_name_gets_in(tmp_path: Path) -> None:
    assert acl.server_form(acl.rules(), {role: "x" for role in acl.ROLES}).startswith(
        "user default off resetkeys resetchannels -@all\n"
    )


def dry_run(server: str, role: str, *command: str) -> str:
    with redis.Redis.from_url(server, decode_responses=True) as client:
        return str(client.execute_command("ACL", "DRYRUN", role, *command))


@pytest.mark.parametrize("role", ["api", "worker"])
@pytest.mark.parametrize("call", [call for call in CALLS if call not in ("TIME", "PUBLISH")])
def test_the_scripts_may_do_what_they_do(server: str, role: str, call: str) -> None:
    for further in range(6):  # as many arguments as the command wants
        try:
            assert dry_run(server, role, call, f"{PREFIX}job:x", *["1"] * further) == "OK"
        except redis.ResponseError:
            continue
        return
    pytest.fail(f"{call} takes more arguments than were tried")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_worker_reaches_the_key_families_that_it_needs_and_no_other(server: str, family: str) -> None:
    key = f"{PREFIX}{family}{'x' if family.endswith(':') else ''}"
    if family == "events":
        assert dry_run(server, "worker", "PUBLISH", key, "x") == "OK"
        return
    reached = dry_run(server, "worker", "EXISTS", key) == "OK"
    assert reached == (family not in FOR_THE_API_ALONE), f"say in spotter/valkey.acl who may touch {key}"
    assert dry_run(server, "api", "EXISTS", key) == "OK"


def test_the_families_were_found() -> None:
    assert {"queue:", "job:", "leases", "versions", "sweeper"} | FOR_THE_API_ALONE <= set(FAMILIES)
    assert {"HSET", "ZADD", "PUBLISH", "TIME"} <= set(CALLS)


# -- the server's own form -----------------------------------------------------------------------------------------


def test_lines_are_joined_comments_dropped_and_passwords_hashed() -> None:
    text = "# who\nuser a on\n  ~x:*  # why\n\n  (~y\n    +get)\nuser b off\n  -@all\n"
    digest = hashlib.sha256(b"geheim").hexdigest()
    assert acl.server_form(text, {"a": "geheim"}) == f"user a on #{digest} ~x:* (~y +get)\nuser b off -@all\n"


@pytest.mark.parametrize("passwords", [{}, {"a": "x", "b": "y"}])
def test_users_and_passwords_must_agree(passwords: dict[str, str]) -> None:
    with pytest.raises(StackError, match="log in"):
        acl.server_form("user a on\n", passwords)


def test_the_file_in_deploy_is_this_one() -> None:
    assert (ROOT / "deploy/valkey.acl").read_text() == acl.rules()


def test_an_installation_gets_its_secrets_once(tmp_path: Path) -> None:
    def make() -> dict[str, str]:
        command = [sys.executable, "-P", "-m", "spotter.acl", str(tmp_path), "--at", "store:6379"]
        subprocess.run(command, check=True, timeout=60)
        return {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}

    made = make()
    assert make() == made
    urls = {role: made[f"{role}/spotter_redis_url"].strip() for role in ("api", "worker")}
    for role, url in urls.items():
        parts = re.fullmatch(rf"redis://{role}:([\w-]{{43}})@store:6379/0", url)
        assert parts
        assert f"user {role} on #{hashlib.sha256(parts[1].encode()).hexdigest()} " in made["store/users.acl"]
    assert urls["api"].split(":")[2] != urls["worker"].split(":")[2]
    # Each folder is mounted into one container, whose user is not the one that wrote it.
    assert stat.S_IMODE((tmp_path / "store/users.acl").stat().st_mode) == 0o444


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "spotter.acl", str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.startswith("spotter.acl: ")
    assert len(done.stderr.splitlines()) == 1
