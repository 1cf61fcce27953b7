"""Every command that oomctl advises: found in its source, and typed."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command

import oomctl
from oomctl.cli import app

SOURCE = Path(oomctl.__file__).parent
EXAMPLE = SOURCE.parent / "examples/largest-dies.toml"

# Where each is in Debian; what stands behind it is not typed here.
PROGRAMS = {
    "ansible-inventory": "ansible-core",
    "ansible-playbook": "ansible-core",
    "apt": "apt",
    "apt-get": "apt",
    "bpf-oomctl": "this",
    "bpftool": "bpftool",
    "cat": "coreutils",
    "cp": "coreutils",
    "dmesg": "util-linux",
    "echo": "bash",
    "find": "findutils",
    "fuser": "psmisc",
    "git": "git",
    "grep": "grep",
    "journalctl": "systemd",
    "ls": "coreutils",
    "make": "make",
    "mount": "mount",
    "pip": "python3-pip",
    "python": "python-is-python3",
    "rm": "coreutils",
    "rmdir": "coreutils",
    "sh": "dash",
    "swapoff": "mount",
    "sysctl": "procps",
    "systemctl": "systemd",
    "tee": "coreutils",
    "systemd-run": "systemd",
    "ulimit": "bash",
    "umount": "mount",
    "zcat": "gzip",
}
SYSCTLS = {
    "kernel.ftrace_enabled",
    "kernel.panic",
    "kernel.printk",
    "net.core.bpf_jit_enable",
    "vm.nr_hugepages",
    "vm.oom_kill_allocating_task",
    "vm.overcommit_memory",
    "vm.panic_on_oom",
}
BOOT = {"cgroup_enable=memory", "cgroup_no_v1=all", "psi=1"}
CONTAINER = {"--privileged", "--pid=host", "--cgroupns=host", "--cap-add=X"}
WORDS = {
    *("--", "*order*", "lock", "self", "stock", "max", "thp = true", "git bisect run"),
    *("Out of memory", "Memory cgroup out of memory", "oomctl run", "X", "X -h"),
    "oomctl scenario",
    "sysctl and no file of a cgroup",
}
"""What is in backticks and is not to be typed: values, keys, words of the kernel's, names."""


_WHOLE = (
    rf"(?:{'|'.join(sorted({*PROGRAMS} - {'make', 'find', 'python'}))}) [^. ]"
    r"|oomctl (?:declare|run|report|compare|predict|explain|watch|doctor|clean|smoke|scenario"
    r"|kfunc|lab|fleet)\b"
)
"""How a hint begins that is a command as a whole, without backticks."""


def texts(source: str) -> Iterator[str]:
    """Yield a module's strings, X for what is filled in; no docstrings and no program for sh."""
    tree = ast.parse(source)
    passed = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            passed |= {id(part) for part in node.values}
        if isinstance(node, ast.List) and ast.unparse(node).startswith("['sh', '-c'"):
            passed |= {id(element) for element in node.elts}
    for node in ast.walk(tree):
        if id(node) in passed:
            continue
        if isinstance(node, ast.JoinedStr):
            parts = (p.value if isinstance(p, ast.Constant) else "X" for p in node.values)
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def commands(text: str) -> Iterator[str]:
    """Yield what a text gives as to be typed: what is in backticks, or it is one as a whole."""
    if found := re.findall(r"`([^`]+)`", text):
        yield from found
    elif re.match(_WHOLE, text) and "\n" not in text:
        yield re.split(r"[,;] (?:or|then) | makes one", text)[0]


def all_commands() -> set[str]:
    """Return every command that stands in the source."""
    return {
        command
        for path in SOURCE.rglob("*.py")
        for text in texts(path.read_text())
        for command in commands(text)
    }


def typed(command: str) -> str:
    """Type a command as far as that does no harm; return what is wrong with it."""
    if command in WORDS or command in BOOT:
        return ""
    problems = []
    for part in re.split(r" (?:&&|\|) |; ", command):
        try:
            words = shlex.split(part.replace("FILE", str(EXAMPLE)).replace("PID", "1"))
        except ValueError as error:
            return str(error)
        problems.append(_typed(words))
    return "; ".join(filter(None, problems))


def _typed(words: list[str]) -> str:
    program, *rest = words
    if program == "X":  # filled in: the user's own command
        return ""
    if program == "oomctl":
        return _parsed(rest)
    if program == "systemd-run":
        return _typed(rest[rest.index("oomctl") :]) if "oomctl" in rest else ""
    if program == "sysctl":
        name = rest[0].partition("=")[0]
        return "" if name in SYSCTLS and re.search(r"=[\dX]+$", rest[0]) else f"no sysctl {name}"
    if program.startswith("-"):
        return "" if set(words) <= CONTAINER else _option(words)
    return "" if program in PROGRAMS else f"no program {program}"


def _parsed(words: list[str]) -> str:
    """Read an oomctl command line as oomctl does, up to where it would begin."""
    if not words:
        return "oomctl alone does nothing"
    command: Any = get_command(app)
    context: Any = None
    try:
        while hasattr(command, "resolve_command"):
            # with its parent, from which a command has the names of --help, and keeps them
            context = command.make_context("oomctl", list(words), parent=context)
            left = [*context._protected_args, *context.args]
            _name, command, words = command.resolve_command(context, left)
        context = command.make_context(command.name, list(words), parent=context)
    except typer.Exit:  # an option that does all the work, such as --version
        return ""
    except Exception as error:
        return f"{' '.join(words)}: {error!r} {error}"
    inner = context.params.get("command")
    own = ["oomctl"] if command.name == "fleet" else []
    return _typed([*own, *inner]) if inner and not isinstance(inner, str) else ""


def _option(words: list[str]) -> str:
    option = words[0].partition("=")[0]
    return "" if option in _options(get_command(app)) else f"no option {option}"


def _options(command: Any) -> set[str]:
    found = {name for parameter in command.params for name in parameter.opts}
    below = getattr(command, "commands", {})
    return found.union(*(_options(below[name]) for name in list(below)))
