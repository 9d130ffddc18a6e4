"""A checkpoint as one ONNX file from the pixels of a radiograph of any size to the probabilities of its findings.

`save_whole_image` writes it. The graph resizes exactly as Pillow does (`resizing`), crops (`cropping`), normalizes,
runs the network, averages, and may give class maps (`image_maps`).
"""

from chexnet.inference.whole_image.graph_writer import save_whole_image
from chexnet.inference.whole_image.verification import Verification

__all__ = ["Verification", "save_whole_image"]
