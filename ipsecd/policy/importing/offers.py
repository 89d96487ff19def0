"""Windows' security methods as filter actions and key exchange proposals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from ipsecd import limits
from ipsecd.policy.importing.draft import Action, MainOffer, Offer
from ipsecd.policy.importing.imported import Report
from ipsecd.policy.nodes import Mark
from ipsecd.policy.paths import Value
from ipsecd.policy.proposals import OBSOLETE

_Method: TypeAlias = dict[str, Value]

_ONLY_OLD: Final = "peers that know nothing but 3DES and DES need methods that say so"
_PRF: Final = {"md5": "prfmd5", "sha1": "prfsha1", "sha256": "prfsha256", "sha384": "prfsha384"}


def filter_action(action: Action, report: Report) -> str | dict[str, Value]:
    """What a rule names as its action: a built-in one, or what is to stand in ``filter_actions``."""
    if action.kind != "negotiate":
        return action.kind
    special = bool(action.offers or action.pfs or action.soft_seconds)
    if not special and action.inbound_passthrough == action.soft:
        name = "request-security" if action.soft else "require-security"
        report.remark(action.mark, f"names no security methods: {name} is taken, with ipsecd's own", _ONLY_OLD)
        return name
    body: dict[str, Value] = {"action": "negotiate"}
    body |= _security_methods(action.offers, action.mark, report)
    pfs = action.pfs or next((offer.pfs for offer in action.offers if offer.pfs), False)
    if pfs:
        body["pfs"] = pfs
    if action.inbound_passthrough:
        body["inbound_passthrough"] = True
    if action.soft:
        seconds = action.soft_seconds
        body["fallback_to_clear"] = {"lifetime": min(max(seconds, 10), 86_400)} if seconds else True
    if action.description:
        body["description"] = action.description
    return body


def _security_methods(offers: list[Offer], mark: Mark, report: Report) -> dict[str, Value]:
    """``security_methods``, and their ``lifetime`` if it's the same for all of them."""
    found = _methods(offers, mark, report)
    shared = found[0][1] if found else {}
    if all(lifetime == shared for _, lifetime in found):
        methods: dict[str, Value] = {"security_methods": [method for method, _ in found]} if found else {}
        return methods | ({"lifetime": shared} if shared else {})
    return _each_for_itself(found)


def response_methods(offers: list[Offer], mark: Mark, report: Report) -> dict[str, Value]:
    """``security_methods`` of the default response rule, which knows lifetimes of methods alone."""
    return _each_for_itself(_methods(offers, mark, report))


def _methods(offers: list[Offer], mark: Mark, report: Report) -> list[tuple[_Method, _Method]]:
    """What can be carried over of the methods, each with its lifetime."""
    _warn(mark, (word for each in offers for word in (each.encryption, each.integrity, each.signed)), report)
    return [(method, _lifetime(offer, report)) for offer in offers if (method := _method(offer, report))]


def _each_for_itself(found: list[tuple[_Method, _Method]]) -> dict[str, Value]:
    methods: list[Value] = [{**method, "lifetime": lifetime} if lifetime else method for method, lifetime in found]
    return {"security_methods": methods} if methods else {}


def _method(offer: Offer, report: Report) -> dict[str, Value]:
    """Empty if it can't be carried over."""
    method: dict[str, Value] = {}
    if offer.encryption and not offer.integrity and not offer.signed:
        message = f"{offer.encryption} alone would leave packets open to change: this method is left out"
        report.remark(offer.mark, message, "RFC 8221 section 4")
        return {}
    if offer.encryption and not offer.integrity:
        message = f"{offer.encryption} under AH has an integrity of its own here, that of AH"
        report.remark(offer.mark, message, "RFC 8221 section 4")
    if offer.encryption == "null":
        report.remark(offer.mark, "this method signs and doesn't encrypt")
    if offer.encryption:
        method["esp"] = {"encryption": offer.encryption, "integrity": offer.integrity or offer.signed}
    if offer.signed:
        method["ah"] = {"integrity": offer.signed}
    return method


def _lifetime(offer: Offer, report: Report) -> dict[str, Value]:
    found: dict[str, Value] = {}
    if offer.seconds:
        found["seconds"] = _within(offer, offer.seconds, limits.MIN_LIFETIME, limits.MAX_LIFETIME, "seconds", report)
    if offer.kilobytes:
        least, most = limits.MIN_KILOBYTES, limits.MAX_KILOBYTES
        found["kilobytes"] = _within(offer, offer.kilobytes, least, most, "kilobytes", report)
    return found


def _within(offer: Offer, value: int, least: int, most: int, unit: str, report: Report) -> int:
    bounded = min(max(value, least), most)
    if bounded != value:
        report.remark(offer.mark, f"a lifetime of {value} {unit} becomes {bounded}")
    return bounded


def proposals(offers: list[MainOffer], mark: Mark, report: Report) -> list[Value]:
    """``key_exchange.proposals``: the hash is the integrity of IKE's own messages, and what keys are derived with."""
    _warn(mark, (word for offer in offers for word in (offer.encryption, offer.integrity, offer.group)), report)
    found: list[Value] = []
    for offer in offers:
        proposal: Value = {
            "encryption": offer.encryption,
            "integrity": offer.integrity,
            "prf": _PRF[offer.integrity],
            "groups": offer.group,
        }
        if proposal not in found:
            found.append(proposal)
    return found


def _warn(mark: Mark, words: Iterable[str], report: Report) -> None:
    obsolete = [word for word in dict.fromkeys(words) if word in OBSOLETE]
    if obsolete:
        named = ", ".join(obsolete)
        report.remark(mark, f"offers what is obsolete: {named}", "kept as legacy; remove it where no peer needs it")
