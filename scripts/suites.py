"""Run the tests: `scripts/test [suite] [pytest arguments]`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from scripts import packages

WORKERS = 2 * min(os.cpu_count() or 1, 4)  # many tests wait for packets rather than for a processor
ROOTLESS = ("tests/unit", "tests/property", "tests/exchange", "tests/negative", "tests/fuzz")
CACHES = (".coverage", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache")
_SOME = ("-k", "-m", "--lf", "--last-failed", "--deselect", "--ignore")  # pytest's options that leave tests out
CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
)


@dataclass(frozen=True, slots=True)
class Suite:
    story: str
    folders: tuple[str, ...] = ()
    marks: str = ""  # pytest's -m
    needs: dict[str, str] = field(default_factory=dict)
    coverage: bool = False  # of all branches: two and a half times the processor time
    checks: bool = False


SUITES = {
    "all": Suite(
        "everything: the checks, then every test (root)",
        ("tests",),
        "not whole",
        needs=packages.NETWORK | packages.PEERS,
        checks=True,
    ),
    "checks": Suite("ruff and mypy --strict", checks=True),
    "unit": Suite("what needs no root", ROOTLESS, "not root and not peer", coverage=True, checks=True),
    "fuzz": Suite("hostile input: every decoder, policy files, control lines", ("tests/fuzz", "tests/negative")),
    "netns": Suite(
        "ipsecd in network namespaces (root)", ("tests",), "root and not peer and not whole", packages.NETWORK
    ),
    "policies": Suite(
        "what passes for each action, peer and event, with at least 10,000 packets for each event (root)",
        ("tests/netns/test_policy_table.py",),
        needs=packages.NETWORK,
    ),
    "interop": Suite(
        "ipsecd with strongSwan, libreswan, a kernel with IPsec, tshark (root)",
        ("tests",),
        "peer",
        needs=packages.NETWORK | packages.PEERS,
    ),
}


def main() -> int:
    suite, arguments = _command_line()
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # where Debian keeps nft, for those whose su leaves it out
    packages.ensure(suite.needs)
    try:
        failed = [check for check in CHECKS if not _run("-m", *check)] if suite.checks else []
        passed = _pytest(suite, arguments) if suite.folders else True
    finally:
        _give_back()
    for check in failed:
        print(f"failed, see above: {' '.join(check)}", flush=True)
    return 0 if passed and not failed else 1


def _command_line() -> tuple[Suite, list[str]]:
    names = "\n".join(f"  {name:10}{suite.story}" for name, suite in SUITES.items())
    parser = argparse.ArgumentParser(
        prog="scripts/test",
        usage="%(prog)s [suite] [pytest arguments]",
        description=f"suites:\n{names}\n\nThe rest goes to pytest; a path replaces the suite's folders.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _, rest = parser.parse_known_args()
    name = rest.pop(0) if rest and rest[0] in SUITES else "all"
    if rest and not rest[0].startswith("-") and not _is_path(rest[0]):
        parser.error(f"no suite or path {rest[0]}")
    return SUITES[name], rest


def _is_path(argument: str) -> bool:
    """Whether it names tests for pytest: a folder, a file, or a test of a file."""
    return Path(argument.partition("::")[0]).exists()


def _pytest(suite: Suite, arguments: list[str]) -> bool:
    selects = any(map(_is_path, arguments))
    some = selects or any(argument.startswith(_SOME) for argument in arguments)
    options = ["-n", str(WORKERS), "--dist", "loadgroup"]
    if suite.marks:
        options += ["-m", suite.marks]
    if suite.coverage and not some:  # that of a few tests says nothing
        options += ["--cov", "--cov-report=term"]
    folders = [] if selects else [folder for folder in suite.folders if Path(folder).exists()]
    return _run("-m", "pytest", *options, *folders, *arguments)


def _run(*arguments: str) -> bool:
    print(f"$ python {' '.join(arguments)}", flush=True)
    start = time.monotonic()
    code = subprocess.run([sys.executable, *arguments], check=False).returncode
    if arguments[1] != "pytest":  # whose own last line says how long it took, and stays last
        print(f"  {'ok' if code == 0 else 'FAILED'} in {time.monotonic() - start:.1f} s", flush=True)
    return code == 0


def _give_back() -> None:
    """What root wrote into someone's checkout becomes theirs, so that their next run without root can write it too."""
    if os.geteuid() == 0 and Path().stat().st_uid != 0:
        written = [str(path) for path in map(Path, CACHES) if path.exists()]
        subprocess.run(["chown", "-R", "--reference=.", *written], check=True)


if __name__ == "__main__":
    sys.exit(main())
