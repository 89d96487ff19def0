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


def port_or_message(text: str | None, protocol: str | None) -> dict[str, str | int]:
    """What ``explain`` asks with for the last of its words: a port's number, or an ICMP message by number or name.
    Raises click.BadParameter."""
    if text is None:
        return {}
    if text.isascii() and text.isdecimal() and int(text) <= _LAST_PORT:
        return {"port": int(text)}
    if (protocol or "").lower() in _WITH_MESSAGES:
        return {"icmp_type": text}
    raise click.BadParameter(f"{text!r} isn't a port's number, 0 to {_LAST_PORT}.", param_hint="'[PORT]'")
