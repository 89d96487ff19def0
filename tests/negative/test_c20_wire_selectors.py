"""C20, the reading part and narrowing: traffic selectors (CVE-2023-23009, CVE-2023-38711)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecd.errors import WireError
from ipsecd.wire.ikev2 import decode_chain
from ipsecd.wire.payloads import TsI
from ipsecd.wire.registry import NotifyType, Payload
from ipsecd.wire.selector import OPAQUE, Selector, narrow
from tests.property.wire_values import selectors


def read(body: str) -> TsI:
    octets = bytes.fromhex(body)
    (payload,) = decode_chain(Payload.TSI, bytes(2) + (4 + len(octets)).to_bytes(2, "big") + octets)
    assert isinstance(payload, TsI)
    return payload


@pytest.mark.parametrize(
    "body",
    [
        "01000000 07 00 0010 0000 ffff c0000201 c0000200",  # start > end
        "01000000 08 00 0028 0000 ffff" + "00" * 15 + "01" + "00" * 16,
        "01000000 07 06 0010 01bb 0050 c0000200 c00002ff",  # ports reversed
        "01000000 07 06 0010 ffff 0001 c0000200 c00002ff",  # nearly OPAQUE
        "01000000 07 06 0010 fffe 0000 c0000200 c00002ff",
        "01000000 08 00 0010 0000 ffff c0000200 c00002ff",  # v4 in v6
        "01000000 07 00 0028 0000 ffff" + "00" * 16 + "ff" * 16,  # v6 in v4
        "00000000",  # no selector
        "00000000 07 00 0010 0000 ffff c0000200 c00002ff",
        "ff000000 07 00 0010 0000 ffff c0000200 c00002ff",
        "ff000000" + "07000010 0000ffff c0000200 c00002ff" * 254,
        "ff000000" + "07000010 0000ffff c0000200 c00002ff" * 256,
        "01000000 07 00 0000",  # lengths of nothing
        "01000000 07 00 0008 0000 ffff",
        "01000000",
    ],
)
def test_selectors_that_cannot_be_are_invalid_syntax(body: str) -> None:
    with pytest.raises(WireError) as caught:
        read(body)
    assert caught.value.notify == NotifyType.INVALID_SYNTAX


def test_a_type_we_do_not_know_selects_nothing() -> None:
    """It is well-formed, so the rest of the payload counts; but what it may mean is never narrowed to."""
    payload = read("02000000 09 00 0010 0000 ffff 00000000 ffffffff 07 00 0010 0000 ffff c0000200 c00002ff")
    assert payload.selectors == (Selector.net("192.0.2.0/24"),)
    alone = read("01000000 09 00 0010 0000 ffff 00000000 ffffffff")
    assert alone.selectors == ()
    assert narrow(alone.selectors, (Selector.net("0.0.0.0/0"),)) == ()


boxes = st.lists(selectors(), max_size=5).map(tuple)
small = st.builds(
    Selector.net,
    st.sampled_from(("10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32", "10.2.0.0/16", "0.0.0.0/0", "::/0")),
    st.sampled_from((0, 6, 17)),
    st.sampled_from(((0, 65_535), (80, 80), (1, 1_023), OPAQUE)),
)
near = st.lists(small, max_size=5).map(tuple)


@given(boxes | near, boxes | near)
def test_what_is_narrowed_lies_inside_the_offer_and_inside_the_configuration(
    offered: tuple[Selector, ...], allowed: tuple[Selector, ...]
) -> None:
    for box in narrow(offered, allowed):
        assert any(offer.contains(box) for offer in offered)
        assert any(allow.contains(box) for allow in allowed)


@given(near, near)
def test_nothing_that_both_want_is_lost(offered: tuple[Selector, ...], allowed: tuple[Selector, ...]) -> None:
    narrowed = narrow(offered, allowed)
    for offer in offered:
        for allow in allowed:
            both = offer.intersect(allow)
            assert both is None or any(box.contains(both) for box in narrowed)


@given(near, near)
def test_narrowing_again_changes_nothing(offered: tuple[Selector, ...], allowed: tuple[Selector, ...]) -> None:
    narrowed = narrow(offered, allowed)
    assert narrow(narrowed, allowed) == narrowed
    assert len(set(narrowed)) == len(narrowed)
