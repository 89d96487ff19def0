"""The answers to one IKE_SA_INIT request of ours, of which at most one is from the peer (RFC 7296 section 2.4).

Anybody who sees the request can answer it, and sooner than the peer. What tells the true answer from the others is
what comes next: only who made an answer can open our IKE_AUTH, and only the peer can prove itself in return. So every
answer may become an IKE SA, a *candidate*; they are begun one after another, and the first that proves itself stays.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ipsecd import limits
from ipsecd.crypto.exchange import KeyPair
from ipsecd.crypto.keymat import derive_ike
from ipsecd.errors import PeerError
from ipsecd.ike.carriage import Carriage
from ipsecd.ike.config import Path
from ipsecd.ike.nat import Nat
from ipsecd.ike.sa import IkeSa
from ipsecd.ike.suites import IkeSuite
from ipsecd.ike.task import Task


@dataclass(frozen=True, slots=True)
class Answer:
    """``public`` is the responder's public value; ``nonces`` and ``messages`` are the initiator's and the responder's;
    ``choices`` is how many requests of ours it may answer, the latest of which stands in ``messages``."""

    spi_r: bytes
    suite: IkeSuite
    pair: KeyPair
    public: bytes
    nonces: tuple[bytes, bytes]
    messages: tuple[bytes, bytes]
    nat: Nat
    carriage: Carriage
    fragmentation: bool
    path: Path
    choices: int


class Candidates:
    """``caller`` is the IKE SA that asks; ``auth`` makes the task that follows an answer up."""

    def __init__(self, caller: IkeSa, auth: Callable[[], Task]) -> None:
        self._caller = caller
        self._auth = auth
        self._waiting: deque[Answer] = deque()
        self._candidates: dict[IkeSa, Answer] = {}
        self._seen: set[bytes] = set()  # the responder's SPIs
        self._taken = 0  # since the request was said last
        self._failed = 0
        self._choices = 1

    def add(self, answer: Answer) -> None:
        """Begin a candidate, or keep the answer until it's its turn. Raises PeerError."""
        if answer.spi_r in self._seen:
            raise PeerError("answer-repeated")
        if self._taken == limits.MAX_SA_INIT_ANSWERS:
            raise PeerError("too-many-answers", f"{self._taken} to one request")
        self._taken += 1
        self._seen.add(answer.spi_r)
        if self._candidates:
            self._waiting.append(answer)
        else:
            self._begin(answer)

    def said_again(self) -> None:
        """The request has been repeated: whoever has answered before is slow, or isn't the peer."""
        self._taken = 0
        self.begin_next()

    def said_last(self) -> None:
        """The request won't be repeated, so those that wait have their turn now."""
        while self._waiting:
            self.begin_next()

    def begin_next(self) -> None:
        while self._waiting:
            try:
                self._begin(self._waiting.popleft())
            except PeerError as error:
                self._caller.core.drop(error.reason)
            else:
                return

    def drop(self, candidate: IkeSa) -> bool:
        """It has failed; whether it was one of those that counted."""
        answer = self._candidates.pop(candidate, None)
        if answer is None:
            return False
        self._failed += 1
        self._choices = max(self._choices, answer.choices)
        return True

    def drop_all(self, but: IkeSa | None = None) -> None:
        """One has proven itself, or nobody wants to know any more."""
        self._waiting.clear()
        candidates, self._candidates = self._candidates, {}
        for candidate in candidates:
            if candidate is not but:
                candidate.vanish()

    @property
    def pending(self) -> bool:
        """Whether one of them may still prove itself."""
        return bool(self._candidates)

    @property
    def failed(self) -> bool:
        """Whether all that were begun have come to nothing."""
        return self._failed > 0 and not self._candidates

    @property
    def refused(self) -> bool:
        """Whether every request that has been said must have had its answer, and none came to anything."""
        return self.failed and self._failed >= self._choices

    def _begin(self, answer: Answer) -> None:
        caller, suite = self._caller, answer.suite
        shared = answer.pair.shared(answer.public)
        spi_i, spi_r = caller.spi_i, answer.spi_r
        keys = derive_ike(suite.prf.id, suite.encryption, suite.integrity, *answer.nonces, shared, spi_i, spi_r)
        candidate = IkeSa(caller.core, answer.path, initiator=True, spi_i=spi_i, spi_r=spi_r, candidate=True)
        candidate.peers = caller.peers
        candidate.begun = caller.begun
        candidate.secure(suite, keys, answer.nonces)
        candidate.nat = answer.nat
        candidate.carriage = answer.carriage
        candidate.fragmentation = answer.fragmentation
        candidate.messages = answer.messages
        candidate.window.next_request = 1  # IKE_SA_INIT was 0
        self._candidates[candidate] = answer
        candidate.run(self._auth())
