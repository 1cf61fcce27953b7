"""`oomctl fleet` over ssh to a guest whose kernel dies in the middle."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from oomctl.cli.ending import VANISHED
from tests.lab.guests import LAB, marks

pytestmark = marks(900)

DIES = "dmesg -w | grep -q -m1 'begin arguments.order-1;' && echo c >/proc/sysrq-trigger"
"""In the guest: end its kernel when the second case has begun."""
INVENTORY = """
[lab]
guest ansible_host=127.0.0.1 ansible_port={port} ansible_user=root

[lab:vars]
ansible_ssh_private_key_file={key}
ansible_ssh_common_args=-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null
ansible_ssh_transfer_method=piped
ansible_timeout=120
ansible_python_interpreter={python}
oomctl_expendable=true
"""


@pytest.fixture
def guest(tmp_path):
    """A guest with an ssh server, and the inventory that has it."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    door = Path(__file__).with_name("door.py")
    serve = f"({DIES}) & exec {sys.executable} {door} {key}.pub"
    words = ["--timeout", "800", "--forward", str(port), "--", "sh", "-c", serve]
    inventory = tmp_path / "hosts.ini"
    inventory.write_text(INVENTORY.format(port=port, key=key, python=sys.executable))
    with subprocess.Popen([*LAB, *words], stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if "Not backgrounding" in line:
                break
        yield inventory, process
        process.terminate()


def test_a_kernel_that_dies_is_blamed_on_the_case_that_it_died_in(guest, tmp_path, monkeypatch):
    inventory, process = guest
    monkeypatch.chdir(tmp_path)
    cases = [f"arguments.order-{number}" for number in (0, 1, 2)]
    words = ["-i", inventory, "--wait", "15", "--records", "kept", "-f", "json", "--"]
    command = [sys.executable, "-m", "oomctl", "fleet", *words, "smoke", *cases]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (host,) = json.loads(done.stdout)["hosts"]
    assert (host["state"], host["begun"]) == ("kernel-died", cases[1]), done.stderr
    assert (done.returncode, host["counts"]) == (1, {"arguments": {"passed": 1}})
    assert host["left"].startswith("cannot tell")
    record = [json.loads(line) for line in Path("kept/guest.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in record] == ["suite", "start", "case", "start"]
    assert process.wait(60) == VANISHED
