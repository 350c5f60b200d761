"""Is a row like anything that the classes hold? Energies of out-of-fold logits."""

import functools
from numbers import Integral, Real

import numpy as np
from scipy.special import expit, log_softmax, logsumexp
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from skrobust.base import DetectionResult
from skrobust.base._labels import encode_labels_like
from skrobust.detection._corrections import add_corrections
from skrobust.detection._mixture_1d import fit_mixture, weighted_quantile
from skrobust.detection._proba_detector import ProbaDetector, most_probable
from skrobust.detection._rules import fit_rule
from skrobust.evidence._folds import make_folds
from skrobust.evidence._observed import observe
from skrobust.noise._confident_joint import mean_self_confidence
from skrobust.utils._random import private_random_state, set_missing_random_states
from skrobust.utils._rows import check_numeric
from skrobust.utils._sklearn import HasMethods, Interval, num_samples, routing_enabled

_SMALLEST = 1e-6
# Rows so many robust standard deviations above the median energy, or above those of so large a
# share of the rows, are unlike the others.
_FAR, _TAIL = 3.0, 0.95
# What more than this share of the rows has in common is not strange.
_MOST = 0.3
# A row so many times as far above the median as the end of the ordinary rows is of no class.
_NOWHERE = 3.0

# Flagged labels have a quality below this, and all others none below.
_CUT = 0.5


class EnergyDetector(ProbaDetector):
    """Detect wrong labels and rows that belong to none of the classes, by out-of-fold energies.

    Logits f of a classifier say more than its probabilities: the energy
    ``-temperature * logsumexp(f / temperature)`` is high for a row that is like nothing that the
    classifier knows, whichever class it then finds most probable. Such an open-set row has no
    right label to suggest, and detectors that look at probabilities trust or relabel it at random.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : classifier, default=None
        Model that supplies the evidence, cloned. None is a logistic regression on Gaussian
        kernels, whose logits fade where there are no rows; it needs a table of numbers. Logits of
        another classifier are, by what it has first,

        - the logarithms of ``predict_joint_log_proba`` of naive Bayes, so that the energy is
          minus the log-density of the row;
        - its ``decision_function``; a single column d counts as -d/2 and d/2;
        - the logarithms of ``predict_proba``, minus their mean: without that the energy would
          be zero. It then says how sure the classifier is, and no more.

        Beware that the logits of a plain linear model grow with the distance from the others, so
        that it finds nothing strange about rows far away.
    temperature : float, default=1.0
        Scale of the logits in the energy.
    cv : int, splitter or iterable of (train, test), default=5
        Folds. For a number, folds are stratified, equal rows and rows of one group share a fold,
        and folds become fewer where a class is small.
    threshold : float or threshold object, default=None
        Flag the rows whose quality is below this, instead of by the two rules; or let an object
        choose, such as :class:`MixtureThreshold`.
    flag_fraction : float or dict, default=None
        Flag this share of the rows, those of the lowest quality, instead of by the two rules. A
        dict has such shares by label, of the rows given each, and no other class is flagged.
    max_flag_rate : float, default=0.8
        Warn when more than this share of a class is flagged. None never warns.
    store_estimators : bool, default=False
        Keep the fitted models, for ``detect`` and ``score_labels``.
    n_jobs : int, default=None
        Number of folds at a time.
    random_state : int, RandomState instance or None, default=None
        Seed for models, and parts of models, that have none of their own. None draws fresh
        entropy: NumPy's global generator is neither read nor advanced.

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
        Energy of each row. NaN where no model could judge it.
    open_set_ : ndarray of shape (n_samples,) of bool
        Rows that are probably of no class: those of the upper hump of the energies, where they
        have two humps; elsewhere those whose energy is three times as far above the median as
        the end of the ordinary ones.
    suggested_labels_ : ndarray of shape (n_samples,)
        The most probable label, another than the given one in every flagged row. Of little worth
        in an open-set row. The verified label where there is one.
    corrected_labels_ : ndarray of shape (n_samples,)
        The labels after correction. A flagged label is replaced only if another one is more
        probable even if there is as little noise as the data leave plausible, the lower end of
        `noise_rate_interval_`. The given label of all other rows, and the prediction for rows
        without a label.
    keep_weight_ : ndarray of shape (n_samples,)
        Weight of the rows that are kept; 0 for flagged and unlabelled rows.
    sample_indices_ : ndarray of shape (n_kept,)
        Rows that are kept.
    noise_rate_ : float
        Estimated share of wrong labels.
    noise_rate_interval_ : tuple of float
        Interval of that share: from what the disagreement among certain rows leaves plausible to
        what it is if every disagreement with the prediction is an error.
    reliability_ : {"good", "limited", "cannot tell"}
        Whether wrong labels can be told apart from overlap of the classes.
    reliability_reason_ : str
        What that rests on, in words and numbers.
    threshold_ : float or None
        The cut of ``label_quality_``: 0.5, unless another one was asked for.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    estimators_ : list of classifiers
        Fitted models, if ``store_estimators=True``.
    n_features_in_ : int
        Number of features, where X has any.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X has names that are all text.

    See Also
    --------
    ConfidentLearning : Looks at probabilities alone.

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
        estimator=None,
        *,
        temperature=1.0,
        cv=5,
        threshold=None,
        flag_fraction=None,
        max_flag_rate=0.8,
        store_estimators=False,
        n_jobs=None,
        random_state=None,
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
        energy, log_proba, judged = self._gather_energies(data)
        judged &= ~np.isnan(energy)
        counted = judged & data.used
        weight = None if data.sample_weight is None else data.sample_weight[counted]
        self._set_cut(energy[counted], weight)
        self.energy_ = np.where(judged, energy, np.nan)
        proba = np.exp(log_proba)
        proba[~judged] = 1 / len(data.classes)
        given = np.where(judged, data.y, -1)

        self.open_set_ = judged & (energy > self._open_cut)
        self._fit_rule(data, given, proba)

        def quality_of(codes):
            quality, _ = self._grade(np.where(judged, codes, -1), proba, energy)
            return np.where(judged, quality, np.nan)

        errors = self._grade(given, proba, energy)[1]
        predictions = most_probable(proba, self._order)
        alternatives = most_probable(proba, self._order, without=given)
        result = DetectionResult(
            quality_of(data.y),
            errors,
            np.where(judged, predictions, data.y_train),
            np.where(judged, alternatives, data.y_train),
            threshold=_CUT,
            quality_of=quality_of,
            features=np.where(judged, self._ordinary(energy), 0.5)[:, None],
        )
        return add_corrections(result, data, given, proba, self._order)

    def _gather_energies(self, data):
        """Fit fold by fold; return energies, log-probabilities, and which rows were judged."""
        random_state = private_random_state(self.random_state)
        if self.estimator is None:
            check_numeric(
                data.X,
                f"{type(self).__name__} without an estimator looks at kernels of numbers. Pass an"
                " estimator that takes X as it is, such as a Pipeline that encodes it first.",
            )
        elif not any(hasattr(self.estimator, method) for method in _LOGITS):
            raise TypeError(
                f"estimator: {type(self.estimator).__name__} has none of {', '.join(_LOGITS)}, so"
                " that there are no logits to look at."
            )
        y = data.classes[np.maximum(data.y_train, 0)]
        known = data.used, data.groups, data.sample_weight
        folds = make_folds(self.cv, data.X, y, data.y_train, *known)
        model = clone(self._get_estimator())
        set_missing_random_states(model, random_state)
        weight, fit_params = self._route(model, data)
        look = functools.partial(
            _look, classes=data.classes, temperature=self.temperature, resize=self.estimator is None
        )
        observed = observe(
            look,
            model,
            data.X,
            data.y_train,
            data.classes,
            data.used,
            folds,
            given=data.y,
            sample_weight=weight,
            fit_params=fit_params,
            groups=data.groups,
            n_jobs=self.n_jobs,
        )
        vars(self).pop("estimators_", None)
        if self.store_estimators:
            self.estimators_ = observed.models
        energy, log_proba = observed.values["energy"], observed.values["log_proba"]
        # The mean of logarithms over several folds is the logarithm of no distribution.
        return energy, log_softmax(np.nan_to_num(log_proba), axis=1), observed.judged

    def _set_cut(self, energy, weight) -> None:
        """Find from which energy on a row is like nothing, and on which scale."""
        center = weighted_quantile(energy, 0.5, weight)
        spread = 1.4826 * weighted_quantile(np.abs(energy - center), 0.5, weight)
        # Energies often end at that of a model which knows nothing, not far above the others.
        self._soft_cut = min(center + _FAR * spread, weighted_quantile(energy, _TAIL, weight))
        self._open_cut = center + _NOWHERE * (self._soft_cut - center)
        mixture = fit_mixture(energy, weight)
        if mixture is not None and mixture.is_bimodal:
            cut = mixture.cut(0.5)
            # A hump among the ordinary rows is made of rows between classes.
            if np.isfinite(cut) and cut > center + spread and mixture.shares[-1] < _MOST:
                self._open_cut = self._soft_cut = cut
        self._width = max(self._soft_cut - center, 1e-6 * (1 + abs(center))) / 6

    def _ordinary(self, energy) -> np.ndarray:
        """Say in [0, 1] how ordinary energies are."""
        return expit((self._soft_cut - energy) / self._width)

    def _grade(self, codes, proba, energy) -> tuple[np.ndarray, np.ndarray]:
        """Compute the quality of labels, and flag those that one of the two rules contradicts."""
        quality = proba[np.arange(len(codes)), np.maximum(codes, 0)] * self._ordinary(energy)
        flagged = (self._rule.flag(codes, proba) | (energy > self._open_cut)) & (codes >= 0)
        low = np.minimum(quality / 2, np.nextafter(_CUT, 0))
        return np.where(flagged, low, (1 + quality) / 2), flagged

    def _fit_rule(self, data, given, proba) -> None:
        """Fit the rule that tells which labels probabilities contradict, to the ordinary rows."""
        weight = data.sample_weight
        counted = data.used & (given >= 0) & ~self.open_set_
        best = np.where(counted, data.y_train, -1)
        thresholds = mean_self_confidence(best, proba, weight)
        self._order = np.argsort(thresholds, kind="stable")
        unverified = np.where(counted & (data.verified < 0), given, -1)
        self._rule, _ = fit_rule(
            "prune_by_noise_rate",
            unverified,
            proba,
            weight=weight,
            thresholds=thresholds,
            order=self._order,
        )

    def _detect_new(self, X, codes):
        if not hasattr(self, "estimators_"):
            raise AttributeError(
                "The models that judge new rows were not kept: fit with store_estimators=True."
            )
        energy, log_proba = 0.0, 0.0
        for model in self.estimators_:
            seen = _read(model, X, self.classes_, self.temperature)
            energy = energy + seen["energy"] / len(self.estimators_)
            log_proba = log_proba + seen["log_proba"] / len(self.estimators_)
        proba = np.exp(log_softmax(log_proba, axis=1))
        return self._grade(codes, proba, energy)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if self.estimator is None:
            tags.input_tags.sparse = True
            tags.input_tags.allow_nan = True
        else:
            tags.input_tags.sparse = get_tags(self.estimator).input_tags.sparse
        return tags


def _default_model():
    """Make the classifier that is looked at where nothing else is asked for.

    Gaussian kernels around rows that stand for the data: far from all of them there is nothing
    to be sure of, and the logits of all classes fall back to the same.
    """
    scaler = StandardScaler(with_mean=False)
    classifier = LogisticRegression(C=10, tol=1e-5, max_iter=1000)
    if routing_enabled():
        scaler.set_fit_request(sample_weight=False)
        classifier.set_fit_request(sample_weight=True)
    return make_pipeline(
        SimpleImputer(keep_empty_features=True), scaler, Nystroem(n_components=300), classifier
    )


def _look(model, training, X, watched, *, classes, temperature, resize) -> dict:
    if resize:
        n_components = min(model.get_params()["nystroem__n_components"], num_samples(training.X))
        model.set_params(nystroem__n_components=n_components)
    model.fit(training.X, training.y, **training.fit_params)
    return _read(model, X, classes, temperature)


def _read(model, X, classes, temperature) -> dict:
    """Read energies and log-probabilities off a fitted model."""
    logits, own = logits_of(model, X)
    columns = encode_labels_like(own, classes, name=f"{type(model).__name__}.classes_")
    # A class that the model does not know is as unlikely as can be.
    log_proba = np.full((len(logits), len(classes)), np.log(_SMALLEST))
    log_proba[:, columns] = np.maximum(log_softmax(logits, axis=1), np.log(_SMALLEST))
    energy = -temperature * logsumexp(logits / temperature, axis=1)
    return {"energy": energy, "log_proba": log_proba}


_LOGITS = ("predict_joint_log_proba", "decision_function", "predict_proba")


def logits_of(model, X) -> tuple[np.ndarray, np.ndarray]:
    """Compute the logits of a fitted classifier.

    Parameters
    ----------
    model : fitted classifier
        With one of ``predict_joint_log_proba``, ``decision_function``, ``predict_proba``.
    X : array-like of length n_samples
        Rows.

    Returns
    -------
    logits : ndarray of shape (n_samples, n_classes)
        Logits.
    classes : ndarray of shape (n_classes,)
        Labels of the columns.
    """
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
