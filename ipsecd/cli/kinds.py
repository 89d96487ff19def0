"""What arguments and options of ``ipsecctl`` may be."""

from __future__ import annotations

import math
from typing import Any

import click

_LAST_PORT = 65_535
_WITH_MESSAGES = ("icmp", "icmpv6", "1", "58")


class Seconds(click.FloatRange):
    """A time to wait, which has an end."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = float(value)
        except ValueError:
            seconds = math.nan
        if not math.isfinite(seconds):
            self.fail(f"{value!r} isn't a number of seconds.", param, ctx)
        return float(super().convert(seconds, param, ctx))


def shown_of_transport(protocol: str | None, first: str | None, second: str | None) -> dict[str, str | int]:
    """What ``explain`` asks with for the last two of its words: both ports, or an ICMP message, by number or name, and
    its code. Raises click.BadParameter."""
    if first is None:
        return {}
    if (protocol or "").lower() in _WITH_MESSAGES:
        return {"icmp_type": first} | ({} if second is None else {"icmp_code": _number(second, "code", 255)})
    if second is None:
        raise click.BadParameter(
            "two ports are needed, that of the source, which may be any, and that of the destination.",
            param_hint="'[DESTINATION_PORT]'",
        )
    ports = {"source_port": first, "destination_port": second}
    return {name: _number(text, name, _LAST_PORT) for name, text in ports.items() if text.lower() != "any"}


def _number(text: str, name: str, last: int) -> int:
    if text.isascii() and text.isdecimal() and int(text) <= last:
        return int(text)
    what = "a code" if name == "code" else "a port's number"
    hint = "'[DESTINATION_PORT]'" if name == "code" else f"'[{name.upper()}]'"
    raise click.BadParameter(f"{text!r} isn't {what}, 0 to {last}.", param_hint=hint)
