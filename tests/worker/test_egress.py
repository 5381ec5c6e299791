"""What the guarded client must never connect to: closed addresses in every disguise, by name, and behind redirects."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import AddressForbidden, FetchFailed, FetchTimeout, StartupError
from tests.worker.raw_server import TIMEOUT_S, Serve, answer, client, failing, raw_servers
from worker.addresses import PUBLIC


@pytest.fixture
def serve() -> Iterator[Serve]:
    with raw_servers() as start:
        yield start


@pytest.fixture
def connects(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every address that a socket is told to connect to; none is really connected."""
    tried: list[object] = []

    class Recorded(socket.socket):
        def connect(self, address: object) -> None:
            tried.append(address)
            raise ConnectionRefusedError

        def connect_ex(self, address: object) -> int:
            tried.append(address)
            return 111

    monkeypatch.setattr(socket, "socket", Recorded)
    return tried


# -- addresses -------------------------------------------------------------------------------------------------------

HOSTS = """
127.0.0.1 127.1 127.0.1 127.255.255.254 2130706433 0x7f000001 0x7f.0.0.1 0x7f.1 0177.0.0.1 0177.1 017700000001
127.0.0.1. 127。0。0。1 ①②⑦.0.0.1 0 0.0.0.0 0.1.2.3 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1
100.100.100.200 169.254.169.254 2852039166 0xa9fea9fe 0xa9.0xfe.0xa9.0xfe 0251.0376.0251.0376 169.254.170.2
168.63.129.16 192.0.0.192 192.0.0.1 192.0.2.1 192.88.99.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1
239.255.255.250 240.0.0.1 255.255.255.255 localhost localhost. LOCALHOST ⓛⓞⓒⓐⓛⓗⓞⓢⓣ
[::1] [::] [0:0:0:0:0:0:0:1] [::127.0.0.1] [::7f00:1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::ffff:169.254.169.254]
[::ffff:0:127.0.0.1] [::ffff:0:a9fe:a9fe] [64:ff9b::127.0.0.1] [64:ff9b::a9fe:a9fe] [64:ff9b::168.63.129.16]
[64:ff9b:1::7f00:1] [2002:7f00:1::] [2002:a9fe:a9fe::] [2001:0:7f00:1::] [2001:0:808:808:0:0:80ff:fffe]
[fe80::1] [fe80::1%25eth0] [fec0::1] [fc00::1] [fd00:ec2::254] [fd20:ce::254] [ff02::1] [2001:db8::1] [100::1]
[3fff::1] [5f00::1] [2001:2::1] [2001:10::1]
"""
FORBIDDEN_HOSTS = HOSTS.split()


def test_the_list_is_long_enough() -> None:
    assert len(FORBIDDEN_HOSTS) >= 44


@pytest.mark.parametrize("host", FORBIDDEN_HOSTS)
def test_a_forbidden_host_is_never_connected_to(host: str, connects: list[object]) -> None:
    with pytest.raises((AddressForbidden, FetchFailed)) as caught:  # FetchFailed: a form that the resolver refuses
        client(allow=()).get(f"http://{host}/a.jpg", max_bytes=10)
    assert connects == []
    if isinstance(caught.value, FetchFailed):
        with pytest.raises(OSError):  # noqa: PT011 (which error is the platform's choice)
            socket.getaddrinfo(host, 80)


@pytest.mark.parametrize(
    "url",
    [
        "http://user@93.184.216.34/",
        "http://user:secret@93.184.216.34/",
        "http://93.184.216.34@127.0.0.1/",
        "http://127.0.0.1\\@93.184.216.34/",
        "http://93.184.216.34:22/",
        "http://93.184.216.34:0/",
        "http://93.184.216.34:99999/",
        "http://93.184.216.34:x/",
        "http://127.0.0.1:6379/",
        "ftp://93.184.216.34/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "http:///a",
        "http://",
        "//93.184.216.34/",
        "http://[::1/",
        "http://93.184.216.34/a b",
        "http://93.184.216.34/a\r\nX-Evil: 1",
        "http://%31%32%37.0.0.1/",
        "http://exa mple.com/",
        "http://a_b!c.example/",
        "http://" + "a." * 200 + "example/",
        "http://93.184.216.34/" + "a" * 8192,
        "",
    ],
)
def test_a_forbidden_url_is_never_connected_to(url: str, connects: list[object]) -> None:
    with pytest.raises(AddressForbidden) as caught:
        client(allow=()).get(url, max_bytes=10)
    assert "secret" not in caught.value.detail
    with pytest.raises(AddressForbidden):
        client(allow=()).post(url, b"{}", {}, timeout_s=1)
    assert connects == []


def test_a_public_address_is_connected_to(connects: list[object]) -> None:
    """The recorder records: the other tests' empty lists mean something."""
    for host in ("93.184.216.34", "[2606:2800:220:1::1]"):
        with pytest.raises(FetchFailed):
            client(allow=()).get(f"http://{host}/", max_bytes=10)
    assert [address[:2] for address in connects] == [("93.184.216.34", 80), ("2606:2800:220:1::1", 80)]  # type: ignore[index]


@pytest.mark.parametrize("bad", ["127.0.0.1", "169.254.169.254", "10.1.2.3", "::1", "::ffff:10.0.0.1", "fd00::1"])
def test_one_closed_answer_refuses_the_whole_name(bad: str, connects: list[object]) -> None:
    def rebinding(host: str, port: int, *rest: int) -> list[Any]:
        return [*socket.getaddrinfo("93.184.216.34", port), *socket.getaddrinfo(bad, port)]

    with pytest.raises(AddressForbidden):
        client(allow=(), resolver=rebinding).get("http://rebind.example/", max_bytes=10)
    assert connects == []


def test_a_name_is_looked_up_once(connects: list[object]) -> None:
    """A second look-up could answer otherwise: the address that was judged is the one that is used."""
    answers = iter(["93.184.216.34", "127.0.0.1"])

    def moving(host: str, port: int, *rest: int) -> list[Any]:
        return socket.getaddrinfo(next(answers), port, *rest)

    with pytest.raises(FetchFailed):
        client(allow=(), resolver=moving).get("http://moving.example/", max_bytes=10)
    assert connects == [("93.184.216.34", 80)]


def test_localhost_is_refused_by_default_and_nothing_is_accepted(serve: Serve) -> None:
    server = serve(answer("HTTP/1.1 200 OK\nContent-Length: 1", b"x"))
    for host in ("localhost", "127.0.0.1", "127.1"):
        error = failing(client(allow=(), ports=(80, server.port)), server.url(host=host))
        assert type(error) is AddressForbidden
    assert server.accepted == 0


def test_an_allowed_network_is_open_on_any_port_and_no_other_is(serve: Serve, connects: list[object]) -> None:
    egress = client()
    with pytest.raises(FetchFailed):
        egress.get("http://127.0.0.1:9000/", max_bytes=1)
    with pytest.raises(FetchFailed):
        egress.get("http://127.9.9.9/", max_bytes=1)
    assert connects == [("127.0.0.1", 9000), ("127.9.9.9", 80)]
    for url in ("http://93.184.216.34:9000/", "http://10.0.0.1:9000/", "http://10.0.0.1/", "http://[::1]:9000/"):
        with pytest.raises(AddressForbidden):
            egress.get(url, max_bytes=1)
    assert len(connects) == 2


def test_a_network_that_the_operator_closes_is_closed_to_pictures_and_webhooks(connects: list[object]) -> None:
    egress = client(deny=(ipaddress.ip_network("93.184.216.0/24"), ipaddress.ip_network("127.9.0.0/16")))
    for url in ("http://93.184.216.34/", "http://[::ffff:5db8:d822]/", "http://127.9.9.9:9000/"):
        with pytest.raises(AddressForbidden):
            egress.get(url, max_bytes=1)
        with pytest.raises(AddressForbidden):
            egress.post(url, b"{}", {}, timeout_s=1)
    assert connects == []
    with pytest.raises(FetchFailed):
        egress.get("http://93.184.217.34/", max_bytes=1)
    assert connects == [("93.184.217.34", 80)]


@pytest.mark.parametrize(
    "options", [{"ports": (0,)}, {"ports": ()}, {"allow": (ipaddress.ip_network("64:ff9b::/96"),)}]
)
def test_settings_that_cannot_be_meant_stop_the_start(options: dict[str, Any]) -> None:
    with pytest.raises(StartupError):
        client(**options)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=300, deadline=None)
def test_wrapping_an_address_never_opens_it(number: int) -> None:
    """Whatever is closed as IPv4 is closed in every IPv6 form that carries it; SIIT is closed altogether."""
    inner = ipaddress.IPv4Address(number)
    wrapped = [
        ipaddress.IPv6Address(0xFFFF << 32 | number),
        ipaddress.IPv6Address(0x64FF9B << 96 | number),
        ipaddress.IPv6Address(0x2002 << 112 | number << 80),
        ipaddress.IPv6Address(0x2001 << 112 | number << 64),
        ipaddress.IPv6Address(0x2001 << 112 | 0x08080808 << 64 | (number ^ 0xFFFFFFFF)),
    ]
    if PUBLIC.classify(inner).blocked:
        assert all(PUBLIC.classify(address).blocked for address in wrapped)
    assert PUBLIC.classify(ipaddress.IPv6Address(0xFFFF << 48 | number)).blocked
    if not inner.is_global:  # the standard library's opinion may only be stricter than ours where IANA says reachable
        assert PUBLIC.classify(inner).blocked or inner in ipaddress.IPv4Network("192.0.0.0/24")


# -- redirects -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://[::1]:6379/",
        "http://0xa9fea9fe/",
        "//192.168.0.1/",
        "file:///etc/passwd",
        "http://user@127.0.0.1/",
        "http://[::1",
        "http://93.184.216.34:22/",
    ],
)
def test_a_redirect_to_a_closed_address(serve: Serve, location: str) -> None:
    server = serve(answer(f"HTTP/1.1 302 Found\nLocation: {location}\nContent-Length: 0"))
    assert type(failing(client(), server.url())) is AddressForbidden
    assert server.accepted == 1


def test_a_redirect_to_loopback_is_not_followed(serve: Serve) -> None:
    """Only 127.0.0.1 is opened here; the victim listens on the same machine at another loopback address."""
    victim = serve(answer("HTTP/1.1 200 OK\nContent-Length: 1", b"x"))
    server = serve(answer(f"HTTP/1.1 307 T\nLocation: http://127.0.0.2:{victim.port}/\nContent-Length: 0"))
    egress = client(allow=(ipaddress.IPv4Network("127.0.0.1/32"),))
    assert type(failing(egress, server.url())) is AddressForbidden
    assert (server.accepted, victim.accepted) == (1, 0)


@pytest.mark.parametrize("limit", [0, 3])
def test_too_many_redirects(serve: Serve, limit: int) -> None:
    server = serve(answer("HTTP/1.1 301 Moved\nLocation: /again\nContent-Length: 0"))
    assert type(failing(client(redirects=limit), server.url())) is FetchFailed
    assert server.accepted == limit + 1


def test_one_deadline_for_all_redirects(serve: Serve) -> None:
    def slow(sock: socket.socket) -> None:
        threading.Event().wait(0.25)
        sock.sendall(b"HTTP/1.1 301 Moved\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")

    assert type(failing(client(redirects=10, timeout_s=TIMEOUT_S), serve(slow).url())) is FetchTimeout


# -- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 and tls.example, with its key, in one PEM file."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tls.example")])
    names = [x509.DNSName("tls.example"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + made.public_bytes(pem))
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def by_name(host: str, port: int, *rest: int) -> list[Any]:
    return socket.getaddrinfo("127.0.0.1", port, *rest)


def test_https_checks_the_certificate_against_the_name(
    serve: Serve, tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(answer("HTTP/1.1 200 OK\nContent-Length: 2", b"ok"), tls)
    assert type(failing(client(), server.url(scheme="https"))) is FetchFailed  # nobody vouches for it
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    egress = client(resolver=by_name)
    for host in ("127.0.0.1", "tls.example"):
        assert egress.get(server.url(scheme="https", host=host), max_bytes=2) == b"ok"
    assert type(failing(egress, server.url(scheme="https", host="other.example"))) is FetchFailed


def test_a_redirect_does_not_leave_https(
    serve: Serve, tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    plain = serve(answer("HTTP/1.1 200 OK\nContent-Length: 2", b"ok"))
    server = serve(answer(f"HTTP/1.1 302 Found\nLocation: {plain.url()}\nContent-Length: 0"), tls)
    assert type(failing(client(), server.url(scheme="https"))) is AddressForbidden
    assert plain.accepted == 0


def test_a_handshake_has_the_deadline_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts in the kernel, says nothing
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        assert type(failing(client(timeout_s=TIMEOUT_S), url)) is FetchTimeout
