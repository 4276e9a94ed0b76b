"""Rules that need more than one file: each is a function of all sources, by path."""

import re


def own_header_first(sources):
    """Its own header is a source's first include, so the compiler proves that it stands alone."""
    for source in sources.values():
        if not source.name.endswith(".cc") or not source.includes:
            continue
        stem = re.sub(r"_(?:test|fuzz|bench)$", "", source.name[:-3])
        folder = "/".join(source.parts[:-1])
        public = f"sdk/cpp/include/valkyrie/{stem}.h"
        if f"{folder}/{stem}.h" in sources:
            expected = f"{folder}/{stem}.h"
        elif source.parts[:2] == ["sdk", "cpp"] and public in sources:
            expected = f"valkyrie/{stem}.h"
        else:
            continue
        number, first, _ = source.includes[0]
        if first != expected and any(path == expected for _, path, _ in source.includes):
            yield source.finding(number, "own-header-first", f'"{expected}" comes first')


def _names(cmake_text, file_name):
    """Whether a CMake text names the file, whole or as a word with a suffix: ${name}_fuzz.cc."""

    def word(text):
        return re.search(rf"(?<![\w-]){re.escape(text)}(?![\w-])", cmake_text)

    suffixes = set(re.findall(r"\$\{\w+\}(\w*\.cc)", cmake_text))
    return word(file_name) or any(
        file_name.endswith(suffix) and word(file_name.removesuffix(suffix)) for suffix in suffixes
    )


def dead_sources(sources):
    """A .cc that no CMake file of its folder or above names is never compiled."""
    lists = {p: s.text for p, s in sources.items() if p.endswith(("CMakeLists.txt", ".cmake"))}
    for source in sources.values():
        if not source.name.endswith(".cc"):
            continue
        folders = {"/".join(source.parts[:depth]) for depth in range(len(source.parts))}
        near = (text for path, text in lists.items() if path.rpartition("/")[0] in folders)
        if not any(_names(text, source.name) for text in near):
            yield source.finding(0, "dead-file", "no CMakeLists.txt names it")


def dead_headers(sources):
    """A header that nobody includes is dead; public ones are for others to include."""
    included = {path for s in sources.values() if s.is_cpp for _, path, _ in s.includes}
    for source in sources.values():
        public = source.path.startswith("sdk/cpp/include/")
        if source.is_header and not public and source.path not in included:
            names = (source.path.partition("/include/")[2], source.name)
            if not any(name and name in included for name in names):
                yield source.finding(0, "dead-file", "no file includes it")


def private_headers(sources):
    """A header that says that it is private to its folder is included from nowhere else."""
    private = {path for path, source in sources.items() if source.is_header and source.is_private}
    for source in sources.values():
        for number, path, _ in source.includes if source.is_cpp else ():
            if path in private and path.rpartition("/")[0] != source.path.rpartition("/")[0]:
                message = f'"{path}" says that it is private to its folder'
                yield source.finding(number, "private-header", message)


RULES = (private_headers, own_header_first, dead_sources, dead_headers)
