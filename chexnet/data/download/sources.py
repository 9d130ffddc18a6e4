"""Archive URLs: the twelve of NIH, or those in a file of the user."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from chexnet.errors import InputError


@dataclass(frozen=True)
class Source:
    """The source of an archive.

    Attributes:
        url: http or https URL.
        name: name of the file to write.
        sha256: SHA-256 of the file, in hexadecimal; None if unknown.
    """

    url: str
    name: str
    sha256: str | None = None


NIH = tuple(
    Source(f"https://nihcc.box.com/shared/static/{key}.gz", f"images_{number:03d}.tar.gz")
    for number, key in enumerate(
        (
            "vfk49d74nhbxq3nqjg0900w5nvkorp5c",
            "i28rlmbvmfjbl8p2n3ril0pptcmcu9d1",
            "f1t00wrtdk94satdfb9olcolqx20z2jp",
            "0aowwzs5lhjrceb3qp67ahp0rd1l1etg",
            "v5e3goj22zr6h8tzualxfsqlqaygfbsn",
            "asi7ikud9jwnkrnkj99jnpfkjdes7l6l",
            "jn1b4mw4n6lnh74ovmcjb8y48h8xj07n",
            "tvpxmn7qyrgl0w8wfh9kqfjskv6nmm1j",
            "upyy3ml7qdumlgk2rfcvlb9k6gvqq2pj",
            "l6nilvfa9cg3s28tqv1qc1olm3gnz54p",
            "hhq8fkdgvcari67vfhs7ppg2w6ni4jze",
            "ioqwiy20ihqwyr8pf4c24eazhh281pbu",
        ),
        start=1,
    )
)
"""The URLs in NIH's batch_download_zips.py, which is published with the archives. Their checksums are unknown."""


def read_sources(path: str | os.PathLike[str]) -> tuple[Source, ...]:
    """Read a file with one `URL [SHA-256]` per line. Empty lines and comments (#) are skipped.

    An archive is named as in its URL if that ends in .tar.gz or .tgz, else `images_NNN.tar.gz` by its position.

    Raises:
        InputError: the file is missing, not a text file or without URLs, a line is malformed, or two archives have
            the same name.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file, expected `URL [SHA-256]` per line") from error
    except OSError as error:
        raise InputError(f"{path}: the list of URLs cannot be read: {error.strerror}") from error
    sources: dict[str, Source] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        source = _parse(line.split(), f"{path}:{number}", len(sources) + 1)
        if source.name in sources:
            raise InputError(f"{path}:{number}: {source.name} is repeated, expected each archive once")
        sources[source.name] = source
    if not sources:
        raise InputError(f"{path}: no URLs, expected `URL [SHA-256]` per line")
    return tuple(sources.values())


def _parse(words: list[str], where: str, position: int) -> Source:
    url, digest = (*words, "")[:2]
    try:
        address = urlsplit(url)
    except ValueError:
        address = urlsplit("")
    if (
        len(words) > 2
        or address.scheme not in ("http", "https")
        or not address.hostname
        or not (url.isascii() and url.isprintable())
    ):
        raise InputError(f"{where}: {' '.join(words)[:80]!r}, expected `URL [SHA-256]` with an http or https URL")
    if digest and not re.fullmatch(r"[0-9a-fA-F]{64}", digest):
        raise InputError(f"{where}: the SHA-256 is {digest[:80]!r}, expected 64 hexadecimal digits")
    name = unquote(address.path).rpartition("/")[2]
    if not re.fullmatch(r"\w[\w.-]*\.(tar\.gz|tgz)", name):
        name = f"images_{position:03d}.tar.gz"
    return Source(url, name, digest.lower() or None)
