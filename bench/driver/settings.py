"""What is measured: the settings, the lines of the table, and the targets of each line."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Setting:
    """One way to load a relay; `depth` requests are in flight on every connection."""

    name: str
    transport: str  # "tcp" or "unix"
    connections: int
    depth: int

    @property
    def text(self) -> str:
        transport = {"tcp": "TCP", "unix": "Unix"}[self.transport]
        if self.connections > 1:
            return f"{transport}, {self.connections} x {self.depth} in flight"
        return f"{transport}, {self.depth} in flight"


@dataclass(frozen=True)
class Target:
    """A bound on `ours`, or on its ratio to `against`."""

    against: str  # "" for the figure itself, else a system
    relation: str  # "<=", "<" or ">="
    bound: float  # a ratio, or the figure's unit


@dataclass(frozen=True)
class Line:
    """One line of the table: a figure under a setting, with what it is compared to."""

    what: str
    setting: str
    figure: str  # a field of a load program's result
    peers: tuple[str, ...]
    targets: tuple[Target, ...]


SETTINGS = tuple(
    Setting(f"{transport}-{name}", transport, connections, depth)
    for transport in ("tcp", "unix")
    for name, connections, depth in (("1", 1, 1), ("512", 1, 512), ("64x1", 64, 1))
)

# Shown as the peer's name; what the row leaves out is said with it.
SYSTEMS = {"ours": "Valkyrie", "floor": "relay floor", "nats": "NATS", "grpc": "gRPC, no relay"}

PAYLOAD_BYTES = 64


def _lines() -> tuple[Line, ...]:
    lines = []
    for transport in ("tcp", "unix"):
        peers = ("nats", "grpc") if transport == "tcp" else ("grpc",)
        nats = transport == "tcp"
        lines += [
            Line(
                "Routed request, p50",
                f"{transport}-1",
                "p50_us",
                peers,
                (Target("floor", "<=", 1.10), Target("", "<", 100.0))
                + ((Target("nats", "<=", 0.65),) if nats else ()),
            ),
            Line(
                "Routed request, p99",
                f"{transport}-1",
                "p99_us",
                peers,
                (Target("floor", "<=", 1.20),),
            ),
            Line(
                "Routed requests per second",
                f"{transport}-512",
                "rate_per_s",
                peers,
                (Target("floor", ">=", 0.6), Target("", ">=", 3e6), Target("grpc", ">=", 40.0))
                + ((Target("nats", ">=", 3.0),) if nats else ()),
            ),
            Line(
                "Routed requests per second",
                f"{transport}-64x1",
                "rate_per_s",
                peers,
                (Target("floor", ">=", 0.9),),
            ),
        ]
    return tuple(lines)


LINES = _lines()
