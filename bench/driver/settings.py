"""What is measured: the settings, the lines of the table, and the targets of each line."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Setting:
    """One way to load a relay; `depth` requests are in flight on every connection."""

    name: str
    transport: str  # "tcp" or "unix"
    connections: int  # of `publish`: subscribers; of `stream`: hops
    depth: int  # of `publish`: messages on their way
    kind: str = "call"  # or "publish", or "stream": see FIGURES
    size: int = 64  # bytes of payload

    @property
    def text(self) -> str:
        transport = {"tcp": "TCP", "unix": "Unix"}[self.transport]
        size = f"{self.size // 1024} KiB" if self.size >= 1024 else f"{self.size} B"
        if self.kind == "publish":
            return f"{transport}, {size} to {self.connections}"
        if self.kind == "stream":
            return f"{transport}, {size} messages, {self.connections} hops"
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


# What a load program must tell in each kind of setting, besides `errors`. Rates of `publish` count
# deliveries: a message to 100 subscribers is 100.
FIGURES = {
    "call": ("rate_per_s", "p50_us", "p99_us", "p999_us"),
    "publish": ("rate_per_s", "bytes_per_s", "p50_us", "p99_us", "p999_us"),
    "stream": ("bytes_per_s", "messages_per_s"),
}

SETTINGS = (
    *(
        Setting(f"{transport}-{name}", transport, connections, depth)
        for transport in ("tcp", "unix")
        for name, connections, depth in (("1", 1, 1), ("512", 1, 512), ("64x1", 64, 1))
    ),
    *(
        Setting(f"{transport}-pub-{count}-{size}", transport, count, 4096, "publish", size)
        for transport in ("tcp", "unix")
        for count in (1, 100)
        for size in (64, 1024)
    ),
    *(
        Setting(f"{transport}-bulk", transport, 2, 1, "stream", 64 << 10)
        for transport in ("tcp", "unix")
    ),
)

# Shown as the peer's name; what the row leaves out is said with it.
SYSTEMS = {
    "ours": "Valkyrie",
    "floor": "relay floor",
    "nats": "NATS",
    "redis": "Redis",
    "grpc": "gRPC, no relay",
    "direct": "one hop, no relay",
}

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


def _publish_lines() -> tuple[Line, ...]:
    """Ahead of both brokers; nats-server has no Unix sockets."""
    return tuple(
        Line(
            f"Published, 1 to {setting.connections}",
            setting.name,
            "rate_per_s",
            peers,
            tuple(Target(peer, ">=", 1.0) for peer in peers),
        )
        for setting in SETTINGS
        if setting.kind == "publish"
        for peers in [("nats", "redis") if setting.transport == "tcp" else ("redis",)]
    )


def _bulk_lines() -> tuple[Line, ...]:
    """Two hops against the floor's two: one copy into and one out of the kernel each."""
    return tuple(
        Line(
            "Bulk stream through the node",
            f"{transport}-bulk",
            "bytes_per_s",
            ("direct",),
            (Target("floor", ">=", share), *absolute),
        )
        for transport, share, absolute in (
            ("tcp", 0.8, ()),
            ("unix", 0.6, (Target("", ">=", 2.5e9),)),
        )
    )


LINES = _lines() + _publish_lines() + _bulk_lines()
