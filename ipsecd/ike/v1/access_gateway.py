"""XAUTH and mode config as the side that others come in to; ``access_client.py`` shows the messages.

One wrong password is the end of the ISAKMP SA, so that each try costs a phase 1. What a client says of the outcome by
itself never lets it in.
"""

from __future__ import annotations

from ipsecd import limits
from ipsecd.crypto.secret import Secret
from ipsecd.errors import PeerError
from ipsecd.ike.address_pool import AddressPool
from ipsecd.ike.core import Core
from ipsecd.ike.v1.access import (
    Access,
    Gateway,
    Handing,
    Owner,
    Transact,
    about_user,
    attribute,
    empty_answer,
    nothing_more,
)
from ipsecd.ike.v1.gate import Gate
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.transactions import Answer
from ipsecd.wire import mode_config
from ipsecd.wire.ikev1_attributes import Attribute, basic
from ipsecd.wire.ikev1_payloads import Attributes
from ipsecd.wire.registry import ConfigType
from ipsecd.wire.registry_v1 import ConfigAttribute, XauthStatus
from ipsecd.wire.selector import Address

_NAME, _PASSWORD = ConfigAttribute.XAUTH_USER_NAME, ConfigAttribute.XAUTH_USER_PASSWORD
_STATUS = ConfigAttribute.XAUTH_STATUS
_ADDRESSES = {4: ConfigAttribute.INTERNAL_IP4_ADDRESS, 6: ConfigAttribute.INTERNAL_IP6_ADDRESS}


class GatewayAccess(Access):
    def __init__(self, core: Core, sa: IsakmpSa, settings: Gateway, transact: Transact, owner: Owner) -> None:
        super().__init__(core, transact, owner)
        self._sa = sa
        self._settings = settings
        self._content = settings.gate is None
        self._transaction = int.from_bytes(core.entropy.octets(2), "big")
        self._leases: dict[AddressPool, Address] = {}

    def _go_on(self) -> None:
        handing, gate = self._settings.handing, self._settings.gate
        if gate is not None and not self._content:
            asked = (Attribute(_NAME, b""), Attribute(_PASSWORD, b""))
            self._transact(
                Attributes(ConfigType.REQUEST, self._transaction, asked),
                lambda reply: self._take_user(reply, gate),
                self._refuse,
            )
        elif handing is None:
            self._finish()
        elif handing.pushes:
            self._push(handing)

    def _missing(self) -> str:
        if not self._content:
            return "the peer hasn't said who uses it"
        return "the peer hasn't asked for an address"

    def take(self, said: Attributes) -> Answer:
        if about_user(said):
            raise PeerError("xauth-by-client", "it's the gateway who asks, and who says who may come in")
        if not self._content:
            raise PeerError("not-through", "before the peer has said who uses it")
        handing = self._settings.handing
        if said.type == ConfigType.SET or handing is None:
            return empty_answer(said), nothing_more
        return self._handed(said, handing)

    # --- XAUTH ---

    def _take_user(self, reply: Attributes, gate: Gate) -> None:
        try:
            status, name, password = (attribute(reply, each) for each in (_STATUS, _NAME, _PASSWORD))
        except PeerError as error:
            self._tell(f"who uses the peer can't be read from its answer: {error}")
            return
        if status is not None:
            said = "gives up" if status.number == XauthStatus.FAIL else "says by itself that it may come in"
            self._tell(f"asked for its user, the peer {said}")
        elif name is None or password is None or not name.value:
            self._tell("asked for its user, the peer doesn't name one with a password")
        else:
            self._judge(gate, _trimmed(name.value), _trimmed(password.value))

    def _judge(self, gate: Gate, name: bytes, password: bytes) -> None:
        if len(name) > limits.MAX_USER_NAME or len(password) > limits.MAX_PASSWORD:
            self._tell("the peer's user or password is longer than any")
            return
        user = name.decode(errors="backslashreplace")

        def judged(reason: str) -> None:
            self.user = "" if reason else user
            self._tell(reason)

        gate.ask(user, Secret(password), self._sa.path.remote.address, self._core.now, judged)

    def _tell(self, reason: str) -> None:
        """The peer gets to know no more than whether it may come in; people, why it may not."""
        self.complaint = reason
        status = XauthStatus.FAIL if reason else XauthStatus.OK
        said = Attributes(ConfigType.SET, self._transaction, (basic(_STATUS, status),))
        self._transact(said, lambda _: self._told(), lambda unheard: self._refuse(reason or unheard))

    def _told(self) -> None:
        if self.complaint:
            self._refuse(self.complaint)
        else:
            self._content = True
            self._go_on()

    # --- mode config ---

    @property
    def leased(self) -> tuple[Address, ...]:
        return tuple(self._leases.values())

    def release(self) -> None:
        leases, self._leases = self._leases, {}
        for pool in leases:
            pool.release(self._name)

    @property
    def _name(self) -> str:
        """Whose the addresses are: a user's, who has the same ones wherever he comes from, or a host's."""
        return f"user {self.user}" if self.user else f"peer {self._sa.remote_id}"

    def _lease(self, pools: tuple[AddressPool, ...], wishes: tuple[Address, ...]) -> str:
        """Why there isn't one of each, for people; empty if there is."""
        for pool in pools:
            if pool in self._leases:
                continue
            wish = next((each for each in wishes if each.version == pool.network.version), None)
            address = pool.lease(self._name, wish)
            if address is None:
                return f"no address of {pool.network} is free"
            self._leases[pool] = address
        return ""

    def _handed(self, said: Attributes, handing: Handing) -> Answer:
        asked = mode_config.asked(said.attributes)
        pools = tuple(pool for pool in handing.pools if _ADDRESSES[pool.network.version] in asked)
        if not pools:
            return empty_answer(said), nothing_more
        lack = self._lease(pools, mode_config.read(said.attributes).addresses)
        if lack:
            return empty_answer(said), lambda: self._refuse(lack)
        settings = self._settings_of(handing)
        return empty_answer(said, mode_config.written(settings)), lambda: self._placed(settings)

    def _push(self, handing: Handing) -> None:
        lack = self._lease(handing.pools, ())
        if lack:
            self._refuse(lack)
            return
        settings = self._settings_of(handing)
        said = Attributes(ConfigType.SET, int.from_bytes(self._core.entropy.octets(2), "big"), ())
        said = Attributes(said.type, said.identifier, mode_config.written(settings))
        self._transact(said, lambda ack: self._take_ack(ack, settings), self._refuse)

    def _take_ack(self, ack: Attributes, settings: mode_config.NetworkSettings) -> None:
        """It holds what the peer has taken (draft-dukes-ike-mode-cfg-02 section 2)."""
        if mode_config.asked(ack.attributes).isdisjoint(_ADDRESSES.values()):
            self._refuse("the peer doesn't take the address that is set")
        else:
            self._placed(settings)

    def _placed(self, settings: mode_config.NetworkSettings) -> None:
        if not self.is_through:
            self._owner.configured(settings)
            self._finish()

    def _settings_of(self, handing: Handing) -> mode_config.NetworkSettings:
        return mode_config.NetworkSettings(self.leased, handing.dns, handing.nbns, handing.subnets)


def _trimmed(value: bytes) -> bytes:
    """Some end it as C ends a string."""
    return value.removesuffix(b"\x00")
