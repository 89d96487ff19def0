"""An ipsecd in a gateway's namespace, with its policy, key, socket, state and log in a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.interop.waiting import eventually
from tests.netns.sites import Sites

IPSECD = Path(sys.executable).with_name("ipsecd")
IPSECCTL = Path(sys.executable).with_name("ipsecctl")


class Gateway:
    """Runs while it is entered. ``keys`` are the pre-shared keys by the file name that the policy gives them."""

    def __init__(
        self, sites: Sites, place: str, folder: Path, policy: Mapping[str, Any], keys: Mapping[str, str]
    ) -> None:
        self._sites, self._place, self._folder = sites, place, folder
        self._policy, self._keys = policy, keys
        self._log = folder / "log"
        self._control = folder / "control"

    def __enter__(self) -> Self:
        self._folder.mkdir()
        for name, key in self._keys.items():
            path = self._folder / name
            path.touch(mode=0o600)
            path.write_text(key)
        self.write(self._policy)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.stop(signal.SIGTERM)

    def write(self, policy: Mapping[str, Any]) -> None:
        """Put another policy into the file; ``reload`` makes it count."""
        (self._folder / "policy.yaml").write_text(yaml.safe_dump(dict(policy), sort_keys=False))

    def start(self) -> None:
        """Start the daemon and wait until it answers."""
        command = [IPSECD, "run", "--policy", self._folder / "policy.yaml", "--state-dir", self._folder / "state"]
        with self._log.open("a") as output:
            self._process = self._sites.popen(
                self._place, [*command, "--control", self._control], stdout=output, stderr=subprocess.STDOUT
            )
        eventually(lambda: self._process.poll() is not None or self._answers(), "ipsecd answers")
        if self._process.poll() is not None:
            raise RuntimeError(f"ipsecd ended with {self._process.returncode}:\n{self.log()}")

    def stop(self, number: int = signal.SIGKILL) -> None:
        """End the daemon: with SIGKILL the peer hears nothing of it; with SIGTERM it is told."""
        self._process.send_signal(number)
        self._process.wait(30)

    def ctl(self, *words: str) -> Any:
        """What `ipsecctl WORDS --json` prints."""
        command = [str(IPSECCTL), "--control", str(self._control), "--json", *words]
        done = subprocess.run(command, text=True, capture_output=True, check=False, env=os.environ)
        if done.returncode:
            raise RuntimeError(f"ipsecctl {' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    def children(self) -> list[dict[str, Any]]:
        """The child SAs that carry traffic."""
        sas: list[dict[str, Any]] = self.ctl("sas")["sas"]
        return [child for sa in sas for child in sa["children"] if child["stage"] == "installed"]

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def _answers(self) -> bool:
        try:
            self.ctl("status")
        except RuntimeError:
            return False
        return True
