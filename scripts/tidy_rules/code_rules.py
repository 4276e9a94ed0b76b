"""Rules about C++ and Python code: lengths, calls and names."""

import ast
import re

from . import scan

FUNCTION_LINES_MAX = 70

# Where a library must not print: its caller owns the streams.
LIBRARIES = ("protocol", "transport", "server", "sdk")

_SLEEP = re.compile(r"\b(sleep_for|sleep_until|usleep|nanosleep|clock_nanosleep|sleep)\s*\(")
_ANYWHERE = (
    (re.compile(r"(?<![\w.>])(?:std::)?s?rand\s*\("), "randomness is injected (a seed replays it)"),
    (re.compile(r"\bshared_from_this\b"), "work in flight holds a token, not the object alive"),
    (re.compile(r"\busing\s+namespace\s+std\s*;"), "name what is used"),
    (re.compile(r"(?<![\w.>:])(?:strcpy|strcat|v?sprintf|gets|atoi|atol|strtok)\s*\("), "unsafe call"),
    (re.compile(r"(?<![\w.>])assert\s*\("), "VALKYRIE_ASSERT stays on in what is shipped"),
    (re.compile(r"\bstd::(?:async|regex)\b"), "neither is bounded"),
)
_PRINT = re.compile(r"\bstd::(?:cout|cerr|clog)\b|(?<![\w.>])(?:std::)?printf\s*\(|(?<!\w)puts\s*\(")
_BAD_TYPE = re.compile(r"(?:Manager|Helper|Factory|Util|Utils|Impl[0-9])$")
_MISSING_HEADERS = ("format", "print", "generator", "flat_map", "flat_set", "mdspan")


def function_length(source):
    if source.is_cpp:
        for declaration in scan.declarations(source.code):
            lines = declaration.last_line - declaration.first_line + 1
            if declaration.kind == "function" and lines > FUNCTION_LINES_MAX:
                message = f"`{declaration.name}` has {lines} lines, at most {FUNCTION_LINES_MAX}"
                yield source.finding(declaration.first_line, "function-length", message)
    elif source.is_python:
        try:
            tree = ast.parse(source.text)
        except SyntaxError as error:
            yield source.finding(error.lineno or 0, "syntax", error.msg)
            return
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = node.end_lineno - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    message = f"`{node.name}` has {lines} lines, at most {FUNCTION_LINES_MAX}"
                    yield source.finding(node.lineno, "function-length", message)


def banned_calls(source):
    if not source.is_cpp:
        return
    prints = source.parts[0] in LIBRARIES and not source.is_test and source.name != "main.cc"
    for number, line in enumerate(source.code_lines, 1):
        if source.is_test and (match := _SLEEP.search(line)):
            message = f"`{match.group(1)}` in a test: advance a virtual clock or wait for the event"
            yield source.finding(number, "banned-call", message)
        for pattern, reason in _ANYWHERE:
            if match := pattern.search(line):
                call = match.group(0).rstrip("( ")
                yield source.finding(number, "banned-call", f"`{call}`: {reason}")
        if prints and (match := _PRINT.search(line)):
            message = f"`{match.group(0)}`: a library does not own the process's streams"
            yield source.finding(number, "banned-call", message)
    for number, path, _ in source.includes:
        if path in _MISSING_HEADERS:
            yield source.finding(number, "banned-call", f"<{path}> is not in GCC 12's library")


def banned_names(source):
    if not source.is_cpp:
        return
    for declaration in scan.declarations(source.code):
        if declaration.kind in ("type", "enum", "alias") and _BAD_TYPE.search(declaration.name):
            message = f"`{declaration.name}`: take a noun of the domain"
            yield source.finding(declaration.first_line, "banned-name", message)


RULES = (function_length, banned_calls, banned_names)
