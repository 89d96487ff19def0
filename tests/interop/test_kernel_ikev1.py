"""IKEv1 with strongSwan and libreswan on a Linux kernel that has IPsec itself: quick modes for ESP, in UDP and native,
and for AH, in tunnel and in transport mode."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.kernel_forms import by_ikev1, hosts, natively, networks, signed
from tests.interop.kernel_gateway import Gateway
from tests.interop.kernel_libreswan import KernelLibreswan
from tests.interop.kernel_pair import Told, facing
from tests.interop.kernel_sas import sas, spis
from tests.interop.kernel_strongswan import KernelStrongSwan
from tests.interop.traffic import Ping
from tests.interop.waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.peer, pytest.mark.xdist_group("kernel ikev1")]

PEERS = {"strongswan": KernelStrongSwan, "libreswan": KernelLibreswan}
Form = tuple[str, str, bool]  # protocol, mode, and whether it's in UDP: the kernel's word
FORMS: dict[str, tuple[Told, Form]] = {
    "ESP in UDP, in a tunnel": (networks(4, "aes128-sha256-modp2048", inside=(4,)), ("esp", "tunnel", True)),
    "ESP in UDP between hosts": (hosts(4, "aes256gcm16"), ("esp", "transport", True)),
    "native ESP in a tunnel": (natively(networks(6, "aes128gcm16", inside=(4,))), ("esp", "tunnel", False)),
    "native ESP between hosts": (natively(hosts(4, "aes128-sha256")), ("esp", "transport", False)),
    "AH in a tunnel": (signed(networks(4, "sha512", inside=(4,)), "sha512"), ("ah", "tunnel", False)),
    "AH between hosts": (signed(hosts(6, "sha256"), "sha256"), ("ah", "transport", False)),
}
# Each form with each peer is enough for every run, called by either in turn; the other way round is for the whole.
CASES = [
    pytest.param(
        peer,
        caller,
        name,
        id=f"{name}, {peer}, {caller}",
        marks=() if (number + (peer == "libreswan") + (caller == "theirs")) % 2 else pytest.mark.whole,
    )
    for number, name in enumerate(FORMS)
    for peer in PEERS
    for caller in ("ours", "theirs")
]


@pytest.mark.parametrize(("peer", "caller", "name"), CASES)
@pytest.mark.usefixtures("inline")
def test_quick_modes_carry_traffic_while_they_replace_each_other(
    kernel_gateway: Gateway, tmp_path: Path, peer: str, caller: str, name: str
) -> None:
    guest, (told, form) = kernel_gateway.guest, FORMS[name]
    told = by_ikev1(told)
    theirs = PEERS[peer](kernel_gateway, tmp_path.name, told.tunnel)
    version = told.versions[0]
    with facing(kernel_gateway, tmp_path, told, theirs) as both:
        both.up(caller, version)
        assert both.carries(version)
        assert both.carries(version, size=4_000)  # fragments, which a tunnel cuts
        assert {(sa.protocol, sa.mode, sa.in_udp) for sa in sas(guest)} == {form}
        assert {sa["version"] for sa in both.ours.ask("sas")["sas"]} == {"IKEv1"}
        with Ping(both.sites, both.near, both.host(both.far, version), tmp_path / "ping") as ping:
            before = spis(guest)
            both.ours.ctl("rekey", both.ours.children()[0]["name"])
            eventually(lambda: len(spis(guest) - before) == 2, "a new pair")
            ping.flows()
            between = spis(guest)
            both.theirs.rekey("child")
            eventually(lambda: len(spis(guest) - between) == 2, "another pair")
            ping.flows()
        lost = guest.run("grep", "-v", r"\s0$", "/proc/net/xfrm_stat", check=False).output
        assert ping.gaps == [], f"what the kernel has counted: {lost}, and ipsecd: {both.ours.ask('status')['drops']}"
        both.theirs.terminate()
        eventually(lambda: not both.ours.children(), "ipsecd hears of the end")
