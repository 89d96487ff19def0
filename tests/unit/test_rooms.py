"""The rooms of ipsecd, and which way imports go between them (docs/architecture.md)."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import ipsecd

PACKAGE = Path(ipsecd.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
# A room may import itself, the modules that stand beside the rooms, and what is listed here.
ARROWS: dict[str, tuple[str, ...]] = {
    "wire": (),
    "crypto": ("wire",),
    "ike": ("wire", "crypto"),
    "pki": ("wire", "crypto"),
    "ipsec": ("wire", "crypto"),
    "policy": ("wire", "ipsec.selectors"),
    "io": (),
    "dataplane": ("wire", "crypto", "ipsec", "io"),
    "daemon": ("wire", "crypto", "ike", "pki", "ipsec", "policy", "io", "dataplane"),
    "cli": ("policy", "daemon"),
}
ENTRY = "ipsecd.__main__"  # stands beside the rooms, and is the program all the same
PURE = ("wire", "crypto", "ike", "pki", "ipsec", "policy")
OUTSIDE = {"asyncio", "os", "random", "secrets", "select", "socket", "subprocess", "threading", "time"}
CHANCE = {"ipsecd.crypto.entropy", "ipsecd.crypto.exchange"}  # keys come from here, handed to everyone as an argument


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports, wherever in the file; for `from a import b` both `a` and `a.b`."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def room(module: str) -> str:
    """The room a module stands in; empty for the modules beside the rooms."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ARROWS else ""


def allowed(module: str, imported: str) -> bool:
    here, there = room(module), room(imported)
    if there in ("", here):
        return True
    reach = ("cli",) if module == ENTRY else ARROWS.get(here, ())
    return any(f"{imported}.".startswith(f"ipsecd.{name}.") for name in reach)


def test_every_folder_is_a_room() -> None:
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"} <= set(ARROWS)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module: str) -> None:
    ours = {name for name in imports(MODULES[module]) if name.split(".")[0] == "ipsecd" and name in MODULES}
    assert sorted(name for name in ours if not allowed(module, name)) == []


@pytest.mark.parametrize("module", [name for name in MODULES if room(name) in PURE and name not in CHANCE])
def test_the_pure_rooms_know_no_clock_no_network_and_no_chance(module: str) -> None:
    assert {name.split(".")[0] for name in imports(MODULES[module])} & OUTSIDE == set()


@pytest.mark.parametrize("module", [name for name in MODULES if room(name) != "crypto"])
def test_only_crypto_imports_the_cryptography_package(module: str) -> None:
    assert "cryptography" not in {name.split(".")[0] for name in imports(MODULES[module])}


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_of_one_subject(module: str) -> None:
    path = MODULES[module]
    assert len(path.read_text().splitlines()) <= 400
    assert path.stem not in {"utils", "util", "helpers", "common", "manager", "misc"}


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_asserted_at_run_time(module: str) -> None:
    """An assertion on a peer's data is a way to stop the daemon, and `python -O` removes it."""
    tree = ast.parse(MODULES[module].read_text())
    assert [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)] == []


@pytest.mark.parametrize("module", MODULES)
def test_test_tools_stay_in_the_tests(module: str) -> None:
    assert {name.split(".")[0] for name in imports(MODULES[module])} & {
        "scapy",
        "hypothesis",
        "pytest",
        "vici",
    } == set()


def test_what_is_declared_is_imported_and_what_is_imported_is_declared() -> None:
    """A dependency nobody uses is a liability; an undeclared one is an accident."""
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    called = {
        "python-pytun": "pytun",
        "pyyaml": "yaml",
        "prometheus-client": "prometheus_client",
        "pydantic-core": "pydantic_core",
        "dnspython": "dns",
    }

    def modules(requirements: list[str]) -> set[str]:
        names = {re.split(r"[<>=~\[ ]", line)[0].lower() for line in requirements}
        return {called.get(name, name) for name in names}

    optional = modules(
        [line for extra, lines in project["optional-dependencies"].items() if extra != "test" for line in lines]
    )
    used = {name.split(".")[0] for path in MODULES.values() for name in imports(path)} - {"ipsecd"}
    used -= set(sys.stdlib_module_names)
    assert modules(project["dependencies"]) - used == set()
    assert used - modules(project["dependencies"]) - optional == set()


def test_the_arrows_are_drawn_right() -> None:
    assert allowed("ipsecd.policy.plan", "ipsecd.ipsec.selectors")
    assert not allowed("ipsecd.policy.plan", "ipsecd.ipsec.sad")
    assert not allowed("ipsecd.ike.engine", "ipsecd.ipsec.sad")
    assert not allowed("ipsecd.errors", "ipsecd.wire.esp")
    assert allowed("ipsecd.wire.esp", "ipsecd.errors")
