"""Checks that every detector, reweighter, transition estimator and robust classifier passes.

scikit-learn's own checks see little of an estimator that detects wrong labels: one that returns
random scores passes them. The checks of this package compare ``label_quality_``,
``label_errors_``, ``keep_weight_``, ``suggested_labels_``, ``sample_weight_`` and
``transition_matrix_``. They are meant for estimators of other packages as well, to be run beside
those of scikit-learn.

An estimator whose outputs may depend on the order of rows, or on whether rows are repeated or
weighted (one that uses neighbours, or draws at random per row), sets the tag ``exact_outputs`` to
False. Its outputs are then compared in the mean over 20 seeds, as are those of one with the tag
``non_deterministic`` of scikit-learn. One that learns from rows without a label as well sets the
tag ``learns_from_unlabelled``; one that scores rows by the training on them, such as by its
dynamics, ``scores_in_sample``. The tags of all estimators that are derived from the classes of
:mod:`skrobust.base` have these fields, and ``__sklearn_tags__`` sets them like any other.
"""

from skrobust.testing._run import (
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
