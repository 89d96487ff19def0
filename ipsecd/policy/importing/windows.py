"""The objects of a Windows policy store, decoded to JSON.

One object with ``policies``, each with its ``main_mode`` and ``rules``, and in each rule the ``filter_action`` and the
``filter_list`` that it uses, after [MS-GPIPSEC] 2.2.1. Pre-shared keys and authorities stand among ``auth_methods`` as
``{"psk": "..."}`` and ``{"certificate": "..."}``, a tunnel's end as ``tunnel_endpoint``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import partial
from typing import Final

from ipsecd.errors import ConfigError, Mistake
from ipsecd.policy.complaint import complaint
from ipsecd.policy.importing import places, suites
from ipsecd.policy.importing.carrying import carried
from ipsecd.policy.importing.draft import (
    Action,
    Draft,
    Kind,
    MainOffer,
    Offer,
    Policy,
    Proof,
    Response,
    Rule,
    Stores,
    Traffic,
    TrafficList,
)
from ipsecd.policy.importing.imported import Imported, Report
from ipsecd.policy.importing.json_object import JsonObject
from ipsecd.policy.nodes import Tree
from ipsecd.policy.parsing import parse

_CONNECTIONS: Final[Mapping[str | int, str]] = {  # [MS-GPIPSEC] 2.2.1.3, Interface-Type
    "all": "all",
    "lan": "lan",
    "dial-up": "remote-access",
    "remote-access": "remote-access",
    0xFFFF_FFFD: "all",
    0xFFFF_FFFE: "lan",
    0xFFFF_FFFF: "remote-access",
}
_ACTIONS: Final[Mapping[str, tuple[Kind, bool]]] = {  # and whether clear packets are let in
    "permit": ("permit", False),
    "block": ("block", False),
    "negotiate": ("negotiate", False),
    "negotiate+inbound-passthrough": ("negotiate", True),
}
_SERVERS: Final = {1: "dns", 2: "wins", 3: "dhcp", 4: "default-gateway"}  # 2.2.1.5.1, Legacy-Special-Filter
_OF_DESTINATION: Final = 0x80
_DEFAULT_RESPONSE: Final = "default-response"
_ODD: Final = re.compile(r"\\(?:u[0-9A-Fa-f]{4}|.)|[^ -~\r\n]")  # what JSON may have in its texts and YAML may not
_MM_DEFAULT: Final = 28_800


def read(text: str, file: str) -> Imported:
    """The policies of these objects; ``file`` is the text's name in messages. Raises ConfigError with all mistakes."""
    try:
        content = json.loads(text.removeprefix("\ufeff"))
    except (json.JSONDecodeError, RecursionError) as error:
        line, column = (error.lineno, error.colno) if isinstance(error, json.JSONDecodeError) else (1, 1)
        raise ConfigError(
            (Mistake(file, line, column, "", "isn't JSON", "the objects decoded, not the blobs"),)
        ) from None
    report = Report(file)
    reader = _Reader(parse(_ODD.sub(_plain, text), file), report)  # the parser of policies knows where things stand
    reader.file(content)
    return carried(Stores(reader.draft), report)


def _plain(found: re.Match[str]) -> str:
    return " " if found[0] == "\t" else "x" * len(found[0])


class _Reader:
    """Fills a draft. Lists and actions go by their objects' identifiers, as several policies may share them."""

    def __init__(self, tree: Tree, report: Report) -> None:
        self.draft = Draft()
        self._tree = tree
        self._report = report

    def file(self, content: object) -> None:
        """All of it."""
        whole = JsonObject(content, (), self._tree, self._report)
        if not whole.has("policies"):
            self._report.mistake(whole.mark, "there are no policies here", 'an object with "policies"')
        for each in whole.objects("policies"):
            self._policy(each)

    def _policy(self, given: JsonObject) -> None:
        policy = Policy(given.text("name"), given.at("name"), given.text("description"))
        key = policy.name.lower() or _key(given)
        if key in self.draft.policies:
            self._report.mistake(given.at("name"), "there is a policy of that name already")
        self.draft.policies[key] = policy
        if given.truth("assigned", default=False):
            self.draft.assigned = key
        if given.has("main_mode"):
            self._main_mode(policy, given.object("main_mode"))
        for rule in given.objects("rules"):
            self._rule(policy, rule)

    def _main_mode(self, policy: Policy, given: JsonObject) -> None:
        policy.master_key_pfs = given.truth("master_key_pfs", default=False)
        policy.sessions = given.number("quick_modes_per_main_mode")
        lifetimes = [given.number("main_mode_lifetime_field")]
        for each in given.objects("methods"):
            found = each.tried(partial(_main_offer, each), "encryption")
            if found is not None:
                policy.offers.append(found)
            lifetimes.append(each.number("lifetime_seconds"))
        known = [seconds for seconds in lifetimes if seconds]
        policy.lifetime = 0 if not known or known[0] == _MM_DEFAULT else known[0]

    def _rule(self, policy: Policy, given: JsonObject) -> None:
        action = given.object("filter_action")
        proofs = self._proofs(given)
        if action.text("type") == _DEFAULT_RESPONSE:
            active = given.truth("active", default=True)
            policy.response = Response(given.mark, active, self._offers(action), proofs)
            return
        rule = Rule(given.text("name"), given.mark, self._action(action), self._list(given), proofs=proofs)
        rule.active = given.truth("active", default=True)
        rule.description = given.text("description")
        rule.connections = self._connections(given)
        if given.truth("is_tunnel", default=False):
            rule.tunnel = given.tried(partial(places.endpoint, given.text("tunnel_endpoint")), "tunnel_endpoint") or ""
        policy.rules.append(rule)

    def _connections(self, given: JsonObject) -> str:
        kind = given.raw("connection_type")
        if kind is None:
            return "all"
        if isinstance(kind, str | int) and kind in _CONNECTIONS:
            return _CONNECTIONS[kind]
        self._report.mistake(given.at("connection_type"), "this isn't a type of connection", "all, lan or dial-up")
        return "all"

    def _proofs(self, given: JsonObject) -> list[Proof]:
        found = []
        for index, value in enumerate(given.items("auth_methods")):
            mark = self._tree.mark((*given.path, "auth_methods", index))
            if value == "kerberos":
                found.append(Proof("kerberos", mark))
            elif isinstance(value, dict) and isinstance(value.get("psk"), str):
                found.append(Proof("psk", mark, secret=value["psk"]))
            elif isinstance(value, dict) and isinstance(value.get("certificate"), str):
                found.append(Proof("certificate", mark, authority=value["certificate"]))
            else:
                hint = '"kerberos", {"psk": "..."} or {"certificate": "name of the authority"}'
                self._report.mistake(mark, "this isn't an authentication method", hint)
        return found

    def _action(self, given: JsonObject) -> str:
        key = _key(given)
        if key not in self.draft.actions:
            known = _ACTIONS.get(given.text("action"))
            if known is None:
                self._report.mistake(given.at("action"), "this isn't a filter action", ", ".join(_ACTIONS))
            kind, passes = known or ("block", False)
            action = Action(given.text("name"), given.mark, kind, self._offers(given), inbound_passthrough=passes)
            action.soft = given.truth("allow_unsecured_with_non_ipsec_aware", default=False)
            action.description = given.text("description")
            self.draft.actions[key] = action
        return key

    def _offers(self, given: JsonObject) -> list[Offer]:
        offers = [self._offer(each) for each in given.objects("security_methods")]
        return [offer for offer in offers if offer.encryption or offer.signed]

    def _offer(self, given: JsonObject) -> Offer:
        parts: dict[str, str] = {}
        for each in given.objects("algorithms"):
            parts |= each.tried(partial(_algorithms, each), "encryption", "hash") or {}
        return Offer(
            given.mark,
            **parts,
            seconds=given.number("lifetime_seconds"),
            kilobytes=given.number("lifetime_kbytes"),
            pfs=bool(given.number("pfs_field")),
        )

    def _list(self, rule: JsonObject) -> str:
        given = rule.object("filter_list")
        key = _key(given)
        if key not in self.draft.lists:
            filters = [each for each in map(self._filter, given.objects("filters")) if each is not None]
            self.draft.lists[key] = TrafficList(given.text("name"), given.mark, filters, given.text("description"))
        return key

    def _filter(self, given: JsonObject) -> Traffic | None:
        source = given.tried(partial(_side, given, "source", 0), "source")
        destination = given.tried(partial(_side, given, "destination", _OF_DESTINATION), "destination")
        if source is None or destination is None:
            return None
        return Traffic(
            source,
            destination,
            given.mark,
            given.number("protocol"),
            given.number("source_port"),
            given.number("destination_port"),
            given.truth("mirrored", default=True),
            given.text("description"),
        )


def _key(given: JsonObject) -> str:
    """What a shared object is known by: its identifier, its name, or else its place."""
    return (given.text("object") or given.text("name")).lower() or f"{given.mark.line}:{given.mark.column}"


def _side(given: JsonObject, field: str, base: int) -> str:
    """The addresses of one side of a filter, which a special filter has from the machine's configuration."""
    server = _SERVERS.get(given.number("special") - base)
    return server or places.address(given.text(field))


def _main_offer(given: JsonObject) -> MainOffer:
    cipher = given.text("encryption").lower().removesuffix("-cbc")
    return suites.main_offer(cipher, given.text("hash"), given.number("oakley_group"), given.mark, suites.OBJECTS)


def _algorithms(given: JsonObject) -> dict[str, str]:
    """What an algorithm offer says: of ESP its cipher and hash, of AH its hash."""
    protocol = given.text("protocol").upper()
    if protocol == "ESP":
        encryption, integrity = suites.esp(
            given.text("encryption") or "none", given.text("integrity") or "none", suites.OBJECTS
        )
        return {"encryption": encryption, "integrity": integrity}
    if protocol == "AH":
        return {"signed": suites.ah(given.text("hash"), suites.OBJECTS)}
    raise complaint("this is neither ESP nor AH")
