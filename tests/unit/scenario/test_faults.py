"""Every fault of a scenario file, with its exact line."""

import pytest

from tests.unit.scenario.texts import CGROUP, COMM, HOG, LEAVES, SIZE

ANON = "anon, mlock, threads, forker, shared, stopped, traced"


E_ACUTE = r"\u00e9"
LONG = "/".join(["n" * 250] * 12)


KEYS = {
    "tiemout = 3": "tiemout: no such key; did you mean 'timeout'?",
    "zzz = 3": "zzz: no such key; known are description, timeout, parent, sysctl, cgroup, hog, "
    "call, step, expect",
    f"{HOG}sise = 3": "hog.a.sise: no such key; did you mean 'size'?",
    '[cgroup."."]\nmemory.maxx = 1': "cgroup.\".\".memory.maxx: no such key; did you mean 'max'?",
    "[cgroup.a]\nmemroy.max = 1": "cgroup.a.memroy: no such key; did you mean 'memory'?",
    "[cgroup.a]\nmemory.swap.hihg = 1": "cgroup.a.memory.swap.hihg: no such key; did you mean "
    "'high'?",
    "[[call]]\nordre = 1": "call[0].ordre: no such key; did you mean 'order'?",
    "[[call]]\n[[call]]\nexpect.return = 1": "call[1].expect.return: no such key; did you mean "
    "'returns'?",
    "[[call]]\nrecheck = { above = 1, evry = 1 }": "call[0].recheck.evry: no such key; did you "
    "mean 'every'?",
    "[expect]\nkill = 1": "expect.kill: no such key; did you mean 'kills'?",
    '"a\\nb\\u001b" = 1': '"a\\nb\\u001b": no such key; known are description, timeout, parent, '
    "sysctl, cgroup, hog, call, step, expect",
    "[cgroup.a]\n'memory.max' = 1": 'cgroup.a."memory.max": no such key; a dotted key has no '
    "quotes: memory.max = '64M'",
    "[cgroup.a.b]": "cgroup.a.b: no such key; known are memory, pids",
}

SHAPES = {
    "hog = 3": "hog: is not a table; write a table with a name for each entry",
    "hog.a = 3": "hog.a: is not a table; write such as { size = ... }",
    "[[hog]]": "hog: is not a table; write a table with a name for each entry",
    "[cgroup.a]\nmemory = 3": "cgroup.a.memory: is not a table; write such as { max = ... }",
    "call = 3": "call: is not an array of tables; write [[call]]",
    "[call]\norder = 3": "call: is not an array of tables; write [[call]]",
    "call = [3]": "call[0]: is not a table; write such as { target = ... }",
    "expect = 3": "expect: is not a table; write such as { verdict = ... }",
    "[hog.a]": "hog.a.size: is missing; every entry needs it",
    "[[call]]\nrecheck = {}": "call[0].recheck.above: is missing; every entry needs it",
}

VALUES = {
    "description = 3": "description: 3 is not a string; put it into quotes",
    "timeout = 'x'": "timeout: 'x' is not a time; write seconds, or such as '100ms', '2s', '1m'",
    "timeout = true": "timeout: true is not a time; write seconds, or such as '100ms'",
    "timeout = 0": "timeout: 0 is out of range; from 0.1 to 86400 seconds",
    "timeout = -1": "timeout: -1 is out of range; from 0.1 to 86400 seconds",
    "timeout = nan": "timeout: nan is out of range; from 0.1 to 86400 seconds",
    "timeout = inf": "timeout: inf is out of range; from 0.1 to 86400 seconds",
    "timeout = '25h'": "timeout: '25h' is out of range; from 0.1 to 86400 seconds",
    "timeout = 2020-01-01": "timeout: a date or time is not a time; write seconds, or such as "
    "'100ms'",
    "sysctl = 3": "sysctl: 3 is not a table; write such as vm.swappiness = 0",
    "sysctl.swappiness = 3": "sysctl: 'swappiness' is not a sysctl; write such as vm.swappiness",
    "sysctl.'../x'.y = 3": "sysctl: '../x' is not a sysctl; write such as vm.swappiness",
    "sysctl.vm.a = true": "sysctl: vm.a: true is not a value; write a whole number or a string",
    "sysctl.vm.a = 1.5": "sysctl: vm.a: 1.5 is not a value; write a whole number or a string",
    "sysctl.vm.a = []": "sysctl: vm.a: an array is not a value; write a whole number or a string",
    "sysctl.vm.a = ''": "sysctl: vm.a: '' is not a value; write words on one line",
    'sysctl.vm.a = "1\\n2"': r"sysctl: vm.a: '1\n2' is not a value; write words on one line",
    'sysctl = {vm.a = 1, "vm.a" = 2}': "sysctl: vm.a is given twice; keep one of them",
    "parent = 'x'": "parent: 'x' is not an absolute path; begin with '/', without '..'",
    "parent = '/a/../b'": "parent: '/a/../b' is not an absolute path; begin with '/', without '..'",
    "parent = '/sys/fs/cgroup/a'": "parent: '/sys/fs/cgroup/a' is a path of the file system; "
    "write it as in /proc/PID/cgroup, relative to the hierarchy's root",
    "[hog.a]\nsize = '64Q'": f"hog.a.size: '64Q' is not a size; {SIZE}",
    "[hog.a]\nsize = '010'": "hog.a.size: '010' begins with 0, which the kernel reads as octal; "
    "leave it out",
    "[hog.a]\nsize = 1.5": "hog.a.size: 1.5 is not a size; write '64M' or whole bytes",
    "[hog.a]\nsize = nan": "hog.a.size: nan is not a size; write '64M' or whole bytes",
    "[hog.a]\nsize = true": "hog.a.size: true is not a size; write '64M' or whole bytes",
    "[hog.a]\nsize = ['1M']": "hog.a.size: an array is not a size; write '64M' or whole bytes",
    "[hog.a]\nsize = {}": "hog.a.size: a table is not a size; write '64M' or whole bytes",
    "[hog.a]\nsize = -1": "hog.a.size: -1 is below 0; write bytes, or K, M, G (such as '64M')",
    "[hog.a]\nsize = 9223372036854775808": "hog.a.size: 9223372036854775808 is larger than any "
    "address space; write bytes, or K, M, G (such as '64M')",
    f"[hog.a]\nsize = 0x{'f' * 6000}": "hog.a.size: such a large number is larger than any address "
    "space; write bytes, or K, M, G (such as '64M')",
    f"[hog.a]\nsize = '{'9' * 200}'": f"hog.a.size: '{'9' * 57}...' is not a size; {SIZE}",
    "[hog.a]\nsize = '8E'": "hog.a.size: '8E' is larger than any address space",
    "[hog.a]\nsize = 'x%'": "hog.a.size: 'x%' is not a percentage; write such as '50%' or '12.5%'",
    "[hog.a]\nsize = '-1%'": "hog.a.size: '-1%' is not a percentage; write such as '50%' or "
    "'12.5%'",
    "[hog.a]\nsize = 'max'": f"hog.a.size: 'max' is not a size; {SIZE}",
    f"{HOG}count = -1": "hog.a.count: -1 is out of range; from 0 to 4096",
    f"{HOG}count = 4097": "hog.a.count: 4097 is out of range; from 0 to 4096",
    f"{HOG}count = '3'": "hog.a.count: '3' is not a whole number; from 0 to 4096",
    f"{HOG}count = 3.0": "hog.a.count: 3.0 is not a whole number; from 0 to 4096",
    f"{HOG}oom_score_adj = 1001": "hog.a.oom_score_adj: 1001 is out of range; from -1000 to 1000",
    f"{HOG}kind = 'anom'": "hog.a.kind: 'anom' is not a kind of hog; did you mean 'anon'?",
    f"{HOG}kind = 3": "hog.a.kind: 3 is not a kind of hog; write one of anon, file, shmem, "
    "hugetlb, mlock, pipe, socket, slab, threads, forker, shared, stopped, traced",
    f"{HOG}comm = ''": "hog.a.comm: '' cannot be a comm; write 1 to 15 printable ASCII characters",
    f"{HOG}comm = 'sixteen letters!'": "hog.a.comm: 'sixteen letters!' cannot be a comm; write 1 "
    "to 15 printable ASCII characters",
    f"{HOG}rate = 0": "hog.a.rate: a rate of 0 would never fill it; leave it out for no limit",
    f"{HOG}rate = '50M/s'": f"hog.a.rate: '50M/s' is not a size; {SIZE}",
    f"{HOG}may_fail = 1": "hog.a.may_fail: 1 is neither true nor false; write true or false, "
    "unquoted",
    f"{HOG}kind = 'file'\npath = 'x'": "hog.a.path: 'x' is not an absolute path; begin with '/', "
    "without '..'",
    "[cgroup.a]\nmemory.max = 'maximum'": f"cgroup.a.memory.max: 'maximum' is not a size; {SIZE}",
    "[cgroup.a]\nmemory.oom.group = 1": "cgroup.a.memory.oom.group: 1 is neither true nor false; "
    "write true or false, unquoted",
    "[cgroup.a]\npids.max = 'maximum'": "cgroup.a.pids.max: 'maximum' is not a whole number; "
    "from 0 to 4194304, or 'max'",
    "[cgroup.a]\npids.max = -1": "cgroup.a.pids.max: -1 is out of range; from 0 to 4194304, "
    "or 'max'",
    "[[call]]\norder = 2147483648": "call[0].order: 2147483648 is out of range; from -2147483648 "
    "to 2147483647",
    "[[call]]\nflags = -1": "call[0].flags: -1 is out of range; from 0 to 18446744073709551615",
    "[[call]]\nflags = 18446744073709551616": "call[0].flags: 18446744073709551616 is out of "
    "range; from 0 to 18446744073709551615",
    "[[call]]\ncallers = 0": "call[0].callers: 0 is out of range; from 1 to 256",
    "[[call]]\ncallers = 257": "call[0].callers: 257 is out of range; from 1 to 256",
    "[[call]]\nrepeat = 0": "call[0].repeat: 0 is out of range; from 1 to 100000",
    "[[call]]\ndelay = '-1s'": "call[0].delay: '-1s' is not a time; write seconds, or such as "
    "'100ms', '2s', '1m'",
    "[[call]]\nvia = 'bfp'": "call[0].via: 'bfp' is not a trigger; did you mean 'bpf'?",
    "[[call]]\nuntil = 'dead'": "call[0].until: 'dead' is not a value of until; known are "
    "exited, freed, returned",
    "[[call]]\nrecheck = '8Q'": f"call[0].recheck.above: '8Q' is not a size; {SIZE}",
    "[[call]]\ntarget = '/'": "call[0].target: the root cgroup cannot be a target: the kernel "
    "cannot scan it; name a cgroup below it, or write global = true",
    "[[call]]\ntarget = '/sys/fs/cgroup/a'": "call[0].target: '/sys/fs/cgroup/a' is a path "
    "of the file system; write it as in /proc/PID/cgroup, relative to the hierarchy's root",
    "[[call]]\nexpect.returns = 'EBUSSY'": "call[0].expect.returns: 'EBUSSY' is neither a number "
    "nor an errno; did you mean 'EBUSY'?",
    "[[call]]\nexpect.returns = []": "call[0].expect.returns: is an empty array; name at least "
    "one, or leave it out",
    "[expect]\nverdict = []": "expect.verdict: is an empty array; name at least one, or "
    "leave it out",
    "[[call]]\nexpect.returns = [1, true]": "call[0].expect.returns: true is not a string; put it "
    "into quotes",
    "[[call]]\nexpect.returns = 'busy'": "call[0].expect.returns: 'busy' is neither a number nor "
    "an errno; write 1 or 'EBUSY'",
    "[expect]\nverdict = 'kiled'": "expect.verdict: 'kiled' is not a verdict; did you mean "
    "'killed'?",
    "[expect]\nkills = '2..1'": "expect.kills: '2..1' is not a count; write 1, '1..2', '2..' or "
    "'..2'",
    "[expect]\nkills = '..'": "expect.kills: '..' is not a count; write 1, '1..2', '2..' or '..2'",
    "[expect]\nkills = -1": "expect.kills: -1 is not a count; write 1, '1..2', '2..' or '..2'",
    "[expect]\ncollateral = '1..2'": "expect.collateral: '1..2' is not a whole number; from 0 to "
    "2147483647",
    "[expect]\nevents.oom_kil = 1": "expect.events.oom_kil: 'oom_kil' is not a counter of "
    "memory.events; did you mean 'oom_kill'?",
    "[expect]\nlatency.exitted = 1": "expect.latency.exitted: 'exitted' is not a moment of the "
    "timeline; did you mean 'exited'?",
    "[expect]\nreturns.EBUSSY = 1": "expect.returns.EBUSSY: 'EBUSSY' is neither a number nor an "
    "errno; did you mean 'EBUSY'?",
}

NAMES = {
    '[hog."a b"]\nsize = 1': f"hog.\"a b\": 'a b' cannot name a hog; {COMM}",
    '[hog.""]\nsize = 1': f"hog.\"\": '' cannot name a hog; {COMM}",
    "[hog.sixteen-letters-]\nsize = 1": "hog.sixteen-letters-: 'sixteen-letters-' cannot name a "
    f"hog; {COMM}",
    '[hog."memory.max"]\nsize = 1': f"hog.\"memory.max\": 'memory.max' cannot name a hog; {COMM}",
    '[hog."é"]\nsize = 1': f"hog.\"\\u00e9\": 'é' cannot name a hog; {COMM}",
    '[cgroup.""]': f"cgroup.\"\": '' cannot name a cgroup; {CGROUP}",
    '[cgroup.".."]': f"cgroup.\"..\": '..' cannot name a cgroup; {CGROUP}",
    '[cgroup."a/../b"]': f"cgroup.\"a/../b\": 'a/../b' cannot name a cgroup; {CGROUP}",
    '[cgroup."a/"]': "cgroup.\"a/\": 'a/' is not a path below the top; write 'a'",
    '[cgroup."/a"]': "cgroup.\"/a\": '/a' is not a path below the top; write 'a'",
    '[cgroup."./a//b"]': "cgroup.\"./a//b\": './a//b' is not a path below the top; write 'a/b'",
    '[cgroup."a\\nb"]': "cgroup.\"a\\nb\": 'a\\nb' cannot name a cgroup; " + CGROUP,
    f'[cgroup."{"é" * 128}"]': f'cgroup."{E_ACUTE * 57}...": ' + f"'{'é' * 57}...' is too long "
    "for a name; 255 bytes at most",
    f'[cgroup."{LONG}"]': f"cgroup.\"{LONG[:57]}...\": '{LONG[:57]}...' is too long for a path; "
    "3000 bytes at most",
    '[cgroup."a/memory.max"]': "cgroup.\"a/memory.max\": 'a/memory.max' would be taken for "
    "an interface file; choose another name",
    '[cgroup."cgroup.procs"]': "cgroup.\"cgroup.procs\": 'cgroup.procs' would be taken for "
    "an interface file; choose another name",
    f'[cgroup."{"a/" * 32}a"]': f'cgroup."{"a/" * 28}a...": 33 cgroups inside each other are too '
    "many; 32 at most",
    "[hog.a]\nsize = 1\ncount = 2\n[hog.a-2]\nsize = 1": "hog.a-2: two hogs are named 'a-2'; the "
    "other one is of hog.a; rename one",
    "[hog.fourteen-chars]\nsize = 0\ncount = 10": "hog.fourteen-chars: 'fourteen-chars-10' is "
    "longer than a comm (15 bytes); shorten the name, or give a comm",
    "[hog.a]\nsize = 0\ncount = 4096\n[hog.b]\nsize = 0": "hog: 4097 hogs are too many; 4096 at "
    "most",
}

PLACES = {
    f"{HOG}cgroup = 'lft'\n[cgroup.left]": "hog.a.cgroup: there is no cgroup 'lft' in this "
    "scenario; did you mean 'left'?",
    f"{HOG}cgroup = 'lft/'\n[cgroup.left]": "hog.a.cgroup: there is no cgroup 'lft' in this "
    "scenario; did you mean 'left'?",
    f"{HOG}cgroup = ''": "hog.a.cgroup: there is no cgroup '' in this scenario; known are .",
    f"{HOG}cgroup = '/'": "hog.a.cgroup: there is no cgroup '' in this scenario; known are .",
    f"{HOG}cgroup = 'left'\n[cgroup.'left/in']": f"hog.a.cgroup: 'left' {LEAVES}; write 'left/' "
    "for a leaf of its own, or name a leaf",
    f"{HOG}cgroup = '.'\n[hog.b]\nsize = 1": f"hog.a.cgroup: '.' {LEAVES}; write './' for a leaf "
    "of its own, or name a leaf",
    f"{HOG}[hog.b]\nsize = 1\ncgroup = 'a/'": "hog.b.cgroup: 'a' is the leaf of hog.a, and the "
    "kernel allows processes in leaves only; write cgroup = 'a' to live there as well, or name "
    "another",
    f"{HOG}[cgroup.a]": "hog.a.cgroup: its own leaf would be 'a', which is a cgroup of the "
    "scenario; write cgroup = 'a' to live there, or rename one of them",
    f"{HOG}kind = 'shared'": "hog.a.sharer: is missing; name the cgroup of the process that shares "
    "the memory",
    f"{HOG}kind = 'shared'\nsharer = 'lft'\n[cgroup.left]": "hog.a.sharer: there is no cgroup "
    "'lft' in this scenario; did you mean 'left'?",
    f"{HOG}kind = 'shared'\nsharer = '.'": f"hog.a.sharer: '.' {LEAVES}; name a leaf",
}

KINDS = {
    f"{HOG}tasks = 4": "hog.a.tasks: a hog of kind 'anon' has no tasks; leave it out; tasks is for "
    "threads, forker",
    f"{HOG}sharer = '.'\nkind = 'pipe'\ncgroup = '.'": "hog.a.sharer: a hog of kind 'pipe' has no "
    "sharer; leave it out; sharer is for shared",
    f"{HOG}hold = 1": "hog.a.hold: a hog of kind 'anon' has no hold; leave it out; hold is for "
    "traced",
    f"{HOG}path = '/x'": "hog.a.path: a hog of kind 'anon' has no path; leave it out; path is for "
    "file",
    f"{HOG}kind = 'pipe'\nthp = true": "hog.a.thp: a hog of kind 'pipe' has no thp; leave it out; "
    f"thp is for {ANON}",
    f"{HOG}kind = 'slab'\nworking_set = 1": "hog.a.working_set: a hog of kind 'slab' has no "
    f"working_set; leave it out; working_set is for {ANON}, file, shmem, hugetlb",
    f"{HOG}working_set = '2M'": "hog.a.working_set: 2M is more than the 1M of the hog; make it "
    "smaller, or a share such as '50%'",
    f"{HOG}working_set = '101%'": "hog.a.working_set: 101% is more than the hog has; 100% at most",
}

LIMITS = {
    "call = []\n[cgroup.'.']\nmemory.max = 0\n[hog.a]\nsize = 0": 'cgroup.".".memory.max: the hogs '
    "want 0 but memory.max of '.' is 0; the limit would kill them; raise it or shrink them, or "
    "write may_fail = true",
    "[cgroup.'.']\nmemory.max = '8M'\n[hog.a]\nsize = '9M'": "hog.a.size: hog 'a' wants 9M but "
    "memory.max of '.' is 8M; the limit would kill it before the call; raise it or shrink "
    "it, or write may_fail = true",
    "[cgroup.'.']\nmemory.max = '8M'\n[hog.a]\nsize = '4M'\ncount = 2": 'cgroup.".".memory.max: '
    "the hogs want 8M but memory.max of '.' is 8M; the limit would kill them before the call; "
    "raise it or shrink them, or write may_fail = true",
    "[cgroup.'.']\nmemory.max = 0\n[hog.a]\nsize = 1": "hog.a.size: hog 'a' wants 1 but memory.max "
    "of '.' is 0; the limit would kill it before the call; raise it or shrink it, or write "
    "may_fail = true",
    "[cgroup.'.']\nmemory.max = '1M'\n[hog.a]\nsize = '2M'\n[hog.b]\nsize = '3M'\n"
    "[hog.c]\nsize = '1K'": "cgroup.\".\".memory.max: the hogs 'a' (2M) and 'b' (3M) are each too "
    "large: memory.max of '.' is 1M; the limit would kill them before the call; raise it or "
    "shrink them, or write may_fail = true",
    "[hog]\n" + "\n".join(f"{name}.size = '4G'" for name in "abcdef"): "hog: the hogs 'a' (4G), "
    "'b' (4G), 'c' (4G), 'd' (4G) and 2 more are each too large: this machine has 2G; make them "
    "smaller, or write may_fail = true",
    "[hog.a]\nsize = '150%'": "hog.a.size: hog 'a' wants 3G but this machine has 2G; make it "
    "smaller, or write may_fail = true",
    "[cgroup.a]\nmemory.max = '1M'\nmemory.low = '2M'": "cgroup.a.memory.low: 2M is more "
    "than memory.max, which is 1M; lower it, or raise the limit",
    "[cgroup.a]\nmemory.max = '1M'\nmemory.min = 'max'": "cgroup.a.memory.min: max is more "
    "than memory.max, which is 1M; lower it, or raise the limit",
}

CALLS = {
    "sysctl.vm.panic_on_oom = 2": "sysctl.vm.panic_on_oom: vm.panic_on_oom is 2: this declaration "
    "would panic the machine; write vm.panic_on_oom = 0 in [sysctl], or take it out",
    "sysctl.'vm.panic_on_oom' = '1'\n[[call]]\n[[call]]\nglobal = true": "sysctl.vm.panic_on_oom: "
    "vm.panic_on_oom is 1: this declaration would panic the machine; write vm.panic_on_oom = 0 in "
    "[sysctl], or take it out",
    "[[call]]\ntarget = 'lft'\n[cgroup.left]": "call[0].target: there is no cgroup 'lft' in this "
    "scenario; did you mean 'left'?",
    "[[call]]\ntarget = '.'\nglobal = true": "call[0].target: target and global exclude each "
    "other; give one of them",
    "[[call]]\nwait = true\nflags = 0": "call[0].flags: wait and flags exclude each other; give "
    "one of them",
    "[[call]]\nvia = 'kill'\nglobal = true": "call[0].via: 'kill' needs a cgroup; name a "
    "target instead of global",
    "[[call]]\nvia = 'sysrq'": "call[0].via: 'sysrq' may kill any task of the machine; write "
    "global = true",
    "[[call]]\namount = 1": "call[0].amount: 'bpf' takes no amount; leave it out, or write "
    "via = 'limit' or 'reclaim'",
    "[[call]]\nvia = 'kill'\namount = 1": "call[0].amount: 'kill' takes no amount; leave it "
    "out, or write via = 'limit' or 'reclaim'",
    "[[call]]\nvia = 'limit'\nrecheck = 1": "call[0].recheck: 'limit' does not wait for "
    "oom_lock; leave it out, or write via = 'bpf'",
    "[[call]]\nvia = 'limit'\norder = 0": "call[0].order: 'limit' takes no order; leave it "
    "out, or write via = 'bpf', 'reclaim' or 'psi'",
    "[[call]]\nvia = 'kill'\nwait = false": "call[0].wait: 'kill' takes no wait; leave it "
    "out, or write via = 'bpf', 'reclaim' or 'psi'",
    "[[call]]\nvia = 'sysrq'\nglobal = true\nflags = 1": "call[0].flags: 'sysrq' takes no "
    "flags; leave it out, or write via = 'bpf', 'reclaim' or 'psi'",
    "[[call]]\nvia = 'kill'\ncontext = 'task_work'": "call[0].context: 'kill' takes no context; "
    "leave it out, or write via = 'bpf', 'reclaim' or 'psi'",
    "[[call]]\nstall = '1ms'": "call[0].stall: 'bpf' waits for no stall; leave it out, or write "
    "via = 'psi'",
    "[[call]]\nvia = 'psi'\nglobal = true": "call[0].via: 'psi' needs a cgroup; name a target "
    "instead of global",
    "[[call]]\nvia = 'psi'\nstall = '1001ms'": "call[0].stall: 1.001 s cannot be stalled of a "
    "second; from 1us to 1s",
    "[[call]]\nvia = 'psi'\nrecheck = 1": "call[0].recheck: 'psi' does not wait for oom_lock; "
    "leave it out, or write via = 'bpf'",
    "[[call]]\nwait = true\nrecheck = 1": "call[0].recheck: recheck and wait exclude each "
    "other; give one of them",
    "[[call]]\nflags = 0\nrecheck = 1": "call[0].recheck: recheck and flags exclude each "
    "other; give one of them",
    "[[call]]\nglobal = true\nrecheck = 1": "call[0].recheck: the whole system has no usage "
    "to check; name a target",
    f"{HOG}[[call]]\nexpect.victims = ['b']": "call[0].expect.victims: there is no hog 'b' in this "
    "scenario; known are a",
    "[expect]\nvictims = ['b']": "expect.victims: there is no hog 'b' in this scenario; it has no "
    "hogs",
    "[hog.large]\nsize = 1\n[expect]\nsurvivors = 'lrage'": "expect.survivors: there is no hog "
    "'lrage' in this scenario; did you mean 'large'?",
    f"{HOG}[expect]\nvictims = 'a'\nsurvivors = 'a'": "expect.survivors: 'a' is one of "
    "expect.victims as well; remove it from one of them",
}


TWO = "[hog.x]\nsize = 1\ncount = 2\n[hog.y]\nsize = 1\n"
FORKER = """
[hog.f]
size = 1
kind = "forker"
[[call]]
repeat = 9
expect.victims = "f"
[expect]
kills = 9
"""
BOTH = "[[call]]\nrepeat = 2\nexpect.victims = 'x'\n[expect]\nvictims = 'x-2'\n"
CHANGE = "change one of them"

EXPECTATIONS = {
    f"{TWO}[expect]\nvictims = ['x-1']\nsurvivors = ['x']": "expect.survivors: 'x-1' is one "
    "of expect.victims as well; remove it from one of them",
    f"{TWO}[expect]\nvictims = ['x']\nsurvivors = ['x-1', 'x-2']": "expect.survivors: 'x' is "
    "one of expect.victims as well; remove it from one of them",
    f"{TWO}[expect]\nvictims = []\nkills = 1": f"expect.kills: 1 is more than the 0 that may die; "
    f"{CHANGE}",
    f"{TWO}[expect]\nvictims = 'x'\nsurvivors = 'x-1'\nkills = 2": "expect.kills: 2 is more than "
    f"the 1 that may die; {CHANGE}",
    f"{TWO}[expect]\nvictims = 'y'\ncollateral = 1\nkills = '3..'": "expect.kills: at least 3 is "
    f"more than the 2 that may die; {CHANGE}",
    f"{TWO}[expect]\nsurvivors = 'y'\nkills = '3..4'": "expect.kills: 3 to 4 is more than the 2 "
    f"that may die; {CHANGE}",
    f"{TWO}[expect]\nvictims = ['x', 'y']\nkills = 1": "expect.kills: 1 is less than the 2 "
    "that have to die; change one of them",
    f"{TWO}[expect]\nvictims = ['x', 'x-1', 'x-2']\nkills = '..1'": "expect.kills: 0 to 1 is "
    "less than the 2 that have to die; change one of them",
    f"{TWO}[expect]\nvictims = []\nverdict = 'killed'": "expect.verdict: no task may die, so "
    "the verdict cannot be killed; change one of them",
    f"{TWO}[expect]\nkills = 0\nverdict = ['killed', 'over-kill']": "expect.verdict: no task "
    "may die, so the verdict cannot be killed or over-kill; change one of them",
    f"{TWO}[[call]]\nexpect.victims = 'x'\n[expect]\nsurvivors = ['x-1', 'x-2']": "call[0].expect."
    f"victims: 'x' is one of expect.survivors; {CHANGE}",
    f"{TWO}[[call]]\nexpect.victims = 'y'\n[expect]\nvictims = 'x'": "call[0].expect.victims: "
    "'y' is not one of expect.victims; add it there, or raise expect.collateral",
    f"{TWO}[[call]]\nexpect.victims = 'x-2'\n[expect]\nvictims = 'x-1'": "call[0].expect.victims: "
    "'x-2' is not one of expect.victims; add it there, or raise expect.collateral",
    f"{TWO}{BOTH}": "call[0].expect.victims: its victims are more than expect.victims has of "
    "'x'; add it there, or raise expect.collateral",
    f"{TWO}[[call]]\nexpect.victims = 'x'\n[[call]]\nexpect.victims = 'y'\n[expect]\nkills = 1": (
        "expect.kills: 1 is less than the 2 that have to die; change one of them"
    ),
    f"{TWO}[[call]]\nexpect = {{ victims = 'x', verdict = ['busy', 'spared'] }}": "call[0].expect."
    "victims: a hog has to die, so the verdict cannot be busy or spared; change one of them",
    f"{TWO}[[call]]\nexpect = {{ victims = [], verdict = 'killed' }}": "call[0].expect."
    "victims: no hog may die, so the verdict cannot be killed; change one of them",
    "[[call]]\n[expect]\nreturns = { 1 = 1, EBUSY = 1 }": "expect.returns: 2 returns are "
    "expected of 1 call; change one of them",
    "[[call]]\nexpect.returns = 1\n[expect]\nreturns = { 1 = 0 }": "expect.returns: 0 of '1' "
    "contradicts call.expect.returns, which makes it 1; change one of them",
    "[[call]]\nexpect.returns = [1, 0]\n[[call]]\n[expect]\nreturns.EBUSY = 2": "expect.returns: 2 "
    "of 'EBUSY' contradicts call.expect.returns, which makes it 0 to 1; change one of them",
    "[expect]\nreturns = { EBUSY = 1, -16 = 1 }": "expect.returns: 'EBUSY' and '-16' are the "
    "same; keep one of them",
    "[[call]]\nexpect.verdict = 'busy'\n[expect]\nverdict = 'killed'": "expect.verdict: no "
    "call may have the verdict killed; change one of them",
    "call = []\n[expect]\nreturns.1 = 0": "expect.returns: is for calls, and this scenario has "
    "none; leave it out",
    "call = []\n[expect]\nlatency.killed = 1": "expect.latency: is for calls, and this scenario "
    "has none; leave it out",
    "call = []\n[expect]\nverdict = ['busy', 'spared']": "expect.verdict: without a call the "
    "verdict cannot be busy or spared; write killed or none-died",
    "[cgroup.web]\n[expect.cgroup.wbe]\nevents.oom = 0": "expect.cgroup.wbe: there is no cgroup "
    "'wbe' in this scenario; did you mean 'web'?",
    "[expect.cgroup.'.']\nevents.oom_kil = 0": "expect.cgroup.\".\".events.oom_kil: 'oom_kil' is "
    "not a counter of memory.events; did you mean 'oom_kill'?",
    "[expect.cgroup.'.']\nevent.oom = 0": 'expect.cgroup.".".event: no such key; did you mean '
    "'events'?",
    f"{TWO}[expect]\nverdict = 'killed'\nevents.oom_kill = 0": "expect.events.oom_kill: is "
    "0, so the verdict cannot be killed; change one of them",
    f"call = []\n{TWO}[expect]\nverdict = 'killed'\n"
    "[expect.cgroup.'.']\nevents.oom_kill = '..0'": 'expect.cgroup.".".events.oom_kill: is '
    "0, so the verdict cannot be killed; change one of them",
    "[expect]\nevents.oom = 0\n[expect.cgroup.'.']\nevents.oom = 0": 'expect.cgroup.".".events.'
    "oom: is the same as expect.events.oom; keep one of them",
}

STEPS = {
    "[[step]]": "step[0]: it does nothing; give it one of cgroup, sysctl, sysfs, "
    "freeze, thaw, move, remove, stop, continue, kill, start",
    "[[step]]\nafter = 'soon'\nthaw = '.'": "step[0].after: 'soon' is neither a time nor an event; "
    "write such as '2s', 'filled', 'large.exited' or 'call[0].returned'",
    "[[step]]\nafter = '2x'\nthaw = '.'": "step[0].after: '2x' is not a time; write "
    "seconds, or such as '100ms', '2s', '1m'",
    "[[step]]\nafter = 'b.exited'\nthaw = '.'\n[hog.a]\nsize = 0": "step[0].after: there is no "
    "hog 'b' in this scenario; known are a",
    "[[step]]\nafter = 'call[1].returned'\nthaw = '.'": "step[0].after: there is no call[1]; the "
    "scenario has 1 call, the first is call[0]",
    "[[step]]\ncgroup.left.memory.max = 1": "step[0].cgroup.left: there is no cgroup 'left' in "
    "this scenario; known are .",
    "[[step]]\nfreeze = ['.', 'left']": "step[0].freeze: there is no cgroup 'left' in this "
    "scenario; known are .",
    "[[step]]\nfreeze = []": "step[0].freeze: is an empty array; name at least one, or leave it "
    "out",
    "[[step]]\nremove = '.'": "step[0].remove: the top cannot be removed during the run; name a "
    "cgroup below it",
    "[[step]]\nmove.a = 11\n[hog.a]\nsize = 0": "step[0].move.a: 11 is not a string; put it into "
    "quotes",
    "[[step]]\nmove.a = '.'\n[hog.a]\nsize = 0": "step[0].move.a: '.' has child cgroups, and the "
    "kernel allows processes in leaves only; name a leaf",
    "[[step]]\nkill = 'b'": "step[0].kill: there is no hog 'b' in this scenario; it has no hogs",
    "[[step]]\nstart = 'a'\n[[step]]\nstart = 'a'\n[hog.a]\nsize = 0": "step[1].start: 'a' is "
    "started twice; start it in one step",
    "[[step]]\nsysctl.vm.panic_on_oom = 2": "step[0].sysctl.vm.panic_on_oom: vm.panic_on_oom is 2: "
    "this declaration would panic the machine; write vm.panic_on_oom = 0 in [sysctl], or take it "
    "out",
    "[[step]]\nsysfs.'/sys/power/state' = 'mem'": 'step[0].sysfs."/sys/power/state": '
    "'/sys/power/state' is not a file below /sys/kernel/mm; write such as "
    "'/sys/kernel/mm/lru_gen/enabled'",
}


@pytest.mark.parametrize(
    ("text", "line"),
    {
        **KEYS,
        **SHAPES,
        **VALUES,
        **NAMES,
        **PLACES,
        **KINDS,
        **LIMITS,
        **CALLS,
        **EXPECTATIONS,
        **STEPS,
    }.items(),
)
def test_a_fault_is_one_line(files, text, line):
    assert files.faults(text) == [line]


def test_of_very_many_faults_the_first_are_told_and_how_many_more(files):
    made = "".join(f"[hog.h{n}]\nsize = '1M'\ncgroup = 'g'\n" for n in range(400))
    *told, last = files.faults(made)
    assert last == "... and 370 more faults"
    assert told == [
        f"hog.h{n}.cgroup: there is no cgroup 'g' in this scenario; known are ." for n in range(30)
    ]


@pytest.mark.parametrize(
    "text",
    [
        f"{HOG}may_fail = true\n[cgroup.'.']\nmemory.max = 1",
        "[hog.a]\nkind = 'hugetlb'\nsize = '8M'\n[cgroup.'.']\nmemory.max = '4M'",
        "[hog.fourteen-chars]\nsize = 0\ncount = 10\ncomm = 'x'",
        "[cgroup.'.']\nmemory.max = '64M'\nmemory.min = '64M'\nmemory.high = '1G'",
        "[cgroup.'app.slice/x@1.service']",
        r"[cgroup.'dev-disk-by\x2did.swap/a b/é']",
        '[cgroup."\\u001b[2J"]',
        f"[cgroup.'{'n' * 255}']",
        "call = []",
        f"call = []\n{HOG}may_fail = true\n[cgroup.'.']\nmemory.max = 0\n[expect]\nkills = 1",
        "[[call]]\nexpect.returns = [-524, 'ENOTSUPP', -4000, 'EWOULDBLOCK', 'none']",
        f"{TWO}[expect]\nvictims = ['x', 'x-1']\nsurvivors = ['x-2']\nkills = 1",
        f"{TWO}[expect]\nvictims = 'x'\nkills = '1..2'\ncollateral = 0",
        f"{TWO}{BOTH}collateral = 1",
        FORKER,
        "[[call]]\ntarget = '/a'\n[expect]\nkills = 9",
        f"{HOG}[expect.cgroup.a]\nevents = {{ oom = 1 }}\nevents_local.oom_kill = '..1'",
        f"[cgroup.'{'a/' * 31}a']",
        "[[call]]\ntarget = '/a'\nvia = 'limit'\namount = '50%'",
        "[hog.memory]\nsize = 0",
        "timeout = 0.1\n[[call]]\nflags = 0xffffffffffffffff",
        "description = 'x'",
        "[cgroup.'.']\npids.max = 'max'",
        "[hog.f]\nkind = 'file'\nsize = '9M'\n[cgroup.'.']\nmemory.max = '8M'",
        f"{TWO}[expect]\nverdict = ['killed', 'busy']\nevents.oom_kill = 0",
        f"{TWO}[expect]\nverdict = 'cgroup-killed'\nevents.oom_kill = 0",
        f"{TWO}[expect]\nverdict = 'killed'\ncgroup.'.'.events_local.oom_kill = 0",
        f"{TWO}[[call]]\nglobal = true\n[expect]\nverdict = 'killed'\nevents.oom_kill = 0",
    ],
)
def test_valid_scenarios_are_loaded(files, text):
    files.load(text)
