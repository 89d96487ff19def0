"""What a quick mode offers, what is taken of it, and what is accepted as an answer (RFC 2408 section 4.2, RFC 2409
section 5.5).

Suites of one protocol are alternatives in one proposal. AH with ESP are two proposals of one number, which are chosen
together, so each such suite has a number of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import groupby

from ipsecd import limits
from ipsecd.errors import PeerError, Refused
from ipsecd.ike.config import Lifetime
from ipsecd.ike.parts import reserved
from ipsecd.ike.suites import AhEspSuite, ChildSuite, Layer
from ipsecd.ike.v1 import durations
from ipsecd.ike.v1.child_suites import layers_said, meaning, protocol_of, said
from ipsecd.wire.ikev1_payloads import Proposal, Sa, Transform
from ipsecd.wire.registry import OpenEnum
from ipsecd.wire.registry_v1 import AhTransform, Encapsulation, EspTransform, NotifyType, Protocol

Spis = Mapping[Protocol, bytes]
_TRANSFORMS: dict[Protocol, type[OpenEnum]] = {Protocol.AH: AhTransform, Protocol.ESP: EspTransform}


@dataclass(frozen=True, slots=True)
class Choice:
    """One bundle, cut down to one transform for each protocol. ``lifetime`` is what its transforms say."""

    suite: ChildSuite
    proposals: tuple[Proposal, ...]
    lifetime: Lifetime

    @property
    def spis(self) -> Spis:
        """Of whoever says it."""
        return {proposal.protocol: proposal.spi for proposal in self.proposals}

    def answer(self, spis: Spis, lifetime: Lifetime) -> Sa:
        """What grants it: transforms as they came, with the numbers they had. If they say nothing of a lifetime, ours
        is said, which is what initiators that say none expect: they know it from nothing else."""
        return Sa(tuple(replace(_timed(each, lifetime), spi=spis[each.protocol]) for each in self.proposals))


def _timed(proposal: Proposal, lifetime: Lifetime) -> Proposal:
    (transform,) = proposal.transforms
    if any(attribute.type in durations.ATTRIBUTES for attribute in transform.attributes):
        return proposal
    return replace(
        proposal, transforms=(replace(transform, attributes=transform.attributes + durations.written(lifetime)),)
    )


def protocols(suites: Iterable[ChildSuite]) -> tuple[Protocol, ...]:
    """Those that suites are made of, each once: an offer needs an SPI for each."""
    return tuple(dict.fromkeys(protocol_of(layer) for suite in suites for layer in suite.layers))


def offered(suites: tuple[ChildSuite, ...]) -> tuple[ChildSuite, ...]:
    """Those that can be offered together with the first: of one group, as one public value goes with the offer (RFC
    2409 section 5.5), and no more than a message holds. Without ESN, if there are such: libreswan doesn't know its
    attribute (RFC 4304 section 3), and refuses the whole offer in which it stands once."""
    plain = [suite for suite in suites if not any(layer.esn for layer in suite.layers)] or suites
    same = [suite for suite in plain if suite.group == plain[0].group]
    return tuple(same[: limits.MAX_V1_OFFERED])


def offer(suites: Iterable[ChildSuite], spis: Spis, mode: Encapsulation, lifetime: Lifetime) -> Sa:
    """Suites in order of preference. LocalError for one that IKEv1 has no numbers for."""
    found: list[Proposal] = []
    for number, (_, together) in enumerate(groupby(enumerate(suites), _apart), 1):
        layers = zip(*(layers_said(suite) for _, suite in together), strict=True)
        found += [_proposal(number, each, spis, mode, lifetime) for each in layers]
    return Sa(tuple(found))


def _apart(place: tuple[int, ChildSuite]) -> object:
    """Equal for what stands in one proposal."""
    index, suite = place
    return index if isinstance(suite, AhEspSuite) else protocol_of(suite)


def _proposal(number: int, layers: Iterable[Layer], spis: Spis, mode: Encapsulation, lifetime: Lifetime) -> Proposal:
    layers = tuple(layers)
    protocol = protocol_of(layers[0])
    transforms = tuple(said(place, layer, mode, lifetime) for place, layer in enumerate(layers, 1))
    return Proposal(number, protocol, spis[protocol], transforms)


def choose(sa: Sa, suites: tuple[ChildSuite, ...], mode: Encapsulation) -> Choice:
    """The first bundle offered that is one of ``suites`` in this mode, and of it the transforms offered first.
    Refused("no-proposal-chosen") if none is."""
    for bundle in sa.bundles:
        choice = _chosen(bundle, suites, mode)
        if choice is not None:
            return choice
    ours = ", ".join(map(str, suites)) or "nothing"
    raise Refused(
        "no-proposal-chosen",
        f"no common proposal; the peer offers {describe(sa)}; we take {ours} in {mode}",
        notify=NotifyType.NO_PROPOSAL_CHOSEN,
    )


def accepted(ours: Sa, answer: Sa, suites: tuple[ChildSuite, ...], mode: Encapsulation) -> Choice:
    """The answer to our offer. PeerError("bad-proposal-answer") unless it's one bundle of it with one transform for
    each protocol. Lifetimes beside them may differ: each side minds its own."""
    bundles = answer.bundles
    said_once = len(bundles) == 1 and all(len(proposal.transforms) == 1 for proposal in bundles[0])
    numbers = {bundle[0].number for bundle in ours.bundles}
    choice = _chosen(bundles[0], suites, mode) if said_once and bundles[0][0].number in numbers else None
    if choice is None:
        raise PeerError("bad-proposal-answer", f"it takes {describe(answer)}, which we didn't offer")
    return choice


def _chosen(bundle: tuple[Proposal, ...], suites: tuple[ChildSuite, ...], mode: Encapsulation) -> Choice | None:
    by_protocol = {proposal.protocol: proposal for proposal in bundle}
    if len(by_protocol) < len(bundle) or any(reserved(each.spi) for each in bundle):
        return None
    known = {layer: place for proposal in reversed(bundle) for layer, place in _understood(proposal, mode).items()}
    fitting = [
        (tuple(known[layer] for layer in layers), suite)
        for suite, layers in ((suite, layers_said(suite)) for suite in suites)
        if all(layer in known for layer in layers) and {protocol_of(layer) for layer in layers} == set(by_protocol)
    ]
    if not fitting:
        return None
    places, suite = min(fitting, key=lambda each: each[0])
    taken = dict(zip(map(protocol_of, layers_said(suite)), places, strict=True))
    proposals = tuple(replace(each, transforms=(each.transforms[taken[each.protocol]],)) for each in bundle)
    lifetime = durations.UNLIMITED
    for proposal in proposals:
        lifetime = durations.shorter(lifetime, durations.read(proposal.transforms[0].attributes))
    return Choice(suite, proposals, lifetime)


def _understood(proposal: Proposal, mode: Encapsulation) -> dict[Layer, int]:
    """Where the first transform stands that says a layer in this mode."""
    found: dict[Layer, int] = {}
    for place, transform in enumerate(proposal.transforms):
        meant = meaning(proposal.protocol, transform)
        if meant is not None and meant.encapsulation == mode:
            found.setdefault(meant.layer, place)
    return found


def describe(sa: Sa) -> str:
    """Proposals in the keywords of a policy and with their modes, for people."""
    return ", ".join("+".join(map(_described, bundle)) for bundle in sa.bundles)


def _described(proposal: Proposal) -> str:
    return " or ".join(_text(proposal.protocol, transform) for transform in proposal.transforms)


def _text(protocol: Protocol, transform: Transform) -> str:
    meant = meaning(protocol, transform)
    if meant is not None:
        return f"{meant.layer} in {meant.encapsulation}"
    registry = _TRANSFORMS.get(protocol)
    return f"{protocol} {registry(transform.id) if registry else transform.id} with something that we don't know"
