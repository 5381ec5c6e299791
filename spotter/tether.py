"""Becomes another program that dies with its parent: `python -I -S tether.py PARENT_PID PROGRAM ARG...`.

Run as a script between the supervisor and each of its parts. A program of its own, because code that runs between
fork and exec in a process with threads may deadlock (CPython, `subprocess`, on `preexec_fn`). Imports no other module
of Spotter. Elsewhere than on Linux the kernel offers no such tie, and the program is simply run.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # prctl(2)


def tie_to_parent(parent_pid: int) -> None:
    """Ask the kernel to kill this process when the thread that started it ends; the tie survives exec.

    Raises:
        OSError: the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:  # it died before the tie was made: nobody will send the signal any more
        sys.exit(1)


def main(argv: list[str]) -> None:
    """`argv` is [script, parent pid, program, argument...]; does not return. Exit code 127: no such program."""
    parent_pid, program = int(argv[1]), argv[2:]
    if sys.platform == "linux":
        tie_to_parent(parent_pid)
    try:
        os.execvp(program[0], program)  # noqa: S606 - no shell is wanted
    except OSError as error:
        sys.stderr.write(f"{program[0]} cannot be run: {error.strerror}.\n")
        sys.exit(127)


if __name__ == "__main__":
    main(sys.argv)
