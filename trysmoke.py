import sys, time
from oomctl.smoke import suite
from oomctl.smoke.bench import Bench
from oomctl.kernel import hierarchy, btf

t = time.time()
known = suite.select(suite.cases(), sys.argv[1:], [])
print(len(known), "cases", time.time() - t)
with Bench(hierarchy.unified_root(), btf.find_kfunc()) as bench:
    print("setup", time.time() - t, bench.facts)
    rs = []
    for c in known:
        r = suite.run(c, bench)
        rs.append(r)
        print(f"{r.took_ns / 1e9:6.2f}", r.word, r.name, r.reason, flush=True)
        if r.passed is False:
            for k in r.failed:
                print("      expected", k.name, "| came", k.why)
            for e in r.evidence:
                print("        ", e[:200])
print(suite.summary(rs), time.time() - t)
