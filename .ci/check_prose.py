"""Find phrases that do not belong in our English: `python .ci/check_prose.py PATH ...`.

A path is a Markdown file, whose code is left out; a Python file, of which docstrings, other strings and comments are
read; or a folder of Python files. Prints `file:line: found -> advice` for each finding and exits with 1 if there are any.
"""

import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

SUBSTITUTIONS = Path(__file__).with_name("prose_substitutions.txt")
CODE = re.compile(
    r"^(?P<fence>```+|~~~+).*?^(?P=fence)"  # a fenced block
    r"|(?:\A|(?<=\n\n))(?: {4}[^\n]*\n|\n(?= {4}))+"  # an indented block
    r"|`+[^`]+`+|\]\([^)]*\)|<?https?://\S+",
    flags=re.MULTILINE | re.DOTALL,
)
STRINGS = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}


def substitutions() -> list[tuple[re.Pattern[str], str]]:
    """Return each pattern with the advice to print."""
    lines = [line for line in SUBSTITUTIONS.read_text(encoding="utf-8").splitlines() if " => " in line]
    pairs = [line.split(" => ", 1) for line in lines if not line.startswith("# ")]
    return [(re.compile(found.replace(" ", r"\s+(?:#\s+)?"), re.IGNORECASE), advice) for found, advice in pairs]


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the parts of a file that are prose, each with the number of its first line."""
    if path.suffix != ".py":
        text = path.read_text(encoding="utf-8")
        yield 1, CODE.sub(lambda code: re.sub(r"[^\n]", "\0", code.group()), text)
        return
    with tokenize.open(path) as file:
        comments: list[str] = []
        for token in tokenize.generate_tokens(file.readline):
            if token.type == tokenize.COMMENT:
                comments.append(token.string)
            elif token.type != tokenize.NL and comments:
                yield token.start[0] - len(comments), "\n".join(comments)
                comments = []
            if token.type in STRINGS - {tokenize.COMMENT}:
                yield token.start[0], token.string


def findings(path: Path, patterns: list[tuple[re.Pattern[str], str]]) -> list[tuple[int, str, str]]:
    """Return line, phrase and advice of each finding in a file, in the order of the lines."""
    return sorted(
        (first + text.count("\n", 0, match.start()), " ".join(match.group().split()), advice)
        for first, text in prose(path)
        for pattern, advice in patterns
        for match in pattern.finditer(text)
    )


def main(arguments: list[str]) -> int:
    """Print the findings in files and folders and return the exit code."""
    patterns = substitutions()
    paths = [file for path in map(Path, arguments) for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]
    found = [(path, *finding) for path in paths for finding in findings(path, patterns)]
    for path, line, phrase, advice in found:
        print(f"{path}:{line}: {phrase} -> {advice}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
