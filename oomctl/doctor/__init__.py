"""Whether this machine is fit for `oomctl declare`: one check after the other, nothing changed."""

from oomctl.doctor.checks import CHECKS
from oomctl.doctor.examination import Examination, examine
from oomctl.doctor.finding import Finding, State

__all__ = ["CHECKS", "Examination", "Finding", "State", "examine"]
