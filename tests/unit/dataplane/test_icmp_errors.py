"""ICMP errors in transit: they go by themselves, or else by the packet they quote (RFC 4301 section 6.2)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ipsecd.dataplane import messages as m
from ipsecd.dataplane.results import Out, ToTun
from ipsecd.wire.selector import Selector
from tests.unit.dataplane.ends import End, authentic, only, protect, tunnel
from tests.unit.ipsec.packets import error, syn, udp

V4 = ("10.1.0.1", "10.2.0.1")
V6 = ("2001:db8:1::1", "2001:db8:2::1")

# --- going out --------------------------------------------------------------------------------------------------


def only_web() -> End:
    """The near end, which protects TCP port 80 of its own net and nothing else."""
    end = End(near=True)
    end.policy(protect((Selector.net("10.1.0.0/16", 6, (80, 80)), Selector.net("10.2.0.0/16", 6))))
    return end


ABOUT = syn("10.2.0.1", "10.1.0.1", 1_400)  # came out of the tunnel, to port 80
ROUTER = "172.16.0.1"


def test_an_icmp_error_goes_where_answers_to_what_it_quotes_go() -> None:
    """RFC 4301 section 6.2."""
    end = only_web()
    end.install_outbound(local=(Selector.net("10.1.0.0/16", 6, (80, 80)),), remote=(Selector.net("10.2.0.0/16", 6),))
    assert len(only(end.send(error(ROUTER, ABOUT)), Out)) == 1
    assert end.counters().entries == {"all": 1}
    assert end.send(error(ROUTER, udp("10.2.0.1", "10.1.0.1"))) == []
    assert end.send(error(ROUTER, ABOUT, to="10.2.0.2")) == []
    assert end.drops == {"no-policy": 2}


def test_no_sa_is_asked_for_because_of_an_icmp_error() -> None:
    end = only_web()
    assert end.send(error(ROUTER, ABOUT)) == []
    assert end.drops == {"no-sa-for-error": 1}


def test_an_icmp_error_that_an_entry_holds_is_like_any_packet() -> None:
    end = End(near=True)
    end.policy()
    (acquire,) = end.send(error("10.1.0.9", ABOUT))
    assert acquire == m.Acquire("child", ip_address("10.1.0.9"), ip_address("10.2.0.1"), 1, 0x0301, None)


# --- coming in --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ends", "router", "stranger"),
    [(V4, "172.16.0.1", "10.2.0.2"), (V6, "2001:db8:f::1", "2001:db8:2::2")],
)
def test_an_icmp_error_from_outside_the_selectors_passes_only_about_a_packet_inside(
    ends: tuple[str, str], router: str, stranger: str
) -> None:
    """RFC 4301 section 6.2: a peer must not end connections with others."""
    near, far = tunnel()
    next_header = 4 if ends == V4 else 41
    about = udp(*ends[::-1])  # the far host sent this
    passing = error(router, about)
    assert only(far.receive(authentic(near, next_header, passing)), ToTun) == [ToTun(passing)]
    others = {4: udp("10.2.0.1", "10.7.0.1"), 41: udp("2001:db8:2::1", "2001:db8:7::1")}[next_header]
    for refused in (error(router, others), error(router, udp(*ends)), error(router, about, to=stranger)):
        assert only(far.receive(authentic(near, next_header, refused)), ToTun) == []
    assert far.drops == {"outside-selectors": 3}


@pytest.mark.parametrize(
    ("action", "reason"), [("discard", "policy-discard"), ("bypass", "policy-mismatch"), ("protect", "policy-mismatch")]
)
def test_an_entry_that_holds_the_error_itself_decides_about_it(action: str, reason: str) -> None:
    """Whatever the error quotes: a block of ICMP is a block of ICMP."""
    near, far = tunnel()
    icmp = (Selector.net("10.2.0.0/16", 1), Selector.net("0.0.0.0/0", 1))
    entry = m.SpdEntry("icmp", "r", action, (icmp,), "other" if action == "protect" else "")
    far.policy(entry, protect(*zip(far.local, far.remote, strict=True)))
    assert only(far.receive(authentic(near, 4, error(ROUTER, udp(*V4[::-1])))), ToTun) == []
    assert far.drops == {reason: 1}


def test_an_error_inside_the_selectors_meets_its_own_entry_too() -> None:
    near, far = tunnel()
    icmp = (Selector.net("10.2.0.0/16", 1), Selector.net("10.1.0.0/16", 1))
    far.policy(m.SpdEntry("icmp", "r", "discard", (icmp,)), protect(*zip(far.local, far.remote, strict=True)))
    assert only(far.receive(authentic(near, 4, error("10.1.0.9", udp(*V4[::-1])))), ToTun) == []
    assert far.drops == {"policy-discard": 1}


@pytest.mark.parametrize(
    ("ends", "router", "kind"),
    [(V4, "172.16.0.1", 5), (V4, "172.16.0.1", 4), (V4, "10.2.0.254", 3), (V6, "2001:db8:2::ff", 1)],
)
def test_no_redirect_and_nobody_on_our_own_side_comes_in_by_a_quote(
    ends: tuple[str, str], router: str, kind: int
) -> None:
    """A peer that sends in the name of a router on our side could turn our hosts' traffic elsewhere."""
    near, far = tunnel()
    packet = error(router, udp(*ends[::-1]), kind=kind)
    assert only(far.receive(authentic(near, 4 if ends == V4 else 41, packet)), ToTun) == []
    assert far.drops == {"outside-selectors": 1}
