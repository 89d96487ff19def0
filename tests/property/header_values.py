"""Any IPv4 and IPv6 packet with options, extension headers and routes that make sense."""

from __future__ import annotations

from ipaddress import IPv6Address

from hypothesis import strategies as st

from tests.property.wire_values import addresses_v4, addresses_v6, octet
from tests.unit.ipsec.packets import ipv4, ipv6

HOP, ROUTING, FRAGMENT, DESTINATION = 0, 43, 44, 60
WHOLE = bytes.fromhex("0000 00000007")  # of a fragment header: all there is

bodies = st.binary(min_size=8, max_size=80)  # what shows ports has them
ESP = 50
plain = st.sampled_from((6, 17, 47, 115))  # protocols of the upper layer
any_protocol = plain | st.just(ESP)


def _option(kind: int, data: bytes) -> bytes:
    return bytes([kind, 2 + len(data)]) + data


# Security, extended and commercial security, router alert, sender-directed delivery; and all others.
steady_options_v4 = st.one_of(
    st.just(b"\x01"),
    st.builds(_option, st.sampled_from((133, 134)), st.binary(max_size=8)),
    st.builds(_option, st.just(149), st.sampled_from((bytes(4), b"addr", b"and more"))),
    st.builds(_option, st.just(130), st.binary(min_size=9, max_size=9)),
    st.builds(_option, st.just(148), st.binary(min_size=2, max_size=2)),
)
changing_options_v4 = st.one_of(
    st.integers(0, 3).map(lambda stops: _option(7, b"\x04" + bytes(4 * stops))),  # record route
    st.builds(_option, st.sampled_from((30, 94, 158, 222)), st.binary(max_size=8)),  # experiments of RFC 4727
)
options_v4 = st.lists(steady_options_v4 | changing_options_v4, max_size=4).map(b"".join).filter(lambda o: len(o) <= 38)


@st.composite
def routes_v4(draw: st.DrawFn) -> bytes:
    """A source route at its start."""
    stops = draw(st.lists(addresses_v4, min_size=1, max_size=3))
    return _option(draw(st.sampled_from((131, 137))), b"\x04" + b"".join(stop.packed for stop in stops))


@st.composite
def packets_v4(
    draw: st.DrawFn, options: st.SearchStrategy[bytes] = options_v4, protocols: st.SearchStrategy[int] = any_protocol
) -> bytes:
    chosen = draw(options)
    return ipv4(
        str(draw(addresses_v4)),
        str(draw(addresses_v4)),
        draw(protocols),
        draw(bodies),
        tos=draw(octet),
        df=draw(st.booleans()),
        ttl=draw(st.integers(1, 255)),
        options=chosen + bytes(-len(chosen) % 4),
    )


def _option_v6(kind: int, data: bytes) -> bytes:
    return bytes([kind, len(data)]) + data


def _padded(options: bytes) -> bytes:
    """Options of a header of whole 8 octets, the first two of which say what follows and how long it is."""
    missing = -(2 + len(options)) % 8
    return options + (b"" if not missing else b"\x00" if missing == 1 else _option_v6(1, bytes(missing - 2)))


# Unassigned types, with each meaning of the three highest bits.
_unassigned = st.sampled_from((0x1E, 0x3E, 0x5E, 0x7E, 0x9E, 0xBE, 0xDE, 0xFE))
options_v6 = st.lists(st.builds(_option_v6, _unassigned, st.binary(max_size=9)), max_size=3).map(b"".join).map(_padded)


def routing(kind: int, left: int, stops: list[IPv6Address]) -> bytes:
    """A routing header without its first two octets."""
    return bytes([kind, left, 0, 0, 0, 0]) + b"".join(stop.packed for stop in stops)


routes_v6 = st.lists(addresses_v6, min_size=1, max_size=4).map(lambda stops: routing(0, len(stops), stops))
Headers = list[tuple[int, bytes]]


@st.composite
def extensions(draw: st.DrawFn) -> Headers:
    """Extension headers in the order of RFC 8200, each its kind and what follows its first two octets."""
    found: Headers = []
    for kind, contents in ((HOP, options_v6), (DESTINATION, options_v6), (ROUTING, routes_v6)):
        if draw(st.booleans()):
            found.append((kind, draw(contents)))
    if draw(st.booleans()):
        found.append((FRAGMENT, WHOLE))
    if draw(st.booleans()):
        found.append((DESTINATION, draw(options_v6)))
    return found


any_extensions = extensions()


def chain(headers: Headers, last: int) -> tuple[int, bytes]:
    """The first kind, and the octets."""
    kinds = [*(kind for kind, _ in headers), last]
    octets = b"".join(
        bytes([following, 0 if kind == FRAGMENT else (2 + len(rest)) // 8 - 1]) + rest
        for following, (kind, rest) in zip(kinds[1:], headers, strict=True)
    )
    return kinds[0], octets


@st.composite
def packets_v6(
    draw: st.DrawFn,
    headers: st.SearchStrategy[Headers] = any_extensions,
    protocols: st.SearchStrategy[int] = any_protocol,
) -> bytes:
    first, octets = chain(draw(headers), draw(protocols))
    addresses = str(draw(addresses_v6)), str(draw(addresses_v6))
    return ipv6(*addresses, first, octets + draw(bodies), tos=draw(octet), label=draw(st.integers(0, 0xFFFFF)))
