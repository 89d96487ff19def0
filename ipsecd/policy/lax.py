"""What of a policy holds less than it may seem to: algorithms that don't encrypt or no longer protect, and cleartext
that is let in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from ipsecd.errors import Mistake
from ipsecd.policy.actions import SecurityMethod
from ipsecd.policy.key_exchange import IkeProposal
from ipsecd.policy.model import PolicyFile
from ipsecd.policy.paths import Path
from ipsecd.policy.proposals import OBSOLETE, UNENCRYPTED

_LEGACY: Final = "for peers that know nothing better, as long as there are any"


def lax(policy_file: PolicyFile) -> Iterator[Mistake]:
    """What is noted of it."""
    content = policy_file.content
    offers: list[tuple[Path, Iterable[str]]] = []
    for name, action in content.filter_actions.items():
        where: Path = ("filter_actions", name)
        offers.append(((*where, "security_methods"), _of_methods(action.security_methods)))
        if action.inbound_passthrough:
            message = "what comes in clear is let in, from anybody and under any address that the rule covers"
            yield policy_file.mistake((*where, "inbound_passthrough"), message)
    for name, policy in content.policies.items():
        where = ("policies", name)
        offers.append(((*where, "key_exchange", "proposals"), _of_proposals(policy.key_exchange.proposals)))
        if response := policy.default_response:
            methods = _of_methods(response.security_methods)
            offers.append(((*where, "default_response", "security_methods"), methods))
    for path, offered in offers:
        words = tuple(dict.fromkeys(offered))
        if found := [word for word in words if word in OBSOLETE]:
            yield policy_file.mistake(path, f"offers what is broken or obsolete: {', '.join(found)}", _LEGACY)
        if found := [word for word in words if word in UNENCRYPTED]:
            yield policy_file.mistake(path, f"offers packets that are authenticated, not encrypted: {', '.join(found)}")


def _of_methods(methods: Iterable[SecurityMethod]) -> Iterator[str]:
    for method in methods:
        if method.esp is not None:
            yield from chain(method.esp.encryption, method.esp.integrity or ())
        if method.ah is not None:  # which is to authenticate and no more, so no more is noted of its GMACs
            yield from (name for name in method.ah.integrity if name not in UNENCRYPTED)


def _of_proposals(proposals: Iterable[IkeProposal]) -> Iterator[str]:
    for each in proposals:
        yield from chain(each.encryption, each.integrity or (), each.prf, each.groups)
