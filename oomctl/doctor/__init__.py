"""Whether this machine can run `oomctl declare`: one check after the other; nothing is changed."""

from oomctl.doctor import (
    bpf_checks,
    cgroup_checks,
    hog_checks,
    oom_killer_checks,
    privilege_checks,
    userspace_checks,
)
from oomctl.doctor.examination import Examination, Finding, State, examine

__all__ = ["CHECKS", "Examination", "Finding", "State", "examine"]

CHECKS = (
    *privilege_checks.CHECKS,
    *bpf_checks.CHECKS,
    *cgroup_checks.CHECKS,
    *oom_killer_checks.CHECKS,
    *userspace_checks.CHECKS,
    *hog_checks.CHECKS,
)
"""Every check, in the order in which they are made and shown."""
