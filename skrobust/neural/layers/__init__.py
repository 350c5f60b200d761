"""Layers against memorising wrong labels: nested dropout, bottleneck, noise, fixed simplex."""

from skrobust.neural.layers._bottleneck import VariationalBottleneck
from skrobust.neural.layers._fixed_simplex import FixedSimplex
from skrobust.neural.layers._hidden_noise import HiddenNoise
from skrobust.neural.layers._nested_dropout import NestedDropout

__all__ = ["FixedSimplex", "HiddenNoise", "NestedDropout", "VariationalBottleneck"]
