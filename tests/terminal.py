"""A terminal of a given width, and what a person sees on it."""

import fcntl
import os
import pty
import struct
import termios


def screen(text, columns):
    """Return the lines after a terminal acted on what was written, as far as oomctl uses it."""
    lines, row, column = [""], 0, 0
    for char in text.replace("\x1b[K", "\0"):
        match char:
            case "\r":
                column = 0
            case "\n":
                row += 1
                lines += [""] * (row == len(lines))
            case "\0":
                lines[row] = lines[row][:column]
            case _:
                if column == columns:
                    row, column = row + 1, 0
                    lines += [""] * (row == len(lines))
                lines[row] = lines[row][:column].ljust(column) + char + lines[row][column + 1 :]
                column += 1
    return lines


def opened(columns):
    """Return master and slave of a terminal."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    return master, slave


def drained(master):
    """Return what was written, until all writers are gone."""
    found = b""
    while True:
        try:
            data = os.read(master, 1 << 16)
        except OSError:  # EIO: no process has it open any longer
            return found.decode()
        if not data:
            return found.decode()
        found += data
