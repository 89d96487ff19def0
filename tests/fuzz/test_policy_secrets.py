"""A key that somebody put into the policy file itself, in any place where one is named, appears in no message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ipsecd.policy.check import check

SECRET = "S3cretPSK99"
METHODS: list[Any] = [{"psk": "hq"}, {"certificate": "own"}, {"kerberos": "machine"}, {"psk": "pa"}]
TREE: dict[str, Any] = {
    "assigned": "p",
    "credentials": {
        "hq": {"psk": {"file": "secrets/hq.psk"}},
        "pa": {"psk": {"systemd": "pa.psk"}},
        "pb": {"psk": {"command": ["/usr/bin/pass", "show"]}},
        "own": {"certificate": {"chain": "c.pem", "key": "k.pem", "authorities": ["a.pem"]}},
        "machine": {"kerberos": {"keytab": "k", "principal": "host/x"}},
    },
    "policies": {
        "q": {
            "key_exchange": {"versions": ["ikev1"]},
            "rules": [
                {
                    "name": "in",
                    "filter_list": "all-ip",
                    "action": "require-security",
                    "tunnel": {"local": "192.0.2.1", "remote": "192.0.2.2"},
                    "authentication": [{"psk": "hq"}],
                    "xauth": {"user": "alice", "password": "pa"},
                },
                {
                    "name": "gw",
                    "filter_list": "all-ip",
                    "action": "require-security",
                    "tunnel": {"local": "192.0.2.1", "remote": "192.0.2.3"},
                    "authentication": [{"psk": "hq"}],
                    "xauth": {"users": "users.txt"},
                },
            ],
        },
        "p": {
            "rules": [
                {
                    "name": "r",
                    "filter_list": "all-ip",
                    "action": "require-security",
                    "tunnel": {"local": "192.0.2.1", "remote": "192.0.2.2"},
                    "authentication": METHODS,
                }
            ],
            "default_response": {"authentication": METHODS},
        },
    },
    "persistent": {
        "rules": [
            {"name": "s", "filter_list": "all-ip", "action": "require-security", "authentication": METHODS},
        ]
    },
}
HOLDERS = (
    ("credentials",),
    ("policies", "p", "rules", 0, "authentication"),
    ("policies", "p", "default_response", "authentication"),
    ("persistent", "rules", 0, "authentication"),
    ("policies", "q", "rules", 0, "xauth"),
    ("policies", "q", "rules", 1, "xauth"),
)
# as YAML, each where a value belongs
VALUES = (
    SECRET,
    f"'{SECRET}'",
    f'"{SECRET} {SECRET}"',
    f'"{SECRET}\\n"',
    f'"{SECRET}\\e[2J"',
    f"{SECRET}:",
    f"{SECRET}: x",
    f"{{{SECRET}}}",
    f"{{{SECRET}: x}}",
    f"{{{SECRET}: x, {SECRET}: y}}",
    f"{{? {SECRET} }}",
    f"{{psk: {SECRET}}}",
    f"{{psk: {{{SECRET}: x}}}}",
    f"{{file: {{{SECRET}: x}}}}",
    f"{{key: {SECRET}, {SECRET}: x}}",
    f"{{{SECRET}: {{{SECRET}: {{{SECRET}: !{SECRET} no}}}}}}",
    f"[{SECRET}]",
    f"[{SECRET}, {SECRET}]",
    f"[[{SECRET}]]",
    f"[{{{SECRET}: x}}, {{{SECRET}}}]",
    f"!{SECRET}",
    f"!{SECRET} x",
    f"!!{SECRET} x",
    f"!<{SECRET}> x",
    f"!<{SECRET} x",
    f"!{SECRET}!x y",
    f"!%zz{SECRET} x",
    f"!{SECRET} {{x: y}}",
    f"{{!{SECRET} psk: x}}",
    f"&{SECRET} x",
    f"&{SECRET}% x",
    f"*{SECRET}",
    f"{{*{SECRET} : x}}",
    f"@{SECRET}",
    f"`{SECRET}`",
    f"%{SECRET}",
    f"|{SECRET}",
    f">{SECRET}",
    f"'{SECRET}",
    f'"{SECRET}',
    f'"\\q{SECRET}"',
    f"[{SECRET}",
    f"{{{SECRET}",
    f"'{SECRET}' {SECRET}",
    f"- {SECRET}",
    f"? {SECRET}",
    f"# {SECRET}",
    f"12:34 #{SECRET}",
    f"2026-11-24 {SECRET}",
    f"{{2026-11-24 {SECRET}: x}}",
    f"{{2026-11-24 {SECRET}: x, 2026-11-24 {SECRET}: y}}",
)
# as YAML, each where a key belongs
KEYS = (SECRET, f"'{SECRET} x'", f"!{SECRET} x", f"&{SECRET} x", f"{{{SECRET}: x}}", f"[{SECRET}]", f"? {SECRET}\n")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


def is_private(path: tuple[Any, ...]) -> bool:
    return any(path[: len(holder)] == holder for holder in HOLDERS)


def written(value: Any, at: tuple[Any, ...], instead: str, *, as_key: bool, path: tuple[Any, ...] = ()) -> str:
    """The tree as YAML, with this text instead of the value, or the key, at a path."""
    if path == at and not as_key:
        return instead
    if isinstance(value, dict):
        items = []
        for key, item in value.items():
            inner = (*path, key)
            name = instead if as_key and inner == at else key
            items.append(f"{name}: {written(item, at, instead, as_key=as_key, path=inner)}")
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list):
        inner_items = (
            written(item, at, instead, as_key=as_key, path=(*path, index)) for index, item in enumerate(value)
        )
        return "[" + ", ".join(inner_items) + "]"
    return str(value)


def texts(*, as_key: bool) -> Iterator[str]:
    for path in places(TREE):
        if is_private(path):
            # below, not at, what holds them; and the name of a whole credential is a name
            if as_key and isinstance(path[-1], str) and path not in HOLDERS and len(path) != 2:
                yield from (written(TREE, path, key, as_key=True) for key in KEYS)
            if not as_key:
                yield from (written(TREE, path, value, as_key=False) for value in VALUES)


def judge(text: str) -> int:
    """How many lines are said of the text; none may hold the secret, as it is or in part."""
    lines = check(text, "p.yaml").lines()
    for line in lines:
        assert "s3cret" not in line.lower(), f"{line}\n{text}"
    return len(lines)


def test_the_tree_as_it_should_be_is_good() -> None:
    text = written(TREE, ("x",), "", as_key=False)
    assert [str(mistake) for mistake in check(text, "p.yaml").mistakes] == []


def test_a_key_instead_of_a_value_is_never_repeated() -> None:
    said = [judge(text) for text in texts(as_key=False)]
    assert len(said) > 2_000
    assert min(said) >= 1


def test_a_key_instead_of_a_key_is_never_repeated() -> None:
    said = [judge(text) for text in texts(as_key=True)]
    assert len(said) > 100
    assert min(said) >= 1


@pytest.mark.parametrize("name", [SECRET, f"'{SECRET} x'", f"2026-11-24 {SECRET}"])
@pytest.mark.parametrize("body", ["", " x", " {}", " {file: x}", " []", " !x {}"])
def test_a_key_instead_of_the_name_of_what_is_no_credential_is_never_repeated(name: str, body: str) -> None:
    rule = "policies: {p: {rules: [{name: r, filter_list: all-ip, action: block, authentication: [{psk: hr}]}]}}\n"
    assert judge(f"credentials:\n  hq: {{psk: {{file: f}}}}\n  {name}:{body}\n{rule}") >= 2
