"""Which URLs and addresses are open: what the operator closes, space nobody was given, and hosts with two readings."""

from __future__ import annotations

import random
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ssrfguard import SSRFGuardError
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from shared.errors import StartupError
from worker.addresses import PUBLIC, Addresses


def addresses(allow: str = "", deny: str = "", ports: tuple[int, ...] = (80, 443)) -> Addresses:
    return Addresses(ports, [ip_network(one) for one in allow.split()], [ip_network(one) for one in deny.split()])


def opens(judge: Addresses, host: str, port: int = 80) -> bool:
    """Whether the host, an address, may be connected to."""
    try:
        target, policy = judge.judge(f"http://{host}:{port}/")
    except SSRFGuardError:
        return False
    assert target.address is not None
    assert policy.permits_address(target.address)
    return True


# -- the operator's own networks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "93.184.216.0",
        "93.184.216.255",
        "[::ffff:93.184.216.34]",
        "[64:ff9b::93.184.216.34]",
        "[2002:5db8:d822::1]",
        "[2001:0:5db8:d822:0:0:f7f7:f7f7]",
        "[2a00:1450::1]",
        "[2a00:1450:ffff:ffff:ffff:ffff:ffff:ffff]",
    ],
)
def test_a_denied_network_is_closed_in_every_form(host: str) -> None:
    assert opens(addresses(), host)
    assert not opens(addresses(deny="93.184.216.0/24 2a00:1450::/32"), host)


def test_denial_wins_over_permission_whichever_is_wider() -> None:
    judge = addresses(allow="10.0.0.0/8 fd00::/8", deny="10.1.0.0/16 fd00:1::/32")
    assert opens(judge, "10.0.255.255", 9000)
    assert not opens(judge, "10.1.0.0")
    assert not opens(judge, "10.1.255.255", 9000)
    assert opens(judge, "[fd00:2::1]", 9000)
    assert not opens(judge, "[fd00:1::1]")
    assert not opens(addresses(allow="10.1.2.3/32", deny="10.0.0.0/8"), "10.1.2.3")


def test_a_wide_permission_does_not_open_a_denied_address_inside_a_carrier() -> None:
    judge = addresses(allow="0.0.0.0/0 ::/0", deny="169.254.0.0/16")
    assert opens(judge, "10.0.0.1")
    assert opens(judge, "[64:ff9b::10.0.0.1]")
    for host in ("169.254.169.254", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::]"):
        assert not opens(judge, host)


def test_special_blocks_that_are_open_are_closed_with_what_surrounds_them() -> None:
    assert opens(addresses(), "192.0.0.9")  # anycast, globally reachable by the registry
    assert not opens(addresses(deny="192.0.0.0/16"), "192.0.0.9")
    assert not opens(addresses(deny="2000::/3"), "[2002:0808:0808::]")
    assert not opens(addresses(deny="64:ff9b::/96"), "[64:ff9b::8.8.8.8]")


def test_overlapping_and_doubled_networks_can_be_meant() -> None:
    judge = addresses(deny="10.0.0.0/8 10.0.0.0/8 10.1.0.0/16 8.8.8.0/24 8.8.8.8/32 ::/0")
    assert not opens(judge, "8.8.8.8")
    assert not opens(judge, "[2606:2800:220:1::1]")
    assert opens(judge, "9.9.9.9")


@pytest.mark.parametrize(("allow", "ports"), [("64:ff9b::/96", (80,)), ("", (0,)), ("", ()), ("", (65_536,))])
def test_what_cannot_be_meant_stops_the_start(allow: str, ports: tuple[int, ...]) -> None:
    with pytest.raises(StartupError):
        addresses(allow, ports=ports)


# -- space that no registry has given out (RFC 4291, 2.4: global unicast in use is 2000::/3) -------------------------


@pytest.mark.parametrize("network", ["200::/7", "400::/6", "4000::/3", "8000::/1", "fe00::/9", "100:2::/32", "1::/16"])
def test_ipv6_outside_global_unicast_is_closed(network: str) -> None:
    block, dice = ip_network(network), random.Random(network)
    for number in (int(block[0]), int(block[-1]), dice.randrange(int(block[0]), int(block[-1]))):
        assert PUBLIC.classify(ip_address(number)).blocked, ip_address(number)


@pytest.mark.parametrize("host", ["2606:2800:220:1::1", "2a00:1450:4001:82a::2003", "2400:cb00::1", "3ffe:ffff::1"])
def test_global_unicast_is_open(host: str) -> None:
    assert not PUBLIC.classify(host).blocked


# -- hosts with two readings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["0x08.8.8.8", "8.8.8.0x8", "0x08080808", "0x", "a.0x", "example.0X1F", "example.127", "a.1.", "a.b.0x7f."],
)
def test_a_name_that_ends_in_a_number_is_refused(host: str) -> None:
    """Its address is public or it has none: the form alone is the reason."""
    with pytest.raises(SSRFGuardError):
        addresses().judge(f"http://{host}/")


@pytest.mark.parametrize("host", ["a1.example", "0x7f.example", "1.2.3.4.example", "xn--bcher-kva.example", "a.0xyz"])
def test_a_number_elsewhere_is_a_name(host: str) -> None:
    assert addresses().judge(f"http://{host}/")[0].host == host


@pytest.mark.parametrize(
    "host",
    [
        "straße.example",  # RFC 3490: strasse; RFC 5891: xn--strae-oqa
        "STRAẞE.example",
        "βόλος.example",
        "نامه\u200cای.example",
        "☃.example",
        "ｅｘａｍｐｌｅ.com",
        "example。com",
        "①.example",
        "ﬁ.example",
        "e\u0301.example",
        "-ü.example",
        "ü-.example",
        "ab--ü.example",
        "\xad8.8.8.8",
        "8.8.8.8[::ffff:9.9.9.9]",
        "[2606:2800:220:1::1]x",
    ],
)
def test_letters_that_are_encoded_in_two_ways_are_refused(host: str) -> None:
    with pytest.raises(SSRFGuardError):
        addresses().judge(f"http://{host}/")


@pytest.mark.parametrize(
    ("host", "ascii_form"),
    [("bücher.example", "xn--bcher-kva.example"), ("пример.example", "xn--e1afmkfd.example"),
     ("例え.example", "xn--r8jz45g.example"), ("BÜCHER.example", "xn--bcher-kva.example")],
)  # fmt: skip
def test_plain_letters_outside_ascii_are_read(host: str, ascii_form: str) -> None:
    assert addresses().judge(f"http://{host}/")[0].host == ascii_form


def host_by_httpx(url: str) -> str | None:
    try:
        return httpx.URL(url).raw_host.decode().lower().strip("[]")
    except (httpx.InvalidURL, UnicodeError):
        return None


def host_by_urllib(url: str) -> str | None:
    try:
        host = urlsplit(url).hostname
        return host.encode("idna").decode().lower() if host and not host.isascii() else host
    except ValueError:
        return None


def host_by_urllib3(url: str) -> str | None:
    try:
        host = parse_url(url).host
    except LocationParseError:
        return None
    return host.lower().strip("[]") if host else None


PIECES = st.sampled_from(
    [
        "http", "https", "HTTP", "://", ":", "/", "//", "\\", "@", "#", "?", "%", "%2e", "%40", "%00", ".", "..", "-",
        "_", "[", "]", "::1", "::ffff:127.0.0.1", "127.0.0.1", "127.1", "0x7f.1", "2130706433", "8.8.8.8", "x", "1",
        "example.com", "evil.example", "localhost", "user", ":80", ":443", ":080", ":٨٠", ":+80", " ", "\t", "\n",
        "\r", "\0", "\x7f", "\xa0", "\xad", "\u200b", "\u2028", "。", "／", "：", "＠", "①②⑦", "ß", "ü", "Ⅷ",
        "\ufeff", ";", "&", "=", ",",
    ]
)  # fmt: skip


@given(st.lists(PIECES, max_size=12).map("".join), st.sampled_from(["", "http://", "https://", "http://example.com"]))
@example("127.0.0.1\\@example.com/", "http://")
@example("example.com\\.evil.example/", "http://")
@example("1.1.1.1 &@2.2.2.2# @3.3.3.3/", "http://")
@example("127.0.0.1:80\\@@example.com:80/", "http://")
@example("example.com#@evil.example/", "http://")
def test_where_readers_of_urls_disagree_about_the_host_ours_refuses(rest: str, start: str) -> None:
    """What is let through names the same host for the standard library, httpx and urllib3."""
    try:
        target, _ = addresses(allow="0.0.0.0/0 ::/0").judge(start + rest)
    except SSRFGuardError:
        return
    read = {host_by_urllib(start + rest), host_by_httpx(start + rest), host_by_urllib3(start + rest)}
    assert read == {target.host}
