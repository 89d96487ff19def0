"""IKE_SA_INIT and IKE_AUTH between two cores."""

from __future__ import annotations

from tests.exchange.gateways import Pair


def test_two_cores_make_an_ike_sa_and_its_first_child() -> None:
    pair = Pair()
    assert pair.up()
    assert len(pair.net.sent) == 4
