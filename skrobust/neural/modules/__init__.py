"""Networks for the neural classifiers, split into features and a linear head, and augmentation."""

from skrobust.neural.modules._augmented import Augmented, make_image_module
from skrobust.neural.modules._mlp import MLP
from skrobust.neural.modules._normalize import Normalize
from skrobust.neural.modules._random_crop_flip import RandomCropFlip
from skrobust.neural.modules._resnet import ResNet18
from skrobust.neural.modules._small_cnn import SmallCNN

__all__ = [
    "MLP",
    "Augmented",
    "Normalize",
    "RandomCropFlip",
    "ResNet18",
    "SmallCNN",
    "make_image_module",
]
