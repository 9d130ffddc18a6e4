"""Errors and warnings for users, and escaping of untrusted text."""


def printable(text: str, keep: str = "") -> str:
    """Escape the characters of a text that a terminal would interpret, reorder or fail to encode.

    Control characters, bidirectional overrides and surrogates, which represent undecodable bytes of a file name, become
    `\\x1b`, `\\u202e`, `\\udce9`. The characters of `keep` are kept.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else ascii(char)[1:-1] for char in text)


class InputError(Exception):
    """Error in the user's input: a file, a folder or a flag that cannot be used.

    The message is one line with the file (and the line in it), what was found and what was expected. Scripts print it
    to standard error and exit with code 2. Any other exception is a bug and keeps its traceback.
    """

    def __init__(self, message: str) -> None:
        super().__init__(_one_line(message))


class Interrupted(Exception):
    """A signal stopped the work after its results so far were saved.

    Attributes:
        signal: number of the signal; scripts exit with code 128 + this number.
    """

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal


class InputWarning(UserWarning):
    """Warning about input that was read under an assumption, for example a guessed encoding.

    Scripts print each warning once, as one line on standard error.
    """

    def __init__(self, message: str) -> None:
        super().__init__(_one_line(message))


def _one_line(message: str) -> str:
    # Messages of other libraries may have several lines.
    return printable(" ".join(message.splitlines()))
