"""Reweighter by the loss history of a training (dynamic bad pair mining)."""

from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.metadata_routing import MetadataRouter

from skrobust.base import LabelledData, Reweighter
from skrobust.base._label_estimator import LabelTags, label_tags
from skrobust.detection import TrainingDynamics
from skrobust.detection._mixture_1d import fit_mixture
from skrobust.evidence._out_of_fold import estimator_router
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._sklearn import (
    HasMethods,
    Interval,
    StrOptions,
    validate_params,
)
from skrobust.utils._typing import CrossValidation
from skrobust.utils._weights import check_sample_weight
from skrobust.weighting._detector_reweighter import DOCUMENTATION, fit_detector

REFERENCES = ("lower_hump", "all")
# The loss of a label of probability one half.
_EVEN_LOSS = float(np.log(2))

_BETA = [Interval(Real, 0, None, closed="left"), None]


@fill_docstring(**DOCUMENTATION)
class LossHistoryReweighter(Reweighter):
    """Reweighter by the mean loss of each row during training (dynamic bad pair mining).

    Models fit common patterns first, and wrong labels late. The mean loss over the first stages
    of a training thus separates most wrong labels from right ones. Weights fall with the distance
    above the mean of these losses, as a normal density.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : classifier, default=None
        Model that is trained in stages, cloned: boosting, bags and forests, learners with
        ``partial_fit`` and ``predict_proba``, a Pipeline that ends with one, and classes
        registered with :func:`~skrobust.evidence.staged_proba`. None is histogram gradient
        boosting of small trees, for numeric feature matrices.
    beta_high : float or None, default=1.0
        Number of standard deviations above the mean from which on losses reduce the weight, at
        least 0. None reduces no weight.
    beta_low : float or None, default=None
        The same below the mean. Low losses indicate easy rows, not wrong labels; None keeps their
        weight. It is of use where easy rows are wrong, as where labels depend on the features too
        closely.
    reference : {"lower_hump", "all"}, default="lower_hump"
        Source of mean and standard deviation:

        - "lower_hump": the losses of right labels, by a mixture of two normal distributions. The
          mean is that of the lower component, and the deviation half of the distance to the mean
          of the higher one. Where labels in the higher component have a mean probability above
          one half, it is not of wrong labels, and "all" is used instead.
        - "all": all losses, as published. With many errors, these are hardly above the mean: of
          two losses, the higher one of 40 % of the rows is 1.2 deviations above it.
    n_stages : int, default=None
        Number of stages used, the first ones, at least 1; see
        :class:`~skrobust.detection.TrainingDynamics`.
    n_repeats : int, default=1
        Number of trainings with different seeds to average over, at least 1.
    cv : int, splitter, iterable of (train, test) or None, default=None
        None uses the losses of training rows, in a single training. With folds, those of rows that
        are not trained on.
    %(n_jobs)s
    %(random_state)s

    Attributes
    ----------
    %(sample_weight_)s
    mean_loss_ : ndarray of shape (n_samples,)
        Mean loss of the given label over the stages; NaN where the label is missing, or is the
        only one of its class.
    reference_ : {"lower_hump", "all"}
        Source of mean and standard deviation that was used.
    detector_ : TrainingDynamics
        The fitted detector, with other statistics of the training.
    %(classes_)s
    %(features_in)s

    See Also
    --------
    loss_history_weights : The weights, from given losses.
    QualityReweighter : Weights by the label quality of any detector.

    Notes
    -----
    The published weight is a normal density, which exceeds 1 where the deviation is less than
    .399, so that outliers would count more than other rows. Here it is divided by its maximum.

    Rows with a verified label, and rows without a loss, have weight 1 before weights are scaled to
    mean 1.

    References
    ----------
    Lan, Yan, Hong and Feng (2024). Towards enhancing time series contrastive learning: a dynamic
    bad pair mining approach. ICLR.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> from skrobust.weighting import LossHistoryReweighter
    >>> X, y = load_iris(return_X_y=True)
    >>> y_noisy, flipped = flip_labels(y, symmetric_transition(3, 0.2), random_state=0)
    >>> weight = LossHistoryReweighter(random_state=0).fit(X, y_noisy).sample_weight_
    >>> bool(weight[flipped].mean() < 0.3 < 1 < weight[~flipped].mean())
    True
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        "beta_high": _BETA,
        "beta_low": _BETA,
        "reference": [StrOptions(set(REFERENCES))],
        "n_stages": [None, Interval(Integral, 1, None, closed="left")],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "cv": ["cv_object"],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        *,
        beta_high: float | None = 1.0,
        beta_low: float | None = None,
        reference: str = "lower_hump",
        n_stages: int | None = None,
        n_repeats: int = 1,
        cv: CrossValidation = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.beta_high = beta_high
        self.beta_low = beta_low
        self.reference = reference
        self.n_stages = n_stages
        self.n_repeats = n_repeats
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _make_detector(self) -> TrainingDynamics:
        """Return the detector that records the losses."""
        return TrainingDynamics(
            self.estimator,
            statistic="mean_loss",
            n_stages=self.n_stages,
            n_repeats=self.n_repeats,
            cv=self.cv,
            max_flag_rate=None,
            n_jobs=self.n_jobs,
            random_state=self.random_state,
        )

    def __sklearn_tags__(self) -> LabelTags:
        tags = super().__sklearn_tags__()
        inner = label_tags(self._make_detector())
        tags.input_tags.sparse = inner.input_tags.sparse
        tags.input_tags.allow_nan = inner.input_tags.allow_nan
        tags.exact_outputs = inner.exact_outputs
        return tags

    def get_metadata_routing(self) -> MetadataRouter:
        """Return the metadata routing of this reweighter and its model.

        Returns
        -------
        routing : MetadataRouter
            Routing information.
        """
        return estimator_router(self, self._make_detector()._get_estimator())

    def _weigh(self, data: LabelledData) -> np.ndarray:
        detector = self._make_detector()
        self.detector_: TrainingDynamics = fit_detector(detector, data)
        self.mean_loss_: np.ndarray = detector.dynamics_["mean_loss"]
        rows = np.flatnonzero(data.used & ~data.checked & ~np.isnan(self.mean_loss_))
        weight = np.ones(data.n_samples)
        if len(rows):
            own = None if data.sample_weight is None else data.sample_weight[rows]
            losses = self.mean_loss_[rows]
            center, width, reference = _locate(losses, own, self.reference)
            self.reference_: str = reference
            weight[rows] = _outlier_weights(losses, center, width, self.beta_high, self.beta_low)
        return weight


@validate_params(
    {
        "losses": ["array-like"],
        "beta_high": _BETA,
        "beta_low": _BETA,
        "reference": [StrOptions(set(REFERENCES))],
        "sample_weight": ["array-like", None],
    },
    prefer_skip_nested_validation=True,
)
def loss_history_weights(
    losses: ArrayLike,
    *,
    beta_high: float | None = 1.0,
    beta_low: float | None = None,
    reference: str = "lower_hump",
    sample_weight: ArrayLike | None = None,
) -> np.ndarray:
    """Weight rows by their mean loss during training (dynamic bad pair mining).

    .. versionadded:: 0.1

    Parameters
    ----------
    losses : array-like of shape (n_samples,) or (n_samples, n_epochs)
        Loss of each row, averaged over epochs. Leave out the last epochs of a model that memorises,
        and the first ones of one that has to warm up.
    beta_high : float or None, default=1.0
        Number of standard deviations above the mean from which on losses reduce the weight.
    beta_low : float or None, default=None
        The same below the mean.
    reference : {"lower_hump", "all"}, default="lower_hump"
        Source of mean and standard deviation; see :class:`LossHistoryReweighter`. For
        "lower_hump", losses must be cross-entropy.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights.

    Returns
    -------
    weight : ndarray of shape (n_samples,)
        In [0, 1]: ``exp(-z ** 2 / 2)`` for losses `z` standard deviations from the mean that exceed
        the bounds, and 1 for others.

    See Also
    --------
    LossHistoryReweighter : Trains a model and records its losses.

    References
    ----------
    Lan, Yan, Hong and Feng (2024). Towards enhancing time series contrastive learning: a dynamic
    bad pair mining approach. ICLR.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.weighting import loss_history_weights
    >>> losses = [1, 1.1, 0.9, 3, 0.1, 1]
    >>> np.round(loss_history_weights(losses, reference="all"), 2)
    array([1.  , 1.  , 1.  , 0.12, 1.  , 1.  ])
    """
    losses = np.asarray(losses)
    if losses.dtype.kind not in "fiub":
        raise ValueError(f"losses must be numbers, got an array of {losses.dtype}.")
    if losses.ndim not in (1, 2) or 0 in losses.shape:
        raise ValueError(
            "losses must have shape (n_samples,) or (n_samples, n_epochs) and some entries, got"
            f" shape {losses.shape}."
        )
    if losses.ndim == 2:
        losses = losses.mean(axis=1, dtype=np.float64)
    if not np.isfinite(losses).all():
        row = int(np.flatnonzero(~np.isfinite(losses))[0])
        raise ValueError(f"losses must be finite, and that of row {row} is {losses[row]}.")
    losses = losses.astype(np.float64)
    own = None if sample_weight is None else check_sample_weight(sample_weight, losses)
    center, width, _ = _locate(losses, own, reference)
    return _outlier_weights(losses, center, width, beta_high, beta_low)


def _locate(
    losses: np.ndarray, weight: np.ndarray | None, reference: str
) -> tuple[float, float, str]:
    """Return mean and standard deviation of the reference losses, and the reference used."""
    if reference == "lower_hump":
        mixture = fit_mixture(losses, weight)
        if mixture is not None and mixture.means[-1] > _EVEN_LOSS:
            low, high = mixture.means
            return float(low), float(high - low) / 2, "lower_hump"
    center = np.average(losses, weights=weight)
    width = np.sqrt(np.average((losses - center) ** 2, weights=weight))
    return float(center), float(width), "all"


def _outlier_weights(
    losses: np.ndarray,
    center: float,
    width: float,
    beta_high: float | None,
    beta_low: float | None,
) -> np.ndarray:
    """Weight losses beyond the bounds by a normal density with maximum 1."""
    weight = np.ones(len(losses))
    if width > 0:
        z = (losses - center) / width
        out = np.zeros(len(losses), dtype=bool)
        if beta_high is not None:
            out |= z > beta_high
        if beta_low is not None:
            out |= z < -beta_low
        weight[out] = np.exp(-(z[out] ** 2) / 2)
    return weight
