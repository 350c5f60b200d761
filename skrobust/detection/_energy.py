"""Energies of out-of-fold logits: wrong labels, and rows that belong to none of the classes."""

import functools
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy.special import expit, log_softmax, logsumexp
from sklearn.base import BaseEstimator
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from skrobust.base import DetectionResult, LabelQualityThreshold
from skrobust.base._labelled_data import with_mean_weight_one
from skrobust.base._labels import encode_labels_like
from skrobust.detection._detect_from import ProbaDetector, complete_result, flag_by_rule
from skrobust.detection._mixture_1d import fit_mixture, weighted_quantile
from skrobust.evidence import Evidence, OutOfFold
from skrobust.evidence._out_of_fold import collect_recorded, route_fit
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._input import check_numeric
from skrobust.utils._sklearn import HasMethods, Interval, Tags, num_samples, routing_enabled
from skrobust.utils._typing import CrossValidation

_SMALLEST = 1e-6
# Rows are unlike the others if so many robust standard deviations above the median energy, or above
# the energies of this share of the rows.
_FAR, _TAIL = 3.0, 0.95
# A component of more than this share of the rows is not an open set.
_MOST = 0.3
# A row is of no class if so many times as far above the median as the end of the ordinary rows.
_NOWHERE = 3.0

# Flagged labels have a quality below this, and all others none below.
_THRESHOLD = 0.5


@fill_docstring
class EnergyDetector(ProbaDetector):
    """Energy-based detector of wrong labels and of rows that belong to none of the classes.

    The logits f of a classifier contain more information than its probabilities: the energy
    ``-temperature * logsumexp(f / temperature)`` is high for a row that is unlike all training
    rows, whichever class is predicted for it. Such an open-set row has no
    right label to suggest, and detectors by probabilities trust or relabel it at random.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : classifier, default=None
        Model that supplies the logits, cloned. None is a logistic regression on Gaussian
        kernels, whose logits fade where there are no rows; it needs a numeric feature matrix.
        Logits of another classifier are, by what it has first,

        - the logarithms of ``predict_joint_log_proba`` of naive Bayes, so that the energy is
          minus the log-density of the row;
        - its ``decision_function``; a single column d counts as -d/2 and d/2;
        - the logarithms of ``predict_proba``, minus their mean: without that the energy would
          be zero. It then measures the confidence of the classifier alone.

        The logits of a plain linear model grow with the distance from the others, so
        that it does not find rows far away.
    temperature : float, default=1.0
        Scale of the logits in the energy.
    %(cv)s
    %(how_many)s
    %(store_estimators)s
    %(n_jobs)s
    %(random_state)s

    Attributes
    ----------
    label_quality_ : ndarray of shape (n_samples,)
        How likely each label is right, in [0, 1]: the probability of the label, times how
        ordinary the energy of the row is, mapped to the range below 0.5 for rows that one of the
        two rules flags, and to the range from 0.5 on for all others. NaN where the label is
        missing, or is the only one of its class.
    label_errors_ : ndarray of shape (n_samples,) of bool
        Rows in `open_set_`, and rows whose label the probabilities contradict, by the rule of
        :class:`ConfidentLearning`.
    energy_ : ndarray of shape (n_samples,)
        Energy of each row. NaN where there is no out-of-fold prediction.
    open_set_ : ndarray of shape (n_samples,) of bool
        Rows that are probably of no class: those of the upper mode of the energies, where they
        have two modes; elsewhere those whose energy is three times as far above the median as
        the end of the ordinary ones.
    suggested_labels_ : ndarray of shape (n_samples,)
        The most probable label, another than the given one in every flagged row. Of little worth
        in an open-set row. The verified label where there is one.
    %(detected)s
    %(estimators_)s

    See Also
    --------
    ConfidentLearning : Scores by probabilities alone.

    References
    ----------
    Liu, Wang, Owens and Li (2020). Energy-based out-of-distribution detection. NeurIPS.

    Zhu, Xie, Wu and Gao (2024). Learning energy-based models by cooperative diffusion recovery
    likelihood. ICLR.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skrobust.detection import EnergyDetector
    >>> X, y = load_iris(return_X_y=True)
    >>> X = np.vstack([X, np.full((5, 4), 12.0) + np.arange(5)[:, None] / 10])
    >>> y = np.append(y, [0, 1, 2, 0, 1])
    >>> detector = EnergyDetector(random_state=0).fit(X, y)
    >>> np.sort(np.argsort(detector.label_quality_)[:5]).tolist()
    [150, 151, 152, 153, 154]
    """

    _parameter_constraints: dict = {
        **ProbaDetector._parameter_constraints,
        "estimator": [HasMethods(["fit", "predict"]), None],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        *,
        temperature: float = 1.0,
        cv: CrossValidation = 5,
        threshold: float | LabelQualityThreshold | None = None,
        flag_fraction: float | dict[Any, float] | None = None,
        max_flag_rate: float | None = 0.8,
        store_estimators: bool = False,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.estimator = estimator
        self.temperature = temperature
        self.cv = cv
        self.threshold = threshold
        self.flag_fraction = flag_fraction
        self.max_flag_rate = max_flag_rate
        self.store_estimators = store_estimators
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _get_estimator(self):
        """The model that supplies evidence."""
        return _default_model() if self.estimator is None else self.estimator

    def _detect(self, data) -> DetectionResult:
        evidence = self._collect_energies(
            with_mean_weight_one(data) if self.estimator is None else data
        )
        energy, mask, proba = evidence.statistics["energy"], evidence.mask, evidence.filled
        self._store(evidence)
        counted = mask & data.used
        weight = None if data.sample_weight is None else data.sample_weight[counted]
        self._set_thresholds(energy[counted], weight)
        self.energy_: np.ndarray = np.where(mask, energy, np.nan)
        self.open_set_: np.ndarray = mask & (energy > self._open_threshold)
        self._rule, _ = flag_by_rule(data, evidence, "prune_by_noise_rate", rows=~self.open_set_)

        def quality_of(codes):
            quality, _ = self._grade(np.where(mask, codes, -1), proba, energy)
            return np.where(mask, quality, np.nan)

        return complete_result(
            data,
            evidence,
            self._rule.order,
            quality_of,
            self._grade(np.where(mask, data.y, -1), proba, energy)[1],
            threshold=_THRESHOLD,
            features=np.where(mask, self._ordinary(energy), 0.5)[:, None],
        )

    def _collect_energies(self, data) -> Evidence:
        """Collect out-of-fold probabilities and energies."""
        if self.estimator is None:
            check_numeric(
                data.X,
                f"{type(self).__name__} without an estimator uses kernels of numbers. Pass an"
                " estimator that takes X as it is, such as a Pipeline that encodes it first.",
            )
        elif not any(hasattr(self.estimator, method) for method in _LOGITS):
            raise TypeError(
                f"estimator: {type(self.estimator).__name__} has none of {', '.join(_LOGITS)}, so"
                " that there are no logits."
            )
        routed = {} if self.estimator is None else route_fit(self, self.estimator, data)
        common = {"n_jobs": self.n_jobs, "random_state": self.random_state, **routed}
        source = OutOfFold(self._get_estimator(), self.cv, **common)
        record = functools.partial(
            _record_energy, classes=data.classes, temperature=self.temperature
        )
        recorded = collect_recorded(source, data, record)
        energy = recorded.values["energy"]
        mask = recorded.mask & ~np.isnan(energy)
        # The mean of logarithms over several folds is the logarithm of no distribution.
        log_proba = log_softmax(np.nan_to_num(recorded.values["log_proba"]), axis=1)
        proba = np.where(mask[:, None], np.exp(log_proba), np.nan)
        return Evidence(proba, data.classes, recorded.models, {"energy": energy})

    def _set_thresholds(self, energy, weight) -> None:
        """Find the energies above which a row is unlike the others, or of no class."""
        center = weighted_quantile(energy, 0.5, weight)
        deviation = 1.4826 * weighted_quantile(np.abs(energy - center), 0.5, weight)
        # Energies often end at that of an uninformed prediction, not far above the others.
        far = center + _FAR * deviation
        self._soft_threshold = min(far, weighted_quantile(energy, _TAIL, weight))
        self._open_threshold = center + _NOWHERE * (self._soft_threshold - center)
        mixture = fit_mixture(energy, weight)
        if mixture is not None and mixture.is_bimodal:
            boundary = mixture.threshold(0.5)
            # A mode among the ordinary rows is made of rows between classes.
            apart = np.isfinite(boundary) and boundary > center + deviation
            if apart and mixture.shares[-1] < _MOST:
                self._open_threshold = self._soft_threshold = boundary
        self._width = max(self._soft_threshold - center, 1e-6 * (1 + abs(center))) / 6

    def _ordinary(self, energy) -> np.ndarray:
        """How ordinary energies are, in [0, 1]."""
        return expit((self._soft_threshold - energy) / self._width)

    def _grade(self, codes, proba, energy) -> tuple[np.ndarray, np.ndarray]:
        """Quality of labels, and flags of those that one of the two rules contradicts."""
        quality = proba[np.arange(len(codes)), np.maximum(codes, 0)] * self._ordinary(energy)
        flagged = (self._rule.flag(codes, proba) | (energy > self._open_threshold)) & (codes >= 0)
        low = np.minimum(quality / 2, np.nextafter(_THRESHOLD, 0))
        return np.where(flagged, low, (1 + quality) / 2), flagged

    def _detect_new(self, X, codes):
        energy, log_proba = 0.0, 0.0
        models = self._stored_evidence()[0].models
        for model in models:
            values = _read_logits(model, X, self.classes_, self.temperature)
            energy = energy + values["energy"] / len(models)
            log_proba = log_proba + values["log_proba"] / len(models)
        proba = np.exp(log_softmax(log_proba, axis=1))
        return self._grade(codes, proba, energy)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        if self.estimator is None:
            tags.input_tags.sparse = True
            tags.input_tags.allow_nan = True
        else:
            tags.input_tags.sparse = get_tags(self.estimator).input_tags.sparse
        return tags


class _Kernels(Nystroem):
    """Nystroem features, of as many rows as there are at most."""

    def fit(self, X, y=None):
        wanted, self.n_components = self.n_components, min(self.n_components, num_samples(X))
        try:
            return super().fit(X, y)
        finally:
            self.n_components = wanted


def _default_model() -> Pipeline:
    """Make a classifier whose logits are equal for all classes far away from all rows."""
    scaler = StandardScaler(with_mean=False)
    classifier = LogisticRegression(C=10, tol=1e-5, max_iter=1000)
    if routing_enabled():
        scaler.set_fit_request(sample_weight=False)
        classifier.set_fit_request(sample_weight=True)
    steps = {
        "simpleimputer": SimpleImputer(keep_empty_features=True),
        "standardscaler": scaler,
        "nystroem": _Kernels(n_components=300),
        "logisticregression": classifier,
    }
    return Pipeline(list(steps.items()))


def _record_energy(model, training, X, rows, *, classes, temperature) -> dict:
    """Fit a model to training rows, and record the energies of others."""
    model.fit(training.X, training.y, **training.fit_params)
    return _read_logits(model, X, classes, temperature)


def _read_logits(model, X, classes, temperature) -> dict:
    """Energies and log-probabilities by a fitted model."""
    logits, own = logits_of(model, X)
    columns = encode_labels_like(own, classes, name=f"{type(model).__name__}.classes_")
    # A class that the model does not know has the smallest probability.
    log_proba = np.full((len(logits), len(classes)), np.log(_SMALLEST))
    log_proba[:, columns] = np.maximum(log_softmax(logits, axis=1), np.log(_SMALLEST))
    energy = -temperature * logsumexp(logits / temperature, axis=1)
    return {"energy": energy, "log_proba": log_proba}


_LOGITS = ("predict_joint_log_proba", "decision_function", "predict_proba")


def logits_of(model, X) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a fitted classifier, and the labels of their columns."""
    classes = np.asarray(model.classes_)
    method = next(name for name in _LOGITS if hasattr(model, name))
    if method == "predict_proba":
        logs = np.log(np.maximum(model.predict_proba(X), _SMALLEST))
        logits = logs - logs.mean(axis=1, keepdims=True)
    else:
        logits = np.asarray(getattr(model, method)(X), dtype=np.float64)
        if logits.ndim == 1:
            logits = np.column_stack([-logits / 2, logits / 2])
    if logits.shape != (num_samples(X), len(classes)):
        raise ValueError(
            f"{type(model).__name__}.{method} returned shape {logits.shape} for"
            f" {num_samples(X)} rows and {len(classes)} classes."
        )
    if not np.isfinite(logits).all():
        raise ValueError(f"{type(model).__name__}.{method} returned NaN or infinite values.")
    return logits.astype(np.float64), classes
