"""Find phrases that are not plain English: `python .ci/check_prose.py PATH ...`.

A path is a Markdown file, a Python file or a folder of Python files. In Python files, docstrings, other strings and
comments are read. Prints `file:line: found -> advice` for each finding, and exits with 1 if there is one.
"""

import re
import sys
import tokenize
from pathlib import Path

SUBSTITUTIONS = Path(__file__).with_name("prose_substitutions.txt")
CODE = re.compile(
    r"^(?P<fence>```+|~~~+).*?^(?P=fence)"  # a fenced block
    r"|(?:\A|(?<=\n\n))(?: {4}[^\n]*\n|\n(?= {4}))+"  # an indented block
    r"|`+[^`]+`+|\]\([^)]*\)|<?https?://\S+",
    flags=re.MULTILINE | re.DOTALL,
)
PROSE_TOKENS = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}


def substitutions() -> list[tuple[re.Pattern[str], str]]:
    """Return the patterns, each with its advice."""
    lines = [line for line in SUBSTITUTIONS.read_text(encoding="utf-8").splitlines() if " => " in line]
    pairs = [line.split(" => ", 1) for line in lines if not line.startswith("# ")]
    return [(re.compile(found.replace(" ", r"\s+(?:#\s+)?"), re.IGNORECASE), advice) for found, advice in pairs]


def prose(path: Path) -> str:
    """Return the text of a file with everything but prose masked, so that line numbers stay the same."""
    if path.suffix != ".py":
        return CODE.sub(lambda code: re.sub(r"\S", "\0", code.group()), path.read_text(encoding="utf-8"))
    with tokenize.open(path) as file:
        lines = file.read().split("\n")
    masked = [re.sub(r"\S", "\0", line) for line in lines]
    for token in tokenize.generate_tokens(iter([f"{line}\n" for line in lines]).__next__):
        if token.type in PROSE_TOKENS:
            for row in range(token.start[0] - 1, token.end[0]):
                first = token.start[1] if row == token.start[0] - 1 else 0
                last = token.end[1] if row == token.end[0] - 1 else len(lines[row])
                masked[row] = masked[row][:first] + lines[row][first:last] + masked[row][last:]
    return "\n".join(masked)


def findings(path: Path, patterns: list[tuple[re.Pattern[str], str]]) -> list[tuple[int, str, str]]:
    """Return line, phrase and advice of each finding in a file, sorted by line."""
    text = prose(path)
    return sorted(
        (1 + text.count("\n", 0, match.start()), " ".join(match.group().replace("#", " ").split()), advice)
        for pattern, advice in patterns
        for match in pattern.finditer(text)
    )


def main(arguments: list[str]) -> int:
    """Print the findings in files and folders and return the exit code."""
    patterns = substitutions()
    paths = [
        file for path in map(Path, arguments) for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])
    ]
    found = [(path, *finding) for path in paths for finding in findings(path, patterns)]
    for path, line, phrase, advice in found:
        print(f"{path}:{line}: {phrase} -> {advice}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
