"""Fetch archives over HTTP, with resumption and checksums, and unpack them."""

from chexnet.data.download.archives import unpack
from chexnet.data.download.fetching import fetch
from chexnet.data.download.sources import NIH, Source, read_sources

__all__ = ["NIH", "Source", "fetch", "read_sources", "unpack"]
