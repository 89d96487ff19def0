"""The names that every policy file knows without defining them; ``builtin`` says what stands behind them. And the
fields of a rule that mean something only if it negotiates, some of them only if it does so by IKEv1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FILTER_LISTS: Final = ("all-ip", "all-icmp")
AGGRESSIVE_BY_KEY: Final = "i_accept_offline_guessing_in_aggressive_mode"
AGGRESSIVE_BY_CERTIFICATE: Final = "i_accept_names_in_clear_in_aggressive_mode"
AGGRESSIVE: Final[Mapping[str, str]] = {AGGRESSIVE_BY_KEY: "psk", AGGRESSIVE_BY_CERTIFICATE: "certificate"}
ACCESS: Final = ("xauth", "mode_config")
NEGOTIATION_FIELDS: Final = (
    *("tunnel", "identity", "authentication", "encapsulation", "children", "start"),
    *AGGRESSIVE,
    *ACCESS,
)
FILTER_ACTIONS: Final[Mapping[str, str]] = {  # and what they do
    "permit": "permit",
    "block": "block",
    "request-security": "negotiate",
    "require-security": "negotiate",
}
