"""Rules about #include: the arrows of docs/adr/0001-layout.md, purity, and headers that stand alone."""

import re

# What each folder may include besides itself. Arrows point one way; what is not here is upward.
_SERVER_CORE = ("protocol", "server/registry", "server/router", "server/jobs", "server/policy")
_SERVER = _SERVER_CORE + (
    "server/node", "transport", "server/job_store", "server/log_store", "server/bridge",
    "server/adapters", "server/ops")
_CLIENT = ("protocol", "transport", "sdk")
ARROWS = {
    "protocol": (),
    "transport": ("protocol",),
    "server/registry": ("protocol",),
    "server/policy": ("protocol",),
    "server/router": ("protocol", "server/registry", "server/policy"),
    "server/jobs": ("protocol", "server/registry", "server/policy", "server/router"),
    "server/job_store": ("protocol", "transport", "server/jobs"),
    "server/log_store": ("protocol", "transport", "server/jobs"),
    "server/node": _SERVER_CORE,
    "server/bridge": _SERVER_CORE + ("transport",),
    "server/adapters": _SERVER_CORE + ("transport",),
    "server/ops": _SERVER,
    "server/testing": _SERVER + ("server", "sdk"),
    "server": _SERVER,
    "sdk": ("protocol", "transport"),
    "runner": _CLIENT,
    # What a node decided and wrote down is explained and verified offline, by the same code.
    "tools": _CLIENT + ("server/policy",),
    "console": ("sdk",),
    "examples": ("sdk",),
    "cmake": (),
    "tests": _SERVER + ("server", "sdk", "runner", "tools"),
    "bench": _SERVER + ("server", "sdk", "runner", "tools"),
}

# No socket, file, thread or clock read: these run in the simulator, and in every SDK.
PURE = _SERVER_CORE + ("server/node",)
_IMPURE_HEADER = re.compile(
    r"(?:sys|netinet|arpa|net|linux)/.*"
    r"|(?:unistd|fcntl|poll|signal|pthread|netdb|dirent|spawn|ifaddrs|termios)\.h"
    r"|thread|mutex|shared_mutex|condition_variable|future|semaphore|latch|barrier|stop_token"
    r"|fstream|iostream|filesystem|csignal|spdlog/.*"
)
_IMPURE_CALL = re.compile(
    r"\b((?:steady|system|high_resolution)_clock::now|random_device|clock_gettime|gettimeofday"
    r"|(?:std::)?getenv|getrandom)\b|(?<![\w.>:])((?:std::)?time\s*\(\s*(?:nullptr|NULL|0|&))"
)


def layer(path):
    """The folder of ARROWS that a path from the root belongs to; None for unknown ones."""
    parts = path.split("/")
    if parts[0] == "server" and len(parts) > 2:
        return "/".join(parts[:2])
    if parts[0] == "valkyrie":
        return "sdk"
    return parts[0] if parts[0] in ARROWS else None


def direction(source):
    own = layer(source.path)
    if not source.is_cpp or own is None:
        return
    for number, path, quoted in source.includes:
        if not quoted or path.endswith(".pb.h"):  # Those are made in the build folder.
            continue
        target = layer(path)
        if target is None:
            message = f'"{path}" is not a path from the root of the tree'
            yield source.finding(number, "include-path", message)
        elif target != own and target not in ARROWS[own]:
            message = f"{own} may not include {target} (arrows in docs/adr/0001-layout.md)"
            yield source.finding(number, "include-direction", message)


def purity(source):
    if not source.is_cpp or source.is_test or layer(source.path) not in PURE:
        return
    for number, path, quoted in source.includes:
        if not quoted and _IMPURE_HEADER.fullmatch(path):
            message = f"<{path}> in a pure folder: bytes and time are arguments"
            yield source.finding(number, "purity", message)
    for number, line in enumerate(source.code_lines, 1):
        if match := _IMPURE_CALL.search(line):
            call = (match.group(1) or match.group(2)).strip()
            message = f"`{call}` in a pure folder: bytes and time are arguments"
            yield source.finding(number, "purity", message)


def guard(source):
    if source.is_header and "#pragma once" not in source.lines:
        yield source.finding(1, "include-guard", "a header says #pragma once")


RULES = (direction, purity, guard)
