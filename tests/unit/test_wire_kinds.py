"""What the tests with real packets take for protected."""

from __future__ import annotations

import pytest

from tests.interop.wire import expected

KINDS = {  # where all is in UDP, where ESP is native, where AH is
    "IKE": (True, True, True),
    "link": (True, True, True),
    "ESP in UDP": (True, False, False),
    "AH in UDP": (True, False, False),
    "ESP 192.0.2.1 > 192.0.2.2": (False, True, False),
    "AH 192.0.2.1 > 192.0.2.2": (False, False, True),
    "ICMP 192.0.2.1 > 192.0.2.2": (False, False, False),
    "fragment of ESP 192.0.2.1 > 192.0.2.2": (False, False, False),  # of a packet whose beginning wasn't seen
}


@pytest.mark.parametrize("what", KINDS)
def test_native_packets_are_expected_where_nothing_is_in_udp(what: str) -> None:
    assert tuple(expected(what, native) for native in ("", "ESP", "AH")) == KINDS[what]
