"""Keys for export, of peers whose policy says ``keylog: true`` and of no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipsecd.ike.effects import AhChildKeys, KeyLog
from ipsecd.ike.parts import Keys, Part
from ipsecd.wire.registry import Integ
from ipsecd.wire.selector import Address

if TYPE_CHECKING:
    from ipsecd.crypto.secret import Secret
    from ipsecd.ike.child_sa import ChildSa
    from ipsecd.ike.config import Path
    from ipsecd.ike.core import Core
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
    """The keys of both of its SAs of ESP."""
    if child.peer.keylog:
        log_parts(child.ike.core, child.ike.path, child.parts)


def log_isakmp_key(core: Core, cookie_i: bytes, key: Secret) -> None:
    """Of an ISAKMP SA: that of its cipher, and the initiator's cookie."""
    core.emit(KeyLog("isakmp", {"cookie_i": cookie_i, "key": key.reveal()}))


def log_parts(core: Core, path: Path, parts: tuple[Part, ...]) -> None:
    """AH hides nothing, so its keys are of no use to who may only read."""
    here, there = path.local.address, path.remote.address
    for part in parts:
        _log(core, there, here, part.spi_in, part.keys_in)
        _log(core, here, there, part.spi_out, part.keys_out)


def _log(core: Core, source: Address, destination: Address, spi: bytes, keys: Keys) -> None:
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
    core.emit(KeyLog("esp", fields))
