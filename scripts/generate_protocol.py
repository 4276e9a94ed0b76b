#!/usr/bin/env python3
"""Writes protocol/ headers and tables of docs/spec/*.md from docs/spec/protocol.toml.

usage: generate_protocol.py [--check] [--root DIR]

--check writes nothing and exits 1, naming each stale file. A table in a document stands between
`<!-- table: NAME -->` and `<!-- end table -->`; NAME is one of those in TABLES of
protocol_generator/markdown.py.
"""

import argparse
import pathlib
import sys
import tomllib

sys.dont_write_bytecode = True

from protocol_generator.cpp import ENUMS, constants_h, limit_constants_h, properties_h  # noqa: E402
from protocol_generator.markdown import with_tables  # noqa: E402


def check_table(table):
    """Refuses a table whose numbers or names collide, or that points at rows that are not there."""
    for _, _, key, _, _ in ENUMS:
        names = [row["name"] for row in table[key]]
        numbers = [row.get("value", row.get("bit", index)) for index, row in enumerate(table[key])]
        if len(set(names)) != len(names) or len(set(numbers)) != len(numbers):
            raise SystemExit(f"protocol.toml: two rows of {key} share a name or a number")
        if numbers != sorted(numbers):
            raise SystemExit(f"protocol.toml: the rows of {key} do not ascend")
    frames = {f["name"] for f in table["frame"] if f.get("metadata")}
    for m in table["metadata"]:
        if m["frames"] != "*" and not frames.issuperset(m["frames"]):
            raise SystemExit(f"protocol.toml: {m['name']} names a frame without metadata")
    limits = {limit["name"] for limit in table["limit"]}
    for h in table["hello_option"]:
        if "limit" in h and h["limit"] not in limits:
            raise SystemExit(f"protocol.toml: {h['name']} names no limit")


def outputs(root):
    """What each generated file should hold: {path: text}."""
    table = tomllib.loads((root / "docs/spec/protocol.toml").read_text())
    check_table(table)
    wanted = {
        root / "protocol/constants.h": constants_h(table),
        root / "protocol/limit_constants.h": limit_constants_h(table),
        root / "protocol/properties.h": properties_h(table),
    }
    for document in sorted((root / "docs/spec").glob("*.md")):
        wanted[document] = with_tables(document.read_text(), table)
    return wanted


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if stale")
    parser.add_argument("--root", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parent.parent,
                        help="top of the source tree")
    arguments = parser.parse_args()
    stale = [
        (path, text)
        for path, text in outputs(arguments.root).items()
        if not path.exists() or path.read_text() != text
    ]
    for path, text in stale:
        name = path.relative_to(arguments.root)
        if arguments.check:
            print(f"stale: {name} (run scripts/generate_protocol.py)", file=sys.stderr)
        else:
            path.write_text(text)
            print(f"wrote {name}")
    return 1 if stale and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
