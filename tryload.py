import ctypes, re
from oomctl.kernel import libbpf
from oomctl.kernel.libbpf import *
from oomctl import resources
import subprocess

names = re.findall(
    r"(?:CALLER\(|^int )(\w+)[,(]", open("/var/smoke/bpf/smoke/refused.bpf.c").read(), re.M
)
names = [n for n in names if n != "name"]
todo = [("refused.bpf.o", Only(n)) for n in names]
todo.append(("refused.bpf.o", Only("syscall_not_sleepable", 31, 0)))
todo.append(
    (
        "refused.bpf.o",
        Only("tc_sleepable" if "tc_sleepable" in names else "from_tc_sleepable", None, 16),
    )
)
todo += [(f"{n}.bpf.o", Only(n)) for n in ("nongpl", "arity")] + [
    ("oom_ops.bpf.o", Only("handle")),
    ("dying.bpf.o", Only("declare_late")),
    ("gate.bpf.o", None),
]
for o, only in todo:
    try:
        with BpfObject(resources.built(o), only=only):
            print(o, only, "LOADED")
    except Exception as e:
        lines = [l for l in e.detail.splitlines()]
        keep = [
            l
            for l in lines
            if not re.match(r"(processed|libbpf: prog|libbpf: failed|libbpf: -- |\d+: |;|max_)", l)
        ]
        print(o, only.program if only else "", getattr(e, "errno", None), keep[-4:])
