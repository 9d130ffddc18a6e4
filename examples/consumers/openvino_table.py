"""Print the findings of a radiograph with OpenVINO and Pillow: openvino_table.py MODEL.onnx IMAGE.png"""

import json
import sys

import numpy
import openvino
from PIL import Image

graph, picture = sys.argv[1:]
model = openvino.Core().read_model(graph)
network = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})  # or OpenVINO may choose bfloat16
pixels = numpy.asarray(Image.open(picture).convert("L"))
names = json.loads(model.get_rt_info(["framework", "classes"]).value)
for name, probability in zip(names, network(pixels)["probability"], strict=True):
    print(f"{name:20}{probability:.6f}")
