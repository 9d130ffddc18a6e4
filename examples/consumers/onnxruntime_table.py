"""Print the findings of a radiograph with ONNX Runtime and Pillow: onnxruntime_table.py MODEL.onnx IMAGE.png"""

import json
import sys

import numpy
import onnxruntime
from PIL import Image

graph, picture = sys.argv[1:]
session = onnxruntime.InferenceSession(graph)
facts = session.get_modelmeta().custom_metadata_map
pixels = numpy.asarray(Image.open(picture).convert("L"))
(probabilities,) = session.run(["probability"], {"image": pixels})
for name, probability in zip(json.loads(facts["classes"]), probabilities, strict=True):
    print(f"{name:20}{probability:.6f}")
