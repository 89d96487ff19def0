"""The field tables of docs/policy.md and docs/man/ipsecd.policy.5.md, made from the schema.

    python -m tests.unit.policy.reference       writes them anew

A table stands between ``<!-- fields: Rule -->`` (or ``keywords: encryption``, or ``protocols``) and ``<!-- end -->``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ipsecd.policy import proposals, traffic
from ipsecd.policy.schema import json_schema
from ipsecd.policy.shapes import ANY_CASE, CREDENTIAL_NAME, INTERFACE_NAME, NAME

ROOT = Path(__file__).parents[3]
DOCUMENTS = (ROOT / "docs/policy.md", ROOT / "docs/man/ipsecd.policy.5.md")

SCHEMA = json_schema()
KEYWORDS: Mapping[str, Mapping[str, Any]] = {
    "encryption": proposals.ENCRYPTION,
    "integrity": proposals.INTEGRITY,
    "prf": proposals.PRF,
    "groups": proposals.GROUPS,
}
ENUMS = {tuple(table): f"{name} keyword" for name, table in KEYWORDS.items()} | {
    tuple(proposals.IKE_ENCRYPTION): "encryption keyword",
    tuple(proposals.MACS): "integrity keyword",
    tuple(traffic.PROTOCOLS): "protocol name",
    tuple(sorted({*traffic.ICMP_TYPES, *traffic.ICMPV6_TYPES})): "ICMP name",
}
_MARKED = re.compile(r"(<!-- (fields|keywords|protocols|icmp)(?:: (\w+))? -->\n).*?(<!-- end -->)", re.DOTALL)


def definition(name: str) -> dict[str, Any]:
    found: dict[str, Any] = SCHEMA if name == "File" else SCHEMA["$defs"][name]
    return found


def kind(part: dict[str, Any], *, linked: bool) -> str:
    """What a field takes, in a few words."""
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})" if linked else name
    if part.get("$comment") == ANY_CASE:
        return ""  # said of the same words in lower case
    if "enum" in part:
        words = tuple(part["enum"])
        return ENUMS.get(words) or ", ".join(f"`{word}`" for word in words)
    if "anyOf" in part:
        kinds = dict.fromkeys(kind(other, linked=linked) for other in part["anyOf"])
        return " or ".join(filter(None, kinds))
    if part.get("additionalProperties"):
        return f"names, each with {article(kind(part['additionalProperties'], linked=linked))}"
    if "items" in part:
        bounded = "maxItems" in part and "uniqueItems" not in part  # of unlike items there are only so many
        most = f", {part['maxItems']} at most" if bounded else ""
        return f"list of {kind(part['items'], linked=linked)}{most}"
    match part["type"]:
        case "boolean":
            return "`true`, `false`"
        case "integer":
            return f"{part['minimum']} to {part['maximum']}"
    return "name" if part.get("pattern") in (NAME, INTERFACE_NAME, CREDENTIAL_NAME) else "text"


def article(words: str) -> str:
    return f"a {words}"


def default(part: dict[str, Any], required: bool) -> str:
    if required:
        return "required"
    value = part.get("default", "")
    if value in ("", [], {}):
        return ""
    if isinstance(value, dict):
        return ", ".join(f"`{name}: {text}`" for name, text in value.items())
    if isinstance(value, list):
        return ", ".join(f"`{item}`" for item in value)
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:#x}`" if isinstance(value, int) and value > 0xFFFF else f"`{value}`"


def fields(name: str) -> str:
    """A table of a part's fields."""
    part = definition(name)
    rows = ["| field | takes | default | |", "|---|---|---|---|"]
    for field, about in part["properties"].items():
        takes = kind(about, linked=True).replace("|", "\\|")
        given = default(about, field in part.get("required", ()))
        rows.append(f"| `{field}` | {takes} | {given} | {about['description']} |")
    return "\n" + "\n".join(rows) + "\n\n"


def listed(name: str) -> str:
    """The same as a definition list, for a manual page."""
    part = definition(name)
    lines = []
    for field, about in part["properties"].items():
        given = default(about, field in part.get("required", ()))
        notes = f"{kind(about, linked=False)}" + (
            f"; {given if given == 'required' else f'default {given}'}" if given else ""
        )
        lines.append(f"**{field}**\n:   {about['description']} ({notes})\n")
    return "\n" + "\n".join(lines) + "\n"


def keywords(name: str) -> str:
    ready = [f"`{word}`" for word in KEYWORDS[name] if word not in proposals.NOT_YET]
    later = [f"`{word}`" for word in KEYWORDS[name] if word in proposals.NOT_YET]
    return f"\n{', '.join(ready)}.\n" + (f"Not supported yet: {', '.join(later)}.\n\n" if later else "\n")


def made(what: str, name: str | None, *, manual: bool) -> str:
    match what:
        case "fields":
            return (listed if manual else fields)(str(name))
        case "keywords":
            return keywords(str(name))
        case "protocols":
            return (
                "\n" + ", ".join(f"`{word}` {number}" for word, number in traffic.PROTOCOLS.items() if number) + ".\n\n"
            )
        case _:
            table = traffic.ICMP_TYPES if name == "icmp" else traffic.ICMPV6_TYPES
            return "\n" + ", ".join(f"`{word}` {number}" for word, number in table.items()) + ".\n\n"


def renewed(text: str, *, manual: bool) -> str:
    """The document with every table as the schema has it now."""
    return _MARKED.sub(lambda found: found[1] + made(found[2], found[3], manual=manual) + found[4], text)


def marked(text: str) -> set[str]:
    """The parts of the schema whose fields a document lists."""
    return {found[3] for found in _MARKED.finditer(text) if found[2] == "fields"}


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(renewed(document.read_text(), manual=document.name.endswith(".5.md")))
