"""What all requests for a new SA have in common: promised SPIs, and trying again (RFC 7296 sections 1.3 and 2.25)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipsecd import limits
from ipsecd.crypto.algorithms import GroupInfo
from ipsecd.errors import Refused
from ipsecd.ike.task import Task
from ipsecd.ike.timers import back_off
from ipsecd.wire.payloads import Notify
from ipsecd.wire.registry import Group, NotifyType

if TYPE_CHECKING:
    from ipsecd.ike.sa import IkeSa


class Asking(Task):
    """``group`` is the one the peer has asked for after a refusal, or None."""

    def __init__(self) -> None:
        self.group: Group | None = None
        self._spis: tuple[bytes, ...] = ()
        self._group_rounds = 0
        self._failures = 0
        self._busy_since: float | None = None

    def promise(self, sa: IkeSa, *spis: bytes) -> None:
        """The SPIs stand in a request; until that is answered no other SA of ours may get them."""
        self._spis = spis
        sa.core.promised.update(spis)

    def take_back(self, sa: IkeSa) -> None:
        sa.core.promised.difference_update(self._spis)
        self._spis = ()

    def asks_again(self, sa: IkeSa, error: Notify, groups: tuple[Group, ...]) -> bool:
        """Whether the error is one that trying again helps against; then that is arranged. ``groups`` are those
        offered, the one tried first."""
        if error.type == NotifyType.INVALID_KE_PAYLOAD and self._group_rounds < limits.MAX_INVALID_KE_ROUNDS:
            wanted = group_wanted(error)
            if wanted in groups[1:]:
                self._group_rounds += 1
                self.group = wanted
                sa.submit(self)
                return True
        if error.type == NotifyType.TEMPORARY_FAILURE:
            return self._waits(sa)
        return False

    def _waits(self, sa: IkeSa) -> bool:
        """2.25: never at once, so that the peer can finish what is in the way, and not for ever."""
        now = sa.core.now
        if self._busy_since is None:
            self._busy_since = now
        if now - self._busy_since >= limits.TEMPORARY_FAILURE_PATIENCE:
            return False
        delay = back_off(limits.TEMPORARY_FAILURE_FIRST, limits.TEMPORARY_FAILURE_LAST, self._failures)
        self._failures += 1
        sa.submit(self, delay)
        return True


def group_wanted(refusal: Notify) -> Group | None:
    """The group an INVALID_KE_PAYLOAD notify names (1.3); None if its data isn't two octets."""
    return Group(int.from_bytes(refusal.data, "big")) if len(refusal.data) == 2 else None


def other_group_wanted(group: GroupInfo) -> Refused:
    """Our answer to a public value of a group that isn't the one chosen (1.2, 1.3)."""
    return Refused(
        "other-group-wanted",
        f"we want {group.name}",
        notify=NotifyType.INVALID_KE_PAYLOAD,
        data=group.id.to_bytes(2, "big"),
    )
