"""A machine on which every check of `oomctl doctor` is ok, until a test changes it."""

from pathlib import Path
from types import SimpleNamespace

from oomctl.bpf.btf import Kfunc, Parameter
from oomctl.doctor import CHECKS, examine
from oomctl.doctor.machine import CGROUP2_SUPER_MAGIC, Machine, Program
from oomctl.oom.event import EventKind

V3 = Kfunc(
    "vmlinux",
    (
        Parameter("struct mem_cgroup *", "memcg__nullable"),
        Parameter("int", "order"),
        Parameter("u64", "flags"),
    ),
)
ALL_CAPABILITIES = (1 << 41) - 1
FILES = {
    "/proc/self/status": "Name:\tpython\n"
    f"CapEff:\t{ALL_CAPABILITIES:016x}\nCapBnd:\t{ALL_CAPABILITIES:016x}\n",
    "/proc/self/cgroup": "0::/\n",
    "/proc/1/comm": "init\n",
    "/proc/modules": "",
    "/proc/swaps": "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n",
    "/proc/meminfo": "MemTotal: 2097152 kB\nHugePages_Free: 0\nHugepagesize: 2048 kB\n",
    "/proc/pressure/memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "/proc/sys/vm/panic_on_oom": "0\n",
    "/proc/sys/vm/oom_kill_allocating_task": "0\n",
    "/proc/sys/vm/oom_dump_tasks": "1\n",
    "/proc/sys/vm/overcommit_memory": "0\n",
    "/proc/sys/kernel/panic": "-1\n",
    "/proc/sys/kernel/printk": "1\t4\t1\t7\n",
    "/proc/sys/kernel/dmesg_restrict": "1\n",
    "/proc/sys/net/core/bpf_jit_enable": "1\n",
    "/sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
    "/sys/module/zswap/parameters/enabled": "N\n",
}


def observer(without=(), silent=()):
    """An observer that sees all kinds of event but these; its `silent` programs do not run."""
    unproved = ("oom_begin", "oom_end", "mark_victim", "wake_reaper")
    kinds = frozenset(EventKind) - set(without)
    return SimpleNamespace(kinds=kinds, silent=tuple(silent), unproved=unproved)


class FakeMachine(Machine):
    """Files are in a temporary folder, the rest in attributes; an exception in `said` is raised."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.said: dict[str, object] = {
            "kfunc": V3,
            "libbpf": "1.1",
            "btf": None,
            "load": None,
            "trace": observer(),
            "log": None,
            "magic": CGROUP2_SUPER_MAGIC,
            "systemctl": (0, "stop\n"),
            "hog": (2, ""),
            "caller": (2, ""),
        }
        self.readonly = False
        self.writable = True
        self.delegates: set[str] = set()
        self.open_files = 1024
        self.available = 2 << 30
        self.running = [Program(1, "init", "/sbin/init")]
        self.binaries = ["aarch64", "x86_64"]
        self.command: tuple[Path, bytes] | None = None
        self.asked: list[tuple[str, ...]] = []
        for path, text in FILES.items():
            self.write(path, text)

    def write(self, path, text):
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        self.path(path).write_text(text)

    def remove(self, path):
        self.path(path).unlink()

    def lack(self, bit, bounding=True):
        """Take a capability away."""
        sets = {"CapEff": ALL_CAPABILITIES & ~(1 << bit), "CapBnd": ALL_CAPABILITIES}
        if not bounding:
            sets["CapBnd"] = sets["CapEff"]
        self.status = {name: f"{mask:016x}" for name, mask in sets.items()}

    def _say(self, what):
        said = self.said[what]
        if isinstance(said, Exception):
            raise said
        return said

    release = "6.12-test"
    architecture = "x86_64"

    def magic(self, _path):
        return self._say("magic")

    def read_only(self, _path):
        return self.readonly

    def may_write(self, _path):
        return self.writable

    def delegated(self, path):
        return path.name in self.delegates

    def kfunc(self):
        return self._say("kfunc")

    def libbpf_version(self):
        return self._say("libbpf")

    def require_btf(self):
        self._say("btf")

    def load(self):
        self._say("load")

    def trace(self):
        return self._say("trace")

    def open_log(self):
        self._say("log")

    @property
    def available_memory(self):
        return self.available

    def programs(self):
        return iter(self.running)

    def built_for(self, _program):
        return self.binaries

    def try_built(self, program):
        return self._say(program)

    def run(self, *command):
        self.asked.append(command)
        return self._say("systemctl")

    def which(self, _name):
        return self.command[0] if self.command else None

    def head(self, _path):
        return self.command[1]


def the(machine, name):
    """The finding of one check, without its prerequisite."""
    (check,) = [check for check in CHECKS if check.name == name]
    return examine(machine, [check]).findings[0]


def own_cgroup(machine, name, **files):
    """Put oomctl into a child of the root cgroup."""
    node = machine.hierarchy.create_cgroup(name)
    for file, text in files.items():
        (node.directory / file.replace("__", ".")).write_text(text)
    machine.write("/proc/self/cgroup", f"1:name=systemd:/x\n0::/{name}\n")
    return node
