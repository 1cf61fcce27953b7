"""A host of the fleet as it is known here, event by event of Ansible. Pure."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from oomctl.errors import Exit
from oomctl.oom.enums import HostPhase

_ENDED = (HostPhase.DONE, HostPhase.FAILED, HostPhase.KERNEL_DIED)
_POLLED = {"at", "data", "rc", "boot", "said"}
_FIELDS: Mapping[str, Any] = {
    **dict.fromkeys((*_POLLED, "kernel", "error"), str),
    "at": int,
    "rc": int | None,
    "gone": bool,
}
_AT_WORK = (HostPhase.STARTING, HostPhase.RUNNING, HostPhase.LOST)
_WORST = (Exit.FAILED, Exit.USAGE, Exit.NOT_AS_WANTED, Exit.UNSUPPORTED)


@dataclass(frozen=True)
class Host:
    """What is known of a host: how far it is, and `code`, the exit code that it has or will have.

    `counts` are results by group and word, `begun` is the last case or round that was begun. Of the
    record `size` bytes have arrived, of which `tail` is the line that is not whole yet. `log` is
    the end of the kernel log that a dead kernel left. `used` tells whether something of ours may be
    on the host, `left` says why that is not known at the end.
    """

    name: str
    phase: HostPhase = HostPhase.WAITING
    code: int = Exit.FAILED
    reason: str = ""
    kernel: str = ""
    boot: str = ""
    begun: str = ""
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    size: int = 0
    tail: str = ""
    log: tuple[str, ...] = ()
    used: bool = False
    left: str = ""


def after(host: Host, event: str, task: str, result: Mapping[str, Any]) -> Host:
    """Return a host after an event of ansible-runner, such as runner_on_ok, in a task."""
    answer = _answer(result)
    unreachable = event == "runner_on_unreachable" or "timedout" in result
    ok = event in ("runner_on_ok", "runner_retry") and not unreachable
    if task == "refuse" and event == "runner_on_failed":
        return _ended(host, HostPhase.REFUSED, Exit.USAGE, str(result.get("msg")))
    if event == "runner_on_skipped":
        return host
    if event == "runner_on_start":
        begins = (task, host.phase) == ("start", HostPhase.WAITING)
        return replace(host, phase=HostPhase.STARTING, used=True) if begins else host
    if task == "start" and unreachable:
        return _ended(host, HostPhase.UNREACHABLE, Exit.FAILED, _why(result))
    if task == "start" and "boot" in answer:
        return replace(
            host, phase=HostPhase.RUNNING, boot=answer["boot"], kernel=answer.get("kernel", "")
        )
    if task == "start":
        code = Exit.UNSUPPORTED if "error" in answer else Exit.FAILED
        return _ended(host, HostPhase.REFUSED, code, answer.get("error") or _why(result))
    if task == "poll" and "at" in answer:
        return _polled(host, answer)
    if host.phase in _ENDED and task != "end":
        return host
    if task == "poll" and unreachable:
        return replace(host, phase=HostPhase.LOST, reason=_why(result))
    if task == "poll" and event == "runner_on_failed":
        return _ended(host, HostPhase.FAILED, Exit.FAILED, _why(result))
    if task == "return" and event == "runner_on_failed":
        return _died(host, "it has not come back")
    if task == "log" and ok:
        return _back(host, str(result.get("stdout", "")).splitlines())
    if task == "end" and answer.get("gone"):
        return replace(host, used=False, left="")
    if task == "end":
        why = _why(result) if not ok else "the command does not end"
        return replace(host, left=f"cannot tell whether its folder is gone: {why}")
    return host


def arrived(host: Host, result: Mapping[str, Any]) -> bytes:
    """Return what an event brings of the record beyond what the host has sent before."""
    answer = _answer(result)
    data = answer["data"][max(host.size - answer["at"], 0) :] if "at" in answer else ""
    return str(data).encode("latin-1", "replace")


def _polled(host: Host, answer: Mapping[str, Any]) -> Host:
    """Take what is new of the record, and the end."""
    new = answer["data"][max(host.size - answer["at"], 0) :]
    *lines, tail = f"{host.tail}{new}".split("\n")
    host = replace(host, size=host.size + len(new), tail=tail)
    for line in lines:
        host = _line(host, line)
    if answer["boot"] != host.boot:
        return _died(host, "it has booted since")
    if answer["rc"] is None:
        return host
    if answer["rc"] < 0:
        return _ended(host, HostPhase.FAILED, Exit.FAILED, "oomctl was killed there")
    said = [line for line in answer["said"].splitlines() if line.strip()]
    reason = host.reason or (said[-1] if said and answer["rc"] > 1 else "")
    refused = answer["rc"] == Exit.UNSUPPORTED and not host.size
    phase = HostPhase.REFUSED if refused else HostPhase.DONE
    return _ended(host, phase, answer["rc"], reason.removeprefix("oomctl: "))


def _line(host: Host, text: str) -> Host:
    """Take a line of the record: of the suite, of rounds, or of doctor."""
    try:
        line = json.loads(text)
        kind = line.get("kind")
        if kind == "start":
            return replace(host, begun=line["name"])
        if kind == "case":
            return _counted(host, line["name"].partition(".")[0], line["result"])
        if kind == "run":
            return replace(host, begun=f"{line['scenario']}: the first round")
        if kind == "round":
            name = line["variant"] or "rounds"
            return replace(
                _counted(host, name, line["verdict"]), begun=f"{name}: after {line['round']}"
            )
        if kind == "doctor":
            for check in line["checks"]:
                host = _counted(host, "checks", check["state"])
            lacks = [check["found"] for check in line["checks"] if check["state"] == "missing"]
            return replace(host, reason=lacks[0] if lacks else "")
    except (ValueError, KeyError, TypeError, AttributeError):
        pass  # the report says what it cannot read
    return host


def _counted(host: Host, group: str, word: str) -> Host:
    of_group = host.counts.get(group, {})
    return replace(
        host, counts={**host.counts, group: {**of_group, word: of_group.get(word, 0) + 1}}
    )


def _back(host: Host, lines: list[str]) -> Host:
    """Take the boot id and the kernel log of a host that has come back."""
    if host.boot in lines:
        return replace(host, phase=HostPhase.RUNNING, reason="")
    return replace(_died(host, "it has booted since"), log=tuple(lines[1:]))


def _died(host: Host, how: str) -> Host:
    begun = f"begun last: {host.begun}; " if host.begun else ""
    return _ended(host, HostPhase.KERNEL_DIED, Exit.NOT_AS_WANTED, f"{begun}{how}")


def _ended(host: Host, phase: HostPhase, code: int, reason: str) -> Host:
    return replace(host, phase=phase, code=code, reason=reason)


def _why(result: Mapping[str, Any]) -> str:
    """Return why a task failed, in a line."""
    if result.get("rc") == 127:
        return "it has no such Python; set ansible_python_interpreter"
    said = [str(result.get(key) or "").strip() for key in ("stderr", "msg")]
    last = next((each.splitlines()[-1] for each in said if each), "for an unknown reason")
    if "create temporary directory" in last or "[Errno 28]" in last:
        return "it has no space, or cannot be written to, there; set oomctl_folder"
    return last.removeprefix("Task failed: ")[:200]


def unfinished(host: Host, why: str) -> Host:
    """Return a host after the end of the playbook, which has failed if the host is not done."""
    waits = host.phase in (*_AT_WORK, HostPhase.WAITING)
    return _ended(host, HostPhase.FAILED, Exit.FAILED, f"Ansible: {why}") if waits else host


def _answer(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the agent printed, among what a shell or ssh may have printed."""
    for stream in ("stdout", "stderr"):
        for line in reversed(str(result.get(stream, "")).splitlines()):
            if line.startswith("{"):
                try:
                    found = json.loads(line)
                except ValueError:
                    continue
                return found if _is_ours(found) else {}
    return {}


def _is_ours(answer: Any) -> bool:
    """Tell whether an answer has the fields of the agent's, each of its type."""
    return (
        isinstance(answer, dict)
        and all(isinstance(value, _FIELDS.get(key, object)) for key, value in answer.items())
        and ("at" not in answer or answer.keys() >= _POLLED)
    )


def worst(hosts: Iterable[Host]) -> int:
    """Return the exit code of the worst host."""
    codes = {host.code for host in hosts}
    return next((code for code in _WORST if code in codes), max(codes, default=Exit.FAILED))
