"""What the policy's settings and actions say reaches the roads; the kernel is made up."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from ipsecd.crypto.secret import Secret
from ipsecd.daemon import ground, protection
from ipsecd.daemon.assignment import Assigned
from ipsecd.daemon.boot import Boot
from ipsecd.daemon.entrances import Entrances
from ipsecd.daemon.ground import Host
from ipsecd.daemon.guard import Guard
from ipsecd.daemon.judging import Judging
from ipsecd.daemon.keyring import Keyring, Sources
from ipsecd.daemon.native_sockets import NativeSockets
from ipsecd.daemon.options import Options
from ipsecd.daemon.prepare import Surroundings, outline, prepare
from ipsecd.daemon.protection import Protection
from ipsecd.daemon.resolver import Resolver
from ipsecd.daemon.wellknown import WellKnown
from ipsecd.dataplane.messages import SetLinkMtu, SetPathMtu
from ipsecd.dataplane.results import Out
from ipsecd.errors import OperatorError
from ipsecd.ike import config as ike
from ipsecd.ike import effects
from ipsecd.ike.config import Endpoint, Lifetime
from ipsecd.ike.config import Path as Way
from ipsecd.io.udp_errors import PathError
from ipsecd.policy.load import load_policy
from ipsecd.policy.plan import Encapsulation
from ipsecd.wire.registry import Encr, Integ
from ipsecd.wire.selector import Address, Selector
from tests.netns.pair import KEY, rule
from tests.unit.ipsec.packets import syn, udp

HERE, THERE = ip_address("192.0.2.1"), ip_address("192.0.2.2")
NEAR, FAR = (Selector.net("10.1.0.0/24"),), (Selector.net("10.2.0.0/24"),)
WAY = Way(Endpoint(HERE, 4_500), Endpoint(THERE, 4_500), natt=True)
CBC = effects.ChildKeys(Encr.AES_CBC, 128, Integ.HMAC_SHA2_256_128, True, Secret(b"e" * 16), Secret(b"a" * 32))
SPI = b"\xd0\0\0\2"
SYN, DATA = syn("10.1.0.2", "10.2.0.2", 9_000), udp("10.1.0.2", "10.2.0.2", tos=0xB9, df=True)


class Nothing:
    """In the place of what isn't looked at here: any call does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.drops: dict[str, int] = {}

    def __getattr__(self, _: str) -> Callable[..., Any]:
        return lambda *_, **__: None


class Kernel(Nothing):
    """The kernel's state: what it's asked for is there."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__()
        self.settings = arguments[3]
        self.tun = None
        self.pipe = os.pipe()  # a TUN in which nothing waits

    async def check_name(self) -> None:
        pass

    async def raise_floor(self, *_: str) -> None:
        pass

    async def raise_tun(self) -> Any:
        return SimpleNamespace(offloads=frozenset(), fileno=lambda: self.pipe[0])

    async def problems(self, *_: object) -> tuple[str, ...]:
        return ()


class Network:
    """The sockets: they remember ESP."""

    sent: list[Out]
    offloads: frozenset[str] = frozenset()
    read_here: tuple[Any, ...] = ()

    def __init__(self, *_: Any, native: NativeSockets, apart: bool) -> None:
        assert not apart
        self.native = native
        Network.sent = []

    def __iter__(self) -> Any:
        return iter(())

    def send_esp(self, out: Out) -> int:
        self.sent.append(out)
        return 0

    def close(self) -> None:
        pass


def no_raw_sockets(mark: int, *, needed: bool) -> NativeSockets:
    assert not needed
    return NativeSockets()


class Keeper(Nothing):
    async def keep_floor(self) -> None:
        await asyncio.Event().wait()

    keep_rest = keep_floor


@pytest.fixture(autouse=True)
def without_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    links = SimpleNamespace(to=lambda remote, local: 9_000, close=lambda: None)
    fakes = {"KernelState": Kernel, "TableWatch": Nothing, "RoutingWatch": Nothing, "Keeper": Keeper}
    for name, fake in fakes.items():
        monkeypatch.setattr(ground, name, fake)
    for name, other in {"Sockets": Network, "LinkMtus": lambda mark: links}.items():
        monkeypatch.setattr(protection, name, other)
    monkeypatch.setattr(NativeSockets, "opened", no_raw_sockets)


def in_force(folder: Path, text: str, test: Callable[[Protection], None]) -> None:
    """Put a policy in force, with one SA that sends, and let a test look at it."""
    (folder / "peer.psk").touch(mode=0o600)
    (folder / "peer.psk").write_text(KEY)
    sources = Sources(folder, None, frozenset({folder.stat().st_uid}))

    async def addresses() -> tuple[tuple[str, Address], ...]:
        return (("wan0", HERE),)

    async def outside(*_: object) -> tuple[str, ...]:
        return ("wan0",)

    async def run() -> None:
        told = Resolver(Nothing(), fail), WellKnown(Nothing())
        around = Surroundings(*told, sources, addresses, unasked, outside, *[unasked] * 5)  # type: ignore[arg-type]  # made up
        sketch = await outline(load_policy(text, "policy.yaml"), Assigned("sites", "sites"), around)
        guard = Guard()
        clock = SimpleNamespace(now=lambda: 100.0)
        kernel, boot = (Nothing(), Nothing(), Nothing()), Boot(Options(control=folder / "control"))
        host = Host(
            *kernel,
            boot,
            Nothing(),
            Nothing(),
            Judging(guard),
            guard,
            clock,
            lambda _: None,
            lambda: None,
            fail,
            inline=True,
        )  # type: ignore[arg-type]  # made up
        made = Protection(sketch, host)
        await made.start(lambda: prepare(sketch, around, {"site/1": "site/1"}, Entrances(host.judging), Keyring()))
        path = (NEAR, FAR, WAY, Lifetime(None), Lifetime(None))
        made._conductor.perform(
            [
                effects.InstallInbound(b"\xc0\0\0\1", "site/1", "site", CBC, *path),
                effects.InstallOutbound(SPI, b"\xc0\0\0\1", "site/1", "site", CBC, *path),
            ],
            100.0,
        )
        try:
            test(made)
            assert host.guard.faults == {}
        finally:
            await made.stop("the test is over")

    asyncio.run(run())


def fail(reason: str) -> None:
    raise AssertionError(reason)


def unasked(_remote: Address, _mark: int) -> Awaitable[Address | None]:
    raise AssertionError("the policy says which address is ours")


def policy(settings: dict[str, Any] | None = None, **action: Any) -> str:
    """The policy of a gateway with these settings; ``action`` is what its filter action says."""
    return yaml.safe_dump(
        {
            "assigned": "sites",
            "settings": settings or {},
            "credentials": {"peer": {"psk": {"file": "peer.psk"}}},
            "filter_actions": {"own": {"action": "negotiate", **action}},
            "policies": {"sites": {"rules": [rule("a", action="own")]}},
        },
        sort_keys=False,
    )


def carried(made: Protection, packet: bytes, now: float = 100.0) -> list[Any]:
    roads = made._plane.roads
    return [*roads.from_tun_read(memoryview(packet), bytes(10), now), *roads.from_tun_end(now)]


def test_a_plan_that_needs_raw_sockets_cant_take_the_place_of_one_that_runs_without_them(tmp_path: Path) -> None:
    def look(made: Protection) -> None:
        (peer,) = made.prepared.plan.peers
        native = replace(made.prepared.plan, peers=(replace(peer, encapsulation=Encapsulation.NATIVE),))
        made.check(SimpleNamespace(plan=made.prepared.plan))  # type: ignore[arg-type]  # all that is asked of it
        other: Any = SimpleNamespace(plan=native)
        with pytest.raises(OperatorError, match="CAP_NET_RAW"):
            made.check(other)
        made._native = True
        made.check(other)

    in_force(tmp_path, policy(), look)


def test_without_raw_sockets_a_rule_that_leaves_the_choice_has_packets_in_udp(tmp_path: Path) -> None:
    def look(made: Protection) -> None:
        (peer,) = made.prepared.config.peers
        assert peer.encapsulation is ike.Encapsulation.UDP

    in_force(tmp_path, policy(), look)


@pytest.mark.parametrize(("settings", "window"), [({}, 1_024), ({"replay_window": 64}, 64)])
def test_the_replay_window(tmp_path: Path, settings: dict[str, Any], window: int) -> None:
    def look(made: Protection) -> None:
        (sa,) = made._plane.roads._inbound._sad
        assert sa.window.size == window

    in_force(tmp_path, policy(settings), look)


@pytest.mark.parametrize(("settings", "segment"), [({}, 1_398), ({"mtu": 1_300}, 1_260), ({"mtu": 8_900}, 8_860)])
def test_the_mtu_of_the_tun(tmp_path: Path, settings: dict[str, Any], segment: int) -> None:
    """The link carries 9,000 octets, so it's the TUN that limits what TCP may send."""

    def look(made: Protection) -> None:
        assert made.kernel.settings.mtu == segment + 40
        (out,) = carried(made, SYN)
        assert out.packet == syn("10.1.0.2", "10.2.0.2", segment)

    in_force(tmp_path, policy(settings), look)


def test_the_initialisation_vectors_of_cbc_are_chance(tmp_path: Path) -> None:
    """RFC 3602 section 3."""

    def look(made: Protection) -> None:
        ivs = {carried(made, DATA)[0].datagram[8:24] for _ in range(50)}
        assert len(ivs) == 50
        assert len({iv[:8] for iv in ivs}) == len({iv[8:] for iv in ivs}) == 50

    in_force(tmp_path, policy(), look)


@pytest.mark.parametrize(("action", "tos", "df"), [({}, 0xB9, True), ({"df": "clear", "dscp": 10}, 0x29, False)])
def test_what_the_outer_header_takes(tmp_path: Path, action: dict[str, Any], tos: int, df: bool) -> None:
    def look(made: Protection) -> None:
        (out,) = carried(made, DATA)
        assert (out.tos, out.df) == (tos, df)

    in_force(tmp_path, policy(**action), look)


@pytest.mark.parametrize(("settings", "age"), [({}, 600.0), ({"pmtu_age": 60}, 60.0)])
def test_how_long_a_router_is_believed(tmp_path: Path, settings: dict[str, Any], age: float) -> None:
    def look(made: Protection) -> None:
        made._plane.roads.handle(SetPathMtu(THERE, 576), 100.0)
        large = udp("10.1.0.2", "10.2.0.2", data=bytes(1_000), df=True)
        assert not isinstance(carried(made, large, 99.9 + age)[0], Out)
        assert isinstance(carried(made, large, 100.0 + age)[0], Out)

    in_force(tmp_path, policy(settings), look)


@pytest.mark.parametrize(("settings", "believed"), [({}, True), ({"believe_icmp": []}, False)])
def test_whether_a_router_is_believed(tmp_path: Path, settings: dict[str, Any], believed: bool) -> None:
    def look(made: Protection) -> None:
        claim = PathError(90, True, THERE, 4_500, 1_300, SPI)
        assert (made._paths.judge(claim, 4_500) is not None) is believed
        assert made._paths.judge(PathError(90, False, THERE, 4_500, 500, b""), 4_500) == SetLinkMtu(THERE, 500)

    in_force(tmp_path, policy(settings), look)


def test_a_tun_that_is_lost_is_told_to_the_keeper_and_links_are_asked_about_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(Keeper, "tun_lost", lambda _: told.append("lost"), raising=False)

    def look(made: Protection) -> None:
        made._port._tell_lost()
        assert told == ["lost"]
        made._paths._told[THERE] = 1_500
        made._moved()
        assert made._paths._told == {THERE: 9_000}

    in_force(tmp_path, policy(), look)
