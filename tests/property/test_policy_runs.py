"""What ``ipsecd check`` calls good and supported can be put in force: it has a plan, offers that a peer of our own kind
can read, limits that the data plane can carry, and a table for the kernel."""

from __future__ import annotations

import json
from ipaddress import ip_address
from itertools import islice, permutations

from hypothesis import given
from hypothesis import strategies as st

from ipsecd import limits
from ipsecd.crypto.secret import Secret
from ipsecd.daemon.compose import ike_config, spd_entries
from ipsecd.daemon.identifiers import Identifiers
from ipsecd.daemon.keyring import Keyring
from ipsecd.dataplane import codec
from ipsecd.dataplane import messages as roads
from ipsecd.ike import config as ike
from ipsecd.ike import negotiate
from ipsecd.ike.lifetimes import child_limits
from ipsecd.ike.menus import Menu, child_menus, ike_menus
from ipsecd.policy.check import check
from ipsecd.policy.floor import ruleset
from ipsecd.policy.load import load_policy
from ipsecd.policy.planning import plan
from ipsecd.policy.proposals import ENCRYPTION, GROUPS, INTEGRITY, NOT_YET, PRF, is_aead
from ipsecd.wire.bodies import decode_body, encode_body, payload_type
from ipsecd.wire.payloads import AnyPayload, IdI, IdR, Sa, TsI, TsR
from ipsecd.wire.reader import Reader
from tests.property.policy_values import Tree, policy_files
from tests.unit.policy.texts import ME, resolve

AROUND = 4_096  # octets of an IKE_SA_INIT beside its proposals: the largest public value, nonces, notifies
ENDS = {"local": "192.0.2.1", "remote": "192.0.2.2"}
WHOLE, KEX, PRFS = (
    [word for word in table if word not in NOT_YET]
    for table in ([word for word in ENCRYPTION if is_aead(word)], GROUPS, PRF)
)


def carried(payload: AnyPayload) -> int:
    """The octets of a payload that is read back as it was."""
    octets = encode_body(payload)
    assert decode_body(payload_type(payload), critical=False, r=Reader(octets)) == payload
    return len(octets)


def offered(menus: tuple[Menu, ...], spi: bytes) -> int:
    """The octets of the SA payload that offers these; each proposal in it would be taken by ourselves."""
    sa = negotiate.offer(menus, spi)
    suite = negotiate.esp_suite if spi else negotiate.ike_suite
    for proposal in sa.proposals:
        _, picked = negotiate.pick(menus, Sa((proposal,)), sent_group=None)
        assert str(suite(picked))
    return carried(sa)


def hold(peer: ike.Peer) -> None:
    """What is said to this peer can be said, and what is agreed on can be carried out."""
    octets = offered(ike_menus(peer.proposals), b"")
    assert octets + AROUND <= limits.MAX_IKE_DATAGRAM
    carried(IdI(peer.local_id))
    carried(IdR(peer.remote_id))
    for child in peer.children:
        carried(TsI(child.local))
        carried(TsR(child.remote))
        for pfs in (False, True):
            menus = child_menus(child.proposals, pfs=pfs)
            offered(menus, bytes(4))
            offer = negotiate.offer(menus, bytes(4))
            _, picked = negotiate.pick(menus, offer, sent_group=None)
            soft, hard = child_limits(child.lifetime, negotiate.esp_suite(picked), 0.5)
            span = roads.Limits(soft.seconds, soft.octets, soft.packets, hard.seconds, hard.octets, hard.packets)
            codec.codec_of(roads.Limits).write(span, bytearray())


def hold_all(text: str) -> None:
    made = plan(load_policy(text, "p.yaml"), resolve, tuple(map(ip_address, ME)))
    ids = Identifiers().of(made)
    config = ike_config(made, Keyring({credential.name: Secret(b"key") for credential in made.credentials}), ids, {})
    for peer in config.peers:
        hold(peer)
    codec.encode(roads.SetSpd(1, spd_entries(made, ids)))
    assert ruleset(made).startswith("table inet ipsecd\n")


@given(policy_files())
def test_what_check_calls_good_and_supported_can_be_put_in_force(tree: Tree) -> None:
    text = json.dumps(tree)
    verdict = check(text, "p.yaml")
    assert (verdict.mistakes, verdict.refused) == ((), ())
    hold_all(text)


@st.composite
def excessive(draw: st.DrawFn) -> Tree:
    """A file that asks for much, and maybe for too much."""
    tree = draw(policy_files())
    policy, own = tree["policies"]["p"], tree["filter_actions"]["own"]
    many = draw(st.integers(1, 2 * limits.MAX_PROPOSALS))
    rule = {"name": "all", "filter_list": "all-ip", "action": "own", "tunnel": ENDS, "authentication": [{"psk": "hq"}]}
    match draw(st.sampled_from(["proposals", "methods", "lifetime", "selectors"])):
        case "proposals":
            policy["key_exchange"] = {"proposals": [{"encryption": WHOLE, "groups": KEX, "prf": PRFS}] * many}
        case "methods":
            methods = [{"esp": {"encryption": list(some)}} for some in islice(permutations(WHOLE), many)]
            own |= {"pfs": KEX, "security_methods": methods}
        case "lifetime":
            field = draw(st.sampled_from(["kilobytes", "packets"]))
            own["lifetime"] = {field: 1 << draw(st.sampled_from((20, 32, 40, 54, 64)))}
        case _:
            side = draw(st.sampled_from(["me", "10.200.0.0/16", "0.0.0.0/0"]))
            many = draw(st.integers(limits.MAX_SELECTORS - 4, limits.MAX_SELECTORS + 4))
            del rule["filter_list"]
            filters = [{"source": side, "destination": f"10.{number}.0.0/16"} for number in range(many)]
            rule |= {"filters": filters, "children": "merged"}
    policy["rules"].append(rule)
    return tree


@given(excessive())
def test_what_is_too_much_check_refuses_already(tree: Tree) -> None:
    text = json.dumps(tree)
    if check(text, "p.yaml").good:
        hold_all(text)


def test_one_proposal_of_every_keyword_there_is_fits_into_a_payload() -> None:
    """Keywords stand in a list once, so nothing else has to bound the transforms of a proposal."""
    bare = len(ENCRYPTION) - sum(map(is_aead, ENCRYPTION)) + len(INTEGRITY)
    assert max(sum(map(is_aead, ENCRYPTION)), bare) + len(PRF) + len(GROUPS) <= limits.MAX_TRANSFORMS
