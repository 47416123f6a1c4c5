"""Runs HATop, the second argument, at the stats socket of the first one in a terminal that pyte
emulates, and prints its screen. Good when servers, pools and listeners are on it."""

import os
import pty
import select
import struct
import sys
import time
from fcntl import ioctl
from termios import TIOCSWINSZ

import pyte

ROWS, COLUMNS = 30, 140
screen = pyte.Screen(COLUMNS, ROWS)
stream = pyte.ByteStream(screen)
child, terminal = pty.fork()
if child == 0:
    os.environ["TERM"] = "linux"
    os.execvp(sys.argv[2], [sys.argv[2], "-i", "1", "-s", sys.argv[1]])
ioctl(terminal, TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))


def shows(*words):
    """Whether one line of the screen holds all the words, within ten seconds."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                stream.feed(os.read(terminal, 65536))
            except OSError:
                break
        if any(all(word in line for word in words) for line in screen.display):
            return True
    return False


found = shows("r2", "UP") and shows("BACKEND", "UP") and shows("FRONTEND", "OPEN")
print("\n".join(line.rstrip() for line in screen.display))
os.write(terminal, b"q")
sys.exit(0 if found else 1)
