"""Many idle sessions: how they are spread over processes, whether they fit, what each costs."""

import json
import select
import subprocess
from dataclasses import dataclass
from pathlib import Path

from driver.processes import Children, RunFailed, last_line

# Bytes a session takes on this machine, both ends of it together: refuses what cannot fit. Measured
# with this tool on Linux 6.1; a little more than seen, so that the rest of the machine has air.
NEED_BYTES = {"tcp": 17_000, "unix": 10_000}
PROCESS_BYTES = 24 << 20  # A server or a load program without sessions.
RESERVE_BYTES = 2 << 30  # Left to the rest of the machine.
FILES_BESIDE = 200  # Descriptors of a process that are no sessions.


@dataclass(frozen=True)
class Plan:
    """How many sessions each pair of a server and a load program has."""

    transport: str
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.counts)

    @property
    def need_bytes(self) -> int:
        """Memory of everything, the kernel's included."""
        return self.total * NEED_BYTES[self.transport] + 2 * len(self.counts) * PROCESS_BYTES


def plan(transport: str, count: int, files_max: int) -> Plan:
    """Spreads `count` sessions evenly over as few pairs as the limit of open files allows."""
    each = files_max - FILES_BESIDE
    if each < 1:
        raise ValueError(f"{files_max} open files are too few for any session")
    pairs = -(-count // each)
    return Plan(transport, tuple(count // pairs + (i < count % pairs) for i in range(pairs)))


def refusal(what: Plan, available_bytes: int, system_files_left: int) -> str:
    """Why the machine cannot hold this; empty when it can."""
    room = available_bytes - RESERVE_BYTES
    if what.need_bytes > room:
        return (
            f"{what.total} sessions need about {human(what.need_bytes)} on one machine, both ends; "
            f"{human(max(room, 0))} are free for them"
        )
    files = 2 * what.total
    if files > system_files_left:
        return f"{what.total} sessions are {files} open files; the system has {system_files_left} left"
    return ""


def human(size: float) -> str:
    if size < 1 << 30:
        return f"{size / (1 << 20):.0f} MiB"
    return f"{size / (1 << 30):.1f} GiB"


def source_address(index: int) -> str:
    """A loopback address per load program: each has ports of its own."""
    return f"127.{1 + index // (250 * 250)}.{1 + index // 250 % 250}.{1 + index % 250}"


def fields(text: str, names: tuple[str, ...]) -> int:
    """The sum of lines `Name: N kB`, in bytes."""
    sizes = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return sum(int(sizes[name].split()[0]) * 1024 for name in names if name in sizes)


def user_bytes(pid: int) -> int:
    """Memory of a process that nobody shares with it."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return fields(text, ("Private_Clean", "Private_Dirty"))


def kernel_bytes() -> int:
    """Memory of the kernel, of all processes together, that grows with sockets."""
    text = Path("/proc/meminfo").read_text()
    own = fields(text, ("Slab", "KernelStack", "PageTables", "Percpu"))
    pages = 0
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        words = line.split()
        if words[0] == "TCP:" and "mem" in words:
            pages = int(words[words.index("mem") + 1])
    return own + pages * 4096


class Load:
    """A load program and the lines it says."""

    def __init__(self, children: Children, argv: list[str | Path]):
        self.process = children.start(argv, talks=True)
        self._rest = b""

    def ask(self, command: str) -> None:
        self.process.stdin.write(f"{command}\n".encode())
        self.process.stdin.flush()

    def answer(self, seconds: float) -> dict:
        """The next line; a program that ends or is silent is a RunFailed."""
        while b"\n" not in self._rest:
            ready, _, _ = select.select([self.process.stdout], [], [], seconds)
            got = self.process.stdout.read1(65536) if ready else b""
            if not got:
                raise RunFailed(f"connection_load: {last_line(self.process.log)}")
            self._rest += got
        line, self._rest = self._rest.split(b"\n", 1)
        return json.loads(line)


def ask_all(loads: list[Load], commands: list[str], seconds: float) -> list[dict]:
    """Asks all at once and waits for all."""
    for load, command in zip(loads, commands):
        load.ask(command)
    return [load.answer(seconds) for load in loads]


def calls_over(loads: list[Load], share: float, plan_: Plan, seconds: float) -> dict:
    """One call over each session of a sample."""
    commands = [f"calls {max(1, int(count * share))}" for count in plan_.counts]
    answers = ask_all(loads, commands, seconds)
    return {
        "calls": sum(answer["calls"] for answer in answers),
        "errors": sum(answer["errors"] for answer in answers),
        "p50_us_median": sorted(answer["p50_us"] for answer in answers)[len(answers) // 2],
        "p99_us_worst": max(answer["p99_us"] for answer in answers),
        "seconds": max(answer["seconds"] for answer in answers),
    }


def report(result: dict) -> str:
    """The result as lines for people."""
    count = result["sessions"]
    server, kernel = result["server_user_bytes"], result["kernel_bytes"]
    lines = [
        f"{count} sessions over {result['transport']}, {result['servers']} server processes",
        f"established in {result['establish_s']:.1f} s, {count / result['establish_s']:.0f} a second, "
        f"{result.get('redialled', 0)} dialled again",
        f"server, user memory    {server / count:.0f} bytes each, {human(server)} in all",
        f"load, user memory      {result['load_user_bytes'] / count:.0f} bytes each",
        f"kernel, both ends      {kernel / count:.0f} bytes each, {human(kernel)} in all",
        f"server's side in all   {(server + kernel / 2) / count:.0f} bytes each, half the kernel's",
    ]
    for name, calls in result["calls"].items():
        lines.append(
            f"calls {name:<16} {calls['calls']} answered, {calls['errors']} errors, "
            f"p50 {calls['p50_us_median']:.0f} us, p99 {calls['p99_us_worst']:.0f} us"
        )
    lines.append(f"after {result['hold_s']:.0f} s idle: {result['open']} open, {result['closed']} closed")
    return "\n".join(lines)


def serve_command(server: Path, url: str) -> list[str | Path]:
    return [server, "--listen", url, "--ephemeral", "--shards", "1", "--log-level", "warn"]


def stop_quickly(process: subprocess.Popen) -> None:
    """A node with ten thousand sessions drains for longer than a measurement wants to wait."""
    process.kill()
    process.wait()
