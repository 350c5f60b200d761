"""Kinds of estimators, and clones of them with seeds, folds and parameters set."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from inspect import signature
from typing import Any

from sklearn.base import clone, is_classifier, is_regressor
from sklearn.utils import get_tags

from skrobust.base import LabelErrorDetector, Reweighter, TransitionEstimator
from skrobust.utils._warnings import LabelNoiseWarning


def has_param(estimator: Any, name: str) -> bool:
    """Whether the constructor has a parameter."""
    return name in estimator.get_params(deep=False)


def fit_takes(estimator: Any, name: str) -> bool:
    """Whether ``fit`` has a parameter."""
    return name in signature(estimator.fit).parameters


def is_detector(estimator: Any) -> bool:
    """Whether an estimator detects wrong class labels."""
    return isinstance(estimator, LabelErrorDetector) and estimator.label_kind == "classes"


def is_target_detector(estimator: Any) -> bool:
    """Whether an estimator detects wrong labels that are no classes: numbers, or indicators."""
    return getattr(estimator, "label_kind", "classes") != "classes"


def is_robust_classifier(estimator: Any) -> bool:
    """Whether an estimator is a classifier with a `detector`, or that takes verified labels."""
    takes_labels = has_param(estimator, "detector") or fit_takes(estimator, "verified_labels")
    return is_classifier(estimator) and takes_labels


def is_robust_regressor(estimator: Any) -> bool:
    """Whether an estimator is a regressor with a parameter `detector`."""
    return is_regressor(estimator) and has_param(estimator, "detector")


def is_indicator_detector(estimator: Any) -> bool:
    """Whether an estimator detects wrong entries of indicator matrices."""
    return is_target_detector(estimator) and get_tags(estimator).target_tags.multi_output


def is_number_detector(estimator: Any) -> bool:
    """Whether an estimator detects wrong numeric targets."""
    return is_target_detector(estimator) and not get_tags(estimator).target_tags.multi_output


def is_reweighter(estimator: Any) -> bool:
    """Whether an estimator computes sample weights."""
    return isinstance(estimator, Reweighter)


def is_transition_estimator(estimator: Any) -> bool:
    """Whether an estimator estimates a transition matrix."""
    return isinstance(estimator, TransitionEstimator)


# What an estimator must be for each entry point, in words.
KINDS: dict[str, Callable[[Any], bool]] = {
    "LabelErrorDetector": is_detector,
    "detector of wrong numeric targets": is_number_detector,
    "detector of wrong entries": is_indicator_detector,
    "Reweighter": is_reweighter,
    "TransitionEstimator": is_transition_estimator,
    "classifier whose fit takes `verified_labels`": is_robust_classifier,
    "regressor with a parameter `detector`": is_robust_regressor,
}
DETECTOR_KINDS = list(KINDS)[:3]


def is_known_kind(estimator: Any) -> bool:
    """Whether there are checks for such an estimator."""
    return any(kind(estimator) for kind in KINDS.values())


def labels_of(estimator: Any) -> str:
    """What an estimator takes for y: "classes", "numbers" or "indicators"."""
    if is_indicator_detector(estimator):
        return "indicators"
    numeric = is_number_detector(estimator) or is_robust_regressor(estimator)
    return "numbers" if numeric else "classes"


def max_classes(estimator: Any) -> int:
    """Number of classes of a problem: three, or two for a classifier that knows no more."""
    binary = is_classifier(estimator) and not get_tags(estimator).classifier_tags.multi_class
    return 2 if binary else 3


def clone_seeded(estimator: Any, /, *, seed: int | None = 0, **params: Any) -> Any:
    """Clone, seed every part that has no seed, and set those of `params` that it has."""
    estimator = clone(estimator)
    known = estimator.get_params(deep=True)
    seeds = {
        key: seed
        for key, value in known.items()
        if key == "random_state" or (key.endswith("__random_state") and value is None)
    }
    estimator.set_params(**seeds)
    own = estimator.get_params(deep=False)
    if "cv" in params and "cv" not in own:
        _set_inner_cv(estimator, params["cv"])
    return estimator.set_params(**{key: value for key, value in params.items() if key in own})


def _set_inner_cv(estimator: Any, cv: Any) -> None:
    """Set the folds of the detectors, reweighters and transition estimators inside."""
    for part in estimator.get_params(deep=False).values():
        if isinstance(part, (LabelErrorDetector, Reweighter, TransitionEstimator)):
            if has_param(part, "cv"):
                part.set_params(cv=cv)
            else:
                _set_inner_cv(part, cv)


def detector_in(estimator: Any) -> Any:
    """The detector that a wrapper was given, or the estimator itself."""
    return getattr(estimator, "detector", None) or estimator


def without_thresholds(estimator: Any, /, **params: Any) -> Any:
    """Clone a detector without the thresholds that its user has set."""
    return clone_seeded(estimator, **{"threshold": None, "flag_fraction": None, **params})


@contextlib.contextmanager
def silence_label_warnings() -> Iterator[None]:
    """Ignore warnings about the labels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=LabelNoiseWarning)
        yield


def fit_silently(estimator: Any, *args: Any, **kwargs: Any) -> Any:
    """Fit without warnings about the labels."""
    with silence_label_warnings():
        return estimator.fit(*args, **kwargs)


def part_of(fitted: Any) -> Any:
    """The detector or reweighter inside a fitted wrapper, or the estimator itself."""
    if is_classifier(fitted) or is_regressor(fitted):
        for name in ("detector_", "reweighter_"):
            if hasattr(fitted, name):
                return getattr(fitted, name)
    return fitted
