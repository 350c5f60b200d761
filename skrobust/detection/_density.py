"""Which rows lie where their class is not dense? Densities of the classes."""

from numbers import Integral, Real

import numpy as np

from skrobust.base import DetectionResult
from skrobust.detection._corrections import add_corrections
from skrobust.detection._density_models import DENSITIES, ClassDensities
from skrobust.detection._proba_detector import ProbaDetector, most_probable
from skrobust.detection._rules import fit_rule
from skrobust.evidence._copies import average_common
from skrobust.evidence._evidence import Evidence
from skrobust.evidence._folds import make_folds
from skrobust.evidence._neighbors import ADVICE, read_numbers
from skrobust.evidence._out_of_fold import gather_out_of_fold
from skrobust.noise._confident_joint import given_proba, mean_self_confidence
from skrobust.utils._random import draw_seed, private_random_state
from skrobust.utils._rows import check_numeric, row_hashes
from skrobust.utils._sklearn import Interval, StrOptions, safe_indexing
from skrobust.utils._weighted_quantiles import lower_threshold

_MODES = ("low_nll", "expand")
_MAX_ROUNDS = 5
# At least so much of each class is learned from, lest a class shrinks to nothing.
_QUOTA = 0.5
# Classes of fewer distinct rows are not trimmed.
_FEW_UNITS = 10


class DensityDetector(ProbaDetector):
    """Detect label errors by the densities of the classes.

    The rows of each class give a density, without the fold of the row that is judged. By the
    rule of Bayes, densities and frequencies of the classes say how probable each class is in the
    place of a row. For embeddings, :class:`NeighborVote` is the better choice.

    .. versionadded:: 0.1

    Parameters
    ----------
    density : {"gaussian_mixture", "kde", "neighbors"}, default="neighbors"
        Kind of the densities: up to three Gaussians per class, a sum of Gaussian kernels, or one
        over the volume that holds the nearest ten rows, which finds most on tables. Columns are
        replaced by ranks first.
    mode : {"low_nll", "expand"}, default="low_nll"
        What densities are fitted to:

        - "low_nll": all rows at first, and then those that this did not find wrong, but at least
          half of each class;
        - "expand": rows whose label was verified at first; then also those that are more likely
          under their class than the least likely of the verified ones, in up to five rounds, and
          at most as many of a class in a round as are there already. Needs verified labels of
          every class.
    n_dimensions : int, default=10
        Wider tables are reduced to so many principal components.
    trusted_quantile : float, default=0.1
        Share of the verified rows that may be less likely than rows that are admitted.
    cv : int, splitter or iterable of (train, test), default=5
        Folds; see :class:`ConfidentLearning`.
    threshold : float or threshold object, default=None
        Flag the rows whose quality is below this, instead of by the confident joint; or let an
        object choose, such as :class:`DecoyThreshold`.
    flag_fraction : float or dict, default=None
        Flag this share of the rows, those of the lowest quality, instead. A dict has such shares by
        label, of the rows given each, and no other class is flagged.
    max_flag_rate : float, default=0.8
        Warn when more than this share of a class is flagged. None never warns.
    store_estimators : bool, default=False
        Keep the densities, for ``detect`` and ``score_labels``.
    n_jobs : int, default=None
        Number of folds at a time.
    random_state : int, RandomState instance or None, default=None
        Seed of where mixtures start. None draws fresh entropy.

    Attributes
    ----------
    label_quality_ : ndarray of shape (n_samples,)
        How likely each label is right, in [0, 1]. NaN where the label is missing, or is the only
        one of its class.
    label_errors_ : ndarray of shape (n_samples,) of bool
        Rows whose label is probably wrong.
    suggested_labels_ : ndarray of shape (n_samples,)
        The most probable label; in flagged rows, of the others. The verified label where there
        is one.
    corrected_labels_ : ndarray of shape (n_samples,)
        The labels after correction. A flagged label is replaced only if another one is more
        probable even if there is as little noise as the data leave plausible, the lower end of
        `noise_rate_interval_`. The given label of all other rows, and the prediction for rows
        without a label.
    keep_weight_ : ndarray of shape (n_samples,)
        Weight of the rows that are kept; 0 for flagged and unlabelled rows.
    sample_indices_ : ndarray of shape (n_kept,)
        Rows that are kept.
    fitted_rows_ : ndarray of shape (n_samples,) of bool
        Rows that the densities were fitted to in the end.
    noise_rate_ : float
        Estimated share of wrong labels.
    noise_rate_interval_ : tuple of float
        Interval of that share: from what the disagreement among certain rows leaves plausible to
        what it is if every disagreement with the prediction is an error.
    reliability_ : {"good", "limited", "cannot tell"}
        Whether wrong labels can be told apart from overlap of the classes.
    reliability_reason_ : str
        What that rests on, in words and numbers.
    transition_matrix_ : ndarray of shape (n_classes, n_classes)
        Estimated probability of each given label (columns) for each true class (rows).
    threshold_ : float or None
        The cut of ``label_quality_``; None for rules without a scalar cut.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    estimators_ : list of classifiers
        Densities of each fold, if ``store_estimators=True``.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X has names that are all text.

    See Also
    --------
    NeighborVote : Judges by neighbours.
    ConfidentLearning : Judges by any classifier.

    References
    ----------
    Lee, Yun, Lee, Lee, Li and Shin (2019). Robust inference via generative classifiers for
    handling noisy labels. ICML.

    Liu, Zhang, Bai, Kortylewski and Yuille (2024). DIRECT-3D: learning direct text-to-3D
    generation on massive noisy 3D data. CVPR. (Expansion from verified rows.)

    Liu, Zhao, Zhuang, Tian, Zhou and Zhou (2024). POINTS: improving your vision-language model
    with affordable strategies. arXiv 2409.04828. (Keeping what is likely.)

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skrobust.detection import DensityDetector
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> X, y = load_iris(return_X_y=True)
    >>> y_noisy, flipped = flip_labels(y, symmetric_transition(3, 0.2), random_state=0)
    >>> detector = DensityDetector(random_state=0).fit(X, y_noisy)
    >>> bool((detector.label_errors_ & flipped).sum() > 0.8 * flipped.sum())
    True
    """

    _parameter_constraints: dict = {
        **{k: v for k, v in ProbaDetector._parameter_constraints.items() if k != "estimator"},
        "density": [StrOptions(set(DENSITIES))],
        "mode": [StrOptions(set(_MODES))],
        "n_dimensions": [Interval(Integral, 1, None, closed="left")],
        "trusted_quantile": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(
        self,
        *,
        density="neighbors",
        mode="low_nll",
        n_dimensions=10,
        trusted_quantile=0.1,
        cv=5,
        threshold=None,
        flag_fraction=None,
        max_flag_rate=0.8,
        store_estimators=False,
        n_jobs=None,
        random_state=None,
    ):
        self.density = density
        self.mode = mode
        self.n_dimensions = n_dimensions
        self.trusted_quantile = trusted_quantile
        self.cv = cv
        self.threshold = threshold
        self.flag_fraction = flag_fraction
        self.max_flag_rate = max_flag_rate
        self.store_estimators = store_estimators
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _get_estimator(self):
        return ClassDensities(self.density, self.n_dimensions)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = False
        return tags

    def _detect(self, data) -> DetectionResult:
        check_numeric(data.X, ADVICE)
        read_numbers(data.X)  # may say no, before any work
        estimator = self._get_estimator()
        estimator.set_params(random_state=draw_seed(private_random_state(self.random_state)))
        if self.mode == "expand":
            used = self._verified_rows(data)
            for _ in range(_MAX_ROUNDS):
                evidence, folds = self._gather_from(estimator, data, used)
                more = self._admit(data, used, evidence, folds)
                if not more.any():
                    break
                used = used | more
        else:
            evidence, _ = self._gather_from(estimator, data, data.used)
            used = data.used & ~self._wrong(data, evidence.pred_proba)
            if not np.array_equal(used, data.used):
                evidence, _ = self._gather_from(estimator, data, used)
        self.fitted_rows_ = used
        self._keep_models(evidence)
        return self._conclude_from(data, evidence.pred_proba)

    def _gather_from(self, estimator, data, used) -> tuple[Evidence, list]:
        """Fit densities to some rows, and judge all, each without its fold."""
        y = data.classes[np.maximum(data.y_train, 0)]
        known = used, data.groups, data.sample_weight
        folds = make_folds(self.cv, data.X, y, data.y_train, *known)
        evidence = gather_out_of_fold(
            estimator,
            data.X,
            data.y_train,
            data.classes,
            used,
            cv=folds,
            sample_weight=data.sample_weight,
            n_jobs=self.n_jobs,
        )
        if data.groups is None:
            labels = np.where(used, data.y_train, -1)
            average_common(evidence.pred_proba, row_hashes(data.X), labels, data.sample_weight)
        return evidence, folds

    def _verified_rows(self, data) -> np.ndarray:
        """Take the rows that a person looked at, or say that there are too few."""
        used = data.used & (data.verified >= 0)
        counts = np.bincount(data.verified[used], minlength=len(data.classes))
        if counts.min() < 2:
            few = data.classes.tolist()[counts.argmin()]
            raise ValueError(
                'mode="expand" needs verified labels: pass verified_labels with at least two rows'
                f" of each class, found {counts.min()} of class {few!r}."
            )
        return used

    def _admit(self, data, used, evidence, folds) -> np.ndarray:
        """Find the rows that are as likely under their class as most verified ones."""
        logs = sum(_own_logs(model, data) for model in evidence.estimators)
        logs /= len(evidence.estimators)
        for model, (_, test) in zip(evidence.estimators, folds, strict=True):
            logs[test] = _own_logs(model, data, test)
        weight = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight
        more = np.zeros(data.n_samples, dtype=bool)
        for k in range(len(data.classes)):
            own = data.used & (data.y_train == k)
            known = own & (data.verified >= 0)
            mass = self.trusted_quantile * weight[known].sum()
            cut = lower_threshold(logs[known], mass, weight[known])
            rows = np.flatnonzero(own & ~used & (logs > cut))
            # No class outgrows in one round what is known of it.
            least = -lower_threshold(-logs[rows], weight[own & used].sum(), weight[rows])
            more[rows[logs[rows] >= least]] = True
        return more

    def _wrong(self, data, proba) -> np.ndarray:
        """Find the rows that are not to be learned from, at most half of each class."""
        wrong = np.zeros(data.n_samples, dtype=bool)
        judged = ~np.isnan(proba[:, 0])
        filled = np.where(judged[:, None], proba, 1 / len(data.classes))
        open_codes = np.where(data.used & judged & (data.verified < 0), data.y, -1)
        if not (open_codes >= 0).any():
            return wrong
        flagged = fit_rule("prune_by_noise_rate", open_codes, filled, weight=data.sample_weight)[1]
        weight = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight
        quality = given_proba(np.maximum(data.y_train, 0), filled)
        hashes = None
        for k in range(len(data.classes)):
            own = data.used & (data.y_train == k)
            rows = np.flatnonzero(own & flagged)
            if len(rows) == 0:
                continue
            hashes = row_hashes(data.X) if hashes is None else hashes
            if len(np.unique(hashes[own])) < _FEW_UNITS:
                continue
            most = (1 - _QUOTA) * weight[own].sum()
            cut = lower_threshold(quality[rows], most, weight[rows])
            wrong[rows[quality[rows] <= cut]] = True
        return wrong

    def _conclude_from(self, data, proba) -> DetectionResult:
        """Turn probabilities into a result, by the confident joint."""
        judged = ~np.isnan(proba[:, 0])
        proba[~judged] = 1 / len(data.classes)
        given = np.where(judged, data.y, -1)
        best = np.where(data.used & (given >= 0), data.y_train, -1)
        thresholds = mean_self_confidence(best, proba, data.sample_weight)
        order = np.argsort(thresholds, kind="stable")
        unverified = np.where(data.used & (data.verified < 0), given, -1)
        self._cuts, errors = fit_rule(
            "prune_by_noise_rate",
            unverified,
            proba,
            weight=data.sample_weight,
            thresholds=thresholds,
            order=order,
        )
        others = np.flatnonzero((given >= 0) & (unverified < 0))
        if len(others):
            errors[others] = self._cuts.flag(given[others], proba[others])

        def quality_of(codes):
            return np.where(judged, given_proba(np.maximum(codes, 0), proba), np.nan)

        result = DetectionResult(
            quality_of(data.y),
            errors,
            np.where(judged, most_probable(proba, order), data.y_train),
            np.where(judged, most_probable(proba, order, without=given), data.y_train),
            self._cuts.joint,
            None,
            # Trimming looks at labels, but hardly at that of a single row.
            quality_of,
        )
        return add_corrections(result, data, given, proba, order)

    def _detect_new(self, X, codes):
        proba = self._predict_mean(X)
        return given_proba(np.maximum(codes, 0), proba), self._cuts.flag(codes, proba)


def _own_logs(model, data, rows=None) -> np.ndarray:
    """Compute the logarithm of the density of the class of each row; -inf for none."""
    rows = np.arange(data.n_samples) if rows is None else rows
    logs = np.full((len(rows), len(data.classes) + 1), -np.inf)
    columns = np.searchsorted(data.classes, model.classes_)
    logs[:, columns] = model.log_densities(safe_indexing(data.X, rows))
    return logs[np.arange(len(rows)), data.y_train[rows]]
