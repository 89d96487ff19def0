"""``ipsecctl sas``: security associations as tables for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from ipsecd.cli.render import duration, grid, plain, state, traffic
from ipsecd.printable import printable

_CHILD = ("child", "state", "traffic", "suite", "form", "SPI in", "SPI out", "in", "out", "rekey in")


def sas(answer: Mapping[str, Any], width: int) -> Iterable[RenderableType]:
    """``ipsecctl sas``."""
    if not answer["sas"]:
        yield plain("no SAs")
    for sa in answer["sas"]:
        yield _ike(sa)
        if sa["children"]:
            yield grid(_CHILD, [_child(child) for child in sa["children"]], width)


def _ike(sa: Mapping[str, Any]) -> Text:
    ends = f"{sa['local_id'] or '?'} ({sa['local']}) = {sa['remote_id'] or '?'} ({sa['remote']})"
    role = "we called" if sa["initiator"] else "it called"
    nat = " and ".join(side for side, there in (("us", sa["nat_here"]), ("the peer", sa["nat_there"])) if there)
    facts = [
        sa["version"],
        sa["suite"],
        role,
        f"NAT before {nat}" if nat else "",
        "native" if sa["encapsulation"] == "native" else "",
        f"up {duration(sa['age'])}" if sa["age"] is not None else "",
        f"rekey in {duration(sa['rekey_in'])}" if sa["rekey_in"] is not None else "",
    ]
    text = Text(f"{printable(sa['peer'])} ", style="bold")
    text.append(state(sa["stage"]))
    text.append(f"  {printable(ends, 512)}\n  {', '.join(fact for fact in facts if fact)}", style="not bold")
    if more := ", ".join(_of_the_peer(sa)):
        text.append(f"\n  {printable(more, 512)}", style="not bold")
    text.append(f"\n  SPIs {sa['spi_i']} {sa['spi_r']}\n", style="dim not bold")
    return text


def _of_the_peer(sa: Mapping[str, Any]) -> Iterable[str]:
    """What is known of it besides its identity, and the addresses that one end has had of the other."""
    if sa["product"]:
        yield f"the peer is {sa['product']}"
    if sa["user"]:
        yield f"user {sa['user']}"
    if sa["given"]:
        yield f"address given: {', '.join(sa['given'])}"


def _child(child: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        child["name"],
        state(child["stage"]),
        f"{', '.join(child['local'])} = {', '.join(child['remote'])}",
        child["suite"],
        ", ".join((_form(child), *_hiding(child))),
        _of_each(child, lambda pair: str(pair["spi_in"])),
        _of_each(child, lambda pair: str(pair["spi_out"])),
        _of_each(child, lambda pair: traffic(pair["in"])),
        _of_each(child, lambda pair: traffic(pair["out"])),
        duration(child["rekey_in"]),
    )


def _form(child: Mapping[str, Any]) -> str:
    """How its packets are made."""
    protocol = child["protocol"]
    return f"{child['mode']}, {f'native {protocol}' if child['encapsulation'] == 'native' else f'{protocol} in UDP'}"


def _of_each(child: Mapping[str, Any], tell: Callable[[Mapping[str, Any]], str]) -> str:
    """Something of each SA that a packet is wrapped in, outermost first; with its protocol if there are two."""
    if not child["around"]:
        return tell(child)
    return "\n".join([*(f"{pair['protocol']} {tell(pair)}" for pair in child["around"]), f"ESP {tell(child)}"])


def _hiding(child: Mapping[str, Any]) -> Iterable[str]:
    """What hides sizes and times of what is sent."""
    padding, dummies = child["tfc"]["padding"], child["tfc"]["dummies"]
    if padding:
        yield f"padded to {'the path MTU' if padding == 'mtu' else padding}"
    if child["tfc"]["declined"]:
        yield "not padded: the peer takes no padding"
    if dummies:
        yield f"{dummies} {'dummy' if dummies == 1 else 'dummies'} a second"
