"""INFORMATIONAL: deletes, liveness probes, and what the peer tells us (RFC 7296 sections 1.4 and 2.25)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ipsecd import limits
from ipsecd.ike import reports
from ipsecd.ike.child_sa import ChildSa, ChildStage
from ipsecd.ike.exchange import INFORMATIONAL_RESPONSE, Admitted
from ipsecd.ike.succession import hand_over
from ipsecd.ike.task import Task
from ipsecd.ike.v2.reply import Reply
from ipsecd.wire.payloads import AnyPayload, Delete, Notify
from ipsecd.wire.registry import NotifyType, Protocol

if TYPE_CHECKING:
    from ipsecd.ike.sa import IkeSa

_FATAL = (NotifyType.AUTHENTICATION_FAILED, NotifyType.INVALID_SYNTAX, NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD)


class Informational(Task):
    response = INFORMATIONAL_RESPONSE


class Probe(Informational):
    """An empty request: is the peer there? (2.4)"""

    tries = limits.DPD_TRIES

    def build(self, sa: IkeSa) -> tuple[AnyPayload, ...]:
        return ()

    def process(self, sa: IkeSa, answer: Admitted) -> None:
        """That it came is all it says."""

    def elsewhere(self) -> None:
        """A new SA has just shown that the peer is there."""


class DeleteIke(Informational):
    """The last request on an IKE SA (1.4.1, 2.8)."""

    def build(self, sa: IkeSa) -> tuple[AnyPayload, ...]:
        return (Delete(Protocol.IKE),)

    def process(self, sa: IkeSa, answer: Admitted) -> None:
        sa.vanish()


class Complain(Informational):
    """The responder's IKE_AUTH response was no good: tell it so and forget the SA (2.21.2)."""

    tries = limits.DPD_TRIES

    def build(self, sa: IkeSa) -> tuple[AnyPayload, ...]:
        return (Notify(NotifyType.AUTHENTICATION_FAILED),)

    def process(self, sa: IkeSa, answer: Admitted) -> None:
        sa.vanish()


class Supersede(Informational):
    """The last thing to do on an IKE SA that was made to replace another: close that (2.8.3). Nothing is said by this
    one."""

    def __init__(self, old: IkeSa) -> None:
        self.old = old

    def build(self, sa: IkeSa) -> None:
        if any(child.usable for child in sa.children.values()):
            self.old.latest.close("a new one has taken its place")
        else:
            sa.close("it was to take the place of another, and got no child")

    def process(self, sa: IkeSa, answer: Admitted) -> None:
        """Nothing was asked."""


class DeleteChildren(Informational):
    """End child SAs: each side names its inbound halves (1.4.1)."""

    on_child = True

    def __init__(self, children: tuple[ChildSa, ...]) -> None:
        self._children = children

    def build(self, sa: IkeSa) -> tuple[AnyPayload, ...] | None:
        return deletes(child for child in self._children if child.stage is ChildStage.DELETING) or None

    def process(self, sa: IkeSa, answer: Admitted) -> None:
        for child in self._children:
            child.close()


class DeleteUnmade(Informational):
    """The peer has made a child SA that we can't accept: our half of it is named to be rid of the peer's (2.21)."""

    on_child = True

    def __init__(self, spi: bytes, protocols: tuple[Protocol, ...]) -> None:
        self._spi = spi
        self._protocols = protocols

    def build(self, sa: IkeSa) -> tuple[AnyPayload, ...]:
        return tuple(Delete(protocol, (self._spi,)) for protocol in self._protocols)

    def process(self, sa: IkeSa, answer: Admitted) -> None:
        """Nothing of it was installed here."""


def answer_informational(sa: IkeSa, request: Admitted) -> Reply:
    """Deletes first, then what the notifies say."""
    if any(delete.protocol == Protocol.IKE for delete in request.deletes):
        return Reply((), lambda: _ike_deleted(sa))
    fatal = next((notify for notify in request.notifies if notify.type in _FATAL), None)
    if fatal is not None:
        return Reply((), lambda: ike_refused(sa, fatal))
    if request.error is not None:
        sa.core.report("peer-complains", "warning", **sa.story(), reason=reports.meaning(request.error))
    return Reply(_close_children(sa, request))


def deletes(children: Iterable[ChildSa]) -> tuple[Delete, ...]:
    """Our halves of these child SAs: of AH with ESP both, which go together."""
    named: dict[Protocol, list[bytes]] = {}
    for part in (part for child in children for part in reversed(child.parts)):
        named.setdefault(part.protocol, []).append(part.spi_in)
    return tuple(Delete(protocol, tuple(spis)) for protocol, spis in named.items())


def _close_children(sa: IkeSa, request: Admitted) -> tuple[Delete, ...]:
    """Our halves of the named SAs, for those that we aren't deleting ourselves (1.4.1)."""
    named = dict.fromkeys((delete.protocol, spi) for delete in request.deletes for spi in delete.spis)
    ours = {(part.protocol, part.spi_out): child for child in sa.children.values() for part in child.parts}
    closed: list[ChildSa] = []
    for name in named:
        child = ours.get(name)
        if child is None:
            _unknown(sa, *name)
            continue
        if child.stage is ChildStage.GONE:
            continue  # both of AH with ESP are named
        if child.stage is not ChildStage.DELETING:
            closed.append(child)
        if child.successor is None:
            # if we were rekeying it too, the peer saw only its own attempt (2.8.1): that one is the successor
            child.settle_rival()
        deleted_by_peer(sa, child)
    return deletes(closed)


def deleted_by_peer(sa: IkeSa, child: ChildSa) -> None:
    replaced = child.successor is not None
    wanted = child.stage is not ChildStage.DELETING and not replaced
    child.close()
    if wanted:
        sa.core.report("child-closed", "info", **child.story(), reason="the peer deleted it")
        sa.core.wanted.lost(child.config.id)


def _unknown(sa: IkeSa, protocol: Protocol, spi: bytes) -> None:
    """Either it went long ago, or its Delete has overtaken the response that makes it."""
    sa.core.drop("delete-of-unknown-spi")
    if sa.changing_children:
        sa.deleted_early.append((protocol, spi))


def _ike_deleted(sa: IkeSa) -> None:
    """The peer closed the IKE SA (2.25.2): whatever we were about to do with it is forgotten."""
    if sa.live and sa.rival is not None and sa.rival.stands:
        # it never saw our rekey, so its own made the heir (2.8.2)
        hand_over(sa, sa.rival.sa)
    elif sa.heir is None and sa.settled and sa.live:
        sa.core.report("ike-closed", "info", **sa.story(), reason="the peer deleted it")
    sa.vanish("the peer deleted the IKE SA", linger=limits.IKE_LINGER)


def ike_refused(sa: IkeSa, notify: Notify) -> None:
    """Fatal on both sides, without a Delete (2.21.2, 2.21.3)."""
    reason = reports.meaning(notify)
    reports.ike_failed(sa.core, "ike-refused", sa.peer, reports.PEER, reason)
    sa.vanish(reason, linger=limits.IKE_LINGER)
