"""Effects are carried out in order, and what the roads report comes back to the negotiation."""

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest
from structlog.testing import capture_logs

from ipsecd.crypto.secret import Secret
from ipsecd.daemon.effects import Conductor
from ipsecd.daemon.guard import Guard
from ipsecd.daemon.keylog import Keys
from ipsecd.daemon.paths import Paths
from ipsecd.dataplane import messages
from ipsecd.dataplane.results import Out, OutRun, Result, ToTun, ToTunRun
from ipsecd.ike import effects
from ipsecd.ike.config import Endpoint, Lifetime, Path
from ipsecd.wire.registry import Encr, Integ
from ipsecd.wire.selector import Address, Selector

NEAR, FAR = Selector.net("10.1.0.0/16"), Selector.net("10.2.0.0/16")
HERE, THERE = ip_address("192.0.2.1"), ip_address("192.0.2.2")
PATH = Path(Endpoint(HERE, 4_500), Endpoint(THERE, 4_500), natt=True)
OUTSIDE = messages.Outside(HERE, 4_500, THERE, 4_500)
KEYS = effects.ChildKeys(Encr.AES_GCM_16, 128, Integ.NONE, False, Secret(b"e" * 20), Secret(b""))
OURS, PEERS = bytes.fromhex("c0000001"), bytes.fromhex("d0000002")
INBOUND = effects.InstallInbound(OURS, "to-hq/1", "to-hq", KEYS, (NEAR,), (FAR,), PATH, Lifetime(1), Lifetime(2))
OUTBOUND = effects.InstallOutbound(
    PEERS, OURS, "to-hq/1", "to-hq", KEYS, (NEAR,), (FAR,), PATH, Lifetime(1), Lifetime(2)
)


class World:
    """Everything around the conductor: writes down what it's told, and answers as a test wants."""

    def __init__(self, *, acknowledge: bool = True) -> None:
        self.story: list[Any] = []
        self.answers: dict[str, list[effects.Effect]] = {}
        self.refusals: dict[int, str] = {}
        self.extra: list[Result] = []
        self._acknowledge = acknowledge
        self.waiting: list[Callable[[str, float], None]] = []  # for the floor
        self.floorless = False
        self.known: set[Address] = set()
        self._handled = 0
        self.keys = Keys()
        self.guard = Guard()
        self.links: dict[Address, int] = {}
        self.refusals_of_the_link: list[int] = []
        self.retries: list[Result] = []
        self.reports: list[effects.Report] = []
        self.conductor = Conductor(
            self,
            self,
            self,
            self,
            self.keys,
            Paths(lambda remote, local: self.links.get(remote), believe=True),
            self,
            self,
            self,
            self,
            self.guard,
            window=1_024,
            on_report=self.reports.append,
        )

    def called(self, child: str) -> str:
        return f"the child {child}"

    def has_heard(self, remote: Address) -> bool:
        return remote in self.known

    def acquire(self, child: str, packet: object, _: float, *, known: bool) -> list[effects.Effect]:
        self.story.append(("acquire", child, packet, "known" if known else "new"))
        return self.answers.pop("acquire", [])

    def __getattr__(self, call: str) -> Any:
        def told(*arguments: Any) -> list[effects.Effect]:
            self.story.append((call, *arguments[:-1]))
            return self.answers.pop(call, [])

        return told

    def silent(self, key: str, _: Address, *, heard: bool) -> None:
        self.story.append(("silent", key, heard))

    def waits(self, effect: effects.InstallInbound, then: Callable[[str, float], None]) -> bool:
        self.waiting += [then] if self.floorless else []
        return self.floorless

    def gone(self, spi: bytes) -> None:
        self.story.append(("gone", spi))

    def handle(self, message: messages.ToRoads, now: float) -> list[Result]:
        self._handled += 1
        self.story.append(type(message).__name__)
        extra, self.extra = self.extra, []
        done = [messages.Done(self._handled, self.refusals.get(self._handled, ""))] if self._acknowledge else []
        return [*extra, *done]

    def send(self, data: bytes, path: Path) -> None:
        self.story.append(("send", data))

    def keepalive(self, path: Path) -> None:
        self.story.append(("keepalive", path))

    def send_esp(self, out: Out | OutRun) -> int:
        self.story.append(
            ("run", bytes(out.datagrams), out.octets) if isinstance(out, OutRun) else ("esp", out.datagram)
        )
        return self.refusals_of_the_link.pop(0) if self.refusals_of_the_link else 0

    def again(self, packet: bytes, now: float) -> list[Result]:
        self.story.append(("again", packet))
        retries, self.retries = self.retries, []
        return retries

    def write(self, *parts: bytes, head: bytes = bytes(10)) -> bool:
        self.story.append(("tun", *([head] if any(head) else []), *parts))
        return True


def test_effects_are_carried_out_in_order() -> None:
    world = World()
    todo: list[effects.Effect] = [
        INBOUND,
        effects.Send(b"response", PATH),
        OUTBOUND,
        effects.RemoveOutbound(PEERS, OURS),
        effects.RemoveInbound(OURS),
        effects.MovePath((OURS,), PATH),
        effects.GiveUp("to-hq/1", "no answer"),
        effects.Keepalive(PATH),
    ]
    world.conductor.perform(todo, 1.0)
    assert world.story == [
        "InstallInbound",
        ("send", b"response"),
        "InstallOutbound",
        "RemoveOutbound",
        ("gone", OURS),
        "RemoveInbound",
        "MovePath",
        "GiveUp",
        ("keepalive", PATH),
    ]


def test_who_decides_about_talking_in_clear_is_told_what_counts() -> None:
    world = World()
    remote = ip_address("192.0.2.2")
    world.conductor.perform(
        [
            effects.Silent("to-hq/1", remote),
            effects.Heard((remote,)),
            effects.Silent("to-hq/1", remote, heard=True),
        ],
        1.0,
    )
    world.conductor.results([messages.Released("to-hq/1", b"packet")], 1.0)
    assert world.story == [
        ("silent", "to-hq/1", False),
        ("heard",),
        ("silent", "to-hq/1", True),
        ("released", "to-hq/1"),
    ]


def test_the_message_behind_an_installation_waits_for_its_acknowledgement() -> None:
    world = World(acknowledge=False)
    world.conductor.perform([INBOUND, effects.Send(b"response", PATH)], 1.0)
    world.conductor.perform([effects.Send(b"later", PATH)], 1.0)
    assert world.story == ["InstallInbound"]
    world.conductor.results([messages.Done(1)], 2.0)
    assert world.story == ["InstallInbound", ("send", b"response"), ("send", b"later")]


def test_an_installation_that_needs_another_floor_waits_for_it_with_everything_behind() -> None:
    world = World()
    world.floorless = True
    world.conductor.perform([INBOUND, effects.Send(b"response", PATH)], 1.0)
    world.conductor.perform([effects.Send(b"later", PATH)], 1.0)
    assert world.story == []
    world.floorless = False
    [stands] = world.waiting
    stands("", 2.0)
    assert world.story == ["InstallInbound", ("send", b"response"), ("send", b"later")]


def test_an_installation_whose_floor_cannot_be_raised_is_told_to_the_negotiation_and_left_out() -> None:
    world = World()
    world.floorless = True
    world.answers["install_failed"] = [effects.Send(b"delete", PATH)]
    world.conductor.perform([INBOUND, effects.Send(b"response", PATH)], 1.0)
    [stands] = world.waiting
    stands("nft is gone", 2.0)
    assert world.story == [("install_failed", OURS, "nft is gone"), ("send", b"response"), ("send", b"delete")]


def test_an_acknowledgement_of_something_else_releases_nothing() -> None:
    world = World(acknowledge=False)
    world.conductor.tell_roads(messages.SetSpd(1, ()), 0.0)
    world.conductor.perform([INBOUND, effects.Send(b"response", PATH)], 1.0)
    world.conductor.results([messages.Done(1)], 2.0)
    assert world.story == ["SetSpd", "InstallInbound"]
    world.conductor.results([messages.Done(2)], 2.0)
    assert world.story[-1] == ("send", b"response")


@pytest.mark.parametrize("install", [INBOUND, OUTBOUND])
def test_an_installation_that_fails_is_told_to_the_negotiation_by_our_spi(install: effects.Effect) -> None:
    world = World()
    world.refusals[1] = "no such cipher"
    world.answers["install_failed"] = [effects.Send(b"delete", PATH)]
    world.conductor.perform([install, effects.Send(b"response", PATH)], 1.0)
    assert world.story[1:] == [("install_failed", OURS, "no such cipher"), ("send", b"response"), ("send", b"delete")]


def test_roads_that_refuse_anything_else_are_told_about() -> None:
    world = World()
    world.refusals[1] = "generation 1 after 2"
    with capture_logs() as logs:
        world.conductor.tell_roads(messages.SetSpd(1, ()), 0.0)
    assert logs == [{"event": "roads-refuse", "log_level": "error", "reason": "generation 1 after 2"}]


def test_packets_and_datagrams_leave() -> None:
    world = World()
    world.conductor.results([Out(b"esp", OUTSIDE, 0, False, b"inside"), ToTun(b"packet")], 1.0)
    assert world.story == [("esp", b"esp"), ("tun", b"packet")]


def test_packets_that_waited_leave_when_their_sa_is_installed() -> None:
    world = World()
    world.extra = [Out(b"waited", OUTSIDE, 0, True, b"inside")]
    world.conductor.perform([OUTBOUND, effects.Send(b"x", PATH)], 1.0)
    assert world.story == ["InstallOutbound", ("esp", b"waited"), ("send", b"x")]


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (messages.IkeDatagram(b"ike", HERE, 4_500, THERE, 4_500, True), ("receive", b"ike", PATH)),
        (
            messages.Acquire("to-hq/1", ip_address("10.1.0.2"), ip_address("10.2.0.2"), 6, 50_000, 80),
            (
                "acquire",
                "to-hq/1",
                (Selector.net("10.1.0.2", 6, (50_000, 50_000)), Selector.net("10.2.0.2", 6, (80, 80))),
                "known",
            ),
        ),
        (
            messages.Acquire("to-hq/1", ip_address("10.1.0.2"), ip_address("10.2.0.3"), 1, None, 8 * 256),
            ("acquire", "to-hq/1", (Selector.net("10.1.0.2", 1), Selector.net("10.2.0.3", 1, (2_048, 2_048))), "new"),
        ),
        (messages.InboundUsed(0xC0000001), ("inbound_used", OURS)),
        (messages.SoftExpired(0xC0000001, "seconds"), ("soft_expired", OURS)),
        (messages.HardExpired(0xC0000001, "octets"), ("hard_expired", OURS)),
        (messages.PeerMoved(0xC0000001, OUTSIDE), ("peer_moved", OURS, PATH)),
        (messages.PeerAlive((0xC0000001, 0xD0000002)), ("peer_alive", (OURS, PEERS))),
        (messages.PairsUsed((0xC0000001, 0xD0000002)), ("pairs_used", (OURS, PEERS))),
    ],
)
def test_what_the_roads_report_reaches_the_negotiation_and_its_answer_is_carried_out(result: Any, told: Any) -> None:
    world = World()
    world.known = {ip_address("10.2.0.2")}
    world.answers[told[0]] = [effects.Send(b"answer", PATH)]
    world.conductor.results([result], 5.0)
    assert world.story == [told, ("send", b"answer")]


def test_reports_are_logged_and_handed_on() -> None:
    world = World()
    report = effects.Report("ike-established", "info", {"peer": "to-hq"})
    with capture_logs() as logs:
        world.conductor.perform([report], 1.0)
    assert logs == [{"event": "ike-established", "log_level": "info", "peer": "to-hq"}]
    assert world.reports == [report]


def test_keys_are_kept_and_not_logged() -> None:
    world = World()
    fields = {"encryption": Encr.CHACHA20_POLY1305, "key_bits": None, "integrity": Integ.NONE}
    with capture_logs() as logs:
        world.conductor.perform([effects.KeyLog("ike", fields)], 1.0)
    assert logs == []
    assert world.keys.export()["unknown"] == ["CHACHA20_POLY1305"]


def test_the_link_of_an_outbound_sa_is_told_before_packets_that_waited_leave_by_it() -> None:
    world = World()
    world.links[THERE] = 1_492
    world.extra = []
    world.conductor.perform([OUTBOUND], 1.0)
    assert world.story == ["SetLinkMtu", "InstallOutbound"]
    world.conductor.perform([effects.MovePath((OURS,), PATH), effects.RemoveOutbound(PEERS, OURS)], 2.0)
    assert world.story[2:] == ["SetLinkMtu", "MovePath", "RemoveOutbound"]


def test_what_the_link_refuses_is_told_and_tried_again() -> None:
    world = World()
    world.refusals_of_the_link = [1_400, 1_399]
    world.retries = [ToTun(b"too big"), Out(bytes(1_372), OUTSIDE, 0, True, b"smaller")]
    world.conductor.results([Out(bytes(1_400), OUTSIDE, 0, True, b"inside"), ToTun(b"next")], 1.0)
    assert [step for step in world.story if step[0] != "esp"] == [
        "SetLinkMtu",
        ("again", b"inside"),
        ("tun", b"too big"),
        "SetLinkMtu",
        ("again", b"smaller"),
        ("tun", b"next"),
    ]


def test_a_run_that_the_link_refuses_is_tried_again_packet_by_packet() -> None:
    world = World()
    world.refusals_of_the_link = [1_400, 0]
    run = OutRun(memoryview(bytes(2_900)), 1_400, OUTSIDE, 0, True, lambda: [b"one", b"two", b"three"])
    world.conductor.results([run, run], 1.0)
    whole = ("run", bytes(2_900), 1_400)
    assert world.story == [whole, "SetLinkMtu", ("again", b"one"), ("again", b"two"), ("again", b"three"), whole]


def test_a_run_for_the_tun_is_written_as_one() -> None:
    world = World()
    world.conductor.results([ToTunRun(b"v" * 10, b"header", [b"pay", b"load"])], 1.0)
    assert world.story == [("tun", b"v" * 10, b"header", b"pay", b"load")]


def test_what_the_link_refuses_though_it_should_fit_is_not_tried_for_ever() -> None:
    world = World()
    world.refusals_of_the_link = [1_428]
    world.conductor.results([Out(bytes(1_400), OUTSIDE, 0, True, b"inside")], 1.0)
    assert world.story[1:] == ["SetLinkMtu"]


def test_a_fault_in_one_report_costs_no_other() -> None:
    world = World()
    asked: list[bytes] = []

    def soft_expired(spi: bytes, now: float) -> list[effects.Effect]:
        asked.append(spi)
        if len(asked) == 1:
            raise RuntimeError("a bug")
        return [effects.Keepalive(PATH)]

    world.soft_expired = soft_expired  # type: ignore[attr-defined]  # in the place of what __getattr__ makes
    world.conductor.results([messages.SoftExpired(0xC0000001, "packets"), messages.SoftExpired(0xD0000002, "x")], 1.0)
    assert asked == [OURS, PEERS]
    assert world.story == [("keepalive", PATH)]
    assert world.guard.faults == {"a result of the data plane": 1}


def test_an_installation_that_is_a_fault_blocks_nothing_behind_it() -> None:
    world = World()
    world.handle = None  # type: ignore[assignment, method-assign]  # calling it is the fault
    world.conductor.perform([INBOUND, effects.Keepalive(PATH)], 1.0)
    assert world.story == [("keepalive", PATH)]
    assert world.guard.faults == {"an effect of the negotiation": 1}


def test_a_fault_in_the_middle_of_the_queue_costs_no_other_effect() -> None:
    world = World()
    world.send = None  # type: ignore[assignment, method-assign]  # calling it is the fault
    world.conductor.perform([effects.Send(b"bad", PATH), effects.Keepalive(PATH)], 1.0)
    assert world.story == [("keepalive", PATH)]
