import errno
import itertools
import os
import time

import pytest

from oomctl.errors import UnsupportedError
from oomctl.oom.log.logrecord import Record
from oomctl.proc import kmsg
from oomctl.proc.capabilities import CapabilitySets
from oomctl.proc.kmsg import Kmsg
from tests.descriptors import descriptors


def record(sequence, text="hello"):
    return f"6,{sequence},{sequence * 10},-;{text}\n".encode()


@pytest.fixture
def device(tmp_path, monkeypatch):
    """A kernel log that answers read(2) from a list: bytes, or an errno to raise."""
    answers = []

    def read(_fd, size):
        if not answers:
            raise BlockingIOError(errno.EAGAIN, "nothing yet")
        answer = answers.pop(0)
        if isinstance(answer, int):
            raise OSError(answer, os.strerror(answer))
        if len(answer) > size:
            raise OSError(errno.EINVAL, "the buffer is too short")
        return answer

    path = tmp_path / "kmsg"
    path.touch()
    monkeypatch.setattr(kmsg.os, "read", read)
    with Kmsg(path) as log:
        yield log, answers
    monkeypatch.undo()


def test_records_come_in_order(device):
    log, answers = device
    answers += [record(7, "a"), record(8, "b")]
    seen = log.read()
    assert seen.records == (Record(7, 70, "a"), Record(8, 80, "b"))
    assert seen.lost == 0
    assert log.read().records == ()


def test_what_was_overwritten_is_counted_between_reads_too(device):
    log, answers = device
    answers += [record(7), errno.EPIPE, record(10)]
    assert log.read().lost == 2
    answers += [errno.EPIPE, record(15)]
    assert log.read().lost == 4


def test_a_record_of_user_space_is_left_out_and_not_lost(device):
    log, answers = device
    forged = b"12,8,80,-;Out of memory: Killed process 1 (init)\n"
    answers += [record(7), forged, record(9)]
    seen = log.read()
    assert [each.sequence for each in seen.records] == [7, 9]
    assert seen.lost == 0


def test_the_longest_record_of_the_kernel_fits(device):
    log, answers = device
    answers.append(record(1, "x" * 8000))
    assert len(log.read().records[0].text) == 8000


def test_with_since_boot_what_was_there_before_is_read(device):
    log, answers = device
    answers += [errno.EPIPE, record(5, "early"), record(6)]
    with Kmsg(log._path, since_boot=True) as log:
        seen = log.read()
    assert [each.sequence for each in seen.records] == [5, 6]
    assert seen.lost == 5


def test_what_was_there_before_is_skipped(device):
    log, answers = device
    answers += [record(1), record(2)]
    with Kmsg(log._path) as log:
        assert answers == []
        answers.append(record(3))
        seen = log.read()
    assert ([each.sequence for each in seen.records], seen.lost) == ([3], 0)


def test_what_was_lost_before_the_first_read_is_counted(device):
    """In a flood: its first records are overwritten."""
    log, answers = device
    answers += [record(1), record(2)]
    with Kmsg(log._path) as log:
        answers += [errno.EPIPE, record(19398), record(19399)]
        seen = log.read()
    assert seen.lost == 19395
    assert [each.after_loss for each in seen.records] == [True, False]


def test_a_loss_before_a_record_of_user_space_is_one_before_the_next_of_the_kernel(device):
    log, answers = device
    answers += [record(7), errno.EPIPE, b"12,10,80,-;x\n", record(11)]
    assert [each.after_loss for each in log.read().records] == [False, True]


def test_a_flood_that_outruns_the_reader_does_not_hold_it(device, monkeypatch):
    log, answers = device
    now = [0.0]
    flood = itertools.count(1)

    def monotonic():
        now[0] += 0.01
        answers.extend(record(next(flood)) for _ in range(kmsg._AT_ONCE))
        return now[0]

    jumps = []
    monkeypatch.setattr(kmsg.time, "monotonic", monotonic)
    monkeypatch.setattr(kmsg.os, "lseek", lambda _fd, to, whence: jumps.append((to, whence)))
    answers.append(record(next(flood)))
    with Kmsg(log._path) as log:
        assert jumps == [(0, os.SEEK_END)]
        read = next(flood) - len(answers) - 1
        answers[:] = [record(90_000)]
        seen = log.read()
        assert seen.records[0].sequence == 90_000
        assert seen.lost == 90_000 - read - 1
        assert len(seen.records) <= 502 * kmsg._AT_ONCE


@pytest.mark.parametrize("text", ["", "a line\n" * 3, "6,1,2,-;hello\n"])
def test_a_file_that_is_not_the_kernel_log_is_refused_at_once(tmp_path, text):
    """In a container /dev/kmsg may be /dev/null."""
    path = tmp_path / "kmsg"
    path.write_text(text)
    opened, began = len(descriptors()), time.process_time()
    with pytest.raises(UnsupportedError, match=r"kmsg is not the kernel log \(a container\?\)"):
        Kmsg(path).__enter__()
    assert time.process_time() - began < kmsg._PATIENCE / 2
    assert len(descriptors()) == opened


def test_what_ceases_to_be_the_kernel_log_is_said(device):
    log, answers = device
    answers.append(b"")
    with pytest.raises(UnsupportedError, match="is not the kernel log"):
        log.read()


def test_without_permission_the_capability_is_named(tmp_path, monkeypatch):
    """Root without CAP_SYSLOG was advised to run it as root."""

    def refuse(*_args):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(kmsg.os, "open", refuse)
    monkeypatch.setattr(
        CapabilitySets, "own", lambda: CapabilitySets(effective=0, bounding=0, uid=0)
    )
    with pytest.raises(UnsupportedError) as raised, Kmsg(tmp_path):
        pass
    assert ": CAP_SYSLOG is not held, nor in the bounding set: " in raised.value.why
    assert "--cap-add=SYSLOG" in raised.value.hint
    monkeypatch.setattr(
        CapabilitySets, "own", lambda: CapabilitySets(effective=1 << 34, bounding=0, uid=0)
    )
    with pytest.raises(UnsupportedError, match="Operation not permitted; run it as root"):
        Kmsg(tmp_path).__enter__()


def test_a_log_that_cannot_be_opened_says_why(tmp_path):
    with pytest.raises(UnsupportedError, match=r"cannot read the kernel log at .*No such file"):
        Kmsg(tmp_path / "gone").__enter__()


def test_it_is_closed_at_the_end(device):
    log, _answers = device
    with Kmsg(log._path) as log:
        fd = log._fd
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_block_is_named_by_two_lines_and_inner_ones_are_not(monkeypatch):
    written = []
    monkeypatch.setattr(kmsg, "_write", written.append)
    with kmsg.marked("lock.busy"), kmsg.marked("declare on /a"):
        pass
    with pytest.raises(OSError, match="x"), kmsg.marked("again"):
        raise OSError("x")
    assert written == [
        "begin lock.busy; OOM reports are expected",
        "end lock.busy",
        "begin again; OOM reports are expected",
        "end again",
    ]


@pytest.mark.parametrize("there", [True, False])
def test_nothing_but_the_kernel_log_is_written_to(monkeypatch, tmp_path, there):
    path = tmp_path / "kmsg"
    monkeypatch.setattr(kmsg, "_KMSG", path)
    if there:
        path.touch()
    with kmsg.marked("x"):
        pass
    assert not there or path.read_bytes() == b""
