"""What is compiled is compiled again only if something that it is made of is younger."""

import os

import pytest

import hatch_build

MADE = ("declare.bpf.o", "hog.x86_64")
SOURCES = ("hatch_build.py", "bpf/declare.bpf.c", "bpf/smoke/kernel.h", "oomctl/hog/hog.c")


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A source tree whose objects are one second younger than every source."""
    monkeypatch.setattr(hatch_build, "ROOT", tmp_path)
    monkeypatch.setattr(hatch_build, "BUILT", tmp_path / "oomctl/built")
    monkeypatch.setattr(hatch_build, "__file__", str(tmp_path / "hatch_build.py"))
    for age, names in ((1, SOURCES), (0, [f"oomctl/built/{name}" for name in MADE])):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            os.utime(path, (1000 - age, 1000 - age))
    return tmp_path


def test_objects_younger_than_their_sources_are_kept(tree):
    assert hatch_build.is_current(MADE)


@pytest.mark.parametrize("name", SOURCES)
def test_a_younger_source_is_compiled(tree, name):
    os.utime(tree / name, (1001, 1001))
    assert not hatch_build.is_current(MADE)


@pytest.mark.parametrize("name", MADE)
def test_a_missing_object_is_compiled(tree, name):
    (tree / "oomctl/built" / name).unlink()
    assert not hatch_build.is_current(MADE)
