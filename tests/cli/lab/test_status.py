"""`oomctl lab status`: the kernel, the machine, what is missing."""

import json
from pathlib import Path

from oomctl.cli.output import Output
from oomctl.errors import UnsupportedError
from oomctl.lab import (
    kvm,
    stock,
)
from oomctl.lab.guest_kernel import Kernel
from tests.cli.lab.command import invoke
from tests.schemas import validator


def test_status_of_a_damaged_kernel(monkeypatch):
    def damaged(_arch=""):
        raise UnsupportedError("the lab's kernel is damaged: x", "`oomctl lab fetch` fetches it")

    monkeypatch.setattr(stock, "chosen", damaged)
    said = invoke("status").stdout
    assert "kernel    the lab's kernel is damaged: x; `oomctl lab fetch` fetches it\n" in said
    assert "module" not in said


def test_status_fits_a_terminal(monkeypatch):
    image = Path("/k", "a" * 90, "vmlinuz")
    monkeypatch.setattr(
        stock, "chosen", lambda _arch="": Kernel("6.12", image, None, provides=True)
    )
    monkeypatch.setattr(Output, "width", 80)
    lines = invoke("status").stdout.splitlines()
    assert max(map(len, lines)) == 80
    assert str(image) in "".join(line.strip() for line in lines)


def test_status_without_a_kernel(monkeypatch):
    monkeypatch.setattr(stock, "chosen", lambda _arch="": None)
    monkeypatch.setattr(kvm, "known", lambda: None)
    done = invoke("status")
    assert done.exit_code == 0
    assert "none yet" in done.stdout
    assert "not probed" in done.stdout


def test_status_as_json(given, monkeypatch):
    monkeypatch.setattr(stock, "chosen", lambda _arch="": None)
    told = json.loads(invoke("status", "-f", "json").stdout)
    validator("lab-schema.json", "#/$defs/status").validate(told)
    assert told["kernel"] is None
    assert told["no_kernel_reason"] == "none yet: oomctl lab fetch"
