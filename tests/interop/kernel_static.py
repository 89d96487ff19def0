"""Keys given to the kernel and to our modules, and echoes that cross under them both ways."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from ipsecd.crypto.algorithms import Integrity
from ipsecd.wire import ip
from tests.interop.kernel import Guest
from tests.interop.kernel_cable import OURS, Cable
from tests.interop.kernel_ends import AhEnd, End, EspEnd, Mode
from tests.interop.kernel_xfrm import EVERYTHING, FLUSH, State, ah_words, esp_words, lines
from tests.unit.crypto.suites import Suite
from tests.unit.ipsec.packets import echo
from tests.unit.ipsec.pairs import ah_keys, ah_pair, inbound, outbound

HERE, THERE = {4: "192.0.2.1", 6: "2001:db8::1"}, {4: "192.0.2.2", 6: "2001:db8::2"}
INSIDE = {4: "10.78.0.1", 6: "fd78::1"}  # of the guest
REPLY = {4: 0, 6: 129}
BEFORE_THE_WRAP = (1 << 32) - 2  # the packets after the next one have another upper half of their number


Way = Callable[[bytes], bytes]
"""What happens to a protected packet before it arrives."""


@dataclass(frozen=True)
class Form:
    """``inside`` is the version of the packets in a tunnel, 0 in transport mode."""

    outside: int
    inside: int
    esn: bool

    def __str__(self) -> str:
        mode = (
            f"IPv{self.inside} in a tunnel of IPv{self.outside}" if self.inside else f"transport of IPv{self.outside}"
        )
        return f"{mode} {'with' if self.esn else 'without'} ESN"

    @property
    def version(self) -> int:
        return self.inside or self.outside

    @property
    def theirs(self) -> str:
        """Who echoes."""
        return INSIDE[self.inside] if self.inside else THERE[self.outside]

    def ours(self, number: int) -> str:
        """Who asks: another one for each policy."""
        return f"10.77.0.{number + 1}" if self.version == 4 else f"fd77::{number + 1:x}"


FORMS = [Form(outside, inside, esn) for esn in (False, True) for outside in (4, 6) for inside in (0, 4, 6)]


class Method(Protocol):
    """ESP or AH with an algorithm; ``words`` are those of `ip xfrm`."""

    protocol: str
    words: str

    def end(self, mode: Mode, *, esn: bool) -> EspEnd | AhEnd: ...


class Esp:
    protocol = "esp"

    def __init__(self, suite: Suite) -> None:
        self._suite = suite
        self.words = esp_words(suite)

    def end(self, mode: Mode, *, esn: bool) -> EspEnd:
        return EspEnd(mode, outbound(self._suite, esn=esn), inbound(self._suite, esn=esn))


class Ah:
    protocol = "ah"

    def __init__(self, integrity: Integrity) -> None:
        self._name = integrity.name
        self.words = ah_words(integrity, ah_keys(integrity.name).integrity_key)

    def end(self, mode: Mode, *, esn: bool) -> AhEnd:
        return AhEnd(mode, *ah_pair(self._name, esn=esn))


class Static:
    """A guest at the other end of our cable."""

    def __init__(self, guest: Guest, cable: Cable) -> None:
        self.guest, self._cable = guest, cable

    def key(self, methods: Sequence[Method], forms: Sequence[Form] = FORMS) -> list[list[End]]:
        """Have nothing but these SAs, one in each direction for each method and form. The first method is the
        innermost, and those around it are in transport mode. Our ends of them, by form."""
        found = [_keyed(form, number, methods) for number, form in enumerate(forms)]
        self.guest.ip([*FLUSH, *(line for words, _ in found for line in words)])
        return [ends for _, ends in found]

    def echoes(self, ends: Sequence[End], form: Form, number: int) -> None:
        """Have three packets echoed."""
        for count in range(3):
            data = bytes(range(count, 40 + 7 * count))
            answer = self.exchange(ends, echo(form.ours(number), form.theirs, data=data))
            expected = echo(form.theirs, form.ours(number), REPLY[form.version], data)
            assert _essence(answer) == _essence(expected)

    def exchange(self, ends: Sequence[End], packet: bytes, way: Way = bytes) -> bytes:
        """What the guest answers to a packet, both of them protected on the way."""
        for end in ends:
            packet = end.seal(packet)
        self._cable.send(way(packet))
        return self.heard(ends, way)

    def heard(self, ends: Sequence[End], way: Way = bytes) -> bytes:
        """The next packet of the guest, without its protection."""
        packet = way(self._cable.receive())
        for end in reversed(ends):
            packet = end.open(packet)
        return packet

    @contextlib.contextmanager
    def about(self, what: object) -> Iterator[None]:
        """A failure says what it is about, and what the kernel has dropped as yet."""
        try:
            yield
        except Exception as error:
            error.add_note(f"It was about {what}. The kernel has counted:")
            error.add_note(self.guest.run("grep", "-v", r"\s0$", "/proc/net/xfrm_stat", check=False).output)
            raise


@contextlib.contextmanager
def static(folder: Path) -> Iterator[Static]:
    """A guest that has addresses, and sends all that isn't for itself to us."""
    with Cable() as cable, Guest(folder, [cable.link], descriptors=[cable.descriptor]) as guest:
        guest.ip(
            ["link set lo up", "link set vec0 up", *(f"addr add {address}/32 dev lo" for address in INSIDE.values())]
        )
        for version, length in ((4, 24), (6, 64)):
            nodad = "nodad" if version == 6 else ""
            guest.ip(
                [
                    f"addr add {THERE[version]}/{length} dev vec0 {nodad}",
                    f"neigh add {HERE[version]} lladdr {OURS} dev vec0 nud permanent",
                    f"route add {EVERYTHING[version]} via {HERE[version]}",
                ]
            )
        yield Static(guest, cable)


def _keyed(form: Form, number: int, methods: Sequence[Method]) -> tuple[list[str], list[End]]:
    """What the kernel is told of one form, and our ends of it."""
    after = BEFORE_THE_WRAP if form.esn else 0
    here = HERE[form.outside] if form.inside else form.ours(number)
    there = THERE[form.outside]
    ends: list[End] = []
    to_them: list[State] = []
    to_us: list[State] = []
    for depth, method in enumerate(methods):
        tunnel = bool(form.inside) and not depth
        end = method.end(Mode(here, there) if tunnel else Mode(), esn=form.esn)
        end.outbound.spi, end.inbound.spi = 0x1000 + 16 * number + depth, 0x2000 + 16 * number + depth
        end.outbound.sequence = after
        end.inbound.window.commit(after)
        ends.append(end)
        of_both = partial(
            State,
            protocol=method.protocol,
            reqid=number + 1,
            algorithms=method.words,
            version=form.version,
            tunnel=tunnel,
            esn=form.esn,
            after=after,
        )
        to_them.append(of_both(source=here, destination=there, spi=end.outbound.spi))
        to_us.append(of_both(source=there, destination=here, spi=end.inbound.spi))
    ours, theirs = form.ours(number), form.theirs
    return [*lines("in", ours, theirs, to_them), *lines("out", theirs, ours, to_us)], ends


def _essence(packet: bytes) -> tuple[str, str, int, bytes]:
    """What of a packet its sender alone decides."""
    whole = ip.parse(packet)
    payload = packet[whole.transport_offset : whole.total_octets]
    return str(whole.source), str(whole.destination), whole.protocol, payload
