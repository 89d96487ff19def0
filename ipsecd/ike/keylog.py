"""Keys for export, of peers whose policy says ``keylog: true`` and of no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipsecd.ike.effects import AhChildKeys, KeyLog
from ipsecd.ike.parts import Keys
from ipsecd.wire.registry import Integ
from ipsecd.wire.selector import Address

if TYPE_CHECKING:
    from ipsecd.ike.child_sa import ChildSa
    from ipsecd.ike.sa import IkeSa


def log_ike_keys(sa: IkeSa) -> None:
    """SK_e and SK_a of both directions."""
    if not sa.peer.keylog:
        return
    suite, keys = sa.secured.suite, sa.secured.keys
    fields = {
        "spi_i": sa.spi_i,
        "spi_r": sa.spi_r,
        "ei": keys.ei.reveal(),
        "er": keys.er.reveal(),
        "ai": keys.ai.reveal(),
        "ar": keys.ar.reveal(),
        "encryption": suite.encryption.id,
        "key_bits": suite.encryption.key_bits,
        "integrity": suite.integrity.id if suite.integrity else Integ.NONE,
    }
    sa.core.emit(KeyLog("ike", fields))


def log_child_keys(child: ChildSa) -> None:
    """The keys of both of its SAs of ESP. AH hides nothing, so its keys are of no use to who may only read."""
    if not child.peer.keylog:
        return
    here, there = child.ike.path.local.address, child.ike.path.remote.address
    for part in child.parts:
        _log(child, there, here, part.spi_in, part.keys_in)
        _log(child, here, there, part.spi_out, part.keys_out)


def _log(child: ChildSa, source: Address, destination: Address, spi: bytes, keys: Keys) -> None:
    if isinstance(keys, AhChildKeys):
        return
    fields = {
        "source": source,
        "destination": destination,
        "spi": spi,
        "encryption": keys.encryption,
        "key_bits": keys.key_bits,
        "integrity": keys.integrity,
        "encryption_key": keys.encryption_key.reveal(),
        "integrity_key": keys.integrity_key.reveal(),
    }
    child.ike.core.emit(KeyLog("esp", fields))
