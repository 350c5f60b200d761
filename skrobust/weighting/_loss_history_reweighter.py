"""Weigh rows by how high their loss was while a model was trained."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping

from skrobust.base import Reweighter
from skrobust.detection import TrainingDynamics
from skrobust.detection._mixture_1d import fit_mixture
from skrobust.utils._sklearn import (
    HasMethods,
    Interval,
    StrOptions,
    check_sample_weight,
    validate_params,
)
from skrobust.weighting._detector_reweighter import fit_detector

REFERENCES = ("lower_hump", "all")
# The loss of a label that is as likely as not.
_DOUBT = float(np.log(2))

_BETA = [Interval(Real, 0, None, closed="left"), None]


class LossHistoryReweighter(Reweighter):
    """Weigh rows down whose loss stayed high while a model was trained.

    Models learn what rows have in common first, and wrong labels late. So the mean loss over the
    first stages of a training tells rows with wrong labels from most others. What lies far above
    the mean is weighed down, by the shape of a normal distribution.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : classifier, default=None
        Model whose training is watched, cloned: boosting, bags and forests, learners with
        ``partial_fit`` and ``predict_proba``, a Pipeline that ends with one, and what is
        registered with :func:`~skrobust.evidence.staged_proba`. None is histogram gradient
        boosting of small trees, for tables of numbers.
    beta_high : float or None, default=1.0
        Losses of more than so many deviations above the mean are weighed down. None weighs down
        none of them.
    beta_low : float or None, default=None
        Losses of more than so many deviations below the mean are weighed down as well. They are
        no sign of wrong labels but of easy rows, and None leaves them alone; where easy rows
        are what is wrong, as if labels had been made from the inputs, it is of use.
    reference : {"lower_hump", "all"}, default="lower_hump"
        Mean and deviation of what:

        - "lower_hump": of the labels that are right, by a mixture of two normal distributions.
          The mean is that of the lower one, and the deviation half of the distance to the mean
          of the higher one. Where labels in the higher one are not less likely than not on
          average, that is of no wrong labels, and it is "all" instead.
        - "all": of all losses, as published. With many errors, these lie hardly above the mean:
          of two losses, the higher one of 40 % of the rows is 1.2 deviations above it.
    n_stages : int, default=None
        How many stages are looked at, the first ones; see
        :class:`~skrobust.detection.TrainingDynamics`.
    n_repeats : int, default=1
        How many trainings with different seeds to take the mean of.
    cv : int, splitter, iterable of (train, test) or None, default=None
        None watches how a model learns the very rows that it judges, in a single training. With
        folds each row is judged by models that do not train on it.
    n_jobs : int, default=None
        Number of folds at a time.
    random_state : int, RandomState instance or None, default=None
        Seed for models, and parts of models, that have none of their own. None draws fresh
        entropy.

    Attributes
    ----------
    sample_weight_ : ndarray of shape (n_samples,)
        Weights, with mean 1; 0 where there is no label. They go with the verified label where
        there is one, and with the given one elsewhere.
    mean_loss_ : ndarray of shape (n_samples,)
        Mean loss of the given label over the stages; NaN where the label is missing, or is the
        only one of its class.
    reference_ : {"lower_hump", "all"}
        What mean and deviation were taken from.
    detector_ : TrainingDynamics
        What watched the training, with other statistics of it.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    n_features_in_ : int
        Number of features, where X has any.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X has names that are all text.

    See Also
    --------
    loss_history_weights : The weights, for losses that you have already.
    QualityReweighter : Weighs by what any detector says.

    Notes
    -----
    The published weight is a normal density, which exceeds 1 where the deviation is less than
    .399, so that outliers would count more than other rows. Here it is divided by its height.

    Rows whose label a person verified, and rows that were not judged, weigh 1 before weights are
    scaled to the mean of 1.

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
        estimator=None,
        *,
        beta_high=1.0,
        beta_low=None,
        reference="lower_hump",
        n_stages=None,
        n_repeats=1,
        cv=None,
        n_jobs=None,
        random_state=None,
    ):
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
        """What watches the training."""
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

    @property
    def _exact_evidence(self) -> bool:
        """Whether permuted rows, and repeated rows instead of weights, give the same weights."""
        return self._make_detector()._exact_evidence

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self._make_detector()).input_tags
        tags.input_tags.sparse, tags.input_tags.allow_nan = inner.sparse, inner.allow_nan
        return tags

    def get_metadata_routing(self):
        """Say which metadata this reweighter and its model take.

        Returns
        -------
        routing : MetadataRouter
            Routing information.
        """
        mapping = MethodMapping().add(caller="fit", callee="fit")
        model = self._make_detector()._get_estimator()
        router = MetadataRouter(owner=self).add_self_request(self)
        return router.add(estimator=model, method_mapping=mapping)

    def _weigh(self, data) -> np.ndarray:
        detector = self._make_detector()
        self.detector_ = fit_detector(detector, data)
        self.mean_loss_ = detector.dynamics_["mean_loss"]
        rows = np.flatnonzero(data.used & (data.verified < 0) & ~np.isnan(self.mean_loss_))
        weight = np.ones(data.n_samples)
        if len(rows):
            mass = None if data.sample_weight is None else data.sample_weight[rows]
            losses = self.mean_loss_[rows]
            center, width, self.reference_ = _locate(losses, mass, self.reference)
            weight[rows] = _fade(losses, center, width, self.beta_high, self.beta_low)
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
    losses, *, beta_high=1.0, beta_low=None, reference="lower_hump", sample_weight=None
) -> np.ndarray:
    """Weigh rows down whose loss stayed high while a model was trained.

    .. versionadded:: 0.1

    Parameters
    ----------
    losses : array-like of shape (n_samples,) or (n_samples, n_epochs)
        Loss of each row, of which the mean over epochs is taken. Leave out the last epochs of a
        training that learns single rows by heart, and the first ones of one that has to warm up.
    beta_high : float or None, default=1.0
        Losses of more than so many deviations above the mean are weighed down.
    beta_low : float or None, default=None
        Losses of more than so many deviations below the mean are weighed down as well.
    reference : {"lower_hump", "all"}, default="lower_hump"
        Mean and deviation of what; see :class:`LossHistoryReweighter`. For the lower hump,
        losses must be those of cross-entropy.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights.

    Returns
    -------
    weight : ndarray of shape (n_samples,)
        In [0, 1]: 1 for what is no outlier, and ``exp(-z ** 2 / 2)`` for one that is `z`
        deviations away from the mean.

    See Also
    --------
    LossHistoryReweighter : Watches a training itself.

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
    mass = None if sample_weight is None else check_sample_weight(sample_weight, losses)
    center, width, _ = _locate(losses, mass, reference)
    return _fade(losses, center, width, beta_high, beta_low)


def _locate(losses, mass, reference) -> tuple[float, float, str]:
    """Find the mean and the deviation from which on a loss is an outlier."""
    if reference == "lower_hump":
        mixture = fit_mixture(losses, mass)
        if mixture is not None and mixture.means[-1] > _DOUBT:
            low, high = mixture.means
            return float(low), float(high - low) / 2, "lower_hump"
    center = np.average(losses, weights=mass)
    return float(center), float(np.sqrt(np.average((losses - center) ** 2, weights=mass))), "all"


def _fade(losses, center, width, beta_high, beta_low) -> np.ndarray:
    """Weigh outliers down by the shape of a normal distribution."""
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
