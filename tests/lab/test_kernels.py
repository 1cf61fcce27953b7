"""Kernels that the lab builds and compares, for real: `oomctl lab build` before, or skipped."""

import fnmatch
import json
import os
import subprocess
from dataclasses import replace

import pytest

from oomctl.lab import build, cached, source
from oomctl.lab.cached import Flavour
from tests.lab.guests import LAB, MARKS, lab
from tests.lab.mutants import MUTATIONS

SMOKE = [*LAB[:-1], "smoke", "--format", "json"]
needs_reference = pytest.mark.skipif(
    cached.reference() is None, reason="there is no reference kernel: oomctl lab build"
)
pytestmark = MARKS


@needs_reference
def test_the_reference_has_the_kfunc_built_in():
    done = lab("--kernel", "reference", "--", "oomctl", "kfunc", "status", "-f", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["provider"] == "vmlinux"


@needs_reference
def test_the_reference_has_swap_disks_and_huge_pages():
    script = """
    set -e
    test "$(wc -l </proc/swaps)" = 2
    grep -q ' /var/tmp ext4 ' /proc/mounts
    grep -q '^HugePages_Total: *2$' /proc/meminfo
    test -e /proc/pressure/memory
    modprobe zram
    """
    options = ["--kernel", "reference", "--disk", "64M", "--swap", "64M", "--append", "hugepages=2"]
    done = lab(*options, "--", "sh", "-c", script)
    assert done.returncode == 0, done.stderr


@needs_reference
def test_two_kernels_are_compared():
    names = ["arguments.order-0", "arguments.order-minus-1"]
    words = [*SMOKE, "--kernel", "stock", "--kernel", "reference", *names]
    done = subprocess.run(words, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    providers = [each["environment"]["kfunc"]["provider"] for each in told["kernels"]]
    assert providers == ["bpf_oom_kfunc", "vmlinux"]
    assert told["differences"] == []


@pytest.mark.skipif(
    os.environ.get("OOMCTL_BUILD_TESTS") != "1",
    reason="compiles and links a kernel, minutes: set OOMCTL_BUILD_TESTS=1 as well",
)
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", ["order-check-removed", "always-0", "trylock-waits"])
def test_a_built_in_mutant_is_the_one_that_differs(name, request):
    (mutation,) = [each for each in MUTATIONS if each.name == name]
    request.getfixturevalue("nothing_is_left")
    sound = build.plan(source.newest(False), Flavour.PLAIN, (), None)
    text = sound.kfunc.decode()
    assert text.count(mutation.old) == 1
    broken = replace(sound, kfunc=text.replace(mutation.old, mutation.new).encode())
    kernels = [build.build(each).image.parents[1].name for each in (sound, broken)]
    groups = sorted({pattern.partition(".")[0] for pattern in mutation.blamed})
    words = [*SMOKE, *(word for each in kernels for word in ("--kernel", each)), *groups]
    done = subprocess.run(words, capture_output=True, check=False)
    cached.remove(kernels[1])
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)["differences"]
    assert all(each["results"][kernels[0]] == "passed" for each in told)
    failed = [each["name"] for each in told if each["results"][kernels[1]] == "failed"]
    for pattern in mutation.blamed:
        assert fnmatch.filter(failed, pattern), (pattern, failed)
