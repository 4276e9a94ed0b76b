"""Prints the complaints of Doxygen that count and ends with 1 if there are any.

    docs_warnings.py WARNINGS_LOG
"""

import pathlib
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from tidy_rules.doc_rules import STANDARD_NAMES  # noqa: E402

_FIELD = re.compile(r"Member \S+ \((?:variable|typedef|enumvalue)\) of (?:class|struct|union)")
_FUNCTION = re.compile(r"Member (.+) \((?:function|friend)\) of (?:class|struct|union) ([\w:]+)")


def counts(warning):
    """Whether a warning is about something that needs a comment, or is no such warning at all."""
    if "is not documented" not in warning:
        return bool(warning.strip())
    if _FIELD.search(warning):
        return False
    match = _FUNCTION.search(warning)
    if match:
        name, owner = match.group(1).split("(")[0].strip(), match.group(2).rsplit("::", 1)[-1]
        if name in STANDARD_NAMES:
            return False
        return not (name == owner or name.startswith("~") or name.startswith("operator"))
    return True


def main():
    lines = pathlib.Path(sys.argv[1]).read_text().splitlines()
    left = [line for line in lines if counts(line)]
    for line in left:
        print(line)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
