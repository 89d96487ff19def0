"""What each event says to an operator: a sentence with the event's fields in it.

An event without a sentence here still comes out, as its words and fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any


@dataclass(frozen=True, slots=True)
class Told:
    """``unauthenticated``: anybody on the network can cause it, so its lines are rate-limited."""

    text: str
    unauthenticated: bool = False


STORY: dict[str, Told] = {
    # --- the daemon -----------------------------------------------------------------------------------------------
    "starting": Told("ipsecd {version} starts with policy {policy!r} of {file}"),
    "ready": Told("Ready: {summary}"),
    "stopping": Told("Stopping on {cause}; the floor stays, so protected traffic stays off the wire"),
    "stopped": Told("Stopped"),
    "fault": Told("Fault in ipsecd while handling {what}: {error}; please report it", unauthenticated=True),
    "control-refused": Told("User {uid} (process {pid}) may not control ipsecd"),
    "short-key": Told("Credential {credential} has {octets} octets; a pre-shared key should be random and longer"),
    "name-resolved": Told("{name} is {addresses}"),
    "name-unknown": Told("{name} has no address"),
    "name-unanswered": Told("The DNS says nothing about {name}: {reason}; what was known of it stays"),
    "lines-suppressed": Told("{count} further lines about unauthenticated datagrams were left out"),
    "library": Told("{library}: {message}"),
}


def is_unauthenticated(event: str) -> bool:
    """Whether lines about this event must be rate-limited."""
    told = STORY.get(event)
    return told is not None and told.unauthenticated


def sentence(event: str, fields: Mapping[str, Any]) -> str:
    """The event in words. Fields a sentence needs but the event lacks make it fall back to a plain listing."""
    told = STORY.get(event)
    if told is not None and all(name is None or name in fields for name in _NEEDS[event]):
        return told.text.format_map(fields)
    listed = " ".join(f"{name}={_shown(value)}" for name, value in fields.items() if name != "traceback")
    words = event.replace("-", " ")
    return f"{words}: {listed}" if listed else words


def _shown(value: object) -> str:
    text = str(value)
    return f'"{text}"' if " " in text or not text else text


_NEEDS = {event: tuple(name for _, name, _, _ in Formatter().parse(told.text)) for event, told in STORY.items()}
