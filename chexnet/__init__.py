"""CheXNet in PaddlePaddle: 14 findings on frontal chest radiographs with DenseNet-121."""

__version__ = "0.1.0"
