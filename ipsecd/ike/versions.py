"""Which version of IKE a peer is spoken to by, and who is never spoken to by the older one any more.

Nothing vouches for a word that IKEv2 isn't spoken (RFC 7296 section 2.5), and somebody on the way may drop whatever is
said by it. So a peer is called by the next version of its policy only when a call has had its whole time, and by IKEv1
after IKEv2 only if nothing of IKEv2 has come back to it. Whoever has authenticated by IKEv2 once isn't silent by it:
such an identity has nothing by IKEv1, whoever calls.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from ipsecd import limits
from ipsecd.ike import reports
from ipsecd.ike.config import Peer, Version
from ipsecd.ike.effects import SpeaksV2

if TYPE_CHECKING:
    from ipsecd.ike.core import Core
    from ipsecd.ike.timers import Timer
    from ipsecd.wire.identity import Identity


class Versions:
    """``spoken`` are the identities, as text, that have ever authenticated by IKEv2."""

    def __init__(self, core: Core, spoken: Iterable[str] = ()) -> None:
        self._core = core
        self._spoken = dict.fromkeys(text.casefold() for text in spoken)
        # by the names of peers: the version that took the place of one without an answer, and until when
        self._instead: dict[str, tuple[Version, Timer]] = {}

    # --- which one ---

    def of(self, peer: Peer) -> Version:
        """By which to call it now."""
        usable = self._usable(peer) or peer.versions
        version, _ = self._instead.get(peer.name, (usable[0], None))
        return version if version in usable else usable[0]

    def answers(self, peer: Peer, version: Version) -> bool:
        """Whether a call of the peer's by this version may be answered."""
        return version in peer.versions and not (version is Version.IKEV1 and self._speaks_v2(peer.remote_id))

    def is_last(self, peer: Peer, version: Version) -> bool:
        """Whether no other is tried when a call by this one has no answer."""
        return self._after(peer, version) is None

    def none_left(self, peer: Peer) -> str:
        """Why it can be spoken to by no version at all; empty if it can."""
        return "" if self._usable(peer) else self.never_downgraded(peer.remote_id)

    @staticmethod
    def never_downgraded(identity: Identity) -> str:
        """Why IKEv1 isn't spoken with it any more, and what to do about it."""
        return (
            f"{identity} has authenticated by IKEv2 before, and who has isn't spoken to by IKEv1 any more; if it has "
            "no IKEv2 now, have it forgotten: by its line in spoken.json (ipsecd(8), FILES)"
        )

    def _usable(self, peer: Peer) -> tuple[Version, ...]:
        return tuple(version for version in peer.versions if self.answers(peer, version))

    def _after(self, peer: Peer, version: Version) -> Version | None:
        usable = self._usable(peer)
        later = usable[usable.index(version) + 1 :] if version in usable else ()
        return later[0] if later else None

    # --- what becomes of calls ---

    def unanswered(self, peer: Peer, version: Version, *, needed: bool = True) -> bool:
        """Its call came to nothing: True if another version is tried now. This isn't asked of a call by IKEv2 that
        something of IKEv2 has come back to. ``needed``: there is nothing yet by the other version."""
        self._forget(peer.name)
        following = self._after(peer, version)
        if following is None:
            return False  # the next call begins with the first one again
        over = self._core.after(limits.OTHER_VERSION_KEPT, partial(self._over, peer.name))
        self._instead[peer.name] = following, over
        if len(self._instead) > limits.MAX_IKE_SAS:
            self._forget(next(iter(self._instead)))
        if version is Version.IKEV2 and needed:
            reason = f"it has answered nothing by {version.value}, and the policy has {following.value} too"
            reports.ike_failed(self._core, "ike-downgraded", peer, reports.PEER, reason, version=following.value)
        return True

    def _over(self, name: str) -> None:
        del self._instead[name]
        self._core.wanted.try_first_version(name)

    def _forget(self, name: str) -> None:
        _, over = self._instead.pop(name, (None, None))
        if over is not None:
            over.cancel()

    # --- who has spoken IKEv2 ---

    def proved_v2(self, identity: Identity) -> None:
        """Whoever this is has authenticated by IKEv2."""
        known = _folded(identity)
        new = known not in self._spoken
        self._spoken.pop(known, None)
        self._spoken[known] = None  # the last of all
        if new:
            self._core.emit(SpeaksV2(str(identity)))
        if len(self._spoken) > limits.MAX_SPOKEN:
            del self._spoken[next(iter(self._spoken))]

    def _speaks_v2(self, identity: Identity) -> bool:
        return bool(self._spoken) and _folded(identity) in self._spoken


@lru_cache(maxsize=limits.MAX_V1_RULES)  # a stranger may be any of so many
def _folded(identity: Identity) -> str:
    """Letters' case is never what tells two apart."""
    return str(identity).casefold()
