"""Every drop has a name, and the names are all used."""

from __future__ import annotations

import re
from pathlib import Path

import ipsecd
from ipsecd.dataplane.tally import DROPS, Tally
from ipsecd.ipsec.reassembly import Loss
from ipsecd.ipsec.replay import Verdict

ROOT = Path(ipsecd.__file__).parent
RAISED = re.compile(r'(?:Refused|PeerError|WireError)\(\s*"([a-z0-9-]+)"')
OTHER = re.compile(
    r'drops\["([a-z0-9-]+)"\]|drop="([a-z0-9-]+)"|"(queue-overflow|unknown-spi|runt|bad-icv|bad-padding)"'
)


def test_every_reason_in_the_code_is_explained_and_every_explained_reason_is_in_the_code() -> None:
    used = {verdict.value for verdict in Verdict if verdict is not Verdict.FRESH} | {loss.value for loss in Loss}
    for path in (*ROOT.glob("ipsec/*.py"), *ROOT.glob("dataplane/*.py"), ROOT / "crypto" / "sealing.py"):
        if path.name not in {"tally.py", "sending.py", "codec.py"} and not path.name.startswith("process"):
            text = path.read_text()
            used |= set(RAISED.findall(text)) | {name for found in OTHER.findall(text) for name in found if name}
    assert used == set(DROPS)


def test_a_tally_starts_empty() -> None:
    tally = Tally()
    assert not (tally.drops)
    assert not (tally.paths)
    assert not (tally.entries)
