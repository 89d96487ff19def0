"""scripts/test: what of its words goes to pytest, and what is nonsense."""

from __future__ import annotations

import pytest

from scripts import packages, suites


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The commands that would be run."""
    commands: list[tuple[str, ...]] = []

    def run(*arguments: str) -> bool:
        commands.append(arguments)
        return True

    monkeypatch.setattr(suites, "_run", run)
    monkeypatch.setattr(suites, "_give_back", lambda: None)
    monkeypatch.setattr(packages, "ensure", lambda _: None)
    return commands


def start(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["scripts/test", *words])
    return suites.main()


@pytest.mark.parametrize(
    ("words", "covered"),
    [
        ((), False),
        (("unit",), True),
        (("unit", "-x"), True),
        (("unit", "-k", "replay"), False),
        (("unit", "-kreplay"), False),
        (("unit", "tests/unit/wire"), False),
        (("tests/unit/test_suites.py::test_a_word",), False),
        (("fuzz",), False),
    ],
)
def test_coverage_is_told_of_all_that_needs_no_root_alone(
    monkeypatch: pytest.MonkeyPatch, ran: list[tuple[str, ...]], words: tuple[str, ...], covered: bool
) -> None:
    assert start(monkeypatch, *words) == 0
    assert ("--cov" in ran[-1]) is covered
    assert ran[-1][:2] == ("-m", "pytest")


@pytest.mark.parametrize("words", [("foo",), ("unit", "foo"), ("foo", "unit"), ("tests/nothing.py::test",)])
def test_a_word_that_is_no_suite_and_no_path_ends_it_at_once(
    monkeypatch: pytest.MonkeyPatch, ran: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str], words: tuple[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        start(monkeypatch, *words)
    wrong = next(word for word in words if word != "unit")
    assert f"error: no suite or path {wrong}\n" in capsys.readouterr().err
    assert ran == []
