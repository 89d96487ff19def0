"""Security methods as Windows' command lines write them.

``AH[SHA1]+ESP[3DES,SHA1]:100000k/900s`` is netsh's form, ``ESP[3DES,SHA]900S/100000KP2`` that of ipsecpol and
ipseccmd; ``3DES-SHA1-2`` is the key exchange's in both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

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


class Forms(NamedTuple):
    """What is said of methods that can't be read: how the text's own language writes one of a filter action and one of
    the key exchange, and its hashes."""

    quick: str
    main: str
    hashes: str


NETSH: Final = Forms(
    "such as ESP[3DES,SHA1]:100000k/3600s", "such as 3DES-SHA1-2", "one of none, md5, sha1, sha256, sha384"
)
IPSECPOL: Final = Forms("such as ESP[3DES,SHA]3600S/100000K", "such as 3DES-SHA-2", "one of none, md5, sha")
OBJECTS: Final = Forms(
    '"encryption": "3DES" and "integrity": "SHA1", or of AH "hash": "SHA1"',
    '"encryption": "3DES-CBC", "hash": "SHA1" and "oakley_group": 2',
    "one of none, md5, sha1, sha256, sha384",
)


def quick(text: str, mark: Mark, forms: Forms) -> Offer:
    """A security method of a filter action; raises Complaint."""
    found = next((match for form in _QUICK if (match := form.fullmatch(text))), None)
    if found is None:
        raise complaint("this isn't a security method", forms.quick)
    parts = {name: value or "" for name, value in found.groupdict().items()}
    encryption, integrity = esp(parts["cipher"], parts["mac"], forms) if "cipher" in parts else ("", "")
    units = {piece[-1].upper(): int(piece[:-1]) for piece in parts["lifetime"].split("/") if piece}
    pfs = parts["pfs"][1:]
    return Offer(
        mark,
        encryption,
        integrity,
        ah(parts["signed"], forms) if "signed" in parts else "",
        seconds=units.get("S", 0),
        kilobytes=units.get("K", 0),
        pfs=group(int(pfs)) if pfs else bool(parts["pfs"]),
    )


def esp(cipher: str, mac: str, forms: Forms) -> tuple[str, str]:
    """The keywords of ESP's algorithms, no integrity as an empty one; raises Complaint."""
    encryption, integrity = _cipher(cipher), _hash(mac, forms)
    if encryption == "null" and not integrity:
        raise complaint("ESP[None,None] protects nothing", forms.quick)
    return encryption, integrity


def ah(mac: str, forms: Forms) -> str:
    """The keyword of AH's algorithm; raises Complaint."""
    signed = _hash(mac, forms)
    if not signed:
        raise complaint("AH[None] protects nothing", forms.quick)
    return signed


def main(text: str, mark: Mark, forms: Forms) -> MainOffer:
    """A security method of the key exchange; raises Complaint."""
    found = _MAIN.fullmatch(text)
    if found is None:
        raise complaint("this isn't a key exchange method", forms.main)
    return main_offer(found["cipher"], found["mac"], int(found["group"]), mark, forms)


def main_offer(cipher: str, mac: str, number: int, mark: Mark, forms: Forms) -> MainOffer:
    """The same from its parts; raises Complaint."""
    encryption, integrity = _cipher(cipher), _hash(mac, forms)
    if encryption == "null" or not integrity:
        raise complaint("a key exchange needs a cipher and a hash", forms.main)
    return MainOffer(mark, encryption, integrity, group(number))


def group(number: int) -> str:
    """The keyword of a Diffie-Hellman group; raises Complaint."""
    if number not in GROUPS:
        raise complaint(f"{number} isn't a Diffie-Hellman group of Windows'", "1, 2, 3 or 14")
    return GROUPS[number]


def _cipher(text: str) -> str:
    return _word(text, CIPHERS, "a cipher", f"one of {', '.join(CIPHERS)}")


def _hash(text: str, forms: Forms) -> str:
    return _word(text, MACS, "a hash", forms.hashes)


def _word(text: str, table: Mapping[str, str], what: str, hint: str) -> str:
    word = text.strip().lower()
    if word not in table:
        raise complaint(f"{quoted(text.strip())} isn't {what} of Windows'", hint)
    return table[word]
