"""Bytecode that is written before a boot."""

import sys

import oomctl
from oomctl.lab import bytecode


def test_modules_are_compiled_unless_python_writes_none(tmp_path, monkeypatch):
    (tmp_path / "__init__.py").touch()
    (tmp_path / "module.py").write_text("x = 1\n")
    monkeypatch.setattr(oomctl, "__file__", str(tmp_path / "__init__.py"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    bytecode.prepare()
    assert not (tmp_path / "__pycache__").exists()
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    bytecode.prepare()
    assert len([*(tmp_path / "__pycache__").glob("module.*.pyc")]) == 1
