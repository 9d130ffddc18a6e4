"""CheXNet in PaddlePaddle: 14 findings on frontal chest radiographs with DenseNet-121."""

import sys as _sys
import zlib as _zlib  # noqa: F401 - before Paddle, see chexnet.framework

__version__ = "0.1.0"


def _check_png() -> None:
    """Warns where Paddle 2.6, imported too early, keeps Pillow from reading PNG, see `chexnet.framework`."""
    import io
    import warnings

    from PIL import Image

    pixel = (
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU"
        b"\0\0\0\nIDATx\x9cch\0\0\0\x82\0\x81w\xcdr\xb6\0\0\0\0IEND\xaeB`\x82"
    )
    try:
        Image.open(io.BytesIO(pixel)).load()
    except OSError as error:
        warnings.warn(
            f"Pillow reads no PNG in this process ({error}): paddle was imported before zlib; import chexnet first",
            RuntimeWarning,
            stacklevel=3,
        )


if "paddle" in _sys.modules:
    _check_png()
