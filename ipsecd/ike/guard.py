"""What stands in front of the state: rates and numbers that strangers can't exceed (RFC 7296 sections 2.6 and 2.21.4).

Work before a cookie is a look at the header and one MAC; nothing is kept of a datagram that doesn't pass. Whoever
hasn't shown a cookie may be anybody, so what such requests use up must not be what the owner of the address needs:
those with a good cookie are counted apart, and a request that comes too soon without one is asked for it, not dropped.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
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


class Failures:
    """Requests of late that came to nothing, by source: they cost as much as those that are half-open."""

    def __init__(self) -> None:
        self._past: deque[tuple[float, bytes]] = deque()
        self._by_source: Counter[bytes] = Counter()

    def add(self, source: bytes, now: float) -> None:
        self._past.append((now, source))
        self._by_source[source] += 1
        if len(self._past) > limits.MAX_HALF_OPEN:
            self._forget_oldest()

    def count(self, now: float) -> int:
        while self._past and self._past[0][0] + limits.HALF_OPEN_LIFETIME <= now:
            self._forget_oldest()
        return len(self._past)

    def of(self, source: bytes) -> int:
        return self._by_source[source]

    def _forget_oldest(self) -> None:
        _, source = self._past.popleft()
        self._by_source[source] -= 1
        if not self._by_source[source]:
            del self._by_source[source]


class Guard:
    """Half-open SAs by source, cookies when there are too many, and how often strangers get an answer."""

    def __init__(self, entropy: Entropy) -> None:
        self._jar = CookieJar(entropy)
        self._inits = Rate(limits.INIT_RATE, limits.INIT_BURST, limits.INIT_BUCKETS)
        self._shown = Rate(limits.INIT_RATE, limits.INIT_BURST, limits.INIT_BUCKETS)
        self._repeats = Rate(limits.REPEAT_RATE, limits.REPEAT_BURST, limits.INIT_BUCKETS)
        self._errors = Rate(limits.ERROR_RATE, limits.ERROR_BURST, limits.INIT_BUCKETS)
        self._half_open: Counter[bytes] = Counter()
        self._failures = Failures()
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

    def failed(self, remote: Endpoint, now: float) -> None:
        """A request was let in, and refused or malformed."""
        self._failures.add(source_of(remote.address), now)

    @property
    def half_open(self) -> int:
        return self._total

    def admit(
        self, first: int, spi_i: bytes, data: bytes, remote: Endpoint, threshold: int, now: float
    ) -> bytes | None:
        """Whether an IKE_SA_INIT request may cost us something: None, or the cookie it must come back with. PeerError
        with the reason for which it is dropped. ``first`` is the type of its first payload."""
        source = source_of(remote.address)
        cookie, nonce = peek(first, data)
        if cookie is not None and self._jar.good(cookie, nonce, remote, spi_i, now):
            if not self._shown.allows(source, now):
                raise PeerError("sa-init-rate")
        elif self._wants_cookies(source, threshold, now) or not self._inits.allows(source, now):
            return self._jar.bake(nonce, remote, spi_i, now)
        self._check_half_open(source)
        return None

    def admit_phase_1(self, remote: Endpoint, threshold: int, now: float, *, aggressive: bool) -> None:
        """Whether a first message of IKEv1, which knows no cookies, may cost us something. PeerError with the reason
        for which it is dropped. In aggressive mode that is a shared secret and a signature at once, for anybody's
        address: it's had only as long as IKEv2 wouldn't ask for cookies."""
        source = source_of(remote.address)
        if aggressive and self._wants_cookies(source, threshold, now):
            raise PeerError("phase-1-load")
        if not self._inits.allows(source, now):
            raise PeerError("phase-1-rate")
        self._check_half_open(source)

    def _check_half_open(self, source: bytes) -> None:
        if self._full(source):
            raise PeerError("half-open-limit")

    def _full(self, source: bytes) -> bool:
        return self._half_open[source] >= limits.MAX_HALF_OPEN_PER_ADDRESS or self._total >= limits.MAX_HALF_OPEN

    def is_full(self, remote: Endpoint) -> bool:
        """Whether there are as many half-open as there may be, of this source or in all."""
        return self._full(source_of(remote.address))

    def _wants_cookies(self, source: bytes, threshold: int, now: float) -> bool:
        """Once on, cookies stay on until it has been calm: AUTH covers them, so going back and forth hurts honest
        peers."""
        if self._total + self._failures.count(now) >= threshold:
            self._calm_at = now + limits.COOKIE_CALM
        of_source = self._half_open[source] + self._failures.of(source)
        return now < self._calm_at or of_source >= limits.COOKIE_THRESHOLD_PER_ADDRESS

    def may_repeat(self, remote: Endpoint, now: float) -> bool:
        """Whether the response to an IKE_SA_INIT request is sent once more."""
        return self._repeats.allows(source_of(remote.address), now)

    def may_complain(self, remote: Endpoint, now: float) -> bool:
        """Whether a stranger gets an unprotected error notify for this datagram."""
        return self._errors.allows(source_of(remote.address), now)
