"""Child processes that do not outlive the process that started them, even if it is killed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

# The child asks the kernel to end it when its parent dies (PR_SET_PDEATHSIG), then becomes the command: a preexec_fn
# is not safe in a process with threads. If the parent died before the request, its pid is no longer ours.
_BECOME = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


def ending_with_parent(command: Sequence[str]) -> list[str]:
    """A command line that runs `command` (an absolute program and its arguments) and gets SIGTERM when we die.

    Linux only. The kernel watches the thread that starts it, so start it from one that lives as long as the child.
    """
    return [sys.executable, "-I", "-S", "-c", _BECOME, str(os.getpid()), *command]
