"""Networks for the neural classifiers, split into features and a linear head, and augmentation."""

from skrobust.neural.modules._augmentation import (
    Augmented,
    Normalize,
    RandomCropFlip,
    make_image_module,
)
from skrobust.neural.modules._images import ResNet18, SmallCNN
from skrobust.neural.modules._mlp import MLP

__all__ = [
    "MLP",
    "Augmented",
    "Normalize",
    "RandomCropFlip",
    "ResNet18",
    "SmallCNN",
    "make_image_module",
]
