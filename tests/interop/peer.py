"""What every other implementation of IKE can be asked for, whoever made it."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self


class Peer(ABC):
    """A daemon with its files in ``folder``, told of one connection with one child. It runs while it is entered."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Self:
        self._folder.mkdir()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill(signal.SIGTERM)

    @abstractmethod
    def start(self) -> None:
        """Start it and tell it of the connection."""

    @abstractmethod
    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it: with SIGKILL the other side hears nothing of it; with SIGTERM it is told."""

    @abstractmethod
    def initiate(self) -> None:
        """Set the connection up, with its child; raises with its reason if it can't."""

    @abstractmethod
    def terminate(self) -> None:
        """Delete the IKE SA with its child, and tell."""

    @abstractmethod
    def rekey(self, what: str) -> None:
        """Have another IKE SA (``ike``) or ``child``."""

    @abstractmethod
    def log(self) -> str:
        """What it has written down so far."""
