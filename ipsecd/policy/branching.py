"""Many flows as a tree of rules: a packet meets few of them, however many there are.

A chain takes the first flow that covers a packet, so a list of a thousand is a thousand rules for most packets. Here
the list is parted instead, by a rule that asks on which side of a number an address or a port is, and each half again,
until few flows are left. A flow that reaches across stands in both halves. In each of them the flows keep their order
and say all they say, so a packet gets the verdict of the same flow, in whichever half it is looked for.

There are no maps and no sets in it, though one of those could take the place of the tree: when a table takes the place
of another, the kernel (Linux 6.18) starts the new rules first and fills maps of ranges behind that, so for a moment no
flow would be found. Chains are entered by ``goto``, which leaves nothing to return to; still the kernel counts how
deep they stand in each other, and takes 16.

A branch is called after what it says, and so after all that stands behind it. Branches that say the same are one
chain, in whichever trees: what is blocked, or may only leave inside an SA, is dropped in the same words at several
hooks. And what a change of the policy doesn't touch is called as before, and stays where it is in the kernel.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise
from math import log2

from ipsecd import limits
from ipsecd.policy.extents import SIDES, Box, around, meet, needed, turns, whole
from ipsecd.policy.flow import Flow, span
from ipsecd.policy.memory import MEMORY, Known
from ipsecd.policy.parting import Cut, Parting

Chains = dict[str, list[str]]

ADDRESSES = {4: ("@nh,96,32", "@nh,128,32"), 6: ("@nh,64,128", "@nh,192,128")}  # of a packet whose version is known
TRANSPORT = ("meta l4proto", "th sport", "th dport")


@dataclass(frozen=True, slots=True)
class Words:
    """``places`` are in nft's words those of source and destination address, and then of protocol and two ports, if
    they can be told. ``written`` are flows as the rules of a chain, which may go to branches (``aside``). ``final``
    says whether nothing is left for others of a packet that belongs to a flow. ``in_turn``: flows may be asked some
    now, and some later."""

    places: tuple[str, ...]
    written: Callable[[Sequence[Flow]], list[str]]
    final: Callable[[Flow], bool]
    in_turn: bool = True

    def within(self, cut: Cut, inside: Box) -> str:
        """Matches what a cut takes of what is inside a box."""
        place, (first, last), (at, to) = self.places[cut.axis], cut.span, inside[cut.axis]
        if first == at:
            return f"{place} < {self._number(cut.axis, last + 1)}"
        if last == to:
            return f"{place} >= {self._number(cut.axis, first)}"
        return f"{place} {span((first, last))}"

    def _number(self, axis: int, number: int) -> str:
        place = self.places[axis]
        if "addr" in place:
            return str(IPv6Address(number) if "ip6" in place else IPv4Address(number))
        return str(number) if axis >= SIDES else hex(number)


def tree(name: str, flows: Sequence[Flow], words: Words) -> Chains:
    """The chain ``name`` that gives a packet the verdict of its first flow, and the chains it needs. Flows and packets
    are of one IP version. A packet of no flow falls out at the end."""
    known = MEMORY.flows(flows)
    boxes = [each.box[: len(words.places)] for each in known]
    numbers = needed(flows, boxes)
    known, boxes = [known[number] for number in numbers], [boxes[number] for number in numbers]
    bounds = [0, *(turns(boxes) if words.in_turn else ()), len(known)]
    parts = [slice(*ends) for ends in pairwise(bounds)]
    chains: Chains = {}
    then, behind = "", None
    for place, part in reversed(list(enumerate(parts))):
        own = f"{name}_then_{place}" if place else name  # of which each way through the tree before it may know
        chains[own] = _Tree(known[part], boxes[part], words, then, behind).rules(_depth(parts, part))
        then = own
        for each, box in zip(known[part], boxes[part], strict=True) if place else ():
            if each.flow.verdict != "return":
                behind = box if behind is None else around(behind, box)
    return chains | reached(chains)


def aside(rules: list[str]) -> str:
    """Put rules into a branch of their own, unless they are one already. Returns how it is called."""
    name = "b" + blake2b("\n".join(rules).encode(), digest_size=_NAME_OCTETS).hexdigest()
    MEMORY.branches[name] = rules
    return name


_NAME_OCTETS = 16


def reached(chains: Chains) -> Chains:
    """The branches that rules of these chains lead to."""
    found: Chains = {}
    branches, todo = MEMORY.branches, list(chains.values())
    while todo:
        for rule in todo.pop():
            _, leads, name = rule.rpartition("goto ")
            if leads and name not in found and name in branches:
                found[name] = branches[name]
                todo.append(found[name])
    return found


def _depth(parts: Sequence[slice], part: slice) -> int:
    """How deep the chains of one of several trees may stand in each other: larger ones deeper."""
    needs = [log2(2 + each.stop - each.start) for each in parts]
    return int((limits.DEPTH - len(parts) + 1) * log2(2 + part.stop - part.start) / sum(needs))


@dataclass(frozen=True, slots=True)
class _Part:
    """Flows by number, of the packets inside a box; how many chains may still stand behind each other, and how many
    flows may still be written twice."""

    flows: list[int]
    inside: Box
    depth: int
    spare: int


class _Tree:
    """Of flows that are known; a packet that belongs to none goes on to the chain ``then``, if there is one, which has
    what is inside the box ``behind``."""

    def __init__(
        self, flows: Sequence[Known], boxes: Sequence[Box], words: Words, then: str, behind: Box | None
    ) -> None:
        self.flows = [each.flow for each in flows]
        self.boxes, self.words, self.then, self.behind = boxes, words, then, behind
        self.known = words, then, behind, limits.LEAF, limits.FEW_FLOWS
        self.numbers = [each.number for each in flows]

    @cached_property
    def decisive(self) -> list[bool]:
        return [flow.verdict != "return" for flow in self.flows]

    @cached_property
    def parting(self) -> Parting:
        return Parting(self.boxes)

    def rules(self, depth: int) -> list[str]:
        """Those of the chain that packets come to first; as many as ``depth`` may stand behind it."""
        if not self.flows:
            return []
        everything = whole(self.flows[0].source.version, len(self.words.places))
        numbers = list(range(len(self.flows)))
        return list(self._rules(_Part(numbers, everything, depth, limits.TWICE * len(numbers))))

    def _rules(self, part: _Part) -> list[str]:
        """Those for what is inside a part; as they were made before, if they were."""
        flows = array("L", map(self.numbers.__getitem__, part.flows)).tobytes()
        key = self.known, flows, part.inside, part.depth, part.spare
        rules = MEMORY.trees.get(key)
        if rules is None:
            rules = MEMORY.trees[key] = self._made(part)
        return rules

    def _made(self, part: _Part) -> list[str]:
        """The larger half is looked into by the same chain."""
        left = self._left(part.flows)
        cut = self.parting.edge(left, part.inside)
        if cut is None and len(left) > limits.LEAF and part.depth:
            cut = self.parting.cut(left, part.inside, part.depth, part.spare)
        if cut is not None:
            half, rest = self._parted(left, part, cut)
            where = f"{self.words.within(cut, part.inside)} {self._gone_to(self._rules(half))}"
            return [where, *self._rules(rest)]
        numbers, full = self._until_full(left, part.inside)
        rules = self.words.written([self.flows[number] for number in numbers])
        if not full and self.then and self.behind is not None and meet(self.behind, part.inside):
            rules.append(f"goto {self.then}")
        return rules

    def _gone_to(self, rules: list[str]) -> str:
        """What leads to these rules: a verdict, if that is all they say."""
        if not rules:
            return "return"
        if len(rules) == 1 and " " not in rules[0].removeprefix("goto "):
            return rules[0]
        return f"goto {aside(rules)}"

    def _left(self, numbers: list[int]) -> list[int]:
        """Without flows that let go what is let go in any case, as far as a box around all others shows it."""
        if all(map(self.decisive.__getitem__, numbers)):
            return numbers
        others, left = self.behind, []
        for number in reversed(numbers):
            if self.decisive[number]:
                box = self.boxes[number]
                others = box if others is None else around(others, box)
                left.append(number)
            elif others is not None and meet(self.boxes[number], others):
                left.append(number)
        left.reverse()
        return left

    def _until_full(self, left: list[int], inside: Box) -> tuple[list[int], bool]:
        """Up to the one that leaves nothing to others, and whether there is one."""
        for place, number in enumerate(left):
            flow, spans = self.flows[number], zip(self.boxes[number], inside, strict=True)
            full = all(first <= at and last >= to for (first, last), (at, to) in spans)
            if full and not flow.me and not flow.by and self.words.final(flow):
                return left[: place + 1], True
        return left, False

    def _parted(self, left: list[int], part: _Part, cut: Cut) -> tuple[_Part, _Part]:
        """What is cut off, and the rest."""
        own, others = self.parting.parted(left, cut, part.inside)
        axis, (first, last) = cut
        at, to = part.inside[axis]
        outside = (last + 1, to) if first == at else (at, first - 1) if last == to else (at, to)
        before, behind = part.inside[:axis], part.inside[axis + 1 :]
        spare = part.spare - len(own) - len(others) + len(left)
        share = spare * len(own) // (len(own) + len(others))
        return (
            _Part(own, (*before, cut.span, *behind), part.depth - 1, _roughly(share, own)),
            _Part(others, (*before, outside, *behind), part.depth, _roughly(spare - share, others)),
        )


def _roughly(spare: int, flows: list[int]) -> int:
    """In eighths of the flows: the same for most parts that a change elsewhere gives another share."""
    step = max(1, len(flows) // 8)
    return spare // step * step
