"""Checks that every detector, reweighter, transition estimator and robust classifier passes.

scikit-learn's own checks see little of an estimator that judges labels: one that returns random
numbers passes them. Those here compare what it says: ``label_quality_``, ``label_errors_``,
``keep_weight_``, ``suggested_labels_``, ``sample_weight_`` and ``transition_matrix_``. They are
meant for estimators of other packages as well; run them beside scikit-learn's.

An estimator that cannot give exactly the same answer when rows are permuted, or repeated instead
of weighed (one that looks at neighbours, or draws at random per row), says so by the tag
``non_deterministic`` or by a class attribute ``_exact_evidence = False``. Its answers are then
compared in the mean over 20 seeds. One that learns from rows without a label as well says so by a
class attribute ``_learns_from_unlabelled = True``.
"""

from collections.abc import Callable, Iterable, Iterator
from unittest import SkipTest

from sklearn.base import is_classifier
from sklearn.utils import get_tags

from skrobust._base import LabelErrorDetector, Reweighter, TransitionEstimator
from skrobust.utils._checks_classifiers import CLASSIFIER_CHECKS, ROUTING_CHECKS
from skrobust.utils._checks_common import (
    has_param,
    is_detector,
    is_known_kind,
    is_robust_classifier,
    is_target_detector,
    is_target_wrapper,
    on_two_classes,
)
from skrobust.utils._checks_detection import (
    DETECTOR_CHECKS,
    check_class_missing_from_a_fold,
    check_clean_data,
    check_finds_planted_errors,
    check_missing_labels,
    check_new_rows,
    check_reweighter_weighs_errors_less,
    check_transition_is_recovered,
    check_verified_labels,
)
from skrobust.utils._checks_inputs import INPUT_CHECKS
from skrobust.utils._checks_invariance import INVARIANCE_CHECKS
from skrobust.utils._checks_regressors import REGRESSOR_CHECKS, TARGET_ROUTING_CHECKS
from skrobust.utils._checks_targets import TARGET_CHECKS, TARGET_DETECTOR_CHECKS

__all__ = [
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


def yield_checks(estimator) -> Iterator[Callable]:
    """Yield the checks that concern an estimator.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : estimator object
        A detector (of wrong classes, numbers or indicators), a reweighter, a transition
        estimator, a robust classifier, or a regressor with a parameter `detector`. A robust
        classifier is one whose ``fit`` takes `verified_labels`.

    Yields
    ------
    check : callable
        Takes an estimator, which it clones, and raises AssertionError if it fails, or
        ``unittest.SkipTest`` if there is nothing to check.

    Examples
    --------
    >>> from skrobust.detection import ConfidentLearning
    >>> from skrobust.utils.estimator_checks import yield_checks
    >>> [check.__name__ for check in yield_checks(ConfidentLearning())][:2]
    ['check_attributes', 'check_renamed_classes']
    """
    if not is_known_kind(estimator):
        raise TypeError(
            "There are checks for detectors, reweighters, transition estimators, classifiers whose"
            " fit takes `verified_labels` and regressors with a parameter `detector`, which"
            f" {type(estimator).__name__} is none of."
        )
    if is_classifier(estimator) and not get_tags(estimator).classifier_tags.multi_class:
        yield from map(on_two_classes, _choose_checks(estimator))
    else:
        yield from _choose_checks(estimator)


def _choose_checks(estimator) -> Iterator[Callable]:
    """Choose from all checks; they see three classes where a check does not say otherwise."""
    if is_target_detector(estimator) or is_target_wrapper(estimator):
        yield from TARGET_CHECKS
        yield from TARGET_ROUTING_CHECKS
        yield from REGRESSOR_CHECKS if is_target_wrapper(estimator) else TARGET_DETECTOR_CHECKS
        return
    yield from INVARIANCE_CHECKS
    yield from INPUT_CHECKS
    yield from ROUTING_CHECKS
    if is_detector(estimator):
        for check in DETECTOR_CHECKS:
            if check is not check_new_rows or has_param(estimator, "store_estimators"):
                yield check
        if has_param(estimator, "cv"):
            yield check_class_missing_from_a_fold
        return
    yield check_missing_labels
    yield check_verified_labels
    if isinstance(estimator, Reweighter):
        yield check_reweighter_weighs_errors_less
    if isinstance(estimator, TransitionEstimator):
        yield check_transition_is_recovered
    if is_robust_classifier(estimator):
        if has_param(estimator, "detector"):
            yield check_finds_planted_errors
            yield check_clean_data
        yield from CLASSIFIER_CHECKS


def _run(estimator, kind, words) -> None:
    if isinstance(estimator, type):
        raise TypeError(f"Pass an instance of {estimator.__name__}, not the class.")
    if not kind(estimator):
        raise TypeError(f"{type(estimator).__name__} is no {words}.")
    for check in yield_checks(estimator):
        try:
            check(estimator)
        except SkipTest:
            continue
        except AssertionError as error:
            error.add_note(f"{check.__name__} of {type(estimator).__name__}: {check.__doc__}")
            raise


def check_label_error_detector(estimator) -> None:
    """Check a detector of label errors.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : LabelErrorDetector
        An instance, with parameters that make it fast.

    Raises
    ------
    AssertionError
        If a check fails; its note names the check.

    See Also
    --------
    parametrize_with_robust_checks : One test for each check.

    Examples
    --------
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skrobust.detection import ConfidentLearning
    >>> from skrobust.utils.estimator_checks import check_label_error_detector
    >>> check_label_error_detector(ConfidentLearning(GaussianNB()))
    """
    _run(estimator, lambda e: isinstance(e, LabelErrorDetector), "LabelErrorDetector")


def check_robust_classifier(estimator) -> None:
    """Check a classifier that trains on labels of which some may be wrong.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : classifier whose ``fit`` takes `verified_labels`
        Whatever it does about the other labels: with a parameter `detector`, what that says is
        checked as well. An instance, with parameters that make it fast.

    Raises
    ------
    AssertionError
        If a check fails; its note names the check.

    See Also
    --------
    parametrize_with_robust_checks : One test for each check.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skrobust.detection import ConfidentLearning
    >>> from skrobust.utils.estimator_checks import check_robust_classifier
    >>> from skrobust.wrappers import CleaningClassifier
    >>> detector = ConfidentLearning(GaussianNB())
    >>> check_robust_classifier(CleaningClassifier(LogisticRegression(), detector))
    """
    _run(estimator, is_robust_classifier, "classifier whose fit takes `verified_labels`")


def check_regression_detector(estimator) -> None:
    """Check a detector of wrong numeric targets.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : detector of wrong targets
        An instance, with parameters that make it fast.

    Raises
    ------
    AssertionError
        If a check fails; its note names the check.

    See Also
    --------
    parametrize_with_robust_checks : One test for each check.

    Examples
    --------
    A regressor is no detector:

    >>> from sklearn.linear_model import Ridge
    >>> from skrobust.utils.estimator_checks import check_regression_detector
    >>> check_regression_detector(Ridge())
    Traceback (most recent call last):
        ...
    TypeError: Ridge is no detector of wrong numeric targets.
    """

    def kind(e):
        return is_target_detector(e) and not get_tags(e).target_tags.multi_output

    _run(estimator, kind, "detector of wrong numeric targets")


def check_multilabel_detector(estimator) -> None:
    """Check a detector of wrong entries of indicator matrices.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : detector of wrong entries
        An instance, with parameters that make it fast.

    Raises
    ------
    AssertionError
        If a check fails; its note names the check.

    See Also
    --------
    parametrize_with_robust_checks : One test for each check.

    Examples
    --------
    A regressor is no detector:

    >>> from sklearn.linear_model import Ridge
    >>> from skrobust.utils.estimator_checks import check_multilabel_detector
    >>> check_multilabel_detector(Ridge())
    Traceback (most recent call last):
        ...
    TypeError: Ridge is no detector of wrong entries.
    """

    def kind(e):
        return is_target_detector(e) and get_tags(e).target_tags.multi_output

    _run(estimator, kind, "detector of wrong entries")


def check_robust_regressor(estimator) -> None:
    """Check a regressor that trains on targets which a detector has judged.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : regressor with a parameter `detector`
        An instance, with parameters that make it fast.

    Raises
    ------
    AssertionError
        If a check fails; its note names the check.

    See Also
    --------
    parametrize_with_robust_checks : One test for each check.

    Examples
    --------
    A plain regressor is none:

    >>> from sklearn.linear_model import Ridge
    >>> from skrobust.utils.estimator_checks import check_robust_regressor
    >>> check_robust_regressor(Ridge())
    Traceback (most recent call last):
        ...
    TypeError: Ridge is no regressor with a parameter `detector`.
    """
    _run(estimator, is_target_wrapper, "regressor with a parameter `detector`")


def check_reweighter(estimator) -> None:
    """Check a reweighter.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : Reweighter
        An instance, with parameters that make it fast.

    Raises
    ------
    AssertionError
        If a check fails; its note names the check.

    See Also
    --------
    parametrize_with_robust_checks : One test for each check.

    Examples
    --------
    A classifier is no reweighter:

    >>> from sklearn.linear_model import LogisticRegression
    >>> from skrobust.utils.estimator_checks import check_reweighter
    >>> check_reweighter(LogisticRegression())
    Traceback (most recent call last):
        ...
    TypeError: LogisticRegression is no Reweighter.
    """
    _run(estimator, lambda e: isinstance(e, Reweighter), "Reweighter")


def check_transition_estimator(estimator) -> None:
    """Check an estimator of the transition from true to given labels.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : TransitionEstimator
        An instance, with parameters that make it fast.

    Raises
    ------
    AssertionError
        If a check fails; its note names the check.

    See Also
    --------
    parametrize_with_robust_checks : One test for each check.

    Examples
    --------
    A classifier is no transition estimator:

    >>> from sklearn.linear_model import LogisticRegression
    >>> from skrobust.utils.estimator_checks import check_transition_estimator
    >>> check_transition_estimator(LogisticRegression())
    Traceback (most recent call last):
        ...
    TypeError: LogisticRegression is no TransitionEstimator.
    """
    _run(estimator, lambda e: isinstance(e, TransitionEstimator), "TransitionEstimator")


def parametrize_with_robust_checks(
    estimators: Iterable, *, expected_failed_checks: Callable | None = None
):
    """Decorate a test so that it runs once for each estimator and check. Needs pytest.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimators : iterable of estimator objects
        Instances, with parameters that make them fast.
    expected_failed_checks : callable, default=None
        Takes an estimator and returns a dictionary with the names of checks that are known to
        fail and the reasons. They are marked xfail.

    Returns
    -------
    decorator : callable
        A ``pytest.mark.parametrize`` of the arguments `estimator` and `check`.

    See Also
    --------
    sklearn.utils.estimator_checks.parametrize_with_checks : The same for scikit-learn's checks.

    Examples
    --------
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skrobust.detection import ConfidentLearning
    >>> from skrobust.utils.estimator_checks import parametrize_with_robust_checks
    >>> @parametrize_with_robust_checks([ConfidentLearning(GaussianNB())])
    ... def test_detectors(estimator, check):
    ...     check(estimator)
    """
    import pytest

    cases = []
    for estimator in estimators:
        expected = expected_failed_checks(estimator) if expected_failed_checks else {}
        words = " ".join(str(estimator).split())
        for check in yield_checks(estimator):
            reason = expected.get(check.__name__)
            marks = [pytest.mark.xfail(reason=reason)] if reason else []
            cases.append(
                pytest.param(estimator, check, marks=marks, id=f"{words}-{check.__name__}")
            )
    return pytest.mark.parametrize(("estimator", "check"), cases)
