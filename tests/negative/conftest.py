"""What the negative tests of the wire share."""

from __future__ import annotations

import pytest

from ipsecd.wire.reader import Reader


class Reads:
    """How often octets were asked of any Reader; set ``count`` to 0 to start again."""

    count = 0


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """Counts the work of a decoder, so that it can be bounded without a clock."""
    reads = Reads()
    claim = Reader._claim

    def counted(self: Reader, octets: int) -> memoryview:
        reads.count += 1
        return claim(self, octets)

    monkeypatch.setattr(Reader, "_claim", counted)
    return reads
