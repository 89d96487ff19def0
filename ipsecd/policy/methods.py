"""Security methods, in the terms of a plan: what is negotiated of ESP, of AH, or of ESP inside of AH."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ipsecd.policy import plan as planned
from ipsecd.policy.actions import Esp, Lifetime, SecurityMethod
from ipsecd.policy.proposals import ENCRYPTION, INTEGRITY
from ipsecd.wire.registry import Group


def proposals(
    methods: Iterable[SecurityMethod], groups: tuple[Group, ...], *, esn: bool
) -> Iterator[planned.ChildProposal]:
    """One for each method, in their order, which is that of preference. ``groups``: what PFS may use."""
    for method in methods:
        lifetime = span(method.lifetime) if method.lifetime else None
        macs = tuple(INTEGRITY[name] for name in method.ah.integrity) if method.ah else ()
        if method.esp is None:
            yield planned.AhProposal(macs, groups, esn, lifetime)
        elif method.ah is None:
            yield _esp(method.esp, groups, esn, lifetime)
        else:
            yield planned.AhEspProposal(macs, _esp(method.esp, groups, esn, lifetime))


def _esp(
    esp: Esp,
    groups: tuple[Group, ...],
    esn: bool,  # as the fields of a proposal stand
    lifetime: planned.Lifetime | None,
) -> planned.EspProposal:
    encryption = tuple(ENCRYPTION[name] for name in esp.encryption)
    integrity = tuple(INTEGRITY[name] for name in esp.integrity or ())
    return planned.EspProposal(encryption, integrity, groups, esn, lifetime)


def span(given: Lifetime) -> planned.Lifetime:
    octets = None if given.kilobytes is None else given.kilobytes * 1024
    return planned.Lifetime(float(given.seconds), octets, given.packets)
