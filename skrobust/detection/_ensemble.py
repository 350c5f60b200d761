"""Ensemble detector: a mixture of diverse models, whose predictions a noise model inverts."""

import dataclasses
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping

from skrobust.base import DetectionResult, LabelledData, LabelQualityThreshold
from skrobust.base._labelled_data import decode_labels
from skrobust.detection._detect_from import (
    EvidenceDetector,
    confident_thresholds_of,
    flag_by_rule,
    given_labels,
    most_probable,
)
from skrobust.detection._ensemble_models import (
    AUTO,
    NEIGHBORS,
    default_models,
    has_preprocessing,
    models_behind,
    same_container,
)
from skrobust.detection._noise_posterior import NoisePosterior, fit_noise_posterior
from skrobust.detection._rules import RULES
from skrobust.evidence import Evidence, Mixture, Neighbors
from skrobust.evidence._evidence import check_predicts_proba
from skrobust.evidence._folds import FoldsByContent, row_blocks
from skrobust.evidence._neighbor_evidence import NeighborsOfRounds
from skrobust.evidence._out_of_fold import proba_sources
from skrobust.noise._confident_joint import label_proba
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._input import check_numeric
from skrobust.utils._parallel import one_blas_thread
from skrobust.utils._random import draw_seeds, private_random_state
from skrobust.utils._sklearn import Interval, StrOptions, Tags
from skrobust.utils._typing import CrossValidation
from skrobust.utils._weights import lower_threshold, weight_fit_params

_OWN_RULE = "decoys"
# Models with less than this share of the largest stacking weight are not fitted again.
_WORTH_ANOTHER_FIT = 0.15


@fill_docstring
class EnsembleDetector(EvidenceDetector):
    """Ensemble of diverse models with a noise model, the default detector of label errors.

    This is the detector to use when nothing is known about the data, and what the rest of the
    package uses by default. It works in five steps, each from out-of-sample predictions only:

    1. Predictions: several models predict the label of each row without having been trained on it,
       forests out of bag at the cost of one fit, others out of fold. Smooth models hardly
       depend on single wrong labels. The classifier that is to be trained in the end need
       not be among them.
    2. Mixture: the models are stacked with the weights under which the given labels are most
       likely. A model that adds nothing to the others has a weight of zero.
    3. Noise: the mixture predicts the label *given*, noise included. The most confident rows of
       each class determine how often which other label is given instead, and inverting this noise
       model yields the probability that the given label is the true one, which is the quality.
    4. Threshold: every row with every label that the noise could have given it is a decoy, whose
       quality is known without another fit: a target-decoy estimate of the false discovery rate.
       The threshold with the best estimated F1 is used.
    5. Second round: the models are fitted again without the labels that are flagged. The geometric
       mean of their predictions and of the inverted predictions of the first round determines the
       threshold anew.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimators : list of classifiers with ``predict_proba``, default=None
        The models, cloned. "neighbors" is a vote of nearest neighbours, as of
        :class:`NeighborVote`, and forests with ``oob_score=True`` predict out of bag. "auto" is
        several diverse models, each in place of the last step of the first pipeline in the list:
        neighbours, a linear model, and forests where their input is dense. None
        needs numeric features and uses two forests of extremely randomised trees, each read at
        three leaf sizes, neighbours, and logistic regression; with at least 64 dense columns, as
        of images and embeddings, also quadratic logistic regression, kernel logistic regression
        and quadratic discriminant analysis on principal components; with more than 100 000 rows
        or missing values the forests only, so that imputing first changes the flags, as any other
        encoding of X does. Forests that differ in ``min_samples_leaf`` only are
        grown once, and equal first steps of pipelines are fitted once per fold.
    weights : {"likelihood", "uniform"} or array-like of shape (n_estimators,), \
            default="likelihood"
        Mixture weights.
    rule : {"decoys", "prune_by_noise_rate", "prune_by_class", "both", "confident_learning", \
            "low_self_confidence", "low_normalized_margin", "predicted_neq_given"}, \
            default="decoys"
        Which rows are flagged: as described above, or by :func:`find_label_errors` on the
        mixture.
    quality_method : {"right_proba", "self_confidence"}, default="right_proba"
        What ``label_quality_`` is: the probability that the given label is the true one, or the
        probability by the mixture that this label is given.
    n_rounds : int, default=2
        Number of rounds. In the second round and later the models do not
        learn from the labels that were flagged before, of each class at most half. Models with
        less than 0.15 of the largest stacking weight in the first round, or with a given weight
        of 0, are left out. 1 saves up to half the time.
    cv : int, splitter or iterable of (train, test), default=5
        Folds of models that do not predict out of bag. For a number, folds are stratified and
        depend on the content of rows, not on their order, and each round has others.
    %(how_many)s
    %(store_estimators)s
    %(n_jobs)s
    %(random_state)s

    Attributes
    ----------
    %(label_quality_)s
    %(label_errors_)s
    suggested_labels_ : ndarray of shape (n_samples,)
        The most probable true label; another than the given one in every flagged row.
    posterior_labels_ : ndarray of shape (n_samples,)
        The most probable true label given the label itself as well, at a somewhat higher noise
        rate than estimated. Less conservative than `corrected_labels_`: for training, not for a
        file.
    posterior_proba_ : ndarray of shape (n_samples,)
        Probability of these labels.
    %(detected)s
    %(transition_matrix_)s
    weights_ : ndarray of shape (n_estimators,)
        Mixture weights of the first round.
    estimators_ : list
        The models, in the order of `weights_`: not fitted, or, with ``store_estimators=True``,
        a list of the fitted ones for each.
    member_predictions_ : ndarray of shape (n_samples, n_estimators)
        The class that each model predicts out of sample, in the first round; None where a model has
        no prediction.

    See Also
    --------
    ConfidentLearning : One model, and the rules of confident learning.
    DecoyThreshold : The threshold by decoys, for any detector.

    References
    ----------
    Breiman (1996). Stacked regressions. Machine Learning 24.

    Patrini, Rozza, Menon, Nock and Qu (2017). Making deep neural networks robust to label noise:
    a loss correction approach. CVPR.

    Elias and Gygi (2007). Target-decoy search strategy for increased confidence in large-scale
    protein identifications by mass spectrometry. Nature Methods 4.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skrobust.detection import EnsembleDetector
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> X, y = load_iris(return_X_y=True)
    >>> y_noisy, flipped = flip_labels(y, symmetric_transition(3, 0.2), random_state=0)
    >>> detector = EnsembleDetector(random_state=0).fit(X, y_noisy)
    >>> bool((detector.label_errors_ & flipped).sum() > 0.8 * flipped.sum())
    True
    """

    _parameter_constraints: dict = {
        **EvidenceDetector._parameter_constraints,
        "estimators": [list, tuple, None],
        "weights": [StrOptions({"likelihood", "uniform"}), "array-like"],
        "rule": [StrOptions({_OWN_RULE, *RULES})],
        "quality_method": [StrOptions({"right_proba", "self_confidence"})],
        "n_rounds": [Interval(Integral, 1, None, closed="left")],
        "cv": ["cv_object"],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimators: Sequence[BaseEstimator] | None = None,
        *,
        weights: str | ArrayLike = "likelihood",
        rule: str = "decoys",
        quality_method: str = "right_proba",
        n_rounds: int = 2,
        cv: CrossValidation = 5,
        threshold: float | LabelQualityThreshold | None = None,
        flag_fraction: float | dict[Any, float] | None = None,
        max_flag_rate: float | None = 0.8,
        store_estimators: bool = False,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.estimators = estimators
        self.weights = weights
        self.rule = rule
        self.quality_method = quality_method
        self.n_rounds = n_rounds
        self.cv = cv
        self.threshold = threshold
        self.flag_fraction = flag_fraction
        self.max_flag_rate = max_flag_rate
        self.store_estimators = store_estimators
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _classifiers(self) -> dict:
        """Models that the user passed, by the names under which metadata are routed."""
        models = () if self.estimators is None else self.estimators
        return {f"estimator_{i}": m for i, m in enumerate(models) if not isinstance(m, str)}

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        inner = [get_tags(model).input_tags for model in self._classifiers().values()]
        words = [model for model in self.estimators or () if isinstance(model, str)]
        tags.input_tags.sparse = all(t.sparse for t in inner)
        tags.input_tags.allow_nan = all(t.allow_nan for t in inner) and NEIGHBORS not in words
        return tags

    def get_metadata_routing(self) -> MetadataRouter:
        """Get the metadata that this detector and its models take.

        Returns
        -------
        routing : MetadataRouter
            Routing information.
        """
        router = MetadataRouter(owner=self).add_self_request(self)
        for name, model in self._classifiers().items():
            mapping = MethodMapping().add(caller="fit", callee="fit")
            router.add(**{name: model}, method_mapping=mapping)
        return router

    def _detect(self, data) -> DetectionResult:
        rounds, posterior, true_proba, right = self._fit_rounds(data)
        self._posterior, self._n_rounds = posterior, len(rounds)
        self.weights_: np.ndarray = rounds[0].weights
        self._store(*rounds)
        self.member_predictions_: np.ndarray = _member_predictions(rounds[0])
        return self._make_result(data, rounds, posterior, true_proba, right)

    def _fit_rounds(self, data) -> tuple[list[Evidence], NoisePosterior, np.ndarray, np.ndarray]:
        """Collect predictions and fit the noise model, in each round without labels flagged before.

        Also returned are the probabilities of true classes without the row's own label, and those
        of each label to be right where it is given.
        """
        self._check_models(data)
        if self.estimators is None:
            X, self._mostly_zero = same_container(data.X)
            data = dataclasses.replace(data, X=X)
        models, cv = self._make_models(data), self._listed_cv()
        self._models = models
        first = self._collect_round(models, data, cv, 1)
        proba, mask, given = first.filled, first.mask, given_labels(data, first)
        posterior, true_proba, right = fit_noise_posterior(data, given, proba, n_jobs=self.n_jobs)
        rounds = [first]
        for number in range(2, self.n_rounds + 1):
            hidden = _hidden(data, given, posterior, true_proba, right)
            if not hidden.any():  # the models would predict the same again
                break
            if isinstance(cv, FoldsByContent):
                cv = FoldsByContent(cv, number - 1)  # errors that stem from the folds average out
            without = dataclasses.replace(data, hidden=hidden)
            share = _WORTH_ANOTHER_FIT if isinstance(self.weights, str) else 0.0
            chosen = first.weights > share * first.weights.max()
            again = self._collect_round(models, without, cv, number, first, np.flatnonzero(chosen))
            if np.array_equal(again.pred_proba[mask], proba[mask]):  # models that are frozen
                break
            rounds.append(again)
            posterior, true_proba, right = fit_noise_posterior(
                data, given, proba, [r.pred_proba for r in rounds[1:]], n_jobs=self.n_jobs
            )
        return rounds, posterior, true_proba, right

    def _make_result(self, data, rounds, posterior, true_proba, right) -> DetectionResult:
        """Quality, flags and suggestions, by the rounds that `_fit_rounds` returned."""
        first, later = rounds[0], [again.pred_proba for again in rounds[1:]]
        proba, mask, given = first.filled, first.mask, given_labels(data, first)
        table = right if self.quality_method == "right_proba" else proba

        def quality_of(codes):
            quality = label_proba(np.maximum(codes, 0), table).astype(np.float64)
            return np.where(mask, quality, np.nan)

        order = np.argsort(confident_thresholds_of(data, first), kind="stable")
        if self.rule == _OWN_RULE:
            own_right = label_proba(np.maximum(given, 0), right)
            errors = posterior.flag(true_proba, given, own_right)
        else:
            self._rule, errors = flag_by_rule(data, first, self.rule)
        liberal = posterior.liberal(proba, later, given, n_jobs=self.n_jobs)
        conservative = posterior.conservative(proba, later, given, n_jobs=self.n_jobs)
        alternatives = most_probable(true_proba, order, without=given)
        alternatives = np.where(mask, alternatives, data.y_train)
        others = 1 - np.where(given >= 0, label_proba(np.maximum(given, 0), true_proba), 0.0)
        alternative = label_proba(np.maximum(alternatives, 0), true_proba)
        return DetectionResult(
            quality_of(data.y),
            errors,
            np.where(mask, most_probable(true_proba, order), data.y_train),
            alternatives,
            joint=_joint(data, given, posterior, true_proba),
            quality_of=quality_of,
            pred_proba=proba,
            posterior_labels=np.where(mask, most_probable(liberal, order), data.y_train),
            posterior_proba=np.where(mask, liberal.max(axis=1), 1.0),
            corrections=np.where(mask, most_probable(conservative, order), data.y_train),
            level=posterior.level,
            alternative_proba=np.clip(alternative / np.maximum(others, 1e-12), 0, 1),
        )

    def collect_evidence(self, data: LabelledData) -> Evidence:
        """Collect the mixture of out-of-sample probabilities, of the first round only.

        Parameters
        ----------
        data : LabelledData
            Labelled rows, as of :meth:`skrobust.base.LabelledData.from_arrays`.

        Returns
        -------
        evidence : Evidence
            Probabilities of given labels, with one part per model.
        """
        self._check_models(data)
        if self.estimators is None:
            X, self._mostly_zero = same_container(data.X)
            data = dataclasses.replace(data, X=X)
        return self._collect_round(self._make_models(data), data, self._listed_cv(), 1)

    def _collect_round(self, models, data, cv, number, first=None, chosen=None) -> Evidence:
        """Collect the mixture of one round, of all models or, after the first round, of some."""
        random_state = private_random_state(self.random_state)
        seeds = draw_seeds(random_state, len(models))
        weights = self._fixed_weights(len(models))
        if chosen is not None and weights is not None:
            weights = weights[chosen] / weights[chosen].sum()
        chosen = np.arange(len(models)) if chosen is None else chosen
        votes = [j for j in chosen if isinstance(models[j], str)]
        others = [j for j in chosen if not isinstance(models[j], str)]
        found = proba_sources(
            self,
            [models[j] for j in others],
            data,
            cv=cv,
            random_states=[seeds[j] for j in others],
        )
        source_of = dict(zip(others, found, strict=True))
        for j in votes:
            earlier = None if first is None else first.parts[j].graph
            neighbors = Neighbors(n_jobs=self.n_jobs, random_state=seeds[j])
            source_of[j] = NeighborsOfRounds(neighbors, earlier)
        sources = [source_of[j] for j in chosen]
        name = f"round {number}"
        return Mixture(sources, weights, name, self.store_estimators).collect(data)

    def _make_models(self, data) -> list:
        """Models that are not fitted, and the names of others."""
        if self.estimators is None:
            return default_models(data.X)
        models = []
        for model in self.estimators:
            if isinstance(model, str) and model == AUTO:
                models += models_behind(self._first_pipeline(), data)
            else:
                models.append(model if isinstance(model, str) else clone(model))
        return models

    def _first_pipeline(self):
        """Pipeline whose first steps the models of "auto" share, or None."""
        return next((m for m in self.estimators if has_preprocessing(m)), None)

    def _check_models(self, data) -> None:
        """Refuse models that cannot be used, before any is fitted."""
        self._mostly_zero = None
        if self.estimators is None:
            check_numeric(
                data.X,
                "EnsembleDetector without estimators needs a numeric array. Pass"
                " estimators that take X as it is, such as a Pipeline that encodes it first.",
            )
            return
        if len(self.estimators) == 0:
            raise ValueError("estimators must name at least one model, got an empty list.")
        kinds = f"estimators may hold classifiers and the words {NEIGHBORS!r} and {AUTO!r}"
        for model in self.estimators:
            if not isinstance(model, str):
                if not hasattr(model, "fit") or not hasattr(model, "predict"):
                    raise TypeError(f"{kinds}, got {model!r}.")
                check_predicts_proba(model)
                weight_fit_params(model, data.sample_weight)
            elif model == NEIGHBORS:
                check_numeric(
                    data.X, f"Leave {NEIGHBORS!r} out of the estimators, or encode X first."
                )
            elif model != AUTO:
                raise ValueError(f"{kinds}, got {model!r}.")
            elif self._first_pipeline() is None:
                raise ValueError(
                    f"{AUTO!r} shares the first steps of a pipeline, and none with"
                    f" more than one step is among the estimators {self.estimators!r}."
                )

    def _fixed_weights(self, n_models) -> np.ndarray | None:
        """Mixture weights that do not depend on the data, or None."""
        if isinstance(self.weights, str):
            return None if self.weights == "likelihood" else np.full(n_models, 1 / n_models)
        weights = np.asarray(self.weights)
        numbers = weights.dtype.kind in "biuf" and weights.shape == (n_models,)
        if not numbers or not np.isfinite(weights).all() or weights.min() < 0:
            raise ValueError(
                f"weights must be {n_models} numbers, one for each of the estimators and none"
                f" negative, got {self.weights!r}."
            )
        if weights.sum() == 0:
            raise ValueError("weights must not be all zero.")
        return weights / weights.sum()

    def _listed_cv(self):
        """Folds as a list, since every model needs them and an iterator yields them once."""
        if self.cv is None or isinstance(self.cv, Integral):
            return FoldsByContent(5 if self.cv is None else self.cv)
        listed = isinstance(self.cv, Iterable) and not hasattr(self.cv, "split")
        return list(self.cv) if listed else self.cv

    @property
    def estimators_(self) -> list[Any]:
        """Models in the order of `weights_`, fitted if they were kept."""
        if self._stored:
            return [list(part.models) for part in self._stored[0].parts]
        if not hasattr(self, "_models"):
            raise AttributeError(f"{type(self).__name__} is not fitted.")
        return self._models

    def _detect_new(self, X, codes):
        rounds = self._stored_evidence()
        if self._mostly_zero is not None:
            X, _ = same_container(X, self._mostly_zero)
        # Models of its own are so small that more threads slow them down.
        with one_blas_thread if self.estimators is None else nullcontext():
            proba, *later = (one.predict(X) for one in rounds)
        true_proba, table = self._posterior.true_proba(proba, later, n_jobs=self.n_jobs)
        right = label_proba(np.maximum(codes, 0), table)
        quality = right
        if self.quality_method != "right_proba":
            quality = label_proba(np.maximum(codes, 0), proba)
        if self.rule == _OWN_RULE:
            return quality, self._posterior.flag(true_proba, codes, right)
        return quality, self._rule.flag(codes, proba)


def _member_predictions(evidence) -> np.ndarray:
    """Class that each model predicts, None where it has no prediction."""
    best = [np.nan_to_num(part.pred_proba).argmax(axis=1) for part in evidence.parts]
    known = [part.mask for part in evidence.parts]
    codes = np.where(np.stack(known, axis=1), np.stack(best, axis=1), -1)
    return decode_labels(codes.ravel(), evidence.classes).reshape(codes.shape)


def _hidden(data, given, posterior, true_proba, right) -> np.ndarray:
    """Flagged labels, but of each class at most the worst half, so that it can be learned."""
    quality = label_proba(np.maximum(given, 0), right)
    flagged = posterior.flag(true_proba, given, quality) & data.used & (data.verified < 0)
    if not flagged.any():
        return flagged
    labels = np.where(data.used, data.y_train, -1)
    blocks = row_blocks(data.row_hashes, labels, data.groups, data.sample_weight)
    hidden = flagged.copy()
    for k in np.unique(given[flagged]):
        rows = data.used & (data.y_train == k)
        most = data.total_weight(rows) / 2
        if data.total_weight(rows & flagged) > most:
            weight = None if data.sample_weight is None else data.sample_weight[rows]
            hidden[rows & (quality > lower_threshold(quality[rows], most, weight))] = False
        if len(np.unique(blocks[rows & ~hidden])) < 2:
            hidden[rows] = False
    return hidden


def _joint(data, given, posterior, true_proba) -> np.ndarray:
    """Expected weight of rows by given label (rows) and true class (columns)."""
    rows = np.flatnonzero(data.used & (data.verified < 0) & (given >= 0))
    expected = posterior.model.posterior(true_proba[rows], given[rows])
    if data.sample_weight is not None:
        expected *= data.sample_weight[rows, None]
    n_classes = len(data.classes)
    joint = np.zeros((n_classes, n_classes))
    for k in range(n_classes):
        joint[k] = expected[given[rows] == k].sum(axis=0)
    # The expectation of single rows does not add up to the noise rate of all of them.
    total, right = joint.sum(axis=1), joint.diagonal().copy()
    wrong = total.sum() - right.sum()
    if wrong > 0:
        np.fill_diagonal(joint, 0)
        joint *= np.minimum(
            posterior.level.rate * total.sum() / wrong,
            total / np.maximum(joint.sum(axis=1), 1e-300),
        )[:, None]
        np.fill_diagonal(joint, total - joint.sum(axis=1))
    return joint
