"""ipsecd and libreswan on a Linux kernel that has IPsec itself, by IKEv2: an implementation of another descent."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.kernel_forms import hosts, natively, networks, signed
from tests.interop.kernel_gateway import Gateway
from tests.interop.kernel_libreswan import KernelLibreswan
from tests.interop.kernel_pair import Told, facing
from tests.interop.kernel_sas import sas, spis
from tests.interop.waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.peer, pytest.mark.xdist_group("kernel libreswan")]

whole = pytest.mark.whole
IN_UDP, NATIVE = ("esp", "tunnel", True), ("esp", "transport", False)
AH, AH_TUNNEL = ("ah", "transport", False), ("ah", "tunnel", False)
FORMS = [  # who calls, what is agreed, and the kernel's word for it
    pytest.param("ours", networks(4, "aes128gcm16", inside=(4,)), IN_UDP, id="ESP in UDP, in a tunnel"),
    pytest.param("theirs", natively(hosts(6, "aes128-sha256")), NATIVE, id="native ESP between hosts", marks=whole),
    pytest.param("theirs", signed(hosts(6, "sha256"), "sha256"), AH, id="AH between hosts"),
    pytest.param(
        "ours", signed(networks(6, "sha512", inside=(4,)), "sha512"), AH_TUNNEL, id="AH in a tunnel", marks=whole
    ),
]


@pytest.mark.parametrize(("caller", "told", "form"), FORMS)
@pytest.mark.usefixtures("inline")
def test_a_child_carries_traffic_and_so_does_the_one_that_replaces_it(
    kernel_gateway: Gateway, tmp_path: Path, caller: str, told: Told, form: tuple[str, str, bool]
) -> None:
    guest = kernel_gateway.guest
    theirs = KernelLibreswan(kernel_gateway, tmp_path.name, told.tunnel)
    with facing(kernel_gateway, tmp_path, told, theirs) as both:
        both.up(caller, told.versions[0])
        assert both.carries(told.versions[0])
        assert both.carries(told.versions[0], size=4_000)  # fragments, which a tunnel cuts if they are of IPv4
        assert [(sa.protocol, sa.mode, sa.in_udp) for sa in sas(guest)] == [form, form]
        before = spis(guest)
        if told.native == "AH":  # libreswan 4.10 would delete the old child of AH as one of ESP, with number 0
            both.ours.ctl("rekey", both.ours.children()[0]["name"])
        else:
            theirs.rekey("child")
        eventually(lambda: len(spis(guest)) == 2 and spis(guest).isdisjoint(before), "a new child")
        assert both.carries(told.versions[0])
        theirs.terminate()
        eventually(lambda: not both.ours.children(), "ipsecd hears of the end")
