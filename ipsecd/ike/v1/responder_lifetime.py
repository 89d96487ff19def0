"""RESPONDER-LIFETIME: who answers says that its own lifetime is the shorter one (RFC 2407 sections 4.5.4 and 4.6.3.1).

Only initiators whose offer has a lifetime are told so; others find it in the transform that goes back to them.
"""

from __future__ import annotations

from ipsecd import limits
from ipsecd.errors import WireError
from ipsecd.ike.config import Lifetime
from ipsecd.ike.v1 import durations
from ipsecd.ike.v1.child_offers import Choice, Spis
from ipsecd.ike.v1.rows import Admitted
from ipsecd.wire.ikev1_attributes import decode_attributes, encode_attributes
from ipsecd.wire.ikev1_payloads import Notify
from ipsecd.wire.reader import Reader
from ipsecd.wire.registry_v1 import NotifyType


def said_lifetime(choice: Choice, ours: Lifetime, spis: Spis) -> tuple[Notify, ...]:
    """One for each protocol, with SPIs of ours, if ours ends before what was offered."""
    said = any(each.type in durations.ATTRIBUTES for each in choice.proposals[0].transforms[0].attributes)
    if not said or not durations.ends_before(ours, choice.lifetime):
        return ()
    data = encode_attributes(durations.written(ours))
    return tuple(Notify(NotifyType.RESPONDER_LIFETIME, data, each, spis[each]) for each in choice.spis)


def heard_lifetime(answer: Admitted) -> Lifetime:
    """The shortest of those in an answer. What can't be read says nothing: it's the peer's own lifetime."""
    found = durations.UNLIMITED
    for notify in answer.all(Notify):
        if notify.type == NotifyType.RESPONDER_LIFETIME:
            try:
                attributes = decode_attributes(Reader(notify.data), limits.MAX_V1_ATTRIBUTES)
            except WireError:
                continue
            found = durations.shorter(found, durations.read(attributes))
    return found
