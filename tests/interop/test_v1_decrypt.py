"""A capture of IKEv1 decrypts in tshark, phase 1 and what follows, with the keys that ipsecctl exports."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.interop.standing import Standing
from tests.interop.test_decrypt import NONE, tshark
from tests.interop.v1_terms import keyed
from tests.interop.wire import Wire

pytestmark = [pytest.mark.root, pytest.mark.peer, pytest.mark.xdist_group("v1 inline")]

SUITES = {
    "aes128-sha256-prfsha256-modp2048": "aes128-sha256-modp2048",
    "3des-sha1-prfsha1-modp1024": "aes256gcm16",
}


@pytest.mark.parametrize("initiator", ["ours", "theirs"])
@pytest.mark.parametrize(("ike", "esp"), SUITES.items(), ids=SUITES)
def test_capture_decrypts(v1_inline: Standing, tmp_path: Path, ike: str, esp: str, initiator: str) -> None:
    with v1_inline.told(keyed(ike=ike, esp=esp, keylog=True)) as both:
        with Wire(both.sites) as wire:
            both.up(initiator)
            assert both.carries()
        keys = both.ours.ctl("keys", "export")
    capture = tmp_path / "wire.pcap"
    wire.save(capture)
    identities = tshark(capture, keys, "isakmp.exchangetype == 2", "isakmp.id.data.fqdn")
    assert sorted(filter(None, identities)) == ["ours.example", "theirs.example"]
    networks = tshark(capture, keys, "isakmp.exchangetype == 32", "isakmp.id.data.ipv4_addr")
    assert {network for line in networks for network in line.split(",") if network} == {"10.1.0.0", "10.2.0.0"}
    pings = tshark(capture, keys, "icmp", "icmp.type", "esp.icv_good")
    assert Counter(pings) == {"8\t1": 6, "0\t1": 6}
    assert tshark(capture, NONE, "icmp || isakmp.id.data.fqdn", "frame.number") == []
