"""The names that every policy file knows without defining them; ``builtin`` says what stands behind them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FILTER_LISTS: Final = ("all-ip", "all-icmp")
FILTER_ACTIONS: Final[Mapping[str, str]] = {  # and what they do
    "permit": "permit",
    "block": "block",
    "request-security": "negotiate",
    "require-security": "negotiate",
}
