"""Scorers for searches where the labels to score with are wrong too."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.metadata_routing import MetadataRequest

from skrobust.base._labels import encode_labels, missing_labels
from skrobust.metrics._confusion import RANKING, resolve_metric
from skrobust.metrics._fitted_transition import FittedTransition, read_transition
from skrobust.metrics._noise_corrected_score import estimate_score
from skrobust.metrics._transition_estimate import UndefinedScoreError
from skrobust.utils._sklearn import BaseScorer
from skrobust.utils._warnings import LabelNoiseWarning

# Samples for the weight of corrections that have no closed form, each time from the same seed.
_N_BOOTSTRAP = 50
# Metrics that are the same whether or not a class occurs.
_NEED_NO_CLASS = ("accuracy", "matthews_corrcoef", "cohen_kappa")


def make_noise_corrected_scorer(
    metric: str | Callable[..., Any] | ArrayLike = "accuracy",
    *,
    transition: Any = "estimator",
    labels: ArrayLike | None = None,
    greater_is_better: bool | None = None,
) -> Callable[..., Any]:
    """Make a scorer that estimates the score against the true labels.

    Use it as `scoring` of a search, of :func:`~sklearn.model_selection.cross_validate` or of
    :class:`~sklearn.model_selection.TunedThresholdClassifierCV`, where the labels of the held-out
    rows are partly wrong.

    .. versionadded:: 0.1

    Parameters
    ----------
    metric : str, callable or array-like of shape (n_classes, n_classes), default="accuracy"
        What to estimate, as of :func:`~skrobust.metrics.noise_corrected_score`.
    transition : "estimator", array-like of shape (n_classes, n_classes) or fitted estimator, \
            default="estimator"
        How labels go wrong. A scorer never sees the rows that a candidate was trained on, so that
        it cannot estimate this itself.

        - "estimator": each candidate supplies its `transition_matrix_`, or that of its
          `detector_`;
        - a matrix, or a fitted estimator that has one, such as
          :class:`~skrobust.noise.AnchorTransition` with ``n_bootstrap=200``, fitted to other rows.

        It is not used where verified labels are routed to the scorer.
    labels : array-like of shape (n_classes,), default=None
        The classes, in the order of a `transition` that is a matrix. None: those of the
        estimator, or all labels that occur, sorted.
    greater_is_better : bool, default=None
        Whether larger values of the metric are better; if not, the scorer changes their sign. None
        is False for a matrix of costs and True otherwise.

    Returns
    -------
    scorer : callable
        Takes an estimator, X and y, and returns the score of
        :func:`~skrobust.metrics.noise_corrected_score`, a float. With metadata routing enabled, it
        requests `verified_labels` and `verified_weight`.

    Raises
    ------
    ValueError
        If the metric or `transition` is not one of these. The scorer itself raises one if a
        candidate has no transition and no verified labels are routed.

    Warns
    -----
    LabelNoiseWarning
        By the scorer, where it returns NaN: the metric needs a class of which the held-out rows
        have none, fewer than two of them are verified, or the transition of a candidate is
        singular.

    See Also
    --------
    lexicographic_refit : Chooses by the noisy score, then by the corrected one.
    skrobust.metrics.noise_corrected_score : The same for one set of predictions, with an interval.

    Notes
    -----
    By accuracy, the noisy score chooses nearly as well as the true one would. What it gets wrong is
    the level of the score, the choice by F1, and thresholds.

    Verified labels hold whatever the noise is like. For ``GridSearchCV(...).fit(X, y,
    verified_labels=verified)`` to reach the scorer, metadata routing must be enabled; each fold is
    then scored with its own verified rows. An estimator inside the search that takes
    `verified_labels` as well must set by ``set_fit_request`` whether it gets them.

    With :class:`~sklearn.model_selection.TunedThresholdClassifierCV`, `transition` cannot be
    "estimator", because its thresholds are scored without the estimator.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_val_score
    >>> from skrobust.model_selection import make_noise_corrected_scorer
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> X, y = make_blobs(600, centers=[[0, 0], [4, 0], [0, 4]], random_state=0)
    >>> transition = symmetric_transition(3, 0.3)
    >>> y_given, _ = flip_labels(y, transition, random_state=0)
    >>> scorer = make_noise_corrected_scorer("accuracy", transition=transition)
    >>> noisy = cross_val_score(LogisticRegression(), X, y_given, scoring="accuracy")
    >>> corrected = cross_val_score(LogisticRegression(), X, y_given, scoring=scorer)
    >>> bool(noisy.mean() < 0.7 < 0.9 < corrected.mean())
    True
    """
    is_costs = not isinstance(metric, str) and not callable(metric)
    if isinstance(metric, str) and metric not in RANKING:
        resolve_metric(metric, 2)  # may raise, before any work
    if isinstance(transition, str):
        if transition != "estimator":
            raise ValueError(
                f"transition={transition!r} is unknown: use 'estimator', a matrix, or a fitted"
                " estimator that has one."
            )
        fitted = None
    else:
        fitted = read_transition(transition)
    if greater_is_better is None:
        greater_is_better = not is_costs
    return _NoiseCorrectedScorer(metric, fitted, labels, 1 if greater_is_better else -1)


class _NoiseCorrectedScorer(BaseScorer):
    """Scorer of which the score function corrects for label noise."""

    def __init__(self, metric, transition: FittedTransition | None, labels, sign: int):
        is_ranking = isinstance(metric, str) and metric in RANKING
        response = ("decision_function", "predict_proba") if is_ranking else "predict"
        score = _ScoreFunction(metric, transition, labels)
        super().__init__(score, sign, {}, response)
        self._request(verified_labels=True, verified_weight=True)

    def _request(self, **requests) -> None:
        self._metadata_request = MetadataRequest(owner=self)
        for param, alias in {"sample_weight": None, **requests}.items():
            self._metadata_request.score.add_request(param=param, alias=alias)

    def set_score_request(self, **kwargs):
        """Set which metadata are requested; verified labels and weights are unless deselected."""
        super().set_score_request(**kwargs)
        self._request(**{"verified_labels": True, "verified_weight": True, **kwargs})
        return self

    def __repr__(self) -> str:
        return f"make_noise_corrected_scorer({self._score_func.metric!r})"

    def _score(self, method_caller, estimator, X, y_true, **kwargs):
        options = {}
        if self._response_method != "predict":
            options["pos_label"] = estimator.classes_[-1]
        y_pred = method_caller(estimator, self._response_method, X, **options)
        return self._sign * self._score_func(y_true, y_pred, estimator=estimator, **kwargs)


class _ScoreFunction:
    """The score function of a scorer, with NaN and a warning for folds that cannot be scored."""

    def __init__(self, metric, transition: FittedTransition | None, labels):
        self.metric = metric
        self.transition = transition
        self.labels = labels

    def __call__(
        self,
        y_true,
        y_pred,
        *,
        estimator=None,
        verified_labels=None,
        verified_weight=None,
        sample_weight=None,
    ) -> float:
        transition, labels = self.transition, self.labels
        method = "transition" if verified_labels is None else "verified"
        if method == "verified":
            # The audited rows, and they alone, have the true labels of this fold.
            missing = missing_labels(verified_labels, name="verified_labels")[1]
            if np.count_nonzero(~missing) < 2:
                return self._give_up(
                    f"only {np.count_nonzero(~missing)} of {len(missing)} held-out rows are"
                    " verified, and a score needs two: use fewer folds, or verify more rows"
                )
        elif transition is None:
            if estimator is None:
                raise ValueError(
                    "transition='estimator' cannot be used here, as thresholds are scored without"
                    " the estimator: pass a matrix or a fitted transition estimator to"
                    " make_noise_corrected_scorer."
                )
            transition = read_transition(estimator)
        if labels is None and transition is not None:
            labels = transition.classes
        if labels is None:
            labels = getattr(estimator, "classes_", None)
        absent = self._absent(y_true, labels)
        if absent:
            return self._give_up(
                f"no held-out row is given the class {absent[0]!r}: use fewer or stratified folds"
            )
        if self.transition is None and transition is not None and labels is not None:
            try:
                transition.take(np.asarray(labels))
            except ValueError as error:
                return self._give_up(str(error))
        try:
            estimate = estimate_score(
                y_true,
                y_pred,
                metric=self.metric,
                transition=transition,
                verified_labels=verified_labels,
                verified_weight=verified_weight,
                labels=labels,
                sample_weight=sample_weight,
                method=method,
                n_bootstrap=_N_BOOTSTRAP,
                needs_error=False,
            )
        except UndefinedScoreError as error:
            return self._give_up(str(error))
        return estimate.score

    def _absent(self, y_true, labels) -> list:
        """Classes that the metric needs and that no row is given."""
        metric = self.metric
        if not isinstance(metric, str) or labels is None:
            return []
        if metric in _NEED_NO_CLASS or metric.endswith(("_micro", "_weighted")):
            return []
        present = set(encode_labels(y_true, name="y_true")[1].tolist())
        return [label for label in np.asarray(labels).tolist() if label not in present]

    def _give_up(self, reason: str) -> float:
        warnings.warn(
            f"The noise-corrected score is NaN: {reason}.", LabelNoiseWarning, stacklevel=4
        )
        return np.nan
