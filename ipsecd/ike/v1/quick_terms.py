"""What quick modes are held to, and what they are for: the traffic that both ends name (RFC 2409 section 5.5), in the
mode that the path has (RFC 3947 section 5).

A responder can't narrow what it's asked for: it takes it whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ipsecd.errors import PeerError, Refused
from ipsecd.ike.config import Lifetime
from ipsecd.ike.narrowing import covers, meets
from ipsecd.ike.suites import ChildSuite, EspSuite
from ipsecd.ike.v1.child_offers import Choice, choose
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.rows import Admitted
from ipsecd.wire.form import TUNNEL, Form
from ipsecd.wire.ikev1_identity import Id
from ipsecd.wire.ikev1_payloads import NatOa, Sa
from ipsecd.wire.registry_v1 import Encapsulation, NotifyType
from ipsecd.wire.selector import Address, Selector
from ipsecd.wire.tfc import NO_TFC, Tfc


@dataclass(frozen=True, slots=True)
class QuickTerms:
    """One child and the SAs that it may have. ``suites`` are in order of preference, and those alone that the path can
    carry. ``local`` and ``remote`` are the widest selectors it may ever have. ``transport``: it's for two hosts, and we
    offer transport mode alone; whoever asks for tunnel mode gets that. ``idle``: SAs that nothing goes by for so many
    seconds end; None: none does. ``keylog``: their keys are reported for export. ``tfc`` hides what we send by ESP.
    ``udp``, ``native``: how packets may travel."""

    child: str
    peer: str
    suites: tuple[ChildSuite, ...]
    local: tuple[Selector, ...]
    remote: tuple[Selector, ...]
    lifetime: Lifetime
    transport: bool = False
    idle: float | None = None
    keylog: bool = False
    tfc: Tfc = NO_TFC
    udp: bool = True
    native: bool = True

    def allow(self, suite: ChildSuite, ends: Ends) -> bool:
        """Whether SAs with this suite, for this traffic, may be as they are."""
        return suite in self.suites and (self.transport or not ends.form.transport) and _covered(self, ends)


@dataclass(frozen=True, slots=True)
class Ends:
    """The traffic of one pair of SAs, in our eyes, and how its packets are made."""

    local: Selector
    remote: Selector
    form: Form = TUNNEL


def for_addresses(terms: tuple[QuickTerms, ...], addresses: tuple[Address, ...]) -> tuple[QuickTerms, ...]:
    """As much of these terms as a peer may have that has been given these addresses."""
    hosts = tuple(Selector(each, each) for each in addresses)
    narrowed = ((each, tuple(host for host in hosts if covers(each.remote, (host,)))) for each in terms)
    return tuple(replace(each, remote=remote) for each, remote in narrowed if remote)


def carried(sa: IsakmpSa, terms: QuickTerms) -> QuickTerms:
    """As much of these terms as the path of this ISAKMP SA can carry: AH doesn't pass NATs, nor does it go in UDP."""
    if not sa.in_udp:
        return terms if terms.native else replace(terms, suites=())
    if not terms.udp:
        return replace(terms, suites=())
    return replace(terms, suites=tuple(suite for suite in terms.suites if isinstance(suite, EspSuite)))


def not_carried(sa: IsakmpSa, terms: QuickTerms) -> str:
    """Why that is nothing, for people."""
    if not sa.in_udp:
        return "the peer can't carry ESP in UDP, and there is nothing else here: by the rule, or without raw sockets"
    if not terms.udp:
        return "all goes in UDP here, as there is a NAT or one side wants it so: the rule has native packets only"
    return "AH can't be carried: all goes in UDP here, as there is a NAT or one side wants it so"


def mode(sa: IsakmpSa, *, transport: bool) -> Encapsulation:
    """RFC 3947 section 5.1."""
    if sa.in_udp and sa.revision is not None:
        return sa.revision.udp_transport if transport else sa.revision.udp_tunnel
    return Encapsulation.TRANSPORT if transport else Encapsulation.TUNNEL


def originals(sa: IsakmpSa, ends: Ends, *, initiator: bool) -> tuple[NatOa, ...]:
    """NAT-OAi and NAT-OAr, as the addresses are here: of transport mode in UDP alone (RFC 3947 section 5.2)."""
    if not ends.form.transport or sa.revision is None or not sa.in_udp:
        return ()
    here, there = sa.path.local.address, sa.path.remote.address
    return tuple(NatOa(each, sa.revision.nat_oa) for each in ((here, there) if initiator else (there, here)))


# --- as the initiator ---------------------------------------------------------------------------------------------


def confirmed(sa: IsakmpSa, ends: Ends, answer: Admitted) -> Ends:
    """What the answer is for. PeerError("other-identities") unless it's what we have asked for; in transport mode each
    end may write the addresses that it sees."""
    said = _said(answer, initiator=True)
    if said is not None and said != (ends.local, ends.remote) and not (ends.form.transport and _same(ends, said)):
        raise PeerError("other-identities", f"the answer is for {said[0]} = {said[1]}")
    return _with_original(sa, ends, _said_originals(answer, initiator=True))


def _same(ends: Ends, said: tuple[Selector, Selector]) -> bool:
    pairs = zip((ends.local, ends.remote), said, strict=True)
    return all(each.start == each.end and replace(each, start=our.start, end=our.end) == our for our, each in pairs)


# --- as the responder ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Granted:
    terms: QuickTerms
    ends: Ends
    choice: Choice


def grant(sa: IsakmpSa, request: Admitted, terms: tuple[QuickTerms, ...]) -> Granted:
    """What we make of a request: transport mode before tunnel mode, then the order of ``terms``.

    Refused("no-such-traffic" | "no-proposal-chosen") with its notify, PeerError for identities that can't be."""
    offered, refusals = request.one(Sa), []
    for each, ends in _allowed(sa, request, terms):
        try:
            return Granted(each, ends, choose(offered, each.suites, mode(sa, transport=ends.form.transport)))
        except Refused as refusal:
            refusals.append(refusal)
    if refusals:
        raise refusals[-1]
    said = _said(request, initiator=False)
    asked = f"{said[0]} here and {said[1]} there" if said else "all between us"
    raise Refused(
        "no-such-traffic",
        f"the peer asks for {asked}, which no rule has whole",
        notify=NotifyType.INVALID_ID_INFORMATION,
    )


def _allowed(sa: IsakmpSa, request: Admitted, terms: tuple[QuickTerms, ...]) -> Iterator[tuple[QuickTerms, Ends]]:
    said = _said(request, initiator=False)
    between = Selector(*_twice(sa.path.local.address)), Selector(*_twice(sa.path.remote.address))
    local, remote = said or between
    hosts = _seen(sa, local, remote)
    if _addresses(*hosts) == _addresses(*between):
        ends = Ends(*hosts, Form(transport=True))
        written = _said_originals(request, initiator=False) or (remote.start, local.start)
        ends = _with_original(sa, ends, written)
        yield from ((each, ends) for each in terms if each.transport and _covered(each, ends))
    ends = Ends(local, remote)
    yield from ((each, ends) for each in terms if _covered(each, ends))


def _covered(terms: QuickTerms, ends: Ends) -> bool:
    ours, theirs = (ends.local,), (ends.remote,)
    return meets(ours, theirs) and covers(terms.local, ours) and covers(terms.remote, theirs)


def _seen(sa: IsakmpSa, local: Selector, remote: Selector) -> tuple[Selector, Selector]:
    """Hosts where a NAT changes the addresses that the peer writes, with those that we see."""
    if sa.nat is None or local.start != local.end or remote.start != remote.end:
        return local, remote
    here, there = _twice(sa.path.local.address), _twice(sa.path.remote.address)
    return (
        replace(local, start=here[0], end=here[1]) if sa.nat.here else local,
        replace(remote, start=there[0], end=there[1]) if sa.nat.there else remote,
    )


# --- both -----------------------------------------------------------------------------------------------------------


def _said(admitted: Admitted, *, initiator: bool) -> tuple[Selector, Selector] | None:
    """Our side of IDci and IDcr, then the peer's; None without them: the traffic is all between the two ends of the
    ISAKMP SA. ``initiator``: we are."""
    ids = admitted.all(Id)
    if not ids:
        return None
    if len(ids) != 2:
        raise PeerError("bad-identities", f"{len(ids)} identities", notify=NotifyType.INVALID_ID_INFORMATION)
    of_i, of_r = (each.selector for each in ids)
    if of_i is None or of_r is None:
        raise PeerError("bad-identities", "a name selects no packets", notify=NotifyType.INVALID_ID_INFORMATION)
    return (of_i, of_r) if initiator else (of_r, of_i)


def _said_originals(admitted: Admitted, *, initiator: bool) -> tuple[Address, Address] | None:
    """Source and destination of what the peer sends, as it sees them. Drafts have but one of both, which is too little
    to make checksums with."""
    said = admitted.all(NatOa)
    if len(said) != 2:
        return None
    of_i, of_r = (each.address for each in said)
    return (of_r, of_i) if initiator else (of_i, of_r)


def _with_original(sa: IsakmpSa, ends: Ends, original: tuple[Address, Address] | None) -> Ends:
    if not ends.form.transport or original in (None, (sa.path.remote.address, sa.path.local.address)):
        return ends
    return replace(ends, form=replace(ends.form, original=original))


def _addresses(*selectors: Selector) -> list[tuple[Address, Address]]:
    return [(each.start, each.end) for each in selectors]


def _twice(address: Address) -> tuple[Address, Address]:
    return address, address
