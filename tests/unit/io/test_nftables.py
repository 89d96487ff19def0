"""nft is a program that may say a lot, and that isn't waited for any longer than somebody wants to know."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from ipsecd.io import nftables
from ipsecd.io.nftables import Nftables

TALKATIVE = """
import fcntl, os, pathlib, time
os.chdir({folder!r})
fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20)  # more than asyncio reads for nobody
os.set_blocking(1, False)
pathlib.Path("runs").write_text("")
pathlib.Path("talk").read_text()
try:
    while True:
        os.write(1, bytes(1 << 16))
except BlockingIOError:
    pathlib.Path("full").write_text("")
time.sleep(1_000)
"""
TURNS = 100  # of the event loop: more than it takes to listen to a program that runs
PATIENCE = 30.0  # no measure of speed


def test_who_gives_up_on_a_long_listing_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nft"
    program.write_text(f"#!{sys.executable}\n" + TALKATIVE.format(folder=str(tmp_path)))
    program.chmod(0o755)
    runs, talk, full = (tmp_path / name for name in ("runs", "talk", "full"))
    for fifo in (runs, talk, full):
        os.mkfifo(fifo)
    monkeypatch.setattr(nftables, "_PATH", str(tmp_path))

    async def give_up() -> None:
        asking = asyncio.create_task(Nftables("ipsecd").counters())
        await asyncio.to_thread(runs.read_text)
        for _ in range(TURNS):
            await asyncio.sleep(0)
        talk.write_text("")
        full.read_text()  # the event loop stands still until there is all this to read
        asking.cancel()
        ended, _ = await asyncio.wait([asking], timeout=PATIENCE)
        assert ended

    asyncio.run(give_up())
