"""IKEv1 with all that can be said: every suite of both phases, every pairing of offers, and every kind of phase 1 with
every kind of phase 2, each as both ends have it in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import pytest

from ipsecd.crypto import algorithms
from ipsecd.ike.suites import ChildSuite, EspSuite
from ipsecd.ike.v1.access import Client, Gateway
from ipsecd.ike.v1.child_suites import can_be_said
from ipsecd.ike.v1.gate import Gate
from ipsecd.ike.v1.quick_terms import QuickTerms
from ipsecd.ike.v1.session import Settings
from ipsecd.ike.v1.suites import IsakmpSuite
from ipsecd.ike.v1.terms import Terms
from ipsecd.pki.raw_chain import RawChain
from ipsecd.wire.registry import Encr, Group, Integ, Prf
from ipsecd.wire.registry_v1 import OakleyAuth
from tests.exchange.network import Link
from tests.exchange.phase_1 import Wire, same, sas, signed, suite
from tests.exchange.phase_1 import terms as of_phase_1
from tests.exchange.phase_2 import line, mirrored, of_hosts, terms
from tests.exchange.test_v1_aggressive_mode import shown
from tests.exchange.test_v1_quick_mode import same as made_the_same
from tests.exchange.v1_gateways import Gateways
from tests.exchange.v1_remote import Users, user
from tests.exchange.v1_suites import ah, both, esp
from tests.unit.crypto.authority import NOW, ROOT

GROUP = Group.CURVE25519
BAD = Link(loss=0.2, duplication=0.2, delay=(0.01, 0.8))
BITS = (None, 128, 192, 256)


def all_of_esp() -> list[EspSuite]:
    """By every cipher and, where it doesn't authenticate itself, every MAC."""
    found = []
    for encr, bits in product(Encr, BITS):
        encryption = algorithms.encryption(encr, bits)
        if encryption is None:
            continue
        macs = [None] if encryption.icv_octets else [integ for integ in Integ if algorithms.integrity(integ)]
        found += [EspSuite(encryption, None if mac is None else algorithms.integrity(mac), None, False) for mac in macs]
    return [each for each in found if can_be_said(each)]


ALL_OF_AH = [made for integ in Integ if algorithms.ah_integrity(integ) and can_be_said(made := ah(integ))]
ALL_OF_ESP = all_of_esp()


def test_that_is_as_much_as_there_is() -> None:
    assert (len(ALL_OF_ESP), len(ALL_OF_AH)) == (93, 9)


def kinds_of_ends(*, transport: bool) -> dict[str, object]:
    if not transport:
        return {}
    ours, theirs = of_hosts()
    return {"local": ours, "remote": theirs, "transport": True}


# --- every suite --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", [False, True])
@pytest.mark.parametrize("group", [None, GROUP])
@pytest.mark.parametrize("esn", [False, True])
def test_every_suite_of_esp_and_of_ah_alone_and_with_the_other(transport: bool, group: Group | None, esn: bool) -> None:
    info = None if group is None else algorithms.group(group)
    inside, around = ([replace(each, group=info, esn=esn) for each in suites] for suites in (ALL_OF_ESP, ALL_OF_AH))
    bundles = [both(replace(each, group=None), inside[0]) for each in around]
    bundles += [both(replace(around[0], group=None), each) for each in inside]
    for each in (*inside, *around, *bundles):
        wire = line(terms(each, **kinds_of_ends(transport=transport))).run(1.0)  # type: ignore[arg-type]  # its parameters
        made_the_same(wire)
        assert wire.r.pairs[0].suite == each


def all_of_isakmp() -> list[IsakmpSuite]:
    ciphers = [
        (Encr.DES, None),
        (Encr.TRIPLE_DES, None),
        *((encr, bits) for encr in (Encr.AES_CBC, Encr.CAMELLIA_CBC) for bits in (128, 192, 256)),
    ]
    hashes = (Prf.HMAC_MD5, Prf.HMAC_SHA1, Prf.HMAC_SHA2_256, Prf.HMAC_SHA2_384, Prf.HMAC_SHA2_512)
    return [suite(*cipher, prf) for cipher, prf in product(ciphers, hashes)]


@pytest.mark.parametrize("each", all_of_isakmp(), ids=str)
def test_every_suite_of_phase_1_with_quick_modes_by_it(each: IsakmpSuite) -> None:
    made = terms(both(ah(), esp(group=GROUP)))
    net = Gateways(Settings((made,)), Settings((mirrored(made),)), suites=(each,)).up(5.0)
    assert [sa.suite for end in (net.i, net.r) for sa in end.all.isakmp_sas] == [each] * 2


# --- every pairing of offers --------------------------------------------------------------------------------------


CHILDREN: dict[str, ChildSuite] = {
    "esp": esp(),
    "esp, another": esp(Encr.AES_CBC, 256, Integ.HMAC_SHA2_512_256),
    "esp with pfs": esp(group=GROUP),
    "aead": esp(Encr.AES_GCM_16, 256, None),
    "aead with pfs": esp(Encr.AES_GCM_16, 256, None, GROUP),
    "esn": esp(esn=True),
    "ah": ah(),
    "ah with pfs": ah(group=GROUP),
    "ah+esp": both(ah(), esp()),
    "ah+esp with pfs": both(ah(), esp(group=GROUP)),
}


@pytest.mark.parametrize("transport", [False, True])
@pytest.mark.parametrize("first", CHILDREN)
def test_of_two_offers_the_first_that_the_other_has_is_taken(first: str, transport: bool) -> None:
    """The second is offered if it's of the same group; ESN only if there is nothing else."""
    kind = kinds_of_ends(transport=transport)
    for second, wanted in product(CHILDREN.values(), CHILDREN.values()):
        said = [each for each in (CHILDREN[first], second) if each != CHILDREN["esn"]] or [CHILDREN["esn"]]
        offered = [each for each in said if each.group == said[0].group]
        of_i = terms(CHILDREN[first], second, **kind)  # type: ignore[arg-type]  # its parameters
        wire = line(of_i, mirrored(replace(of_i, suites=(wanted,)))).run(1.0)
        if wanted in offered:
            made_the_same(wire)
            assert wire.r.pairs[0].suite == wanted
        else:
            assert (wire.i.pairs, wire.r.pairs) == ([], [])
            assert wire.i.failures == ["the peer says NO_PROPOSAL_CHOSEN"]
        assert [end.core.counters["internal-error"] for end in (wire.i, wire.r)] == [0, 0]


SUITES = (
    suite(),
    suite(bits=256),
    suite(Encr.TRIPLE_DES, None, Prf.HMAC_SHA1),
    suite(prf_id=Prf.HMAC_SHA2_512),
    suite(group=Group.ECP_256),
    suite(method=OakleyAuth.RSA_SIGNATURE),
)


def with_suites(of_1: Terms, *suites: IsakmpSuite) -> Terms:
    return replace(of_1, suites=suites, key=of_phase_1().key)


@pytest.mark.parametrize("aggressive", [False, True])
@pytest.mark.parametrize("first", range(len(SUITES)))
def test_of_two_offers_of_phase_1_the_first_that_the_other_has_is_taken(first: int, aggressive: bool) -> None:
    of_i, of_r = shown(signed()), shown(signed("b.example", "a.example"))
    for second, one, other in product(SUITES, SUITES, SUITES):
        ours = [SUITES[first]]
        if not aggressive or second.group == ours[0].group:
            ours.append(second)
        wanted = next((each for each in ours if each in (one, other)), None)
        wire = Wire(with_suites(of_i, SUITES[first], second), with_suites(of_r, one, other), aggressive=aggressive).run(
            1.0
        )
        if wanted is None:
            assert (wire.i.sa, wire.r.sa) == (None, None)
            assert wire.r.core.counters["no-proposal-chosen"] >= 1
        else:
            same(wire)
            assert sas(wire)[1].suite == wanted


# --- every phase 1 with every phase 2 -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """Of phase 1: terms of both ends, and who comes in from elsewhere."""

    of_i: Terms
    of_r: Terms
    aggressive: bool = False
    client: Client | None = None
    gateway: Callable[[], Gateway] | None = None


def by(method: OakleyAuth, *, aggressive: bool = False, hybrid: bool = False) -> Kind:
    """With a user, who is asked for."""
    of_i, of_r = signed(), signed("b.example", "a.example")
    if hybrid:
        of_i = replace(of_i, suites=(), certified=None, trust=RawChain((ROOT.certificate,), lambda: NOW))
    offered = suite(method=method)
    of_i, of_r = (shown(with_suites(each, offered)) for each in (of_i, of_r))
    return Kind(of_i, of_r, aggressive, Client(user()), lambda: Gateway(Gate(Users().judge)))


KEYS, SIGNS = (of_phase_1(), of_phase_1("b.example", "a.example")), (signed(), signed("b.example", "a.example"))
KINDS = {
    "main mode, key": Kind(*KEYS),
    "main mode, signatures": Kind(*SIGNS),
    "aggressive mode, key": Kind(*map(shown, KEYS), aggressive=True),
    "aggressive mode, signatures": Kind(*map(shown, SIGNS), aggressive=True),
    "main mode, key and user": by(OakleyAuth.XAUTH_INIT_PSK),
    "main mode, signatures and user": by(OakleyAuth.XAUTH_INIT_RSA),
    "main mode, hybrid": by(OakleyAuth.HYBRID_INIT_RSA, hybrid=True),
    "aggressive mode, key and user": by(OakleyAuth.XAUTH_INIT_PSK, aggressive=True),
    "aggressive mode, hybrid": by(OakleyAuth.HYBRID_INIT_RSA, aggressive=True, hybrid=True),
}


# whether it's transport mode, whether UDP is asked for, and whether there is a NAT
NATIVELY = ((False, False, False), (True, False, False))
IN_UDP = ((False, True, False), (True, True, False), (False, False, True))


def network(of_1: Kind, of_i: QuickTerms, *, udp: bool = False, **values: object) -> Gateways:
    gateway = of_1.gateway() if of_1.gateway else None
    settings = Settings((of_i,), access=of_1.client), Settings((mirrored(of_i),), access=gateway)
    net = Gateways(*settings, **values)  # type: ignore[arg-type]  # as there
    for end, used in ((net.i, of_1.of_i), (net.r, of_1.of_r)):
        end.of_1, end.aggressive = replace(used, force_udp=udp), of_1.aggressive
    return net


@pytest.mark.parametrize("child", CHILDREN)
@pytest.mark.parametrize("kind", KINDS)
def test_every_phase_1_leads_to_every_phase_2(kind: str, child: str) -> None:
    """In tunnel and in transport mode, natively and, what can be, in UDP and behind a NAT."""
    of_1, each = KINDS[kind], CHILDREN[child]
    for transport, udp, nat in NATIVELY + (IN_UDP if isinstance(each, EspSuite) else ()):
        net = network(of_1, terms(each, **kinds_of_ends(transport=transport)), udp=udp, nat=nat)  # type: ignore[arg-type]  # its parameters
        net.up(5.0).traffic(0.5, 10.0)
        assert net.lost == []
        assert [live.pair.suite for end in (net.i, net.r) for live in end.all.pairs] == [each] * 2
        natt = {installed.path.natt for end in (net.i, net.r) for installed in end.outbound.values()}
        assert natt == {udp or nat}
        users = {sa.user for sa in net.r.all.isakmp_sas}
        assert users == {"alice" if of_1.client else ""}
        net.act(partial(net.i.all.rekey, "c")).traffic(0.5, 15.0)
        assert (net.settles(1), net.lost) == (True, [])
        net.act(lambda net=net: net.i.all.close("it goes"))  # type: ignore[misc]  # the one there is now
        net.run(net.now + 5.0)
        assert net.agree(0)


@pytest.mark.parametrize("kind", KINDS)
def test_with_a_fifth_lost_and_more_in_disorder_a_bundle_is_up_within_a_minute_behind_each(kind: str) -> None:
    up = 0
    for seed in range(50):
        net = network(KINDS[kind], terms(CHILDREN["ah+esp with pfs"]), seed=seed, link=BAD)
        net.want().run(60.0)
        up += "up" in net.i.events and "up" in net.r.events
        assert [end.core.counters["internal-error"] for end in (net.i, net.r)] == [0, 0]
    assert up >= 49
