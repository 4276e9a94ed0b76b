"""What a figure depends on besides the code: the machine and the versions."""

import os
import platform
import re
from pathlib import Path

from driver.systems import System, first_line


def _field(path: str, pattern: str) -> str:
    try:
        found = re.search(pattern, Path(path).read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1) if found else "unknown"


def commit_of(root: Path) -> str:
    """Short id of the tree's commit, with `+` when the tree has changes of its own."""
    short = first_line(["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"])
    changes = first_line(["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"])
    return short + ("" if changes == "unknown" else "+")


def describe(root: Path, build: Path, systems: list[System]) -> dict:
    """Everything recorded about the machine; holds no host name and no path."""
    versions = {system.name: system.version() for system in systems}
    versions["compiler"] = first_line(["c++", "--version"])
    versions["build"] = _field(str(build / "CMakeCache.txt"), r"^CMAKE_BUILD_TYPE:\w+=(.*)$")
    return {
        "cpu": _field("/proc/cpuinfo", r"^model name\s*:\s*(.*)$"),
        "cores": os.cpu_count(),
        "memory_mib": int(_field("/proc/meminfo", r"^MemTotal:\s*(\d+)")) // 1024,
        "kernel": f"Linux {platform.release()}",
        "system": _field("/etc/os-release", r'^PRETTY_NAME="?([^"\n]*)'),
        "tcp": _field("/proc/sys/net/ipv4/tcp_congestion_control", r"^(\S+)"),
        "commit": commit_of(root),
        "load_before": os.getloadavg()[0],
        "versions": {name: version for name, version in versions.items() if version},
    }


def slug(machine: dict) -> str:
    """A name for result files: the kind of machine, not its host name."""
    text = f"{machine['cpu']}-{machine['cores']}-cores".lower()
    return re.sub(r"[^a-z0-9]+", "-", text).strip("-")
