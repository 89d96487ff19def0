"""What only IKEv1 is told about a peer, beside what both versions are."""

from __future__ import annotations

from dataclasses import dataclass

from ipsecd.ike.v1.access import Client, Gateway
from ipsecd.ike.v1.methods import Certified, Trust


@dataclass(frozen=True, slots=True)
class Special:
    """How both ends prove themselves, and what follows then.

    ``shared_key``: by the peer's pre-shared keys. ``certified``: by signatures, too, with this key and certificate, in
    order behind or, ``certified_first``, before. ``hybrid``: the gateway alone proves itself, by its certificate, and
    the client's user by XAUTH; ``trust`` is what the client believes of it. ``access``: who comes in from elsewhere, if
    one of the two does; XAUTH is agreed upon in phase 1 if there is a user or a gate in it.

    The two about aggressive mode say what an operator accepts; as initiator we use that mode where what it takes is
    accepted, else main mode.
    """

    shared_key: bool = True
    certified: Certified | None = None
    certified_first: bool = False
    hybrid: bool = False
    trust: Trust | None = None
    access: Client | Gateway | None = None
    i_accept_names_in_clear: bool = False
    i_accept_offline_guessing: bool = False
