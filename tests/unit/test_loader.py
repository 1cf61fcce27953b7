"""What the program leaves in its map, as an answer or an error; running it needs the kfunc."""

import pytest

from oomctl.answer import Answer, Stage
from oomctl.errors import OomctlError, UnsupportedError
from oomctl.kernel import libbpf, loader
from oomctl.kernel.loader import AnswerStruct


def answer(stage, ret=0, began=100, ended=300, timed_out=False):
    raw = AnswerStruct(began_ns=began, ended_ns=ended, ret=ret, stage=stage)
    return loader._answer(raw, 7, timed_out)


@pytest.mark.parametrize("ret", [1, 0, -16, -22])
def test_a_call_that_returned(ret):
    assert answer(Stage.CALLED, ret) == Answer(Stage.CALLED, 100, 300, ret, caller=7)


def test_a_call_that_has_not_returned_has_no_value():
    late = answer(Stage.CALLED, ended=0, timed_out=True)
    assert late.ret is None
    assert late.timed_out


@pytest.mark.parametrize(
    ("stage", "error", "says"),
    [
        (Stage.NOT_RUN, OomctlError, "the caller died before"),
        (Stage.NO_CGROUP, UnsupportedError, "no memory controller for the target"),
        (Stage.NO_MEMCG, UnsupportedError, "no memory controller for the target"),
        (Stage.ROOT, UnsupportedError, "root cgroup"),
    ],
)
def test_a_call_that_was_not_made(stage, error, says):
    with pytest.raises(error, match=says):
        answer(stage)


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (1, "CAP_BPF"),
        (13, "the verifier refused it"),
        (22, "the verifier refused it"),
        (3, "lacks something"),
        (12, "shows libbpf's log"),
    ],
)
def test_why_a_program_did_not_load(number, hint):
    error = libbpf._load_error(number)
    assert isinstance(error, UnsupportedError)
    assert hint in error.hint


def test_an_object_that_is_none(tmp_path):
    path = tmp_path / "x.bpf.o"
    path.write_bytes(b"not an ELF file")
    with pytest.raises(OomctlError, match=r"libbpf cannot open .*x\.bpf\.o") as caught:
        libbpf.BpfObject(path).__enter__()
    assert "libbpf: " in caught.value.detail


def test_an_object_that_is_missing(tmp_path):
    with pytest.raises(OomctlError, match="No such file or directory"):
        libbpf.BpfObject(tmp_path / "gone.bpf.o").__enter__()


def test_the_version_is_a_number():
    major, minor = libbpf.version().split(".")[:2]
    assert (int(major), int(minor)) >= (1, 0)
