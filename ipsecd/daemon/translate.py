"""The negotiation's effects on SAs, as the messages that the data plane takes."""

from __future__ import annotations

from ipsecd.dataplane import messages
from ipsecd.ike import effects
from ipsecd.ike.config import Endpoint, Lifetime, Path

SaEffect = (
    effects.InstallInbound
    | effects.InstallOutbound
    | effects.RemoveInbound
    | effects.RemoveOutbound
    | effects.MovePath
    | effects.GiveUp
    | effects.Coming
)


def message(effect: SaEffect, window: int) -> messages.ToRoads:
    """The message that carries out one effect; ``window`` is the size of the replay window in packets."""
    match effect:
        case effects.InstallInbound():
            return messages.InstallInbound(
                spi=number(effect.spi),
                child=effect.child,
                keys=_keys(effect.keys),
                local=effect.local,
                remote=effect.remote,
                outside=outside(effect.path),
                limits=_limits(effect.soft, effect.hard),
                window=window,
                form=effect.form,
                watched=effect.watched,
            )
        case effects.InstallOutbound():
            return messages.InstallOutbound(
                spi=number(effect.spi),
                inbound=number(effect.inbound),
                child=effect.child,
                keys=_keys(effect.keys),
                local=effect.local,
                remote=effect.remote,
                outside=outside(effect.path),
                limits=_limits(effect.soft, effect.hard),
                form=effect.form,
                tfc=effect.tfc,
                watched=effect.watched,
            )
        case effects.RemoveInbound(spi):
            return messages.RemoveInbound(number(spi))
        case effects.RemoveOutbound(spi, inbound):
            return messages.RemoveOutbound(number(spi), number(inbound))
        case effects.MovePath(inbound_spis, path):
            return messages.MovePath(tuple(number(spi) for spi in inbound_spis), outside(path))
        case effects.GiveUp(child) | effects.Coming(child):
            return messages.GiveUp(child) if isinstance(effect, effects.GiveUp) else messages.Coming(child)


def number(spi: bytes) -> int:
    """An SPI as the data plane has it."""
    return int.from_bytes(spi, "big")


def octets(spi: int) -> bytes:
    """An SPI as the negotiation has it."""
    return spi.to_bytes(4, "big")


def outside(path: Path) -> messages.Outside:
    """The outer addresses and ports of a path."""
    return messages.Outside(path.local.address, path.local.port, path.remote.address, path.remote.port)


def path(outer: messages.Outside) -> Path:
    """The path of a peer that sent ESP from there; in UDP it arrives at the socket of port 4500 alone."""
    ends = Endpoint(outer.local, outer.local_port), Endpoint(outer.remote, outer.remote_port)
    return Path(*ends, natt=not outer.native)


def _keys(keys: effects.ChildKeys | effects.AhChildKeys) -> messages.EspKeys | messages.AhKeys:
    if isinstance(keys, effects.AhChildKeys):
        return messages.AhKeys(keys.integrity, keys.esn, keys.integrity_key.reveal())
    return messages.EspKeys(
        encryption=keys.encryption,
        key_bits=keys.key_bits,
        integrity=keys.integrity,
        esn=keys.esn,
        encryption_key=keys.encryption_key.reveal(),
        integrity_key=keys.integrity_key.reveal(),
    )


def _limits(soft: Lifetime, hard: Lifetime) -> messages.Limits:
    return messages.Limits(soft.seconds, soft.octets, soft.packets, hard.seconds, hard.octets, hard.packets)
