"""Train a classifier on rows that are weighted by a reweighter."""

import dataclasses
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone, is_classifier, is_regressor

from skrobust.base import LabelErrorDetector, LabelledData, Reweighter
from skrobust.base._labelled_data import fit_inside
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._sklearn import HasMethods, fit_context
from skrobust.utils._typing import CrossValidation, LabelsLike
from skrobust.utils._weights import weight_fit_params
from skrobust.weighting import QualityReweighter
from skrobust.wrappers._base import (
    FIT_INSIDE_CONSTRAINTS,
    TRAINING_DATA,
    BaseWrapper,
    ClassifierWrapper,
)
from skrobust.wrappers._detectors import default_detector
from skrobust.wrappers._training_set import weighted


@fill_docstring(training_data=TRAINING_DATA)
class ReweightedClassifier(ClassifierWrapper, BaseWrapper):
    """Classifier trained on rows that are weighted by a reweighter.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : classifier, default=None
        The classifier to train, cloned. Its ``fit`` must take sample weights, unless the
        reweighter only selects rows. None is :class:`~sklearn.linear_model.LogisticRegression`.
    reweighter : reweighter, default=None
        Reweighter of the rows, cloned. None is :class:`~skrobust.weighting.QualityReweighter`, with
        the default detector of :class:`CleaningClassifier`: where X is a numeric feature matrix,
        with models of its own, and otherwise with the out-of-fold probabilities of `estimator`.
    cv : int, splitter or iterable of (train, test), default=None
        If not None, set as `cv` of the reweighter, if it has one.
    n_jobs : int, default=None
        If not None, set as `n_jobs` of the reweighter.
    random_state : int, RandomState instance or None, default=None
        If not None, set as `random_state` of the reweighter. `estimator` keeps its own.
    memory : str or object with the joblib.Memory interface, default=None
        Where to cache the weights, so that a search over parameters of `estimator` computes them
        once per training fold. Needs an integer `random_state`, here or in the reweighter.

    Attributes
    ----------
    estimator_ : classifier
        The fitted classifier.
    reweighter_ : reweighter
        The fitted reweighter, with ``sample_weight_`` and more.
    %(classes_)s
    %(features_in)s

    See Also
    --------
    CleaningClassifier : Leaves out, or corrects, rows whose labels are flagged.
    LossCorrectedClassifier : Corrects for a transition matrix.
    skrobust.weighting.QualityReweighter : Only weights the rows.

    Notes
    -----
    Each row is trained on with its verified label, where there is one, or else with the given
    one, and with the product of the reweighter's weight and the caller's `sample_weight`. The
    total weight of all rows stays the same.

    Rows of weight zero are left out. If all others have the same weight, they are trained on
    without weights, so that a reweighter that only selects rows works with classifiers that take
    no weights. A class that would be left without rows keeps them, all with weight 1, so that rare
    classes do not vanish.

    References
    ----------
    Ren, Zeng, Yang and Urtasun (2018). Learning to reweight examples for robust deep learning.
    ICML.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.ensemble import HistGradientBoostingClassifier
    >>> from sklearn.model_selection import train_test_split
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> from skrobust.wrappers import ReweightedClassifier
    >>> X, y = make_classification(600, n_informative=5, class_sep=2, random_state=0)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> y_noisy, _ = flip_labels(y_train, symmetric_transition(2, 0.3), random_state=0)
    >>> plain = HistGradientBoostingClassifier(random_state=0)
    >>> robust = ReweightedClassifier(plain, random_state=0).fit(X_train, y_noisy)
    >>> robust.score(X_test, y_test) > plain.fit(X_train, y_noisy).score(X_test, y_test)
    True
    """

    reweighter_: Any

    _parameter_constraints: dict = {
        **BaseWrapper._parameter_constraints,
        **FIT_INSIDE_CONSTRAINTS,
        "reweighter": [HasMethods(["fit"]), None],
    }

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        reweighter: BaseEstimator | None = None,
        *,
        cv: CrossValidation = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        memory: Any = None,
    ) -> None:
        self.estimator = estimator
        self.reweighter = reweighter
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.memory = memory

    def _helpers(self):
        return [QualityReweighter() if self.reweighter is None else self.reweighter]

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: Any,
        y: LabelsLike,
        *,
        verified_labels: LabelsLike | None = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        **params: Any,
    ) -> Self:
        """Weight the rows and train the classifier.

        Parameters
        ----------
        %(training_data)s
        %(fit_params)s

        Returns
        -------
        %(returns_self)s

        Raises
        ------
        TypeError
            If `estimator` takes no sample weights, or `reweighter` is no reweighter.
        ValueError
            If `memory` is passed and the weights are not repeatable.
        """
        _check_reweighter(self.reweighter)
        data = LabelledData.from_arrays(
            X, y, verified_labels=verified_labels, sample_weight=sample_weight, groups=groups
        )
        selects = hasattr(self.reweighter, "fit_resample")
        final = self._prepare(data, params, own_weight="never" if selects else "always")
        reweighter = self._fit_reweighter(data)
        weight = _check_weight(reweighter, data.n_samples)
        training = weighted(final, weight)
        if selects and training.weight is not None:
            weight_fit_params(final.estimator, training.weight)  # raises if it takes none
        model = dataclasses.replace(final, own_weight=True).train(training)
        self.reweighter_ = reweighter
        self._set_fitted_attributes(final, model, training.rows)
        return self

    def _fit_reweighter(self, data):
        """Fit the reweighter, or take the fitted one from the cache."""
        if self.reweighter is None:
            reweighter = QualityReweighter(default_detector(data.X, self._get_estimator()))
        else:
            reweighter = clone(self.reweighter)
        return fit_inside(
            reweighter,
            data,
            n_jobs=self.n_jobs,
            memory=self.memory,
            cv=self.cv,
            random_state=self.random_state,
        )


def _check_reweighter(reweighter) -> None:
    """Refuse estimators of another kind."""
    if reweighter is None or isinstance(reweighter, Reweighter):
        return
    name = type(reweighter).__name__
    if isinstance(reweighter, LabelErrorDetector):
        raise TypeError(
            f"reweighter={name}(...) is a detector: use QualityReweighter({name}(...)), or"
            f" CleaningClassifier with detector={name}(...)."
        )
    if is_classifier(reweighter) or is_regressor(reweighter):
        raise TypeError(
            f"reweighter={name}(...) must be a reweighter such as"
            " skrobust.weighting.QualityReweighter(), or None."
        )


def _check_weight(reweighter, n_samples: int) -> np.ndarray:
    """Return the weights of a fitted reweighter, validated."""
    weight = getattr(reweighter, "sample_weight_", None)
    name = type(reweighter).__name__
    if weight is None:
        raise TypeError(f"reweighter={name}(...) is no reweighter: fit leaves no sample_weight_.")
    weight = np.asarray(weight, dtype=np.float64)
    if weight.shape != (n_samples,) or not (weight >= 0).all() or not np.isfinite(weight).all():
        raise ValueError(
            f"sample_weight_ of {name} must be {n_samples} finite numbers, none negative."
        )
    return weight
