"""A rank that fails ends the job, and says which one it was."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
import traceback
from pathlib import Path

from .mpi import mpi

FORWARDED = 0.5  # seconds in which mpiexec, which abort() may end as well, passes on what was written
_farewells: list[Farewell] = []


class RankLost(RuntimeError):
    """Others are waited for that have ended, or have not come in time."""


def abort_on_errors(world) -> None:
    """From now on an exception that nobody catches, in whatever thread, is printed under ``world.name`` and ends all
    ranks; so does KeyboardInterrupt. Whoever dies without a word is named by a `Witness`."""
    witness = world.farewell.witness = Witness(world)

    def failed(kind, error, trace):
        sys.stdout.flush()
        text = "".join(traceback.format_exception(kind, error, trace))
        sys.stderr.write(f"{world.name} failed and ends all ranks:\n{text}")
        sys.stderr.flush()
        time.sleep(FORWARDED)
        witness.dismiss()
        world.abort()

    def thread_failed(args):
        if args.exc_type is not SystemExit:
            failed(args.exc_type, args.exc_value, args.exc_traceback)
    sys.excepthook, threading.excepthook = failed, thread_failed


class Witness:
    """Tells which rank of this host dies first, if it dies without a word: see witness.py. On Linux alone."""

    def __init__(self, world):
        self.process = self.line = None
        if sys.platform != "linux":
            return
        import socket
        import subprocess
        address = f"\0minigrad {os.urandom(8).hex()}"  # of no file
        if world.here[0] == world.rank:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as server:
                server.bind(address)
                server.listen(len(world.here))
                self.process = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(Path(__file__).with_name("witness.py")), str(server.fileno())],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
                    pass_fds=[server.fileno()])
        addresses = world.gather(address)
        with contextlib.suppress(OSError):  # there is none; or elsewhere, under the same host name
            self.line = socket.socket(socket.AF_UNIX)
            self.line.connect(addresses[world.here[0]])
            self.line.sendall(world.name.encode() + b"\n")

    def dismiss(self) -> None:
        """Where the end is known to be coming."""
        if self.line:
            with contextlib.suppress(OSError):
                self.line.sendall(b"end\n")
        if self.process:
            self.process.terminate()
            self.process.wait()


class Farewell:
    """Tells the other ranks when this one ends, and knows those that have. comm: for this alone."""

    def __init__(self, comm):
        self.comm, self.gone, self.pid = comm, {}, os.getpid()
        self.note, self.witness = bytearray(1), None
        _farewells.append(self)  # all ranks say all of them

    def look(self) -> dict[int, float]:
        """{rank that has ended: when that was seen}."""
        MPI = mpi()
        status = MPI.Status()
        while self.comm.Iprobe(source=MPI.ANY_SOURCE, status=status):
            self.comm.Recv(bytearray(1), source=status.Get_source())
            self.gone[status.Get_source()] = time.monotonic()
        return self.gone

    def say(self) -> None:
        """Before MPI's own end, which waits for all ranks as this does."""
        MPI = mpi()
        if MPI.Is_finalized() or os.getpid() != self.pid:  # a fork is no rank
            return
        if self.witness:
            self.witness.dismiss()  # before anybody ends, for they wait for this one's farewell
        others = [r for r in range(self.comm.size) if r != self.comm.rank]
        said = [self.comm.Isend(self.note, dest=r) for r in others]
        while len(self.look()) < len(others):
            time.sleep(1e-3)
        MPI.Request.Waitall(said)


@atexit.register
def _farewell():
    for farewell in _farewells:
        farewell.say()
