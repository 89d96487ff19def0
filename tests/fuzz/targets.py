"""Everything that reads octets or text somebody else wrote. A new reader gets its line in TARGETS."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from ipsecd.crypto.certificates import unwrapped
from ipsecd.dataplane import codec
from ipsecd.errors import ConfigError, PeerError, WireError
from ipsecd.ike.cookie import peek
from ipsecd.wire.checksum import checksum
from ipsecd.wire.decoder import Decoder
from ipsecd.wire.decoders import DECODERS
from ipsecd.wire.reader import Reader
from tests.fuzz import certificates, policies, sealed, sealed_v1, signed
from tests.fuzz.mutate import mutated, mutated_text
from tests.unit.crypto.authority import ROOT
from tests.unit.dataplane.samples import MESSAGES

LONG = os.environ.get("IPSECD_FUZZ") == "long"
LONG_FACTOR = 40  # two million IKE datagrams
CASES = 5_000  # for each target that doesn't say otherwise

Repair = Callable[[bytes, Random], bytes]


@dataclass(frozen=True, slots=True)
class Target:
    """``decode`` returns a value or raises one of ``errors``. ``repair`` puts right what would keep a mutated input
    from getting any further, such as a checksum; it is used for half of the cases. ``mutate`` makes a case of the
    samples. ``plain`` is false for values that can't be compared, hashed and shown."""

    name: str
    decode: Callable[[bytes], object]
    encode: Callable[[Any], bytes] | None
    samples: tuple[bytes, ...]
    cases: int = CASES
    errors: tuple[type[Exception], ...] = (WireError,)
    repair: Repair | None = None
    mutate: Callable[[Random, Sequence[bytes]], bytes] = mutated
    plain: bool = True


def _right_ike_length(data: bytes, rng: Random) -> bytes:
    return data[:24] + len(data).to_bytes(4, "big") + data[28:] if len(data) >= 28 else data


def _whole_blocks(data: bytes, rng: Random) -> bytes:
    return _right_ike_length(data[: len(data) - (len(data) - 28) % 8], rng) if len(data) >= 28 else data


def _right_icmp_checksum(data: bytes, rng: Random) -> bytes:
    if len(data) < 28:
        return data
    clear = data[20:22] + bytes(2) + data[24:]
    return data[:22] + checksum(clear).to_bytes(2, "big") + data[24:]


def _peek(datagram: bytes) -> tuple[bytes | None, bytes]:
    """All that is read of an IKE_SA_INIT request before its cookie was good."""
    return peek(Reader(datagram).peek(16), datagram)


_CASES = {"ike-message": 50_000, "payload-chain": 20_000, "ip-packet": 20_000, "distinguished-name": 10_000}
_CASES |= {"payload-cp": 10_000, "payload-eap": 10_000}
_CASES |= {"v1-message": 20_000, "v1-chain": 20_000, "v1-sa": 20_000, "v1-id": 10_000}
_CASES |= {
    f"v1-nat-{kind}-{drafts}": 500 for kind in ("d", "oa") for drafts in ("drafts", "later-drafts")
}  # like NAT-D
_REPAIRS: dict[str, Repair] = {
    "ike-header": _right_ike_length,
    "ike-message": _right_ike_length,
    "v1-message": _right_ike_length,
    "icmp-error": _right_icmp_checksum,
}


def _of(decoder: Decoder) -> Target:
    cases, repair = _CASES.get(decoder.name, CASES), _REPAIRS.get(decoder.name)
    return Target(decoder.name, decoder.decode, decoder.encode, decoder.samples, cases, repair=repair)


TARGETS: tuple[Target, ...] = (
    *map(_of, DECODERS.values()),
    Target("ike-inside-sealed", sealed.decode_inside, None, sealed.INSIDES, 20_000),
    Target("ike-sealed", sealed.decode_datagram, None, sealed.DATAGRAMS, errors=(PeerError,), repair=_right_ike_length),
    Target("v1-inside-sealed", sealed_v1.decode_inside, None, sealed_v1.INSIDES, 10_000),
    Target(
        "v1-sealed", sealed_v1.decode_datagram, None, sealed_v1.DATAGRAMS, errors=(PeerError,), repair=_whole_blocks
    ),
    Target("ah-packet", signed.opened, None, signed.PACKETS, 20_000, errors=(PeerError,), repair=signed.signed),
    Target("certificate", certificates.read, None, certificates.SAMPLES, 3_000, errors=(PeerError,)),
    Target("certificate-on-the-way", certificates.judged, None, (ROOT.der,), 1_000, errors=(PeerError,)),
    Target("certificates-wrapped", unwrapped, None, (certificates.WRAPPED,), 2_000, errors=(PeerError,)),
    Target("cookie-peek", _peek, None, DECODERS["ike-message"].samples[:1]),
    Target("policy-file", policies.enforced, None, policies.TEXTS, 2_000, (ConfigError,), mutate=mutated_text),
    Target("control-message", codec.decode, codec.encode, tuple(map(codec.encode, MESSAGES)), 20_000, plain=False),
)
