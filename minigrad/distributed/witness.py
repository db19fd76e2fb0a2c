"""A program of its own that sees a rank die: mpiexec, which ends the others then, often names one of those instead.

    python witness.py FD

FD: a listening socket, to which every rank of this host connects and sends its name. The first whose connection breaks
is told on stderr, and that is the end; so is a line "end" from any of them, which knows that the end is coming.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys


def main(file: int) -> None:
    """Wait, and write one line to stderr."""
    server, said = socket.socket(fileno=file), {}
    events = selectors.DefaultSelector()
    events.register(server, selectors.EVENT_READ)
    while True:
        for key, _ in events.select():  # in the order in which they came, which Linux keeps
            if key.fileobj is server:
                rank, _ = server.accept()
                events.register(rank, selectors.EVENT_READ)
                said[rank] = b""
                continue
            text = key.fileobj.recv(1000)
            said[key.fileobj] += text
            name, *more = said[key.fileobj].split(b"\n")
            if b"end" in more:
                return
            if not text:
                os.write(2, name + b" died, and with it all ranks\n")
                return


if __name__ == "__main__":
    main(int(sys.argv[1]))
