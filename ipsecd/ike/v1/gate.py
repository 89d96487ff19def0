"""Who is let in as a user, and how often somebody may try: passwords are counted for each user and for each address
that they come from, before they are looked at, so that as many at once as somebody can send are no way around it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from ipaddress import IPv6Network

from ipsecd import limits
from ipsecd.crypto.secret import Secret
from ipsecd.printable import quoted
from ipsecd.wire.selector import Address

Judge = Callable[[str, Secret, Callable[[bool], None]], None]
"""Calls the last argument, now or in a later turn, with whether this is the password of this user. It takes as long for
a user that there isn't."""


class Gate:
    """One for all clients of a gateway, whatever association they belong to."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._tries = Tries()

    def ask(self, user: str, password: Secret, address: Address, now: float, then: Callable[[str], None]) -> None:
        """``then`` gets why the user isn't let in, in plain words; nothing if he is. The password is wiped."""
        keys = ("user", user), ("address", _neighbours(address))
        if not self._tries.take(keys, now):
            password.wipe()
            then(f"there were too many passwords for user {quoted(user)} or from {address}; this one wasn't looked at")
            return

        def judged(right: bool, /) -> None:
            password.wipe()
            if right:
                self._tries.give_back(keys, now)
            then("" if right else f"there is no user {quoted(user)} with this password")

        self._judge(user, password, judged)


def _neighbours(address: Address) -> str:
    """Who has one address of IPv6 has many."""
    return str(address if address.version == 4 else IPv6Network((address, 64), strict=False))


class Tries:
    """So many in so many seconds, by each of several keys."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], deque[float]] = {}

    def __len__(self) -> int:
        """Keys that are remembered."""
        return len(self._made)

    def take(self, keys: tuple[tuple[str, str], ...], now: float) -> bool:
        """Whether there may be one more by all of these keys; if so it counts for all of them."""
        made = [self._lately(key, now) for key in keys]
        if any(len(each) >= limits.XAUTH_TRIES for each in made):
            return False
        for key, each in zip(keys, made, strict=True):
            each.append(now)
            self._made.pop(key, None)
            self._made[key] = each
        while len(self._made) > limits.MAX_XAUTH_TRIED:
            del self._made[next(iter(self._made))]
        return True

    def give_back(self, keys: tuple[tuple[str, str], ...], made: float) -> None:
        """The one that was made then doesn't count."""
        for key in keys:
            times = self._made.get(key)
            if times is not None and made in times:
                times.remove(made)

    def _lately(self, key: tuple[str, str], now: float) -> deque[float]:
        times = self._made.get(key, deque())
        while times and times[0] <= now - limits.XAUTH_TRIES_WITHIN:
            times.popleft()
        return times
