"""What holds of two gateways once nothing is under way between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ipsecd.ike.sa import IkeSa
from ipsecd.ike.stage import Stage
from ipsecd.ike.v2.informational import Probe
from tests.exchange.gateways import Pair
from tests.exchange.network import Link, Network, Node


def settle(pair: Pair) -> list[str]:
    """Let two gateways come to rest, and say what isn't as it should be then."""
    return rest(pair.net, lambda: unrest(pair))


def rest(net: Network, left: Callable[[], list[str]]) -> list[str]:
    """Let 30 seconds pass on a network that works. If something is still being repeated, or one end has given up and
    the other doesn't know yet, it may take longer: as long as another request's repeats and a probe's. Returns what is
    ``left`` all the same."""
    net.link = Link()
    for _ in range(8):
        net.run(30.0)
        found = left()
        if not found:
            break
    return found


def unrest(pair: Pair) -> list[str]:
    """Everything that isn't as it should be; empty if both ends agree, and nothing is left over or forgotten."""
    a, b = pair.a, pair.b
    found = [f"{node.name}: {what}" for node in (a, b) for what in left_over(node)]
    if a.established != b.established:
        found.append(f"IKE SAs: {a.established} and {b.established}")
    if len(a.established) > 1:
        found.append(f"{len(a.established)} IKE SAs")
    if (a.inbound_spis, b.inbound_spis) != (b.outbound_spis, a.outbound_spis):
        found.append(f"child SAs: {_names(a)} and {_names(b)}")
    return found


def _names(node: Node) -> list[str]:
    return sorted(installed.child for installed in node.inbound.values())


def left_over(node: Node) -> Iterator[str]:
    """What isn't as it should be at one end."""
    core = node.ike._core
    if node.ike.counters["internal-error"]:
        yield str(node.events("internal-error"))
    if core.promised:
        yield f"promised SPIs {core.promised}"
    if set(core.children) != node.inbound_spis:
        yield "the data plane has other SAs than we know of"
    for sa in core.ikes.values():
        yield from _of_ike(sa)
    for spi, child in core.children.items():
        if core.ikes.get(child.ike.spi) is not child.ike or child.ike.children.get(spi) is not child:
            yield f"a child SA of {child.config.name} that no IKE SA has"
        elif not child.usable:
            yield f"a child SA of {child.config.name} is {child.stage.value}, sending: {child.sending}"
    filed = {(peer.name, sa) for sa in core.ikes.values() for peer in sa.peers}
    if filed != {(name, sa) for name, sas in core.ikes._of_peer.items() for sa in sas}:
        yield "an IKE SA isn't found by the names of its peers"
    if core.ikes.calls():
        yield f"{core.ikes.calls()} hosts count as being called"
    for name, want in core.wanted._wants.items():
        if core.wanted.pursued(name):
            yield f"{name} is being negotiated"
        elif want.child.start and not want.held and not core.wanted.is_up(name):
            yield f"{name} is to be up and isn't; {'soon' if want.again else 'never'}"


def _of_ike(sa: IkeSa) -> Iterator[str]:
    tasks = [type(task).__name__ for task in sa.tasks if not isinstance(task, Probe)]
    if tasks:
        yield f"{tasks} on an IKE SA that is {sa.stage.value}"
    if sa.stage is not Stage.ESTABLISHED and sa.children:
        yield f"child SAs of an IKE SA that is {sa.stage.value}"
    if sa.stage is Stage.SPARE and sa.old is not None:
        yield "a spare IKE SA that may still be chosen"
    if sa.stage is Stage.GONE and not sa.window.idle:
        yield "a request on an IKE SA that is gone"
