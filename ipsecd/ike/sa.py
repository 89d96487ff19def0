"""One IKE SA: its stage, its keys, its path, its queue of tasks, and the children made under it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from functools import partial

from ipsecd import limits
from ipsecd.crypto.keymat import IkeKeys
from ipsecd.errors import LocalError
from ipsecd.ike import contact, moving, reports, upgrade
from ipsecd.ike.agenda import Agenda
from ipsecd.ike.carriage import Carriage
from ipsecd.ike.child_sa import ChildSa, ChildStage
from ipsecd.ike.config import Path, Peer, Version
from ipsecd.ike.contact import Call
from ipsecd.ike.core import Core
from ipsecd.ike.effects import Send
from ipsecd.ike.fragments import Reassembly, largest_message
from ipsecd.ike.keylog import log_ike_keys
from ipsecd.ike.lifetimes import soft_seconds
from ipsecd.ike.liveness import Liveness
from ipsecd.ike.nat import NONE
from ipsecd.ike.pad import Claim
from ipsecd.ike.protect import Envelope, Protection, Secured
from ipsecd.ike.sessions import Sessions
from ipsecd.ike.stage import Rival, Stage
from ipsecd.ike.suites import IkeSuite
from ipsecd.ike.table import Filed
from ipsecd.ike.task import Task
from ipsecd.ike.timers import Timer
from ipsecd.ike.v2.informational import DeleteChildren, DeleteIke
from ipsecd.ike.v2.rekey_child import RekeyChild
from ipsecd.ike.v2.rekey_ike import RekeyIke
from ipsecd.ike.window import REKEY_MESSAGE_ID, Window
from ipsecd.wire.payloads import AnyPayload
from ipsecd.wire.registry import Exchange, Protocol


class IkeSa:
    """``initiator``: we are the original initiator, so the first SPI is ours (RFC 7296 section 2.2). ``candidate``:
    it's one of the answers to our IKE_SA_INIT, of which at most one will be established (2.4)."""

    version = Version.IKEV2
    stage = Filed[Stage]()
    peers = Filed[tuple[Peer, ...]]()  # what its credential has opened; the first is whom it belongs to

    def __init__(
        self, core: Core, path: Path, *, initiator: bool, spi_i: bytes, spi_r: bytes, candidate: bool = False
    ) -> None:
        self.core = core
        self.path = self.first_path = path
        self.initiator = initiator
        self.spi_i, self.spi_r = spi_i, spi_r
        self.stage = Stage.CONNECTING if initiator else Stage.HALF_OPEN
        self.peers = ()
        self.children: dict[bytes, ChildSa] = {}
        self.sessions = Sessions()
        self.first = True  # made by IKE_SA_INIT, not by a rekey
        self.called_off = False  # our call isn't wanted any more
        self.answered = False  # somebody has answered our IKE_SA_INIT, and may prove to be the peer
        self.heard_back = False  # something of IKEv2 has come back to our call, whoever has said it
        self.call: Call | None = None  # how it, or the first of those it is an heir of, was established
        self.messages = (b"", b"")  # of IKE_SA_INIT, until both have proven that they sent them
        self.claim: Claim | None = None
        self.nat = NONE
        self.carriage = Carriage()
        self.fragmentation = False
        self.begun = core.now
        self.established: float | None = None
        self.window = Window(core, self.transmit, self._gave_up, first=0)
        self.reassembly = Reassembly(core)
        self.liveness = Liveness(self)
        self.active: Task | None = None
        self.heir: IkeSa | None = None
        self.old: IkeSa | None = None  # the SA a rekey made it of, until that ends or the peer speaks by this one
        self.rival: Rival | None = None
        # outbound SPIs whose Delete overtook the response that made them
        self.deleted_early: deque[tuple[Protocol, bytes]] = deque(maxlen=limits.DELETES_REMEMBERED)
        self.soft_at: float | None = None
        self._secured: Secured | None = None
        self.agenda = Agenda(core, self.submit)
        self._timers: list[Timer] = []
        if candidate:
            core.candidates[spi_i, spi_r] = self
        else:
            core.ikes.enter(self)

    @property
    def spi(self) -> bytes:
        """Our own SPI."""
        return self.spi_i if self.initiator else self.spi_r

    @property
    def peer(self) -> Peer:
        return self.peers[0]

    @property
    def name(self) -> str:
        """The peer's name in reports, before it's known its address."""
        return self.peers[0].name if self.peers else str(self.path.remote)

    @property
    def connecting(self) -> bool:
        """Whether it's a call of ours that is under way."""
        return self.stage is Stage.CONNECTING

    @property
    def live(self) -> bool:
        """Whether it can carry what is still to be negotiated."""
        return self.stage in {Stage.CONNECTING, Stage.ESTABLISHED}

    @property
    def settled(self) -> bool:
        """Whether it is, or was, the IKE SA with this peer."""
        return self.established is not None

    @property
    def latest(self) -> IkeSa:
        """The heir of its heirs, or itself."""
        return self if self.heir is None else self.heir.latest

    # --- keys and messages ---

    def secure(self, suite: IkeSuite, keys: IkeKeys, nonces: tuple[bytes, bytes]) -> None:
        """From now on messages are sealed."""
        protection = Protection(suite, keys, self.core.entropy, initiator=self.initiator)
        self._secured = Secured(suite, keys, nonces, protection)

    @property
    def has_keys(self) -> bool:
        return self._secured is not None

    @property
    def secured(self) -> Secured:
        if self._secured is None:
            raise LocalError("this IKE SA has no keys yet")
        return self._secured

    def transmit(self, datagrams: tuple[bytes, ...], path: Path | None = None) -> None:
        for datagram in datagrams:
            self.core.emit(Send(datagram, path or self.path))

    def respond(self, exchange: Exchange, payloads: tuple[AnyPayload, ...], path: Path) -> None:
        """Answer the request of the expected message ID, to where it came from."""
        datagrams = self._seal(exchange, self.window.expected, payloads, response=True)
        self.window.answer(datagrams)
        self.transmit(datagrams, path)

    def _seal(
        self, exchange: Exchange, message_id: int, payloads: tuple[AnyPayload, ...], *, response: bool
    ) -> tuple[bytes, ...]:
        envelope = Envelope(self.spi_i, self.spi_r, exchange, self.initiator, response, message_id)
        largest = largest_message(self.path) if self.fragmentation else None
        return self.secured.protection.seal(envelope, payloads, largest)

    # --- tasks ---

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All there are: the one under way, those in line, those put off."""
        return (*([self.active] if self.active else []), *self.agenda)

    def submit(self, task: Task, delay: float = 0.0) -> None:
        """Queue a task, now or after about ``delay``; the heir takes it if there is one."""
        sa = self.latest
        if not sa.live:
            task.abandon(sa, "the IKE SA is closing")
        elif delay:
            sa.agenda.put_off(task, delay)
        else:
            sa.agenda.add(task)
            sa.pump()

    def pump(self) -> None:
        """Send the next request if none is on its way: our window is one."""
        while self.window.idle and self.stage in (Stage.ESTABLISHED, Stage.CLOSING):
            task = self.agenda.next()
            if task is None:
                return
            self.run(task)

    def run(self, task: Task) -> None:
        """Send a task's request now."""
        payloads = task.build(self)
        if payloads is None:
            return
        self.active = task
        message_id = self.window.next_request
        self.window.request(self._seal(task.response.exchange, message_id, payloads, response=False), task.tries)
        if message_id == REKEY_MESSAGE_ID:
            self.submit(RekeyIke())

    def finish(self) -> Task | None:
        """The active task's response is here; None if nobody waits for it any more."""
        self.window.drop_request()
        task, self.active = self.active, None
        return task

    @property
    def rekeying(self) -> bool:
        """Our request for the successor of this IKE SA is on its way."""
        return self.active is not None and self.active.on_ike and self.stage is Stage.ESTABLISHED

    @property
    def changing_children(self) -> bool:
        """Our request that makes, rekeys or ends a child SA is on its way."""
        return self.active is not None and self.active.on_child

    # --- stages ---

    def establish(self, peers: tuple[Peer, ...]) -> None:
        """The peer has proven who it is."""
        self.core.candidates.pop((self.spi_i, self.spi_r), None)
        self.core.ikes.enter(self)
        self.peers = peers
        self.messages = (b"", b"")
        self.settle()
        self.call = Call(self.initiator, self.begun, self.core.now, min(self.secured.nonces))
        self.core.report("ike-established", "info", **self.story())
        upgrade.begin(self)

    def settle(self) -> None:
        """It is the IKE SA with this peer from now on."""
        self.stage = Stage.ESTABLISHED
        self.established = self.core.now
        log_ike_keys(self)
        if (seconds := self.peer.lifetime.seconds) is not None:
            soft = soft_seconds(seconds, self.core.fraction())
            self.soft_at = self.core.now + soft
            self._timers.append(self.core.after(soft, lambda: self.submit(RekeyIke())))
            self._timers.append(self.core.after(seconds, partial(self.close, "its lifetime is over")))
        self.liveness.start()
        self.core.silence.heard(self)
        contact.make_room(self)

    def successor(self, *, initiator: bool, spi_i: bytes, spi_r: bytes) -> IkeSa:
        """A new IKE SA with the same peer, authenticated by this one (RFC 7296 section 2.18). It has nothing yet, and
        may turn out to be one too many."""
        new = IkeSa(self.core, self.path, initiator=initiator, spi_i=spi_i, spi_r=spi_r)
        new.first = False
        new.stage = Stage.SPARE
        new.peers = self.peers
        new.call = self.call
        new.nat, new.fragmentation, new.carriage = self.nat, self.fragmentation, self.carriage
        new.old = self
        return new

    def await_delete(self) -> None:
        """Nothing is left to do with it but to answer, and the peer is to delete it."""
        self._stop_timers()
        self.old = None
        self._timers.append(self.core.after(limits.REPLACED_KEPT, self.vanish))

    def give_way(self, other: IkeSa) -> None:
        """The peer's call came through before ours was answered: what we called for is done there."""
        other.take_tasks(self.hand_in())

    def hand_in(self) -> tuple[Task, ...]:
        """It ends, and what was to do on it is done elsewhere."""
        tasks = self._drop_tasks()
        self.vanish()
        return tasks

    def take_tasks(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            left = task.elsewhere()
            if left is not None:
                self.submit(left)

    def close(self, reason: str) -> None:
        """End it from our side: children go at once, the peer is told."""
        if self.stage is Stage.ESTABLISHED:
            self.core.report("ike-closed", "info", **self.story(), reason=reason)
        if self.rival is not None:
            self.rival.sa.close(reason)
            self.rival = None
        if self.stage in (Stage.ESTABLISHED, Stage.REPLACED, Stage.SPARE):
            self._delete(reason)
        elif self.stage in (Stage.CONNECTING, Stage.HALF_OPEN):
            self.called_off = True
            self.vanish(reason)

    def _delete(self, reason: str) -> None:
        self._stop_timers()
        # the response to a request still on its way no longer matters, but it must come first: the window is one. Only
        # an heir that it makes does: it has to be closed too
        rekey = self.active if self.rekeying else None
        if rekey is not None:
            self.active = None
        self.stage = Stage.CLOSING
        self._let_go(reason)
        self.active = rekey
        self.agenda.add(DeleteIke())
        self.pump()

    def reject(self, complaint: Task, reason: str) -> None:
        """What answered us isn't who it should be: say so once, and forget it whatever it replies (2.21.2)."""
        self._stop_timers()
        self.stage = Stage.CLOSING
        self._let_go(reason)
        self.run(complaint)

    def vanish(self, reason: str = "the IKE SA has ended", linger: float = 0.0) -> None:
        """End it without telling the peer. ``linger``: answer repeats of the last request for so long, in case the
        peer didn't get our last response."""
        if self.stage is Stage.GONE:
            return
        self._stop_timers()
        self.stage = Stage.GONE
        self._let_go(reason)
        self.window.drop_request()
        self.reassembly.clear()
        if self.heir is not None:
            self.heir.old = None
        if self.rival is not None:
            self.rival.sa.vanish()
        if self._secured is not None:
            self._secured.keys.wipe()
        if linger:
            self.core.after(linger, self._forget)
        else:
            self._forget()

    def _let_go(self, reason: str) -> None:
        """Of children and of tasks. It ends whatever goes wrong with one of them."""
        guarded, wanted = self.core.guarded, self.core.wanted
        lost = list(self.children.values())
        for child in lost:
            guarded("the end of a child SA", child.cut_off)
        for task in self._drop_tasks():
            guarded("the end of a task", partial(task.abandon, self, reason))
        for child in lost:
            guarded("the end of a child SA", partial(wanted.lost, child.config.id))

    def _drop_tasks(self) -> tuple[Task, ...]:
        """All there were, in their order."""
        tasks, self.active = self.tasks, None
        self.agenda.hand_in()
        return tasks

    def _forget(self) -> None:
        self.core.candidates.pop((self.spi_i, self.spi_r), None)
        self.core.ikes.leave(self)

    def _gave_up(self) -> None:
        reason = "the peer doesn't answer"
        if self.stage is Stage.ESTABLISHED:
            reports.ike_failed(self.core, "peer-dead", self.peer, reports.PEER, reason)
        self.vanish(reason)

    def _stop_timers(self) -> None:
        self.liveness.stop()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    # --- children ---

    def rekey_child(self, child: ChildSa, delay: float = 0.0) -> None:
        if child.stage is ChildStage.UP and not child.rekeying:
            self.submit(RekeyChild(child), delay)

    def delete_child(self, child: ChildSa) -> None:
        """Ask the peer to end a child SA with us; we go on receiving until it has."""
        if child.lasts:
            child.stage = ChildStage.DELETING
            self.submit(DeleteChildren((child,)))

    def expire_child(self, child: ChildSa, *, lost: bool = False) -> None:
        """Its hard limit is reached, or it is ``lost``: the data plane knows it no more."""
        self.core.report("child-lost" if lost else "child-expired", "warning", **child.story())
        child.expire()
        self.delete_child(child)
        self.core.wanted.lost(child.config.id)

    # --- path ---

    def heard(self, path: Path) -> None:
        """A fresh authentic message came along this path."""
        if self.stage is Stage.ESTABLISHED:
            self.old = None
        self.liveness.heard()
        self.core.silence.heard(self)
        if path != self.path and moving.follows(self, path):
            moving.move(self, path)

    # --- telling ---

    def story(self) -> dict[str, object]:
        """What reports say of it."""
        return reports.story_of(self)
