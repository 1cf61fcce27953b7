"""Root, capabilities, namespaces: each check in each of its states."""

import os

import pytest

from oomctl.doctor import CHECKS, examine
from tests.machine import the


def test_not_root(fit_machine, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    found = the(fit_machine, "root")
    assert (found.state, found.fix) == ("missing", "run it with sudo")


@pytest.mark.parametrize(
    ("name", "bit", "state"),
    [
        ("CAP_SYS_ADMIN", 21, "warning"),
        ("CAP_SYS_RESOURCE", 24, "warning"),
        ("CAP_SYSLOG", 34, "warning"),
        ("CAP_SYS_PTRACE", 19, "warning"),
        ("CAP_KILL", 5, "warning"),
        ("CAP_BPF", 39, "ok"),  # CAP_SYS_ADMIN stands for these two
        ("CAP_PERFMON", 38, "ok"),
    ],
)
def test_a_capability_that_root_lacks(fit_machine, name, bit, state):
    fit_machine.lack(bit)
    found = the(fit_machine, name)
    assert found.state == state
    assert found.found.startswith("not held")
    others = [check for check in CHECKS if check.name.startswith("CAP_") and check.name != name]
    assert all(each.found == "held" for each in examine(fit_machine, others).findings)


@pytest.mark.parametrize("name", ["CAP_BPF", "CAP_PERFMON"])
def test_without_it_nor_sys_admin(fit_machine, name):
    fit_machine.status = {"CapEff": "0000000000000000", "CapBnd": "0" * 16}
    assert the(fit_machine, name).state == "missing"


@pytest.mark.parametrize(
    ("uid", "bounding", "fix"),
    [
        (0, True, "run it from a root shell that has all"),
        (7, True, "run it with sudo"),
        (0, False, "a container: `--cap-add=SYS_RESOURCE`"),
    ],
)
def test_how_a_capability_is_had(fit_machine, monkeypatch, uid, bounding, fix):
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    fit_machine.lack(24, bounding)
    found = the(fit_machine, "CAP_SYS_RESOURCE")
    assert fix in found.fix
    assert ("nor in the bounding set" in found.found) is not bounding


@pytest.mark.parametrize(
    ("kind", "name", "state"),
    [
        ("user", "user namespace", "missing"),
        ("pid", "PID namespace", "missing"),
        ("cgroup", "cgroup namespace", "warning"),
    ],
)
def test_a_namespace_of_its_own(fit_machine, own_namespaces, kind, name, state):
    own_namespaces.add(kind)
    assert the(fit_machine, name).state == state
    inside = the(fit_machine, "container")
    assert (inside.state, kind in inside.found) == ("warning", True)


@pytest.mark.parametrize("mark", ["/.dockerenv", "/run/.containerenv", "/run/systemd/container"])
def test_the_mark_of_a_container_alone_is_no_container(fit_machine, mark):
    fit_machine.write(mark, "")
    found = the(fit_machine, "container")
    assert (found.state, mark in found.found) == ("ok", True)
