"""Selection of the checks that concern an estimator, and the functions that run them."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any
from unittest import SkipTest

from skrobust.testing._detection import (
    CLASS_DETECTOR_CHECKS,
    DETECTOR_CHECKS,
    DETECTOR_METHOD_CHECKS,
    check_class_missing_from_a_fold,
    check_clean_data,
    check_errors_get_less_weight,
    check_finds_planted_errors,
    check_missing_labels,
    check_new_rows,
    check_scores_out_of_sample,
    check_transition_is_recovered,
    check_verified_labels,
)
from skrobust.testing._embedding import CLASSIFIER_CHECKS, MODEL_CHECKS, ROUTING_CHECKS
from skrobust.testing._estimators import (
    DETECTOR_KINDS,
    KINDS,
    has_param,
    is_detector,
    is_known_kind,
    is_reweighter,
    is_robust_classifier,
    is_robust_regressor,
    is_target_detector,
    is_transition_estimator,
)
from skrobust.testing._inputs import INPUT_CHECKS
from skrobust.testing._invariance import CLASS_CHECKS, INVARIANCE_CHECKS
from skrobust.utils._docstring import fill_docstring

Check = Callable[[Any], None]


def yield_checks(estimator: Any) -> Iterator[Check]:
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

    Raises
    ------
    TypeError
        If the estimator is of none of these kinds.

    Examples
    --------
    >>> from skrobust.detection import ConfidentLearning
    >>> from skrobust.testing import yield_checks
    >>> [check.__name__ for check in yield_checks(ConfidentLearning())][:2]
    ['check_attributes', 'check_refit_clone_pickle']
    """
    if not is_known_kind(estimator):
        raise TypeError(
            f"There are no checks for {type(estimator).__name__}: it is no {', no '.join(KINDS)}."
        )
    yield from INVARIANCE_CHECKS
    yield from INPUT_CHECKS
    yield from ROUTING_CHECKS
    wrapper = is_robust_regressor(estimator)
    if is_target_detector(estimator) or wrapper:
        yield from DETECTOR_CHECKS
        yield from MODEL_CHECKS if wrapper else DETECTOR_METHOD_CHECKS
        return
    yield from CLASS_CHECKS
    if is_detector(estimator):
        yield from DETECTOR_CHECKS
        yield from CLASS_DETECTOR_CHECKS
        for check in DETECTOR_METHOD_CHECKS:
            if check is not check_new_rows or has_param(estimator, "store_estimators"):
                yield check
        if has_param(estimator, "cv"):
            yield check_class_missing_from_a_fold
        return
    yield check_missing_labels
    yield check_verified_labels
    if is_reweighter(estimator):
        yield check_errors_get_less_weight
    if is_transition_estimator(estimator):
        yield check_transition_is_recovered
    if is_robust_classifier(estimator):
        if has_param(estimator, "detector"):
            yield check_finds_planted_errors
            yield check_clean_data
            yield check_scores_out_of_sample
        yield from MODEL_CHECKS
        yield from CLASSIFIER_CHECKS


def _run(estimator: Any, *kinds: str) -> None:
    """Run all checks of an estimator, which must be of one of some kinds."""
    if isinstance(estimator, type):
        raise TypeError(f"Pass an instance of {estimator.__name__}, not the class.")
    if not any(KINDS[kind](estimator) for kind in kinds):
        raise TypeError(f"{type(estimator).__name__} is no {', no '.join(kinds)}.")
    for check in yield_checks(estimator):
        try:
            check(estimator)
        except SkipTest:
            continue
        except AssertionError as error:
            error.add_note(f"{check.__name__} of {type(estimator).__name__}: {check.__doc__}")
            raise


_document = fill_docstring(
    checked="""
.. versionadded:: 0.1

Parameters
----------
estimator : estimator object
    An instance, with parameters that make it fast.

Raises
------
AssertionError
    If a check fails; its note names the check.
TypeError
    If it is a class, or an estimator of another kind.

See Also
--------
parametrize_with_robust_checks : One test for each check."""
)


@_document
def check_detector(estimator: Any) -> None:
    """Check a detector of wrong labels, whether these are classes, numbers or indicators.

    %(checked)s

    Examples
    --------
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skrobust.detection import ConfidentLearning
    >>> from skrobust.testing import check_detector
    >>> check_detector(ConfidentLearning(GaussianNB()))
    """
    _run(estimator, *DETECTOR_KINDS)


@_document
def check_label_error_detector(estimator: Any) -> None:
    """Check a detector of wrong class labels.

    %(checked)s

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skrobust.testing import check_label_error_detector
    >>> check_label_error_detector(LogisticRegression())
    Traceback (most recent call last):
        ...
    TypeError: LogisticRegression is no LabelErrorDetector.
    """
    _run(estimator, DETECTOR_KINDS[0])


@_document
def check_regression_detector(estimator: Any) -> None:
    """Check a detector of wrong numeric targets.

    %(checked)s

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from skrobust.testing import check_regression_detector
    >>> check_regression_detector(Ridge())
    Traceback (most recent call last):
        ...
    TypeError: Ridge is no detector of wrong numeric targets.
    """
    _run(estimator, DETECTOR_KINDS[1])


@_document
def check_multilabel_detector(estimator: Any) -> None:
    """Check a detector of wrong entries of indicator matrices.

    %(checked)s

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from skrobust.testing import check_multilabel_detector
    >>> check_multilabel_detector(Ridge())
    Traceback (most recent call last):
        ...
    TypeError: Ridge is no detector of wrong entries.
    """
    _run(estimator, DETECTOR_KINDS[2])


@_document
def check_reweighter(estimator: Any) -> None:
    """Check a reweighter.

    %(checked)s

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skrobust.testing import check_reweighter
    >>> check_reweighter(LogisticRegression())
    Traceback (most recent call last):
        ...
    TypeError: LogisticRegression is no Reweighter.
    """
    _run(estimator, "Reweighter")


@_document
def check_transition_estimator(estimator: Any) -> None:
    """Check an estimator of the transition from true to given labels.

    %(checked)s

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skrobust.testing import check_transition_estimator
    >>> check_transition_estimator(LogisticRegression())
    Traceback (most recent call last):
        ...
    TypeError: LogisticRegression is no TransitionEstimator.
    """
    _run(estimator, "TransitionEstimator")


@_document
def check_robust_classifier(estimator: Any) -> None:
    """Check a classifier that trains on labels of which some may be wrong, and its detector.

    %(checked)s

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skrobust.detection import ConfidentLearning
    >>> from skrobust.testing import check_robust_classifier
    >>> from skrobust.wrappers import CleaningClassifier
    >>> detector = ConfidentLearning(GaussianNB())
    >>> check_robust_classifier(CleaningClassifier(LogisticRegression(), detector))
    """
    _run(estimator, "classifier whose fit takes `verified_labels`")


@_document
def check_robust_regressor(estimator: Any) -> None:
    """Check a regressor that trains on the targets that a detector keeps or corrects.

    %(checked)s

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from skrobust.testing import check_robust_regressor
    >>> check_robust_regressor(Ridge())
    Traceback (most recent call last):
        ...
    TypeError: Ridge is no regressor with a parameter `detector`.
    """
    _run(estimator, "regressor with a parameter `detector`")


def parametrize_with_robust_checks(
    estimators: Iterable[Any],
    *,
    expected_failed_checks: Callable[[Any], dict[str, str]] | None = None,
) -> Any:
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
    >>> from skrobust.testing import parametrize_with_robust_checks
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
