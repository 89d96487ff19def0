"""IKEv1 by configurations: two desks find each other, by the rules that they have."""

from __future__ import annotations

from tests.exchange.v1_desks import pair


def test_main_mode_with_a_key_leads_to_sas_on_both_sides() -> None:
    net = pair()
    net.want(net.a).run(5.0)
    assert net.agree(1), (net.a.reports, net.b.reports, net.a.core.counters, net.b.core.counters)
    assert (net.a.told, net.b.told) == ([("made", "net")], [("granted", "net")])
    assert [report.event for report in net.a.reports] == ["ike-calling", "ike-established", "child-established"]
    assert [report.event for report in net.b.reports] == ["ike-established", "child-established"]
    assert net.a.desk.up("net")
    assert net.b.desk.up("net")
