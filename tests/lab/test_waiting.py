"""Commands of oomctl that a Python does that waits in a saved guest, and the same executed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import oomctl
from tests.lab.guests import LAB, marks

pytestmark = marks(600)

EXECUTED = (b"the command was executed", b"is started anew")
CHECKOUT = Path(oomctl.__file__).parents[1]
OOMCTL = str(Path(sys.executable).with_name("oomctl"))
MODULE = (str(Path(OOMCTL).with_name("python")), "-m", "oomctl")
"""By a name that the one that waits does not have."""
ODD = ("--memory", "1200M")
"""A machine of which no other test has saved one."""


def run(*words, options=(), **more):
    """Run words in a machine of its own; the Python there is asked unless options prevent it."""
    line = [*LAB, "-v", *ODD, *options, "--", *words]
    done = subprocess.run(line, capture_output=True, check=False, cwd=CHECKOUT, **more)
    assert not any(text in done.stderr for text in EXECUTED)
    return done


def said(text):
    """Return what is the same in each run: the first words of lines, and the verdict's own."""
    lines = [re.sub(rb"\d+", b"#", line).split() for line in text.splitlines()]
    return sorted(words if words[0] == b"verdict" else words[:1] for words in lines if words)


@pytest.mark.parametrize(
    "words",
    [
        (OOMCTL, "--version", "-v"),
        ("oomctl", "declare", "--no-such-option"),
        ("oomctl", "declare"),
        (*MODULE, "run", "examples/largest-dies.toml"),
        (*MODULE, "run", "no-such-file"),
    ],
)
def test_output_and_status_are_those_of_a_booted_machine(words):
    waited = run(*words, options=("--env", "COLUMNS=100"))
    booted = run(*words, options=("--env", "COLUMNS=100", "--no-restore"))
    assert waited.returncode == booted.returncode
    assert said(waited.stdout) == said(booted.stdout)


def test_json_has_the_same_keys_and_verdict():
    def keys(value):
        if isinstance(value, dict):
            return {name: keys(each) for name, each in value.items()}
        return isinstance(value, list)

    results = []
    for options in ((), ("--no-restore",)):
        done = run("oomctl", "declare", "-f", "json", options=options)
        assert done.returncode == 0, done.stderr
        results.append(json.loads(done.stdout))
    assert keys(results[0]) == keys(results[1])
    assert results[0]["verdict"] == results[1]["verdict"]


def test_an_interrupt_ends_the_machine():
    """That nothing is left is the fixture's to say."""
    line = [*LAB, *ODD, "--", "oomctl", "watch"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(10)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


class Kept:
    """A kept guest, in which words of oomctl are asked for, or, with a locale, executed."""

    def __init__(self):
        self.do("start", "--owner", str(os.getpid()), *ODD)

    def do(self, verb, *words, **options):
        line = [*LAB[:-1], verb, "--name", "waits", *words]
        return subprocess.run(line, capture_output=True, check=False, **options)

    def execute(self, *words, options=(), locale=""):
        how = ("--env", f"LANG={locale}") if locale else ()
        return self.do("exec", "-v", *how, *options, "--", *words)


@pytest.fixture
def kept(nothing_is_left):
    guest = Kept()
    yield guest
    guest.do("stop")


FACTS = """
until pid=$(pgrep -x {comm}) && [ -e /proc/$pid/fd/10 ] &&
    grep -qx -e -1000 /proc/$pid/oom_score_adj; do  # it has begun to watch
    sleep 0.2
done
cd /proc/$pid
{{
    tr '\\0' '\\n' <cmdline
    tr '\\0' '\\n' <environ | grep -v LANG | sort
    readlink cwd root fd/0
    ls fd | head -3
    cat cgroup oom_score_adj comm
    grep -e Umask -e SigIgn -e NStgid -e Cap -e Groups -e Uid status | grep -v NStgid
    ps -o sess=,pgid=,tty= -p $pid | tr -d ' ' | sed "s/$pid/own/g"
    cat limits
}} >/run/facts
kill -{signal} $pid
"""


def facts(kept, words, comm, number, locale):
    """What the guest sees of a process while it runs, and its status after a signal."""
    kept.execute("rm", "-f", "/run/facts")
    script = FACTS.format(comm=comm, signal=number)
    background = f"setsid sh -c '{script.replace(chr(39), chr(34))}' >/dev/null 2>&1 &"
    assert kept.execute("sh", "-c", background).returncode == 0
    done = kept.execute(*words, options=("--timeout", "60"), locale=locale)
    return done.returncode, kept.execute("cat", "/run/facts").stdout.decode()


def test_others_see_the_same_process_and_its_death(kept):
    for words in (("oomctl", "watch"), (*MODULE, "watch")):
        for number in ("KILL", "TERM", "HUP"):
            comm = Path(words[0]).name
            asked = facts(kept, words, comm, number, "")
            executed = facts(kept, words, comm, number, "C")
            assert asked == executed
            assert "oomctl" in asked[1]


def test_commands_at_once_after_another_and_killed(kept):
    line = [*LAB[:-1], "exec", "--name", "waits", "--", "oomctl", "declare"]
    at_once = [subprocess.Popen(line, stdout=subprocess.PIPE) for _ in range(2)]
    outputs = [process.communicate()[0] for process in at_once]
    assert [process.returncode for process in at_once] == [0, 0]
    assert all(b"verdict   killed" in output for output in outputs)
    late = kept.execute("oomctl", "watch", options=("--timeout", "5"))
    assert late.returncode == 124
    assert kept.execute("pgrep", "-x", "oomctl").returncode == 1
    done = kept.execute("oomctl", "declare")
    assert done.returncode == 0
    assert not any(text in done.stderr for text in EXECUTED)


def test_words_are_executed_if_the_python_is_gone_or_has_other_files(kept, own_cache):
    (record,) = own_cache.glob("guests/waits.json")
    text = record.read_text()
    record.write_text(text.replace(json.loads(text)["python"], "x" * 24))
    done = kept.execute("oomctl", "--version")
    assert (done.returncode, EXECUTED[1] in done.stderr) == (0, True)
    assert done.stdout == f"oomctl {oomctl.__version__}\n".encode()
    record.write_text(text)
    assert not any(each in kept.execute("oomctl", "--version").stderr for each in EXECUTED)
    kept.execute("sh", "-c", "kill -9 $(cat /run/oomctl/python.pid)")
    done = kept.execute("oomctl", "--version")
    assert (done.returncode, EXECUTED[0] in done.stderr) == (0, True)
    assert done.stdout == f"oomctl {oomctl.__version__}\n".encode()
