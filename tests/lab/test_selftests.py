"""Is the guest a true machine for memory? The kernel's own tests of memory cgroups ask it.

`make selftests` builds them out of Debian's linux-source, static, and runs them in the lab. Where
transparent huge pages are always used, test_memcg_reclaim and test_memcg_swap_max_peak fail: both
compare usages with a margin of 3 %, which one huge page can be.
"""

import os
import re
import subprocess

import pytest

from oomctl.lab import cached, source, stock
from oomctl.lab.kernel_option import REFERENCE, STOCK
from tests.lab import linux_source
from tests.lab.guests import lab

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("OOMCTL_SELFTESTS") != "1",
        reason="fetches the kernel's source and boots a guest: `make selftests`",
    ),
    pytest.mark.timeout(3600),
    pytest.mark.usefixtures("nothing_is_left"),
]

PROGRAMS = {"test_memcontrol": 14, "test_core": 12, "test_freezer": 8}
"""The number of tests that each has at least."""
SOURCES = ("*/tools/testing/selftests/cgroup/*", "*/tools/testing/selftests/kselftest*")
MORE = ("*/tools/testing/selftests/clone3/*", "*/tools/testing/selftests/pidfd/*")
RESULT = re.compile(r"^(not ok|ok) (\d+) (?:# (SKIP) )?(\w+)", re.M)
MACHINE = ("--disk", "4G", "--swap", "1G", "--append", "transparent_hugepage=never")


@pytest.fixture(scope="module", params=[STOCK, REFERENCE])
def kernel(request):
    if request.param == REFERENCE and cached.reference() is None:
        pytest.skip("there is no reference kernel: oomctl lab build")
    return request.param


@pytest.fixture(scope="module")
def programs(kernel, tmp_path_factory):
    """Build them as the kernel's Makefile does, without optimization: it would drop stores."""
    folder = tmp_path_factory.mktemp("selftests")
    if kernel == REFERENCE:
        linux_source.take(source.newest(False).path, folder, *SOURCES, *MORE)
    else:
        version = re.match(r"\d+\.\d+", stock.get().release)[0]
        linux_source.unpack(f"linux-source-{version}", folder, *SOURCES, *MORE)
    tests = folder / "tools/testing/selftests/cgroup"
    helper, header = (next(tests.rglob(f"cgroup_util.{end}")) for end in "ch")
    for name in PROGRAMS:
        words = ["gcc", "-static", "-pthread", f"-I{header.parent}", "-I..", "-o", name]
        subprocess.run([*words, f"{name}.c", str(helper)], cwd=tests, check=True)
    return tests


def results(text):
    """Return each test's last result: a child that was forked prints its parent's lines too."""
    return {found[4]: found[3] or found[1] for found in RESULT.finditer(text)}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_kernels_own_tests_pass(kernel, programs, name):
    words = ["sh", "-c", f"cd /var/tmp && exec {programs}/{name}"]
    done = lab("--kernel", kernel, "--timeout", "1500", *MACHINE, "--", *words)
    came = results(done.stdout.decode())
    print(f"{name} on {kernel}: {came}", done.stderr.decode())
    assert len(came) >= PROGRAMS[name]
    assert [test for test, result in came.items() if result == "not ok"] == []
    if name == "test_memcontrol":
        skipped = {test for test, result in came.items() if result == "SKIP"}
        # the reference has no CONFIG_IPV6
        assert skipped == ({"test_memcg_sock"} if kernel == REFERENCE else set())
