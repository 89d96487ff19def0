"""Imports, in finer grain than the arrows between rooms (test_rooms.py): by module, by name at run time, of files."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.unit.test_rooms import ENTRY, MODULES, PURE, imports, room

# Reads or writes something outside the arguments of a call.
WORLD = {
    "builtins",
    "concurrent",
    "fcntl",
    "glob",
    "io",
    "logging",
    "mmap",
    "multiprocessing",
    "pathlib",
    "pytun",
    "pyroute2",
    "shutil",
    "signal",
    "ssl",
    "structlog",
    "tempfile",
    "uuid",
}
OF_IPSECD = {"ipsecd.cli.ipsecd", "ipsecd.cli.passwords"}  # the other program
ON_POLICY_FILES = {f"ipsecd.cli.{name}" for name in ("policy_commands", "policy_saving", "questions", "wizard")}
BY_NAME = {"importlib", "runpy", "pkgutil", "imp"}
DIFFIE_HELLMAN = {"ipsecd.crypto.exchange"}  # where the library keeps it changes by version


def calls(module: str) -> Iterator[str]:
    """The plain names a module calls."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id


def tops(module: str) -> set[str]:
    return {name.split(".")[0] for name in imports(MODULES[module])}


def own(module: str) -> set[str]:
    """The modules of ipsecd that a module imports."""
    return {name for name in imports(MODULES[module]) if name in MODULES and name != "ipsecd"}


@pytest.mark.parametrize("module", [name for name in MODULES if room(name) in PURE])
def test_the_pure_rooms_touch_nothing_but_their_arguments(module: str) -> None:
    assert tops(module) & WORLD == set()
    assert {"open", "input", "print", "exec", "eval"} & set(calls(module)) == set()


@pytest.mark.parametrize("module", [name for name in MODULES if name not in DIFFIE_HELLMAN])
def test_nothing_is_imported_by_name_at_run_time(module: str) -> None:
    """Such an import is one that these tests can't see."""
    assert tops(module) & BY_NAME == set()
    assert "__import__" not in set(calls(module))


def test_what_is_imported_by_name_is_diffie_hellman_alone() -> None:
    for module in DIFFIE_HELLMAN:
        tree = ast.parse(MODULES[module].read_text())
        texts = [
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        assert [text for text in texts if text.startswith("cryptography")] == [
            "cryptography.hazmat.primitives.asymmetric.dh",
            "cryptography.hazmat.decrepit.asymmetric.dh",
        ]


@pytest.mark.parametrize("module", [name for name in MODULES if name not in DIFFIE_HELLMAN])
def test_one_module_alone_silences_a_warning_and_knows_finite_field_diffie_hellman(module: str) -> None:
    assert "warnings" not in tops(module)
    assert "asymmetric.dh" not in MODULES[module].read_text()


@pytest.mark.parametrize("module", [name for name in MODULES if room(name) == "cli" and name not in OF_IPSECD])
def test_the_control_program_knows_the_daemon_by_its_messages_alone(module: str) -> None:
    """It needs no right that the daemon has. What works on policy files knows what is in them."""
    reach = {name for name in own(module) if room(name) not in ("", "cli")}
    allowed = {"ipsecd.daemon", "ipsecd.daemon.options", "ipsecd.daemon.protocol"}
    if module in ON_POLICY_FILES:
        allowed |= {"ipsecd.daemon.policy_text", *(name for name in MODULES if room(name) == "policy")}
    assert reach <= allowed
    assert OF_IPSECD.isdisjoint(own(module))


def test_the_control_program_starts_without_what_policy_files_need() -> None:
    """It starts quickly: the schema and pydantic take longer than all the rest."""
    program = "import sys, ipsecd.cli.ipsecctl; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, text=True, capture_output=True).stdout.split()
    assert "ipsecd.cli.policies" in loaded
    assert [name for name in loaded if name == "pydantic" or name in ON_POLICY_FILES] == []


@pytest.mark.parametrize("module", [name for name in MODULES if not room(name) and name != ENTRY])
def test_what_stands_beside_the_rooms_imports_none_of_them(module: str) -> None:
    assert {name for name in own(module) if room(name)} == set()


@pytest.mark.parametrize("name", sorted({f"ipsecd.{room(module)}" for module in MODULES if room(module)}))
def test_a_room_has_no_code_of_its_own_but_what_it_exports(name: str) -> None:
    """Importing one module of a room must not bring in the others by the back door of another room."""
    tree = ast.parse(MODULES[name].read_text())
    assert {type(node) for node in tree.body} <= {ast.Expr, ast.ImportFrom, ast.Assign}
    assert {room(imported) for imported in own(name)} <= {room(name)}
