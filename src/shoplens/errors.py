"""The one exception whose message is written for the person who runs shoplens, and the text of the system's errors."""

import errno
import re

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SHORT = re.compile(r"\d+ requested and \d+ written")
"""All that numpy says when the system took only a part of an array."""


class ShoplensError(Exception):
    """Something the user can mend. The message names the file (row, column), what is wrong and the remedy.

    The command line prints the message without a traceback and exits with 1.
    """


def system_error(error: OSError) -> ShoplensError | None:
    """What the operating system refused, with a remedy; None where it names no file, which is no user's mistake."""
    if error.errno in FULL or SHORT.fullmatch(str(error)):
        reason = error.strerror or "No space left on device"
        return ShoplensError(f"{reason}: make room and run it again; earlier results are whole")
    if error.filename is None:
        return None
    return ShoplensError(f"{error.filename}: {error.strerror}; correct the path, or who may use it, and run it again")
