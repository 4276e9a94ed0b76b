"""Rules about text that need no knowledge of a language."""

import re

COLUMNS_MAX = 110
PRODUCT_LINES_MAX = 1000
TEST_LINES_MAX = 1500
BLOB_BYTES_MAX = 512 * 1024

# Written apart, so that this file may say them.
_LEFTOVERS = re.compile(rf"\b({'TO'}DO|{'FIX'}ME|{'XX'}X|{'HA'}CK)\b")
_MACHINE_PATHS = re.compile(r"(?<![\w./$}{-])/(?:work|root|home/\w+)(?:/|(?=[\s\"'`,;:)]|$))")
_HOSTS = [
    words.replace(" ", ".")
    for words in (
        "docker io",
        "ghcr io",
        "quay io",
        "gcr io",
        "registry k8s io",
        "registry npmjs org",
        "pypi org",
        "files pythonhosted org",
        "crates io",
        "proxy golang org",
        "repo1 maven org",
        "repo maven apache org",
        "deb debian org",
    )
]
_HOST = re.compile(r"(?<![\w-])(" + "|".join(re.escape(host) for host in _HOSTS) + r")\b")
_FOLDERS = ("util", "utils", "common", "helpers", "misc")
_REPORTS = ("SUMMARY.md", "STATUS.md", "IMPLEMENTATION_NOTES.md", "PROGRESS.md", "PLAN.md")


def columns(source):
    if not source.is_code or source.is_generated:
        return
    for number, line in enumerate(source.lines, 1):
        if len(line) > COLUMNS_MAX:
            message = f"{len(line)} columns, at most {COLUMNS_MAX}"
            yield source.finding(number, "columns", message)


def file_length(source):
    if not source.is_code or source.is_generated:
        return
    limit = TEST_LINES_MAX if source.is_test else PRODUCT_LINES_MAX
    if len(source.lines) > limit:
        yield source.finding(0, "file-length", f"{len(source.lines)} lines, at most {limit}")


def line_ends(source):
    if not source.data:
        return
    if not source.data.endswith(b"\n"):
        yield source.finding(len(source.lines), "final-newline", "the last line has no end")
    elif source.data.endswith(b"\n\n"):
        yield source.finding(len(source.lines), "final-newline", "empty lines at the end")
    for number, line in enumerate(source.lines, 1):
        if line != line.rstrip():
            yield source.finding(number, "trailing-space", "white space at the end of the line")


def leftovers(source):
    for number, line in enumerate(source.lines, 1):
        if match := _LEFTOVERS.search(line):
            message = f"`{match.group(1)}`: do it, or open an issue"
            yield source.finding(number, "leftover", message)


def machine_paths(source):
    for number, line in enumerate(source.lines, 1):
        if match := _MACHINE_PATHS.search(line):
            message = f"`{match.group(0)}` exists on one machine only"
            yield source.finding(number, "machine-path", message)


def registry_hosts(source):
    # Written by cargo, which names the registry beside each checksum.
    if source.path.endswith("Cargo.lock"):
        return
    for number, line in enumerate(source.lines, 1):
        if match := _HOST.search(line):
            message = f"`{match.group(1)}`: package clients know their registry, the tree does not"
            yield source.finding(number, "registry-host", message)


def blob(source):
    if len(source.data) > BLOB_BYTES_MAX:
        message = f"{len(source.data) // 1024} KiB, at most {BLOB_BYTES_MAX // 1024}"
        yield source.finding(0, "blob", message)


def file_names(source):
    for part in source.parts[:-1]:
        if part in _FOLDERS:
            message = f"`{part}/`: a shared type lives with the concept it belongs to"
            yield source.finding(0, "file-name", message)
    if source.name in _REPORTS:
        message = "state is in the history, decisions are in docs/adr"
        yield source.finding(0, "file-name", message)
    stem = source.name.split(".")[0]
    if re.search(r"(?:^new_|_v[0-9]+$|_?part[0-9]+$|_(?:helpers?|utils?|manager|common)$)", stem):
        yield source.finding(0, "file-name", f"`{source.name}` does not say what is in it")
    if source.name.endswith((".cpp", ".cxx", ".hpp", ".hh")):
        yield source.finding(0, "file-name", "C++ files end in .h and .cc")
    elif source.is_cpp and not re.fullmatch(r"[a-z0-9_]+\.(?:h|cc)", source.name):
        yield source.finding(0, "file-name", "C++ files are named in snake_case")


# Rules for every file, and rules for text only.
ANY_FILE_RULES = (blob, file_names)
RULES = (columns, file_length, line_ends, leftovers, machine_paths, registry_hosts)
