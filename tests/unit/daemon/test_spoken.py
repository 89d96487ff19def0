"""Who has ever spoken IKEv2, after a restart too; where that isn't known, nobody is spoken to by IKEv1 instead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ipsecd import limits
from ipsecd.daemon.options import Options
from ipsecd.daemon.spoken import SpokenPeers
from ipsecd.daemon.v2_alone import v2_alone
from ipsecd.errors import KernelError
from ipsecd.ike.config import Hosts, IkeConfig, Peer, Version
from ipsecd.ike.v1.special import Special
from ipsecd.io.state_file import StateFile
from ipsecd.wire.identity import Identity
from ipsecd.wire.registry import IdType

BOTH = (Version.IKEV1, Version.IKEV2)


def unexpected() -> None:
    raise AssertionError("nothing is in doubt")


def spoken(folder: Path, doubted: Callable[[], None] = unexpected) -> SpokenPeers:
    """As after a start."""
    return SpokenPeers(Options(state=folder).spoken, doubted)


def told(folder: Path, *identities: str) -> list[str]:
    """Who is known after these have come."""

    async def main() -> list[str]:
        peers = spoken(folder)
        for each in identities:
            peers.add(each)
        await peers.close()
        return list(peers.known)

    return asyncio.run(main())


def test_who_has_spoken_is_known_after_a_restart_and_stands_one_a_line(tmp_path: Path) -> None:
    assert list(spoken(tmp_path).known) == []
    assert list(tmp_path.iterdir()) == []
    assert told(tmp_path, "gw.example", "192.0.2.1", "gw.example", 'C="x"') == ["gw.example", "192.0.2.1", 'C="x"']
    assert (tmp_path / "spoken.json").read_text() == '"gw.example"\n"192.0.2.1"\n"C=\\"x\\""\n'
    assert told(tmp_path, "two.example", "192.0.2.1") == ["gw.example", "192.0.2.1", 'C="x"', "two.example"]
    assert list(spoken(tmp_path).known) == ["gw.example", "192.0.2.1", 'C="x"', "two.example"]


def test_a_line_that_an_operator_takes_out_is_forgotten(tmp_path: Path) -> None:
    told(tmp_path, "a", "b", "c")
    (tmp_path / "spoken.json").write_text('"a"\n\n"c"')  # as editors leave it
    assert list(spoken(tmp_path).known) == ["a", "c"]
    told(tmp_path, "d")
    assert (tmp_path / "spoken.json").read_text() == '"a"\n"c"\n"d"\n'


def test_what_a_fault_of_the_machine_has_cut_off_counts_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "spoken.json").write_text('"a"\n"gw.exam')
    assert told(tmp_path, "b") == ["a", "b"]
    assert (tmp_path / "spoken.json").read_text() == '"a"\n"b"\n'


def test_those_that_come_while_the_disk_is_slow_are_written_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    append = StateFile.append
    monkeypatch.setattr(StateFile, "append", lambda file, text: (written.append(text), append(file, text)))
    told(tmp_path, "first")
    told(tmp_path, *map(str, range(100)))
    assert [text.count("\n") for text in written] == [1, 99]


@pytest.mark.parametrize("text", ["{}\n", "gw.example\n", '["a"]\n', "[" * 100_000 + "\n"])
def test_what_cant_be_read_leaves_everybody_in_doubt(tmp_path: Path, text: str) -> None:
    (tmp_path / "spoken.json").write_text(text)
    with capture_logs() as logs:
        peers = spoken(tmp_path)
    assert ([line["event"] for line in logs], bool(peers.doubt)) == (["spoken-not-known"], True)
    peers.add("gw.example")  # nothing is written over it
    assert (tmp_path / "spoken.json").read_text() == text


def test_more_than_can_be_remembered_leave_everybody_in_doubt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_SPOKEN", 2)
    doubts: list[str] = []

    async def main() -> None:
        peers = spoken(tmp_path, lambda: doubts.append(peers.doubt))
        for each in ("a", "b", "b", "c", "d"):
            peers.add(each)
        await peers.close()
        assert list(peers.known) == ["a", "b"]

    asyncio.run(main())
    assert doubts == ["more than 2 peers do"]


def test_a_disk_that_refuses_costs_a_line_and_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise KernelError("the disk is full")

    async def main() -> None:
        peers = spoken(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(StateFile, "save", refuse)
            peers.add("a")
            await peers.close()
        peers.add("b")
        await peers.close()

    with capture_logs() as logs:
        asyncio.run(main())
    assert logs == [{"event": "spoken-not-saved", "log_level": "warning", "reason": "the disk is full"}]
    assert list(spoken(tmp_path).known) == ["a", "b"]


def test_in_doubt_peers_that_may_speak_either_speak_ikev2() -> None:
    name = Identity(IdType.FQDN, b"gw")
    at = ip_address("192.0.2.1")
    peer = Peer("a", None, (at,), name, name, (), (), (), versions=BOTH, special=Special())
    old, new = replace(peer, versions=(Version.IKEV1,)), replace(peer, versions=(Version.IKEV2,), special=None)
    hosts = Hosts("h", None, None, (), (), (), versions=BOTH, special=Special())
    config = v2_alone(IkeConfig((peer, old, new), (hosts,)))
    assert config.peers == (new, old, new)
    assert config.hosts == (replace(hosts, versions=(Version.IKEV2,), special=None),)
