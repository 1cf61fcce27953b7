"""In a guest: passes what comes through `lab --forward` on to an ssh server, and runs a command.

Usage: door.py SSHD HOST_KEY AUTHORIZED_KEYS. One connection at a time, as QEMU has it.
"""

import os
import select
import socket
import subprocess
import sys
import time
from pathlib import Path

PORT = Path("/run/oomctl/oomctl.forward")


def serve(server, key, authorized):
    """Start the ssh server on the guest's own 127.0.0.1."""
    options = [
        *("ListenAddress=127.0.0.1", f"HostKey={key}", f"AuthorizedKeysFile={authorized}"),
        *("StrictModes=no", "UsePAM=no", "PermitRootLogin=yes", "PidFile=none"),
    ]
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    words = [word for option in options for word in ("-o", option)]
    return subprocess.Popen([server, "-D", "-e", "-f", "/dev/null", *words])


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


def main(server, key, authorized):
    process = serve(server, key, authorized)
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
