import gzip
import json
import re
import subprocess
import sys

import pytest

from tests.cli.command import refused, run
from tests.corpus import compose
from tests.schemas import validator

LIMIT = compose.HERE / "6.12-limit-dmesg.log"
KILL = (
    "[ 1.000000] Out of memory: Killed process 7 (\x1b[31m<b>|*) total-vm:9kB, anon-rss:4kB, "
    "file-rss:8kB, shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0\n"
)


def test_a_log_is_explained():
    result = run("explain", LIMIT)
    assert result.exit_code == 0
    for text in (
        "OOM 1: side car (pid 163) was killed",
        "memory.max of /lab/shop: 64M",
        "why       side car: 4,447 pages + 500 x 16 for oom_score_adj = 12,447; next web:",
        "choice    follows from the dump",
        "   -  164  cron            -   2340     0    17  -1000       -  adj -1000",
        "OOM 2: web (pid 166) was killed",
    ):
        assert text in result.stdout


def piped(data, *words):
    """Run the command in a process of its own, whose stdin is a pipe."""
    return subprocess.run(
        [sys.executable, "-m", "oomctl", "explain", *words],
        input=data,
        capture_output=True,
        check=False,
    )


def test_stdin_is_the_default():
    wanted = run("explain", LIMIT).stdout
    for words in ((), ("-",)):
        assert piped(LIMIT.read_bytes(), *words).stdout.decode() == wanted
    nothing = piped(b"hello\n")
    said = b"oomctl: no OOM report in stdin\n"
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (1, b"", said)


def test_top_counts_the_tasks_that_are_shown():
    result = run("explain", LIMIT, "--top", 1)
    assert result.stdout.count("and 3 more tasks: --top shows them") == 1
    shown = json.loads(run("explain", LIMIT, "--top", 1, "-f", "json").stdout)["reports"][0]
    assert (len(shown["candidates"]), shown["candidates_left_out"]) == (1, 3)


def test_one_report_can_be_asked_for(tmp_path):
    result = json.loads(run("explain", LIMIT, "--kill", 2, "-f", "json").stdout)
    assert [(each["number"], each["victim"]["comm"]) for each in result["reports"]] == [(2, "web")]
    out = tmp_path / "out"
    refused(run("explain", LIMIT, "--kill", 3, "-o", out), 2, "has 2 reports; name one of them")
    assert not out.exists()


@pytest.mark.parametrize("form", ["table", "markdown", "json", "html"])
def test_each_form_goes_into_a_file_as_on_stdout(tmp_path, form):
    result = run("explain", LIMIT, "-f", form, "-o", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (0, "")
    text = (tmp_path / "out").read_text()
    assert text == run("explain", LIMIT, "-f", form).stdout
    if form == "json":
        validator("explain-schema.json").validate(json.loads(text))
        assert json.loads(text)["source"] == str(LIMIT)


@pytest.mark.parametrize("text", ["", "hello\n", "\0\xff" * 999, "oom-killer\n", "\n" * 99])
def test_a_text_without_a_report_is_one_line_and_no_file(tmp_path, text):
    (tmp_path / "log").write_bytes(text.encode("latin-1"))
    result = run("explain", tmp_path / "log", "-o", tmp_path / "out")
    refused(result, 1, f"no OOM report in {tmp_path / 'log'}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "says"),
    [("none", "No such file"), (".", "Is a directory"), ("/dev/zero", "Is a device")],
)
def test_a_file_that_cannot_be_read(tmp_path, monkeypatch, name, says):
    monkeypatch.chdir(tmp_path)
    refused(run("explain", name), 2, says)


def test_a_compressed_log_is_one_line_that_says_how_to_read_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kern log.gz").write_bytes(gzip.compress(LIMIT.read_bytes()))
    says = "oomctl: kern log.gz is compressed with gzip; zcat 'kern log.gz' | oomctl explain"
    refused(run("explain", "kern log.gz", "-o", "out"), 2, says)
    assert not (tmp_path / "out").exists()


def test_a_result_must_not_go_into_the_log(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(LIMIT.read_bytes())
    refused(run("explain", log, "-o", log), 2, "which is read")
    refused(run("explain", log, "-o", tmp_path / "no" / "x"), 2, "--output")
    assert log.read_bytes() == LIMIT.read_bytes()


@pytest.mark.parametrize(
    ("form", "comm"),
    [
        ("table", r"\x1b[31m<b>|*"),
        ("markdown", r"\\x1b\[31m\<b\>\|\*"),
        ("html", r"\x1b[31m&lt;b&gt;|*"),
        ("json", r"\\x1b[31m<b>|*"),
    ],
)
def test_nothing_of_a_comm_is_raw(tmp_path, form, comm):
    (tmp_path / "log").write_text(KILL.replace("\x1b", r"\x1b"))  # as the kernel's log has it
    result = run("explain", tmp_path / "log", "-f", form)
    assert result.exit_code == 0
    assert comm in result.stdout
    assert result.stdout.replace("\n", "").isprintable()


def test_several_forms_of_a_pipe(tmp_path):
    files = {form: tmp_path / form for form in ("table", "csv")}
    piped(LIMIT.read_bytes(), *(f"-f{form}={file}" for form, file in files.items()))
    for form, file in files.items():
        assert file.read_bytes() == piped(LIMIT.read_bytes(), "-f", form).stdout


@pytest.mark.parametrize("forms", [("json={}",), ("csv={}.csv", "json={}")])
def test_many_kills_are_streamed(tmp_path, forms):
    log = tmp_path / "log"
    with log.open("w") as file:
        for number in range(20_000):
            file.write(KILL.replace(" 7 ", f" {number + 2} "))
    # not ru_maxrss, which a process has from the one that it was forked from
    code = (
        "import sys; from oomctl.cli import app; sys.argv[0] = 'oomctl'\n"
        "try: app()\n"
        "finally: sys.stderr.write(open('/proc/self/status').read())"
    )
    words = ["explain", str(log), *(f"-f{form}".format(tmp_path / "out") for form in forms)]
    ended = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
    )
    assert int(re.search(r"VmHWM:\s+(\d+) kB", ended.stderr)[1]) < 100 << 10
    assert (tmp_path / "out").read_text().count('"number"') == 20_000
