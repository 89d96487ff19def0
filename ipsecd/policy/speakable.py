"""What IKEv1 can't say of what a policy that allows it asks for, and what it shows to strangers.

Where a policy has no other version that is a mistake, or else worth a note: the other one can.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ipsecd import limits
from ipsecd.errors import Mistake
from ipsecd.policy import traffic
from ipsecd.policy.actions import SecurityMethod
from ipsecd.policy.filters import Filter
from ipsecd.policy.key_exchange import IkeProposal
from ipsecd.policy.model import PolicyFile
from ipsecd.policy.names import AGGRESSIVE_BY_CERTIFICATE, AGGRESSIVE_BY_KEY
from ipsecd.policy.paths import Path
from ipsecd.policy.proposals import IKEV1_ENCRYPTION, IKEV1_PRF, NOT_IN_IKEV1
from ipsecd.policy.rules import Rule
from ipsecd.wire.selector import ANY_PORT

_V1: Final = "ikev1"
_SHOWN: Final = {
    AGGRESSIVE_BY_KEY: "whoever asks gets what keys can be tried by, and whoever listens sees who both sides are",
    AGGRESSIVE_BY_CERTIFICATE: "whoever listens sees who both sides are",
}
_UNANSWERED: Final = int(  # seconds that a call takes to which nobody answers
    limits.RETRANSMIT_FIRST * sum(limits.RETRANSMIT_FACTOR**number for number in range(limits.RETRANSMIT_TRIES + 1))
)


def unspeakable(policy_file: PolicyFile) -> Iterator[Mistake]:
    """What is wrong with policies that have IKEv1 alone."""
    for name in _policies(policy_file, alone=True):
        yield from _algorithms(policy_file, name)


def spoken(policy_file: PolicyFile) -> Iterator[Mistake]:
    """What is noted of policies that allow IKEv1."""
    for name in _policies(policy_file, alone=False):
        yield from _algorithms(policy_file, name)
        for path, rule in _negotiated(policy_file, name):
            yield from _clear(policy_file, path, rule)
    for name, policy in policy_file.content.policies.items():
        if _V1 in policy.key_exchange.versions:
            for path, rule in _negotiated(policy_file, name):
                yield from _aggressive(policy_file, path, rule)
                yield from _ports(policy_file, path, rule)
                yield from _padding(policy_file, path, rule)


def _policies(policy_file: PolicyFile, *, alone: bool) -> Iterator[str]:
    """Those that allow IKEv1, alone or beside IKEv2."""
    for name, policy in policy_file.content.policies.items():
        if _V1 in policy.key_exchange.versions and (len(policy.key_exchange.versions) == 1) == alone:
            yield name


def _negotiated(policy_file: PolicyFile, policy: str) -> Iterator[tuple[Path, Rule]]:
    """Persistent rules are negotiated as the policy says, but what they say is said of them in each policy."""
    return ((path, rule) for path, rule in policy_file.rules(policy) if policy_file.is_negotiated(rule))


def _algorithms(policy_file: PolicyFile, name: str) -> Iterator[Mistake]:
    policy = policy_file.content.policies[name]
    where: Path = ("policies", name)
    offered = policy.key_exchange.proposals
    if offered and not any(map(_of_phase_1, offered)):
        message = "IKEv1 has none of these: it needs a CBC cipher, such as aes128, and an HMAC, such as prfsha256"
        yield policy_file.mistake((*where, "key_exchange", "proposals"), message, "add one that it has")
    response = policy.default_response
    found: dict[Path, tuple[SecurityMethod, ...]] = {
        ("filter_actions", rule.action): policy_file.action(rule).security_methods
        for _, rule in _negotiated(policy_file, name)
    }
    if response is not None and response.active:
        found[*where, "default_response"] = response.security_methods
    for path, methods in found.items():
        if methods and not any(map(_of_phase_2, methods)):
            message = f"IKEv1 has none of these, which is how policy {name} negotiates"
            yield policy_file.mistake((*path, "security_methods"), message, "add one that it has, such as aes128gcm16")


def _of_phase_1(proposal: IkeProposal) -> bool:
    return not IKEV1_ENCRYPTION.isdisjoint(proposal.encryption) and not IKEV1_PRF.isdisjoint(proposal.prf)


def _of_phase_2(method: SecurityMethod) -> bool:
    parts = [method.esp.encryption, method.esp.integrity or ()] if method.esp else []
    parts += [method.ah.integrity] if method.ah else []
    return not any(part and NOT_IN_IKEV1.issuperset(part) for part in parts)


def _aggressive(policy_file: PolicyFile, path: Path, rule: Rule) -> Iterator[Mistake]:
    for option, what in _SHOWN.items():
        if getattr(rule, option):
            yield policy_file.mistake((*path, option), what, "main mode shows neither: leave it out where the peer can")


def _ports(policy_file: PolicyFile, path: Path, rule: Rule) -> Iterator[Mistake]:
    for place, each in policy_file.filters(path, rule):
        if fields := [field for field in ("source_port", "destination_port") if _is_range(getattr(each, field))]:
            where = (*place, fields[0]) if place[:1] == path[:1] else (*path, "filter_list")
            message = "IKEv1 can't negotiate a range of ports: by that version nothing is protected by this filter"
            yield policy_file.mistake(where, message, "name one port, or none, which is all of them")
        elif _is_unsayable_message(each):
            where = (*place, "icmp_type") if place[:1] == path[:1] else (*path, "filter_list")
            message = "IKEv1 can't negotiate this ICMP message: by that version nothing is protected by this filter"
            yield policy_file.mistake(where, message, "leave its type out, or name its code, unless both are 0")


def _is_range(ports: traffic.Ports) -> bool:
    return ports[0] != ports[1] and ports != ANY_PORT


def _is_unsayable_message(each: Filter) -> bool:
    """Type and code stand where ports do (RFC 4301 section 4.4.1.3), and 0 is all of those."""
    if each.icmp_type is None:
        return False
    number = traffic.icmp_number(each.protocol, each.icmp_type)
    return each.icmp_code is None or number == each.icmp_code == 0


def _padding(policy_file: PolicyFile, path: Path, rule: Rule) -> Iterator[Mistake]:
    """RFC 4303 section 2.7 has it agreed upon in transport mode, which IKEv1 has no word for."""
    hidden = policy_file.action(rule).tfc
    if rule.tunnel is None and hidden is not None and hidden.padding is not None:
        message = "by IKEv1 no packets are padded between hosts without a tunnel"
        hint = "in a tunnel they are" + (", and dummies go all the same" if hidden.dummies else "")
        yield policy_file.mistake((*path, "action"), message, hint)


def _clear(policy_file: PolicyFile, path: Path, rule: Rule) -> Iterator[Mistake]:
    fallback = policy_file.action(rule).fallback_to_clear
    if fallback is not None:
        message = "with two versions of IKE a silent peer is talked to in clear only after both have been tried"
        hint = f"that is after some {_UNANSWERED + fallback.after} s; one version alone makes it {fallback.after} s"
        yield policy_file.mistake((*path, "action"), message, hint)
