"""Fetch archives from the web, with resumption and checksums, and unpack them. Nothing runs on import."""

from chexnet.data.download.archives import unpack
from chexnet.data.download.fetching import fetch
from chexnet.data.download.sources import NIH, Source, read_sources

__all__ = ["NIH", "Source", "fetch", "read_sources", "unpack"]
