"""The sites with a table's policies in force, and everybody sending what is in its cells."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.interop.ipsecd import Ipsecd
from tests.interop.waiting import eventually
from tests.interop.wire import expected
from tests.netns.cell_policies import files_of_a, files_of_b
from tests.netns.cells import PLACES, Layout
from tests.netns.flood import Sender
from tests.netns.ledger import Ledger
from tests.netns.policy_table import BY_SOFT_SA, Cell
from tests.netns.sites import Sites

Moment = Mapping[str, int]
"""The number of the next packet of each place: what is sent from then on has that number or a higher one."""
Span = tuple[Moment, Moment]


class Stage:
    """Entered, there are sites, a ledger and no daemon; ``govern`` starts both."""

    def __init__(self, folder: Path, layout: Layout) -> None:
        self.folder, self.layout = folder, layout
        self._next: Moment = dict.fromkeys(PLACES, 0)
        self._senders: dict[str, Sender] = {}
        self.flooded_cells: Sequence[Cell] = ()
        self._let_out: list[Span] = []
        self._unexcepted: list[Span] = []

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.sites = stack.enter_context(Sites(offload=False))  # what is a packet is a frame
            self.layout.furnish(self.sites)
            self.ledger = stack.enter_context(Ledger(self.sites, self.layout))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def govern(self) -> None:
        """Put the table's policies in force on both sides."""
        self.b = self._stack.enter_context(Ipsecd(self.sites, "gb", self.folder / "b", files_of_b(self.layout)))
        self.a = self._stack.enter_context(Ipsecd(self.sites, "ga", self.folder / "a", files_of_a(self.layout)))
        self.ledger.others.clear()
        self.governed = self.now()

    # --- sending ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def flooded(self, cells: Sequence[Cell], *, rounds: int = 0, gap: float = 0.1) -> Iterator[None]:
        """A steady flood: a packet in each of these cells, then again after ``gap`` seconds; with ``rounds`` only so
        many, and all of them are sent."""
        with contextlib.ExitStack() as stack:
            for place in PLACES:
                flows = self.layout.flows(place, cells)
                each = Sender(self.sites, place, flows, gap=gap, rounds=rounds, first=self._next[place])
                self._senders[place] = stack.enter_context(each)
            if rounds:
                for each in self._senders.values():
                    each.finish()
            self.flooded_cells = cells
            yield
        self._next = self.now()
        self._senders.clear()

    def now(self) -> Moment:
        return {**self._next, **{place: each.sent for place, each in self._senders.items()}}

    def meanwhile(self, packets: int, since: Moment | None = None) -> None:
        """Wait until so many packets have been sent, from now on if not from a moment before, in the flooded cells that
        may not be clear, and in each cell its share of them."""
        since = since or self.now()
        rounds = ceil(packets / sum(not cell.may_be_clear for cell in self.flooded_cells))
        senders = Counter(map(self.layout.sender, self.flooded_cells))
        enough = {place: since[place] + rounds * senders[place] for place in PLACES}
        eventually(lambda: all(self.now()[place] >= enough[place] for place in PLACES), f"{packets} packets are sent")

    # --- seeing -------------------------------------------------------------------------------------------------------

    def arrived(self, cell: Cell, since: Moment) -> int:
        """How many packets have come to where they were sent."""
        return _from(self.ledger.arrived[cell], since[self.layout.sender(cell)])

    def in_clear(self, cell: Cell, since: Moment) -> int:
        """How many have crossed the wire in clear."""
        return _from(self.ledger.in_clear[cell], since[self.layout.sender(cell)])

    def flow(self, cells: Sequence[Cell]) -> None:
        """Wait until packets sent from now on arrive in each of these cells."""
        since = self.now()
        self._wait(cells, "packets arrive", lambda cell: self.arrived(cell, since))

    def flow_in_clear(self, cells: Sequence[Cell]) -> None:
        """Wait until packets sent from now on cross the wire in clear in each of these cells."""
        since = self.now()
        self._wait(cells, "packets cross the wire in clear", lambda cell: self.in_clear(cell, since))

    def _wait(self, cells: Sequence[Cell], what: str, question: Callable[[Cell], object]) -> None:
        left = list(cells)

        def none_left() -> bool:
            left[:] = [cell for cell in left if not question(cell)]
            return not left

        try:
            eventually(none_left, what)
        except AssertionError as error:
            raise AssertionError(f"{what} everywhere but in {[' '.join(cell.way) for cell in left]}") from error

    def settle(self) -> None:
        """Wait until everything that was sent has been seen where it came to."""
        self.ledger.settle()

    # --- what mustn't be ----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def let_out(self) -> Iterator[None]:
        """What is sent meanwhile may pass in clear; nothing that is sent before or behind it."""
        before = self.now()
        yield
        self._let_out.append((before, self.now()))

    @contextlib.contextmanager
    def unexcepted(self) -> Iterator[None]:
        """There is no soft SA meanwhile: what is sent mustn't leave in clear where it does by one either."""
        before = self.now()
        yield
        self._unexcepted.append((before, self.now()))

    def leaks(self, cells: Sequence[Cell], since: Moment, until: Moment) -> dict[str, str]:
        """What was sent between two moments and passed as it mustn't, by cell, but for what was let out."""
        found = {}
        for cell in cells:
            numbers = self._leaked(cell, since, until)
            for span in self._let_out:
                numbers -= self._leaked(cell, *span)
            if numbers:
                found[" ".join(cell.way)] = f"{len(numbers)} packets, {min(numbers)} to {max(numbers)}"
        return found

    def escaped(self, cells: Sequence[Cell], since: Moment, until: Moment) -> int:
        """How many packets were sent between two moments and passed as they mustn't, let out or not."""
        return sum(len(self._leaked(cell, since, until)) for cell in cells)

    def _leaked(self, cell: Cell, since: Moment, until: Moment) -> set[int]:
        place = self.layout.sender(cell)
        found = {number for number in self.ledger.leaked(cell) if since[place] <= number < until[place]}
        if cell.passes != BY_SOFT_SA:
            return found
        return {number for number in found if any(a[place] <= number < b[place] for a, b in self._unexcepted)}

    def excepted(self) -> dict[str, tuple[float, float]]:
        """The peers that ga talks to in clear, and the moments of this machine's clock between which that began."""
        asked = time.monotonic()
        found = self.a.ask("status")["soft_sas"]
        told = time.monotonic()
        return {soft["remote"]: (asked - soft["age"], told - soft["age"]) for soft in found}

    def strange(self) -> dict[str, int]:
        """What else crossed the wire since policies are in force, and is neither IKE, the link's own, nor protected as
        the layout says."""
        found = self.ledger.others.items()
        return {what: count for what, count in found if not expected(what, self.layout.native)}


def _from(numbers: set[int], first: int) -> int:
    return sum(number >= first for number in list(numbers))
