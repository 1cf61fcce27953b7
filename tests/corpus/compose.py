"""Write the logs of the corpus that no kernel of the lab can write, each with its right answer.

The texts of older kernels are set down from the format strings of their mm/oom_kill.c and
mm/memcontrol.c, with invented names; the other styles are made from a log of the lab. The answers
are the values that the texts are made of.

    python tests/corpus/compose.py
"""

import json
import re
from pathlib import Path

HERE = Path(__file__).parent
BASE = "6.12-comm-dmesg"  # of the lab
TRACE = [
    "Call Trace:",
    " dump_stack+0x19/0x1b",
    " dump_header+0x90/0x229",
    " oom_kill_process+0x25e/0x3f0",
]
UNLIMITED = 9007199254740988


def answer(**fields):
    return fields


def save(name, lines, *answers, end="\n", encoding="utf-8"):
    text = end.join(lines) + end
    (HERE / f"{name}.log").write_bytes(text.encode(encoding, "surrogateescape"))
    (HERE / f"{name}.json").write_text(json.dumps(answers, indent=1, ensure_ascii=False) + "\n")


def stamped(lines, start=1000.0):
    return [f"[{start + at / 1000:12.6f}] {line}" for at, line in enumerate(lines)]


def syslog(lines, date="Mar  9 11:02:07", host="web01"):
    return [f"{date} {host} kernel: {line}" for line in lines]


def machine(ram, reserved, swap_kb, node=""):
    return [
        "Mem-Info:",
        "active_anon:191000 inactive_anon:2000 isolated_anon:0",
        " active_file:120 inactive_file:80 isolated_file:0",
        " unevictable:0 dirty:0 writeback:0 unstable:0",
        " slab_reclaimable:2100 slab_unreclaimable:4200",
        " mapped:300 shmem:2500 pagetables:900 bounce:0",
        " free:11000 free_pcp:0 free_cma:0",
        f"{node}DMA free:4500kB min:704kB low:880kB high:1056kB active_anon:100kB inactive_anon:0kB"
        " active_file:0kB inactive_file:0kB unevictable:0kB present:15992kB managed:15908kB "
        "mlocked:0kB",
        "lowmem_reserve[]: 0 992 992 992",
        "2700 total pagecache pages",
        "0 pages in swap cache",
        "Swap cache stats: add 0, delete 0, find 0/0",
        "Free swap  = 0kB",
        f"Total swap = {swap_kb}kB",
        f"{ram} pages RAM",
        "0 pages HighMem/MovableOnly",
        f"{reserved} pages reserved",
    ]


def memcg_old(victim, limit_of, usage, limit, failcnt, memsw=UNLIMITED):
    """3.10 to 4.20: mem_cgroup_print_oom_info()."""
    return [
        f"Task in {victim} killed as a result of limit of {limit_of}",
        f"memory: usage {usage}kB, limit {limit}kB, failcnt {failcnt}",
        f"memory+swap: usage {usage}kB, limit {memsw}kB, failcnt 0",
        f"kmem: usage 0kB, limit {UNLIMITED}kB, failcnt 0",
        f"Memory cgroup stats for {limit_of}: cache:64KB rss:{usage - 100}KB rss_huge:0KB "
        "mapped_file:8KB swap:0KB inactive_anon:4KB active_anon:900KB inactive_file:32KB "
        "active_file:32KB unevictable:0KB",
    ]


def v3_10(comm, pid, adj=0, gfp="0xd0", release="3.10.0-1160.el7.x86_64"):
    return [
        f"{comm} invoked oom-killer: gfp_mask={gfp}, order=0, oom_score_adj={adj}",
        f"{comm} cpuset=/ mems_allowed=0",
        f"CPU: 1 PID: {pid} Comm: {comm} Not tainted {release} #1",
        "Hardware name: Example Server/0X0000, BIOS 1.0 01/01/2015",
        *TRACE,
    ]


def rows_3_10(*rows):
    yield "[ pid ]   uid  tgid total_vm      rss nr_ptes swapents oom_score_adj name"
    for pid, uid, vm, rss, ptes, swap, adj, comm in rows:
        yield (
            f"[{pid:5d}] {uid:5d} {pid:5d} {vm:8d} {rss:8d} {ptes:7d} {swap:8d}"
            f"         {adj:5d} {comm}"
        )


def rows_4_4(*rows, pud=False):
    more = " nr_puds" if pud else ""
    yield f"[ pid ]   uid  tgid total_vm      rss nr_ptes nr_pmds{more} swapents oom_score_adj name"
    for pid, uid, vm, rss, ptes, swap, adj, comm in rows:
        third = f" {2:7d}" if pud else ""
        yield (
            f"[{pid:5d}] {uid:5d} {pid:5d} {vm:8d} {rss:8d} {ptes:7d} {3:7d}{third} {swap:8d}"
            f"         {adj:5d} {comm}"
        )


def rows_4_19(*rows):
    yield "Tasks state (memory values in pages):"
    yield "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name"
    for pid, uid, vm, rss, tables, swap, adj, comm in rows:
        yield (
            f"[{pid:7d}] {uid:5d} {pid:5d} {vm:8d} {rss:8d} {tables:8d} {swap:8d}"
            f"         {adj:5d} {comm}"
        )


def old_kill(cause, pid, comm, score, total, anon, file, shmem=None, killed=None, uid=None):
    kid, name = killed or (pid, comm)
    ident = f"{kid} ({name})" if uid is None else f"{kid} ({name}), UID {uid},"
    more = "" if shmem is None else f", shmem-rss:{shmem}kB"
    return [
        f"{cause}: Kill process {pid} ({comm}) score {score} or sacrifice child",
        f"Killed process {ident} total-vm:{total}kB, anon-rss:{anon}kB, file-rss:{file}kB{more}",
    ]


def new_kill(cause, pid, comm, sizes, uid, tables, adj):
    total, anon, file, shmem = sizes
    return (
        f"{cause}: Killed process {pid} ({comm}) total-vm:{total}kB, anon-rss:{anon}kB, "
        f"file-rss:{file}kB, shmem-rss:{shmem}kB, UID:{uid} pgtables:{tables}kB "
        f"oom_score_adj:{adj}"
    )


def chosen(constraint, pid, comm, uid, task_memcg, oom_memcg=None, nodes=("(null)", "/", "0")):
    whose = "global_oom" if oom_memcg is None else f"oom_memcg={oom_memcg}"
    nodemask, cpuset, mems = nodes
    return (
        f"oom-kill:constraint=CONSTRAINT_{constraint},nodemask={nodemask},cpuset={cpuset},"
        f"mems_allowed={mems},{whose},task_memcg={task_memcg},task={comm},pid={pid},uid={uid}"
    )


MEMCG, GLOBAL = "Memory cgroup out of memory", "Out of memory"


def old_kernels():
    docker = "/system.slice/docker-0a1b.scope"
    dump = [(4101, 0, 2900, 300, 9, 0, 0, "sh"), (4102, 0, 30000, 25600, 60, 10, 0, "ruby")]
    of_ruby = answer(
        end="killed",
        pid=4102,
        comm="ruby",
        cgroup=docker,
        memcg=docker,
        constraint="memcg",
        invoker_comm="ruby",
        invoker_pid=4102,
        order=0,
        gfp_mask=0xD0,
        usage=102400,
        limit=102400,
        failcnt=41,
        tasks=2,
        score=981,
        anon=102000,
        kernel="3.10.0-1160.el7.x86_64",
        follows=True,
    )
    ruby = [
        *v3_10("ruby", 4102),
        *memcg_old(docker, docker, 102400, 102400, 41, 102400),
        *rows_3_10(*dump),
        *old_kill(MEMCG, 4102, "ruby", 981, 120000, 102000, 400),
    ]
    save("3.10-memcg", stamped(ruby), of_ruby)
    uid = [*ruby[:-2], *old_kill(MEMCG, 4102, "ruby", 981, 120000, 102000, 400, 0, uid=1000)]
    save("3.10-el7-uid", syslog(stamped(uid)), of_ruby | answer(uid=1000, host="web01"))
    very_old = [
        *ruby[:-1],
        "Killed process 4102, UID 679, (ruby) total-vm:120000kB, anon-rss:102000kB, file-rss:400kB",
    ]
    very_old[0] = "ruby invoked oom-killer: gfp_mask=0xd0, order=0, oom_adj=0, oom_score_adj=0"
    very_old[2] = "Pid: 4102, comm: ruby Not tainted 2.6.32-754.el6.x86_64 #1"
    save("2.6.32-el6", stamped(very_old), of_ruby | answer(uid=679, kernel="2.6.32-754.el6.x86_64"))
    child = [
        *v3_10("cron", 801, gfp="0x201da"),
        *machine(262144, 6144, 0),
        *rows_3_10(
            (700, 0, 300000, 120000, 400, 0, 0, "master"),
            (701, 33, 90000, 80000, 200, 0, 0, "worker (1)"),
        ),
        *old_kill(GLOBAL, 700, "master", 470, 360000, 320000, 0, killed=(701, "worker (1)")),
    ]
    save(
        "3.10-child-killed",
        stamped(child),
        answer(
            end="killed",
            pid=701,
            comm="worker (1)",
            chosen_pid=700,
            score=470,
            constraint=None,
            memcg=None,
            invoker_comm="cron",
            order=0,
            tasks=2,
            totalpages=256000,
            follows=True,
        ),
    )
    nested = [
        "java invoked oom-killer: gfp_mask=0x24000c0, order=1, oom_score_adj=300",
        "java cpuset=kubepods mems_allowed=0-1",
        "CPU: 3 PID: 9100 Comm: java Tainted: G        W       4.4.0-210-generic #242-Ubuntu",
        *TRACE,
        *memcg_old("/kubepods/pod1/c1", "/kubepods/pod1", 204796, 204800, 9),
        "Memory cgroup stats for /kubepods/pod1/c1: cache:0KB rss:1024KB rss_huge:0KB",
        *rows_4_4((9100, 1000, 70000, 50000, 140, 0, 300, "java")),
        *old_kill(MEMCG, 9100, "java", 1300, 280000, 199000, 1000),
    ]
    save(
        "4.4-nested",
        syslog(nested, "Jan 31 23:59:59", "node-7"),
        answer(
            end="killed",
            pid=9100,
            comm="java",
            cgroup="/kubepods/pod1/c1",
            memcg="/kubepods/pod1",
            constraint="memcg",
            cpuset="kubepods",
            mems_allowed="0-1",
            order=1,
            invoker_adj=300,
            kernel="4.4.0-210-generic",
            host="node-7",
            tasks=1,
            usage=204796,
            limit=204800,
            failcnt=9,
            pgtables_row=143 * 4096,
        ),
    )
    v4_14 = [
        "stress invoked oom-killer: gfp_mask=0x14280ca(GFP_HIGHUSER_MOVABLE|__GFP_ZERO), "
        "nodemask=(null),  order=0, oom_score_adj=-998",
        "stress cpuset=/ mems_allowed=0",
        "CPU: 0 PID: 77 Comm: stress Not tainted 4.14.336 #1",
        *TRACE,
        *machine(524288, 24288, 409600, "Node 0 "),
        *rows_4_4(
            (76, 0, 1900, 250, 8, 0, 0, "stress"),
            (77, 0, 450000, 380000, 800, 9, 0, "stress"),
            pud=True,
        ),
        *old_kill(GLOBAL, 77, "stress", 640, 1800000, 1520000, 0, 0),
        "oom_reaper: reaped process 77 (stress), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB",
    ]
    save(
        "4.14-global",
        stamped(v4_14),
        answer(
            end="killed",
            pid=77,
            comm="stress",
            invoker_adj=-998,
            gfp_mask=0x14280CA,
            nodemask=None,
            gfp_flags="GFP_HIGHUSER_MOVABLE|__GFP_ZERO",
            kernel="4.14.336",
            tasks=2,
            shmem=0,
            totalpages=524288 - 24288 + 102400,
            follows=True,
            pgtables_row=805 * 4096,
        ),
    )
    v4_19 = [
        "dd invoked oom-killer: gfp_mask=0x6000c0(GFP_KERNEL), nodemask=0-1, order=0, "
        "oom_score_adj=0",
        "dd cpuset=/ mems_allowed=0-1",
        "CPU: 1 PID: 500 Comm: dd Not tainted 4.19.0-27-amd64 #1 Debian 4.19.316-1",
        *TRACE,
        *memcg_old("/a b/c", "/a b", 65536, 65536, 7),
        *rows_4_19(
            (499, 0, 1000, 100, 32768, 0, -1000, "keep"), (500, 0, 40000, 16000, 163840, 0, 0, "dd")
        ),
        *old_kill(MEMCG, 500, "dd", 990, 160000, 63000, 1000, 0),
    ]
    save(
        "4.19-memcg",
        stamped(v4_19),
        answer(
            end="killed",
            pid=500,
            cgroup="/a b/c",
            memcg="/a b",
            constraint="memcg",
            nodemask="0-1",
            tasks=2,
            kernel="4.19.0-27-amd64",
            follows=True,
            pgtables_row=163840,
        ),
    )
    v5_0 = [
        "php-fpm invoked oom-killer: gfp_mask=0x6200ca(GFP_HIGHUSER_MOVABLE), order=0, "
        "oom_score_adj=0",
        "CPU: 1 PID: 3300 Comm: php-fpm Not tainted 5.0.21 #1",
        *TRACE,
        *machine(131072, 3072, 0, "Node 0 "),
        *rows_4_19(
            (3300, 33, 9000, 5000, 90112, 0, 0, "php-fpm"),
            (3301, 999, 99000, 90000, 811008, 0, 0, "mysqld"),
        ),
        chosen("NONE", 3301, "mysqld", 999, "/system.slice/mysql.service"),
        *old_kill(GLOBAL, 3301, "mysqld", 703, 396000, 360000, 0, 0),
    ]
    save(
        "5.0-global",
        stamped(v5_0),
        answer(
            end="killed",
            pid=3301,
            uid=999,
            constraint="none",
            cgroup="/system.slice/mysql.service",
            memcg=None,
            score=703,
            totalpages=128000,
            follows=True,
            kernel="5.0.21",
        ),
    )
    return v5_0


def newer_kernels(v5_0):
    numa = [
        "numactl invoked oom-killer: gfp_mask=0x100cca(GFP_HIGHUSER_MOVABLE), order=0, "
        "oom_score_adj=0",
        "CPU: 9 PID: 42 Comm: numactl Not tainted 5.15.0-101-generic #111-Ubuntu",
        *TRACE,
        *machine(262144, 0, 0, "Node 1 "),
        *rows_4_19((42, 1000, 9000, 3900, 90112, 0, 0, "numactl")),
    ]
    sizes = (36000, 15600, 0, 0)
    for constraint, name, nodes in (
        ("MEMORY_POLICY", "5.15-mempolicy", ("1", "/", "0-1")),
        ("CPUSET", "5.15-cpuset", ("(null)", "batch,jobs", "1")),
    ):
        save(
            name,
            stamped(
                [
                    *numa,
                    chosen(constraint, 42, "numactl", 1000, "/user.slice", None, nodes),
                    new_kill(GLOBAL, 42, "numactl", sizes, 1000, 88, 0),
                ]
            ),
            answer(
                end="killed",
                pid=42,
                constraint=constraint.lower().replace("_", "-"),
                cpuset=nodes[1],
                mems_allowed=nodes[2],
                cgroup="/user.slice",
                totalpages=15992 // 4,
                follows=True,
                nodemask=None if nodes[0] == "(null)" else nodes[0],
            ),
        )
    only = chosen("MEMCG", 7, "x,pid=1", 0, "/t/in", "/t")
    save(
        "only-oom-kill",
        [only],
        answer(
            end="unknown",
            pid=7,
            comm="x,pid=1",
            cgroup="/t/in",
            memcg="/t",
            constraint="memcg",
            order=None,
        ),
    )
    kill = new_kill(MEMCG, 7, "a) b", (100, 50, 4, 2), 5, 8, 9)
    save(
        "only-killed",
        [kill],
        answer(
            end="killed",
            pid=7,
            comm="a) b",
            uid=5,
            anon=50,
            file=4,
            shmem=2,
            adj=9,
            constraint="memcg",
            memcg=None,
            tasks=0,
        ),
    )
    grep = []
    answers = []
    for number in range(14):
        grep += [chosen("MEMCG", 100 + number, "w", 0, f"/s/{number}", "/s")] if number < 10 else []
        grep.append(new_kill(MEMCG, 100 + number, "w", (100, 50, 4, 2), 0, 8, 0))
        told = number < 10
        answers.append(
            answer(
                pid=100 + number,
                memcg="/s" if told else None,
                cgroup=f"/s/{number}" if told else None,
            )
        )
    save("grepped", stamped(grep), *answers)
    panic = [
        "init invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=0, "
        "oom_score_adj=0",
        "CPU: 0 PID: 1 Comm: init Not tainted 6.8.0-45-generic #45-Ubuntu",
        *TRACE,
        *machine(65536, 4096, 0, "Node 0 "),
        *rows_4_19((200, 0, 900, 80, 40960, 0, -1000, "sshd")),
    ]
    save(
        "6.8-deadlocked",
        stamped(
            [
                *panic,
                "Out of memory and no killable processes...",
                "Kernel panic - not syncing: System is deadlocked on memory",
            ]
        ),
        answer(end="panic", pid=None, panic="System is deadlocked on memory", tasks=1),
    )
    save(
        "6.8-panic-on-oom",
        stamped(
            [
                *panic,
                "Kernel panic - not syncing: Out of memory: system-wide panic_on_oom is enabled",
            ]
        ),
        answer(end="panic", panic="Out of memory: system-wide panic_on_oom is enabled"),
    )
    save(
        "6.8-cut-off", stamped([*panic, *TRACE]), answer(end="unknown", pid=None, tasks=1, order=0)
    )
    save(
        "5.0-two-cut",
        stamped([*v5_0[:6], *v5_0]),
        answer(end="unknown", pid=None, invoker_comm="php-fpm"),
        answer(end="killed", pid=3301),
    )
    allocating = [
        *panic[:-3],
        new_kill(f"{GLOBAL} (oom_kill_allocating_task)", 1300, "init2", (100, 50, 4, 2), 0, 8, 0),
    ]
    save("6.8-allocating", stamped(allocating), answer(end="killed", pid=1300, allocating=True))
    save(
        "callbacks",
        stamped(["oom_kill_process: 23 callbacks suppressed", *v5_0]),
        answer(end="killed", pid=3301, suppressed=23),
    )
    one = [f"[{1 + at / 1000:12.6f}][ T3300] {line}" for at, line in enumerate(v5_0)]
    two = [
        f"[{1 + at / 1000:12.6f}][   T42] {line}"
        for at, line in enumerate(
            [
                *numa,
                chosen("CPUSET", 42, "numactl", 1000, "/user.slice", None, ("(null)", "c", "1")),
                new_kill(GLOBAL, 42, "numactl", sizes, 1000, 88, 0),
            ]
        )
    ]
    mixed = [line for pair in zip(one, two, strict=False) for line in pair]
    mixed += one[len(two) :] + two[len(one) :]
    save(
        "interleaved-callers",
        mixed,
        answer(pid=42, constraint="cpuset", caller="T42", tasks=1),
        answer(pid=3301, constraint="none", caller="T3300", tasks=2),
    )
    bare = [re.sub(r"\]\[ *T\d+\]", "]", line) for line in mixed]
    save(  # which line is of which report is not known: only what names its own is sure
        "interleaved-bare",
        bare,
        answer(end="unknown", pid=None, invoker_comm="php-fpm"),
        answer(end="unknown", pid=42, comm="numactl", constraint="cpuset", order=None, tasks=0),
        answer(end="killed", pid=42, comm="numactl", invoker_pid=None, order=None, tasks=0),
        answer(end="killed", pid=3301, comm="mysqld", invoker_pid=None, order=None, tasks=0),
    )
    hosts = [
        line
        for pair in zip(syslog(v5_0, host="a"), syslog(numa, host="b"), strict=False)
        for line in pair
    ]
    hosts += syslog(v5_0[len(numa) :], host="a")
    save(
        "two-hosts",
        hosts,
        answer(end="killed", pid=3301, host="a", tasks=2),
        answer(end="unknown", pid=None, host="b", invoker_comm="numactl"),
    )
    empty = [
        "k invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=-1000",
        "CPU: 0 PID: 9 Comm: k Not tainted 6.8.1 #1",
        *TRACE,
        "memory: usage 2048kB, limit 1024kB, failcnt 90",
        "swap: usage 0kB, limit 0kB, failcnt 0",
        "Memory cgroup stats for /full:",
        "anon 2000000",
        "file 0",
        *rows_4_19((9, 0, 900, 480, 40960, 0, -1000, "k")),
        "Out of memory and no killable processes...",
    ]
    save(
        "no-killable-loop",
        stamped(empty * 30),
        answer(
            end="no-task",
            pid=None,
            memcg="/full",
            repeats=29,
            limit=1024,
            follows=True,
        ),
    )


def odd_kernels():
    """Kernels without memcgs or cpusets, a unit of 5.4, taints of enterprise kernels, cut lines."""
    begun = [
        "app invoked oom-killer: gfp_mask=0x140dca(GFP_HIGHUSER_MOVABLE|__GFP_COMP|__GFP_ZERO), "
        "order=0, oom_score_adj=0",
        "CPU: 3 PID: 10 Comm: app Kdump: loaded Tainted: G               X --------- -  - "
        "4.18.0-553.el8.x86_64 #1",
        *TRACE,
        *machine(262144, 6144, 0, "Node 0 "),
        *rows_4_19((10, 0, 250, 101, 40960, 0, 0, "app")),
    ]
    sizes = (1000, 400, 4, 0)
    kill = new_kill(GLOBAL, 10, "app", sizes, 4294967294, 40, 0)
    right = answer(
        end="killed",
        pid=10,
        comm="app",
        uid=4294967294,
        constraint="none",
        memcg=None,
        invoker_pid=10,
        kernel="4.18.0-553.el8.x86_64",
        totalpages=256000,
        pgtables=40,
        tasks=1,
        follows=True,
    )
    start = "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null)"
    for name, summary, more in (
        ("no-memcg", ",cpuset=/,mems_allowed=0,task=app", {"cpuset": "/", "cgroup": None}),
        ("no-memcg-no-cpuset", ",task=app", {"cpuset": None, "cgroup": None}),
        ("no-cpuset", ",global_oom,task_memcg=/a/b,task=app", {"cgroup": "/a/b"}),
    ):
        lines = [*begun, f"{start}{summary},pid=10,uid=-2", kill]
        save(f"odd-{name}", stamped(lines), right | more)
    unit = r"/system.slice/system-odd\x2dname.slice/odd\x2dname@1.service"
    limited = [
        *begun[:2],
        *TRACE,
        "memory: usage 1024kB, limit 1024kB, failcnt 9",
        "swap: usage 0kB, limit 0kB, failcnt 0",
        f"Memory cgroup stats for {unit}:",
        "anon 409600",
        *begun[-3:],
        chosen("MEMCG", 10, "app", 0, unit, unit, ("(null)", r"odd\x2dname@1.service", "0")),
        new_kill(MEMCG, 10, "app", sizes, 0, 40, 0),
    ]
    save(
        "odd-unit-name",
        stamped(limited),
        answer(memcg=unit, cgroup=unit, cpuset=r"odd\x2dname@1.service", totalpages=256),
    )
    # 70cb6d267790 prints bytes for kB
    bytes_kill = new_kill(GLOBAL, 10, "app", sizes, 0, 40960, 0)
    save("5.4-page-tables-in-bytes", stamped([*begun, bytes_kill]), answer(pid=10, pgtables=40))
    pods = [
        "java invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=-998",
        "CPU: 3 PID: 32 Comm: java Not tainted 5.1.16 #1",
        *TRACE,
        "memory: usage 204800kB, limit 204800kB, failcnt 9",
        "memory+swap: usage 204800kB, limit 204800kB, failcnt 0",
        f"kmem: usage 0kB, limit {UNLIMITED}kB, failcnt 0",
        "Memory cgroup stats for /pods/a:",
        *rows_4_19(
            (31, 0, 250, 1, 28672, 0, -998, "pause"),
            (32, 0, 99999, 50000, 409600, 0, -998, "java"),
        ),
        chosen("NONE", 31, "pause", 0, "/pods/a/p", "/pods/a"),
        *old_kill(MEMCG, 31, "pause", 0, 1000, 4, 0, 0),
    ]
    save(
        "5.1-memcg-said-none",
        stamped(pods),
        answer(
            pid=31,
            constraint="memcg",
            memcg="/pods/a",
            cgroup="/pods/a/p",
            limit=204800,
            tasks=2,
            totalpages=51200,
            follows=True,
        ),
    )
    between = [*begun[:1], "audit: type=1400 audit(1.2:3): x=1", "eth0: link up", *begun[1:], kill]
    save("odd-others-between", stamped(between), answer(pid=10, invoker_pid=10, tasks=1))
    save(
        "cut-by-pager",
        [f"{line[:99]}>" if len(line) > 100 else line for line in stamped([*begun, kill])],
        answer(pid=10, order=None, invoker_pid=10, tasks=1, total_vm=1000, anon=400, file=4),
    )
    save(
        "cut-kills",
        [
            "Out of memory: Killed process 91 (a (b) c)",
            "Memory cgroup out of memory: Killed process 92 (d) total-vm:7kB, anon-rss:5kB, \u2026",
            "Killed process 93 (e) total-vm:1kB, anon-rss:2kB",
            "Killed process 94 (f)",
            f"{new_kill(GLOBAL, 95, 'g', sizes, 0, 40, 7)} more:1kB",
        ],
        answer(pid=91, comm="a (b) c", total_vm=None),
        answer(pid=92, constraint="memcg", total_vm=7, anon=5, file=None),
        answer(pid=93, anon=2, file=None),
        answer(pid=95, adj=7),
    )


def styles():
    (right,) = json.loads((HERE / f"{BASE}.json").read_text())
    plain = (HERE / f"{BASE}.log").read_text().splitlines()
    records = [(line[1:13].strip(), line[15:]) for line in plain]
    text = [record for _time, record in records]
    for of_one_style in ("time_us", "when", "host", "caller"):
        del right[of_one_style]
    for name, date in {
        "journal-short": "Nov 26 07:15:06",
        "journal-precise": "Nov 26 07:15:06.529934",
        "journal-iso": "2026-11-26T07:15:06+0000",
        "journal-iso-precise": "2026-11-26T07:15:06.529934+00:00",
        "journal-full": "Thu 2026-11-26 07:15:06 UTC",
        "journal-unix": "1795677306.529934",
        "journal-french": "nov. 26 07:15:06",
        "journal-japanese": "11月 26 07:15:06",
        "journal-german": "Nov 26 07:15:06",
        "journal-russian": "ноя 26 07:15:06",
    }.items():
        save(
            f"style-{name}",
            syslog(text, date, "böx" if name.endswith("german") else "box"),
            right | answer(host="böx" if name.endswith("german") else "box", when=date),
        )
    save(
        "style-monotonic",
        [f"[{time:>12}] box kernel: {line}" for time, line in records],
        right | answer(host="box"),
    )
    save("style-no-hostname", [f"Nov 26 07:15:06 kernel: {line}" for line in text], right)
    save("style-kern-log", syslog(plain, "Nov 26 07:15:06", "box"), right | answer(host="box"))
    save("style-rfc5424-like", [f"<4>{line}" for line in syslog(text)], right)
    save("style-ctime-german", [f"[Do Nov 26 07:15:06 2026] {line}" for line in text], right)
    save("style-ctime-chinese", [f"[四 11月 26 07:15:06 2026] {line}" for line in text], right)
    save(
        "style-human",
        ["[Nov26 07:15] " + text[0], *(f"[  +0.000010] {line}" for line in text[1:])],
        right,
    )
    save(
        "style-caller",
        [f"[{time:>12}][  T176] {line}" for time, line in records],
        right | answer(caller="T176"),
    )
    save(
        "style-caller-cpu",
        [f"<4>[{time:>12}] [    C0] {line}" for time, line in records],
        right | answer(caller="C0"),
    )
    serial = [f"\x1b[32m[{time:>12}] \x1b[0m\x1b[33m{line}\x1b[0m" for time, line in records]
    save("style-serial", ["box login: ", *serial], right, end="\r\n")
    save("style-escaped", [r"\x0a".join(plain)], right)
    save(
        "style-unknown-prefix",
        [f"console-7|{at:05d}| {line}" for at, line in enumerate(plain)],
        right,
    )
    save("style-quoted", [f"> {line}" for line in plain], right)
    entries = [
        {
            "MESSAGE": line,
            "_TRANSPORT": "kernel",
            "_HOSTNAME": "box",
            "PRIORITY": "4",
            "__REALTIME_TIMESTAMP": "1795677306529934",
            "_SOURCE_MONOTONIC_TIMESTAMP": str(int(float(time) * 1e6)),
        }
        for time, line in records
    ]
    entries[3]["MESSAGE"] = [*entries[3]["MESSAGE"].encode()]
    entries.insert(
        5,
        {
            "MESSAGE": "Out of memory: Killed process 1 (init) total-vm:1kB, "
            "anon-rss:1kB, file-rss:1kB, shmem-rss:0kB",
            "_TRANSPORT": "stdout",
        },
    )
    save("style-journal-json", [json.dumps(entry) for entry in entries], right | answer(host="box"))
    pretty = ["{", '   "dmesg": [']
    for time, line in records:
        pretty += ["      {", '         "pri": 4,', f'         "time": {time:>12},']
        pretty += [f'         "msg": {json.dumps(line)}', "      },"]
    save("style-dmesg-json", [*pretty, "   ]", "}"], right)
    save(
        "style-container-json",
        [json.dumps({"log": f"{line}\n", "stream": "stdout"}) for line in plain],
        right,
    )
    export = []
    for line in text:
        export += ["__CURSOR=s=1;i=2", "_TRANSPORT=kernel", "PRIORITY=4", f"MESSAGE={line}", ""]
    save("style-journal-export", export, right)
    forged = syslog(text, "Nov 26 07:15:06", "box")
    forged.insert(
        7,
        "Nov 26 07:15:06 box app[9]: Out of memory: Killed process 1 (init) "
        "total-vm:1kB, anon-rss:1kB, file-rss:1kB, shmem-rss:0kB, UID:0 pgtables:4kB "
        "oom_score_adj:0",
    )
    save("style-forged-line", forged, right)


if __name__ == "__main__":
    newer_kernels(old_kernels())
    odd_kernels()
    styles()
