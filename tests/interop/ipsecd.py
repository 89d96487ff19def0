"""An ipsecd in a gateway's namespace, with its policy, key, socket, state and log in a folder of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ipsecd.cli.client import Client
from ipsecd.cli.program import Failure
from tests.interop.waiting import eventually
from tests.netns.sites import Sites

IPSECD = Path(sys.executable).with_name("ipsecd")
IPSECCTL = Path(sys.executable).with_name("ipsecctl")


class Ipsecd:
    """Runs while it is entered. ``files`` are written into its folder first, ``policy.yaml`` among them, readable by
    their owner alone. Its log goes to a file there, or to the descriptor ``output``. ``without`` names offloads that it
    does without."""

    def __init__(
        self,
        sites: Sites,
        place: str,
        folder: Path,
        files: Mapping[str, str],
        *,
        output: int | None = None,
        without: Sequence[str] = (),
    ) -> None:
        self._sites, self._place, self._folder = sites, place, folder
        self._files, self._output, self._without = files, output, without
        self._log = folder / "log"
        self._control = folder / "control"

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True)
        for name, text in self._files.items():
            self.write(name, text)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.stop(signal.SIGTERM)

    def write(self, name: str, text: str) -> None:
        """Write a file of its folder; another policy counts from the next ``reload`` on."""
        path = self._folder / name
        path.parent.mkdir(exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(text)

    def start(self) -> None:
        """Start the daemon and wait until it answers."""
        options = {"--policy": self._folder / "policy.yaml", "--state-dir": self._folder / "state"}
        options["--control"] = self._control
        command = [IPSECD, "run", *(word for option in options.items() for word in option)]
        command += [word for name in self._without for word in ("--without", name)]
        with self._log.open("a") as log:
            output = log if self._output is None else self._output
            self._process = self._sites.popen(self._place, command, stdout=output, stderr=subprocess.STDOUT)
        eventually(lambda: self._process.poll() is not None or self._answers(), "ipsecd answers")
        if self._process.poll() is not None:
            raise RuntimeError(f"ipsecd ended with {self._process.returncode}:\n{self.log()}")

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self, number: int = signal.SIGKILL) -> int:
        """End the daemon: with SIGKILL the peer hears nothing of it; with SIGTERM it is told. Its exit code."""
        self._process.send_signal(number)
        return self._process.wait(30)

    def ctl(self, *words: str) -> Any:
        """What `ipsecctl WORDS --json` says."""
        return json.loads(self.show(*words, "--json"))

    def show(self, *words: str) -> str:
        """What `ipsecctl WORDS` prints."""
        command = [str(IPSECCTL), "--control", str(self._control), *words]
        done = subprocess.run(command, text=True, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"ipsecctl {' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """The same without the program, for asking often."""
        with Client(self._control) as client:
            return client.ask(command, **arguments)

    @contextmanager
    def asking(self) -> Iterator[Callable[[], object]]:
        """The same over one connection: the least there is to ask, each time it is called."""
        with Client(self._control) as client:
            yield lambda: client.ask("log-level")

    def children(self) -> list[dict[str, Any]]:
        """The child SAs that carry traffic."""
        sas: list[dict[str, Any]] = self.ask("sas")["sas"]
        return [child for sa in sas for child in sa["children"] if child["stage"] == "up"]

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def _answers(self) -> bool:
        return answers(self._control)


def answers(control: Path) -> bool:
    """Whether the daemon of this socket is ready."""
    try:
        with Client(control) as client:
            client.ask("status")
    except Failure:
        return False
    return True
