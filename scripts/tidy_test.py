#!/usr/bin/env python3
"""Feeds every rule of scripts/tidy an input it must reject and one it must accept.

A check never seen red is no check: the last test fails when a rule's name is in no case here.
"""

import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(SCRIPTS))

from tidy_rules import scan, tree  # noqa: E402
from tidy_rules.source import Source  # noqa: E402

HEADER = "// What it is.\n#pragma once\n\n"


def findings(files, exceptions=None):
    """(path, line, rule) of what a tree of {path: text or bytes} gives."""
    sources = {
        path: Source(path, data if isinstance(data, bytes) else data.encode())
        for path, data in files.items()
    }
    return [(f.path, f.line, f.rule) for f in tree.check(sources, exceptions or {})]


def rules(files):
    return {rule for _, _, rule in findings(files)}


def rules_of(path, text):
    """Rules a lone file breaks; that nothing builds or includes it is not the point here."""
    return rules({path: text}) - {"dead-file"}


def word(*parts):
    """A word that scripts/tidy would reject in this file."""
    return "".join(parts)


# rule: (path, text that breaks it, text that does not)
FILES = {
    "columns": ("a.cc", "// " + "x" * 108 + "\n", "// " + "x" * 107 + "\n"),
    "final-newline": ("a.md", "no end", "an end\n"),
    "trailing-space": ("a.md", "one \n", "one\n"),
    "leftover": ("a.cc", f"// {word('TO', 'DO')}: this\n", "// To do this is the caller's.\n"),
    "machine-path": ("a.md", f"see {word('/wo', 'rk/x')}\n", "see docs/work/x\n"),
    "registry-host": ("a.md", f"FROM {word('ghcr', '.io')}/x\n", "FROM a base image\n"),
    "blob": ("a.bin", b"\0" * (512 * 1024 + 1), b"\0" * 512 * 1024),
    "syntax": ("a.py", "def f(:\n", "def f():\n    pass\n"),
    "file-length": ("a.cc", "int x();\n" * 1001, "int x();\n" * 1000),
    "include-guard": ("a.h", "// A.\nint x();\n", HEADER + "// X.\nint x();\n"),
    "include-path": ("protocol/a.cc", '#include "frame.h"\n', '#include "protocol/frame.h"\n'),
    "include-direction": (
        "protocol/a.cc",
        '#include "transport/reactor.h"\n',
        '#include "protocol/frame.h"\n',
    ),
    "purity": ("protocol/a.cc", "#include <sys/socket.h>\n", "#include <span>\n"),
    "banned-call": (
        "protocol/a_test.cc",
        "void f() { std::this_thread::sleep_for(1ms); }\n",
        "void f() { clock.advance(1ms); }\n",
    ),
    "banned-name": ("a.cc", "class SessionManager {};\n", "class ManagerialView {};\n"),
    "file-name": ("protocol/frame_helper.h", HEADER, None),
    "missing-comment": (
        "protocol/a.h",
        HEADER + "int x();\n",
        HEADER + "// Units of x.\nint x();\n",
    ),
}


class Files(unittest.TestCase):
    """Rules that look at one file."""

    def test_each_rule_rejects_and_accepts(self):
        for rule, (path, bad, good) in FILES.items():
            with self.subTest(rule=rule):
                self.assertIn(rule, rules_of(path, bad))
                if good is not None:
                    self.assertNotIn(rule, rules_of(path, good))

    def test_line_numbers_are_those_of_the_cause(self):
        text = "one\ntwo \n"
        self.assertEqual(findings({"a.md": text}), [("a.md", 2, "trailing-space")])

    def test_tests_may_be_longer_than_product_files_but_not_endless(self):
        line = "int x();\n"
        self.assertNotIn("file-length", rules_of("a_test.cc", line * 1500))
        self.assertIn("file-length", rules_of("a_test.cc", line * 1501))

    def test_generated_files_may_be_long_and_wide(self):
        text = "// Generated from docs/spec/protocol.toml.\n" + "// " + "x" * 120 + "\n"
        self.assertEqual(rules_of("protocol/a.cc", text + "int x();\n" * 1200), set())

    def test_wide_prose_is_fine(self):
        self.assertEqual(rules_of("docs/a.md", "x" * 200 + "\n"), set())

    def test_inputs_of_tests_are_bytes(self):
        self.assertEqual(rules_of("protocol/corpus/http", "GET / HTTP/1.1\r\n\r\n \r\n"), set())

    def test_leftovers(self):
        for left in (("TO", "DO"), ("TO", "DO", "(perf)"), ("FIX", "ME"), ("XX", "X")):
            self.assertIn("leftover", rules_of("a.sh", f"# {word(*left)}\n"))
        self.assertEqual(rules_of("a.sh", "mktemp " + "X" * 8 + "\n"), set())

    def test_machine_paths(self):
        for path in (("/ro", "ot"), ("/ro", "ot/x"), ("/ho", "me/ada/x")):
            self.assertIn("machine-path", rules_of("a.sh", f'cd "{word(*path)}"\n'))
        for text in ("$x/work/y", "a/root/b", "/workspace", "/home", "unix:///run/x"):
            self.assertEqual(rules_of("a.sh", text + "\n"), set(), text)

    def test_file_names(self):
        bad = ("server/util/a.md", "a_v2.md", "new_a.md", "STATUS.md", "a.cpp", "a.hpp", "FooBar.cc")
        for path in bad + ("a_part2.md", "session_utils.md"):
            self.assertIn("file-name", rules_of(path, "x\n"), path)
        for path in ("protocol/v1.md", "server/utility.md", "newest.md", "foo_bar.cc"):
            self.assertNotIn("file-name", rules_of(path, "x\n"), path)


class Code(unittest.TestCase):
    """Lengths, calls and names in code."""

    def lengths(self, path, text):
        return [line for _, line, rule in findings({path: text}) if rule == "function-length"]

    def test_a_function_has_at_most_70_lines(self):
        def function(lines):
            return "\nvoid f(int a,\n  int b) {\n" + "  g();\n" * (lines - 3) + "}\n"

        self.assertEqual(self.lengths("a.cc", function(70)), [])
        self.assertEqual(self.lengths("a.cc", function(71)), [2])

    def test_every_shape_of_function_is_measured(self):
        body = " {\n" + "  if (a) { b(); }\n" * 70 + "}\n"
        heads = (
            "void f()",
            "auto C::f() const noexcept -> std::vector<int>",
            "C::C(int a) : a_(a), b_{a}, c_(std::move(x))",
            "template <class T, int N = 3>\nrequires (N > 2)\nvoid f(T t = {})",
            "bool operator==(const A& a, const B& b)",
            "TEST(Session, does_not_end)",
            "[[nodiscard]] std::expected<int, Error> f(std::span<const std::byte> in)",
        )
        for head in heads:
            self.assertEqual(self.lengths("a.cc", head + body), [1], head)
            inside = "namespace a {\nclass C {\n public:\n" + head + body + "};\n}\n"
            self.assertEqual(self.lengths("a.cc", inside), [4], head)

    def test_types_tables_and_namespaces_are_not_functions(self):
        for head in ("namespace a", "struct A", "enum class E", "constexpr std::array<int, 99> kX ="):
            text = head + " {\n" + "  // x\n" * 80 + "};\n"
            self.assertEqual(self.lengths("a.cc", text), [], head)

    def test_braces_in_literals_and_comments_do_not_count(self):
        text = 'void f() {\n  g("}", \'}\', R"x(}})x", 1\'000);  // }\n' + "  /* } */\n" * 80 + "}\n"
        self.assertEqual(self.lengths("a.cc", text), [1])

    def test_python_functions_are_measured_too(self):
        self.assertEqual(self.lengths("a.py", "def f():\n" + "    g()\n" * 69), [])
        self.assertEqual(self.lengths("a.py", "def f():\n" + "    g()\n" * 70), [1])
        self.assertEqual(self.lengths("a", "#!/usr/bin/env python3\ndef f():\n" + " g()\n" * 70), [2])

    def test_banned_calls(self):
        bad = {
            "a.cc": ("int x = rand();", "srand(1);", "using namespace std;", "assert(x);"),
            "b.h": ("strcpy(a, b);", "this->shared_from_this();", "#include <format>"),
            "c_test.cc": ("usleep(1);", "sleep(1);", "std::this_thread::sleep_until(t);"),
            "server/ops/d.cc": ('std::cout << "x";', "std::cerr << x;", 'printf("x");'),
        }
        for path, lines in bad.items():
            for line in lines:
                self.assertIn("banned-call", rules_of(path, line + "\n"), line)

    def test_calls_that_only_look_like_banned_ones(self):
        good = {
            "a.cc": ("int x = prng.rand();", "static_assert(x);", "VALKYRIE_ASSERT(x);", "// rand()"),
            "protocol/b.cc": ("std::snprintf(a, 1, b);", 'log("std::cout");'),
            "tools/c.cc": ("std::cout << x;",),
            "server/ops/main.cc": ("std::cout << x;",),
            "transport/d.cc": ("nanosleep(&t, nullptr);",),
        }
        for path, lines in good.items():
            for line in lines:
                self.assertNotIn("banned-call", rules_of(path, line + "\n"), line)

    def test_banned_type_names(self):
        for text in ("struct BufferHelper {};", "using CallFactory = int;", "class A::FooUtils {};"):
            self.assertIn("banned-name", rules_of("a.cc", text + "\n"), text)


class Includes(unittest.TestCase):
    """The arrows, purity and who comes first."""

    def test_arrows_point_one_way(self):
        allowed = (
            ("transport/a.cc", "protocol/a.h"),
            ("server/ops/a.cc", "transport/a.h"),
            ("server/router/a.cc", "server/registry/a.h"),
            ("sdk/cpp/src/a.cc", "transport/a.h"),
            ("tools/a.cc", "valkyrie/client.h"),
            ("runner/a.cc", "valkyrie/client.h"),
            ("tests/simulation/a.cc", "server/router/a.h"),
            ("bench/peers/a.cc", "echo.grpc.pb.h"),
        )
        rejected = (
            ("protocol/a.cc", "server/router/a.h"),
            ("transport/a.cc", "server/ops/a.h"),
            ("server/router/a.cc", "transport/a.h"),
            ("server/registry/a.cc", "server/ops/a.h"),
            ("server/ops/a.cc", "valkyrie/client.h"),
            ("sdk/cpp/src/a.cc", "server/router/a.h"),
            ("examples/a.cc", "transport/a.h"),
            ("tools/a.cc", "runner/a.h"),
        )
        for path, include in allowed:
            self.assertEqual(rules_of(path, f'#include "{include}"\n'), set(), (path, include))
        for path, include in rejected:
            text = f'#include "{include}"\n'
            self.assertEqual(rules_of(path, text), {"include-direction"}, (path, include))

    def test_pure_folders_read_no_clock_and_open_nothing(self):
        lines = (
            "#include <thread>",
            "#include <mutex>",
            "#include <fstream>",
            "#include <unistd.h>",
            "#include <sys/epoll.h>",
            "auto now = std::chrono::steady_clock::now();",
            "auto now = std::time(nullptr);",
            "std::random_device device;",
            'auto home = std::getenv("HOME");',
        )
        for folder in ("protocol", "server/router", "server/registry", "server/jobs"):
            for line in lines:
                self.assertIn("purity", rules_of(f"{folder}/a.cc", line + "\n"), (folder, line))
                self.assertNotIn("purity", rules_of(f"{folder}/a_test.cc", line + "\n"), line)
        for line in lines:
            self.assertNotIn("purity", rules_of("transport/a.cc", line + "\n"), line)
        self.assertEqual(rules_of("protocol/a.cc", "auto t = session.time(0);\n"), set())

    def test_own_header_comes_first(self):
        def tree_with(includes, path="protocol/a_test.cc"):
            return rules({path: includes, "protocol/a.h": HEADER, "sdk/cpp/include/valkyrie/b.h": HEADER})

        late = '#include <span>\n#include "protocol/a.h"\n'
        self.assertIn("own-header-first", tree_with(late))
        self.assertNotIn("own-header-first", tree_with('#include "protocol/a.h"\n#include <span>\n'))
        late = '#include <span>\n#include "valkyrie/b.h"\n'
        self.assertIn("own-header-first", tree_with(late, "sdk/cpp/src/b.cc"))

    def test_dead_files(self):
        list_file = {"protocol/CMakeLists.txt": "add_library(x a.cc)\n", "protocol/a.cc": "int x;\n"}
        self.assertEqual(rules(list_file), set())
        self.assertIn("dead-file", rules(list_file | {"protocol/b.cc": "int x;\n"}))
        self.assertIn("dead-file", rules(list_file | {"protocol/aa.cc": "int x;\n"}))
        loop = {"protocol/CMakeLists.txt": "foreach(x a)\nf(${x} ${x}_fuzz.cc)\nendforeach()\n"}
        self.assertEqual(rules(loop | {"protocol/a_fuzz.cc": "int x;\n"}), set())
        self.assertIn("dead-file", rules(loop | {"protocol/b_fuzz.cc": "int x;\n"}))
        header = {"protocol/a.h": HEADER + "// X.\nint x();\n"}
        self.assertEqual(rules(header), {"dead-file"})
        user = {"protocol/a.cc": '#include "protocol/a.h"\n'}
        self.assertEqual(rules(list_file | header | user), set())
        self.assertNotIn("dead-file", rules({"sdk/cpp/include/valkyrie/a.h": HEADER}))

    def test_a_private_header_stays_in_its_folder(self):
        private = {"protocol/a.h": "// A. Private to\n// this folder.\n#pragma once\nint x();\n"}
        user = '#include "protocol/a.h"\n'
        self.assertEqual(rules(private | {"protocol/b_test.cc": user}) - {"dead-file"}, set())
        for path in ("transport/b.cc", "protocol/messages/b.cc"):
            self.assertIn("private-header", rules(private | {path: user}), path)


class Comments(unittest.TestCase):
    """What needs a comment in a header, and what counts as one."""

    def missing(self, body, path="protocol/a.h"):
        found = findings({path: HEADER + body})
        return [line - 3 for _, line, rule in found if rule == "missing-comment"]

    def test_public_declarations_need_one(self):
        for body in (
            "class A {};",
            "enum class E { a };",
            "void f();",
            "inline int f() { return 1; }",
            "template <class T>\nvoid f(T);",
            "inline constexpr int kX = 3;",
            "using A = std::vector<int>;",
            "#define VALKYRIE_X(a) f(a)",
            "std::expected<std::function<void()>, E> f(\n    int a);",
        ):
            self.assertEqual(self.missing(body + "\n"), [1], body)
            self.assertEqual(self.missing("namespace a {\n\n" + body + "\n}\n"), [3], body)
            self.assertEqual(self.missing("// Why.\n" + body + "\n"), [], body)

    def test_public_methods_need_one(self):
        body = (
            "// A.\nclass A {\n public:\n  void f();\n\n  // G.\n  void g();\n\n"
            " private:\n  void h();\n};\n"
        )
        self.assertEqual(self.missing(body), [4])
        self.assertEqual(self.missing("// A.\nstruct A {\n  void f();\n};\n"), [3])
        nested = "// A.\nclass A {\n  struct B {\n    void f();\n  };\n};\n"
        self.assertEqual(self.missing(nested), [])

    def test_what_says_enough_by_itself(self):
        for body in (
            "class A;",
            "// A.\nclass A {\n public:\n  A() = default;\n  ~A();\n  A(const A&) = delete;\n};",
            "// A.\nclass A {\n public:\n  bool operator==(const A&) const = default;\n};",
            "// A.\nclass A {\n public:\n  explicit A(int x);\n};",
            "// A.\nstruct A {\n  bool empty() const;\n};",
            "// A.\nclass A : B {\n public:\n  void f() override;\n};",
            "// A.\nstruct A {\n  int x = 0;\n  std::vector<int> y{};\n};",
            "namespace detail {\nvoid f();\n}",
            "inline void A::f() {}",
            "static_assert(sizeof(int) == 4);",
        ):
            self.assertEqual(self.missing(body + "\n"), [], body)

    def test_lines_of_one_group_share_a_comment(self):
        group = "// Bytes.\ninline constexpr int kA = 1;\ninline constexpr int kB = 2;\n"
        self.assertEqual(self.missing(group), [])
        self.assertEqual(self.missing(group + "\ninline constexpr int kC = 3;\n"), [5])
        self.assertEqual(self.missing("inline constexpr int kA = 1;  // Bytes.\n"), [])

    def test_headers_of_tests_are_read_by_their_tests_only(self):
        self.assertEqual(self.missing("void f();\n", "tests/simulation/a.h"), [])


class Scanner(unittest.TestCase):
    """Names, kinds and lines of declarations."""

    def test_a_class_with_everything(self):
        code = (
            "namespace v {\nclass A final : public B {\n public:\n"
            "  explicit A(int a) : a_{a}, b_(1) {}\n  int f() const;\n private:\n  int a_;\n};\n}\n"
        )
        found = [(d.kind, d.name, d.access, d.first_line) for d in scan.declarations(code)]
        self.assertEqual(
            found,
            [
                ("namespace", "v", "public", 1),
                ("type", "A", "public", 2),
                ("function", "A", "public", 4),
                ("function", "f", "public", 5),
                ("variable", "a_", "private", 7),
            ],
        )

    def test_half_a_file_ends(self):
        for code in ("void f() {", "class A {", "}}}", "f((((", "x = {"):
            scan.declarations(code)


class Exceptions(unittest.TestCase):
    """The list of exceptions takes findings off and stays honest."""

    def test_an_exception_meets_one_rule_in_one_file(self):
        files = {"a.md": "one \n", "b.md": "one \n"}
        left = findings(files, {("a.md", "trailing-space", ""): "reason"})
        self.assertEqual(left, [("b.md", 1, "trailing-space")])

    def test_one_that_meets_nothing_is_a_finding(self):
        left = findings({"a.md": "one\n"}, {("a.md", "columns", ""): "reason"})
        self.assertEqual(left, [("a.md", 0, "stale-exception")])


class Program(unittest.TestCase):
    """scripts/tidy as a process."""

    def test_ends_with_one_and_names_the_line(self):
        with tempfile.TemporaryDirectory() as root:
            for name in ("tidy", "tidy_rules"):
                subprocess.run(["cp", "-r", SCRIPTS / name, root + "/" + name], check=True)
            scripts = pathlib.Path(root) / "scripts"
            scripts.mkdir()
            for name in ("tidy", "tidy_rules"):
                (pathlib.Path(root) / name).rename(scripts / name)
            done = subprocess.run([scripts / "tidy"], capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
            (pathlib.Path(root) / "bad.md").write_text("one \n")
            done = subprocess.run([scripts / "tidy"], capture_output=True, text=True)
            self.assertEqual(done.returncode, 1)
            self.assertTrue(done.stdout.startswith("bad.md:1: trailing-space: "), done.stdout)
            done = subprocess.run([scripts / "tidy", scripts], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout)

    def test_every_rule_was_seen_red(self):
        text = "".join(p.read_text() for p in (SCRIPTS / "tidy_rules").glob("*.py"))
        names = set(re.findall(r'(?:finding\([^"]*|Finding\([^"]*)"([a-z]+(?:-[a-z]+)*)"', text))
        self.assertGreater(len(names), 18)
        own = pathlib.Path(__file__).read_text()
        self.assertEqual([name for name in sorted(names) if f'"{name}"' not in own], [])


if __name__ == "__main__":
    unittest.main()
