"""The names that every policy file knows without defining them; ``builtin`` says what stands behind them. And the
fields of a rule that mean something only if it negotiates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FILTER_LISTS: Final = ("all-ip", "all-icmp")
NEGOTIATION_FIELDS: Final = ("tunnel", "identity", "authentication", "encapsulation", "children", "start")
FILTER_ACTIONS: Final[Mapping[str, str]] = {  # and what they do
    "permit": "permit",
    "block": "block",
    "request-security": "negotiate",
    "require-security": "negotiate",
}
