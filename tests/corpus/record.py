"""Write the logs of real OOM kills, for the corpus; run it in the lab: it kills.

    oomctl lab run -- python tests/corpus/record.py v2 >record.txt

Each log follows a line `===== NAME`.
"""

import mmap
import os
import subprocess
import sys
import time
from pathlib import Path

M = 1 << 20
V2, V1 = Path("/sys/fs/cgroup"), Path("/run/cgroup1")
STYLES = {
    "kmsg": None,
    "dmesg": ["dmesg"],
    "ctime": ["dmesg", "-T"],
    "decoded": ["dmesg", "-x"],
    "iso": ["dmesg", "--time-format", "iso"],
    "delta": ["dmesg", "-d"],
    "raw": ["dmesg", "-r"],
    "bare": ["dmesg", "-t"],
    "syslog": ["dmesg", "-S"],
}


def hog(cgroup: Path, size: int, comm: str, adj: int = 0, shared: bool = False) -> int:
    """Start a process in a cgroup that fills that many bytes; return its PID."""
    ready, told = os.pipe()
    pid = os.fork()
    if pid:
        os.close(told)
        os.read(ready, 1)
        os.close(ready)
        return pid
    try:
        (cgroup / "cgroup.procs").write_text("0")
        Path("/proc/self/comm").write_bytes(os.fsencode(comm))
        Path("/proc/self/oom_score_adj").write_text(str(adj))
        flags = mmap.MAP_SHARED if shared else mmap.MAP_PRIVATE
        memory = mmap.mmap(-1, size, flags | mmap.MAP_ANONYMOUS)
        memory.madvise(23)  # MADV_POPULATE_WRITE
        os.write(told, b"x")
        time.sleep(600)
    finally:
        os._exit(9)


def made(path: Path, limit: int | None = None, group: bool = False) -> Path:
    """Make a cgroup below those that are there."""
    path.mkdir()
    v1 = path.is_relative_to(V1)
    if not v1 and path.parent == V2:
        (path / "cgroup.subtree_control").write_text("+memory")
    if limit is not None:
        (path / ("memory.limit_in_bytes" if v1 else "memory.max")).write_text(str(limit))
    if group:
        (path / "memory.oom.group").write_text("1")
    return path


def records(since: int) -> list[bytes]:
    """Return the records of /dev/kmsg after a sequence number."""
    fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    found = []
    try:
        while True:
            raw = os.read(fd, 16384)
            if int(raw.split(b",")[1]) > since:
                found.append(raw)
    except BlockingIOError:
        return found
    finally:
        os.close(fd)


def show(name: str, since: int) -> None:
    """Print what the kernel said since then, in each style."""
    time.sleep(0.5)
    for style, command in STYLES.items():
        print(f"===== {name}.{style}", flush=True)
        if command is None:
            os.write(1, b"".join(records(since)))
        else:
            subprocess.run(command, check=False)


def last() -> int:
    """Return the sequence number of the last record."""
    return int(records(-1)[-1].split(b",")[1])


def case(name: str, act, *pids: int) -> None:
    """Let something happen, and print the log of it."""
    since = last()
    subprocess.run(["dmesg", "-C"], check=False)
    act()
    show(name, since)
    for pid in pids:
        try:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
    time.sleep(5.2)


def limits(top: Path) -> None:
    """Kill in several ways that both versions of cgroups know."""
    shop = made(top / "shop", 64 * M)
    pids = [
        hog(shop, 20 * M, "db"),
        hog(shop, 8 * M, "side car", 500),
        hog(shop, 4096, "cron", -1000),
    ]
    case("limit", lambda: hog(shop, 60 * M, "web"), *pids)
    odd = made(top / "odd,task_memcg=x", 16 * M)
    case("comm", lambda: hog(odd, 40 * M, "a) [1], ] b,c"))
    tmp = made(top / "tmp", 32 * M)
    case("shmem", lambda: (hog(tmp, 24 * M, "shm", shared=True), hog(tmp, 16 * M, "small")))


def v2() -> None:
    """Kill in the ways of cgroup v2."""
    (V2 / "cgroup.subtree_control").write_text("+memory")
    top = made(V2 / "lab")
    limits(top)
    unit = made(top / "unit", 32 * M, group=True)
    pids = [hog(unit, 4 * M, "worker"), hog(unit, 4096, "master", -1000)]
    case("group", lambda: hog(unit, 60 * M, "leaky"), *pids)
    deep = top
    for n in range(6):
        deep = made(deep / (f"{n}" + "d" * 180))
        if n < 5:
            (deep / "cgroup.subtree_control").write_text("+memory")
    (deep.parents[1] / "memory.max").write_text(str(16 * M))
    case("long", lambda: hog(deep, 40 * M, "deep"))
    safe = made(top / "safe", 16 * M)
    hog(safe, 8 * M, "kept", -1000)
    sysrq = hog(made(top / "plain"), 24 * M, "greedy", 1000)
    case("sysrq", lambda: Path("/proc/sysrq-trigger").write_text("f"), sysrq)
    (top / "safe" / "memory.max").write_text("8M")
    case("nokill", lambda: (top / "safe" / "memory.max").write_text("1M"))
    calm = made(top / "calm", 64 * M)
    hog(calm, 8 * M, "calm")
    case(
        "declared",
        lambda: subprocess.run(["oomctl", "declare", "--cgroup", str(calm)], check=False),
    )
    burst = made(top / "burst", 8 * M)
    case("burst", lambda: [hog(burst, 20 * M, f"b{n}") for n in range(14)])
    Path("/proc/sys/vm/oom_dump_tasks").write_text("0")
    case("nodump", lambda: hog(burst, 20 * M, "nodump"))


def v1() -> None:
    """Kill in the ways of cgroup v1."""
    V1.mkdir()
    subprocess.run(["mount", "-t", "cgroup", "-o", "memory", "cgroup", str(V1)], check=True)
    top = made(V1 / "lab")
    limits(top)
    both = made(top / "memsw", 16 * M)
    print((both / "memory.memsw.limit_in_bytes").exists(), file=sys.stderr)
    nested = made(made(top / "outer", 24 * M) / "inner")
    case("nested", lambda: hog(nested, 40 * M, "inner"))


{"v1": v1, "v2": v2}[sys.argv[1]]()
