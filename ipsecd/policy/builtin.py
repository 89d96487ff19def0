"""What every policy can use without defining it: filter lists, filter actions, and what they offer to peers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ipsecd.policy.actions import FilterAction, SecurityMethod
from ipsecd.policy.filters import Filter
from ipsecd.policy.key_exchange import IkeProposal

_WHOLE = ["aes128gcm16", "aes256gcm16", "chacha20poly1305"]  # the fastest first; all of them are strong
_BARE = {"encryption": ["aes128", "aes256"], "integrity": ["sha256", "sha384", "sha512"]}
_GROUPS = ["x25519", "ecp256", "ecp384", "ecp521", "x448", "modp2048", "modp3072", "modp4096"]

# offered by filter actions and policies that name nothing themselves
SECURITY_METHODS: Final = (
    SecurityMethod.model_validate({"esp": {"encryption": _WHOLE}}),
    SecurityMethod.model_validate({"esp": _BARE}),
)
IKE_PROPOSALS: Final = (
    IkeProposal.model_validate({"encryption": _WHOLE, "groups": _GROUPS}),
    IkeProposal.model_validate({**_BARE, "groups": _GROUPS}),
)

FILTER_LISTS: Final[Mapping[str, tuple[Filter, ...]]] = {
    "all-ip": (Filter.model_validate({"source": "me", "destination": "any"}),),
    "all-icmp": (
        Filter.model_validate({"source": "me", "destination": "any", "protocol": "icmp"}),
        Filter.model_validate({"source": "me", "destination": "any", "protocol": "icmpv6"}),
    ),
}
FILTER_ACTIONS: Final[Mapping[str, FilterAction]] = {
    "permit": FilterAction(action="permit"),
    "block": FilterAction(action="block"),
    "request-security": FilterAction.model_validate(
        {"action": "negotiate", "inbound_passthrough": True, "fallback_to_clear": True}
    ),
    "require-security": FilterAction(action="negotiate"),
}
