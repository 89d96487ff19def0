"""What an ISAKMP SA goes through behind phase 1 before it's of use: XAUTH, which asks for a user, and then mode config,
which gives an address. Which of them there are, and which side we are, is said here; each side has a module of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ipsecd import limits
from ipsecd.crypto.secret import Secret
from ipsecd.errors import PeerError
from ipsecd.ike.address_pool import AddressPool
from ipsecd.ike.core import Core
from ipsecd.ike.timers import Timer
from ipsecd.ike.v1.gate import Gate
from ipsecd.ike.v1.transactions import Answer, Done, Failed
from ipsecd.wire.ikev1_attributes import Attribute
from ipsecd.wire.ikev1_payloads import Attributes
from ipsecd.wire.mode_config import Network, NetworkSettings
from ipsecd.wire.registry import ConfigType
from ipsecd.wire.registry_v1 import ConfigAttribute
from ipsecd.wire.selector import Address

_NUMBERS, _NUMBER_OCTETS = (ConfigAttribute.XAUTH_TYPE, ConfigAttribute.XAUTH_STATUS), 2
XAUTH = range(ConfigAttribute.XAUTH_TYPE, ConfigAttribute.XAUTH_ANSWER + 1)


@dataclass(frozen=True, slots=True)
class User:
    name: str
    password: Secret


@dataclass(frozen=True, slots=True)
class Client:
    """We come in from elsewhere. ``user`` is who is named if the gateway asks. ``versions`` are the IP versions that an
    address is asked for of; ``pushed``: the gateway sets one without being asked. Neither: we need none."""

    user: User | None = None
    versions: tuple[int, ...] = ()
    pushed: bool = False


@dataclass(frozen=True, slots=True)
class Handing:
    """What a gateway gives its clients: an address of each pool, and the rest as it is. ``pushes``: unasked."""

    pools: tuple[AddressPool, ...]
    dns: tuple[Address, ...] = ()
    nbns: tuple[Address, ...] = ()
    subnets: tuple[Network, ...] = ()
    pushes: bool = False


@dataclass(frozen=True, slots=True)
class Gateway:
    """Others come in from elsewhere. ``gate``: each has to name a user; ``handing``: each has to take an address, and
    gets SAs for that alone."""

    gate: Gate | None = None
    handing: Handing | None = None


class Owner(Protocol):
    """Whose ISAKMP SA it is."""

    def through(self) -> None:
        """It's of use now."""

    def configured(self, settings: NetworkSettings) -> None:
        """What we have been given, or the peer has."""

    def refused(self, reason: str) -> None:
        """It comes to nothing, for a reason in plain words."""


Transact = Callable[[Attributes, Done, Failed], None]


class Access(ABC):
    """``transact`` begins a transaction. ``complaint`` is the reason for people, once there is one; ``user`` is who has
    come in."""

    def __init__(self, core: Core, transact: Transact, owner: Owner) -> None:
        self._core = core
        self._transact = transact
        self._owner = owner
        self._timer: Timer | None = None
        self._over = False
        self.is_through = False
        self.complaint = ""
        self.user = ""

    def begin(self) -> None:
        """Right behind phase 1."""
        self._timer = self._core.after(limits.ACCESS_TIME, lambda: self._refuse(self._missing()))
        self._go_on()

    def stop(self) -> None:
        """The ISAKMP SA is over."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()

    def release(self) -> None:  # noqa: B027  # most have nothing to give back
        """The addresses that the peer has had are free for others."""

    @property
    def leased(self) -> tuple[Address, ...]:
        """What the peer has been given, and isn't free yet."""
        return ()

    @abstractmethod
    def take(self, said: Attributes) -> Answer:
        """The answer to what the peer begins. PeerError for what isn't answered, and has no effect."""

    @abstractmethod
    def _go_on(self) -> None:
        """The next step, if one is to be done here, or the end."""

    @abstractmethod
    def _missing(self) -> str:
        """What hasn't come, for people."""

    def _finish(self) -> None:
        if not self.is_through and not self._over:
            self.is_through = True
            if self._timer is not None:
                self._timer.cancel()
            self._owner.through()

    def _refuse(self, reason: str) -> None:
        if not self._over:
            self.complaint = self.complaint or reason
            self._owner.refused(self.complaint)


class Nothing(Access):
    """Neither is wanted. A peer that asks for something gets nothing, and what it sets isn't taken."""

    def begin(self) -> None:
        self._go_on()

    def take(self, said: Attributes) -> Answer:
        return empty_answer(said), nothing_more

    def _go_on(self) -> None:
        self._finish()

    def _missing(self) -> str:
        return ""


# --- what both sides need -------------------------------------------------------------------------------------------


def nothing_more() -> None:
    """Of an answer that leads to nothing."""


def empty_answer(said: Attributes, attributes: tuple[Attribute, ...] = ()) -> Attributes:
    """A REPLY or an ACK, which must come whatever there is to say (draft-dukes-ike-mode-cfg-02 section 2)."""
    kind = ConfigType.REPLY if said.type == ConfigType.REQUEST else ConfigType.ACK
    return Attributes(kind, said.identifier, attributes)


def about_user(said: Attributes) -> bool:
    """Whether it's a part of XAUTH."""
    return any(each.type in XAUTH for each in said.attributes)


def attribute(said: Attributes, kind: ConfigAttribute) -> Attribute | None:
    """PeerError("attribute-repeated") for what stands there twice, PeerError("bad-attribute-length") for a number of
    more than two octets."""
    found = [each for each in said.attributes if each.type == kind]
    if len(found) > 1:
        raise PeerError("attribute-repeated", str(kind))
    if found and kind in _NUMBERS and len(found[0].value) > _NUMBER_OCTETS:
        raise PeerError("bad-attribute-length", str(kind))
    return found[0] if found else None
