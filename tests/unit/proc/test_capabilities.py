"""A capability that is lacking is named the same wherever it is missed."""

import errno
import os

import pytest

from oomctl.bpf import bpfobject, btf
from oomctl.errors import UnsupportedError
from oomctl.experiment import environment
from oomctl.proc import capabilities, procfs
from oomctl.proc.capabilities import CAPABILITIES, SYS_ADMIN, CapabilitySets
from tests.machine import ALL_CAPABILITIES, V3, the

BIT = {each.name: each.bit for each in CAPABILITIES}
BPF, PERFMON, ADMIN = ("CAP_BPF", "CAP_PERFMON", "CAP_SYS_ADMIN")


@pytest.fixture
def without(monkeypatch):
    """Take capabilities away from us, also out of the bounding set."""

    def take(*names, bounding=True):
        held = ALL_CAPABILITIES & ~sum(1 << BIT[name] for name in names)
        left = CapabilitySets(held, ALL_CAPABILITIES if bounding else held, 0)
        monkeypatch.setattr(CapabilitySets, "own", lambda: left)

    return take


@pytest.mark.parametrize(
    ("names", "module", "named"),
    [
        ((), True, []),
        ((PERFMON,), True, []),  # CAP_SYS_ADMIN stands for it
        ((BPF, PERFMON), False, []),
        ((ADMIN,), False, []),
        ((ADMIN,), True, [ADMIN]),
        ((ADMIN, PERFMON), False, [PERFMON]),
        ((ADMIN, PERFMON), True, [ADMIN, PERFMON]),
        ((ADMIN, BPF, PERFMON), True, [ADMIN, BPF, PERFMON]),
    ],
)
def test_each_that_is_lacking_is_named(without, names, module, named):
    without(*names)
    lacks = list(capabilities.lacking(module=module))
    assert [lack.why.partition(" is ")[0] for lack in lacks] == named


@pytest.mark.parametrize("bounding", [True, False])
def test_doctor_says_the_same(without, fit_machine, monkeypatch, bounding):
    without(ADMIN, PERFMON, bounding=bounding)
    fit_machine.status = {
        "CapEff": f"{CapabilitySets.own().effective:x}",
        "CapBnd": f"{CapabilitySets.own().bounding:x}",
    }
    monkeypatch.setattr(type(fit_machine), "uid", 0)
    for lack in capabilities.lacking(module=True):
        name, _, why = lack.why.partition(" is ")
        found = the(fit_machine, name)
        assert (found.found, found.fix) == (why, lack.hint)


def test_what_is_needed_is_said_before_anything_is_made(without, cgroupfs, monkeypatch, capsys):
    without(ADMIN, PERFMON, bounding=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(procfs, "sees_init_pids", lambda: True)
    monkeypatch.setattr(btf, "find_kfunc", lambda: btf.Kfunc("bpf_oom_kfunc", V3.parameters))
    with pytest.raises(UnsupportedError, match=r"^CAP_PERFMON is not held, nor in the bounding"):
        environment.require_machine()
    assert capsys.readouterr().err.startswith("oomctl: CAP_SYS_ADMIN is not held")


@pytest.mark.parametrize("number", [errno.EPERM, errno.EINVAL, errno.EACCES])
def test_a_program_that_is_refused_for_want_of_several(without, number):
    without(ADMIN, BPF, bounding=False)
    error = bpfobject._load_error(number)
    assert ("CAP_SYS_ADMIN is " in error.why) == (number == errno.EPERM)
    assert " CAP_BPF is not held, nor in the bounding set: the kernel loads no" in error.why
    assert ("--cap-add=SYS_ADMIN" in error.hint) == (number == errno.EPERM)
    assert "--cap-add=BPF" in error.hint


def test_a_program_that_is_refused_for_want_of_one(without):
    without(ADMIN)
    error = bpfobject._load_error(errno.EPERM)
    assert "CAP_SYS_ADMIN is not held: libbpf cannot read the BTF of modules" in error.why
    assert error.hint == SYS_ADMIN.lack(CapabilitySets.own()).hint
    assert error.errno == errno.EPERM


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EACCES])
def test_the_verifier_needs_no_capability_for_modules(without, number):
    without(ADMIN)
    error = bpfobject._load_error(number)
    assert "CAP_" not in error.why
    assert "the verifier refused it" in error.hint


@pytest.mark.parametrize(
    ("names", "says"),
    [(("CAP_SYS_RESOURCE",), "CAP_SYS_RESOURCE is not held"), ((), "cannot be lowered here")],
)
def test_without_protection_a_note_says_so(without, monkeypatch, capsys, names, says):
    without(*names)
    monkeypatch.setattr(procfs, "set_oom_score_adj", lambda *_: False)
    with environment.protected():
        pass
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("oomctl: oomctl is not protected from the OOM killer: ")
    assert says in line
