"""IKE_SA_INIT, the responder's side: one of the initiator's proposals, our public value and our nonce.

RFC 7296 sections 1.2, 2.7, 2.21.1 and 2.23. What a request costs before this stands in ``guard.py``.
"""

from __future__ import annotations

from dataclasses import replace

from ipsecd import limits
from ipsecd.crypto.exchange import KeyPair, check_public
from ipsecd.crypto.keymat import derive_ike
from ipsecd.errors import Refused
from ipsecd.ike import nat
from ipsecd.ike.carriage import Terms
from ipsecd.ike.config import Path, Version
from ipsecd.ike.core import Core
from ipsecd.ike.exchange import SA_INIT_REQUEST
from ipsecd.ike.menus import ike_menus
from ipsecd.ike.negotiate import ike_suite, pick
from ipsecd.ike.pad import callers, speaking
from ipsecd.ike.protect import Envelope
from ipsecd.ike.sa import IkeSa
from ipsecd.ike.suites import IkeSuite
from ipsecd.ike.v2.asking import other_group_wanted
from ipsecd.wire.ikev2 import Message, encode
from ipsecd.wire.payloads import AnyPayload, Ke, Nonce, Notify, Proposal, Sa
from ipsecd.wire.registry import Exchange, NotifyType


def answer_sa_init(core: Core, message: Message, data: bytes, path: Path) -> IkeSa:
    """Answer a request to begin an IKE SA; the half-open SA, its response sent. Raises PeerError or Refused."""
    header = message.header
    request = SA_INIT_REQUEST.admit(message.payloads)
    known = callers(core.config.peers, core.config.hosts, path)
    if not known:
        raise Refused("no-rule-for-peer", "no rule names this address", notify=NotifyType.NO_PROPOSAL_CHOSEN)
    peers = speaking(known, Version.IKEV2)
    if not peers:  # as far as this peer is concerned we don't know this version (2.5)
        why = "the rules for this address have IKEv1 alone"
        raise Refused("other-version", why, notify=NotifyType.INVALID_MAJOR_VERSION)
    ke = request.one(Ke)
    menus = ike_menus(proposal for peer in peers for proposal in peer.proposals)
    chosen, picked = pick(menus, request.one(Sa), sent_group=ke.group, forgeable=True)
    suite = ike_suite(picked)
    if ke.group != suite.group.id:
        raise other_group_wanted(suite.group)
    found = nat.detect(request, header.spi_i, header.spi_r, path)
    carriage = Terms.of(peers).asked(request, found)
    check_public(suite.group.id, ke.data)
    pair = core.entropy.key_pair(suite.group.id)
    shared = pair.shared(ke.data)
    sa = IkeSa(core, path, initiator=False, spi_i=header.spi_i, spi_r=core.fresh_ike_spi())
    nonces = (request.one(Nonce).data, core.entropy.octets(limits.NONCE_OCTETS))
    keys = derive_ike(suite.prf.id, suite.encryption, suite.integrity, *nonces, shared, sa.spi_i, sa.spi_r)
    sa.secure(suite, keys, nonces)
    sa.nat, sa.carriage = found or nat.NONE, carriage
    sa.fragmentation = request.notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED) is not None and all(
        peer.fragmentation for peer in peers
    )
    response = _response(core, sa, path, suite, chosen, pair, traversal=found is not None)
    sa.messages = (data, response)
    sa.window.answer((response,))
    sa.transmit((response,), path)
    return sa


def _response(
    core: Core, sa: IkeSa, path: Path, suite: IkeSuite, chosen: Proposal, pair: KeyPair, *, traversal: bool
) -> bytes:
    """``traversal``: the peer has said what it knows of NATs. To others nothing is said of them, which is of no use to
    them, and would make the answer to whoever it is much longer than the request."""
    in_udp = not sa.carriage.native
    about_path = nat.notifies(
        sa.spi_i, sa.spi_r, path, core.entropy, bent=in_udp, udp=in_udp, to_ipsecd=sa.carriage.ipsecd
    )
    payloads: list[AnyPayload] = [
        Sa((replace(chosen, spi=b""),)),
        Ke(suite.group.id, pair.public),
        Nonce(sa.secured.nonces[1]),
        *(about_path if traversal else ()),
        Notify(NotifyType.CHILDLESS_IKEV2_SUPPORTED),  # RFC 6023 section 3: unasked
    ]
    if sa.fragmentation:
        payloads.append(Notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED))
    envelope = Envelope(sa.spi_i, sa.spi_r, Exchange.IKE_SA_INIT, from_initiator=False, response=True, message_id=0)
    return encode(envelope.header(), payloads)
