"""Forbidden and public addresses, and the ways in which a URL may disguise one. Knows no guard and connects to nothing.

The networks are written down here from the IANA special-purpose registries, RFC 4291 and the clouds' own pages, apart
from the table that is under test.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address

_CLOSED = """
0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/29 192.0.0.170/31 192.0.0.192/32
192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
168.63.129.16/32 100.100.100.200/32 169.254.169.254/32 169.254.170.2/32 255.255.255.255/32
::/128 ::1/128 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001:2::/48 2001:10::/28 2001:db8::/32 3fff::/20 5f00::/16
fc00::/7 fd00:ec2::254/128 fd20:ce::254/128 fe80::/10 fec0::/10 ff00::/8 ::ffff:0:0:0/96 200::/7 4000::/3 8000::/2
"""
FORBIDDEN = tuple(ip_network(text) for text in _CLOSED.split())
"""Of the registries' blocks those that are not globally reachable, multicast, and space outside 2000::/3."""

_OPEN = """
1.1.1.0/24 8.8.8.0/24 9.9.9.0/24 13.32.0.0/15 20.190.128.0/18 23.0.0.0/12 34.64.0.0/10 52.84.0.0/15 93.184.216.0/24
104.16.0.0/13 128.30.0.0/15 140.82.112.0/20 151.101.0.0/16 172.64.0.0/13 185.199.108.0/22 193.0.0.0/21 198.41.0.0/24
208.80.152.0/22 217.0.0.0/13 2001:4860::/32 2400:cb00::/32 2606:2800:220::/48 2606:4700::/32 2620:0:860::/46
2a00:1450::/32 2a03:2880::/32 2a04:4e42::/32
"""
PUBLIC = tuple(ip_network(text) for text in _OPEN.split())
"""Networks of public services."""

LETTERS = str.maketrans("0123456789abcdefx.", "０１２３４５６７８９ａｂｃｄｅｆｘ．")
CIRCLED = str.maketrans("0123456789", "⓪①②③④⑤⑥⑦⑧⑨")
GOOD = "93.184.216.34"


def carried(address: Address) -> list[IPv4Address]:
    """The IPv4 addresses that an IPv6 one leads to (RFC 4291 2.5.5, 6052, 3056, 4380)."""
    if isinstance(address, IPv4Address):
        return []
    number = int(address)
    low = [IPv4Address(number & 0xFFFFFFFF)]
    if number >> 32 in (0, 0xFFFF) or number >> 32 == 0x64FF9B << 64:
        return low
    if number >> 112 == 0x2002:
        return [IPv4Address(number >> 80 & 0xFFFFFFFF)]
    if number >> 96 == 0x20010000:
        return [IPv4Address(number >> 64 & 0xFFFFFFFF), IPv4Address(~number & 0xFFFFFFFF)]
    return []


def forbidden(text: str) -> bool:
    """Whether a connect to this address is a breach."""
    address = ip_address(text.partition("%")[0])
    return any(one in network for one in (address, *carried(address)) for network in FORBIDDEN)


def samples(network: IPv4Network | IPv6Network, many: int, dice: random.Random) -> list[Address]:
    """The first, the last, and `many` others."""
    numbers = {int(network[0]), int(network[-1])}
    numbers |= {dice.randint(int(network[0]), int(network[-1])) for _ in range(many)}
    return [network[0].__class__(number) for number in sorted(numbers)]


def hosts(address: Address) -> Iterator[tuple[str, str]]:
    """Every way to write an address as a URL's host: the way's name, and the host."""
    if isinstance(address, IPv6Address):
        yield "bracketed", f"[{address}]"
        yield "exploded", f"[{address.exploded}]"
        yield "capital", f"[{address.exploded.upper()}]"
        yield "zone", f"[{address}%25eth0]"
        yield "bare zone", f"[{address}%eth0]"
        yield "without brackets", str(address)
        yield "brackets after a name", f"{GOOD}[{address}]"
        yield "dotted tail", f"[{':'.join(address.exploded.split(':')[:6])}:{IPv4Address(int(address) & 0xFFFFFFFF)}]"
        return
    number, a, b, c, d = int(address), *address.packed
    yield from {
        "dotted": f"{a}.{b}.{c}.{d}",
        "dword": f"{number}",
        "hex dword": f"0x{number:x}",
        "HEX": f"0X{number:08X}",
        "octal dword": f"0{number:o}",
        "hex dotted": f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}",
        "long hex": f"0x{a:08x}.{b}.{c}.{d}",
        "octal dotted": f"0{a:o}.0{b:o}.0{c:o}.0{d:o}",
        "long octal": f"{a:012o}.{b:o}.{c:o}.{d:o}",
        "mixed": f"0x{a:x}.{b}.0{c:o}.{d}",
        "three parts": f"{a}.{b}.{c << 8 | d}",
        "two parts": f"{a}.{b << 16 | c << 8 | d}",
        "hex two parts": f"0x{a:x}.{b << 16 | c << 8 | d}",
        "padded": f"{a:03}.{b:03}.{c:03}.{d:03}",
        "overflowing dword": f"{number + (1 << 32)}",
        "overflowing part": f"{a + 256}.{b}.{c}.{d}",
        "negative": f"-{(1 << 32) - number}",
        "trailing dot": f"{a}.{b}.{c}.{d}.",
        "two trailing dots": f"{a}.{b}.{c}.{d}..",
        "fullwidth": f"{a}.{b}.{c}.{d}".translate(LETTERS),
        "circled": f"{a}.{b}.{c}.{d}".translate(CIRCLED),
        "ideographic dots": f"{a}。{b}｡{c}．{d}",
        "fullwidth hex": f"0x{number:x}".translate(LETTERS),
        "soft hyphen": f"\xad{a}.{b}.{c}.{d}",
        "zero width": f"{a}.{b}\u200b.{c}.{d}",
        "percent": "".join(f"%{ord(sign):02x}" for sign in f"{a}.{b}.{c}.{d}"),
        "percent dot": f"{a}%2e{b}%2e{c}%2e{d}",
        "double percent": f"{a}%252e{b}.{c}.{d}",
        "NUL": f"{a}.{b}.{c}.{d}%00.{GOOD}",
        "bracketed": f"[{a}.{b}.{c}.{d}]",
        "mapped": f"[::ffff:{a}.{b}.{c}.{d}]",
        "mapped hex": f"[::ffff:{number >> 16:x}:{number & 65535:x}]",
        "mapped exploded": f"[0:0:0:0:0:ffff:{a}.{b}.{c}.{d}]",
        "compatible": f"[::{a}.{b}.{c}.{d}]",
        "translated": f"[::ffff:0:{a}.{b}.{c}.{d}]",
        "NAT64": f"[64:ff9b::{a}.{b}.{c}.{d}]",
        "local NAT64": f"[64:ff9b:1::{number >> 16:x}:{number & 65535:x}]",
        "6to4": f"[{IPv6Address(0x2002 << 112 | number << 80 | 1)}]",
        "Teredo server": f"[{IPv6Address(0x2001 << 112 | number << 64 | 0xF7F7F7F7)}]",
        "Teredo client": f"[{IPv6Address(0x2001 << 112 | 0x08080808 << 64 | number ^ 0xFFFFFFFF)}]",
        "mapped zone": f"[::ffff:{a}.{b}.{c}.{d}%25lo]",
    }.items()


def urls(address: Address, dice: random.Random) -> Iterator[tuple[str, str]]:
    """Every host of an address in a plain URL, and the address in the tricks that readers of URLs fall for."""
    for way, host in hosts(address):
        yield way, f"{dice.choice(('http', 'https', 'HTTP'))}://{host}{dice.choice(('', ':80', ':443', ':'))}/a.jpg"
    host = f"[{address}]" if isinstance(address, IPv6Address) else str(address)
    for way, url in {
        "user name": f"http://{GOOD}@{host}/",
        "user and password": f"http://{GOOD}:80@{host}:80/",
        "empty user": f"http://@{host}/",
        "user in pieces": f"http://a@{GOOD}@{host}/",
        "escaped at": f"http://{GOOD}%40{host}/",
        "backslash": f"http://{host}\\@{GOOD}/",
        "backslash before": f"http://{GOOD}\\@{host}/",
        "backslashes": f"http:\\\\{host}\\",
        "no slashes": f"http:{host}/",
        "one slash": f"http:/{host}/",
        "three slashes": f"http:///{host}/",
        "no scheme": f"//{host}/",
        "tab": f"http://{host}\t/",
        "tab inside": f"ht\ttp://{host}/",
        "line": f"http://{host}\r\n/",
        "space": f"http:// {host}/",
        "space after": f"http://{GOOD} @{host}/",
        "ampersands": f"http://{GOOD} &@{host}# @{GOOD}/",
        "fragment": f"http://{host}#@{GOOD}/",
        "query": f"http://{host}?@{GOOD}/",
        "two ports": f"http://{host}:80:80/",
        "port and user": f"http://{GOOD}:80@{host}",
        "fullwidth slash": f"http://{host}／{GOOD}/",
        "fullwidth at": f"http://{GOOD}＠{host}/",
        "semicolon": f"http://{host};{GOOD}/",
        "comma": f"http://{GOOD},{host}/",
        "another port": f"http://{host}:6379/",
        "another scheme": f"gopher://{host}:70/_a",
        "ftp": f"ftp://{host}/",
        "url in url": f"url:http://{host}/",
    }.items():
        yield way, url
