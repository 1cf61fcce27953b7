import cProfile,pstats,sys,time
from oomctl.smoke import suite
from oomctl.smoke.bench import Bench
from oomctl.kernel import hierarchy, btf
known=suite.select(suite.cases(), ["arguments","scope"], [])
with Bench(hierarchy.unified_root(), btf.find_kfunc()) as bench:
    p=cProfile.Profile(); t=time.time()
    p.enable()
    for c in known: suite.run(c,bench)
    p.disable()
    print(len(known), time.time()-t)
pstats.Stats(p).sort_stats('tottime').print_stats(40)
