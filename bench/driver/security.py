"""What channels cost: in memory beside the library, and through a node beside the plain floor."""

import json
import time
from pathlib import Path
from statistics import median

from driver.certificates import make_certificates
from driver.connections import Load, user_bytes
from driver.processes import Children, RunFailed, free_port, listens
from driver.settings import Setting
from driver.systems import Floor, Method, Ours

SUITES = ("noise-aes", "noise-chacha", "tls")
CHANNELS = ("noise", "tls")
SLACK_SECONDS = 30.0
SETTLE_SECONDS = 1.0
# Sessions of the first batch pay for tables and pools, the second ones are counted.
IDLE_SESSIONS = (500, 2500)
HANDSHAKES_PER_S = 1000.0

SETTINGS = (Setting("1", "tcp", 1, 1), Setting("512", "tcp", 1, 512))


class Sealed(Ours):
    """A node whose caller and service come through channels; one that has `files` for TLS."""

    def __init__(self, build: Path, channel: str, files: Path):
        super().__init__(build)
        self.name = channel
        self.channel = channel
        self.files = files
        self.node = ""
        self.key = ""

    @property
    def environment(self) -> dict[str, str]:
        return {
            "VALKYRIE_TLS_CA": str(self.files / "ca.crt"),
            "VALKYRIE_TLS_CERTIFICATE": str(self.files / "client.crt"),
            "VALKYRIE_TLS_KEY": str(self.files / "client.key"),
        }

    def start_node(self, children: Children, address: str) -> None:
        """The node alone; its process is `server` and its address `node`."""
        command = [self._bin / "valkyrie-server", "--ephemeral", "--shards", "1", "--print-doors"]
        command += ["--log-level", "warn", "--listen", f"{self.channel}://127.0.0.1:{address}"]
        if self.channel == "tls":
            for setting in ("certificate=node.crt", "key=node.key", "client_ca=ca.crt"):
                name, file = setting.split("=")
                command += ["--set", f"tls.{name}={self.files / file}"]
        self.server = children.start(command)
        children.await_ready(self.server, lambda: '"doors"' in self.server.log.read_text())
        said = next(line for line in self.server.log.read_text().splitlines() if "doors" in line)
        self.node = json.loads(said)["doors"][0]["url"]
        self.key = self.node.partition("?key=")[2]

    def load_words(self, scheme: str, address: str) -> list[str]:
        """What load programs are told; they have schemes of their own."""
        channel = f"noise:{self.key}" if self.channel == "noise" else f"tls:{self.files}"
        return ["--channel", channel, "--url", f"{scheme}://127.0.0.1:{address}"]

    def serve(self, children, setting, address, wrap=()):
        self.start_node(children, address)
        command = [self._bin / "valkyrie", "serve", "bench.Echo", "--echo", "--node", self.node]
        service = children.start(command)
        children.await_ready(service, lambda: "serving" in service.log.read_text())
        return self.server

    def url(self, setting, address):
        return self.node


def scratch(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    return made


class Run:
    """One round after the other; each measurement has processes of its own."""

    def __init__(self, build: Path, folder: Path, time_s: float):
        self.build = build
        self.folder = folder
        self.files = scratch(folder, "files")
        self.method = Method(1, min(1.0, time_s), time_s)
        self.count = 0
        make_certificates(self.files)

    def children(self, system: Ours | None = None) -> Children:
        self.count += 1
        environment = system.environment if isinstance(system, Sealed) else {}
        return Children(scratch(self.folder, str(self.count)), environment)

    def system(self, name: str) -> Ours | Floor:
        if name == "floor":
            return Floor(self.build)
        return Ours(self.build) if name == "plain" else Sealed(self.build, name, self.files)

    def in_memory(self, what: str, suite: str) -> dict:
        """Ours and the library's, in turns in one process."""
        program = self.build / "bench/channel_cost"
        command = [program, "--suite", suite, "--what", what, "--files", self.files]
        with self.children() as children:
            seconds = self.method.time_s + SLACK_SECONDS
            return json.loads(
                children.output([*command, "--time", f"{self.method.time_s:g}"], seconds)
            )

    def calls(self, name: str, setting: Setting) -> dict:
        """Routed calls of 64 bytes, both hops by the same channel."""
        system = self.system(name)
        with self.children(system) as children:
            address = system.address(setting, self.folder)
            system.serve(children, setting, address)
            figures = system.load(children, setting, address, self.method)
        if figures["errors"]:
            raise RunFailed(f"{name}: {figures['errors']} calls failed")
        return figures

    def idle_bytes(self, name: str) -> float:
        """What the node's own memory grows by for a session that does nothing."""
        system = self.system(name)
        program = self.build / "bench/connection_load"
        with self.children(system) as children:
            address = str(free_port())
            system.start_node(children, address)
            words = system.load_words("valkyrie", address)
            sizes = []
            for count in IDLE_SESSIONS:
                load = Load(children, [program, *words, "--count", str(count)])
                load.answer(120.0)
                time.sleep(SETTLE_SECONDS)
                sizes.append(user_bytes(system.server.pid))
        return (sizes[1] - sizes[0]) / IDLE_SESSIONS[1]

    def beside_handshakes(self, name: str) -> dict:
        """A session's calls to the node, one at a time, alone and beside handshakes of others, which
        are made when a core is idle: on a machine of few cores the caller would wait for them."""
        system = self.system(name)
        with self.children(system) as children:
            address = str(free_port())
            system.start_node(children, address)
            call = [self.build / "bin/valkyrie", "bench", "call", "valkyrie.Node/Echo", "-o", "json"]
            call += ["--depth=1", f"--time={self.method.time_s:g}", "--node", system.node]
            seconds = self.method.time_s + SLACK_SECONDS
            alone = json.loads(children.output(call, seconds))
            words = system.load_words("tcp", address)
            load = [self.build / "bench/handshake_load", *words, "--rate", f"{HANDSHAKES_PER_S:g}"]
            others = children.start(["chrt", "--idle", "0", *load], talks=True)
            if others.stdout.readline() != b"ready\n":
                raise RunFailed(f"handshake_load: {others.log.read_text()}")
            beside = json.loads(children.output(call, seconds))
            others.stdin.close()
            counted = json.loads(others.stdout.readline())
        if alone["errors"] or beside["errors"] or counted["failed"]:
            raise RunFailed(f"{name}: {counted['failed']} handshakes failed, or calls did")
        return {
            "alone_p99_us": alone["p99_us"],
            "beside_p99_us": beside["p99_us"],
            "handshakes_per_s": counted["sessions"] / counted["seconds"],
        }

    def round(self) -> dict:
        """Everything once."""
        return {
            "handshake": {suite: self.in_memory("handshake", suite) for suite in SUITES},
            "bulk": {suite: self.in_memory("bulk", suite) for suite in SUITES},
            "calls": {
                setting.name: {
                    name: self.calls(name, setting) for name in ("floor", "plain", *CHANNELS)
                }
                for setting in SETTINGS
            },
            "idle_bytes": {name: self.idle_bytes(name) for name in CHANNELS},
            "beside_handshakes": {name: self.beside_handshakes(name) for name in CHANNELS},
        }


class Table:
    """Lines of figures, medians of the rounds, with what was to be reached."""

    def __init__(self, rounds: list[dict]):
        self.rounds = rounds
        self.lines: list[str] = []

    def middle(self, figure) -> float:
        return median(figure(each) for each in self.rounds)

    def add(self, what: str, text: str, *targets: tuple[str, bool]) -> None:
        verdicts = ", ".join(f"{name} {'met' if met else 'NOT met'}" for name, met in targets)
        self.lines.append(f"{what:<34} {text:<50} {verdicts}".rstrip())

    def handshakes(self, suite: str) -> None:
        def of(side: str, name: str) -> float:
            return self.middle(lambda each: each["handshake"][suite][side][name])

        def ratio(each: dict) -> float:
            both = each["handshake"][suite]
            return both["ours"]["p50_us"] / both["library"]["p50_us"]

        p99, share = of("ours", "p99_us"), self.middle(ratio)
        text = f"p50 {of('ours', 'p50_us'):.0f} us, p99 {p99:.0f} us, {share:.2f}x the library"
        targets = ("p99 < 2 ms", p99 < 2000), ("<= 1.3x", share <= 1.3)
        self.add(f"handshake, {suite}", text, *targets)

    def bulk(self, suite: str, way: str) -> None:
        name = f"{way}_gbit_per_s"

        def ratio(each: dict) -> float:
            return each["bulk"][suite]["ours"][name] / each["bulk"][suite]["library"][name]

        rate = self.middle(lambda each: each["bulk"][suite]["ours"][name])
        share = self.middle(ratio)
        targets = (">= 5", rate >= 5), (">= 0.7x", share >= 0.7)
        self.add(f"{way}, {suite}", f"{rate:.1f} Gbit/s, {share:.2f}x the AEAD", *targets)

    def one_call(self, name: str) -> None:
        def ratio(each: dict) -> float:
            return each["calls"]["1"][name]["p50_us"] / each["calls"]["1"]["floor"]["p50_us"]

        p50 = self.middle(lambda each: each["calls"]["1"][name]["p50_us"])
        share = self.middle(ratio)
        targets = () if name == "plain" else (("<= 1.25x", share <= 1.25),)
        self.add(f"call, 1 in flight, {name}", f"p50 {p50:.1f} us, {share:.2f}x the floor", *targets)

    def many_calls(self, name: str) -> None:
        rate = self.middle(lambda each: each["calls"]["512"][name]["rate_per_s"])
        targets = (("1 M/s", rate >= 1e6),) if name == "noise" else ()
        self.add(f"calls, 512 in flight, {name}", f"{rate / 1e6:.2f} M/s", *targets)

    def idle(self, name: str) -> None:
        size = self.middle(lambda each: each["idle_bytes"][name])
        most = {"noise": 4, "tls": 20}[name]
        target = (f"<= {most} KB", size <= most * 1024)
        self.add(f"idle session, {name}", f"{size:.0f} bytes of the node", target)

    def beside(self, name: str) -> None:
        def ratio(each: dict) -> float:
            both = each["beside_handshakes"][name]
            return both["beside_p99_us"] / both["alone_p99_us"]

        rate = self.middle(lambda each: each["beside_handshakes"][name]["handshakes_per_s"])
        p99 = self.middle(lambda each: each["beside_handshakes"][name]["alone_p99_us"])
        share = self.middle(ratio)
        text = f"p99 {p99:.0f} us, {share:.2f}x beside {rate:.0f} handshakes/s"
        enough = rate >= 0.95 * HANDSHAKES_PER_S
        self.add(f"call beside handshakes, {name}", text, ("<= 2x", enough and share <= 2))

    def render(self) -> str:
        for suite in SUITES:
            self.handshakes(suite)
        for suite in SUITES:
            for way in ("seal", "open"):
                self.bulk(suite, way)
        for name in ("plain", *CHANNELS):
            self.one_call(name)
        for name in ("floor", "plain", *CHANNELS):
            self.many_calls(name)
        for name in CHANNELS:
            self.idle(name)
            self.beside(name)
        return "\n".join(self.lines)


def report(result: dict) -> str:
    """The result as lines for people."""
    return Table(result["rounds"]).render()
