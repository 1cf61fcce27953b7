"""Why a BPF object does not load; running one needs the kfunc."""

import pytest

from oomctl.bpf import bpfobject, libbpf
from oomctl.errors import OomctlError, UnsupportedError
from oomctl.proc import capabilities


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (1, "oomctl doctor"),
        (13, "the verifier refused it"),
        (22, "the verifier refused it"),
        (3, "lacks something"),
        (12, "shows libbpf's log"),
    ],
)
def test_why_a_program_did_not_load(monkeypatch, number, hint):
    monkeypatch.setattr(capabilities, "lacking", lambda **_: iter(()))
    error = bpfobject._load_error(number)
    assert isinstance(error, UnsupportedError)
    assert hint in error.hint


def test_a_file_that_is_not_an_object(tmp_path):
    path = tmp_path / "x.bpf.o"
    path.write_bytes(b"not an ELF file")
    with pytest.raises(OomctlError, match=r"libbpf cannot open .*x\.bpf\.o") as caught:
        bpfobject.BpfObject(path).__enter__()
    assert "libbpf: " in caught.value.detail


def test_an_object_that_is_missing(tmp_path):
    with pytest.raises(OomctlError, match="No such file or directory"):
        bpfobject.BpfObject(tmp_path / "gone.bpf.o").__enter__()


def test_the_version_is_a_number():
    major, minor = libbpf.version().split(".")[:2]
    assert (int(major), int(minor)) >= (1, 0)
