"""The anti-replay window (RFC 4303 section 3.4.3) and the high half of extended sequence numbers (appendix A2).

The window is a ring of 64-bit blocks that is never shifted (RFC 6479): a sequence number's block and bit depend on
the number alone, and moving forward only clears the blocks entered. ``check`` looks and changes nothing; ``commit``
is called once the packet's ICV was right, so nothing unauthenticated moves the window.
"""

from __future__ import annotations

from enum import Enum

from ipsecd import limits
from ipsecd.errors import LocalError

_BLOCK_SHIFT = 6
_BIT = tuple(1 << place for place in range(1 << _BLOCK_SHIFT))
_BIT_MASK = len(_BIT) - 1
_LOW = 0xFFFF_FFFF
_SUBSPACE = 1 << 32  # the sequence numbers that share their high 32 bits
_LAST = (1 << 64) - 1


class Verdict(Enum):
    """What the window says of a sequence number."""

    FRESH = "fresh"
    REPLAYED = "replayed"
    BEHIND = "behind-window"


class ReplayWindow:
    """Which of the last ``size`` sequence numbers have been seen. ``top`` is the highest authenticated one.

    Raises LocalError for a size out of bounds.
    """

    __slots__ = ("_blocks", "_ring", "size", "top")

    def __init__(self, size: int = limits.REPLAY_WINDOW) -> None:
        if not limits.REPLAY_WINDOW_MIN <= size <= limits.REPLAY_WINDOW_MAX:
            raise LocalError(f"a replay window of {size} is out of bounds")
        self.size = size
        self.top = 0
        # One block more than the window spans, rounded up to a power of two (RFC 6479 section 2).
        blocks = 1 << (((size - 1) >> _BLOCK_SHIFT) + 1).bit_length()
        self._ring = blocks - 1
        self._blocks = [0] * blocks
        self._blocks[0] = 1  # no packet is numbered 0 (RFC 4303 section 3.3.3): it counts as seen

    def extend(self, low: int) -> int:
        """The 64-bit number of a packet that shows only its lower 32 bits (RFC 4303 appendix A2.2)."""
        bottom = self.top - self.size + 1
        sequence = (bottom & ~_LOW) | low
        if sequence < bottom:
            sequence += _SUBSPACE
        # There is no subspace before the first and none behind the last.
        return sequence if 0 <= sequence <= _LAST else low

    def check(self, sequence: int) -> Verdict:
        """Whether a packet with this number may be fresh; changes nothing."""
        if sequence > self.top:
            return Verdict.FRESH
        if sequence <= self.top - self.size:
            return Verdict.BEHIND
        seen = self._blocks[(sequence >> _BLOCK_SHIFT) & self._ring] & _BIT[sequence & _BIT_MASK]
        return Verdict.REPLAYED if seen else Verdict.FRESH

    def commit(self, sequence: int) -> Verdict:
        """Mark the number of an authentic packet as seen; anything but FRESH changes nothing."""
        verdict = self.check(sequence)
        if verdict is not Verdict.FRESH:
            return verdict
        block = sequence >> _BLOCK_SHIFT
        if sequence > self.top:
            if entered := block - (self.top >> _BLOCK_SHIFT):
                for step in range(min(entered, self._ring + 1)):
                    self._blocks[(block - step) & self._ring] = 0
            self.top = sequence
        self._blocks[block & self._ring] |= _BIT[sequence & _BIT_MASK]
        return verdict

    def commit_run(self, first: int, count: int) -> None:
        """Mark ``count`` numbers from ``first`` on, all above ``top`` and authentic, as seen."""
        last = first + count - 1
        highest = last >> _BLOCK_SHIFT
        entered = highest - (self.top >> _BLOCK_SHIFT)
        for step in range(min(entered, self._ring + 1)):
            self._blocks[(highest - step) & self._ring] = 0
        for block in range(max(first >> _BLOCK_SHIFT, highest - self._ring), highest + 1):
            start = max(first - (block << _BLOCK_SHIFT), 0)
            end = min(last - (block << _BLOCK_SHIFT), _BIT_MASK)
            self._blocks[block & self._ring] |= (1 << end + 1) - (1 << start)
        self.top = last
