"""Density detector: labels of rows where the density of their class is low."""

import dataclasses
from numbers import Integral, Real
from typing import Any

import numpy as np

from skrobust.base import DetectionResult, LabelQualityThreshold
from skrobust.detection._density_models import DENSITIES, ClassDensities
from skrobust.detection._detect_from import ProbaDetector, complete_result, flag_by_rule, quality_by
from skrobust.detection._rules import fit_rule
from skrobust.evidence import Evidence, OutOfFold
from skrobust.evidence._folds import average_frequent, make_folds
from skrobust.evidence._neighbors import ADVICE, read_numbers
from skrobust.noise._confident_joint import label_proba
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._input import check_numeric
from skrobust.utils._random import draw_seed, private_random_state
from skrobust.utils._sklearn import Interval, StrOptions, Tags, safe_indexing
from skrobust.utils._typing import CrossValidation
from skrobust.utils._weights import lower_threshold

_MODES = ("low_nll", "expand")
_MAX_ROUNDS = 5
# At least this share of each class is learned from, so that no class vanishes.
_QUOTA = 0.5
# Classes of fewer distinct rows are not trimmed.
_FEW_ROWS = 10


@fill_docstring
class DensityDetector(ProbaDetector):
    """Generative classifier by class densities, a detector of label errors.

    The rows of each class give a density, without the fold of the row that is scored. By Bayes'
    rule, densities and frequencies of the classes yield the probability of each class. For
    embeddings, :class:`NeighborVote` is the better choice.

    .. versionadded:: 0.1

    Parameters
    ----------
    density : {"gaussian_mixture", "kde", "neighbors"}, default="neighbors"
        Kind of the densities: up to three Gaussians per class, a sum of Gaussian kernels, or one
        over the volume that holds the nearest ten rows, which finds most on tabular data. Columns
        are replaced by ranks first.
    mode : {"low_nll", "expand"}, default="low_nll"
        Rows that densities are fitted to:

        - "low_nll": all rows at first, then those that this did not flag, but at least half of
          each class;
        - "expand": verified rows at first; then also those that are more likely
          under their class than the least likely of the verified ones, in up to five rounds, and
          at most as many of a class in a round as are there already. Needs verified labels of
          every class.
    n_dimensions : int, default=10
        Number of principal components to which wider matrices are reduced.
    trusted_quantile : float, default=0.1
        Share of the verified rows that may be less likely than rows that are admitted.
    %(cv)s
    %(how_many)s
    %(store_estimators)s
    %(n_jobs)s
    random_state : int, RandomState instance or None, default=None
        Seed of the initialisation of mixtures. None draws fresh entropy.

    Attributes
    ----------
    %(label_quality_)s
    %(label_errors_)s
    suggested_labels_ : ndarray of shape (n_samples,)
        The most probable label; in flagged rows, of the others. The verified label where there
        is one.
    fitted_rows_ : ndarray of shape (n_samples,) of bool
        Rows that the densities were fitted to in the end.
    %(detected)s
    %(transition_matrix_)s
    estimators_ : list of classifiers
        Densities of each fold, if ``store_estimators=True``.

    See Also
    --------
    NeighborVote : Scores by votes of neighbours.
    ConfidentLearning : Scores by any classifier.

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
        density: str = "neighbors",
        mode: str = "low_nll",
        n_dimensions: int = 10,
        trusted_quantile: float = 0.1,
        cv: CrossValidation = 5,
        threshold: float | LabelQualityThreshold | None = None,
        flag_fraction: float | dict[Any, float] | None = None,
        max_flag_rate: float | None = 0.8,
        store_estimators: bool = False,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
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

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = False
        return tags

    def _detect(self, data) -> DetectionResult:
        check_numeric(data.X, ADVICE)
        read_numbers(data.X)  # raises before any work
        model = self._get_estimator()
        model.set_params(random_state=draw_seed(private_random_state(self.random_state)))
        if self.mode == "expand":
            used = self._verified_rows(data)
            for _ in range(_MAX_ROUNDS):
                evidence, folds = self._collect_from(model, data, used)
                more = self._admit(data, used, evidence, folds)
                if not more.any():
                    break
                used = used | more
        else:
            evidence, _ = self._collect_from(model, data, data.used)
            used = data.used & ~self._trimmed(data, evidence)
            if not np.array_equal(used, data.used):
                evidence, _ = self._collect_from(model, data, used)
        self.fitted_rows_ = used
        self._store(evidence)
        self._rule, errors = flag_by_rule(data, evidence, "prune_by_noise_rate")
        # Trimming depends on labels, but hardly on that of a single row.
        quality_of = quality_by(evidence, "self_confidence")
        return complete_result(
            data, evidence, self._rule.order, quality_of, errors, joint=self._rule.weighted_joint
        )

    def _collect_from(self, model, data, used) -> tuple[Evidence, list]:
        """Fit densities to some rows, and predict all, each without its fold."""
        labels, weight = np.where(used, data.y_train, -1), data.sample_weight
        y = data.classes[np.maximum(labels, 0)]
        folds = make_folds(self.cv, data.X, y, labels, used, data.groups, weight)
        unverified = np.full(data.n_samples, -1)
        learned = dataclasses.replace(data, y=labels, verified=unverified)
        evidence = OutOfFold(model, folds, n_jobs=self.n_jobs).collect(learned)
        if data.groups is None:
            proba = evidence.pred_proba.copy()
            average_frequent(proba, data.row_hashes, labels, weight)
            evidence = dataclasses.replace(evidence, pred_proba=proba)
        return evidence, folds

    def _verified_rows(self, data) -> np.ndarray:
        """Rows with a verified label, of which there must be two of each class."""
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
        """Rows that are as likely under their class as most verified ones."""
        logs = sum(_own_logs(model, data) for model in evidence.models)
        logs /= len(evidence.models)
        for model, (_, test) in zip(evidence.models, folds, strict=True):
            logs[test] = _own_logs(model, data, test)
        weight = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight
        more = np.zeros(data.n_samples, dtype=bool)
        for k in range(len(data.classes)):
            own = data.used & (data.y_train == k)
            known = own & (data.verified >= 0)
            share = self.trusted_quantile * weight[known].sum()
            threshold = lower_threshold(logs[known], share, weight[known])
            rows = np.flatnonzero(own & ~used & (logs > threshold))
            # No class grows in one round by more than it has already.
            least = -lower_threshold(-logs[rows], weight[own & used].sum(), weight[rows])
            more[rows[logs[rows] >= least]] = True
        return more

    def _trimmed(self, data, evidence) -> np.ndarray:
        """Flagged rows that are not to be learned from, at most half of each class."""
        trimmed = np.zeros(data.n_samples, dtype=bool)
        proba = evidence.filled
        unverified = np.where(data.used & evidence.mask & (data.verified < 0), data.y, -1)
        if not (unverified >= 0).any():
            return trimmed
        flagged = fit_rule("prune_by_noise_rate", unverified, proba, weight=data.sample_weight)[1]
        weight = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight
        quality = label_proba(np.maximum(data.y_train, 0), proba)
        hashes = None
        for k in range(len(data.classes)):
            own = data.used & (data.y_train == k)
            rows = np.flatnonzero(own & flagged)
            if len(rows) == 0:
                continue
            hashes = data.row_hashes if hashes is None else hashes
            if len(np.unique(hashes[own])) < _FEW_ROWS:
                continue
            most = (1 - _QUOTA) * weight[own].sum()
            threshold = lower_threshold(quality[rows], most, weight[rows])
            trimmed[rows[quality[rows] <= threshold]] = True
        return trimmed

    def _detect_new(self, X, codes):
        proba = self._stored_evidence()[0].predict(X)
        return label_proba(np.maximum(codes, 0), proba), self._rule.flag(codes, proba)


def _own_logs(model, data, rows=None) -> np.ndarray:
    """Logarithm of the density of the class of each row; -inf for none."""
    rows = np.arange(data.n_samples) if rows is None else rows
    logs = np.full((len(rows), len(data.classes) + 1), -np.inf)
    columns = np.searchsorted(data.classes, model.classes_)
    logs[:, columns] = model.log_densities(safe_indexing(data.X, rows))
    return logs[np.arange(len(rows)), data.y_train[rows]]
