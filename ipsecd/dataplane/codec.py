"""The messages between control process and roads as octets, one message a datagram: version, type, fields in order.

The fields' annotations are the format: whole numbers are seven bits an octet, least first, as short as can be; times
are IEEE doubles; text, octets and sequences have their count in front; what may be None, or of
several kinds, has an octet that says so. Every value has one encoding, so whatever is accepted encodes to the same
octets again.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise
from types import NoneType, UnionType
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from ipsecd import limits
from ipsecd.dataplane import messages as m
from ipsecd.errors import LocalError, WireError
from ipsecd.wire.reader import Reader
from ipsecd.wire.selector import Address

VERSION = 1

Message = m.ToRoads | m.ToControl | m.ToProcesses | m.OfProcesses

TYPES: dict[int, type[Message]] = {
    1: m.InstallInbound,
    2: m.InstallOutbound,
    3: m.RemoveInbound,
    4: m.RemoveOutbound,
    5: m.MovePath,
    6: m.SetSpd,
    7: m.GiveUp,
    8: m.SetPathMtu,
    9: m.AskCounters,
    10: m.SetLinkMtu,
    11: m.Begin,
    12: m.NewTun,
    13: m.Probe,
    14: m.SpdPart,
    15: m.Release,
    16: m.Coming,
    64: m.Done,
    65: m.Acquire,
    66: m.InboundUsed,
    67: m.SoftExpired,
    68: m.HardExpired,
    69: m.PeerMoved,
    70: m.PeerAlive,
    71: m.IkeDatagram,
    72: m.Counters,
    73: m.Ready,
    74: m.Heard,
    75: m.TunLost,
    76: m.Fault,
    77: m.Released,
    78: m.PairsUsed,
}
_NUMBERS = {kind: number for number, kind in TYPES.items()}

_LARGEST = (1 << 64) - 1
_ADDRESSES: dict[int, type[Address]] = {4: IPv4Address, 6: IPv6Address}
_ADDRESS_OCTETS = {4: 4, 6: 16}


class Codec(NamedTuple):
    """How values of one annotation are written and read."""

    write: Callable[[Any, bytearray], None]
    read: Callable[[Reader], Any]


def encode(message: Message) -> bytes:
    """The datagram of a message. LocalError if it isn't one, or holds what can't be encoded."""
    number = _NUMBERS.get(type(message))
    if number is None:
        raise LocalError(f"{type(message).__name__} is no message")
    out = bytearray((VERSION, number))
    _CODECS[number].write(message, out)
    if len(out) > limits.MAX_CONTROL_FRAME:
        raise LocalError(f"a {type(message).__name__} of {len(out)} octets is too long")
    return bytes(out)


def decode(data: bytes | memoryview) -> Message:
    """The message of a datagram; WireError for anything that ``encode`` wouldn't have made."""
    if len(data) > limits.MAX_CONTROL_FRAME:
        raise WireError("too-long")
    reader = Reader(data)
    if reader.u8() != VERSION:
        raise WireError("bad-version")
    codec = _CODECS.get(reader.u8())
    if codec is None:
        raise WireError("unknown-message", offset=1)
    message: Message = codec.read(reader)
    reader.end()
    return message


def codec_of(annotation: Any) -> Codec:
    """The codec of an annotation; LocalError for one that has none."""
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if isinstance(annotation, type) and is_dataclass(annotation):
        return _record(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is UnionType and len(arguments) == 2 and arguments[1] is NoneType:
        return _optional(codec_of(arguments[0]))
    if origin is UnionType:
        return _either(arguments)
    if origin is tuple:
        several = len(arguments) == 2 and arguments[1] is Ellipsis
        return _sequence(codec_of(arguments[0])) if several else _group(tuple(map(codec_of, arguments)))
    if origin is dict:
        return _mapping(_sequence(_group(tuple(map(codec_of, arguments)))))
    raise LocalError(f"no encoding for {annotation}")


# --- plain values -----------------------------------------------------------------------------------------------


def _write_int(value: int, out: bytearray) -> None:
    if not 0 <= value <= _LARGEST:
        raise LocalError(f"{value} is no number of 64 bits")
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _read_int(reader: Reader) -> int:
    value = shift = 0
    while True:
        octet = reader.u8()
        value |= (octet & 0x7F) << shift
        shift += 7
        if octet < 0x80:
            break
        if shift > 63:
            raise WireError("bad-number", offset=reader.offset)
    if value > _LARGEST or (octet == 0 and shift > 7):
        raise WireError("bad-number", offset=reader.offset)
    return value


def _write_bool(value: bool, out: bytearray) -> None:
    out.append(bool(value))


def _read_bool(reader: Reader) -> bool:
    octet = reader.u8()
    if octet > 1:
        raise WireError("bad-flag", offset=reader.offset)
    return octet == 1


def _write_float(value: float, out: bytearray) -> None:
    if not math.isfinite(value):
        raise LocalError(f"{value!r} is no time")
    out += struct.pack("!d", value)


def _read_float(reader: Reader) -> float:
    value: float = reader.unpack("!d")[0]
    if not math.isfinite(value):
        raise WireError("bad-time", offset=reader.offset)
    return value


def _write_bytes(value: bytes, out: bytearray) -> None:
    _write_int(len(value), out)
    out += value


def _read_bytes(reader: Reader) -> bytes:
    return reader.take(_read_int(reader))


def _write_text(value: str, out: bytearray) -> None:
    try:
        _write_bytes(value.encode(), out)
    except UnicodeEncodeError:
        raise LocalError("text that can't be encoded") from None


def _read_text(reader: Reader) -> str:
    try:
        return _read_bytes(reader).decode()
    except UnicodeDecodeError:
        raise WireError("bad-text", offset=reader.offset) from None


def _write_address(value: Address, out: bytearray) -> None:
    out.append(value.version)
    out += value.packed


def _read_address(reader: Reader) -> Address:
    version = reader.u8()
    if version not in _ADDRESSES:
        raise WireError("bad-address", offset=reader.offset)
    return _ADDRESSES[version](reader.take(_ADDRESS_OCTETS[version]))


_PLAIN: dict[Any, Codec] = {
    int: Codec(_write_int, _read_int),
    bool: Codec(_write_bool, _read_bool),
    float: Codec(_write_float, _read_float),
    bytes: Codec(_write_bytes, _read_bytes),
    str: Codec(_write_text, _read_text),
    Address: Codec(_write_address, _read_address),
}

# --- values made of values --------------------------------------------------------------------------------------


def _record(kind: type) -> Codec:
    hints = get_type_hints(kind)
    parts = [(field.name, codec_of(hints[field.name])) for field in fields(kind)]

    def write(value: Any, out: bytearray) -> None:
        for name, codec in parts:
            codec.write(getattr(value, name), out)

    def read(reader: Reader) -> Any:
        values = [codec.read(reader) for _, codec in parts]
        try:
            return kind(*values)
        except (ValueError, LocalError):  # what the value itself doesn't allow
            raise WireError("bad-value", kind.__name__, offset=reader.offset) from None

    return Codec(write, read)


def _optional(inner: Codec) -> Codec:
    def write(value: Any, out: bytearray) -> None:
        out.append(value is not None)
        if value is not None:
            inner.write(value, out)

    def read(reader: Reader) -> Any:
        return inner.read(reader) if _read_bool(reader) else None

    return Codec(write, read)


def _either(kinds: tuple[type, ...]) -> Codec:
    """One of several kinds of records, by its place among them."""
    if not all(map(is_dataclass, kinds)):
        raise LocalError(f"no encoding for {' | '.join(kind.__name__ for kind in kinds)}")
    codecs = [codec_of(kind) for kind in kinds]

    def write(value: Any, out: bytearray) -> None:
        if type(value) not in kinds:
            raise LocalError(f"{type(value).__name__} is none of {', '.join(kind.__name__ for kind in kinds)}")
        number = kinds.index(type(value))
        out.append(number)
        codecs[number].write(value, out)

    def read(reader: Reader) -> Any:
        number = reader.u8()
        if number >= len(codecs):
            raise WireError("bad-kind", offset=reader.offset)
        return codecs[number].read(reader)

    return Codec(write, read)


def _sequence(inner: Codec) -> Codec:
    def write(value: Any, out: bytearray) -> None:
        _write_int(len(value), out)
        for item in value:
            inner.write(item, out)

    def read(reader: Reader) -> tuple[Any, ...]:
        count = _read_int(reader)
        if count > reader.remaining:  # every item has at least one octet
            raise WireError("bad-count", offset=reader.offset)
        return tuple([inner.read(reader) for _ in range(count)])

    return Codec(write, read)


def _group(inner: tuple[Codec, ...]) -> Codec:
    def write(value: Any, out: bytearray) -> None:
        for codec, item in zip(inner, value, strict=True):
            codec.write(item, out)

    def read(reader: Reader) -> tuple[Any, ...]:
        return tuple([codec.read(reader) for codec in inner])

    return Codec(write, read)


def _mapping(pairs: Codec) -> Codec:
    def write(value: Any, out: bytearray) -> None:
        pairs.write(sorted(value.items()), out)

    def read(reader: Reader) -> dict[Any, Any]:
        items = pairs.read(reader)
        if any(one[0] >= two[0] for one, two in pairwise(items)):
            raise WireError("bad-order", offset=reader.offset)
        return dict(items)

    return Codec(write, read)


_CODECS = {number: codec_of(kind) for number, kind in TYPES.items()}
