"""What is worth knowing of a policy file that has no mistakes: what it defines and never uses, and where filters are
equally specific, so that only their order decides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from itertools import chain, count
from typing import Final

from ipsecd.errors import Mistake
from ipsecd.policy import expand
from ipsecd.policy.addresses import WELL_KNOWN, AddressSet, Kind
from ipsecd.policy.boxes import Place, Work
from ipsecd.policy.complaint import Remark, did_you_mean, quoted
from ipsecd.policy.doubts import futile, nested
from ipsecd.policy.filters import Filter
from ipsecd.policy.halves import halves
from ipsecd.policy.identities import identity_of
from ipsecd.policy.lax import lax
from ipsecd.policy.lending import beside_the_gate
from ipsecd.policy.model import PolicyFile
from ipsecd.policy.paths import Path
from ipsecd.policy.plan import Action
from ipsecd.policy.rules import Authentication, Rule
from ipsecd.policy.schema import File
from ipsecd.policy.shadows import shadows
from ipsecd.policy.speakable import spoken
from ipsecd.policy.ties import ties
from ipsecd.wire.selector import Address, Selector

_ALIKE: Final = "both sides have the same identity: neither can tell the other from itself"


def notes(policy_file: PolicyFile) -> tuple[Mistake, ...]:
    """Remarks that stop nothing, in file order."""
    found = [*_assigned(policy_file), *_unused(policy_file), *_keylogs(policy_file), *_exemptions(policy_file)]
    found += [*lax(policy_file), *spoken(policy_file), *beside_the_gate(policy_file)]
    for path, rule in _rules(policy_file.content):
        found += _placed(policy_file, path, _doubts(rule, [each for _, each in policy_file.filters(path, rule)]))
    for name, filters in policy_file.content.filter_lists.items():
        found += _placed(policy_file, ("filter_lists", name), _bare_sides(filters))
    works = Work(), Work(), Work()
    for policy in (*policy_file.content.policies, None):
        found += _clashes(policy_file, policy, *works)
        found += _swallowed(policy_file, policy)
    return tuple(sorted(found, key=lambda note: (note.line, note.column)))


def _placed(policy_file: PolicyFile, path: Path, remarks: Iterable[Remark]) -> Iterator[Mistake]:
    return (policy_file.mistake((*path, *remark.at), remark.message, remark.hint) for remark in remarks)


def _assigned(policy_file: PolicyFile) -> Iterator[Mistake]:
    if policy_file.content.assigned is None:
        known = did_you_mean("", policy_file.content.policies)
        what = "the persistent rules hold alone" if any(policy_file.persistent()) else "nothing is protected"
        yield policy_file.mistake((), f"no policy is assigned: {what}", known and f"assigned: {known}")


def _keylogs(policy_file: PolicyFile) -> Iterator[Mistake]:
    for name, policy in policy_file.content.policies.items():
        if policy.keylog:
            yield policy_file.mistake(
                ("policies", name, "keylog"), "keys are kept for export: whoever gets them reads the traffic"
            )


def _exemptions(policy_file: PolicyFile) -> Iterator[Mistake]:
    """Exemptions that open more than one may think, and those without which a machine may be lost."""
    lost = "and may fall off the network"
    for name, policy in policy_file.content.policies.items():
        given, exempt = policy.exemptions, policy.exemptions.meaning()
        path: Path = ("policies", name, "exemptions")
        if exempt.kerberos:
            what = "whoever sends from port 88, TCP or UDP, reaches this machine past every rule"
            hint = "a rule that permits port 88 of the KDC alone opens less"
            yield policy_file.mistake((*path, "level" if given.kerberos is None else "kerberos"), what, hint)
        if not exempt.neighbour_discovery:
            what = f"where a rule covers it, this machine finds no IPv6 neighbour and no router, {lost}"
            yield policy_file.mistake((*path, "neighbour_discovery"), what)
        if not exempt.dhcp:
            what = f"where a rule covers it, this machine gets no address by DHCP, {lost}"
            yield policy_file.mistake((*path, "dhcp"), what)


def _unused(policy_file: PolicyFile) -> Iterator[Mistake]:
    content = policy_file.content
    rules = [rule for _, rule in _rules(content)]
    methods: list[Authentication] = [method for rule in rules for method in rule.authentication]
    for policy in content.policies.values():
        methods += policy.default_response.authentication if policy.default_response else ()
    passwords = {rule.xauth.password for rule in rules if rule.xauth}
    used: dict[str, set[str | None]] = {
        "credentials": {method.psk or method.certificate or method.kerberos for method in methods} | passwords,
        "filter_lists": {rule.filter_list for rule in rules},
        "filter_actions": {rule.action for rule in rules},
    }
    for section, names in used.items():
        for name in getattr(content, section):
            if name not in names:
                path = (section, name)
                yield policy_file.tree.mistake(path, "is never used", mark=policy_file.tree.key(path))


def _rules(content: File) -> Iterator[tuple[Path, Rule]]:
    """All rules there are, those that aren't enabled too."""
    for name, policy in content.policies.items():
        yield from ((("policies", name, "rules", index), rule) for index, rule in enumerate(policy.rules))
    persistent = content.persistent.rules if content.persistent else ()
    yield from ((("persistent", "rules", index), rule) for index, rule in enumerate(persistent))


def _doubts(rule: Rule, filters: Sequence[Filter]) -> Iterator[Remark]:
    """What of a rule may not be meant."""
    yield from (replace(remark, at=("filters", *remark.at)) for remark in _bare_sides(rule.filters or ()))
    if rule.tunnel is None:
        yield from _shared(rule, filters)
        return
    ends = {"local": rule.tunnel.local, "remote": rule.tunnel.remote}
    yield from (_bare(end.name, "tunnel", side) for side, end in ends.items() if end.bare)
    local = rule.identity.local or identity_of(rule.tunnel.local)
    if local.matches(rule.identity.remote or identity_of(rule.tunnel.remote)):
        at = ("identity", "remote" if rule.identity.remote else "local")
        yield Remark(_ALIKE, "", at)


def _shared(rule: Rule, filters: Sequence[Filter]) -> Iterator[Remark]:
    """An identity that several hosts would have."""
    mine, theirs = rule.identity.local, rule.identity.remote
    if theirs is None:
        return
    if mine is not None and mine.matches(theirs):
        yield Remark(_ALIKE, "", ("identity", "remote"))
    if not all(_is_one(each.source) or _is_one(each.destination) for each in filters):
        message = "without a tunnel every host has to be this one: of two that call, the later takes the other's place"
        yield Remark(message, "leave it out: each is known by its address", ("identity", "remote"))


def _is_one(addresses: AddressSet) -> bool:
    return addresses.kind is Kind.NAME or (addresses.first is not None and addresses.first == addresses.last)


def _bare_sides(filters: Iterable[Filter]) -> Iterator[Remark]:
    for index, each in enumerate(filters):
        for side, addresses in (("source", each.source), ("destination", each.destination)):
            if addresses.bare:
                yield _bare(addresses.text, index, side, sets=True)


def _bare(name: str, *at: str | int, sets: bool = False) -> Remark:
    hint = f"write {name}. if it is one"
    if meant := next((each for each in WELL_KNOWN if sets and (name in each or each in name)), ""):
        hint += f"; the set is {meant}"
    return Remark(f"{quoted(name)} is taken for a DNS name", hint, at)


def _clashes(policy_file: PolicyFile, policy: str | None, *works: Work) -> Iterator[Mistake]:
    """Filters that never match, those of which another takes a part, and tunnels that lie in another. Persistent rules
    come before a policy's."""
    so_far, found = all(work.complete for work in works), list(places(policy_file, policy))
    of_rank, of_all, of_ends = works
    rules, whole = [*policy_file.persistent()], found
    if policy:
        rules, whole = [*rules, *policy_file.rules(policy)], list(places(policy_file, None, policy))
    shadowed = shadows(whole, of_all)
    crossed = {path: message for path, message in shadowed.crossed.items() if path not in shadowed.never}
    clashing = ties(found, of_rank) | shadowed.never | shadowed.partly
    for told in (clashing, crossed, futile(found), dict(nested(rules, whole, of_ends))):
        for path, message in told.items():
            if path[0] == ("policies" if policy else "persistent"):
                yield policy_file.mistake(path, message)
    if so_far and not all(work.complete for work in works):
        message = "so many filters overlap that not all of them were compared"
        yield policy_file.mistake(("policies", policy) if policy else ("persistent",), message)


def _swallowed(policy_file: PolicyFile, policy: str | None) -> Iterator[Mistake]:
    """Networks behind us that lie inside what a rule protects on the far side: their own traffic, to this machine and
    through it, is covered too, unless a filter permits it."""
    entries = [(place.path, place.entry) for place in places(policy_file, policy)]
    permitted = [pair for _, entry in entries if entry.action is Action.PERMIT for pair in entry.pairs]
    told: set[tuple[Path, Selector]] = set()
    for path, entry in entries:
        if entry.action is not Action.PROTECT or entry.me or entry.each:
            continue
        for near, far in (map(_whole, pair) for pair in entry.pairs):
            among = any(local.contains(near) and remote.contains(near) for local, remote in permitted)
            if near.start != near.end and far.contains(near) and not among and (path, near) not in told:
                told.add((path, near))
                message = f"covers what {near} sends to itself too: its hosts and this machine don't reach each other"
                hint = f"if it is behind this machine, a rule that permits {near} to {near} leaves that out"
                yield policy_file.mistake(path, message, hint)


def _whole(selector: Selector) -> Selector:
    """All that goes to and from the addresses."""
    return Selector(selector.start, selector.end)


def places(policy_file: PolicyFile, *policies: str | None) -> Iterator[Place]:
    """The entries of policies; None stands for the persistent rules. What me, DNS names and well-known sets are isn't
    known here: each gets an address that nothing else has, so nothing is claimed of them."""
    numbers, order = count(2), count()  # 1 would be the loopback of IPv6
    known: dict[str, tuple[Address, ...]] = {}

    def resolve(name: str) -> tuple[Address, ...]:
        if name not in known:
            number = next(numbers)
            known[name] = (IPv4Address(number), IPv6Address(number))
        return known[name]

    sets = expand.Sets({word: resolve(f"({word})") for word in WELL_KNOWN})
    around = expand.Surroundings(resolve, resolve(""), sets=sets)
    rules = chain.from_iterable(policy_file.rules(each) if each else policy_file.persistent() for each in policies)
    known_halves = dict(chain.from_iterable(halves(policy_file, each).items() for each in policies))
    for path, rule in rules:
        persistent = path[:1] == ("persistent",)
        for place, entry in expand.of_rule(policy_file, path, rule, around, known_halves):
            where = place if place[:1] == path[:1] else (*path, "filter_list")  # shared ones are told at their use
            number = int(entry.name.removeprefix(f"{rule.name}/").partition("-")[0])
            told = replace(entry, line=policy_file.line(where), persistent=persistent)
            yield Place(next(order), told, where, number)
