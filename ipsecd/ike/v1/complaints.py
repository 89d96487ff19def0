"""Errors told in clear to those who begin a phase 1 (RFC 2408 section 5.1): seldom, and never longer than what they
answer, as nobody vouches for who has asked. They help an honest peer, and nothing here or there depends on them."""

from __future__ import annotations

from collections import deque

from ipsecd import limits
from ipsecd.errors import Refused
from ipsecd.ike.config import Path
from ipsecd.ike.core import Core
from ipsecd.ike.effects import Send
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_payloads import Notify
from ipsecd.wire.registry_v1 import Exchange, NotifyType


class Complaints:
    def __init__(self, core: Core) -> None:
        self._core = core
        self._refused: deque[bytes] = deque(maxlen=limits.REFUSALS_REMEMBERED)  # cookies: a repeat is no news

    def refuse(self, header: ikev1.Header, length: int, path: Path, refusal: Refused) -> bool:
        """A first message of so many octets is refused. Whether that is worth a word to people: it's news, and as rare
        as what is told to the peer."""
        news = header.cookie_i not in self._refused
        self._refused.append(header.cookie_i)
        if refusal.notify is None:  # by those to whom nothing is said
            return news and self._core.guard.may_complain(path.remote, self._core.now)
        answer = self._answer(header, NotifyType(refusal.notify))
        if len(answer) > length or not self._core.guard.may_complain(path.remote, self._core.now):
            self._core.drop("complaint-withheld")
            return False
        self._core.emit(Send(answer, path))
        return news

    def _answer(self, header: ikev1.Header, kind: NotifyType) -> bytes:
        """By a cookie that means nothing, as there is no state: one of zeros would be that of a first message."""
        entropy = self._core.entropy
        number = int.from_bytes(entropy.octets(4), "big") or 1
        back = ikev1.Header(header.cookie_i, entropy.octets(8), Exchange.INFORMATIONAL, message_id=number)
        return ikev1.encode(back, [Notify(kind)])
