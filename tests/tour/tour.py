#!/usr/bin/env python3
"""Does what a document says, and compares what happens with what the document says happens.

    tour.py --source FOLDER --build FOLDER DOCUMENT

Fenced blocks of the document are its steps, in order; other blocks are only read by people:

    ```sh tour            run in one shell, as a reader would type it; must end with exit code 0
    ```sh tour exit=3     the same, with the exit code of its last command
    ```sh tour terminal   one command, in a terminal of its own, where it goes on to the end
    ```text tour          what the block before prints, standard error included; for a terminal:
                          what it prints before the next step begins
    <!-- sh tour          until a line with -->: run as the first, not shown to readers

In expected output `…` stands for any text inside a line, and a line of nothing else for any lines.

The shell starts in the source folder with fresh folders for home, state and sockets, in a network
of its own where the kernel allows that: the port of a running node does not matter. At the end each
terminal gets Ctrl-C and must end with exit code 0.
"""

import argparse
import fcntl
import os
import pathlib
import re
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

STEP_SECONDS_MAX = 180
ANY = "…"


class Failure(Exception):
    """The document says what is not so."""


class Step:
    """A block to run, and the block with its expected output, if there is one."""

    def __init__(self, line, words, text):
        self.line = line
        self.terminal = "terminal" in words
        self.exit_code = next((int(w[5:]) for w in words if w.startswith("exit=")), 0)
        self.text = text
        self.expected = None

    def matches(self, output, whole):
        """Whether the output is as expected; with `whole` false, whether it begins so."""
        if self.expected is None:
            return True
        lines = []
        for line in self.expected.splitlines():
            if line.strip() == ANY:
                lines.append(r"(?:[^\n]*\n)*?")
            else:
                lines.append(r"[^\n]*".join(re.escape(p) for p in line.split(ANY)) + r" *\n")
        return re.match("".join(lines) + (r"\Z" if whole else ""), output) is not None


def steps_of(markdown):
    """The steps of a document. Raises Failure for a block that cannot be a step."""
    steps = []
    info, begin, body, end = None, 0, [], ""
    for number, line in enumerate(markdown.splitlines(), 1):
        if info is None:
            if found := re.match(r"(```|<!-- )(.*)$", line):
                info, begin, body = found.group(2).split(), number, []
                end = "```" if found.group(1) == "```" else "-->"
                if line.endswith("-->"):
                    info = None
            continue
        if line != end:
            body.append(line)
            continue
        text = "\n".join(body) + "\n"
        if info[:2] == ["sh", "tour"]:
            unknown = [w for w in info[2:] if not re.fullmatch(r"terminal|exit=\d+", w)]
            if unknown:
                raise Failure(f"line {begin}: unknown marker {unknown[0]}")
            steps.append(Step(begin, info[2:], text))
        elif info[:2] == ["text", "tour"]:
            if not steps or steps[-1].expected is not None:
                raise Failure(f"line {begin}: expected output without a step before it")
            steps[-1].expected = text
        info = None
    if info is not None:
        raise Failure(f"line {begin}: the block has no end")
    return steps


class Terminal:
    """A process group whose output goes to a file."""

    def __init__(self, step, shell_state, folder, environment):
        self.step = step
        self.path = folder / f"terminal-{step.line}.out"
        with open(self.path, "wb") as output:
            self.process = subprocess.Popen(
                ["bash", "-c", f"{shell_state}\nexec {step.text}"],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment,
                start_new_session=True)

    def output(self):
        return self.path.read_text(errors="replace")

    def wait_until_ready(self):
        """Waits for the expected output; without one, for nothing."""
        give_up = time.monotonic() + STEP_SECONDS_MAX
        while not self.step.matches(self.output(), whole=False):
            if self.process.poll() is not None or time.monotonic() > give_up:
                raise mismatch(self.step, self.output())
            time.sleep(0.01)

    def interrupt(self):
        """Ctrl-C. Raises Failure if it does not end well."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        try:
            code = self.process.wait(STEP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            raise Failure(f"line {self.step.line}: does not end on Ctrl-C") from None
        if code != 0:
            raise Failure(f"line {self.step.line}: ended with {code}\n{self.output()}")

    def kill(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


class Shell:
    """One bash for all steps, so that variables and the folder live on."""

    def __init__(self, folder, source, environment):
        self.state = folder / "shell-state"
        self.bash = subprocess.Popen(
            ["bash"], cwd=source, env=environment, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.ready = selectors.DefaultSelector()
        self.ready.register(self.bash.stdout, selectors.EVENT_READ)

    def run(self, text):
        """Output and exit code of the text's last command."""
        end = f"end-of-step-{os.urandom(8).hex()}"
        self.bash.stdin.write(f"{text}printf '%s %d\\n' {end} $?\n".encode())
        self.bash.stdin.flush()
        output = b""
        give_up = time.monotonic() + STEP_SECONDS_MAX
        while not (found := re.search(rf"{end} (\d+)\n".encode(), output)):
            left = give_up - time.monotonic()
            if left <= 0 or not self.ready.select(left):
                raise Failure(f"no end after {STEP_SECONDS_MAX} s\n{output.decode(errors='replace')}")
            piece = os.read(self.bash.stdout.fileno(), 65536)
            if not piece:
                raise Failure(f"the shell ended\n{output.decode(errors='replace')}")
            output += piece
        return output[: found.start()].decode(errors="replace"), int(found.group(1))

    def variables(self):
        """What a new terminal needs to look like this one."""
        self.run(f"{{ export -p; printf 'cd %q\\n' \"$PWD\"; }} >{self.state}\n")
        return self.state.read_text()

    def kill(self):
        try:
            os.killpg(self.bash.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.bash.wait()


def mismatch(step, output):
    return Failure(f"line {step.line}: another output than the document says.\n"
                   f"--- document ---\n{step.expected}--- output ---\n{output}")


def play(steps, shell, folder, environment):
    terminals = []
    try:
        for step in steps:
            print("\n".join(f"$ {line}" for line in step.text.splitlines()), flush=True)
            if step.terminal:
                terminals.append(Terminal(step, shell.variables(), folder, environment))
                terminals[-1].wait_until_ready()
                print(terminals[-1].output(), end="", flush=True)
                continue
            output, code = shell.run(step.text)
            print(output, end="", flush=True)
            if code != step.exit_code:
                raise Failure(f"line {step.line}: exit code {code}, not {step.exit_code}")
            if not step.matches(output, whole=True):
                raise mismatch(step, output)
        for terminal in reversed(terminals):
            terminal.interrupt()
    except Failure:
        for terminal in terminals:
            print(f"--- terminal of line {terminal.step.line} ---\n{terminal.output()}")
        raise
    finally:
        for terminal in terminals:
            terminal.kill()


def leave_network():
    """Starts this program again in a network of its own. Returns where that cannot be."""
    if os.environ.get("TOUR_NETWORK"):
        loopback_up()
        return
    command = ["unshare", "--net"] if os.getuid() == 0 else ["unshare", "--net", "--map-root-user"]
    try:
        possible = subprocess.run([*command, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        return
    if possible.returncode == 0:
        again = [*command, sys.executable, "-B", *sys.argv]
        os.execvpe(command[0], again, {**os.environ, "TOUR_NETWORK": "own"})


def loopback_up():
    set_flags, up = 0x8914, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sH14x", b"lo", up))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("document", type=pathlib.Path)
    arguments = parser.parse_args()
    leave_network()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tour."))
    environment = {
        "PATH": f"{arguments.build.resolve()}/bin:{os.environ['PATH']}",
        "LANG": "C.UTF-8", "NO_COLOR": "1", "TOUR_BUILD": str(arguments.build.resolve()),
        "HOME": str(folder), "XDG_STATE_HOME": str(folder / "state"),
        "XDG_RUNTIME_DIR": str(folder), "TMPDIR": str(folder),
    }
    shell = None
    try:
        steps = steps_of(arguments.document.read_text())
        if not steps:
            raise Failure("no step in it")
        shell = Shell(folder, arguments.source, environment)
        play(steps, shell, folder, environment)
    except Failure as failure:
        print(f"{arguments.document}: {failure}", file=sys.stderr)
        return 1
    finally:
        if shell is not None:
            shell.kill()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{arguments.document}: {len(steps)} steps are as it says")
    return 0


if __name__ == "__main__":
    sys.exit(main())
