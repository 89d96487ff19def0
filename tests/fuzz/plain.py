"""Any value as plain data: proof that it can be shown as JSON without knowing what it is."""

from __future__ import annotations

import dataclasses
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from ipsecd.wire.identity import Identity
from ipsecd.wire.selector import Selector

_AS_TEXT = (Enum, Identity, Selector, IPv4Address, IPv4Network, IPv6Address, IPv6Network)


def plain(value: object) -> Any:
    """Registry numbers, addresses, identities and selectors as text; octets in hexadecimal; dataclasses as their
    fields. What a dataclass keeps out of its repr shows only its size."""
    if isinstance(value, _AS_TEXT):
        return str(value)
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        shown = {f.name: plain(getattr(value, f.name)) if f.repr else len(getattr(value, f.name)) for f in fields}
        return {"kind": type(value).__name__, **shown}
    if isinstance(value, tuple | list | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return value.hex() if isinstance(value, bytes) else value
