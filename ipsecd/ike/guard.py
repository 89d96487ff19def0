"""What stands in front of the state: rates and numbers that strangers can't exceed (RFC 7296 sections 2.6 and 2.21.4).

Work before a cookie is a look at the header and one MAC; nothing is kept of a datagram that doesn't pass.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from ipaddress import IPv4Address

from ipsecd import limits
from ipsecd.crypto.entropy import Entropy
from ipsecd.errors import PeerError
from ipsecd.ike.config import Endpoint
from ipsecd.ike.cookie import CookieJar, peek
from ipsecd.wire.selector import Address


class Rate:
    """Token buckets by source address, the least recently used forgotten first."""

    def __init__(self, rate: float, burst: int, buckets: int) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._limit = buckets
        self._buckets: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def allows(self, source: bytes, now: float) -> bool:
        tokens, then = self._buckets.pop(source, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self._rate)
        allowed = tokens >= 1.0
        self._buckets[source] = (tokens - 1.0 if allowed else tokens, now)
        if len(self._buckets) > self._limit:
            self._buckets.popitem(last=False)
        return allowed


def source_of(address: Address) -> bytes:
    """Whom to count: an IPv4 address, or the /64 of an IPv6 one, which its owner can fill at will."""
    return address.packed if isinstance(address, IPv4Address) else address.packed[:8]


class Guard:
    """Half-open SAs by source, cookies when there are too many, and how often strangers get an answer."""

    def __init__(self, entropy: Entropy) -> None:
        self._jar = CookieJar(entropy)
        self._inits = Rate(limits.INIT_RATE, limits.INIT_BURST, limits.INIT_BUCKETS)
        self._errors = Rate(limits.ERROR_RATE, limits.ERROR_BURST, limits.INIT_BUCKETS)
        self._half_open: Counter[bytes] = Counter()
        self._total = 0
        self._calm_at = 0.0

    def opened(self, remote: Endpoint) -> None:
        self._half_open[source_of(remote.address)] += 1
        self._total += 1

    def closed(self, remote: Endpoint) -> None:
        source = source_of(remote.address)
        self._total -= 1
        self._half_open[source] -= 1
        if not self._half_open[source]:
            del self._half_open[source]

    @property
    def half_open(self) -> int:
        return self._total

    def admit(
        self, first: int, spi_i: bytes, data: bytes, remote: Endpoint, threshold: int, now: float
    ) -> bytes | None:
        """Whether an IKE_SA_INIT request may cost us something: None, or the cookie it must come back with. PeerError
        with the reason for which it is dropped. ``first`` is the type of its first payload."""
        source = source_of(remote.address)
        if not self._inits.allows(source, now):
            raise PeerError("sa-init-rate")
        cookie, nonce = peek(first, data)
        shown = cookie is not None and self._jar.good(cookie, nonce, remote, spi_i, now)
        if not shown and self._wants_cookies(source, threshold, now):
            return self._jar.bake(nonce, remote, spi_i, now)
        if self._half_open[source] >= limits.MAX_HALF_OPEN_PER_ADDRESS or self._total >= limits.MAX_HALF_OPEN:
            raise PeerError("half-open-limit")
        return None

    def _wants_cookies(self, source: bytes, threshold: int, now: float) -> bool:
        """Once on, cookies stay on until it has been calm: AUTH covers them, so going back and forth hurts honest
        peers."""
        if self._total >= threshold:
            self._calm_at = now + limits.COOKIE_CALM
        return now < self._calm_at or self._half_open[source] >= limits.COOKIE_THRESHOLD_PER_ADDRESS

    def may_complain(self, remote: Endpoint, now: float) -> bool:
        """Whether a stranger gets an unprotected error notify for this datagram."""
        return self._errors.allows(source_of(remote.address), now)
