"""A policy file to its plan: what the assigned policy means here and now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain

from ipsecd.errors import ConfigError, Unsupported
from ipsecd.policy import builtin, expand, methods, peering, response
from ipsecd.policy import plan as planned
from ipsecd.policy.actions import FilterAction
from ipsecd.policy.fit import overfull, sides
from ipsecd.policy.halves import halves
from ipsecd.policy.model import PolicyFile
from ipsecd.policy.order import by_precedence
from ipsecd.policy.paths import Path
from ipsecd.policy.plan import PERSISTENT, Action, Entry, Plan
from ipsecd.policy.proposals import GROUPS
from ipsecd.policy.rules import Rule
from ipsecd.policy.schema import File, Policy
from ipsecd.policy.unsupported import unsupported
from ipsecd.wire.registry import Group
from ipsecd.wire.selector import Address, Selector
from ipsecd.wire.tfc import NO_TFC, Tfc


def plan(
    policy_file: PolicyFile,
    resolve: Callable[[str], tuple[Address, ...]],
    me: tuple[Address, ...],
    gone: frozenset[str] = frozenset(),
    sets: expand.Sets = expand.NO_SETS,
) -> Plan:
    """The plan of the persistent rules and the assigned policy, if one is. ``resolve`` answers for a DNS name at once,
    with what it last meant, or nothing if that was never known; the names in ``gone`` have no address any more.
    ``sets`` says the same of the well-known ones. ``me`` are this machine's addresses.

    Raises Unsupported if the policy uses what isn't supported yet, or ConfigError if it needs more selectors than one
    SA may have with the addresses that its names and this machine have now.
    """
    if refused := unsupported(policy_file):
        raise Unsupported(refused)
    settings = _settings(policy_file.content)
    if policy_file.assigned is None and not any(policy_file.persistent()):
        return Plan(settings=settings)
    around = expand.Surroundings(resolve, me, gone, sets)
    return _Planner(policy_file, policy_file.content.assigned, around).plan(settings)


def _settings(content: File) -> planned.Settings:
    given = content.settings.model_dump()
    del given["esn"]  # belongs to proposals
    return planned.Settings(**given.pop("connections"), **given)


class _Planner:
    """One policy on its way to a plan, or none: then keys are negotiated as a policy that says nothing has it."""

    def __init__(self, policy_file: PolicyFile, name: str | None, around: expand.Surroundings) -> None:
        self._file = policy_file
        self._name = name or PERSISTENT
        self._policy: Policy = policy_file.content.policies[name] if name else Policy()
        self._around = around
        self._halves = halves(policy_file, name)
        self._carriers: dict[tuple[planned.Peer, frozenset[tuple[Selector, Selector]], bool], str] = {}
        # the child of each one-way entry, by its peer, its pairs, and whether it is for what leaves
        self._rules: list[planned.Rule] = []
        self._entries: list[Entry] = []
        self._peers: dict[
            planned.Peer, tuple[str, list[planned.Child]]
        ] = {}  # by what identifies one: no name, no children

    def plan(self, settings: planned.Settings) -> Plan:
        for path, rule in self._file.persistent():
            self._entries += [replace(entry, persistent=True) for entry in self._rule(path, rule)]
        for path, rule in self._file.rules(self._name) if self._file.assigned is not None else ():
            self._entries += self._rule(path, rule)
        exchange = self._policy.key_exchange
        peers = tuple(
            replace(peer, name=name, children=tuple(children)) for peer, (name, children) in self._peers.items()
        )
        peers += tuple(self._default_response())
        return Plan(
            policy=self._name,
            rules=tuple(self._rules),
            entries=(*by_precedence(self._entries), *self._default()),
            peers=peers,
            credentials=tuple(self._credentials(chain.from_iterable(peer.credentials for peer in peers))),
            ike_port=exchange.ports.ike,
            natt_port=exchange.ports.nat_traversal,
            cookie_threshold=exchange.cookie_threshold,
            settings=settings,
            unresolved=tuple(self._around.unresolved),
            exempt=self._policy.exemptions.meaning(),
        )

    def _rule(self, path: Path, rule: Rule) -> list[Entry]:
        action = self._file.action(rule)
        entries = [entry for _, entry in expand.of_rule(self._file, path, rule, self._around, self._halves)]
        children: tuple[planned.Child, ...] = ()
        peer = ""
        if action.action == "negotiate":
            with_whom = peering.peer(rule, self._policy, self._around)
            entries = [
                replace(entry, child=self._child(rule, entry, with_whom)) if entry.pairs else entry for entry in entries
            ]
            children = tuple(self._children(path, rule, action, entries))
            peer, known = self._peers.setdefault(with_whom, (rule.name, []))
            known += children
        self._rules.append(
            planned.Rule(
                name=rule.name,
                description=rule.description,
                action_name=rule.action,
                action=expand.ACTIONS[action.action],
                peer=peer,
                children=tuple(dict.fromkeys(entry.child for entry in entries if entry.child)),
                entries=tuple(entry.name for entry in entries),
                line=self._file.line(path),
            )
        )
        return entries

    def _child(self, rule: Rule, entry: Entry, peer: planned.Peer) -> str:
        """The name of the child that protects an entry: of two halves, the first one's."""
        own = rule.name if rule.children == "merged" else entry.name
        if entry.outbound and entry.inbound:
            return own
        pairs = frozenset(entry.pairs)
        child = self._carriers.get((peer, pairs, not entry.outbound), own)
        return self._carriers.setdefault((peer, pairs, entry.outbound), child)

    def _children(
        self, path: Path, rule: Rule, action: FilterAction, entries: Iterable[Entry]
    ) -> Iterator[planned.Child]:
        made = {child.name for _, known in self._peers.values() for child in known}
        pairs: dict[str, list[tuple[Selector, Selector]]] = {}
        for entry in entries:
            if entry.pairs and entry.child not in made:
                pairs.setdefault(entry.child, []).extend(entry.pairs)
        for name, found in pairs.items():
            local, remote = sides(tuple(found))
            if rule.tunnel is None:
                local = tuple(peering.ours(local, self._around.me))
            elif mistake := overfull(self._file, path, tuple(found)):
                raise ConfigError((mistake,))
            yield planned.Child(
                name=name,
                rule=rule.name,
                local=local,
                remote=remote,
                proposals=tuple(self._proposals(action)),
                lifetime=methods.span(action.lifetime),
                start=rule.start == "always",
                df=action.df,
                dscp=None if action.dscp == "copy" else action.dscp,
                fallback=_fallback(action),
                tfc=_tfc(action),
                inactivity=action.inactivity,
            )

    def _proposals(self, action: FilterAction) -> Iterator[planned.ChildProposal]:
        groups: tuple[Group, ...] = ()
        if action.pfs is True:
            offered = peering.ike_proposals(self._policy.key_exchange)
            groups = tuple(dict.fromkeys(chain.from_iterable(proposal.groups for proposal in offered)))
        elif action.pfs:
            groups = tuple(GROUPS[name] for name in action.pfs)
        named = action.security_methods or builtin.SECURITY_METHODS
        return methods.proposals(named, groups, esn=self._file.content.settings.esn)

    def _credentials(self, names: Iterable[str]) -> Iterator[planned.Credential]:
        for name in dict.fromkeys(names):
            given = self._file.content.credentials[name]
            line = self._file.line(("credentials", name))
            if (source := given.psk) is not None:
                yield planned.Credential(
                    name,
                    file=source.file or "",
                    systemd=source.systemd or "",
                    command=source.command or (),
                    line=line,
                )
            elif (shown := given.certificate) is not None:
                certificate = planned.Certificate(shown.chain or "", shown.key or "", shown.authorities)
                yield planned.Credential(name, certificate=certificate, line=line)

    def _default_response(self) -> Iterator[planned.Peer]:
        given = self._policy.default_response
        if given is not None and given.active:
            action = FilterAction(action="negotiate", security_methods=given.security_methods)
            self._rules.append(response.rule(self._file.line(("policies", self._name, "default_response"))))
            terms = tuple(self._proposals(action)), methods.span(action.lifetime)
            yield response.peer(given, self._policy, self._around, *terms)

    def _default(self) -> Iterator[Entry]:
        """``default_action: block`` covers what is left, in either family and direction."""
        if self._policy.default_action == "block":
            line = self._file.line(("policies", self._name, "default_action"))
            for name, everything in (("default-action", "0.0.0.0/0"), ("default-action-v6", "::/0")):
                selector = Selector.net(everything)
                yield Entry(name, "", Action.BLOCK, ((selector, selector),), line=line)


def _fallback(action: FilterAction) -> planned.Fallback | None:
    given = action.fallback_to_clear
    return None if given is None else planned.Fallback(float(given.after), float(given.lifetime))


def _tfc(action: FilterAction) -> Tfc:
    given = action.tfc
    return NO_TFC if given is None else Tfc(given.padding or 0, given.dummies or 0)
