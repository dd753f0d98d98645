"""The one exception whose message is written for the person who runs shoplens."""


class ShoplensError(Exception):
    """Something the user can mend. The message names the file (row, column), what is wrong and the remedy.

    The command line prints the message without a traceback and exits with 1.
    """
