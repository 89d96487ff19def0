"""What holds for every test: nothing is skipped, and what a test needs is asked for by its marks."""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from collections.abc import Generator

import pytest
from hypothesis import is_hypothesis_test, settings

from scripts import packages

# No deadline: a slow machine isn't a wrong answer. The seed of a failure is printed with it.
settings.register_profile("commit", deadline=None, max_examples=100, print_blob=True)
settings.register_profile("long", deadline=None, max_examples=5_000, print_blob=True)
settings.load_profile(os.environ.get("IPSECD_PROFILE", "commit"))


def pytest_configure() -> None:
    """In the background of a shell SIGINT is ignored, and what a test starts would ignore it too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the network run first, side by side: they mostly wait, each in namespaces of its own."""
    items.sort(key=lambda item: item.get_closest_marker("root") is None)
    for item in items:
        if is_hypothesis_test(getattr(item, "obj", None)):
            # An exception would be an answer like others to Hypothesis, which would look for more of its kind.
            item.add_marker(pytest.mark.timeout(method="thread"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.fail("needs root: sudo scripts/test", pytrace=False)
    needs = {}
    if item.get_closest_marker("root"):
        needs |= packages.NETWORK
    if item.get_closest_marker("peer"):
        needs |= packages.PEERS
    if absent := packages.missing(needs):
        pytest.fail(packages.advice(absent), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that skips itself proves nothing: it fails."""
    report = yield
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} skipped itself: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Where the time goes, by folder."""
    seconds: dict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds["/".join(report.nodeid.partition("::")[0].split("/")[:2])] += report.duration
    terminalreporter.section("seconds by folder")
    for folder, spent in sorted(seconds.items(), key=lambda pair: -pair[1]):
        terminalreporter.write_line(f"{spent:8.1f}  {folder}")


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemons of this test carry packets themselves: for those that are about the negotiation alone, as processes
    cost half a second of processor time for each daemon."""
    monkeypatch.setenv("IPSECD_DATA_PLANE", "inline")
