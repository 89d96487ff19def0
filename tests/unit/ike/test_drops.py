"""Every reason for which a datagram has no effect has a name, and the names are all used."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import ipsecd
from ipsecd.ike.drops import DROPS

ROOT = Path(ipsecd.__file__).parent
# what an IKE message goes through on its way: other modules of these rooms read packets
READERS = ("ike", "ikev2", "bodies", "proposal", "substructure", "traffic", "identity", "dn", "reader")
READERS_V1 = ("ikev1", "ikev1_attributes", "ikev1_bodies", "ikev1_identity", "ikev1_sa", "mode_config")
MODULES = (
    *ROOT.glob("ike/**/*.py"),
    *(ROOT / "wire" / f"{name}.py" for name in (*READERS, *READERS_V1)),
    *(ROOT / "crypto" / f"{name}.py" for name in ("exchange", "ike_cipher", "isakmp_cipher", "sealing")),
    *(ROOT / "crypto" / f"{name}.py" for name in ("certificates", "rsa_signature")),
    *ROOT.glob("pki/*.py"),
)
GIVE_A_REASON = {"PeerError", "Refused", "WireError", "drop", "_failed", "_lose", "bounded", "decode_list"}
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def reasons(path: Path) -> Iterator[str]:
    """The first text among the arguments of each call that gives a reason; both of a choice."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or called(node) not in GIVE_A_REASON:
            continue
        for argument in node.args:
            choices = [argument.body, argument.orelse] if isinstance(argument, ast.IfExp) else [argument]
            texts = [
                choice.value for choice in choices if isinstance(choice, ast.Constant) and isinstance(choice.value, str)
            ]
            if texts:
                yield from texts
                break


def test_every_reason_in_the_code_is_explained_and_every_explained_reason_is_in_the_code() -> None:
    used = {reason for path in MODULES for reason in reasons(path)}
    assert used == set(DROPS)


def test_reasons_are_short_names_with_an_explanation_each() -> None:
    for name, explanation in DROPS.items():
        assert NAME.fullmatch(name)
        assert explanation
        assert not explanation.endswith(".")
    assert len(set(DROPS.values())) == len(DROPS)
