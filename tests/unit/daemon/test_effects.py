"""Effects are carried out in order, and what the roads report comes back to the negotiation."""

from ipaddress import ip_address
from typing import Any

import pytest
from structlog.testing import capture_logs

from ipsecd.crypto.secret import Secret
from ipsecd.daemon.effects import Conductor
from ipsecd.daemon.keylog import Keys
from ipsecd.dataplane import messages
from ipsecd.dataplane.results import Out, Result, ToTun
from ipsecd.ike import effects
from ipsecd.ike.config import Endpoint, Lifetime, Path
from ipsecd.wire.registry import Encr, Integ
from ipsecd.wire.selector import Selector

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
        self._handled = 0
        self.keys = Keys()
        self.reports: list[effects.Report] = []
        self.conductor = Conductor(
            self,
            self,
            self,
            self,
            self.keys,
            window=1_024,
            on_report=self.reports.append,
        )

    def __getattr__(self, call: str) -> Any:
        def told(*arguments: Any) -> list[effects.Effect]:
            self.story.append((call, *arguments[:-1]))
            return self.answers.pop(call, [])

        return told

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

    def send_esp(self, out: Out) -> None:
        self.story.append(("esp", out.datagram))

    def write(self, packet: bytes) -> bool:
        self.story.append(("tun", packet))
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
        "RemoveInbound",
        "MovePath",
        "GiveUp",
        ("keepalive", PATH),
    ]


def test_the_message_behind_an_installation_waits_for_its_acknowledgement() -> None:
    world = World(acknowledge=False)
    world.conductor.perform([INBOUND, effects.Send(b"response", PATH)], 1.0)
    world.conductor.perform([effects.Send(b"later", PATH)], 1.0)
    assert world.story == ["InstallInbound"]
    world.conductor.results([messages.Done(1)], 2.0)
    assert world.story == ["InstallInbound", ("send", b"response"), ("send", b"later")]


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
            ),
        ),
        (
            messages.Acquire("to-hq/1", ip_address("10.1.0.2"), ip_address("10.2.0.2"), 1, None, 8 * 256),
            ("acquire", "to-hq/1", (Selector.net("10.1.0.2", 1), Selector.net("10.2.0.2", 1, (2_048, 2_048)))),
        ),
        (messages.InboundUsed(0xC0000001), ("inbound_used", OURS)),
        (messages.SoftExpired(0xC0000001, "seconds"), ("soft_expired", OURS)),
        (messages.HardExpired(0xC0000001, "octets"), ("hard_expired", OURS)),
        (messages.PeerMoved(0xC0000001, OUTSIDE), ("peer_moved", OURS, PATH)),
        (messages.PeerAlive((0xC0000001, 0xD0000002)), ("peer_alive", (OURS, PEERS))),
    ],
)
def test_what_the_roads_report_reaches_the_negotiation_and_its_answer_is_carried_out(result: Any, told: Any) -> None:
    world = World()
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


def test_counters_are_kept_for_whoever_asked() -> None:
    world = World()
    counters = messages.Counters((), {"runt": 3}, {}, {})
    world.conductor.results([counters], 1.0)
    assert world.conductor.counters is counters


def test_the_spis_we_send_with_are_known_until_their_last_sa_goes() -> None:
    world = World()
    conductor = world.conductor
    conductor.perform([OUTBOUND], 1.0)
    assert conductor.sends_with(PEERS)
    assert not conductor.sends_with(OURS)
    conductor.perform([effects.RemoveOutbound(PEERS, PEERS)], 1.0)
    assert conductor.sends_with(PEERS)
    conductor.perform([effects.RemoveOutbound(PEERS, OURS), effects.RemoveOutbound(PEERS, OURS)], 1.0)
    assert not conductor.sends_with(PEERS)


def test_an_installation_that_is_a_fault_blocks_nothing_behind_it() -> None:
    world = World()
    handle, world.handle = world.handle, None  # type: ignore[assignment, method-assign]  # calling it is the fault
    with pytest.raises(TypeError):
        world.conductor.perform([INBOUND], 1.0)
    world.handle = handle  # type: ignore[method-assign]  # as it was
    world.conductor.perform([effects.Keepalive(PATH)], 2.0)
    assert world.story == [("keepalive", PATH)]


def test_the_queue_survives_a_fault_in_the_middle() -> None:
    world = World()
    world.send = None  # type: ignore[assignment, method-assign]  # calling it is the fault
    with pytest.raises(TypeError):
        world.conductor.perform([effects.Send(b"bad", PATH), effects.Keepalive(PATH)], 1.0)
    world.conductor.perform([], 2.0)
    assert world.story == [("keepalive", PATH)]
