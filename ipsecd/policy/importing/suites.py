"""Security methods as Windows' command lines write them.

``AH[SHA1]+ESP[3DES,SHA1]:100000k/900s`` is netsh's form, ``ESP[3DES,SHA]900S/100000KP2`` that of ipsecpol and
ipseccmd; ``3DES-SHA1-2`` is the key exchange's in both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ipsecd.policy.complaint import complaint, quoted
from ipsecd.policy.importing.draft import MainOffer, Offer
from ipsecd.policy.nodes import Mark

CIPHERS: Final = {
    "none": "null",
    "des": "des",
    "3des": "3des",
    "aes128": "aes128",
    "aes192": "aes192",
    "aes256": "aes256",
}
MACS: Final = {"none": "", "md5": "md5", "sha": "sha1", "sha1": "sha1", "sha256": "sha256", "sha384": "sha384"}
GROUPS: Final = {  # netsh and ipseccmd call MODP-2048 group 3, the objects of a domain 0x10000001
    1: "modp768",
    2: "modp1024",
    3: "modp2048",
    14: "modp2048",
    0x1000_0001: "modp2048",
    19: "ecp256",
    20: "ecp384",
}

_ESP: Final = r"ESP\[(?P<cipher>[^,\]]*),(?P<mac>[^\]]*)\]"
_AH: Final = r"AH\[(?P<signed>[^\]]*)\]"
_LIFETIME: Final = r"\d{1,10}[KS](?:/\d{1,10}[KS])?"
_QUICK: Final = tuple(
    re.compile(rf"(?i:{form}:?(?P<lifetime>{_LIFETIME})?(?P<pfs>P[0-9]{{0,2}})?)")
    for form in (_ESP, _AH, rf"{_AH}\+{_ESP}", rf"{_ESP}\+{_AH}")
)
_MAIN: Final = re.compile(r"(?P<cipher>[A-Za-z0-9]+)-(?P<mac>[A-Za-z0-9]+)-(?P<group>\d{1,2})")
_QUICK_FORM: Final = "such as ESP[3DES,SHA1]:100000k/3600s"


def quick(text: str, mark: Mark) -> Offer:
    """A security method of a filter action; raises Complaint."""
    found = next((match for form in _QUICK if (match := form.fullmatch(text))), None)
    if found is None:
        raise complaint("this isn't a security method", _QUICK_FORM)
    parts = {name: value or "" for name, value in found.groupdict().items()}
    encryption, integrity = esp(parts["cipher"], parts["mac"]) if "cipher" in parts else ("", "")
    units = {piece[-1].upper(): int(piece[:-1]) for piece in parts["lifetime"].split("/") if piece}
    pfs = parts["pfs"][1:]
    return Offer(
        mark,
        encryption,
        integrity,
        ah(parts["signed"]) if "signed" in parts else "",
        seconds=units.get("S", 0),
        kilobytes=units.get("K", 0),
        pfs=group(int(pfs)) if pfs else bool(parts["pfs"]),
    )


def esp(cipher: str, mac: str) -> tuple[str, str]:
    """The keywords of ESP's algorithms, no integrity as an empty one; raises Complaint."""
    encryption, integrity = _word(cipher, CIPHERS, "a cipher"), _word(mac, MACS, "a hash")
    if encryption == "null" and not integrity:
        raise complaint("ESP[None,None] protects nothing", _QUICK_FORM)
    return encryption, integrity


def ah(mac: str) -> str:
    """The keyword of AH's algorithm; raises Complaint."""
    signed = _word(mac, MACS, "a hash")
    if not signed:
        raise complaint("AH[None] protects nothing", _QUICK_FORM)
    return signed


def main(text: str, mark: Mark) -> MainOffer:
    """A security method of the key exchange; raises Complaint."""
    found = _MAIN.fullmatch(text)
    if found is None:
        raise complaint("this isn't a key exchange method", "such as 3DES-SHA1-2")
    return main_offer(found["cipher"], found["mac"], int(found["group"]), mark)


def main_offer(cipher: str, mac: str, number: int, mark: Mark) -> MainOffer:
    """The same from its parts; raises Complaint."""
    encryption, integrity = _word(cipher, CIPHERS, "a cipher"), _word(mac, MACS, "a hash")
    if encryption == "null" or not integrity:
        raise complaint("a key exchange needs a cipher and a hash", "such as 3DES-SHA1-2")
    return MainOffer(mark, encryption, integrity, group(number))


def group(number: int) -> str:
    """The keyword of a Diffie-Hellman group; raises Complaint."""
    if number not in GROUPS:
        raise complaint(f"{number} isn't a Diffie-Hellman group of Windows'", "1, 2, 3 or 14")
    return GROUPS[number]


def _word(text: str, table: Mapping[str, str], what: str) -> str:
    word = text.strip().lower()
    if word not in table:
        raise complaint(f"{quoted(text.strip())} isn't {what} of Windows'", f"one of {', '.join(table)}")
    return table[word]
