"""ESP and AH packets that don't get there are told of, once in a while and only if they are ours."""

from __future__ import annotations

import asyncio
import errno
import json
from ipaddress import ip_address
from pathlib import Path

import pytest

from ipsecd.crypto.secret import Secret
from ipsecd.daemon.paths import Paths
from ipsecd.daemon.unreached import Unreached
from ipsecd.ike import effects
from ipsecd.io.udp_errors import PathError
from ipsecd.wire.registry import Integ
from ipsecd.wire.selector import Address
from tests.unit.daemon.daemons import PATIENCE, Daemon, pair
from tests.unit.daemon.test_paths import ANNA, CARL, install

OF_ANNA, OF_CARL = b"\xaa\xaa\xaa\xaa", b"\xcc\xcc\xcc\xcc"
AH_KEYS = effects.AhChildKeys(Integ.HMAC_SHA2_256_128, False, Secret(b"a" * 32))


def said(number: int, spi: bytes = OF_ANNA, remote: Address = ANNA, port: int = 0) -> PathError:
    return PathError(number, True, remote, port, 0, spi + bytes(4))


def known(*, ah: bool = False, port: int = 0) -> Unreached:
    """Of SAs with Anna and Carl."""
    paths = Paths(lambda _remote, _local: None, believe=True)
    for spi, inbound, remote in ((OF_ANNA, b"1111", ANNA), (OF_CARL, b"2222", CARL)):
        sa = install(spi, inbound, remote, port)
        if ah:
            sa = effects.InstallOutbound(spi, inbound, "child", "peer", AH_KEYS, (), (), sa.path, sa.soft, sa.hard)
        paths.follow(sa)
    return Unreached(paths)


@pytest.mark.parametrize("number", [errno.ENOPROTOOPT, errno.ECONNREFUSED])
def test_a_host_that_refuses_the_protocol_is_told_of_with_what_to_do(number: int) -> None:
    told = known().about(said(number), 0, 1.0)
    refused = (
        "its host, or a firewall before it, refuses IP protocol 50 (encapsulation: udp does without that protocol)"
    )
    assert told == (b"1111", f"ESP doesn't get to 198.51.100.1, says an ICMP error: {refused}")


@pytest.mark.parametrize("number", [errno.EPROTO, errno.EACCES, errno.ECONNREFUSED])
def test_so_is_one_that_does_so_with_icmpv6_and_for_ah_only_ipsecd_has_something_else(number: int) -> None:
    told = known(ah=True).about(said(number, OF_CARL, CARL), 0, 1.0)
    instead = "encapsulation: udp does without that protocol, if the peer is an ipsecd"
    refused = f"its host, or a firewall before it, refuses IP protocol 51 ({instead})"
    assert told == (b"2222", f"AH doesn't get to 2001:db8::2, says an ICMP error: {refused}")


def test_an_ipv4_firewall_that_prohibits_it_looks_like_a_lost_host_so_both_are_told() -> None:
    told = known().about(said(errno.EHOSTUNREACH), 0, 1.0)
    refused = "a firewall before it refuses IP protocol 50 (encapsulation: udp does without that protocol)"
    assert told == (b"1111", f"ESP doesn't get to 198.51.100.1, says an ICMP error: No route to host, or {refused}")
    told = known().about(said(errno.EHOSTUNREACH, OF_CARL, CARL), 0, 1.0)
    assert told == (b"2222", "ESP doesn't get to 2001:db8::2, says an ICMP error: No route to host")


@pytest.mark.parametrize(
    ("number", "port", "why"),
    [
        (errno.ENETUNREACH, 0, "Network is unreachable"),
        (errno.EPROTO, 0, "Protocol error"),  # in IPv4 it's about the header
        (errno.EHOSTUNREACH, 4_500, "No route to host"),
        (errno.ECONNREFUSED, 4_500, "Connection refused"),
    ],
)
def test_other_errors_are_told_as_the_kernel_calls_them(number: int, port: int, why: str) -> None:
    told = known(port=port).about(said(number, port=port), port, 1.0)
    assert told == (b"1111", f"ESP doesn't get to 198.51.100.1, says an ICMP error: {why}")


@pytest.mark.parametrize(
    ("error", "port"),
    [
        (said(errno.ENOPROTOOPT, b"\x12\x34\x56\x78"), 0),  # no SPI of ours
        (said(errno.ENOPROTOOPT, OF_CARL), 0),  # one that doesn't go there
        (said(errno.ENOPROTOOPT, port=4_500), 4_500),  # nor in UDP
        (PathError(errno.ENOPROTOOPT, True, ANNA, 0, 0, OF_ANNA[:3]), 0),
        (PathError(errno.EPERM, False, ANNA, 0, 0, OF_ANNA), 0),  # the kernel's own, which is counted as a drop
    ],
)
def test_what_isnt_about_a_packet_of_ours_is_not_told(error: PathError, port: int) -> None:
    assert known().about(error, port, 1.0) is None


def test_of_each_sa_it_is_told_once_in_a_while() -> None:
    unreached, refused = known(), errno.ENOPROTOOPT
    assert unreached.about(said(refused), 0, 1.0) is not None
    assert unreached.about(said(refused), 0, 60.9) is None
    assert unreached.about(said(refused, OF_CARL, CARL), 0, 60.9) is not None
    assert unreached.about(said(refused), 0, 61.0) is not None
    assert unreached.about(said(refused, OF_CARL, CARL), 0, 61.0) is None


REFUSED = "ESP doesn't get to 192.0.2.2, says an ICMP error: Connection refused"


def test_the_log_status_and_explain_say_it_as_long_as_it_is_so_and_the_sa_stays(tmp_path: Path) -> None:
    async def remark(daemon: Daemon) -> tuple[str, str, str]:
        (rule,) = json.loads((await daemon.ctl("status", "--json")).output)["rules"]
        told = json.loads((await daemon.ctl("explain", "10.1.0.2", "10.2.0.2", "--json")).output)
        return rule["state"], (rule["last_failure"] or {"reason": ""})["reason"], told["outbound"]["why"]

    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path) as (a, _):
            await a.ctl("up", "site", "--wait", "30")
            (child,) = a.protection.sas()[0].children
            error = PathError(errno.ECONNREFUSED, True, ip_address("192.0.2.2"), 4_500, 0, bytes.fromhex(child.spi_out))
            wires, clock = a.protection.wires, a.app.clock
            now = clock.now()
            for _ in range(3):
                a.context.run(lambda: wires._path_error(error, 4_500, now, natt=True))
            assert a.texts("child-unreached") == [f"site/1: {REFUSED}"]
            assert await remark(a) == ("up", REFUSED, f"leaves inside ESP to 192.0.2.2:4500, but {REFUSED}, 0 s ago")
            assert a.protection.sas()[0].children[0].spi_out == child.spi_out
            failures = a.app.failures
            assert failures.of_one_up("site", now + 119.0) is not None
            assert failures.of_one_up("site", now + 121.0) is None

    asyncio.run(main())
