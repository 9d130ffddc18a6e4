"""Addresses of DICOM applications, as the flags of tools/dicom_node.py give them."""

import argparse
import re
from typing import NamedTuple

_PEER = re.compile(r"(?P<title>[^@]+)@(?P<host>\[[0-9A-Fa-f:.]+\]|[^@:\s\[\]]+):(?P<port>[0-9]{1,5})")


class Peer(NamedTuple):
    """An application that accepts associations: title, host and port."""

    title: str
    host: str
    port: int

    def __str__(self) -> str:
        """Return the form that `peer` reads."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.title}@{host}:{self.port}"


def ae_title(text: str) -> str:
    """Return an application entity title: 1 to 16 characters of ASCII without backslash (DICOM PS3.5 section 6.2)."""
    title = text.strip(" ")
    if not 1 <= len(title) <= 16 or not title.isascii() or not title.isprintable() or "\\" in title:
        raise argparse.ArgumentTypeError(
            f"{text[:60]!r} is not a title of 1 to 16 letters, digits or ASCII signs other than a backslash"
        )
    return title


def peer(text: str) -> Peer:
    """Return the peer of a text such as `ARCHIVE@127.0.0.1:4242`."""
    match = _PEER.fullmatch(text)
    if not match or not 1 <= int(match["port"]) <= 65535:
        raise argparse.ArgumentTypeError(f"{text[:100]!r} is not of the form TITLE@HOST:PORT, with a port up to 65535")
    return Peer(ae_title(match["title"]), match["host"].strip("[]"), int(match["port"]))
