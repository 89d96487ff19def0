"""What names of a policy mean, and that they go on meaning it: while nobody answers, when the answer is that there is
no such name any more, and over a restart. Only another answer takes its place, or a day of policies without the name:
the policy before comes back if the next one doesn't do, and it mustn't begin with names that mean nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import ip_address

import structlog

from ipsecd import limits
from ipsecd.errors import KernelError
from ipsecd.io.state_file import StateFile
from ipsecd.wire.selector import Address

log = structlog.get_logger()

Addresses = tuple[Address, ...]


class Meanings:
    """What is known of some names. ``kept`` outlives the process. Logs call each ``title`` and its name."""

    def __init__(self, kept: StateFile, title: str = "") -> None:
        self._kept = kept
        self._title = title
        self._known = _load(kept)
        self._gone: set[str] = set()
        self._left: dict[str, float] = {}  # names that the policy in force hasn't any more, and since when
        self._saved = True

    @property
    def known(self) -> Mapping[str, Addresses]:
        """What each name meant when it last had an address, those that no policy has any more too."""
        return self._known

    def of(self, name: str, now: float) -> Addresses:
        """What it meant then; nothing if that isn't known, or no policy has had it for too long."""
        since = self._left.get(name, now)
        return self._known.get(name, ()) if now - since < limits.MEANING_KEPT else ()

    @property
    def gone(self) -> frozenset[str]:
        """Names of which the last answer was that they have no address."""
        return frozenset(self._gone)

    def retain(self, names: frozenset[str], now: float) -> None:
        """These are the names of the policy in force; others are remembered for a while, and not too many."""
        left = {name: self._left.get(name, now) for name in self._known if name not in names}
        kept = [name for name, since in left.items() if now - since < limits.MEANING_KEPT]
        kept = sorted(kept, key=left.__getitem__)[-limits.MAX_MEANINGS :]
        self._left = {name: left[name] for name in kept}
        self._gone &= names | self._left.keys()
        if len(kept) < len(left):
            self._known = {name: found for name, found in self._known.items() if name in names or name in self._left}
            self._saved = False
            self.save()

    def learn(self, name: str, found: Addresses) -> bool:
        """An answer, no addresses being one too; whether the name now means something else."""
        changed = self._answered(name, found) if found else self._denied(name)
        self._saved = self._saved and not (changed and found)
        return changed

    def save(self) -> None:
        """Keep what has been learnt. That it can't be kept is told."""
        if self._saved:
            return
        try:
            self._kept.save(_encode(self._known))
        except KernelError as error:
            log.warning("names-not-saved", reason=str(error))
        self._saved = True

    def _answered(self, name: str, found: Addresses) -> bool:
        if found == self._known.get(name) and name not in self._gone:
            return False
        self._gone.discard(name)
        self._known[name] = found
        log.info("name-resolved", name=self._title + name, addresses=_shown(found))
        return True

    def _denied(self, name: str) -> bool:
        if name in self._gone:
            return False
        self._gone.add(name)
        if name in self._known:
            log.warning("name-gone", name=self._title + name, addresses=_shown(self._known[name]))
        else:
            log.warning("name-unknown", name=self._title + name)
        return True


def _shown(addresses: Addresses) -> str:
    return ", ".join(str(address) for address in addresses)


def _encode(known: Mapping[str, Addresses]) -> str:
    texts = {name: [str(address) for address in known[name]] for name in sorted(known)}
    return json.dumps(texts, indent=1) + "\n"


def _load(kept: StateFile) -> dict[str, Addresses]:
    """What was saved; nothing, with a warning, if that can't be read."""
    try:
        texts = json.loads(kept.load() or "{}")
        return {str(name): tuple(ip_address(text) for text in found) for name, found in texts.items() if found}
    except (KernelError, ValueError, TypeError, AttributeError, RecursionError) as error:
        log.warning("names-not-loaded", reason=str(error))
        return {}
