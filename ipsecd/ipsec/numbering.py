"""Which number a packet that came has, and that it comes once: the same for AH and ESP (RFC 4302 section 3.4.3, RFC
4303 section 3.4.3).

The window is asked first, and moved only once the ICV was right: nothing unauthenticated changes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ipsecd import limits
from ipsecd.errors import PeerError
from ipsecd.ipsec.replay import Verdict
from ipsecd.ipsec.sa import InboundSa

_SUBSPACE = 1 << 32
T = TypeVar("T")


def once(sa: InboundSa, low: int, attempt: Callable[[bytes], T]) -> tuple[int, bool, T]:
    """Take a packet that shows ``low`` as the low half of its number: the number, whether none was higher before, and
    what ``attempt`` gives. That opens it with the high half, which is protected but not sent, and raises PeerError
    ``bad-icv`` if it isn't authentic. So does this, and ``replayed`` and ``behind-window``; whatever else ``attempt``
    raises comes through."""
    sequence = sa.window.extend(low) if sa.esn else low
    verdict = sa.window.check(sequence)
    if verdict is not Verdict.FRESH:
        raise PeerError(verdict.value)
    try:
        inside = attempt(sa.high(sequence))
    except PeerError as error:
        if error.reason != "bad-icv":
            raise
        sequence, inside = _resynchronise(sa, sequence, attempt, error)
    sa.failures = 0
    newest = sequence > sa.window.top
    sa.window.commit(sequence)
    return sequence, newest, inside


def _resynchronise(sa: InboundSa, sequence: int, attempt: Callable[[bytes], T], error: PeerError) -> tuple[int, T]:
    """After 2^32 packets lost in a row the high half of an extended number is guessed wrong for ever. So once in so
    many failures one packet is tried with later ones (RFC 4303 appendix A3)."""
    sa.failures += 1
    if not sa.esn or sa.failures % limits.ESN_RESYNC_AFTER:
        raise error
    for ahead in range(1, limits.ESN_RESYNC_TRIES + 1):
        later = sequence + ahead * _SUBSPACE
        if later > sa.last:
            break
        try:
            return later, attempt(sa.high(later))
        except PeerError:
            continue
    raise error
