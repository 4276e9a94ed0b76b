"""Applies every rule to a tree, and takes off the exceptions."""

import pathlib
import subprocess

from . import code_rules, doc_rules, include_rules, text_rules, tree_rules
from .source import Finding, Source

# (path, rule, words of the message): the reason. One line an exception; one that meets no finding
# any more is a finding itself, so that the list only shrinks.
EXCEPTIONS = {}


def read_tree(root):
    """Path to Source of what is in git or about to be; without git, of all but build folders."""
    root = pathlib.Path(root)
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=root, check=True, capture_output=True).stdout
        paths = [name for name in listed.decode().split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        paths = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
        paths = [name for name in paths if not name.startswith(("build", ".git/"))]
    return {
        path: Source(path, (root / path).read_bytes())
        for path in sorted(set(paths))
        if (root / path).is_file() and not (root / path).is_symlink()
    }


def check(sources, exceptions=None):
    """Every finding of every rule in {path: Source}, sorted."""
    exceptions = EXCEPTIONS if exceptions is None else exceptions
    found = []
    for source in sources.values():
        for rule in text_rules.ANY_FILE_RULES:
            found.extend(rule(source))
        if not source.is_text:
            continue
        for module in (text_rules, code_rules, include_rules, doc_rules):
            for rule in module.RULES:
                found.extend(rule(source))
    text_sources = {path: source for path, source in sources.items() if source.is_text}
    for rule in tree_rules.RULES:
        found.extend(rule(text_sources))

    used = set()
    remaining = []
    for finding in found:
        key = next((k for k in exceptions if _matches(k, finding)), None)
        if key is None:
            remaining.append(finding)
        else:
            used.add(key)
    for path, rule, words in sorted(set(exceptions) - used):
        message = f"the exception for {rule} (`{words}`) meets nothing any more: remove it"
        remaining.append(Finding(path, 0, "stale-exception", message))
    return sorted(remaining)


def _matches(key, finding):
    path, rule, words = key
    return finding.path == path and finding.rule == rule and words in finding.message
