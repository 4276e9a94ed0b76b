"""The systems measured: how each is started for a setting, and how it is loaded."""

import json
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from driver.processes import Children, RunFailed, free_port, listens
from driver.settings import FIGURES, Setting

SLACK_SECONDS = 30.0  # What a load program may take beyond warm-up and measured time.
KEPT = (
    *("rate_per_s", "bytes_per_s", "messages_per_s"),
    *("p50_us", "p99_us", "p999_us", "max_us", "errors", "calls", "missed"),
)


@dataclass(frozen=True)
class Method:
    """How long each measurement takes."""

    rounds: int
    warmup_s: float
    time_s: float


def figures_of(output: str, setting: Setting) -> dict[str, float]:
    """The figures to keep of what a load program printed; the histogram is not stored."""
    try:
        result = json.loads(output)
        figures = {name: result[name] for name in KEPT if name in result}
    except (json.JSONDecodeError, TypeError) as error:
        raise RunFailed(f"the load program's output is no JSON object: {error}") from None
    if setting.kind == "publish" and "rate_per_s" in figures:
        figures.setdefault("bytes_per_s", figures["rate_per_s"] * setting.size)
    missing = {*FIGURES[setting.kind], "errors"} - figures.keys()
    if missing:
        raise RunFailed(f"the load program's result lacks {', '.join(sorted(missing))}")
    return figures


def calls_of(output: str) -> int:
    """Every call a load program made, warm-up included where it has one; of bulk, its messages."""
    result = json.loads(output)
    for name in ("calls_in_all", "calls", "messages"):
        if name in result:
            return int(result[name])
    raise RunFailed("the load program does not say how many calls it made")


class System:
    """Something to load. `serve` starts it; `load` is one measurement against it."""

    name = ""

    def __init__(self, build: Path):
        self._programs = build / "bench"
        self._bin = build / "bin"

    def missing(self) -> str:
        """Why this system cannot be measured here; empty when it can."""
        raise NotImplementedError

    def can(self, setting: Setting) -> bool:
        """Whether the system has this transport and does this."""
        return setting.kind == "call"

    def version(self) -> str:
        """Empty when the tree's own commit says it."""
        return ""

    def address(self, setting: Setting, scratch: Path) -> str:
        """A free port, or a socket file."""
        return str(scratch / "s.sock") if setting.transport == "unix" else str(free_port())

    def serve(
        self, children: Children, setting: Setting, address: str, wrap: tuple[str, ...] = ()
    ) -> subprocess.Popen:
        """Starts everything that answers and returns the relay; `wrap` goes before its command."""
        raise NotImplementedError

    def load_command(self, setting: Setting, address: str, method: Method) -> list[str | Path]:
        """The load program's command."""
        raise NotImplementedError

    def load(self, children: Children, setting: Setting, address: str, method: Method) -> dict:
        """Warms up, measures, and returns the figures."""
        seconds = method.warmup_s + method.time_s + SLACK_SECONDS
        command = self.load_command(setting, address, method)
        return figures_of(children.output(command, seconds), setting)

    def _load_options(self, setting: Setting, method: Method) -> list[str]:
        return [
            f"--connections={setting.connections}",
            f"--depth={setting.depth}",
            f"--size={setting.size}",
            f"--time={method.time_s:g}",
        ]

    def _own_load(self, program: str, url: str, setting: Setting, method: Method) -> list:
        words = [word for option in self._load_options(setting, method) for word in option.split("=")]
        return [self._programs / program, "--url", url, "--warmup", f"{method.warmup_s:g}", *words]

    def program(self, name: str) -> Path:
        """A program of this folder."""
        return self._programs / name

    def not_built(self, *names: str) -> str:
        """Which of these programs are missing, as a reason; empty when none is."""
        absent = [name for name in names if not (self._programs / name).exists()]
        return f"{', '.join(absent)} not built (ninja bench-programs)" if absent else ""


class Floor(System):
    name = "floor"

    def missing(self) -> str:
        return self.not_built(
            "relay_floor", "relay_floor_echo", "relay_floor_load", "bandwidth_floor"
        )

    def can(self, setting: Setting) -> bool:
        return setting.kind in ("call", "stream")

    def serve(self, children, setting, address, wrap=()):
        if setting.kind == "stream":
            return None  # The load program starts both of its other ends.
        url = self._url(setting, address)
        relay = children.start_until_line([*wrap, self._programs / "relay_floor", "--url", url])
        children.start_until_line([self._programs / "relay_floor_echo", "--url", url])
        return relay

    def load_command(self, setting, address, method):
        program = "bandwidth_floor" if setting.kind == "stream" else "relay_floor_load"
        return self._own_load(program, self._url(setting, address), setting, method)

    @staticmethod
    def _url(setting: Setting, address: str) -> str:
        return f"unix://{address}" if setting.transport == "unix" else f"tcp://127.0.0.1:{address}"


class Nats(System):
    name = "nats"

    def missing(self) -> str:
        if shutil.which("nats-server") is None:
            return "nats-server is not installed"
        return self.not_built("nats_requester", "nats_responder", "nats_publish")

    def can(self, setting: Setting) -> bool:
        # nats-server has no Unix sockets.
        return setting.transport == "tcp" and setting.kind in ("call", "publish")

    def version(self) -> str:
        return first_line(["nats-server", "--version"]).removeprefix("nats-server: v")

    def serve(self, children, setting, address, wrap=()):
        server = children.start([*wrap, "nats-server", "-a", "127.0.0.1", "-p", address])
        children.await_ready(server, lambda: listens("tcp", address))
        if setting.kind == "publish":
            return server
        children.start_until_line(
            [self._programs / "nats_responder", "--url", f"tcp://127.0.0.1:{address}"]
        )
        return server

    def load_command(self, setting, address, method):
        program = "nats_publish" if setting.kind == "publish" else "nats_requester"
        return self._own_load(program, f"tcp://127.0.0.1:{address}", setting, method)


class Redis(System):
    name = "redis"

    def missing(self) -> str:
        if shutil.which("redis-server") is None:
            return "redis-server is not installed"
        return self.not_built("redis_publish")

    def can(self, setting: Setting) -> bool:
        return setting.kind == "publish"

    def version(self) -> str:
        words = dict(word.split("=", 1) for word in self._says().split() if "=" in word)
        return words.get("v", "unknown")

    def serve(self, children, setting, address, wrap=()):
        tcp = setting.transport == "tcp"
        where = ["--port", address] if tcp else ["--port", "0", "--unixsocket", address]
        server = children.start(
            [*wrap, "redis-server", "--bind", "127.0.0.1", *where, "--save", "", "--appendonly", "no"]
        )
        children.await_ready(server, lambda: listens(setting.transport, address))
        return server

    def load_command(self, setting, address, method):
        scheme = "unix://" if setting.transport == "unix" else "tcp://127.0.0.1:"
        return self._own_load("redis_publish", f"{scheme}{address}", setting, method)

    @staticmethod
    def _says() -> str:
        return first_line(["redis-server", "--version"])


class Direct(System):
    """One hop of the bandwidth floor, to show beside its two."""

    name = "direct"

    def missing(self) -> str:
        return self.not_built("bandwidth_floor")

    def can(self, setting: Setting) -> bool:
        return setting.kind == "stream"

    def serve(self, children, setting, address, wrap=()):
        return None

    def load_command(self, setting, address, method):
        scheme = "unix://" if setting.transport == "unix" else "tcp://127.0.0.1:"
        one_hop = replace(setting, connections=1)
        return self._own_load("bandwidth_floor", f"{scheme}{address}", one_hop, method)


class Grpc(System):
    name = "grpc"

    def missing(self) -> str:
        return self.not_built("grpc_server", "grpc_client")

    def version(self) -> str:
        return first_line(["pkg-config", "--modversion", "grpc++"])

    def serve(self, children, setting, address, wrap=()):
        return children.start_until_line(
            [*wrap, self._programs / "grpc_server", "--url", self._url(setting, address)]
        )

    def load_command(self, setting, address, method):
        return self._own_load("grpc_client", self._url(setting, address), setting, method)

    @staticmethod
    def _url(setting: Setting, address: str) -> str:
        return f"unix://{address}" if setting.transport == "unix" else f"127.0.0.1:{address}"


class Ours(System):
    name = "ours"

    TARGET = "bench.Echo/Run"

    def can(self, setting: Setting) -> bool:
        built = (self._programs / "valkyrie_publish").exists()
        return setting.kind in ("call", "stream") or (setting.kind == "publish" and built)

    def missing(self) -> str:
        for program in ("valkyrie-server", "valkyrie"):
            if not (self._bin / program).exists():
                return f"{self._bin.name}/{program} is not built"
        return ""

    def version(self) -> str:
        return first_line([str(self._bin / "valkyrie"), "version"]).removeprefix("valkyrie ")

    def serve(self, children, setting, address, wrap=()):
        node = self.url(setting, address)
        server = children.start(
            [*wrap, self._bin / "valkyrie-server", "--listen", node, "--ephemeral", "--shards", "1"]
        )
        children.await_ready(server, lambda: listens(setting.transport, address))
        if setting.kind != "call":
            return server  # The load program has both of the other ends.
        service = children.start(
            [self._bin / "valkyrie", "serve", "bench.Echo", "--echo", "--node", node]
        )
        call = [self._bin / "valkyrie", "call", self.TARGET, "x", "--node", node]

        def answers() -> bool:
            try:
                children.output(call, SLACK_SECONDS)
            except RunFailed:
                return False
            return True

        children.await_ready(service, answers)
        return server

    def load_command(self, setting, address, method):
        node = self.url(setting, address)
        if setting.kind == "publish":
            return self._own_load("valkyrie_publish", node, setting, method)
        if setting.kind == "stream":
            return [
                self._bin / "valkyrie",
                *("bench", "stream", "-o", "json", "--node", node, f"--size={setting.size}"),
                *(f"--warmup={method.warmup_s:g}", f"--time={method.time_s:g}"),
            ]
        options = [word for item in self._load_options(setting, method) for word in item.split("=")]
        return [
            self._bin / "valkyrie",
            *("bench", "call", self.TARGET, "-o", "json", *options, "--node", node),
        ]

    def load(self, children, setting, address, method):
        if setting.kind != "call":
            return super().load(children, setting, address, method)
        # `bench call` measures from its first call on: a run of its own warms node and service.
        warmup = Method(1, 0.0, method.warmup_s)
        children.output(
            self.load_command(setting, address, warmup), method.warmup_s + SLACK_SECONDS
        )
        return super().load(children, setting, address, method)

    @staticmethod
    def url(setting: Setting, address: str) -> str:
        """Where the node listens."""
        scheme = "unix://" if setting.transport == "unix" else "valkyrie://127.0.0.1:"
        return f"{scheme}{address}"


def first_line(argv: list[str]) -> str:
    """What a program says first; `unknown` when it cannot be asked."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0] if lines else "unknown"


def all_systems(build: Path) -> list[System]:
    return [Ours(build), Floor(build), Nats(build), Redis(build), Grpc(build), Direct(build)]
