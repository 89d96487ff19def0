"""What stands in a list inside an SA payload, of both versions of IKE: proposals, and transforms in a proposal.

Each begins with whether another one follows, a reserved octet and a length, which counts these four octets (RFC 7296
section 3.3, RFC 2408 sections 3.5 and 3.6).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeVar

from ipsecd.errors import WireError
from ipsecd.wire.reader import Reader

_LAST = 0
MORE_PROPOSALS = 2
MORE_TRANSFORMS = 3
_HEADER_OCTETS = 4
_T = TypeVar("_T")


def decode_list(r: Reader, more: int, most: int, reason: str, decode: Callable[[Reader], _T]) -> tuple[_T, ...]:
    """One to ``most`` of them; ``more`` announces another one. Raises WireError: ``bad-last-substructure``; ``reason``
    beyond ``most``; those of ``decode``, which gets what stands behind the length."""
    found: list[_T] = []
    following = more
    while following == more:
        if len(found) == most:
            raise WireError(reason, offset=r.offset)
        following, _ = r.unpack("!BB")
        if following not in (_LAST, more):
            raise WireError("bad-last-substructure", f"{following} is neither {_LAST} nor {more}", offset=r.offset)
        with r.window(r.u16() - _HEADER_OCTETS) as body:
            found.append(decode(body))
    return tuple(found)


def encode_list(bodies: list[bytes], more: int) -> bytes:
    """Raises struct.error for one that is too long for its length field."""
    flags = [more] * (len(bodies) - 1) + [_LAST]
    return b"".join(
        struct.pack("!BBH", flag, 0, len(body) + _HEADER_OCTETS) + body
        for flag, body in zip(flags, bodies, strict=True)
    )
