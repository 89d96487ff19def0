"""XAUTH and mode config as the side that comes in (draft-beaulieu-ike-xauth-02 section 5, draft-dukes-ike-mode-cfg-02
section 5.1).

::

    client                                     gateway
                                        <--    REQUEST(NAME, PASSWORD)
    REPLY(NAME, PASSWORD)               -->
                                        <--    SET(STATUS)
    ACK                                 -->
    REQUEST(ADDRESS, DNS...)            -->
                                        <--    REPLY(ADDRESS, DNS...)

A password is given once in a transaction: whoever asks for it again has found it wrong, and each try counts there.
"""

from __future__ import annotations

from collections.abc import Callable

from ipsecd.errors import PeerError
from ipsecd.ike.core import Core
from ipsecd.ike.v1.access import (
    Access,
    Client,
    Owner,
    Transact,
    User,
    about_user,
    attribute,
    empty_answer,
    nothing_more,
)
from ipsecd.ike.v1.transactions import Answer
from ipsecd.printable import quoted
from ipsecd.wire import mode_config
from ipsecd.wire.ikev1_attributes import Attribute, basic
from ipsecd.wire.ikev1_payloads import Attributes
from ipsecd.wire.registry import ConfigType
from ipsecd.wire.registry_v1 import ConfigAttribute, XauthStatus, XauthType

_NAME, _PASSWORD = ConfigAttribute.XAUTH_USER_NAME, ConfigAttribute.XAUTH_USER_PASSWORD
_MESSAGE, _TYPE, _STATUS = ConfigAttribute.XAUTH_MESSAGE, ConfigAttribute.XAUTH_TYPE, ConfigAttribute.XAUTH_STATUS
_NOTHING_GIVEN: tuple[int, frozenset[ConfigAttribute]] = (-1, frozenset())
"""Of which transaction, and what the gateway has had in it."""
_HAD = frozenset({_NAME, _PASSWORD, _MESSAGE, _TYPE, ConfigAttribute.XAUTH_DOMAIN})


class ClientAccess(Access):
    """``asked``: phase 1 has said that the gateway asks for a user, and nothing goes on before it's content."""

    def __init__(self, core: Core, settings: Client, transact: Transact, owner: Owner, *, asked: bool) -> None:
        super().__init__(core, transact, owner)
        self._settings = settings
        self._content = not asked
        self._placed = not (settings.versions or settings.pushed)
        self._asking = False
        self._given = _NOTHING_GIVEN

    def _go_on(self) -> None:
        if not self._content or self._over:
            return
        if self._placed:
            self._finish()
        elif self._settings.versions and not self._asking:
            self._asking = True
            request = Attributes(ConfigType.REQUEST, self._fresh(), mode_config.requests(self._settings.versions))
            self._transact(request, self._take_reply, self._refuse)

    def _missing(self) -> str:
        if not self._content:
            return "the gateway hasn't said whether it lets our user in"
        return "the gateway hasn't given us an address"

    def take(self, said: Attributes) -> Answer:
        if said.type == ConfigType.REQUEST:
            return self._named(said) if about_user(said) else (empty_answer(said), nothing_more)
        status = attribute(said, _STATUS)
        if status is not None:
            text = _text(said)
            return empty_answer(said), lambda: self._judged(status, text)
        if about_user(said):
            raise PeerError("bad-xauth", "it's set without a status")
        return self._placed_by(said)

    # --- XAUTH ---

    def _named(self, said: Attributes) -> Answer:
        kind, user = attribute(said, _TYPE), self._settings.user
        reason = self._hindrance(said, kind)
        if user is None or reason:
            failed = (*([kind] if kind else []), basic(_STATUS, XauthStatus.FAIL))
            return empty_answer(said, failed), lambda: self._refuse(reason)
        return empty_answer(said, self._filled(said, user)), nothing_more

    def _hindrance(self, said: Attributes, kind: Attribute | None) -> str:
        """Why it can't be answered, for people; empty if it can."""
        wanted = mode_config.asked(said.attributes)
        user = self._settings.user
        if user is None:
            return "the gateway asks for a user, and there is none for this rule"
        if kind is not None and kind.number != XauthType.GENERIC:
            return f"the gateway asks for {XauthType(kind.number)}, which isn't supported: it has to ask for a password"
        others = sorted(str(each) for each in wanted - _HAD)
        if others:
            return f"the gateway asks for {', '.join(others)}, and there is nothing but a password"
        transaction, given = self._given
        if transaction == said.identifier and wanted & given:
            return f"the gateway doesn't take the password of user {quoted(user.name)}{_text(said)}"
        return ""

    def _filled(self, said: Attributes, user: User) -> tuple[Attribute, ...]:
        had = self._given[1] if self._given[0] == said.identifier else frozenset()
        values: dict[int, Callable[[Attribute], Attribute]] = {
            _TYPE: lambda asked: asked,
            _NAME: lambda _: Attribute(_NAME, user.name.encode()),
            _PASSWORD: lambda _: Attribute(_PASSWORD, user.password.reveal()),
        }
        wanted = mode_config.asked(said.attributes) & {_NAME, _PASSWORD}
        self._given = said.identifier, had | wanted
        return tuple(values[each.type](each) for each in said.attributes if each.type in values)

    def _judged(self, status: Attribute, text: str) -> None:
        if status.number == XauthStatus.OK:
            self._content = True
            self._given = _NOTHING_GIVEN  # the transaction is over, and the next may have its number
            self._go_on()
            return
        user = self._settings.user
        who = f"user {quoted(user.name)}" if user is not None else "us"
        self._refuse(f"the gateway doesn't let {who} in{text}")

    # --- mode config ---

    def _take_reply(self, reply: Attributes) -> None:
        try:
            settings = mode_config.read(reply.attributes)
        except PeerError as error:
            self._refuse(f"the gateway's settings can't be read: {error.detail}")
            return
        self._place(settings)

    def _place(self, settings: mode_config.NetworkSettings) -> None:
        if not settings.addresses:
            self._refuse("the gateway has no address for us")
            return
        self._placed = True
        self._owner.configured(settings)
        self._go_on()

    def _placed_by(self, said: Attributes) -> Answer:
        """What the gateway sets is taken once, and only if that is how we get it."""
        if not self._content:
            raise PeerError("not-through", "set before the gateway has said whether our user may come in")
        if self._placed or not self._settings.pushed:
            return empty_answer(said), nothing_more
        settings = mode_config.read(said.attributes)
        taken = tuple(Attribute(kind, b"") for kind in dict.fromkeys(each.type for each in said.attributes))
        return empty_answer(said, taken), lambda: self._place(settings)

    def _fresh(self) -> int:
        return int.from_bytes(self._core.entropy.octets(2), "big")


def _text(said: Attributes) -> str:
    """What the gateway says about it to people."""
    text = attribute(said, _MESSAGE)
    return f": it says {quoted(text.value.decode(errors='replace'))}" if text is not None and text.value else ""
