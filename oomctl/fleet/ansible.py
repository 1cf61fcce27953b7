"""Runs the playbook by ansible-runner, in folders of its own, and returns what happens."""

import os
import queue
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from oomctl.errors import UnsupportedError

_TICK = 0.2


@dataclass(frozen=True)
class Fleet:
    """Which hosts: inventories as for `ansible-playbook -i`, a pattern, and how many at once."""

    inventories: Sequence[str]
    limit: str | None
    forks: int


Event = Mapping[str, Any]


def play(
    folder: Path,
    fleet: Fleet,
    variables: Mapping[str, Any],
    take: Callable[[Event | None], None],
) -> None:
    """Run the playbook to its end; `take` gets each event, and None if there is none for a while.

    If an exception ends it, its processes end too, and `take` gets what they still said: which
    hosts had begun. The user's ansible.cfg, group_vars and environment hold.
    """
    try:
        from ansible_runner import Runner, RunnerConfig
    except ImportError:
        raise UnsupportedError(
            "a fleet needs Ansible", "install it with `pip install 'oomctl[fleet]'`"
        ) from None
    config = RunnerConfig(
        private_data_dir=str(folder),
        project_dir=str(Path.cwd()),
        playbook=str(Path(__file__).with_name("playbook.yml")),
        inventory=[*fleet.inventories],
        limit=fleet.limit,
        extravars=dict(variables),
        settings={"pexpect_timeout": _TICK},
        quiet=True,
    )
    config.forks = fleet.forks
    config.prepare()
    config.env |= {
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_NOCOLOR": "1",
    }
    config.env["PATH"] = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    if "ANSIBLE_HOST_KEY_CHECKING" not in os.environ:
        del config.env["ANSIBLE_HOST_KEY_CHECKING"]  # which ansible-runner switches off
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    ended = threading.Event()
    runner = Runner(config, event_handler=events.put, cancel_callback=ended.is_set)
    thread = threading.Thread(target=runner.run)
    thread.start()

    try:
        while thread.is_alive() or not events.empty():
            try:
                take(events.get(timeout=_TICK))
            except queue.Empty:
                take(None)
    finally:
        started = psutil.Process().children(recursive=True) if thread.is_alive() else []
        ended.set()
        thread.join()
        for each in started:  # Ansible's workers have sessions of their own
            with suppress(psutil.NoSuchProcess):
                each.kill()
        while not events.empty():
            take(events.get())
