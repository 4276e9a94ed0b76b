"""Children of the driver, none of which outlives it."""

import ctypes
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

STOP_SECONDS = 5.0  # From TERM to KILL.
READY_SECONDS = 15.0  # From the start to being ready.
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class RunFailed(Exception):
    """One measurement could not be made; the message is one line for the table."""


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def exit_on_signals() -> None:
    """Turns the signals that end a program into SystemExit, so that every `with` is left."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, leave)


def free_port() -> int:
    """A loopback TCP port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Children:
    """Processes that serve one measurement. Leaving the block stops them, last one first; a driver
    killed with SIGKILL takes them along."""

    def __init__(self, scratch: Path, environment: dict[str, str] | None = None):
        self._scratch = scratch
        self._environment = {**os.environ, **(environment or {})}
        self._started: list[subprocess.Popen] = []

    def __enter__(self) -> "Children":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._started:
            self._stop(self._started.pop())

    def start(self, argv: list[str | Path], talks: bool = False) -> subprocess.Popen:
        """Starts a process in a group of its own, its output in a file of the scratch folder; only
        its errors if it `talks`: then its standard input and output are pipes."""
        name = f"{len(self._started)}-{Path(argv[0]).name}"
        with open(self._scratch / f"{name}.log", "wb") as log:
            child = subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else log,
                stderr=log if talks else subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        child.log = self._scratch / f"{name}.log"  # type: ignore[attr-defined]
        self._started.append(child)
        return child

    def await_ready(self, child: subprocess.Popen, ready) -> None:
        """Waits until `ready()` is true. A child that ends first, or too long a wait, is a
        RunFailed with the child's last line."""
        deadline = time.monotonic() + READY_SECONDS
        while not ready():
            if child.poll() is not None or time.monotonic() > deadline:
                state = "ended" if child.poll() is not None else "is not ready"
                raise RunFailed(f"{Path(child.args[0]).name} {state}: {last_line(child.log)}")
            time.sleep(0.01)

    def start_until_line(self, argv: list[str | Path]) -> subprocess.Popen:
        """Starts a program of ours, which says `ready` once it serves."""
        child = self.start(argv)
        self.await_ready(child, lambda: "ready" in child.log.read_text().splitlines())
        return child

    def output(self, argv: list[str | Path], seconds: float) -> str:
        """Runs a process to its end and returns its standard output."""
        child = subprocess.Popen(
            [str(word) for word in argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        self._started.append(child)
        name = Path(argv[0]).name
        try:
            out, errors = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise RunFailed(f"{name} did not end within {seconds:g} s") from None
        self._started.remove(child)
        if child.returncode != 0:
            said = (errors.strip() or out.strip() or "nothing").splitlines()[-1]
            raise RunFailed(f"{name} ended with {child.returncode}: {said}")
        return out

    @staticmethod
    def _stop(child: subprocess.Popen) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(child.pid, number)
            except ProcessLookupError:
                pass
            try:
                child.wait(STOP_SECONDS)
                break
            except subprocess.TimeoutExpired:
                continue
        try:
            os.killpg(child.pid, signal.SIGKILL)  # What the leader of the group left behind.
        except ProcessLookupError:
            pass
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()


def listens(transport: str, address: str) -> bool:
    """True when a connection to 127.0.0.1:`address` or to the socket file `address` is taken."""
    family = socket.AF_UNIX if transport == "unix" else socket.AF_INET
    with socket.socket(family) as probe:
        try:
            probe.connect(address if transport == "unix" else ("127.0.0.1", int(address)))
        except OSError:
            return False
    return True


def last_line(log: Path) -> str:
    """The last line a process wrote; a remark when it wrote nothing."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
