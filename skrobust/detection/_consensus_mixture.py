"""Do unlike models agree that a label is wrong? The consensus of mixtures of their losses."""

import functools
import re

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping

from skrobust.base import DetectionResult, LabelErrorDetector
from skrobust.detection._corrections import add_corrections
from skrobust.detection._mixture_1d import fit_mixture
from skrobust.detection._proba_detector import ProbaDetector, most_probable
from skrobust.detection._verified_label_model import calibrate_on_verified
from skrobust.evidence._evidence import Evidence
from skrobust.evidence._folds import make_folds
from skrobust.evidence._observed import observe
from skrobust.evidence._out_of_bag import default_forest, gives_out_of_bag
from skrobust.evidence._out_of_fold import check_predicts_proba, predict_columns
from skrobust.noise._confident_joint import mean_self_confidence
from skrobust.utils._random import draw_seed, private_random_state, set_missing_random_states
from skrobust.utils._rows import check_numeric
from skrobust.utils._sklearn import routing_enabled

# A probability of less is a loss of no more.
_SMALLEST = 1e-3
_VIEW = re.compile(r"view\d+(__|$)")


class ConsensusMixture(LabelErrorDetector):
    """Detect label errors on which several unlike models agree.

    Each model is one view of the rows, and the losses of their labels, out of fold or out of bag,
    are split into a low and a high component of a normal mixture. Labels that every view puts
    into the high one are errors; where views disagree, the quality is in the middle, and a person
    had better look.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimators : list of classifiers, default=None
        The views: classifiers with ``predict_proba``, cloned. A view of some of the features is a
        Pipeline that begins with their selection. A forest with ``oob_score=True`` is judged
        out of bag. None is two views, the out-of-bag forest of :class:`ConfidentLearning` and
        gradient boosting that stops early, for tables of numbers.
    cv : int, splitter or iterable of (train, test), default=5
        Folds of views that are no forests. For a number, folds are stratified, equal rows and
        rows of one group share a fold, and folds become fewer where a class is small.
    threshold : float or threshold object, default=None
        Flag the rows whose quality is below this, instead of by consensus; or let an object
        choose, such as :class:`MixtureThreshold`.
    flag_fraction : float or dict, default=None
        Flag this share of the rows, those of the lowest quality, instead of by consensus. A dict
        has such shares by label, of the rows given each, and no other class is flagged.
    max_flag_rate : float, default=0.8
        Warn when more than this share of a class is flagged. None never warns.
    store_estimators : bool, default=False
        Keep the fitted models, for ``detect`` and ``score_labels``.
    n_jobs : int, default=None
        Number of folds, or threads of a forest, at a time.
    random_state : int, RandomState instance or None, default=None
        Seed for models, and parts of models, that have none of their own. None draws fresh
        entropy: NumPy's global generator is neither read nor advanced.

    Attributes
    ----------
    label_quality_ : ndarray of shape (n_samples,)
        How likely each label is right, in [0, 1]: the mean over the views of `view_quality_` and
        of the probability of the label, which tells rows apart where all views are sure. NaN
        where the label is missing, or is the only one of its class.
    view_quality_ : ndarray of shape (n_views, n_samples)
        How likely each label is of the low component, by each view; its probability where a view
        has no two components.
    view_is_bimodal_ : ndarray of shape (n_views,) of bool
        Whether the losses of each view have two components, the high one of labels less likely
        than not. A view that has none leaves the result to the others.
    disagreement_ : ndarray of shape (n_samples,) of bool
        Rows that some views, but not all, find wrong: for a person to look at.
    label_errors_ : ndarray of shape (n_samples,) of bool
        Rows whose label all views with two components find wrong, and that is less likely than
        not on average over all views.
    suggested_labels_ : ndarray of shape (n_samples,)
        The label that is most probable on average over the views, another than the given one in
        every flagged row. The verified label where there is one.
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
        The cut of ``label_quality_``, if one was asked for.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    estimators_ : list of lists of classifiers
        Fitted models of each view, if ``store_estimators=True``.
    n_features_in_ : int
        Number of features, where X has any.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X has names that are all text.

    See Also
    --------
    MixtureThreshold : A mixture of the qualities of any detector.

    Notes
    -----
    Losses of clean data are often skewed, and two components then fit better than one by any
    criterion. So a view counts only if its high component contradicts the labels: its mean loss
    must exceed that of a label of probability one half.

    References
    ----------
    Qin, Chen, Peng, Peng, Zhou and Hu (2024). Noisy-correspondence learning for text-to-image
    person re-identification. CVPR.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skrobust.detection import ConsensusMixture
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> X, y = load_iris(return_X_y=True)
    >>> y_noisy, flipped = flip_labels(y, symmetric_transition(3, 0.2), random_state=0)
    >>> views = [LogisticRegression(max_iter=1000), GaussianNB()]
    >>> detector = ConsensusMixture(views).fit(X, y_noisy)
    >>> bool((detector.label_errors_ & flipped).sum() > 0.7 * flipped.sum())
    True
    """

    _calibrate = staticmethod(calibrate_on_verified)

    _parameter_constraints: dict = {
        **{k: v for k, v in ProbaDetector._parameter_constraints.items() if k != "estimator"},
        "estimators": [list, tuple, None],
    }

    def __init__(
        self,
        estimators=None,
        *,
        cv=5,
        threshold=None,
        flag_fraction=None,
        max_flag_rate=0.8,
        store_estimators=False,
        n_jobs=None,
        random_state=None,
    ):
        self.estimators = estimators
        self.cv = cv
        self.threshold = threshold
        self.flag_fraction = flag_fraction
        self.max_flag_rate = max_flag_rate
        self.store_estimators = store_estimators
        self.n_jobs = n_jobs
        self.random_state = random_state

    def get_params(self, deep=True) -> dict:
        """Get the parameters of this detector.

        Parameters
        ----------
        deep : bool, default=True
            Whether the views, as ``view0`` and so on, and their parameters are wanted as well.

        Returns
        -------
        params : dict
            Parameters by name.
        """
        params = super().get_params(deep=False)
        if deep and isinstance(self.estimators, (list, tuple)):
            for i, view in enumerate(self.estimators):
                params[f"view{i}"] = view
                if hasattr(view, "get_params") and not isinstance(view, type):
                    inner = view.get_params(deep=True)
                    params.update({f"view{i}__{key}": value for key, value in inner.items()})
        return params

    def set_params(self, **params):
        """Set parameters of this detector and of its views.

        Parameters
        ----------
        **params : dict
            Parameters by name; those of a view as ``view0__name``, a view as ``view0``.

        Returns
        -------
        self : object
            This detector.
        """
        own = {key: value for key, value in params.items() if not _VIEW.match(key)}
        super().set_params(**own)
        views = {key: value for key, value in params.items() if key not in own}
        for key, value in sorted(views.items()):  # a view comes before its parameters
            name, _, inner = key.partition("__")
            number = int(name.removeprefix("view"))
            if self.estimators is None or number >= len(self.estimators):
                raise ValueError(f"Invalid parameter {key!r}: there is no such view.")
            if inner:
                self.estimators[number].set_params(**{inner: value})
            else:
                kind = type(self.estimators)
                self.estimators = kind(
                    value if i == number else view for i, view in enumerate(self.estimators)
                )
        return self

    def _get_estimators(self) -> list:
        """The views."""
        if self.estimators is None:
            forest = default_forest().set_params(oob_score=True)
            if routing_enabled():
                forest.set_fit_request(sample_weight=True)
            return [forest, _default_boosting()]
        return list(self.estimators)

    def get_metadata_routing(self):
        """Say which metadata this detector and its parts take.

        Returns
        -------
        routing : MetadataRouter
            Routing information.
        """
        router = MetadataRouter(owner=self).add_self_request(self)
        if self.estimators is not None:
            mapping = MethodMapping().add(caller="fit", callee="fit")
            for i, estimator in enumerate(self.estimators):
                router.add(**{f"view{i}": estimator}, method_mapping=mapping)
        return router

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        views = self._get_estimators()
        views = [view for view in views if hasattr(view, "fit")]
        tags.input_tags.sparse = all(get_tags(view).input_tags.sparse for view in views)
        tags.input_tags.allow_nan = all(get_tags(view).input_tags.allow_nan for view in views)
        return tags

    def _detect(self, data) -> DetectionResult:
        gathered = self._gather_views(data)
        judged = np.all([~np.isnan(e.pred_proba[:, 0]) for e in gathered], axis=0)
        for evidence in gathered:
            evidence.pred_proba[~judged] = 1 / len(data.classes)
        given = np.where(judged, data.y, -1)
        counted = data.used & (given >= 0) & (data.verified < 0)
        weight = None if data.sample_weight is None else data.sample_weight[counted]
        self._mixtures = []
        for evidence in gathered:
            losses = _losses(evidence.pred_proba, given)[counted]
            mixture = fit_mixture(losses, weight) if counted.any() else None
            usable = mixture is not None and mixture.bic_gain > 0
            usable = usable and mixture.means[-1] > np.log(2)
            self._mixtures.append(mixture if usable else None)
        self.view_is_bimodal_ = np.array([mixture is not None for mixture in self._mixtures])
        probas = [evidence.pred_proba for evidence in gathered]

        def quality_of(codes):
            return np.where(judged, self._consensus(probas, codes)[0], np.nan)

        quality, views, wrong, errors = self._consensus(probas, given)
        self.view_quality_ = np.where(given >= 0, views, np.nan)
        errors &= given >= 0
        self.disagreement_ = wrong.any(axis=0) & ~errors & (given >= 0)
        proba = sum(probas) / len(probas)
        best = np.where(data.used & (given >= 0), data.y_train, -1)
        order = np.argsort(mean_self_confidence(best, proba, data.sample_weight), kind="stable")
        predictions = most_probable(proba, order)
        alternatives = most_probable(proba, order, without=given)
        result = DetectionResult(
            np.where(judged, quality, np.nan),
            errors,
            np.where(judged, predictions, data.y_train),
            np.where(judged, alternatives, data.y_train),
            quality_of=quality_of,
            features=np.nan_to_num(self.view_quality_.T, nan=0.5),
        )
        return add_corrections(result, data, given, proba, order)

    def _consensus(self, probas, codes):
        """Return the quality, that of each view, which labels each view finds wrong, and all do."""
        views, own = np.empty((2, len(probas), len(codes)))
        wrong = np.zeros((len(probas), len(codes)), dtype=bool)
        for i, (proba, mixture) in enumerate(zip(probas, self._mixtures, strict=True)):
            own[i] = proba[np.arange(len(codes)), np.maximum(codes, 0)]
            views[i] = own[i]
            if mixture is not None:
                upper = mixture.upper(_losses(proba, codes))
                views[i], wrong[i] = 1 - upper, upper > 0.5
        usable = self.view_is_bimodal_
        errors = wrong[usable].all(axis=0) & usable.any() & (own.mean(axis=0) < 0.5)
        return (views.mean(axis=0) + own.mean(axis=0)) / 2, views, wrong, errors

    def _gather_views(self, data) -> list[Evidence]:
        random_state = private_random_state(self.random_state)
        if self.estimators is None:
            check_numeric(
                data.X,
                f"{type(self).__name__} without estimators looks at two models of numbers. Pass"
                " estimators that take X as it is, such as Pipelines that encode it first.",
            )
        views = self._get_estimators()
        if len(views) < 2:
            raise ValueError(
                f"estimators has {len(views)} classifiers: a consensus needs two or more."
            )
        for view in views:
            if not hasattr(view, "fit") or isinstance(view, type):
                raise TypeError(f"estimators must hold classifiers, got {view!r}.")
            check_predicts_proba(view)
        evidence = []
        for estimator in views:
            view = _View(
                estimator, cv=self.cv, n_jobs=self.n_jobs, random_state=draw_seed(random_state)
            )
            evidence.append(view.gather(data))
        vars(self).pop("estimators_", None)
        if self.store_estimators:
            self.estimators_ = [e.estimators for e in evidence]
        return evidence

    def _detect_new(self, X, codes):
        if not hasattr(self, "estimators_"):
            raise AttributeError(
                "The models that judge new rows were not kept: fit with store_estimators=True."
            )
        probas = [
            sum(predict_columns(model, X, self.classes_) for model in models) / len(models)
            for models in self.estimators_
        ]
        quality, _, _, errors = self._consensus(probas, codes)
        return quality, errors


class _View(ProbaDetector):
    """One view: gathers probabilities as other detectors do."""

    def __init__(self, estimator, *, cv=5, n_jobs=None, random_state=None):
        self.estimator = estimator
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.store_estimators = False

    def gather(self, data) -> Evidence:
        if gives_out_of_bag(self.estimator) and data.groups is None:
            return self._gather(data)
        random_state = private_random_state(self.random_state)
        model = clone(self.estimator)
        if gives_out_of_bag(model):
            model.set_params(oob_score=False)
        set_missing_random_states(model, random_state)
        weight, fit_params = self._route(model, data)
        y = data.classes[np.maximum(data.y_train, 0)]
        known = data.used, data.groups, data.sample_weight
        folds = make_folds(self.cv, data.X, y, data.y_train, *known)
        observed = observe(
            functools.partial(_look, classes=data.classes),
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
        proba = observed.values["proba"]
        proba[~observed.judged] = np.nan
        return Evidence(proba, observed.models, data.classes)


def _look(model, training, X, watched, *, classes) -> dict:
    model.fit(training.X, training.y, **training.fit_params)
    return {"proba": predict_columns(model, X, classes)}


def _losses(proba, codes) -> np.ndarray:
    """The loss of each label, which is at most that of a probability of a thousandth."""
    own = proba[np.arange(len(codes)), np.maximum(codes, 0)]
    return -np.log(np.clip(own, _SMALLEST, 1.0))


def _default_boosting() -> HistGradientBoostingClassifier:
    """Make boosting of few small trees, which has had no time to learn single rows."""
    model = HistGradientBoostingClassifier(
        max_iter=15, learning_rate=0.2, max_leaf_nodes=8, min_samples_leaf=10, early_stopping=False
    )
    return model.set_fit_request(sample_weight=True) if routing_enabled() else model
