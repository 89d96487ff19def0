"""What crossed the wire tells a VPN from none."""

from __future__ import annotations

import pytest

from scripts.measuring.turn import look_at

OTHER = bytes(60)
SHOWN = bytes.fromhex("0800 45000054") + b"\x05e to all.readable to all.readable to"
HIDDEN = SHOWN.replace(b"readable to all.", b"\x8f\x02\xd1\x77" * 4)


def test_a_vpn_whose_pings_can_be_read_is_none() -> None:
    look_at([OTHER, HIDDEN], in_clear=False)
    with pytest.raises(RuntimeError, match="in clear"):
        look_at([HIDDEN, SHOWN, OTHER], in_clear=False)


def test_pings_that_go_in_clear_have_to_be_seen() -> None:
    look_at([OTHER, SHOWN], in_clear=True)
    with pytest.raises(RuntimeError, match="hidden"):
        look_at([OTHER, HIDDEN], in_clear=True)
