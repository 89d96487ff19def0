"""A pair that many tests use in turn, each by terms of its own: what costs time is to start the daemons."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.interop.pair import RULE, Pair, Terms, pair, sides
from tests.interop.waiting import eventually


@dataclass(frozen=True)
class Scene(Pair):
    """Both sides told their terms. ``since`` is how long their logs were before."""

    since: tuple[int, int]

    def up(self, initiator: str, version: int = 4) -> None:
        """Set the tunnel up from either side, by command: a packet isn't a reason for long, where SAs come and go. Then
        both sides have the child."""
        del version
        if initiator == "ours":
            self.ours.ask("up", name=RULE)
        else:
            self.theirs.initiate()
        eventually(lambda: self.ours.children() and self.theirs.children(), "both sides have the child")

    def said(self) -> str:
        """What our log says about this scene."""
        return self.ours.log()[self.since[0] :]

    def they_said(self) -> str:
        return self.theirs.log()[self.since[1] :]

    def ended(self) -> bool:
        """Whether neither side has anything with the other, but for calls that came to nothing, which we forget
        later."""
        of_us = [sa for sa in self.ours.ask("sas")["sas"] if sa["stage"] != "half-open"]
        return not self.theirs.all_sas() and not of_us


@dataclass(frozen=True)
class Standing:
    both: Pair
    behind_nat: str = ""

    @contextlib.contextmanager
    def told(self, ours: Terms, theirs: Terms | None = None) -> Iterator[Scene]:
        """Both sides at work by these terms, as those of ``pair``, with no SA at the beginning or the end. What only a
        start of charon changes stays as it was."""
        both = self.both
        written, tunnel = sides(both.sites, ours, theirs or ours, self.behind_nat)
        since = len(both.ours.log()), len(both.theirs.log())
        scene = Scene(both.sites, both.ours, both.theirs, both.wire, both.near, both.far, since)
        both.theirs.tell(tunnel)
        for name, text in written.items():
            both.ours.write(name, text)
        try:
            both.ours.ask("reload")
            yield scene
            both.theirs.forget()
            eventually(scene.ended, "nothing is left of it")
            assert both.wire.cleartext() == {}
        except BaseException:
            print(f"--- ipsecd\n{scene.said()}\n--- charon\n{scene.they_said()}\n--- wire\n{dict(both.wire.kinds())}")
            self._forget(written)
            raise

    def _forget(self, written: dict[str, str]) -> None:
        """Leave nothing to the next one, whatever has gone wrong."""
        self.both.theirs.forget()
        policy = yaml.safe_load(written["policy.yaml"])
        block = {"name": RULE, "filter_list": "all-ip", "action": "block"}
        policy["policies"] = {name: {"rules": [block]} for name in policy["policies"]}
        self.both.ours.write("policy.yaml", yaml.safe_dump(policy, sort_keys=False))
        self.both.ours.ask("reload")


@contextlib.contextmanager
def standing(folder: Path, terms: Terms, *, behind_nat: str = "") -> Iterator[Standing]:
    """Both daemons at work; ``terms`` are those that only a start of charon changes, and as good as any to begin
    with."""
    with pair(folder, terms, behind_nat=behind_nat) as both:
        yield Standing(both, behind_nat)
