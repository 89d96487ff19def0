"""What an auditor looks for in an event: the phase of the negotiation that it belongs to, and its number in Windows.

Windows calls phase 1, which IKEv2 has as the IKE SA, main mode, and phase 2, the child SAs, quick mode (RFC 2409
section 2). The numbers are those of its security log since Vista (categories IPsec Main Mode, IPsec Quick Mode, Other
System Events), where one means the same; so searches and reports that know them work here too.
"""

from __future__ import annotations

from dataclasses import dataclass

MAIN, QUICK = "main", "quick"


@dataclass(frozen=True, slots=True)
class Audited:
    """``mode`` is empty for what is no negotiation."""

    windows_event: int
    mode: str = ""


AUDITED: dict[str, Audited] = {
    "ike-established": Audited(4650, MAIN),  # without certificates
    "ike-rekeyed": Audited(4650, MAIN),
    "ike-failed": Audited(4653, MAIN),
    "ike-refused": Audited(4653, MAIN),
    "ike-rekey-failed": Audited(4653, MAIN),
    "sa-init-refused": Audited(4653, MAIN),
    "auth-failed": Audited(4653, MAIN),
    "bad-request": Audited(4976, MAIN),  # invalid negotiation packet
    "ike-closed": Audited(4655, MAIN),
    "peer-dead": Audited(4655, MAIN),
    "child-established": Audited(5451, QUICK),
    "child-rekeyed": Audited(5451, QUICK),
    "child-failed": Audited(4654, QUICK),
    "child-rekey-failed": Audited(4654, QUICK),
    "install-failed": Audited(4654, QUICK),
    "child-closed": Audited(5452, QUICK),
    "child-expired": Audited(5452, QUICK),
    "child-lost": Audited(5452, QUICK),
    "ready": Audited(5478),  # the policy agent has started
    "stopped": Audited(5479),
    "start-failed": Audited(5484),  # a critical failure; it has shut down
    "giving-up": Audited(5484),
    "policy-changed": Audited(5460),  # policy applied from local storage
    "reload-failed": Audited(5461),
}


def facts(event: str) -> dict[str, object]:
    """The fields of an event that say so; none if it has no such meaning."""
    told = AUDITED.get(event)
    if told is None:
        return {}
    return {"windows_event": told.windows_event} | ({"mode": told.mode} if told.mode else {})
