"""Records: what is written is read again, also if the file was cut short."""

import contextlib
import errno
import json
import os
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomctl.errors import OomctlError, UsageError
from oomctl.rounds.reader import read_runs
from oomctl.rounds.record import Record, read_record
from oomctl.rounds.run import End, exit_of
from tests.rounds import NOT_FILLED, RECORDS, alone, busy, five, head, recorded, section


def read(raw):
    return [found.run for found in read_runs(raw.splitlines(keepends=True), "r")]


def write(path, text):
    with Record(path) as record:
        for line in text.splitlines():
            record.write(json.loads(line))


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_is_what_was_written(tmp_path, name):
    path = tmp_path / "r"
    write(path, RECORDS[name])
    assert path.read_text() == RECORDS[name]
    (found,) = read_record(path)
    assert found.run == section(RECORDS[name]).run
    assert list(found.lines()) == RECORDS[name].splitlines()


def test_a_section_reads_the_lines_that_were_written(tmp_path):
    for path in (None, tmp_path / "r"):
        with Record(path) as record:
            record.write({"kind": "run"})
            start = record.length
            record.write({"kind": "round", "n": 1})
            found = record.section(section(alone()).run, start)
            record.write({"kind": "end"})
            assert list(found.lines()) == ['{"kind": "round", "n": 1}']
            assert list(found.lines()) == list(found.lines())


def test_joined_records_are_runs_one_after_the_other(tmp_path):
    path = tmp_path / "r"
    path.write_text("".join(RECORDS.values()))
    found = read_record(path)
    assert [one.run for one in found] == [section(text).run for text in RECORDS.values()]
    assert "".join(f"{line}\n" for one in found for line in one.lines()) == path.read_text()


def test_a_record_from_a_pipe_has_its_lines_twice(tmp_path):
    read_end, write_end = os.pipe()
    os.write(write_end, alone().encode()[:60_000])
    os.close(write_end)
    (found,) = read_record(Path(f"/dev/fd/{read_end}"))
    os.close(read_end)
    assert len(list(found.lines())) == 7
    assert list(found.lines()) == alone().splitlines()


@given(st.integers(0, len(alone()) - 1))
def test_a_record_cut_short_anywhere_is_read_as_far_as_it_goes(length):
    raw = alone().encode()[:length]
    lines = raw.count(b"\n")
    half = raw.splitlines(keepends=True)[lines:]
    whole = half and b"\n" not in half[0] and half[0].endswith(b"}") and is_json(half[0])
    if lines == 0 and not whole:
        with pytest.raises(UsageError, match=r"is not a record|is empty"):
            read(raw)
        return
    (run,) = read(raw)
    assert sum(one.rounds for one in run.statistics) == min(max(lines + bool(whole) - 1, 0), 5)
    assert run.end is None or whole
    if not whole:
        assert run.remarks[-1] == "the record has no end: oomctl was killed, or is still running"
    if half and not whole:
        assert run.remarks[0] == f"line {lines + 1} is only half there and left out"


def is_json(raw):
    try:
        json.loads(raw)
    except ValueError:
        return False
    return True


def edited(number, **change):
    lines = [json.loads(line) for line in alone().splitlines()]
    lines[number - 1].update(change)
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "r: is empty"),
        (b"\n", "r: is not a record"),
        (b"\x7fELF\x02\x01\n\xff\xfe", "r: is not a record"),
        (b"[1]\n", "r: is not a record"),
        (b'{"schema": 1, "environment": {}}\n', "r: is not a record"),
        (b"[" * 100_000 + b"\n", "r: is not a record"),
        (alone().encode().replace(b"\n", b"\nhello\n", 1), "r: line 2 is not JSON"),
        (edited(1, schema=1), "line 1: has schema 1, this oomctl knows 3"),
        (edited(1, variants=None), "line 1 is not as oomctl writes it"),
        (edited(1, variants=[{"label": ""}]), "line 1 lacks 'overrides'"),
        (edited(1, options=7), "line 1 is not as oomctl writes it"),
        (edited(2, variant="other"), "line 2 lacks 'other'"),
        (edited(2, variant=[]), "line 2 is not as oomctl writes it"),
        (edited(2, round="x"), "line 2 is not as oomctl writes it"),
        (edited(2, took_ns=10**30), "is larger than any number"),
        (edited(2, outcome={}), "line 2 lacks 'calls'"),
        (edited(2, outcome=[1]), "line 2 is not as oomctl writes it"),
        (edited(2, kind="valid"), "line 2 is not as oomctl writes it: kind 'valid'"),
        (edited(7, reason=None), None),
    ],
)
def test_what_is_not_a_record_is_refused(raw, says):
    if says is None:
        assert read(raw)
        return
    with pytest.raises(UsageError) as caught:
        read(raw)
    assert says in caught.value.why
    assert caught.value.hint


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_no_value_in_a_round_causes_a_traceback(value):
    line = json.loads(alone().splitlines()[1])
    for name in line["outcome"]:
        spoiled = {**line, "outcome": {**line["outcome"], name: value}}
        raw = f"{alone().splitlines()[0]}\n{json.dumps(spoiled)}\n".encode()
        with contextlib.suppress(UsageError):
            read(raw)


def test_a_path_that_cannot_be_read_is_refused(tmp_path):
    for path, says in (
        (tmp_path / "none", "No such file"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(UsageError, match=says):
            read_record(path)


def test_a_huge_binary_is_refused_by_its_first_byte(tmp_path):
    path = tmp_path / "r"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(UsageError, match="is not a record"):
        read_record(path)


def test_a_file_that_is_not_empty_is_not_changed(tmp_path):
    path = tmp_path / "r"
    path.write_text("precious")
    with pytest.raises(UsageError, match="holds something already"):
        Record(path).__enter__()
    assert path.read_text() == "precious"


@pytest.mark.parametrize("there", [False, True])
def test_without_a_round_the_file_is_as_it_was_before(tmp_path, there):
    path = tmp_path / "r"
    if there:
        path.touch()
    with Record(path) as record:
        record.write({"kind": "run"})
    assert path.exists() is there
    assert not there or path.read_bytes() == b""


@pytest.mark.parametrize("there", [False, True])
def test_a_link_to_a_record_is_never_removed(tmp_path, there):
    link, path = tmp_path / "link", tmp_path / "r"
    link.symlink_to("r")
    if there:
        path.touch()
    with Record(link) as record:
        record.write({"kind": "run"})
    assert link.is_symlink()
    assert path.read_bytes() == b""


def test_a_file_that_replaced_the_record_is_not_removed(tmp_path):
    path = tmp_path / "r"
    with Record(path):
        path.rename(tmp_path / "moved")
        path.write_text("precious")
    assert path.read_text() == "precious"


def test_a_link_to_a_descriptor_is_not_removed(tmp_path):
    """As root, `--record /dev/stdout >f` once removed /dev/stdout."""
    with (tmp_path / "f").open("w") as file:
        names = tmp_path / "stdout"
        names.symlink_to(f"/proc/self/fd/{file.fileno()}")
        with Record(names):
            pass
        assert names.is_symlink()


@pytest.mark.parametrize("place", ["/proc/nonsense/r", "/dev/null", "/"])
def test_a_path_where_no_file_can_be_made_is_refused(place):
    with pytest.raises(UsageError, match=f"the record {place}: "):
        Record(Path(place)).__enter__()


def test_a_full_disk_leaves_whole_lines(tmp_path, monkeypatch):
    path, real = tmp_path / "r", os.write
    with Record(path) as record:
        record.write({"kind": "round", "n": 1})

        def full(fd, data):
            if len(data) > 10:
                return real(fd, data[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "write", partial(full))
        with pytest.raises(OomctlError, match=f"cannot write the record {path}: No space"):
            record.write({"kind": "round", "n": 2})
        monkeypatch.setattr(os, "write", real)
        record.write({"kind": "end"})
    assert path.read_text() == '{"kind": "round", "n": 1}\n{"kind": "end"}\n'


def test_exit_codes():
    def run(rounds, judged=True, end=None):
        return section(recorded(head("", judged=judged), rounds, end)).run

    good, bad = run([("", 1, busy(1))]), run(five())
    silent = run([("", 1, NOT_FILLED), ("", 2, busy(2))], judged=False)
    assert exit_of([good]) == 0
    assert exit_of([good, bad]) == 1
    assert exit_of([run([("", 1, busy(1))], end=End("differs", "x"))]) == 1
    assert exit_of([run([], end=End("unsupported", "x"), judged=False), good]) == 3
    assert exit_of([run([], judged=False), bad]) == 1
    assert exit_of([silent]) == 1  # its second round has expectations


HEAD = alone().splitlines()[0].encode() + b"\n"


@pytest.mark.parametrize(
    "line",
    [
        b'\xef\xbb\xbf{"kind": "end"}',
        b'{"kind": "end", "why": "done", "reason": "\xed\xa0\x80"}',
        '{"kind": "end", "why": "done", "reason": ""}'.encode("utf-16-le"),
        b"[" * 99_999,
    ],
)
def test_a_line_that_is_not_plain_json_is_refused(line):
    with pytest.raises(UsageError, match=r"^r: line 2 is not JSON; give a file"):
        read(HEAD + line + b"\n")


@pytest.mark.parametrize(
    "number", ["NaN", "-Infinity", "1e400", "18446744073709551616", "-1" + "0" * 5000]
)
def test_a_number_out_of_range_is_refused_and_named(number):
    text = f'{{"kind": "end", "why": "done", "reason": {number}}}\n'
    with pytest.raises(UsageError, match="line 2 is not as oomctl writes it: ") as caught:
        read(HEAD + text.encode())
    assert number[:50] in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("why", ["", "maybe", 1, None, [], {}])
def test_an_unknown_end_is_refused(why):
    with pytest.raises(UsageError, match="line 2 is not as oomctl writes it: end "):
        read(HEAD + json.dumps({"kind": "end", "why": why, "reason": ""}).encode() + b"\n")


def test_lines_that_another_program_wrote_are_escaped_again(tmp_path):
    path = tmp_path / "r"
    end = {"kind": "end", "why": "failed", "reason": "\x9b31m \x7f é"}
    path.write_bytes(HEAD + json.dumps(end, ensure_ascii=False).encode() + b"\n")
    (found,) = read_record(path)
    *_head, last = found.lines()
    assert last.isascii()
    assert last.isprintable()
    assert json.loads(last) == end
