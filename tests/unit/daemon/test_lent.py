"""Addresses that gateways give us are on the TUN device as long as they are ours."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address, ip_network

from structlog.testing import capture_logs

from ipsecd.daemon.guard import Guard
from ipsecd.daemon.lent import LentAddresses, networks_behind
from ipsecd.errors import KernelError
from ipsecd.ike.config import Child, Peer
from ipsecd.ike.effects import Given
from ipsecd.io.lent import Lent
from ipsecd.io.netlink import Network
from ipsecd.wire.identity import Identity
from ipsecd.wire.registry import IdType
from ipsecd.wire.selector import Address, Selector

ONE, TWO, SIX = (ip_address(text) for text in ("10.3.0.1", "10.3.0.2", "2001:db8::1"))


def behind(peer: str) -> list[Network]:
    return [ip_network("10.1.0.0/16"), ip_network("0.0.0.0/0"), ip_network("2001:db8:1::/48")] if peer == "hq" else []


class Kernel:
    def __init__(self) -> None:
        self.told: list[set[Address]] = []
        self.refuses = False
        self.sources: frozenset[tuple[Network, Address]] = frozenset()

    async def lend(self, lent: Lent) -> None:
        await asyncio.sleep(0)
        self.told.append(set(lent.addresses))
        self.sources = lent.sources
        if self.refuses:
            raise KernelError("no room")


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_they_come_and_go_and_one_gateway_replaces_what_it_gave_itself() -> None:
    async def main() -> None:
        kernel = Kernel()
        lent = LentAddresses(kernel, behind, Guard())  # type: ignore[arg-type]  # all that is asked of it
        lent.given(Given("hq", (ONE, SIX), dns=(TWO,), subnets=(ip_network("10.0.0.0/8"),)))
        await settled()
        lent.given(Given("lab", (TWO,)))
        await settled()
        lent.given(Given("hq", (ONE,)))
        await settled()
        lent.given(Given("hq", (ONE,)))
        lent.taken_back("lab")
        lent.taken_back("lab")
        await settled()
        lent.taken_back("hq")
        await settled()
        assert kernel.told == [{ONE, SIX}, {ONE, SIX, TWO}, {ONE, TWO}, {ONE}, set()]
        await lent.close()

    with capture_logs() as logs:
        asyncio.run(main())
    assert [line["event"] for line in logs] == ["address-given"] * 4 + ["address-taken-back"] * 2
    first = {"peer": "hq", "addresses": "10.3.0.1, 2001:db8::1", "dns": "10.3.0.2", "nbns": "none"}
    assert first.items() <= logs[0].items()
    assert logs[0]["subnets"] == "10.0.0.0/8"


def test_programs_use_them_for_what_lies_behind_the_gateway_but_not_for_everything() -> None:
    async def main() -> None:
        kernel = Kernel()
        lent = LentAddresses(kernel, behind, Guard())  # type: ignore[arg-type]  # likewise
        lent.given(Given("lab", (TWO,)))
        lent.given(Given("hq", (ONE, SIX)))
        await settled()
        assert kernel.sources == {(ip_network("10.1.0.0/16"), ONE), (ip_network("2001:db8:1::/48"), SIX)}

    asyncio.run(main())


def test_what_a_gateway_is_in_itself_has_no_route_through_it() -> None:
    name = Identity(IdType.FQDN, b"gw")
    far = (Selector.net("10.1.0.0/16"), Selector.net("198.51.100.0/24"), Selector.net("2001:db8:1::/48"))
    child = Child("a/1", "a/1", "a", (Selector.net("10.3.0.1/32"),), far, ())
    peer = Peer("a", None, (ip_address("198.51.100.1"),), name, name, (), (), (child,))
    assert networks_behind(peer) == {ip_network("10.1.0.0/16"), ip_network("2001:db8:1::/48")}


def test_the_kernel_is_told_what_there_is_once_it_has_time() -> None:
    async def main() -> None:
        kernel = Kernel()
        lent = LentAddresses(kernel, behind, Guard())  # type: ignore[arg-type]  # likewise
        for address in (ONE, TWO, ONE, TWO):
            lent.given(Given("hq", (address,)))
        await settled()
        assert kernel.told == [{TWO}]

    asyncio.run(main())


def test_what_the_kernel_refuses_is_told_and_costs_nothing_else() -> None:
    async def main() -> None:
        kernel, guard = Kernel(), Guard()
        lent = LentAddresses(kernel, behind, guard)  # type: ignore[arg-type]  # likewise
        kernel.refuses = True
        lent.given(Given("hq", (ONE,)))
        await settled()
        kernel.refuses = False
        lent.given(Given("hq", (TWO,)))
        await settled()
        assert (kernel.told, guard.faults) == ([{ONE}, {TWO}], {})

    with capture_logs() as logs:
        asyncio.run(main())
    assert [line for line in logs if line["event"] == "address-not-put"] == [
        {"event": "address-not-put", "log_level": "warning", "addresses": "10.3.0.1", "reason": "no room"}
    ]
