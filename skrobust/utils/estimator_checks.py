"""The estimator checks of :mod:`skrobust.testing`, where scikit-learn has its own."""

from skrobust.testing import (
    check_detector,
    check_label_error_detector,
    check_multilabel_detector,
    check_regression_detector,
    check_reweighter,
    check_robust_classifier,
    check_robust_regressor,
    check_transition_estimator,
    parametrize_with_robust_checks,
    yield_checks,
)

__all__ = [
    "check_detector",
    "check_label_error_detector",
    "check_multilabel_detector",
    "check_regression_detector",
    "check_reweighter",
    "check_robust_classifier",
    "check_robust_regressor",
    "check_transition_estimator",
    "parametrize_with_robust_checks",
    "yield_checks",
]
