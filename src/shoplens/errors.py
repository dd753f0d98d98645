"""The one exception whose message is written for the person who runs shoplens, and the text of the system's errors."""

import errno

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ShoplensError(Exception):
    """Something the user can mend. The message names the file (row, column), what is wrong and the remedy.

    The command line prints the message without a traceback and exits with 1.
    """


def system_error(error: OSError) -> ShoplensError | None:
    """What the operating system refused, with a remedy; None where it names no file, which is no user's mistake."""
    if error.errno in FULL:
        return ShoplensError(f"{error.strerror}: make room and run it again; earlier results are whole")
    if error.filename is None:
        return None
    return ShoplensError(f"{error.filename}: {error.strerror}; correct the path, or who may use it, and run it again")
