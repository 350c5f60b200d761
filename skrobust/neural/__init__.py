"""Neural networks for noisy labels: scikit-learn estimators with a torch network inside.

Needs torch and skorch: ``pip install "skrobust[neural]"``. The rest of the package does not.
"""

from skrobust.neural._require import require_torch

require_torch()

from skrobust.neural import _staging  # noqa: E402, F401 - registers itself
from skrobust.neural._callbacks import HalfFineTuning  # noqa: E402
from skrobust.neural._co_teaching_classifier import CoTeachingClassifier  # noqa: E402
from skrobust.neural._elr_classifier import ELRClassifier  # noqa: E402
from skrobust.neural._feature_tune import (  # noqa: E402
    FeatureTuneClassifier,
    FeatureTuneTransformer,
)
from skrobust.neural._meta_rescaled_classifier import MetaRescaledClassifier  # noqa: E402
from skrobust.neural._nested_dropout_classifier import NestedDropoutClassifier  # noqa: E402
from skrobust.neural._neural_classifier import NeuralClassifier  # noqa: E402
from skrobust.neural._neural_regressor import NeuralRegressor  # noqa: E402
from skrobust.neural._smaller import (  # noqa: E402
    SmallerNetwork,
    prune_network,
    quantize_network,
)
from skrobust.neural._sop_classifier import SOPClassifier  # noqa: E402

__all__ = [
    "CoTeachingClassifier",
    "ELRClassifier",
    "FeatureTuneClassifier",
    "FeatureTuneTransformer",
    "HalfFineTuning",
    "MetaRescaledClassifier",
    "NestedDropoutClassifier",
    "NeuralClassifier",
    "NeuralRegressor",
    "SOPClassifier",
    "SmallerNetwork",
    "layers",
    "losses",
    "modules",
    "prune_network",
    "quantize_network",
]
