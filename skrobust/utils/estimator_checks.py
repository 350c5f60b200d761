"""The estimator checks of :mod:`skrobust.testing`, where scikit-learn has its own."""

from skrobust.testing import *  # noqa: F403
from skrobust.testing import __all__  # noqa: F401
