"""Methods of phase 1 that XAUTH follows, which makes one of the two sides prove who uses it
(draft-beaulieu-ike-xauth-02 section 7.2, draft-ietf-ipsec-isakmp-hybrid-auth)."""

from __future__ import annotations

from enum import Enum

from ipsecd.wire import vendor_ids
from ipsecd.wire.ikev1_payloads import VendorId
from ipsecd.wire.registry_v1 import OakleyAuth

KNOWS_XAUTH = VendorId(vendor_ids.XAUTH)


class Asked(Enum):
    """Whose user is asked."""

    INITIATOR = "initiator"
    RESPONDER = "responder"


_INIT, _RESP = Asked.INITIATOR, Asked.RESPONDER
_PSK, _RSA = OakleyAuth.PSK, OakleyAuth.RSA_SIGNATURE
_METHODS = {
    OakleyAuth.XAUTH_INIT_PSK: (_PSK, _INIT),
    OakleyAuth.XAUTH_RESP_PSK: (_PSK, _RESP),
    OakleyAuth.XAUTH_INIT_RSA: (_RSA, _INIT),
    OakleyAuth.XAUTH_RESP_RSA: (_RSA, _RESP),
    OakleyAuth.HYBRID_INIT_RSA: (_RSA, _INIT),
    OakleyAuth.HYBRID_RESP_RSA: (_RSA, _RESP),
}
_HYBRID = (OakleyAuth.HYBRID_INIT_RSA, OakleyAuth.HYBRID_RESP_RSA)


def plain(method: OakleyAuth) -> OakleyAuth:
    """What it is within phase 1."""
    return _METHODS[method][0] if method in _METHODS else method


def who_is_asked(method: OakleyAuth) -> Asked | None:
    """None: nobody, by this method."""
    return _METHODS[method][1] if method in _METHODS else None


def is_hybrid(method: OakleyAuth) -> bool:
    """Whether the side that is asked proves nothing in phase 1."""
    return method in _HYBRID
