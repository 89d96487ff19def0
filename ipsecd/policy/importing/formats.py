"""The formats that can be imported, and how to tell them apart."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from ipsecd.policy.importing import ipsecpol, netsh, windows
from ipsecd.policy.importing.imported import Imported
from ipsecd.policy.load import load_policy
from ipsecd.policy.schema import File

_MARKS: Final = (  # what tells a format, the surest first
    ("windows", re.compile(r"\A\s*\{.*\"policies\"\s*:\s*\[", re.DOTALL)),
    ("ipsecpol", re.compile(r"^\s*(?:\S*[\\/])?ipsec(?:pol|cmd)(?:\.exe)?\s", re.MULTILINE | re.IGNORECASE)),
    ("netsh", re.compile(r"^\s*(?:\S+\s+)?ipsec\s+(?:static|dynamic)\b", re.MULTILINE | re.IGNORECASE)),
    ("netsh", re.compile(r"^\s*add\s+(?:policy|filterlist|filteraction|filter|rule)\s", re.MULTILINE | re.IGNORECASE)),
    ("yaml", re.compile(rf"^\s*[{{\"']*(?:{'|'.join(File.model_fields)})[\"']?\s*:", re.MULTILINE)),
)
FORMATS_IN_WORDS: Final = (
    "a script of netsh ipsec static, lines of ipsecpol or ipseccmd, Windows' objects in JSON, or a policy file"
)


def _yaml(text: str, file: str) -> Imported:
    tree = load_policy(text, file).tree.value
    return Imported(tree if isinstance(tree, dict) else {}, ())


READERS: Final[Mapping[str, Callable[[str, str], Imported]]] = {
    "ipsecpol": ipsecpol.read,
    "netsh": netsh.read,
    "windows": windows.read,
    "yaml": _yaml,
}


def format_of(text: str) -> str:
    """The format that a text seems to have; empty if it shows the marks of none."""
    plain = text.removeprefix("\ufeff")
    return next((name for name, mark in _MARKS if mark.search(plain)), "")
