"""The kfunc and our programs: each check in each of its states."""

from dataclasses import replace

import pytest

from oomctl.doctor.machine import selected
from oomctl.errors import UnsupportedError
from oomctl.oom.event import EventKind
from tests.machine import observer, the

REFUSED = UnsupportedError("it refused", "fix it")


@pytest.mark.parametrize(
    ("what", "name", "state"),
    [
        ("libbpf", "libbpf", "missing"),
        ("btf", "BTF", "missing"),
        ("kfunc", "kfunc", "missing"),
        ("load", "BPF program", "missing"),
        ("log", "kernel log", "missing"),
    ],
)
def test_an_error_of_oomctl_itself_is_the_finding(fit_machine, what, name, state):
    fit_machine.said[what] = REFUSED
    found = the(fit_machine, name)
    assert (found.state, found.found, found.fix) == (state, "it refused", "fix it")


@pytest.mark.parametrize(
    ("provider", "says"), [("vmlinux", "v3, from vmlinux: int bpf_"), ("m", "v3, from module m: ")]
)
def test_the_provider_of_the_kfunc(fit_machine, provider, says):
    fit_machine.said["kfunc"] = replace(fit_machine.said["kfunc"], provider=provider)
    assert the(fit_machine, "kfunc").found.startswith(says)


@pytest.mark.parametrize(
    ("text", "state", "says"),
    [("0", "missing", "off"), ("1", "ok", "on"), ("2", "warning", "dumped")],
)
def test_the_jit(fit_machine, text, state, says):
    fit_machine.write("/proc/sys/net/core/bpf_jit_enable", text)
    found = the(fit_machine, "BPF JIT")
    assert (found.state, says in found.found) == (state, True)


def test_the_jit_in_another_network_namespace(fit_machine):
    fit_machine.remove("/proc/sys/net/core/bpf_jit_enable")
    assert "not visible" in the(fit_machine, "BPF JIT").found


@pytest.mark.parametrize(
    ("text", "has_kfunc", "state"),
    [
        ("[none] integrity confidentiality", False, "ok"),
        ("none [integrity] confidentiality", False, "warning"),
        ("none [integrity] confidentiality", True, "ok"),
        ("none integrity [confidentiality]", True, "warning"),
    ],
)
def test_lockdown(fit_machine, text, has_kfunc, state):
    fit_machine.write("/sys/kernel/security/lockdown", text)
    if not has_kfunc:
        fit_machine.said["kfunc"] = REFUSED
    found = the(fit_machine, "lockdown")
    assert found.state == state
    assert found.found.startswith(selected(text))


@pytest.mark.parametrize(
    ("path", "text", "says"),
    [
        ("/proc/sys/kernel/modules_disabled", "1\n", "no more modules"),
        ("/sys/module/module/parameters/sig_enforce", "Y\n", "signed modules only"),
        ("/sys/kernel/security/lockdown", "none [integrity] confidentiality", "signed modules"),
        ("/proc/modules", None, "loads no modules"),
        ("/sys/module/module/parameters/sig_enforce", "N\n", "loads unsigned modules"),
    ],
)
def test_modules(fit_machine, path, text, says):
    if text is None:
        fit_machine.remove(path)
    else:
        fit_machine.write(path, text)
    assert the(fit_machine, "modules").state == "ok"  # the kfunc is there
    fit_machine.__dict__.pop("has_kfunc")
    fit_machine.said["kfunc"] = REFUSED
    found = the(fit_machine, "modules")
    assert found.state == ("ok" if "unsigned" in says else "warning")
    assert says in found.found


def test_events_that_this_kernel_cannot_report(fit_machine):
    fit_machine.said["trace"] = observer(without={EventKind.SIGKILL})
    found = the(fit_machine, "BPF tracing")
    assert (found.state, "not sigkill" in found.found) == ("warning", True)


@pytest.mark.parametrize(
    ("silent", "unseen"),
    [
        (("sigkill",), {EventKind.SIGKILL}),
        (("process_exit",), set()),
        (("process_exit", "missed_exit"), {EventKind.EXIT}),
        (("sigkill", "process_exit", "missed_exit"), {EventKind.SIGKILL, EventKind.EXIT}),
    ],
)
def test_silent_programs_are_named_and_their_events_not_claimed(fit_machine, silent, unseen):
    fit_machine.said["trace"] = observer(without=unseen, silent=silent)
    found = the(fit_machine, "BPF tracing")
    assert (found.state, bool(found.fix)) == ("warning", True)
    assert f"programs {', '.join(silent)}" in found.found
    lost = found.found.partition("; not seen: ")[2]
    assert lost == ", ".join(kind.name.lower() for kind in EventKind if kind in unseen)


def test_programs_that_cannot_be_tried_are_counted_apart(fit_machine):
    found = the(fit_machine, "BPF tracing")
    assert found.state == "ok"
    assert "4 programs cannot be tried without an OOM kill" in found.found


def test_without_tracing_the_log_is_the_only_source(fit_machine):
    fit_machine.said["trace"] = REFUSED
    found = the(fit_machine, "BPF tracing")
    assert found.state == "warning"
    assert found.found == "it refused; only the kernel log will tell which tasks died"
    assert found.fix == "fix it"


def test_no_advice_to_get_capabilities_that_are_held(fit_machine):
    fit_machine.said["trace"] = UnsupportedError("Operation not permitted", "hold CAP_BPF")
    assert "though oomctl has the capabilities" in the(fit_machine, "BPF tracing").fix
    fit_machine.status = {"CapEff": "0", "CapBnd": "0"}
    assert the(fit_machine, "BPF tracing").fix == "hold CAP_BPF"


def test_no_advice_to_load_a_module_on_a_kernel_without_modules(fit_machine):
    fit_machine.said["kfunc"] = UnsupportedError("there is none", "run `oomctl kfunc load`")
    assert the(fit_machine, "kfunc").fix == "run `oomctl kfunc load`"
    fit_machine.remove("/proc/modules")
    found = the(fit_machine, "kfunc")
    assert (found.state, found.found) == ("missing", "there is none")
    assert "kfunc load" not in found.fix
    assert "oomctl lab run" in found.fix
