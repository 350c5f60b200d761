"""Train a classifier on rows that count as much as their labels deserve."""

from numbers import Integral

import numpy as np
from sklearn.base import clone, is_classifier, is_regressor

from skrobust.base import LabelErrorDetector, LabelledData
from skrobust.utils._cached_fit import cached_fit
from skrobust.utils._propagate import propagate_params
from skrobust.utils._sklearn import Features, HasMethods, fit_context, raise_for_params
from skrobust.weighting import QualityReweighter
from skrobust.wrappers._default_detector import default_detector
from skrobust.wrappers._wrapper_base import BaseWrapper, ClassifierWrapper


class ReweightedClassifier(ClassifierWrapper, BaseWrapper):
    """Weigh the rows by what a reweighter thinks of their labels, and train a classifier on them.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : classifier, default=None
        The classifier to train, cloned. Its ``fit`` must take sample weights, unless the
        reweighter only chooses rows. None is :class:`~sklearn.linear_model.LogisticRegression`.
    reweighter : reweighter, default=None
        What weighs the rows, cloned. None is :class:`~skrobust.weighting.QualityReweighter`, with
        the default detector of :class:`CleaningClassifier`: where X is a table of numbers, with
        models of its own, and otherwise with the out-of-fold probabilities of `estimator`.
    cv : int, splitter or iterable of (train, test), default=None
        If not None, set as `cv` of the reweighter, if it has one.
    n_jobs : int, default=None
        If not None, set as `n_jobs` of the reweighter.
    random_state : int, RandomState instance or None, default=None
        If not None, set as `random_state` of the reweighter. The estimator keeps its own.
    memory : str or object with the joblib.Memory interface, default=None
        Where to cache the weighing, so that a search over parameters of `estimator` weighs once
        per training fold. Needs an integer `random_state`, here or in the reweighter.

    Attributes
    ----------
    estimator_ : classifier
        The fitted classifier.
    reweighter_ : reweighter
        The fitted reweighter, with ``sample_weight_`` and more.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    n_features_in_ : int
        Number of features, where X has any.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X has names that are all text.

    See Also
    --------
    CleaningClassifier : Leaves out, or corrects, rows whose labels are doubted.
    LossCorrectedClassifier : Corrects for the way in which labels go wrong.
    skrobust.weighting.QualityReweighter : Only weighs the rows.

    Notes
    -----
    Each row is trained on with its verified label, where there is one, or else with the given
    one, and with the product of the reweighter's weight and the caller's `sample_weight`. All
    rows together weigh what they weighed before.

    Rows of weight zero are left out. If the others weigh the same, they are trained on as they
    are, so that a reweighter that only chooses rows goes with classifiers that take no weights. A
    class that would be left without rows keeps them, all with weight 1: it must not vanish because
    it is rare.

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

    _parameter_constraints: dict = {
        **BaseWrapper._parameter_constraints,
        "reweighter": [HasMethods(["fit"]), None],
        "cv": ["cv_object"],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
        "memory": [str, HasMethods(["cache"]), None],
    }

    def __init__(
        self,
        estimator=None,
        reweighter=None,
        *,
        cv=None,
        n_jobs=None,
        random_state=None,
        memory=None,
    ):
        self.estimator = estimator
        self.reweighter = reweighter
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.memory = memory

    def _helpers(self):
        return [QualityReweighter() if self.reweighter is None else self.reweighter]

    def _make_reweighter(self, X):
        """Make the reweighter to fit, with the parameters that were given to this wrapper."""
        if self.reweighter is None:
            reweighter = QualityReweighter(default_detector(X, self._get_estimator()))
        else:
            reweighter = clone(self.reweighter)
        return propagate_params(reweighter, cv=self.cv, random_state=self.random_state)

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, *, verified_labels=None, sample_weight=None, **params):
        """Weigh the rows and train the classifier.

        Parameters
        ----------
        X : array-like of length n_samples
            Input, handed to reweighter and classifier as it is: arrays, sparse matrices,
            DataFrames, lists of texts.
        y : array-like of shape (n_samples,)
            Given labels. Rows whose label is None, NaN or blank are not trained on.
        verified_labels : array-like of shape (n_samples,), default=None
            Labels as checked by a person, missing where nobody looked; `y` stays as it was given,
            not overwritten by them. They are trained on instead of those in `y`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights for every fit. An integer weight counts as so many equal rows.
        **params : dict
            More metadata for the classifier, where metadata routing is enabled.

        Returns
        -------
        self : object
            Fitted wrapper.

        Raises
        ------
        TypeError
            If `estimator` takes no sample weights, or `reweighter` is no reweighter.
        ValueError
            If `memory` is given and the weighing is not repeatable.
        """
        _check_reweighter(self.reweighter)
        data = LabelledData.from_arrays(
            X, y, verified_labels=verified_labels, sample_weight=sample_weight
        )
        raise_for_params(params, self, "fit")
        features = Features(data.X)
        estimator = clone(self._get_estimator())
        reweighter = self._make_reweighter(data.X)
        only_chooses = hasattr(reweighter, "fit_resample")
        fit_params = self._route(estimator, data, params, needs_weight=not only_chooses)
        y, metadata = data.fit_arguments()
        reweighter = cached_fit(
            reweighter, data.X, y, metadata, n_jobs=self.n_jobs, memory=self.memory
        )
        weight = _weight_of(reweighter, data.n_samples)
        self._train_weighed(estimator, data, weight, fit_params)
        self.reweighter_ = reweighter
        self.classes_ = self.estimator_.classes_
        features.record(self)
        return self


def _check_reweighter(reweighter) -> None:
    """Refuse what has a ``fit`` but is of another kind."""
    if reweighter is None:
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


def _weight_of(reweighter, n_samples: int) -> np.ndarray:
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
