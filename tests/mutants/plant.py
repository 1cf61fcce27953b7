"""Plants a fault into oomctl as it is imported: OOMCTL_MUTANT names it. A plugin of pytest, too."""

import os
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path

from tests.mutants.model import MUTATIONS

NAME = "OOMCTL_MUTANT"


class Planted(SourceFileLoader):
    """Compiles a module's source with one line changed."""

    def __init__(self, mutation, name, path):
        super().__init__(name, path)
        self.mutation = mutation

    def get_code(self, fullname):
        text = Path(self.path).read_text()
        changed = text.replace(self.mutation.old, self.mutation.new)
        return compile(changed, self.path, "exec", dont_inherit=True)


class Finder(MetaPathFinder):
    """Finds the module of a fault."""

    def __init__(self, mutation):
        self.mutation = mutation

    def find_spec(self, name, path, _target=None):
        if name != self.mutation.module:
            return None
        spec = PathFinder.find_spec(name, path)
        spec.loader = Planted(self.mutation, name, spec.origin)
        return spec


if wanted := os.environ.get(NAME):
    assert "oomctl" not in sys.modules
    sys.meta_path.insert(0, Finder(next(each for each in MUTATIONS if each.name == wanted)))
