"""Archives from the web: fetched, with pauses and checksums, and unpacked. Nothing here runs unless it is called."""

from chexnet.download.archives import unpack
from chexnet.download.fetching import fetch
from chexnet.download.sources import NIH, Source, read_sources

__all__ = ["NIH", "Source", "fetch", "read_sources", "unpack"]
