"""The rows of the lab: what its machines cost beside a bare boot of the same kernel."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from benchmarks import guest
from benchmarks.host import compiled
from benchmarks.measure import Result, Row, Way, cpu_ms
from oomctl.lab import cached, initramfs, kept, kernel_option, kvm, qemu, tools
from oomctl.lab.qemu import Machine

ROUNDS = 3
_NAME = "benchmark"
_LAB = [sys.executable, "-m", "oomctl", "lab"]
_INIT = b"#!/busybox sh\n/busybox poweroff -f\n"
_COMMANDS = (("true", ["true"]), ("oomctl declare", ["oomctl", "declare"]))


@contextmanager
def rows(kernel: str, scratch: Path) -> Iterator[list[Row]]:
    """Give the rows of a kernel, as --kernel names it; a guest is kept until the end."""
    bare = Way("bare boot", lambda: cpu_ms(_bare(kernel, scratch)) / 1000)
    cold = Way("oomctl, only the kernel cached", lambda: _cold(kernel, scratch))
    subprocess.run([*_LAB, "start", "--kernel", kernel, "--name", _NAME], check=True)
    try:
        yield [
            Row("lab run -- true, cold", "s CPU", cold, [bare]),
            *(
                Row(
                    f"lab {verb} -- {name}", "s CPU", Way("oomctl", partial(measure, words)), [bare]
                )
                for verb, measure in (("run", partial(_run, kernel)), ("exec", _exec))
                for name, words in _COMMANDS
            ),
        ]
    finally:
        subprocess.run([*_LAB, "stop", "--name", _NAME], check=True)


def guest_results(kernel: str, scratch: Path, rounds: int, only: str) -> list[Result]:
    """Measure the rows of benchmarks/guest.py in a guest, those whose name has `only`."""
    file = scratch / "guest.json"
    here = [sys.executable, "-m", "benchmarks", "--guest", str(compiled(scratch))]
    words = [*here, "--rounds", str(rounds), "--json", str(file), "--only", only]
    options = ["--kernel", kernel, "--rwdir", str(scratch), "--timeout", "30m"]
    subprocess.run([*_LAB, "run", *options, "--", *words], check=True, stdout=subprocess.DEVNULL)
    costs = {each["name"]: each["costs"] for each in json.loads(file.read_text())["rows"]}
    places = scratch / "yardstick", scratch
    rows = [*guest.rows(*places), *guest.large_rows(*places)]
    return [Result(row, costs[row.name]) for row in rows if row.name in costs]


def smoke(kernel: str, scratch: Path) -> Row:
    """Return the row of the whole suite, on the clock."""

    def suite() -> float:
        began = time.monotonic()
        words = [*_LAB, "smoke", "--kernel", kernel]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        return time.monotonic() - began

    def bare() -> float:
        began = time.monotonic()
        cpu_ms(_bare(kernel, scratch))
        return time.monotonic() - began

    return Row("lab smoke, all cases", "s", Way("oomctl", suite), [Way("bare boot", bare)], goal=45)


def _run(kernel: str, words: Sequence[str], environment: Mapping[str, str] | None = None) -> float:
    return cpu_ms([*_LAB, "run", "--kernel", kernel, "--", *words], environment) / 1000


def _cold(kernel: str, scratch: Path) -> float:
    """Boot with a new cache that has the kernels: KVM is probed, and the module is built."""
    with TemporaryDirectory(dir=scratch) as new:
        Path(new, "kernels").symlink_to(cached.home())
        return _run(kernel, ["true"], {**os.environ, "OOMCTL_CACHE": new})


def _exec(words: Sequence[str]) -> float:
    keeper = psutil.Process(kept.find(_NAME).pid)

    def spent() -> float:
        times = [each.cpu_times() for each in (keeper, *keeper.children(recursive=True))]
        return sum(each.user + each.system for each in times)

    before = spent()
    return cpu_ms([*_LAB, "exec", "--name", _NAME, "--", *words]) / 1000 + spent() - before


def _bare(kernel: str, scratch: Path) -> list[str]:
    """Return the command that boots a kernel as the lab does, into a program that ends it."""
    image, busybox = kernel_option.find(kernel).image, Path("/bin/busybox").read_bytes()
    initrd = scratch / "initrd"
    initrd.write_bytes(initramfs.archive({"init": _INIT, "busybox": busybox}))
    machine = Machine(image)
    words = [str(tools.qemu()), "-kernel", str(image), "-initrd", str(initrd), "-m", "2048"]
    words += ["-smp", "2", "-nodefaults", "-display", "none", "-serial", "null", "-no-reboot"]
    emulated = machine.architecture.emulated
    words += ["-enable-kvm", "-cpu", "host"] if kvm.works(image) else emulated
    return [*words, "-append", qemu.kernel_line(machine)]
