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
    """``mode`` is empty for what is no negotiation, ``windows_event`` 0 for what Windows has no event for."""

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
    "ike-calling": Audited(0, MAIN),
    "ike-downgraded": Audited(0, MAIN),
    "ike-called-off": Audited(0, MAIN),
    "ike-unreachable": Audited(0, MAIN),
    "credential-refused": Audited(0, MAIN),
    "peer-complains": Audited(0, MAIN),
    "soft-sa-made": Audited(0, MAIN),  # in Windows an SA is soft, too, for want of an answer in main mode
    "soft-sa-ended": Audited(0, MAIN),
    "soft-sa-refused": Audited(0, MAIN),
    "soft-sa-failed": Audited(0, MAIN),
    "soft-sa-not-ended": Audited(0, MAIN),
    "child-established": Audited(5451, QUICK),
    "child-rekeyed": Audited(5451, QUICK),
    "child-failed": Audited(4654, QUICK),
    "child-rekey-failed": Audited(4654, QUICK),
    "install-failed": Audited(4654, QUICK),
    "child-closed": Audited(5452, QUICK),
    "child-expired": Audited(5452, QUICK),
    "child-lost": Audited(5452, QUICK),
    "child-wanted": Audited(0, QUICK),
    "child-unreached": Audited(0, QUICK),
    "child-narrowed": Audited(0, QUICK),
    "padding-declined": Audited(0, QUICK),
    "response-begun": Audited(0, QUICK),
    "response-over": Audited(0, QUICK),
    "response-failed": Audited(4654, QUICK),
    "integrity-failed": Audited(4960),
    "replay-found": Audited(4961),
    "replay-late": Audited(4962),
    "clear-dropped": Audited(4963),  # clear text that should have been secured
    "spi-unknown": Audited(4965),
    "ready": Audited(5478),  # the policy agent has started
    "stopped": Audited(5479),
    "start-failed": Audited(5484),  # a critical failure; it has shut down
    "giving-up": Audited(5484),
    "policy-changed": Audited(5460),  # policy applied from local storage
    "policy-follows": Audited(5460),
    "assigned": Audited(5460),
    "reload-failed": Audited(5461),
    "assign-failed": Audited(5461),
    "policy-does-not-follow": Audited(5461),
    "rule-unusable": Audited(5462),  # some rules of the active policy couldn't be applied
    "policy-unchanged": Audited(5463),
}


def facts(event: str) -> dict[str, object]:
    """The fields of an event that say so; none if it has no such meaning."""
    told = AUDITED.get(event)
    if told is None:
        return {}
    number = {"windows_event": told.windows_event} if told.windows_event else {}
    return number | ({"mode": told.mode} if told.mode else {})
