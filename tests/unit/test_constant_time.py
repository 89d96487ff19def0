"""What a peer sent and what we computed are compared in constant time: secret.equal, never == (RFC 7296 section 5).

An early end of the comparison tells a forger how far he has come. Names say which octets are such: this looks for
comparisons by == and != whose operand is called mac, icv, hash, auth, cookie or digest, alone or as a word of a name.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import ipsecd

PACKAGE = Path(ipsecd.__file__).parent
MODULES = sorted(path for room in ("crypto", "ike") for path in (PACKAGE / room).rglob("*.py"))
WORDS = r"(?:(?:mac|icv|auth|cookie|digest)s?|hash(?:es)?)"
SENSITIVE = re.compile(rf"(^|_){WORDS}($|_(data|value|expected|received|ours|theirs)$)")
CONTENT = {"data", "value"}  # of a payload: auth.data


def name(node: ast.expr) -> str:
    """What an operand is called: the variable, the last attribute, or the function that made it."""
    if isinstance(node, ast.Call):
        return name(node.func)
    if isinstance(node, ast.Subscript | ast.Starred):
        return name(node.value)
    if isinstance(node, ast.Attribute) and node.attr in CONTENT:
        return f"{name(node.value)}_{node.attr}"
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def comparisons(source: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) and any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops):
            names = [name(operand) for operand in (node.left, *node.comparators)]
            if any(each.isupper() for each in names):
                continue  # a constant (Payload.AUTH, NO_INTEGRITY) is public, and nothing to forge
            yield from ((node.lineno, each) for each in names if SENSITIVE.search(each))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_authenticator_is_compared_by_equality(module: Path) -> None:
    assert list(comparisons(module.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "icv == expected",
        "expected != packet.icv",
        "auth.data == x",
        "message.auth != x",
        "a == b == cookie",
        "mac(key, data) == received",
        "self._mac.digest() == tag",
        "sent_cookie == ours",
        "nat_hashes[0] == theirs",
        "icv[:12] != tag",
        "auth_data == expected",
    ],
)
def test_comparisons_of_authenticators_are_found(source: str) -> None:
    assert list(comparisons(source))


@pytest.mark.parametrize(
    "source",
    [
        "notify.type == NotifyType.COOKIE",
        "exchange != Exchange.IKE_AUTH",
        "mac == _NO_INTEGRITY",
        "len(icv) == 16",
        "encryption.icv_octets == 16",
        "auth.method == AuthMethod.SHARED_KEY",
        "author == reader",
        "machine != macro",
        "cookie is None or not cookie",
        "equal(icv, expected)",
    ],
)
def test_other_comparisons_are_left_alone(source: str) -> None:
    assert not list(comparisons(source))
