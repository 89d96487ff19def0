"""The repository as a home: what its documents name exists, its commands start, and it knows no other place."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from ipsecd.cli import ipsecctl as control
from ipsecd.cli import ipsecd as daemon
from scripts import packages, suites

ROOT = Path(__file__).parents[2]
GENERATED = {
    ".git",
    ".venv",
    ".venv-bench",
    ".hypothesis",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    "__pycache__",
    "bench-results",
    "build",
    "dist",
}
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("etc/**/*.md")])
SCRIPTS = ("scripts/bench", "scripts/demo", "scripts/test", ".ci/run")
LINK = re.compile(r"\[[^]]+\]\(([^)]+)\)")
COMMAND = re.compile(r"(?:sudo )?((?:scripts|\.ci)/[\w.]+)")
WORKPLACE = re.compile(r"(?<![\w.$}*-])/(?:work|root|home/\w+|Users/\w+)/[\w.]")


def files() -> Iterator[Path]:
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in GENERATED and not name.endswith(".egg-info")]
        yield from (Path(folder, name) for name in names if not name.startswith(".coverage"))


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as the usual viewers make them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_links_between_documents_resolve(document: Path) -> None:
    for link in LINK.findall(document.read_text()):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_commands_that_documents_name_exist(document: Path) -> None:
    for command in COMMAND.findall(document.read_text()):
        assert (ROOT / command.rstrip(".")).is_file(), f"{command} isn't there"


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_files_that_documents_name_exist(document: Path) -> None:
    named = re.findall(r"`((?:ipsecd|tests|scripts|etc|docs|systemd)/[\w./-]+)`", document.read_text())
    assert [name for name in named if not (ROOT / name).exists() and name != "tests/unit/ROOM"] == []


def test_documents_that_code_and_units_name_exist() -> None:
    named = set()
    for path in files():
        if path.suffix == ".py" and path.parts[len(ROOT.parts)] in {"ipsecd", "scripts"}:
            named |= set(re.findall(r"\b(?:docs/[\w/.-]+|[A-Z]+)\.md\b", path.read_text()))
    for unit in (ROOT / "systemd").glob("*.service"):
        for page, kind in re.findall(r"man:([\w.-]+)\((\d)\)", unit.read_text()):
            named.add(f"docs/man/{page}.{kind}.md")
    for page in (ROOT / "docs/man").glob("*.md"):
        for other, kind in re.findall(r"\*\*(ipsec[\w.]*)\*\*\((\d)\)", page.read_text()):
            named.add(f"docs/man/{other}.{kind}.md")
    assert {"docs/control-protocol.md", "docs/man/ipsecd.8.md", "docs/man/ipsecctl.8.md"} <= named
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def test_the_steps_of_an_installation_name_what_is_there() -> None:
    """Files of the checkout, the programs that the units start, and a manual page for each that there is."""
    section = (ROOT / "README.md").read_text().partition("\n## Install\n")[2].partition("\n## ")[0]
    steps = [line.partition(" # ")[0].strip() for line in section.splitlines() if line.startswith("    ")]
    named = [word for step in steps for word in step.split() if re.match(r"(systemd|etc|docs)/[\w./-]+$", word)]
    assert {path.name for path in (ROOT / "systemd").rglob("*.*") if path.is_file()} <= {
        Path(name).name for name in named
    }
    assert [name for name in named if not (ROOT / name).is_file()] == []
    started = {
        program
        for unit in (ROOT / "systemd").glob("*.service")
        for program in re.findall(r"^Exec\w+=(/usr/bin/\S+)", unit.read_text(), re.MULTILINE)
    }
    (link,) = [step for step in steps if step.startswith("sudo ln ")]
    assert link.endswith(" /usr/bin/")
    assert {f"/usr/bin/{Path(word).name}" for word in link.split() if word.startswith("/opt/")} == started
    (pages,) = [step for step in steps if step.startswith("for page in ")]
    assert {f"{page}.md" for page in re.findall(r"ips[\w.]+", pages)} == {
        path.name for path in (ROOT / "docs/man").iterdir()
    }


def test_a_source_archive_has_all_that_a_checkout_has() -> None:
    """setuptools adds the package, pyproject.toml and MANIFEST.in itself."""
    lines = (ROOT / "MANIFEST.in").read_text().splitlines()
    patterns = [pattern for line in lines if line.startswith("include ") for pattern in line.split()[1:]]
    grafted = {line.split()[1] for line in lines if line.startswith("graft ")}
    by_itself = {"ipsecd", "pyproject.toml", "MANIFEST.in", ".gitignore"}
    left_out = [
        relative(path)
        for path in files()
        if relative(path).split("/")[0] not in grafted | by_itself
        and not any(fnmatch(relative(path), pattern) for pattern in patterns)
    ]
    assert left_out == []


@pytest.mark.parametrize("suite", re.findall(r"scripts/test (\w+)", (ROOT / "docs/testing.md").read_text()))
def test_suites_that_the_documents_name_exist(suite: str) -> None:
    assert suite in suites.SUITES


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_can_be_run_and_parse(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    subprocess.run(["bash", "-n", ROOT / script], check=True)


def test_ci_runs_the_command_of_the_readme() -> None:
    assert "    sudo scripts/test\n" in (ROOT / "README.md").read_text()
    assert "scripts/test" in (ROOT / ".ci/run").read_text()


def test_no_file_names_a_place_of_some_machine() -> None:
    """Paths of a home or a workplace mean nothing to others."""
    found = []
    for path in files():
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            continue
        found += [f"{relative(path)}:{number}" for number, line in enumerate(lines, 1) if WORKPLACE.search(line)]
    assert found == []


@pytest.mark.parametrize(
    ("line", "names_a_place"),
    [
        ("see |home|alice|notes", True),
        ("in |work|main", True),
        ("|root|x", True),
        ("net|work|x and .|root|x", False),
        ("|etc|ipsecd|policy.yaml", False),
    ],
)
def test_places_of_some_machine_are_recognised(line: str, names_a_place: bool) -> None:
    assert (WORKPLACE.search(line.replace("|", "/")) is not None) == names_a_place


def test_each_program_starts_and_says_what_it_takes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(project["scripts"]) == {"ipsecd", "ipsecctl"}
    for name in project["scripts"]:
        program = Path(sys.executable).with_name(name)
        told = subprocess.run([program, "--help"], check=True, text=True, capture_output=True).stdout
        assert told.startswith(f"Usage: {name} ")


def test_commands_of_the_readme_are_those_of_the_programs() -> None:
    readme = (ROOT / "README.md").read_text()
    known = {"ipsecd": set(daemon.main.commands), "ipsecctl": set(control.main.commands)}
    for program, command in re.findall(
        r"\b(ipsecd|ipsecctl) ([a-z]+)\b", "\n".join(re.findall(r"`[^`]+`|^    .*$", readme, re.MULTILINE))
    ):
        assert command in known[program], f"{program} {command}"


def test_a_missing_program_is_named_by_its_package() -> None:
    assert packages.missing({"no-such-program": "some-package", "bash": "bash", "/no/such/file": "other"}) == [
        "other",
        "some-package",
    ]


def test_what_clashes_with_another_package_is_not_told_to_be_installed() -> None:
    assert packages.advice(["libreswan", "tshark"]) == (
        "needs Debian packages: apt-get install tshark; sudo scripts/test unpacks libreswan"
    )
    assert packages.advice(["libreswan"]) == "needs Debian packages: sudo scripts/test unpacks libreswan"
