"""Public declarations in headers carry a comment: a contract, above the declaration."""

import re

from . import scan

# Names whose meaning the language or its library fixed.
STANDARD_NAMES = {
    *("begin", "end", "size", "empty", "data", "swap"),
    *("get_return_object", "initial_suspend", "final_suspend", "unhandled_exception"),
    *("return_value", "return_void", "yield_value", "await_ready", "await_suspend", "await_resume"),
}
_HIDDEN_SCOPES = ("detail", "internal", "<anonymous>")


def is_public_header(source):
    """Headers that others read: not those private to a folder, of tests, benchmarks, examples."""
    return (
        source.is_header
        and not source.is_test
        and not source.is_generated
        and not source.is_private
        and source.parts[0] not in ("examples", "bench", "cmake")
    )


def needs_comment(declaration):
    """Classes, enums, free functions, aliases and constants of a namespace, and public methods.

    A constructor is covered by the comment of its class.
    """
    if declaration.access != "public":
        return False
    if any(part in _HIDDEN_SCOPES for name in declaration.enclosing for part in name.split("::")):
        return False
    head = declaration.head
    if re.match(r"template\s*<\s*>", head) or head.startswith("extern template"):
        return False
    if declaration.kind == "function":
        name = declaration.name
        return not (
            re.search(r"=\s*(?:default|delete)$", head)
            or re.search(r"\boverride\b", head.rsplit(")", 1)[-1])
            or name.startswith("~")
            or name in declaration.enclosing[-1:]
            or name in STANDARD_NAMES and declaration.scope == "type"
            or re.match(r"operator\s*\W", name) and not name.startswith("operator()")
            or "::" in name
            or name.isupper()
        )
    if declaration.kind in ("type", "enum"):
        return "::" not in declaration.name
    return declaration.scope == "namespace" and declaration.kind in ("alias", "variable")


def comment_lines(source, declaration):
    """The numbers of the comment lines right above a declaration; its own when the comment trails."""
    above = []
    number = declaration.first_line - 1
    while number >= 1 and source.lines[number - 1].lstrip().startswith("//"):
        above.insert(0, number)
        number -= 1
    if above:
        return above
    for number in (declaration.head_line, declaration.last_line):
        line, code = source.lines[number - 1], source.code_lines[number - 1]
        if "//" in line[len(code.rstrip()) :]:
            return [number]
    return []


def documented(source):
    """(declaration, comment lines) of each one that needs a comment.

    Lines of one group, with no empty line between them, share the comment of the first; so do
    overloads of one name.
    """
    result = []
    shared = []
    last = None
    for declaration in scan.declarations(source.code):
        own = comment_lines(source, declaration)
        together = (
            last is not None
            and declaration.first_line == last.last_line + 1
            and declaration.access == last.access
            and declaration.enclosing == last.enclosing
        )
        short = last is not None and all(d.last_line - d.first_line < 2 for d in (declaration, last))
        if own:
            shared = own
        elif not (together and (short or declaration.name == last.name)):
            shared = []
        last = declaration
        if needs_comment(declaration):
            result.append((declaration, shared))
    return result


def missing_comment(source):
    if not is_public_header(source):
        return
    for declaration, comment in documented(source):
        if not comment:
            what = declaration.name or declaration.head[:40]
            message = f"{declaration.kind} `{what}` is public and has no comment above it"
            yield source.finding(declaration.first_line, "missing-comment", message)


def missing_macro_comment(source):
    if not is_public_header(source):
        return
    for number, line in enumerate(source.lines, 1):
        match = re.match(r"#\s*define\s+(VALKYRIE_\w+)", line)
        if match and number > 1 and not source.lines[number - 2].lstrip().startswith("//"):
            message = f"macro `{match.group(1)}` is public and has no comment above it"
            yield source.finding(number, "missing-comment", message)


RULES = (missing_comment, missing_macro_comment)
