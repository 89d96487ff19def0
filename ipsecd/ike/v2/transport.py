"""Transport mode between two hosts, also where a NAT changes their addresses (RFC 7296 sections 1.3.1 and 2.23.1).

Each end writes selectors with the addresses that it sees. Where a NAT stands, what is written of an end is replaced by
the address that the other one sees, before anything is looked for; what was written is what the checksums of the
packets inside are made with (RFC 3948 section 3.1.2). The answer is written with the addresses of who answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ipsecd.errors import Refused
from ipsecd.ike.exchange import Admitted
from ipsecd.ike.narrowing import Narrowed, Selectors, show
from ipsecd.wire.form import TUNNEL, Form
from ipsecd.wire.payloads import Notify, TsI, TsR
from ipsecd.wire.registry import NotifyType
from ipsecd.wire.selector import Address, common

if TYPE_CHECKING:
    from ipsecd.ike.sa import IkeSa

_ASKED = Notify(NotifyType.USE_TRANSPORT_MODE)


def said(*, transport: bool) -> tuple[Notify, ...]:
    """What asks for transport mode, and what grants it."""
    return (_ASKED,) if transport else ()


def wants(message: Admitted) -> bool:
    """Whether a request asks for transport mode, or an answer grants it."""
    return message.notify(NotifyType.USE_TRANSPORT_MODE) is not None


@dataclass(frozen=True, slots=True)
class Seen:
    """Selectors of a message with the addresses that we see, and how the peer's packets in transport mode are made."""

    local: Selectors
    remote: Selectors
    form: Form


def seen(sa: IkeSa, local: Selectors, remote: Selectors) -> Seen:
    """What the peer has written of our side and of its own, in our eyes. Selectors that aren't of one address on each
    side can't be for transport mode, and stay as they are."""
    here, there = _host(local), _host(remote)
    ours, theirs = sa.path.local.address, sa.path.remote.address
    if here is None or there is None or not here.version == there.version == ours.version:
        return Seen(local, remote, Form(transport=True))
    ours, theirs = (ours if sa.nat.here else here), (theirs if sa.nat.there else there)
    if (here, there) == (ours, theirs):
        return Seen(local, remote, Form(transport=True))
    return Seen(_at(local, ours), _at(remote, theirs), Form(transport=True, original=(there, here)))


def between_hosts(sa: IkeSa, local: Selectors, remote: Selectors) -> bool:
    """Whether these are the two ends of the IKE SA and nothing else, as transport mode needs it."""
    return (_host(local), _host(remote)) == (sa.path.local.address, sa.path.remote.address)


def narrowed(sa: IkeSa, request: Admitted, narrow: Callable[[Selectors, Selectors], Narrowed]) -> tuple[Narrowed, Form]:
    """What ``narrow`` makes of the selectors of a request, our side first, and the mode that is granted: that of
    transport if it's asked for and allowed, else tunnel mode. Raises Refused as ``narrow`` does, and
    ("another-host-there") as ``stay_apart`` does."""
    local, remote = request.one(TsR).selectors, request.one(TsI).selectors
    if wants(request):
        as_seen = seen(sa, local, remote)
        best = _or_none(narrow, as_seen)
        if best is not None and best.child.transport and between_hosts(sa, best.local, best.remote):
            stay_apart(sa, best.local, best.remote)
            return best, as_seen.form
    best = narrow(local, remote)
    if best.child.transport:
        stay_apart(sa, best.local, best.remote)
    return best, TUNNEL


def _or_none(narrow: Callable[[Selectors, Selectors], Narrowed], as_seen: Seen) -> Narrowed | None:
    try:
        return narrow(as_seen.local, as_seen.remote)
    except Refused:
        return None


def stay_apart(sa: IkeSa, local: Selectors, remote: Selectors) -> None:
    """Two hosts behind one NAT have one address in our eyes, so what is for one of them could reach the other (RFC 3948
    section 5.2): who came first keeps its traffic, and the other one gets none that it could be taken for, in whichever
    mode.

    Raises Refused("another-host-there") with TS_UNACCEPTABLE."""
    for child in sa.core.children.values():
        other = child.ike
        if not (child.config.transport and child.lasts and _is_another_host(sa, other)):
            continue
        if common(local, child.local) and common(remote, child.remote):
            raise Refused(
                "another-host-there",
                f"another host behind {sa.path.remote.address} has an SA for {show(child.local)} = "
                f"{show(child.remote)}, and nothing would tell the two apart",
                notify=NotifyType.TS_UNACCEPTABLE,
            )


def _is_another_host(sa: IkeSa, other: IkeSa) -> bool:
    """A NAT gives each host a port of its own."""
    one, two = sa.path.remote, other.path.remote
    return one.address == two.address and one.port != two.port and (sa.nat.there or other.nat.there)


def _host(selectors: Selectors) -> Address | None:
    """The one address that all of them are of."""
    ends = {end for each in selectors for end in (each.start, each.end)}
    return ends.pop() if len(ends) == 1 else None


def _at(selectors: Selectors, address: Address) -> Selectors:
    return tuple(replace(each, start=address, end=address) for each in selectors)
