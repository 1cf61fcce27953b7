"""Commands for QEMU itself, through the monitor of a machine that runs (QMP)."""

import asyncio
import socket
from typing import Any

from qemu.qmp import QMPClient, QMPError

_BANDWIDTH = 1 << 40
"""Bytes per second; QEMU's default is 128 MiB (migration/options.c)."""
_PAUSE = 0.02


def write_state(monitor: socket.socket, path: str, seconds: float) -> None:
    """Have QEMU write the state of its machine to a file, and let the machine run on.

    OSError or TimeoutError if it does not; the machine may have stopped then.
    """
    try:
        asyncio.run(asyncio.wait_for(_migrate(monitor, f"exec:cat >{path}"), seconds))
    except (QMPError, EOFError) as error:
        raise OSError(f"QEMU could not save the machine: {error}") from error


async def _migrate(monitor: socket.socket, uri: str) -> None:
    client = QMPClient()
    await client.connect(monitor)
    try:
        await client.execute("migrate-set-parameters", {"max-bandwidth": _BANDWIDTH})
        await client.execute("migrate", {"uri": uri})
        state: Any = {}
        while state.get("status") != "completed":
            state = await client.execute("query-migrate")
            if state["status"] in ("failed", "cancelled"):
                raise OSError(f"QEMU could not save the machine: {state.get('error-desc', '')}")
            await asyncio.sleep(_PAUSE)
        await client.execute("cont")
    finally:
        await client.disconnect()
