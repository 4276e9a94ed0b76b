"""Finds functions and declarations in C++ by its braces: no compiler, so it also reads half a tree.

Works on text without comments, literals and preprocessor lines (Source.code). It knows namespaces,
types, enums and functions; what is inside of a function is skipped.
"""

import dataclasses
import re

_SIGNIFICANT = re.compile(r"[{};:()]")
_TYPE_KEY = re.compile(r"(?:typedef\s+)?(class|struct|union)\b")
_ACCESS = re.compile(r"(?:.*\s)?(public|protected|private)\s*$", re.DOTALL)


@dataclasses.dataclass
class Declaration:
    """A statement at namespace or class scope; lines are those of its first and last character."""

    kind: str  # namespace, type, enum, function, variable, alias, forward, other
    head: str  # Text up to its body or end, white space folded.
    first_line: int
    head_line: int  # Last line of the head.
    last_line: int
    access: str  # public, protected or private; public at namespace scope.
    scope: str  # namespace or type: what encloses it.
    enclosing: tuple  # Names of the types and namespaces around it.

    @property
    def name(self):
        return declared_name(self.kind, self.head)


def declared_name(kind, head):
    """The name a head declares: good enough for messages and for grouping overloads."""
    text = _without_template(head)
    if kind in ("type", "enum", "forward"):
        match = re.search(r"(?:class|struct|union|enum)\s+(?:class\s+)?(?:\w+\([^)]*\)\s*)*([\w:]+)", text)
        return match.group(1) if match else ""
    if kind == "alias":
        match = re.match(r"using\s+(\w+)", text)
        return match.group(1) if match else ""
    if kind == "function":
        match = re.search(r"(operator\s*(?:\(\)|\[\]|[^\s\w(]+|[\w:&* ]+)|~?[\w:]+)\s*\(", text)
        return match.group(1).strip() if match else ""
    match = re.search(r"(\w+)\s*(?:\[[^]]*\]\s*)*(?:[={]|$)", text)
    return match.group(1) if match else ""


def _balanced(text, start, opening, closing):
    """Index after the bracket that closes the one at `start`; the length of text when none does."""
    depth = 0
    for index in range(start, len(text)):
        if text[index] == opening:
            depth += 1
        elif text[index] == closing and not (closing == ">" and text[index - 1] in "-="):
            depth -= 1
            if depth == 0:
                return index + 1
    return len(text)


def _without_template(head):
    """Drops leading template<...>, requires-clauses in parentheses, attributes and alignas."""
    text = re.sub(r"\[\[[^]]*\]\]|alignas\s*\([^)]*\)", " ", head).strip()
    while True:
        match = re.match(r"template\s*(?=<)", text)
        if match:
            text = text[_balanced(text, match.end(), "<", ">") :].strip()
            continue
        match = re.match(r"requires\s*(?=\()", text)
        if not match:
            return text
        text = text[_balanced(text, match.end(), "(", ")") :].strip()


def _flat(text):
    """The text with every parenthesized part as `()`."""
    out, depth = [], 0
    for char in text:
        if char == "(":
            depth += 1
            if depth == 1:
                out.append("()")
        elif char == ")":
            depth -= 1
        elif depth == 0:
            out.append(char)
    return "".join(out)


def _shape(text):
    """The text flat, operators' signs and template arguments gone: what is left tells the kind."""
    flat = re.sub(r"operator\s*(?:\(\)|\[\]|[^\s\w(]+)", "operator_", _flat(text))
    while True:
        shorter = re.sub(r"<[^<>=;]*>", "", flat.replace("->", " "))
        if shorter == flat:
            return flat
        flat = shorter


def _body_kind(head):
    """What the brace after `head` opens; "init" when it belongs to an initializer."""
    text = _without_template(head)
    flat = _shape(text)
    if re.match(r"(?:inline\s+)?namespace\b", flat) or re.match(r'extern\s+"', flat):
        return "namespace"
    if re.match(r"enum\b", flat):
        return "enum"
    if _TYPE_KEY.match(flat) and "()" not in flat and "=" not in flat:
        return "type"
    if re.search(r"(?<![<>=!])=(?!=)", flat) or "()" not in flat:
        return "init"
    # Foo() : a_{1} {} has braces that do not open the body: those after a member's name.
    if re.search(r"\)\s*(?:noexcept\s*)?:(?!:)", flat) and re.search(r"[\w>]\s*$", flat):
        return "init"
    return "function"


def _statement_kind(head):
    """The kind of a statement that ends in a semicolon."""
    text = _without_template(head)
    if re.match(r"(?:friend|static_assert|public|private|using\s+namespace|namespace)\b", text):
        return "other"
    if re.match(r"using\b", text):
        return "alias" if "=" in text else "other"
    if _TYPE_KEY.match(text) and re.fullmatch(r"(?:class|struct|union)\s+[\w:]+", text):
        return "forward"
    if re.match(r"enum\b", text):
        return "forward"
    flat = _shape(text)
    before_value = re.split(r"(?<![<>=!])=(?!=)", flat)[0]
    if "()" in before_value and not re.match(r"extern\s+template", text):
        return "function"
    return "variable" if text else "other"


class _Scanner:
    def __init__(self, code):
        self.code = code
        self.found = []
        self.scopes = []  # [kind, name, access, Declaration]
        self.start = 0  # Of the statement being read.

    def line(self, index):
        return self.code.count("\n", 0, index) + 1

    def declaration(self, kind, end):
        raw = self.code[self.start : end]
        stripped = raw.lstrip()
        first = self.start + len(raw) - len(stripped)
        scope = self.scopes[-1] if self.scopes else ("namespace", "", "public", None)
        result = Declaration(
            kind=kind,
            head=" ".join(stripped.split()),
            first_line=self.line(first),
            head_line=self.line(first + len(stripped.rstrip())),
            last_line=self.line(end),
            access=scope[2],
            scope=scope[0],
            enclosing=tuple(s[1] for s in self.scopes),
        )
        self.found.append(result)
        return result

    def open(self, index):
        """Handles the brace at `index`; returns where to go on."""
        kind = _body_kind(self.code[self.start : index])
        after = _balanced(self.code, index, "{", "}")
        if kind == "init":
            return after
        if kind in ("function", "enum"):
            self.declaration(kind, index).last_line = self.line(after - 1)
            self.start = after
            return after
        declared = self.declaration(kind, index)
        name = declared.name if kind == "type" else self._namespace_name(declared.head)
        access = "public"
        if kind == "type":
            if re.search(r"\bclass\b", _without_template(declared.head).split(" ")[0]):
                access = "private"
            if self.scopes and self.scopes[-1][0] == "type" and self.scopes[-1][2] != "public":
                access = "private"
        self.scopes.append([kind, name, access, declared])
        self.start = index + 1
        return index + 1

    @staticmethod
    def _namespace_name(head):
        match = re.search(r"namespace\s+([\w:]+)", head)
        return match.group(1) if match else "<anonymous>" if "namespace" in head else ""

    def colon(self, index):
        """An access label ends here, or nothing that matters does."""
        label = _ACCESS.match(self.code[self.start : index])
        is_scope = self.code[index : index + 2] == "::" or self.code[index - 1] == ":"
        if not is_scope and label and self.scopes and self.scopes[-1][0] == "type":
            outer_hidden = len(self.scopes) > 1 and self.scopes[-2][0] == "type"
            outer_hidden = outer_hidden and self.scopes[-2][2] != "public"
            self.scopes[-1][2] = "private" if outer_hidden else label.group(1)
            self.start = index + 1

    def run(self):
        index = 0
        while match := _SIGNIFICANT.search(self.code, index):
            index, char = match.start(), match.group()
            if char == "(":
                index = _balanced(self.code, index, "(", ")")
            elif char == "{":
                index = self.open(index)
            elif char == ":":
                self.colon(index)
                index += 1
            else:
                if char == ";" and self.code[self.start : index].strip():
                    self.declaration(_statement_kind(self.code[self.start : index]), index)
                if char == "}" and self.scopes:
                    self.scopes.pop()[3].last_line = self.line(index)
                self.start = index = index + 1
        return self.found


def declarations(code):
    """Every declaration at namespace or class scope of `code`, in order."""
    return _Scanner(code).run()
