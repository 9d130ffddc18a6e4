"""Fetch archives from the web, with resumption and checksums, and unpack them. Nothing runs on import."""

from chexnet.download.archives import unpack
from chexnet.download.fetching import fetch
from chexnet.download.sources import NIH, Source, read_sources

__all__ = ["NIH", "Source", "fetch", "read_sources", "unpack"]
