"""Which way an ISAKMP SA comes to be of use: by what its phase 1 has said of users, and by what the policy says. Where
these two don't fit, it never does."""

from __future__ import annotations

from ipsecd.errors import PeerError
from ipsecd.ike.core import Core
from ipsecd.ike.v1.access import Access, Client, Gateway, Nothing, Owner, Transact
from ipsecd.ike.v1.access_client import ClientAccess
from ipsecd.ike.v1.access_gateway import GatewayAccess
from ipsecd.ike.v1.extended import Asked, who_is_asked
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.transactions import Answer
from ipsecd.wire.ikev1_payloads import Attributes


class Barred(Access):
    """It comes to nothing at once."""

    def __init__(self, core: Core, transact: Transact, owner: Owner, reason: str) -> None:
        super().__init__(core, transact, owner)
        self._reason = reason

    def begin(self) -> None:
        self._go_on()

    def take(self, _: Attributes, /) -> Answer:
        raise PeerError("not-through", self._reason)

    def _go_on(self) -> None:
        self._refuse(self._reason)

    def _missing(self) -> str:
        return self._reason


def access_of(core: Core, sa: IsakmpSa, settings: Client | Gateway | None, transact: Transact, owner: Owner) -> Access:
    asked = who_is_asked(sa.suite.method)
    ours = asked is not None and (asked is Asked.INITIATOR) == sa.initiator
    if isinstance(settings, Client) and (asked is None or ours):
        return ClientAccess(core, settings, transact, owner, asked=ours)
    if isinstance(settings, Gateway) and not ours and (asked is None or settings.gate is not None):
        return GatewayAccess(core, sa, settings, transact, owner)
    if settings is None and asked is None:
        return Nothing(core, transact, owner)
    side = "we have to name a user" if ours else "the peer has to name a user"
    reason = f"by {sa.suite.method} {side}, which this rule isn't made for"
    return Barred(core, transact, owner, reason)
