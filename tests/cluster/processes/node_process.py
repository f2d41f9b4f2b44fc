"""One `lsmkv serve` as a process: started, found by its greeting, and struck in every way.

    start -> greeting -> kill | terminate | pause, resume | wipe -> start again

Ports are any at the first start and the same at later ones, where they are free: the other nodes
and clients know them. What it writes goes into files, so nobody has to read along: `out` has the
greeting of the last start, `log` all that was logged since the first one.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lsmkv_cluster.config.endpoints import Endpoint, parse_endpoint
from tests.cluster.processes.waiting import wait_until

__all__ = ["Greeting", "NodeEndedError", "NodeProcess"]

LAUNCH = Path(__file__).with_name("launch.py")
ROOT = Path(__file__).resolve().parents[3]
ANY = Endpoint("127.0.0.1", 0)
FACES = {"resp": "listen", "cluster": "cluster-listen", "peer": "peer-listen", "http": "http"}
GREETING = re.compile(
    r"serves: clients (?P<resp>\S+), cluster clients (?P<cluster>\S+), nodes (?P<peer>\S+), "
    r"http (?P<http>\S+)"
)
IN_USE = "in use"  # as the system puts it


class NodeEndedError(AssertionError):
    """It was to serve."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """Where a node listens."""

    resp: Endpoint
    cluster: Endpoint
    peer: Endpoint
    http: Endpoint


class NodeProcess:
    """`settings` are arguments of `serve` that stay the same from start to start."""

    def __init__(self, name: str, folder: Path, settings: Sequence[str] = ()) -> None:
        self.name = name
        self.data = folder / name
        self.out = folder / f"{name}.out"
        self.log = folder / f"{name}.log"
        self.settings = list(settings)
        self.starts = 0
        self._arguments: tuple[str, ...] = ()
        self.is_paused = False
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: Greeting | None = None

    # --- starting

    def start(self, *arguments: str) -> None:
        """REQUIRES: it does not run. `arguments` are for this start alone."""
        assert not self.is_running, self.name
        self._arguments = arguments
        faces = [f"--{flag}={getattr(self._ports, face, ANY)}" for face, flag in FACES.items()]
        command = [sys.executable, "-P", str(LAUNCH), str(os.getpid()), "serve"]
        command += [f"--data={self.data}", f"--node-id={self.name}", *faces]
        command += [*self.settings, *arguments]
        with self.out.open("wb") as out, self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=_environment(), stdin=subprocess.DEVNULL,
                stdout=out, stderr=log,
            )  # fmt: skip
        self.starts += 1
        self.is_paused = False

    def look(self) -> Greeting | None:
        """Its greeting, once it serves. NodeEndedError if it has ended instead; but where somebody
        has taken its ports meanwhile it starts once more, at others."""
        found = GREETING.search(self.out.read_text(encoding="utf-8"))
        if found is not None:
            ends = {face: parse_endpoint(at) for face, at in found.groupdict().items()}
            self._ports = Greeting(**ends)
            return self._ports
        if self.is_running:
            return None
        if self._ports is None or IN_USE not in self.last_of_log(lines=3):
            raise NodeEndedError(f"{self.name} has ended:\n{self.last_of_log()}")
        self._ports = None
        self.start(*self._arguments)
        return None

    @property
    def at(self) -> Greeting:
        """REQUIRES: it has served."""
        assert self._ports is not None, self.name
        return self._ports

    # --- how it is

    @property
    def has_served(self) -> bool:
        return self._ports is not None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def status(self) -> int | None:
        return self._process.poll() if self._process is not None else None

    def memory_bytes(self) -> int:
        """That it holds now."""
        pages = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def last_of_log(self, lines: int = 40) -> str:
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-lines:])

    # --- what befalls it

    def kill(self) -> None:
        """Without warning; it is gone when this returns."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self.is_paused = False

    def terminate(self) -> None:
        """It is asked to end, and does so when it is ready."""
        if self.is_running:
            self.resume()
            os.kill(self.pid, signal.SIGTERM)

    def stop(self, deadline_s: float = 30.0) -> int:
        """The status with which it has ended."""
        self.terminate()
        wait_until(lambda: not self.is_running, f"{self.name} ends", deadline_s)
        assert self.status is not None
        return self.status

    def pause(self) -> None:
        if self.is_running:
            os.kill(self.pid, signal.SIGSTOP)
            self.is_paused = True

    def resume(self) -> None:
        if self.is_running:
            os.kill(self.pid, signal.SIGCONT)
        self.is_paused = False

    def wipe(self) -> None:
        """REQUIRES: it does not run. The disk with its data is a new one; who it is, it knows."""
        assert not self.is_running, self.name
        shutil.rmtree(self.data / "db", ignore_errors=True)


def _environment() -> dict[str, str]:
    """Without settings of daemons, which tests may have, and of how its output is buffered."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("LSMKV_") and name != "PYTHONUNBUFFERED"
    }
