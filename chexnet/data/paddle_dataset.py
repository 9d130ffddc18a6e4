"""The data set of a list file for Paddle's own loader and `paddle.Model`."""

from chexnet.data.dataset import ListDataSet
from chexnet.device import paddle


class ChestXrayDataSet(ListDataSet, paddle.io.Dataset):
    """The images and labels of a list file, as a `paddle.io.Dataset`. `ListDataSet` describes the arguments."""
