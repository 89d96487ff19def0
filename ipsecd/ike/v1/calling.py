"""How a party is called: which of its peers, where, in which mode, and with which of several pre-shared keys."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ipsecd.errors import LocalError
from ipsecd.ike.config import Child, Endpoint, IkeConfig, Path, Peer
from ipsecd.ike.core import Core
from ipsecd.ike.nat import carries_both
from ipsecd.ike.v1 import telling
from ipsecd.ike.v1.aggressive_initiator import AggressiveInitiator
from ipsecd.ike.v1.calls import Call, Done, Failed
from ipsecd.ike.v1.initiating import Initiator
from ipsecd.ike.v1.main_initiator import MainModeInitiator
from ipsecd.ike.v1.menu import Menu, called
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.wire import ikev1
from ipsecd.wire.selector import Address


class Calling:
    """``alone`` says whether there is nothing else with the same peer. ``begun`` is told of each cookie. ``menu`` is
    that of the configuration there is."""

    def __init__(
        self, core: Core, menu: Menu, peer: Peer, alone: Callable[[], bool], begun: Callable[[bytes], None]
    ) -> None:
        self._core = core
        self._alone = alone
        self._begun = begun
        self._made: Initiator | None = None
        self._cookie = b""
        self._child: Child | None = None
        self.menu = menu
        self.peer = peer
        self.remote: Address | None = peer.remotes[0] if peer.remotes else None

    def aim(self, peer: Peer, remote: Address, child: Child | None) -> None:
        """Whom the next call is for, and where."""
        self.peer, self.remote, self._child = peer, remote, child

    def __call__(self, cookie: bytes, *, first: bool, done: Done, failed: Failed) -> Call:
        terms = self.menu.to_call(self.peer)
        if terms is None or self.remote is None:
            self._made = None
            self._core.after(0.0, partial(failed, "the rule has no proposal for IKE that IKEv1 can say"))
            return _Nobody()
        terms, path = called(terms, first=first and self._alone()), path_to(self._core.config, self.peer, self.remote)
        kind = AggressiveInitiator if terms.exposed(terms.offered) else MainModeInitiator
        telling.calling(self._core, self.peer, self._child, path, kind.exchange)
        self._begun(cookie)
        self._cookie = cookie
        self._made = kind(self._core, terms, path, cookie, done, failed)
        return self._made

    @property
    def path(self) -> Path:
        """That of the call under way, or of the next one."""
        if self._made is not None:
            return self._made.path
        if self.remote is None:
            raise LocalError("nobody is called who calls from anywhere")
        return path_to(self._core.config, self.peer, self.remote)

    @property
    def mode(self) -> str:
        """Main or aggressive, of the last call."""
        return telling.mode_of_phase_1(self._made.exchange) if self._made is not None else ""

    @property
    def cookie(self) -> bytes:
        """Of the last call."""
        return self._cookie

    def change(self, menu: Menu, peers: tuple[Peer, ...]) -> None:
        """The configuration is new. Whoever was called is called again, if it's still there."""
        self.menu = menu
        self.peer = next((peer for peer in peers if peer.name == self.peer.name), peers[0])
        if self.peer.remotes and self.remote not in self.peer.remotes:
            self.remote = self.peer.remotes[0]

    def heard(self, sa: IsakmpSa) -> None:
        """Something that the peer alone can have said, behind phase 1."""
        if isinstance(self._made, AggressiveInitiator) and self._cookie in sa.cookies:
            self._made.heard()

    def failed(self, reason: str, *, final: bool) -> None:
        """It has come to nothing. The next one is made with the next key if it may be that. ``final``: no other version
        of IKE is tried now."""
        made = self._made
        proving = made is not None and made.proving
        if proving:
            self.menu.refused(self.peer)
        if final or proving:
            telling.call_failed(self._core, self.peer, made.path.remote if made else None, reason, proving=proving)


def path_to(config: IkeConfig, peer: Peer, remote: Address) -> Path:
    """Where its first message goes."""
    local = peer.local or type(remote)(0)  # unspecified: whoever sends fills it in
    natt = carries_both(peer.remote_port, config.natt_port)
    port = config.natt_port if natt else config.ike_port
    return Path(Endpoint(local, port), Endpoint(remote, peer.remote_port), natt)


class _Nobody:
    """Who isn't called at all."""

    def hear(self, message: ikev1.Message, path: Path, /) -> None:
        """Nothing comes of it."""

    def drop(self) -> None:
        """Nor of this."""
