"""Making a child SA of what both ends have agreed upon (RFC 7296 section 2.17)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipsecd.crypto.keymat import derive_children
from ipsecd.crypto.secret import Secret
from ipsecd.ike.child_sa import ChildSa
from ipsecd.ike.exchange import Admitted
from ipsecd.ike.narrowing import Narrowed
from ipsecd.ike.parts import parts_of
from ipsecd.ike.suites import ChildSuite, EspSuite, Layer
from ipsecd.wire.form import Form
from ipsecd.wire.registry import NotifyType

if TYPE_CHECKING:
    from ipsecd.crypto.algorithms import Encryption, Integrity
    from ipsecd.ike.sa import IkeSa


def make(
    sa: IkeSa,
    agreed: Narrowed,
    suite: ChildSuite,
    spis: tuple[tuple[bytes, ...], tuple[bytes, ...]],
    nonces: tuple[bytes, bytes],
    shared: Secret | None,
    form: Form,
    message: Admitted,
    *,
    initiator: bool,
) -> ChildSa:
    """``spis`` are ours and the peer's, each outermost first; ``message`` is the peer's, and may decline padding
    (section 1.3.1); ``initiator``: of this exchange."""
    prf, sk_d = sa.secured.suite.prf.id, sa.secured.keys.d
    material = derive_children(prf, sk_d, [_transforms(layer) for layer in suite.layers], *nonces, shared)
    parts = parts_of(suite, *spis, material, form, initiator=initiator)
    selectors = agreed.local, agreed.remote
    takes_padding = message.notify(NotifyType.ESP_TFC_PADDING_NOT_SUPPORTED) is None
    return ChildSa(sa, agreed.peer, agreed.child, suite, parts, selectors, form, takes_padding=takes_padding)


def _transforms(layer: Layer) -> tuple[Encryption | None, Integrity | None]:
    return (layer.encryption if isinstance(layer, EspSuite) else None), layer.integrity
