"""Consensus mixture: labels that the losses of several diverse models mark as wrong together."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping

from skrobust.base import DetectionResult, LabelQualityThreshold
from skrobust.base._labelled_data import with_mean_weight_one
from skrobust.detection._detect_from import (
    EvidenceDetector,
    ProbaDetector,
    complete_result,
    confident_thresholds_of,
    given_labels,
)
from skrobust.detection._mixture_1d import fit_mixture
from skrobust.evidence import Evidence, OutOfFold
from skrobust.evidence._evidence import check_predicts_proba
from skrobust.evidence._out_of_bag import default_forest
from skrobust.evidence._out_of_fold import proba_sources
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._input import check_numeric
from skrobust.utils._random import draw_seeds, private_random_state
from skrobust.utils._sklearn import Tags, routing_enabled
from skrobust.utils._typing import CrossValidation

# A smaller probability counts as this much in a loss.
_SMALLEST = 1e-3
_VIEW = re.compile(r"view\d+(__|$)")


@fill_docstring
class ConsensusMixture(EvidenceDetector):
    """Consensus of normal mixtures of losses, a detector of label errors by diverse models.

    Each model is one view of the rows, and the losses of their labels, out of fold or out of bag,
    are divided into a low and a high component of a normal mixture. Labels that every view assigns
    to the high one are errors; where views disagree, the quality is intermediate, and a review of
    the row is worthwhile.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimators : list of classifiers, default=None
        The views: classifiers with ``predict_proba``, cloned. A view of some of the features is a
        Pipeline that begins with their selection. A forest with ``oob_score=True`` predicts
        out of bag. None is two views, the out-of-bag forest of :class:`ConfidentLearning` and
        gradient boosting that stops early, for numeric feature matrices.
    %(cv)s
        Not used for forests that predict out of bag.
    %(how_many)s
    %(store_estimators)s
    %(n_jobs)s
    %(random_state)s

    Attributes
    ----------
    label_quality_ : ndarray of shape (n_samples,)
        How likely each label is right, in [0, 1]: the mean over the views of `view_quality_` and
        of the probability of the label, which ranks rows where all views are sure. NaN
        where the label is missing, or is the only one of its class.
    view_quality_ : ndarray of shape (n_views, n_samples)
        Probability that each label belongs to the low component, by each view; the predicted
        probability of the label where a view has no two components.
    view_is_bimodal_ : ndarray of shape (n_views,) of bool
        Whether the losses of each view have two components, the high one of labels less likely
        than not. A view that has none leaves the decision to the others.
    disagreement_ : ndarray of shape (n_samples,) of bool
        Rows that some views, but not all, find wrong: candidates for a review.
    label_errors_ : ndarray of shape (n_samples,) of bool
        Rows whose label all views with two components find wrong, and that is less likely than
        not on average over all views.
    suggested_labels_ : ndarray of shape (n_samples,)
        The label that is most probable on average over the views, another than the given one in
        every flagged row. The verified label where there is one.
    %(detected)s
    estimators_ : list of lists of classifiers
        Fitted models of each view, if ``store_estimators=True``.

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

    _parameter_constraints: dict = {
        **{k: v for k, v in ProbaDetector._parameter_constraints.items() if k != "estimator"},
        "estimators": [list, tuple, None],
    }

    def __init__(
        self,
        estimators: Sequence[BaseEstimator] | None = None,
        *,
        cv: CrossValidation = 5,
        threshold: float | LabelQualityThreshold | None = None,
        flag_fraction: float | dict[Any, float] | None = None,
        max_flag_rate: float | None = 0.8,
        store_estimators: bool = False,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.estimators = estimators
        self.cv = cv
        self.threshold = threshold
        self.flag_fraction = flag_fraction
        self.max_flag_rate = max_flag_rate
        self.store_estimators = store_estimators
        self.n_jobs = n_jobs
        self.random_state = random_state

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters of this detector.

        Parameters
        ----------
        deep : bool, default=True
            Whether the views, as ``view0`` and so on, and their parameters are returned as well.

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

    def set_params(self, **params: Any) -> Self:
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
        for key, value in sorted(views.items()):  # a view before its parameters
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

    def get_metadata_routing(self) -> MetadataRouter:
        """Get the metadata that this detector and its views take.

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

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        views = self._get_estimators()
        views = [view for view in views if hasattr(view, "fit")]
        tags.input_tags.sparse = all(get_tags(view).input_tags.sparse for view in views)
        tags.input_tags.allow_nan = all(get_tags(view).input_tags.allow_nan for view in views)
        return tags

    def _detect(self, data) -> DetectionResult:
        views = self._collect_views(data)
        self._store(*views)
        mask = np.all([view.mask for view in views], axis=0)
        probas = [np.where(mask[:, None], v.pred_proba, 1 / len(data.classes)) for v in views]
        evidence = Evidence(
            np.where(mask[:, None], sum(probas) / len(probas), np.nan), data.classes
        )
        given = given_labels(data, evidence)
        counted = data.used & (given >= 0) & (data.verified < 0)
        weight = None if data.sample_weight is None else data.sample_weight[counted]
        self._mixtures = []
        for proba in probas:
            losses = _losses(proba, given)[counted]
            mixture = fit_mixture(losses, weight) if counted.any() else None
            usable = mixture is not None and mixture.bic_gain > 0
            usable = usable and mixture.means[-1] > np.log(2)
            self._mixtures.append(mixture if usable else None)
        self.view_is_bimodal_: np.ndarray = np.array(
            [mixture is not None for mixture in self._mixtures]
        )

        def quality_of(codes):
            return np.where(mask, self._consensus(probas, codes)[0], np.nan)

        _, by_view, wrong, errors = self._consensus(probas, given)
        self.view_quality_: np.ndarray = np.where(given >= 0, by_view, np.nan)
        errors &= given >= 0
        self.disagreement_: np.ndarray = wrong.any(axis=0) & ~errors & (given >= 0)
        return complete_result(
            data,
            evidence,
            np.argsort(confident_thresholds_of(data, evidence), kind="stable"),
            quality_of,
            errors,
            features=np.nan_to_num(self.view_quality_.T, nan=0.5),
        )

    def _consensus(self, probas, codes):
        """Quality, quality by each view, labels that each view finds wrong, and that all do."""
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

    def _collect_views(self, data) -> list[Evidence]:
        """Collect the evidence of each view."""
        random_state = private_random_state(self.random_state)
        if self.estimators is None:
            check_numeric(
                data.X,
                f"{type(self).__name__} without estimators uses two models of numbers. Pass"
                " estimators that take X as it is, such as Pipelines that encode it first.",
            )
            data = with_mean_weight_one(data)
        models = self._get_estimators()
        if len(models) < 2:
            raise ValueError(
                f"estimators has {len(models)} classifiers: a consensus needs two or more."
            )
        for model in models:
            if not hasattr(model, "fit") or isinstance(model, type):
                raise TypeError(f"estimators must hold classifiers, got {model!r}.")
            check_predicts_proba(model)
        views = []
        seeds = draw_seeds(random_state, len(models))
        for source in proba_sources(self, models, data, cv=self.cv, random_states=seeds):
            if isinstance(source, OutOfFold):
                source = dataclasses.replace(source, by_content=True)
            views.append(source.collect(data))
        return views

    @property
    def estimators_(self) -> list[Any]:
        """Fitted models of each view."""
        return [list(view.models) for view in self._stored_evidence()]

    def _detect_new(self, X, codes):
        probas = [view.predict(X) for view in self._stored_evidence()]
        quality, _, _, errors = self._consensus(probas, codes)
        return quality, errors


def _losses(proba, codes) -> np.ndarray:
    """Log loss of each label, at most that of a probability of a thousandth."""
    own = proba[np.arange(len(codes)), np.maximum(codes, 0)]
    return -np.log(np.clip(own, _SMALLEST, 1.0))


def _default_boosting() -> HistGradientBoostingClassifier:
    """Make boosting of few small trees, which does not memorise single rows."""
    model = HistGradientBoostingClassifier(
        max_iter=15, learning_rate=0.2, max_leaf_nodes=8, min_samples_leaf=10, early_stopping=False
    )
    return model.set_fit_request(sample_weight=True) if routing_enabled() else model
