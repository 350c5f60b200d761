"""Cleaning: detect label errors, deal with them, and train on the result."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.linear_model import Ridge

from skrobust.base import LabelledData
from skrobust.base._labelled_data import fit_inside
from skrobust.base._scoring import TargetScore
from skrobust.detection import EnsembleDetector, ResidualDetector
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._error_messages import explain_names
from skrobust.utils._input import is_plain_numeric
from skrobust.utils._sklearn import HasMethods, StrOptions, fit_context
from skrobust.utils._typing import CrossValidation, LabelsLike
from skrobust.utils._warnings import warn_user
from skrobust.wrappers._base import (
    FIT_INSIDE_CONSTRAINTS,
    TRAINING_DATA,
    BaseWrapper,
    ClassifierWrapper,
    FinalFit,
)
from skrobust.wrappers._detectors import default_detector, fit_precomputed
from skrobust.wrappers._training_set import (
    TrainingSet,
    cleaned,
    given,
    has_suggestions,
    held_out_accuracy,
    train_trimmed,
)

# Whether weights beyond the caller's are passed to the final fit.
_OWN_WEIGHT = {"drop": "never", "relabel": "if possible", "reweight": "always"}

_ENTRIES = {
    "training_data": TRAINING_DATA,
    "cv_detector": """
cv : int, splitter or iterable of (train, test), default=None
    If not None, set as `cv` of the detector.""",
    "random_state_detector": """
random_state : int, RandomState instance or None, default=None
    If not None, set as `random_state` of the detector. `estimator` keeps its own.""",
    "memory": """
memory : str or object with the joblib.Memory interface, default=None
    Where to cache the detection, so that a search over parameters of `estimator` detects once
    per training fold. Needs an integer `random_state`, here or in the detector. With the default
    detector the cached detection is shared between values of `estimator` only where X is a
    numeric feature matrix.""",
}


class BaseCleaning(BaseWrapper):
    """Base class of the wrappers that detect errors, deal with them and train on the result.

    A subclass writes ``_default_estimator()`` and ``_default_detector(X)``; X is None where nothing
    is known of it yet.
    """

    detector_: Any

    _parameter_constraints: dict = {
        **BaseWrapper._parameter_constraints,
        **FIT_INSIDE_CONSTRAINTS,
        "detector": [HasMethods(["fit"]), None],
        "action": [StrOptions(set(_OWN_WEIGHT))],
    }

    def _helpers(self):
        return [self._default_detector() if self.detector is None else self.detector]

    def _detect(self, data: LabelledData) -> Any:
        """Fit the detector, or take the fitted one from the cache."""
        detector = self._default_detector(data.X) if self.detector is None else clone(self.detector)
        return fit_inside(
            detector,
            data,
            n_jobs=self.n_jobs,
            memory=self.memory,
            cv=self.cv,
            random_state=self.random_state,
        )

    def _clean(self, data: LabelledData, detector: Any, final: FinalFit) -> TrainingSet:
        """Turn the result of the detector into a training set."""
        if getattr(detector, "reliability_", None) == "cannot tell":
            warn_user(
                f"{type(detector).__name__} cannot tell wrong labels apart from overlap of the"
                f" classes: {detector.reliability_reason_}. Verify a few dozen labels"
                " (`suggest_verification`), or compare with training without cleaning"
                " (`only_if_better=True`)."
            )
        return cleaned(data, detector, self.action, by_certainty=final.own_weight)


@fill_docstring(**_ENTRIES)
class CleaningClassifier(ClassifierWrapper, BaseCleaning):
    """Classifier trained on labels that are cleaned first.

    A detector scores the labels; flagged labels are corrected, left out or given less weight, and
    `estimator` is trained on the result.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : classifier, default=None
        The classifier to train, cloned. None is
        :class:`~sklearn.linear_model.LogisticRegression`.
    detector : label-error detector, default=None
        Detector of label errors, cloned. None is
        :class:`~skrobust.detection.EnsembleDetector`; where X is a numeric feature matrix, with
        models of its own, and otherwise with the out-of-fold probabilities of `estimator` and, if
        that is a pipeline, of diverse models behind its first steps. Smooth, diverse models
        detect errors better than the final classifier, which tends to have memorised them.
    action : {"relabel", "drop", "reweight"}, default="relabel"
        How to deal with label errors:

        - "drop": leave out the flagged rows;
        - "relabel": train on the most probable label, given everything including the given label
          (``posterior_labels_``). If `estimator` takes sample weights, rows are weighted
          by how much more probable this label is than all others together, and left out where
          it is not. If the detector has no such attribute, ``suggested_labels_`` is used with
          weight 1, rows without a suggestion are left out, and if it suggests no labels at all,
          this is "drop";
        - "reweight": flag none, but weight each row by the quality of its label, with mean 1 in
          each class. `estimator` must take sample weights.

        Rows with a verified label are always trained on with that label, at full weight. Rows
        without any label are left out.
    %(cv_detector)s
    %(n_jobs_detector)s
    %(random_state_detector)s
    %(memory)s
    only_if_better : bool, default=False
        Whether to check first that cleaning helps `estimator`: it is trained with and without
        cleaning in three folds, and if training without cleaning has the higher accuracy on the
        given labels of held-out rows, the uncleaned model is kept. It costs six more fits, and
        spares labels that look wrong only because classes are small or hard to separate. Errors
        that follow a pattern which a model can learn favour training without cleaning, unless
        the detector is calibrated on verified labels: then the held-out labels are its
        ``posterior_labels_``, weighted by their probability.
    trim : bool, default=True
        Whether to leave out rows that `estimator` is too simple to fit, in the manner of trimmed
        losses, if that raises its accuracy on the labels of held-out rows by two standard errors.
        Where its training accuracy after cleaning is at most 95 %, this costs seven more fits,
        and otherwise none. Not done with ``action="reweight"``, without ``predict_proba``, or
        where `only_if_better` keeps the uncleaned model. Rows with a verified label stay.

    Attributes
    ----------
    estimator_ : classifier
        The fitted classifier.
    cleaned_ : bool
        Whether it was trained on cleaned labels, which it always is without `only_if_better`.
    held_out_scores_ : dict
        With `only_if_better`: the held-out accuracy, "plain" and "cleaned".
    trimmed_ : ndarray of shape (n_samples,) of bool
        Rows that were left out by `trim`, flagged rows not included.
    detector_ : label-error detector
        The fitted detector, with ``label_quality_``, ``label_errors_`` and more.
    %(classes_)s
    %(features_in)s

    See Also
    --------
    skrobust.detection.EnsembleDetector : Only detects label errors.

    References
    ----------
    Northcutt, Jiang and Chuang (2021). Confident learning: estimating uncertainty in dataset
    labels. Journal of Artificial Intelligence Research 70.

    Shen and Sanghavi (2019). Learning with bad training data via iterative trimmed loss
    minimization. ICML.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.ensemble import HistGradientBoostingClassifier
    >>> from sklearn.model_selection import train_test_split
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> from skrobust.wrappers import CleaningClassifier
    >>> X, y = make_classification(600, n_informative=5, class_sep=2, random_state=0)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> y_noisy, _ = flip_labels(y_train, symmetric_transition(2, 0.3), random_state=0)
    >>> plain = HistGradientBoostingClassifier(random_state=0)
    >>> cleaned = CleaningClassifier(plain, random_state=0).fit(X_train, y_noisy)
    >>> cleaned.score(X_test, y_test) > plain.fit(X_train, y_noisy).score(X_test, y_test)
    True
    """

    cleaned_: bool
    held_out_scores_: dict[str, float]
    trimmed_: np.ndarray

    _parameter_constraints: dict = {
        **BaseCleaning._parameter_constraints,
        "only_if_better": ["boolean"],
        "trim": ["boolean"],
    }

    @explain_names
    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        detector: BaseEstimator | None = None,
        *,
        action: str = "relabel",
        cv: CrossValidation = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        memory: Any = None,
        only_if_better: bool = False,
        trim: bool = True,
    ) -> None:
        self.estimator = estimator
        self.detector = detector
        self.action = action
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.memory = memory
        self.only_if_better = only_if_better
        self.trim = trim

    def _default_detector(self, X=None):
        return EnsembleDetector() if X is None else default_detector(X, self._get_estimator())

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: Any,
        y: LabelsLike,
        *,
        verified_labels: LabelsLike | None = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        label_errors: ArrayLike | None = None,
        pred_proba: ArrayLike | None = None,
        **params: Any,
    ) -> Self:
        """Detect label errors, deal with them and train the classifier.

        Parameters
        ----------
        %(training_data)s
        label_errors : array-like of shape (n_samples,) of bool, default=None
            Mask of the label errors, if they were detected elsewhere: `detector` is not fitted
            then. Enough for ``action="drop"``.
        pred_proba : array-like or DataFrame of shape (n_samples, n_classes), default=None
            Out-of-sample probabilities of the classes, if they were computed elsewhere:
            `detector` is not fitted then. :class:`~skrobust.detection.ConfidentLearning` detects
            label errors by them, with the parameters of `detector` if that is one too, unless
            `label_errors` is passed. Columns are the classes in sorted order; those of a data
            frame are matched by name.
        %(fit_params)s

        Returns
        -------
        %(returns_self)s
        """
        data = LabelledData.from_arrays(
            X, y, verified_labels=verified_labels, sample_weight=sample_weight, groups=groups
        )
        final = self._prepare(data, params, own_weight=_OWN_WEIGHT[self.action])
        if label_errors is None and pred_proba is None:
            detector = self._detect(data)
        else:
            detector = fit_precomputed(
                self.detector, data, y, label_errors, pred_proba, self.action
            )
        training = self._clean(data, detector, final)
        training, scores = self._keep_if_better(final, training, detector)
        if self.trim and self.cleaned_ and self.action != "reweight":
            model, kept = train_trimmed(final, training, n_jobs=self.n_jobs)
        else:
            model, kept = final.train(training), training
        self.detector_ = detector
        self.trimmed_ = np.isin(np.arange(data.n_samples), np.setdiff1d(training.rows, kept.rows))
        self._set_fitted_attributes(final, model, kept.rows, held_out_scores_=scores)
        return self

    def _keep_if_better(
        self, final: FinalFit, training: TrainingSet, detector
    ) -> tuple[TrainingSet, dict[str, float] | None]:
        """Keep the cleaned training set, unless training without cleaning is to be tried."""
        self.cleaned_ = True
        if not self.only_if_better:
            return training, None
        plain = given(final.data, final.weight)
        truth = proba = None
        if getattr(detector, "is_calibrated", False) and hasattr(detector, "posterior_proba_"):
            truth, proba = detector.posterior_labels_, detector.posterior_proba_
        scores = held_out_accuracy(
            final, [plain, training], truth=truth, proba=proba, n_jobs=self.n_jobs
        )
        self.cleaned_ = scores[1] >= scores[0]
        named = dict(zip(("plain", "cleaned"), scores, strict=True))
        return training if self.cleaned_ else plain, named


@fill_docstring(**_ENTRIES)
class CleaningRegressor(TargetScore, RegressorMixin, BaseCleaning):
    """Regressor trained on targets that are cleaned first.

    A detector scores the targets; flagged targets are corrected, left out or given less weight,
    and `estimator` is trained on the result.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : regressor, default=None
        The regressor to train, cloned. None is :class:`~sklearn.linear_model.Ridge`.
    detector : detector of wrong targets, default=None
        Detector of wrong targets, cloned. None is
        :class:`~skrobust.detection.ResidualDetector`; where X is a numeric feature matrix, with
        the out-of-bag predictions of a forest, and otherwise with the out-of-fold predictions of
        `estimator`.
    action : {"drop", "relabel", "reweight"}, default="drop"
        How to deal with wrong targets:

        - "drop": leave out the flagged rows;
        - "relabel": give flagged rows the target that the detector suggests, and leave out those
          without a suggestion;
        - "reweight": flag none, but weight each row by the quality of its target, with mean 1.
          `estimator` must take sample weights.

        Rows with a verified target are always trained on with that target, at full weight. Rows
        without any target are left out.
    %(cv_detector)s
    %(n_jobs_detector)s
    %(random_state_detector)s
    %(memory)s

    Attributes
    ----------
    estimator_ : regressor
        The fitted regressor.
    detector_ : detector
        The fitted detector, with ``label_quality_``, ``label_errors_`` and more.
    %(features_in)s

    See Also
    --------
    skrobust.detection.ResidualDetector : Only detects wrong targets.
    CleaningClassifier : The same for classes.

    References
    ----------
    Zhou, Mueller, Kumar, Wang and Lei (2023). Detecting errors in numerical data via any
    regression model. arXiv:2305.16583.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn.model_selection import train_test_split
    >>> from skrobust.wrappers import CleaningRegressor
    >>> X, y = make_regression(400, 5, noise=10, random_state=0)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> y_wrong = np.where(np.arange(300) % 10 == 0, 1000, y_train)
    >>> plain = LinearRegression()
    >>> cleaned = CleaningRegressor(plain, random_state=0).fit(X_train, y_wrong)
    >>> cleaned.score(X_test, y_test) > plain.fit(X_train, y_wrong).score(X_test, y_test)
    True
    """

    @explain_names
    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        detector: BaseEstimator | None = None,
        *,
        action: str = "drop",
        cv: CrossValidation = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        memory: Any = None,
    ) -> None:
        self.estimator = estimator
        self.detector = detector
        self.action = action
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.memory = memory

    def _default_estimator(self):
        return Ridge()

    def _default_detector(self, X=None):
        if X is None or is_plain_numeric(X):
            return ResidualDetector()
        return ResidualDetector(clone(self._get_estimator()))

    def _clean(self, data, detector, final):
        if self.action == "relabel" and not has_suggestions(detector):
            raise ValueError(
                f"action='relabel' needs a detector that suggests targets, which"
                f" {type(detector).__name__} does not: use action='drop' or 'reweight'."
            )
        training = super()._clean(data, detector, final)
        if not len(training.rows):
            raise ValueError(
                f"action={self.action!r} leaves no row to train on: {type(detector).__name__}"
                " flags them all."
            )
        return training

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
        """Detect wrong targets, deal with them and train the regressor.

        Parameters
        ----------
        %(X)s
        y : array-like of shape (n_samples,)
            Given (observed) targets. Rows whose target is None or NaN are not trained on.
        %(verified_targets)s
            They are trained on instead of those in `y`.
        %(sample_weight)s
        %(groups)s
        %(fit_params)s

        Returns
        -------
        %(returns_self)s
        """
        data = LabelledData.from_arrays(
            X,
            y,
            kind="numbers",
            verified_labels=verified_labels,
            sample_weight=sample_weight,
            groups=groups,
        )
        final = self._prepare(data, params, own_weight=_OWN_WEIGHT[self.action])
        detector = self._detect(data)
        training = self._clean(data, detector, final)
        model = final.train(training)
        self.detector_ = detector
        self._set_fitted_attributes(final, model, training.rows)
        return self
