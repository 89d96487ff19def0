"""Distinguished names (X.501) between their DER octets and the text people write: ``C=CH, O=Example, CN=gw``.

::

    Name     SEQUENCE { RDN ... }                    30 len
    RDN        SET { AttributeTypeAndValue ... }       31 len      more than one: joined by "+"
    ATV          SEQUENCE { type OID, value string }     30 len  06 len oid  0c len text

The text stands in the order of the octets, as in certificates shown by openssl and in strongSwan's configuration, not
reversed as in RFC 4514; its escapes are those of RFC 4514 section 2.4. Names are compared as RFC 5280 section 7.1 says:
string types don't matter, nor does letter case or the number of spaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ipsecd import limits
from ipsecd.errors import WireError
from ipsecd.wire.reader import Reader

_SEQUENCE, _SET, _OID = 0x30, 0x31, 0x06
_UTF8, _PRINTABLE, _IA5 = 0x0C, 0x13, 0x16
_CODECS = {_UTF8: "utf-8", _PRINTABLE: "ascii", _IA5: "ascii", 0x14: "latin-1", 0x1C: "utf-32-be", 0x1E: "utf-16-be"}

# Attribute types by their usual names (RFC 4519, RFC 5280 appendix A) with the string type RFC 5280 asks of a writer.
_TYPES = {
    "CN": ("2.5.4.3", _UTF8),
    "SN": ("2.5.4.4", _UTF8),
    "serialNumber": ("2.5.4.5", _PRINTABLE),
    "C": ("2.5.4.6", _PRINTABLE),
    "L": ("2.5.4.7", _UTF8),
    "ST": ("2.5.4.8", _UTF8),
    "street": ("2.5.4.9", _UTF8),
    "O": ("2.5.4.10", _UTF8),
    "OU": ("2.5.4.11", _UTF8),
    "title": ("2.5.4.12", _UTF8),
    "GN": ("2.5.4.42", _UTF8),
    "dnQualifier": ("2.5.4.46", _PRINTABLE),
    "UID": ("0.9.2342.19200300.100.1.1", _UTF8),
    "DC": ("0.9.2342.19200300.100.1.25", _IA5),
    "E": ("1.2.840.113549.1.9.1", _IA5),
}
_ALIASES = {"EMAIL": "E", "EMAILADDRESS": "E", "S": "ST", "USERID": "UID", "G": "GN"}
_BY_NAME = {name.upper(): name for name in _TYPES} | _ALIASES
_NAMES = {oid: name for name, (oid, _) in _TYPES.items()}
_OID_BITS = 64
_FITS = {
    _UTF8: re.compile(r".*", re.DOTALL),
    _PRINTABLE: re.compile(r"[A-Za-z0-9 '()+,./:=?-]*"),
    _IA5: re.compile(r"[\x00-\x7f]*"),
}
_ESCAPE = re.compile(r"\\([0-9A-Fa-f]{2}|.|$)", re.DOTALL)
_SEPARATOR = re.compile(r"\\.|([,;+])", re.DOTALL)

Part = tuple[str, str]  # an attribute type, as name or dotted number, and its text
Name = tuple[tuple[Part, ...], ...]  # the RDNs, each of one or more parts


def looks_like_name(text: str) -> bool:
    """Whether a text starts like a distinguished name: ``CN=``, ``2.5.4.3=``."""
    return re.match(r"\s*([A-Za-z][A-Za-z]*|[0-9]+(\.[0-9]+)+)\s*=", text) is not None


def decode(der: bytes) -> Name:
    """The name in these octets. Raises WireError: ``bad-name`` and those of the reader."""
    name: list[tuple[Part, ...]] = []
    outer = Reader(der)
    with outer.window(_enter(outer, _SEQUENCE)) as rdns:
        while rdns.remaining:
            with rdns.window(_enter(rdns, _SET)) as rdn:
                name.append(tuple(_parts(rdn)))
            if sum(map(len, name)) > limits.MAX_NAME_PARTS:
                raise WireError("bad-name", "too many parts", offset=rdns.offset)
    outer.end()
    return tuple(name)


def _parts(rdn: Reader) -> Iterator[Part]:
    while True:  # a SET of one or more
        with rdn.window(_enter(rdn, _SEQUENCE)) as part:
            kind = _oid_text(part.take(_enter(part, _OID)), part.offset)
            tag = part.u8()
            octets = part.take(_length(part))
        try:
            yield _NAMES.get(kind, kind), octets.decode(_CODECS[tag])
        except (KeyError, UnicodeDecodeError):
            raise WireError("bad-name", f"string type {tag:#04x}", offset=part.offset) from None
        if not rdn.remaining:
            return


def _enter(r: Reader, tag: int) -> int:
    """Reads the tag and length of an element; returns how many octets its value has."""
    found = r.u8()
    if found != tag:
        raise WireError("bad-name", f"tag {found:#04x} instead of {tag:#04x}", offset=r.offset - 1)
    return _length(r)


def _length(r: Reader) -> int:
    """A DER length (X.690 section 8.1.3): definite, and short where it can be. Two octets hold more than we accept."""
    first = r.u8()
    if first < 0x80:
        return first
    octets = first & 0x7F
    if not 1 <= octets <= 2:
        raise WireError("bad-name", f"length of {octets} octets", offset=r.offset)
    length = int.from_bytes(r.take(octets), "big")
    if length < 0x80 or length >> 8 * (octets - 1) == 0:
        raise WireError("bad-name", "length is longer than it need be", offset=r.offset)
    return length


def _oid_text(octets: bytes, offset: int) -> str:
    """The dotted form of an object identifier (X.690 section 8.19), its numbers below 2**64."""
    numbers: list[int] = []
    value, fresh = 0, True
    for octet in octets:
        value = value << 7 | octet & 0x7F
        if (fresh and octet == 0x80) or value >> _OID_BITS:
            raise WireError("bad-name", "object identifier", offset=offset)
        fresh = octet < 0x80
        if fresh:
            numbers.append(value)
            value = 0
    if not numbers or not fresh:
        raise WireError("bad-name", "object identifier", offset=offset)
    root = min(numbers[0] // 40, 2)
    return ".".join(map(str, [root, numbers[0] - 40 * root, *numbers[1:]]))


def encode(name: Name) -> bytes:
    """DER octets. Raises ValueError with a sentence for what isn't an object identifier."""
    return _element(_SEQUENCE, b"".join(_element(_SET, b"".join(sorted(map(_encode_part, rdn)))) for rdn in name))


def _encode_part(part: Part) -> bytes:
    kind, text = part
    oid, tag = _TYPES.get(kind, (kind, _UTF8))
    if not _FITS[tag].fullmatch(text):  # whatever doesn't fit its type's own string type is UTF-8
        tag = _UTF8
    return _element(_SEQUENCE, _element(_OID, _oid_octets(oid)) + _element(tag, text.encode()))


def _oid_octets(oid: str) -> bytes:
    first, second, *others = map(int, oid.split("."))
    numbers = [40 * first + second, *others]
    if first > 2 or (first < 2 and second > 39) or any(number >> _OID_BITS for number in numbers):
        raise ValueError(f"{oid} isn't an object identifier")
    octets = bytearray()
    for number in numbers:
        groups = [number >> shift & 0x7F for shift in range(0, max(number.bit_length(), 1), 7)]
        octets += bytes([group | 0x80 for group in groups[:0:-1]] + [groups[0]])
    return bytes(octets)


def _element(tag: int, value: bytes) -> bytes:
    length = len(value)
    if length < 0x80:
        return bytes([tag, length]) + value
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + value


def parse(text: str) -> Name:
    """The name a text like ``C=CH, O=Example, CN=gw`` means. Raises ValueError with a sentence."""
    name: list[list[Part]] = [[]]
    for piece, end in _pieces(text):
        kind, equals, value = piece.partition("=")
        kind = kind.strip()
        attribute = _BY_NAME.get(kind.upper(), kind)
        if not equals or not (attribute in _TYPES or re.fullmatch(r"[0-9]+(\.[0-9]+)+", attribute)):
            raise ValueError(f"{piece.strip()!r} isn't an attribute of a distinguished name like CN=gateway")
        name[-1].append((_NAMES.get(attribute, attribute), _unescape(value)))
        if end != "+":
            name.append([])
    if sum(map(len, name)) > limits.MAX_NAME_PARTS:
        raise ValueError(f"a distinguished name has at most {limits.MAX_NAME_PARTS} parts")
    return tuple(tuple(rdn) for rdn in name if rdn)


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """The text cut at separators that aren't escaped, each piece with the separator behind it."""
    start = 0
    for match in _SEPARATOR.finditer(text):
        if match.group(1):
            yield text[start : match.start()], match.group(1)
            start = match.end()
    yield text[start:], ""


def _unescape(value: str) -> str:
    """Escapes undone; spaces at the ends count only as ``\\20``. Hex pairs are octets of UTF-8 (RFC 4514)."""
    octets = bytearray()
    end = 0
    value = value.strip()
    for match in _ESCAPE.finditer(value):
        octets += value[end : match.start()].encode()
        found = match.group(1)
        if not found:
            raise ValueError(f"{value!r} ends in a lone backslash")
        octets += bytes.fromhex(found) if len(found) == 2 else found.encode()
        end = match.end()
    octets += value[end:].encode()
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{value!r} isn't UTF-8") from None


def text(name: Name) -> str:
    """What ``parse`` reads back as the same name."""
    return ", ".join("+".join(f"{kind}={_escape(value)}" for kind, value in rdn) for rdn in name)


def _escape(value: str) -> str:
    inner = value.strip()
    before = len(value) - len(value.lstrip())
    spaces = (value[:before], value[before + len(inner) :])
    first, last = ("".join(f"\\{octet:02x}" for octet in ends.encode()) for ends in spaces)
    return first + re.sub(r'([\\,;+"<>=])', r"\\\1", inner) + last


def same(one: Name, two: Name) -> bool:
    """Whether two names mean the same (RFC 5280 section 7.1)."""
    return _canonical(one) == _canonical(two)


def _canonical(name: Name) -> list[list[Part]]:
    return [sorted((kind, " ".join(value.casefold().split())) for kind, value in rdn) for rdn in name]
