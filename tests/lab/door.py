"""In a guest: an ssh server that is reached through `lab --forward`, without a network.

Usage: door.py PUBLIC_KEY. It lets in who has the key, one connection at a time, as QEMU does.
"""

import os
import select
import socket
import subprocess
import sys
import time
from pathlib import Path

PORT = Path("/run/oomctl/oomctl.forward")


def serve(key):
    """Start dropbear on the guest's own 127.0.0.1; its files are lost with the guest."""
    home = Path("~root/.ssh").expanduser()  # as passwd has it: dropbear reads no HOME
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    Path("/etc/dropbear").mkdir(exist_ok=True)
    (home / "authorized_keys").write_text(Path(key).read_text())
    return subprocess.Popen(["/usr/sbin/dropbear", "-F", "-E", "-R", "-p", "127.0.0.1:22"])


def passed_on(port, connection):
    """Pass bytes both ways until one side ends."""
    ways = {port: connection.fileno(), connection.fileno(): port}
    poll = select.poll()
    for each in ways:
        poll.register(each, select.POLLIN)
    while True:
        for fd, event in poll.poll():
            data = os.read(fd, 1 << 16) if event & select.POLLIN else b""
            if not data:
                return
            while data:
                data = data[os.write(ways[fd], data) :]


def main(key):
    process = serve(key)
    port = os.open(PORT, os.O_RDWR)
    poll = select.poll()
    poll.register(port, select.POLLIN)
    while process.poll() is None:
        if any(event & select.POLLIN and not event & select.POLLHUP for _, event in poll.poll()):
            with socket.create_connection(("127.0.0.1", 22)) as connection:
                passed_on(port, connection)
        time.sleep(0.05)


if __name__ == "__main__":
    main(*sys.argv[1:])
