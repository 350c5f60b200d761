"""Small data sets with real label errors, shipped with the package."""

from skrobust.datasets._mnist import load_mnist_errors
from skrobust.datasets._youtube import load_youtube_spam

__all__ = ["load_mnist_errors", "load_youtube_spam"]
