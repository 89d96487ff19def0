"""Keys for Wireshark, kept only while the policy says ``keylog: true`` and given to root alone.

The lines are those of Wireshark's tables ``ikev2_decryption_table``, ``ikev1_decryption_table`` and ``esp_sa``, as its
profile folder holds them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from ipsecd import limits
from ipsecd.ike.effects import KeyLog
from ipsecd.wire.registry import Encr, Integ

# Wireshark's own names, epan/dissectors/packet-isakmp.c and packet-ipsec.c; it can't decrypt ChaCha20-Poly1305.
_ICV = {Encr.AES_GCM_8: 8, Encr.AES_GCM_12: 12, Encr.AES_GCM_16: 16}
_IKE_ENCRYPTION = {
    **{(Encr.AES_CBC, bits): f"AES-CBC-{bits} [RFC3602]" for bits in (128, 192, 256)},
    **{(Encr.AES_CTR, bits): f"AES-CTR-{bits} [RFC5930]" for bits in (128, 192, 256)},
    **{
        (gcm, bits): f"AES-GCM-{bits} with {icv} octet ICV [RFC5282]"
        for gcm, icv in _ICV.items()
        for bits in (128, 192, 256)
    },
}
_IKE_INTEGRITY = {
    Integ.NONE: "NONE [RFC4306]",
    Integ.HMAC_SHA1_96: "HMAC_SHA1_96 [RFC2404]",
    Integ.HMAC_SHA2_256_128: "HMAC_SHA2_256_128 [RFC4868]",
    Integ.HMAC_SHA2_384_192: "HMAC_SHA2_384_192 [RFC4868]",
    Integ.HMAC_SHA2_512_256: "HMAC_SHA2_512_256 [RFC4868]",
}
_ESP_ENCRYPTION = {
    Encr.AES_CBC: "AES-CBC [RFC3602]",
    Encr.AES_CTR: "AES-CTR [RFC3686]",
    **{gcm: f"AES-GCM with {icv} octet ICV [RFC4106]" for gcm, icv in _ICV.items()},
}
_ESP_INTEGRITY = {
    Integ.NONE: "NULL",
    Integ.HMAC_SHA1_96: "HMAC-SHA-1-96 [RFC2404]",
    Integ.HMAC_SHA2_256_128: "HMAC-SHA-256-128 [RFC4868]",
    Integ.HMAC_SHA2_384_192: "HMAC-SHA-384-192 [RFC4868]",
    Integ.HMAC_SHA2_512_256: "HMAC-SHA-512-256 [RFC4868]",
}


_TABLES = {"ike": "ikev2_decryption_table", "isakmp": "ikev1_decryption_table", "esp": "esp_sa"}  # by kind of keys


class Keys:
    """The lines to export. Nothing here shows them but ``export``."""

    def __init__(self) -> None:
        self._tables: dict[str, deque[str]] = {name: deque(maxlen=limits.KEYLOG_LINES) for name in _TABLES.values()}
        self._unknown: set[str] = set()

    def keep(self, log: KeyLog) -> None:
        """Add the keys of one SA."""
        line = _LINES[log.kind](log.fields)
        if line is None:
            self._unknown.add(Encr(log.fields["encryption"]).name)
        else:
            self._tables[_TABLES[log.kind]].append(line)

    def forget(self) -> None:
        """Drop all keys: no policy asks for them any more."""
        for table in self._tables.values():
            table.clear()
        self._unknown.clear()

    def export(self) -> dict[str, list[str]]:
        """The lines by table, and under ``unknown`` the ciphers in use that Wireshark can't decrypt."""
        return {name: list(lines) for name, lines in self._tables.items()} | {"unknown": sorted(self._unknown)}

    def __repr__(self) -> str:
        return f"Keys({', '.join(f'{name}: {len(lines)}' for name, lines in self._tables.items())})"


def ike_line(fields: dict[str, Any]) -> str | None:
    """A line of ikev2_decryption_table, or None for a cipher that Wireshark doesn't know."""
    encryption = _IKE_ENCRYPTION.get((fields["encryption"], fields["key_bits"]))
    integrity = _IKE_INTEGRITY.get(fields["integrity"])
    if encryption is None or integrity is None:
        return None
    spi_i, spi_r, ei, er, ai, ar = (fields[name].hex() for name in ("spi_i", "spi_r", "ei", "er", "ai", "ar"))
    return f'{spi_i},{spi_r},{ei},{er},"{encryption}",{ai},{ar},"{integrity}"'


def isakmp_line(fields: dict[str, Any]) -> str:
    """A line of ikev1_decryption_table. Wireshark sees in the exchange which cipher it is."""
    return f"{fields['cookie_i'].hex()},{fields['key'].hex()}"


def esp_line(fields: dict[str, Any]) -> str | None:
    """A line of esp_sa, or None for a cipher that Wireshark doesn't know."""
    encryption = _ESP_ENCRYPTION.get(fields["encryption"])
    integrity = _ESP_INTEGRITY.get(fields["integrity"])
    if encryption is None or integrity is None:
        return None
    authentication = f"0x{fields['integrity_key'].hex()}" if fields["integrity_key"] else ""
    cells = (
        f"IPv{fields['source'].version}",
        str(fields["source"]),
        str(fields["destination"]),
        f"0x{fields['spi'].hex()}",
        encryption,
        f"0x{fields['encryption_key'].hex()}",
        integrity,
        authentication,
    )
    return ",".join(f'"{cell}"' for cell in cells)


_LINES: dict[str, Callable[[dict[str, Any]], str | None]] = {"ike": ike_line, "isakmp": isakmp_line, "esp": esp_line}
