"""The state of IKEv1 as plain values, for ``ipsecctl``: in the words that there are for IKEv2."""

from __future__ import annotations

from collections.abc import Iterator

from ipsecd.ike.config import Path
from ipsecd.ike.core import Core
from ipsecd.ike.parts import called
from ipsecd.ike.stage import Stage
from ipsecd.ike.status import ChildSaStatus, IkeSaStatus, PartStatus
from ipsecd.ike.v1 import fragments, telling
from ipsecd.ike.v1.door import Door, Visit
from ipsecd.ike.v1.live_pair import LivePair
from ipsecd.ike.v1.parties import Parties
from ipsecd.ike.v1.party import Party
from ipsecd.ike.v1.session import Session
from ipsecd.wire import vendor_ids
from ipsecd.wire.hostpair import hosts_named


def describe(core: Core, parties: Parties, door: Door) -> list[IkeSaStatus]:
    """ISAKMP SAs, calls under way, and phase 1s that others have begun. Pairs of SAs stand beside the newest ISAKMP SA
    if theirs is gone."""
    found = [each for party in parties for each in _of_party(core, party)]
    return found + [_of_visit(visit) for visit in door.half_open]


def _of_party(core: Core, party: Party) -> Iterator[IkeSaStatus]:
    sessions, pairs = party.sessions, party.association.pairs
    calls = party.association.calls
    if calls.calling:
        yield _call(core, party, () if sessions else pairs)
    elif not sessions and pairs:
        yield _bare(core, party, pairs)
    for session in sessions:
        last = session is sessions[-1]
        own = [live for live in pairs if live.session is session or (last and live.session not in sessions)]
        yield _session(core, party, session, own)


def _session(core: Core, party: Party, session: Session, pairs: list[LivePair]) -> IkeSaStatus:
    sa = session.sa
    stage = Stage.ESTABLISHED if session.admitted else Stage.HALF_OPEN
    return IkeSaStatus(
        peer=party.name,
        pattern=party.first.pattern,
        patterns=_patterns(party),
        stage=stage.value,
        initiator=sa.initiator,
        local_id=str(party.first.local_id),
        remote_id=str(sa.remote_id),
        local=str(sa.path.local),
        remote=str(sa.path.remote),
        spi_i=sa.cookies[0].hex(),
        spi_r=sa.cookies[1].hex(),
        suite=str(sa.suite),
        nat_here=sa.nat is not None and sa.nat.here,
        nat_there=sa.nat is not None and sa.nat.there,
        encapsulation=telling.encapsulation(udp=sa.in_udp),
        fragmentation=fragments.joins(sa.vendor_ids),
        age=core.now - session.since,
        unanswered=None,
        rekey_in=session.since + session.soft - core.now,
        children=tuple(_child(core, party, live) for live in pairs),
        version=telling.VERSION,
        product=vendor_ids.product(sa.vendor_ids),
        user=sa.user,
        given=tuple(map(str, session.leased or party.given)),
    )


def _call(core: Core, party: Party, pairs: tuple[LivePair, ...]) -> IkeSaStatus:
    calls = party.association.calls
    unanswered = None if calls.answered else core.now - calls.begun
    return _unknown(core, party, party.calling.path, Stage.CONNECTING, party.calling.cookie, pairs, unanswered)


def _bare(core: Core, party: Party, pairs: tuple[LivePair, ...]) -> IkeSaStatus:
    """SAs are left, and the ISAKMP SA that has made them isn't there any more."""
    return _unknown(core, party, pairs[-1].pair.path, Stage.REPLACED, b"", pairs, None)


def _unknown(
    core: Core,
    party: Party,
    path: Path,
    stage: Stage,
    cookie: bytes,
    pairs: tuple[LivePair, ...],
    unanswered: float | None,
) -> IkeSaStatus:
    return IkeSaStatus(
        peer=party.name,
        pattern=party.first.pattern,
        patterns=_patterns(party),
        stage=stage.value,
        initiator=True,
        local_id="",
        remote_id="",
        local=str(path.local),
        remote=str(path.remote),
        spi_i=cookie.hex(),
        spi_r="",
        suite="",
        nat_here=False,
        nat_there=False,
        encapsulation=telling.encapsulation(udp=path.natt),
        fragmentation=False,
        age=None,
        unanswered=unanswered,
        rekey_in=None,
        children=tuple(_child(core, party, live) for live in pairs),
        version=telling.VERSION,
    )


def _of_visit(visit: Visit) -> IkeSaStatus:
    return IkeSaStatus(
        peer=str(visit.path.remote),
        pattern="",
        patterns=frozenset(),
        stage=Stage.HALF_OPEN.value,
        initiator=False,
        local_id="",
        remote_id="",
        local=str(visit.path.local),
        remote=str(visit.path.remote),
        spi_i=visit.cookies[0].hex(),
        spi_r=visit.cookies[1].hex(),
        suite="",
        nat_here=False,
        nat_there=False,
        encapsulation=telling.encapsulation(udp=visit.path.natt),
        fragmentation=False,
        age=None,
        unanswered=None,
        rekey_in=None,
        children=(),
        version=telling.VERSION,
    )


def _patterns(party: Party) -> frozenset[str]:
    named = (hosts_named(child.name) for peer, child in party.children.values() if peer.pattern)
    return frozenset(of_hosts[0] for of_hosts in named if of_hosts is not None)


def _child(core: Core, party: Party, live: LivePair) -> ChildSaStatus:
    pair = live.pair
    _, child = party.known(pair.terms.child)
    age, (soft, hard) = core.now - live.since, pair.limits[-1]
    around = tuple(PartStatus(str(part.protocol), part.spi_in.hex(), part.spi_out.hex()) for part in pair.parts[:-1])
    return ChildSaStatus(
        id=child.id,
        name=child.name,
        rule=child.rule,
        stage=live.stage.value,
        spi_in=pair.parts[-1].spi_in.hex(),
        spi_out=pair.parts[-1].spi_out.hex(),
        sending=live.sending,
        suite=str(pair.suite),
        protocol=called(pair.parts),
        mode=telling.mode_of(pair),
        encapsulation=telling.encapsulation(udp=pair.path.natt),
        around=around,
        local=(pair.ends.local,),
        remote=(pair.ends.remote,),
        age=age,
        rekey_in=None if soft.seconds is None else soft.seconds - age,
        lifetime=hard.seconds,
        tfc=pair.tfc,
        padding_declined=pair.padding_declined,
    )
