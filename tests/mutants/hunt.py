"""500 rounds of fuzz against a kernel that does as its source says: prints the first finding."""

import json
import traceback

from tests.mutants import plant  # before oomctl is imported

ROUNDS = 500


def main():
    from dataclasses import replace

    from oomctl.fuzz.hunt import Hunt
    from oomctl.fuzz.oracles import Disagreement
    from oomctl.fuzz.weights import SAYABLE
    from oomctl.oom.enums import Agreement, Oracle
    from tests.unit.fuzz.fake_kernel import FakeKernel

    kernel = FakeKernel()

    def run(case, origin):
        """Carry out a case; this kernel's counters are exact, so that they explain nothing."""
        trial = kernel(case, origin)
        if trial.agreement is not Agreement.EXPLAINED:
            return trial
        found = (Disagreement(Oracle.VICTIMS, "not the first that was predicted"),)
        return replace(trial, agreement=Agreement.DIFFERS, disagreements=found)

    hunt = Hunt(run, 1, replace(SAYABLE, swap=0.3), plant.__name__)
    for number in range(1, ROUNDS + 1):
        try:
            hunt.round(number)
        except Exception:
            said = traceback.format_exc().splitlines()[-1]
            return {"round": number, "hogs": None, "oracles": [said]}
        for finding in hunt.findings:
            return {
                "round": number,
                "hogs": len(finding.case.hogs),
                "oracles": sorted(finding.oracles),
            }
    return None


if __name__ == "__main__":
    print(json.dumps(main()))
