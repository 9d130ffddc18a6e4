"""The one error that a user can cause, and text of others made safe to show."""


def printable(text: str, keep: str = "") -> str:
    """Text for a person's terminal: what it may obey, turn round or fail to encode is escaped.

    Control characters, bidirectional overrides and the surrogates that stand for bytes of a file name become
    `\\x1b`, `\\u202e`, `\\udce9`, except the characters of `keep`.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else ascii(one)[1:-1] for one in text)


class InputError(Exception):
    """Something that the user gave cannot be used: a file, a folder, a flag, a weight file.

    The message is one line that names the file (and the line in it), what was found and what was
    expected. Scripts print it to standard error and exit with code 2; everything else is a bug and
    keeps its traceback.
    """

    def __init__(self, message: str) -> None:
        super().__init__(_one_line(message))


class Interrupted(Exception):
    """Work was stopped by a signal, after saving what it had.

    Attributes:
        signal: the signal's number; a program that ends for it returns 128 + this number.
    """

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal


class InputWarning(UserWarning):
    """Something that the user gave was read, in a way that should be known: an encoding that was guessed.

    Scripts print it to standard error in one line, each once.
    """

    def __init__(self, message: str) -> None:
        super().__init__(_one_line(message))


def _one_line(message: str) -> str:
    # What other libraries say of a file may run over several lines.
    return printable(" ".join(message.splitlines()))
