"""The demo shows what it promises, and leaves nothing behind, interrupted or not."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest

from tests.netns.session import left_behind, session

pytestmark = pytest.mark.root

DEMO = "scripts.tour"


def test_the_demo_shows_a_tunnel_and_leaves_nothing_behind() -> None:
    with session(DEMO) as process:
        told, _ = process.communicate()
        assert process.returncode == 0, told
        assert left_behind(process) == []
    assert "$ ping -n -c 5 -i 0.2 -W 10 10.2.0.2    # on host A\n" in told
    assert told.count(" 0% packet loss") == 2
    assert re.search(r"^A \| .*IKE SA established", told, re.MULTILINE)
    assert re.search(r"^B \| .*child SA established", told, re.MULTILINE)
    assert re.search(r"^ +20  ESP in UDP$", told, re.MULTILINE)
    assert re.search(r"^ +0  in clear$", told, re.MULTILINE)
    assert re.search(r"^ +to-b +up ", told, re.MULTILINE)
    assert re.search(r"^ +to-a +up ", told, re.MULTILINE)
    assert re.search(r"^ to-b/1 +up .* tunnel, ESP ", told, re.MULTILINE)
    assert re.search(r"^ +\d+ Mbit/s: one TCP stream", told, re.MULTILINE)


@pytest.mark.parametrize(
    ("tour", "crossed", "rule", "form"),
    [("transport", "ESP", "servers", "ESP"), ("ah-esp", "AH", "vault", "AH around ESP")],
)
def test_two_hosts_may_be_shown_instead(tour: str, crossed: str, rule: str, form: str) -> None:
    with session(DEMO, tour) as process:
        told, _ = process.communicate()
        assert process.returncode == 0, told
        assert left_behind(process) == []
    assert "$ ping -n -c 5 -i 0.2 -W 10 192.0.2.2    # on host A\n" in told
    assert told.count(" 0% packet loss") == 2
    assert re.search(rf"^ +20  {crossed} in UDP$", told, re.MULTILINE)
    assert re.search(r"^ +0  in clear$", told, re.MULTILINE)
    assert len(re.findall(rf"^ +{rule} +up ", told, re.MULTILINE)) == 2
    assert re.search(rf"^ {rule}/1\S+ +up .* transport, {form} ", told, re.MULTILINE)
    assert re.search(r"^ +\d+ Mbit/s: one TCP stream", told, re.MULTILINE)


@pytest.mark.parametrize("moment", ["Two sites", "A \\|", "established", "Throughput", "Stopping"])
def test_an_interrupted_demo_leaves_nothing_behind(moment: str) -> None:
    """Ctrl-C reaches everything in the terminal's foreground: the demo, its daemons, whatever runs just then."""
    with session(DEMO) as process:
        assert process.stdout is not None
        assert any(re.search(moment, line) for line in process.stdout)
        os.killpg(process.pid, signal.SIGINT)
        told = process.stdout.read()
        assert process.wait() == 130, told
        assert left_behind(process) == []
    assert "Traceback" not in told


def test_a_process_that_nobody_holds_yet_ends_with_the_demo() -> None:
    """The interruption may come before Popen has told whom it started, and before that one can hear a signal."""
    text = """
import os, subprocess
from scripts import interruption
lost = os.posix_spawnp("sleep", ["sleep", "1000"], os.environ)
interruption.end_what_was_starting()
print(os.path.exists(f"/proc/{lost}"))
"""
    assert subprocess.check_output([sys.executable, "-c", text], text=True) == "False\n"
