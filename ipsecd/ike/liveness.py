"""Whether the peer is there, and whether a NAT still lets it reach us (RFC 7296 section 2.4, RFC 3948 section 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipsecd import limits
from ipsecd.ike.effects import Keepalive
from ipsecd.ike.timers import Timer
from ipsecd.ike.v2.informational import Probe

if TYPE_CHECKING:
    from ipsecd.ike.sa import IkeSa


class Liveness:
    """The two clocks of one IKE SA: a probe when nothing authentic came for a while, and keepalives behind a NAT."""

    def __init__(self, sa: IkeSa) -> None:
        self._sa = sa
        self._heard = sa.core.now
        self._probe: Timer | None = None
        self._keepalive: Timer | None = None
        self._next_doubt = 0.0
        self._confirmed = False  # the peer has spoken since it was established

    def start(self) -> None:
        self.stop()
        self._heard = self._sa.core.now
        self._confirmed = self._sa.initiator or not self._sa.first
        self._wait_until(self._quiet_enough())
        if self._sa.nat.here and self._sa.path.natt:
            self._keepalive = self._sa.core.after(limits.NAT_KEEPALIVE, self._keep_alive)

    def stop(self) -> None:
        for timer in (self._probe, self._keepalive):
            if timer is not None:
                timer.cancel()
        self._probe = self._keepalive = None

    def heard(self) -> None:
        """Something fresh and authentic came, by the IKE SA or by one of its children."""
        self._heard = self._sa.core.now
        if not self._confirmed:
            self._confirmed = True
            if self._probe is not None:  # set for one that hadn't spoken
                self._probe.cancel()
                self._wait_until(self._quiet_enough())

    def doubted(self) -> None:
        """Somebody says, and may lie, that the peer doesn't know this IKE SA (RFC 7296 section 2.21.4)."""
        if self._sa.core.now >= self._next_doubt and self._sa.live:
            self._next_doubt = self._sa.core.now + limits.DOUBT_EVERY
            self._probe_now()

    def check(self) -> None:
        """There is a reason to ask now, however lately the peer was heard."""
        if self._probe is not None:
            self._probe.cancel()
            self._ask()

    def _due(self) -> None:
        quiet_enough = self._quiet_enough()
        if quiet_enough > self._sa.core.now:
            self._wait_until(quiet_enough)
        else:
            self._ask()

    def _quiet_enough(self) -> float:
        return self._heard + max(self._sa.peer.dpd, 0.0 if self._confirmed else limits.DPD_FIRST)

    def _ask(self) -> None:
        self._probe_now()
        self._wait_until(self._sa.core.now + self._sa.peer.dpd)

    def _probe_now(self) -> None:
        # A request on its way, of any kind, asks the same question. And while the SA we took over from isn't deleted,
        # the peer may still wait for the answer that makes this one: it couldn't reply.
        if self._sa.window.idle and self._sa.old is None:
            self._sa.submit(Probe())

    def _wait_until(self, when: float) -> None:
        self._probe = self._sa.core.timers.at(when, self._due)

    def _keep_alive(self) -> None:
        self._sa.core.emit(Keepalive(self._sa.path))
        self._keepalive = self._sa.core.after(limits.NAT_KEEPALIVE, self._keep_alive)
