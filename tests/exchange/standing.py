"""A pair as a handshake leaves it, without the handshake, which would be half of the time of a collision."""

from __future__ import annotations

from ipsecd.crypto import algorithms
from ipsecd.crypto.keymat import derive_ike
from ipsecd.crypto.secret import Secret
from ipsecd.ike.config import Path
from ipsecd.ike.exchange import Admitted
from ipsecd.ike.narrowing import Narrowed
from ipsecd.ike.sa import IkeSa
from ipsecd.ike.suites import IkeSuite
from ipsecd.ike.v2.ask import Ask
from ipsecd.ike.v2.child import begin, granted
from ipsecd.ike.v2.grant import grant_first
from ipsecd.wire.form import TUNNEL
from ipsecd.wire.registry import Encr, Group, Prf
from tests.exchange.gateways import A, B, Pair
from tests.exchange.network import endpoint

AT_A, AT_B = endpoint(A, 4500), endpoint(B, 4500)


def _suite() -> IkeSuite:
    encryption = algorithms.encryption(Encr.AES_GCM_16, 128)
    prf, group = algorithms.prf(Prf.HMAC_SHA2_256), algorithms.group(Group.CURVE25519)
    assert encryption is not None
    assert prf is not None
    assert group is not None
    return IkeSuite(encryption, None, prf, group)


SUITE = _suite()


def stand(pair: Pair) -> Pair:
    """Gateway a has called b: the IKE SA and the first child are up, and each has had two messages of a."""
    now = pair.net.now
    cores = (pair.a.ike._core, pair.b.ike._core)
    spi_i, spi_r = (core.fresh_ike_spi() for core in cores)
    ni, nr = (core.entropy.octets(32) for core in cores)
    secret = Secret(b"what both ends have agreed upon.")
    ends = []
    for core, path, initiator in ((cores[0], Path(AT_A, AT_B, True), True), (cores[1], Path(AT_B, AT_A, True), False)):
        core.now = now
        sa = IkeSa(core, path, initiator=initiator, spi_i=spi_i, spi_r=spi_r)
        keys = derive_ike(SUITE.prf.id, SUITE.encryption, SUITE.integrity, ni, nr, secret, spi_i, spi_r)
        sa.secure(SUITE, keys, (ni, nr))
        sa.window.next_request, sa.window.expected = (2, 0) if initiator else (0, 2)
        sa.fragmentation = True
        sa.establish((core.config.peers[0],))
        ends.append(sa)
    at_a, at_b = ends
    asked, given = at_a.peer.children[0], at_b.peer.children[0]
    ask = Ask.first(at_a, at_a.peer, asked, None)
    best = Narrowed(at_b.peer, given, given.local, given.remote, more=False)
    of_b, answer = grant_first(at_b, Admitted(ask.payloads_of_auth()), best, TUNNEL)
    granted(of_b)
    of_a = ask.accept(at_a, Admitted(answer), (ni, nr))
    assert of_a is not None
    begin(of_a)
    for node, core in zip((pair.a, pair.b), cores, strict=True):
        pair.do(node, core.take_effects())
    return pair
