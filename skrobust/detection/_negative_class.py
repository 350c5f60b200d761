"""False negatives: rows labelled as the class that means "none of these" by oversight."""

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

from skrobust.base import DetectionResult, LabelQualityThreshold
from skrobust.base._labels import encode_labels_like
from skrobust.detection._detect_from import (
    ProbaDetector,
    complete_result,
    given_labels,
    most_probable,
)
from skrobust.detection._rules import fit_rule
from skrobust.detection._scores import score_labels
from skrobust.evidence import Evidence, Neighbors
from skrobust.evidence._neighbor_evidence import METRIC_OPTIONS, SCALE_OPTIONS
from skrobust.evidence._neighbors import ALGORITHMS, select_neighbors
from skrobust.noise._confident_joint import class_weights
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._input import check_numeric, is_numeric
from skrobust.utils._random import draw_seed, private_random_state, set_missing_random_states
from skrobust.utils._sklearn import HasMethods, Interval, StrOptions, Tags, safe_indexing
from skrobust.utils._typing import CrossValidation

_METRICS = tuple(sorted(set(METRIC_OPTIONS) - {"precomputed"}))
_ADVICE = (
    "Neighbours are found among numbers: pass a transformer, or an estimator that is a Pipeline"
    " whose first steps make numbers of X, or use ConfidentLearning, which needs no neighbours."
)
# Factor of the doubt in positive labels. Measured on five tables where a quarter of the positive
# rows became negative: with factors of 1, .25 and 0, the flags have an F1 of .61, .77 and .83; and
# of .77, .88 and .61 where a tenth of the other labels were wrong as well.
_POSITIVE_DOUBT = 0.25
_MODES = ("auto", "intrinsic", "extrinsic")


@fill_docstring
class NegativeClassDetector(ProbaDetector):
    """False-negative detector for data sets where one class means "none of these".

    Annotators overlook members of the other classes, so that most errors are false negatives. A
    negative row is scored by the mean of two predictions: of a classifier that was not trained on
    its label, and of its neighbours.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : classifier with ``predict_proba``, default=None
        Model that supplies probabilities, cloned; see :class:`ConfidentLearning`.
    negative_label : label, default=None
        The class that means none of the others. None is the most frequent one.
    mode : {"auto", "intrinsic", "extrinsic"}, default="auto"
        Which neighbours vote:

        - "intrinsic": all rows. A negative row is flagged only if it also is among the nearest of
          a positive row that the classifier predicts as negative, or is predicted as positive;
        - "extrinsic": the rows with a verified label, some of them positive and some negative;
        - "auto": "extrinsic" if at least `n_neighbors` rows of either kind were verified.
    check_positives : bool, default=True
        Whether the labels of positive rows are scored as well, though with a quarter of the doubt:
        the evidence against them is often the bias towards the negative class. If
        not, their quality is NaN, and only negative rows are flagged.
    n_neighbors : int, default=None
        Number of distinct rows that vote. None is 30 for "intrinsic" and 5 for "extrinsic", or
        as many as there are.
    metric : {"auto", "cosine", "euclidean", "manhattan"}, default="auto"
        Distance between rows; see :class:`NeighborVote`.
    scale : {"auto", "rank", "standard"} or None, default="auto"
        How columns are scaled first; see :class:`NeighborVote`.
    algorithm : {"auto", "exact", "approximate"}, default="auto"
        How to search for neighbours; see :class:`NeighborVote`.
    transformer : transformer, default=None
        Makes the numbers of X in which neighbours are found; cloned. None takes X as it is if
        it is a numeric feature matrix, else all steps but the last of `estimator`, if that is a
        Pipeline.
    %(cv)s
    %(how_many)s
    store_estimators : bool, default=False
        Whether to keep models and rows, which ``detect`` and ``score_labels`` need.
    %(n_jobs)s
    %(random_state)s

    Attributes
    ----------
    label_quality_ : ndarray of shape (n_samples,)
        How likely each label is right, in [0, 1]: its mean probability by classifier and
        neighbours, as a share of it and of the strongest other class, of which a quarter counts
        against a positive label. NaN where the label is missing, or is the only one of its class.
    %(label_errors_)s
    suggested_labels_ : ndarray of shape (n_samples,)
        The class with the highest mean probability; in flagged rows, of the others.
        The verified label where there is one.
    %(detected)s
    %(transition_matrix_)s
    negative_label_ : label
        The negative class.
    mode_ : {"intrinsic", "extrinsic"}
        The mode, with "auto" resolved.
    n_neighbors_, metric_, scale_ : int, str, str or None
        The parameters, with defaults resolved.
    estimators_ : list of classifiers
        Fitted models, if ``store_estimators=True``.

    See Also
    --------
    NeighborVote : Scores by neighbours alone.
    ConfidentLearning : Scores by a classifier alone.

    References
    ----------
    Parekh, Anand and Awekar (2023). Noise in relation classification dataset TACRED:
    characterization and reduction. arXiv 2311.12298.

    Stoica, Platanios and Poczos (2021). Re-TACRED: addressing shortcomings of the TACRED dataset.
    AAAI.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skrobust.detection import NegativeClassDetector
    >>> X, y = load_iris(return_X_y=True)
    >>> y[50:60] = 0  # overlooked
    >>> detector = NegativeClassDetector(negative_label=0, random_state=0).fit(X, y)
    >>> bool(detector.label_errors_[50:60].all())
    True
    """

    # Verified rows vote here, and only labels of the scored classes may be flagged.
    _calibrate = None

    _parameter_constraints: dict = {
        **ProbaDetector._parameter_constraints,
        "negative_label": "no_validation",
        "mode": [StrOptions(set(_MODES))],
        "check_positives": ["boolean"],
        "n_neighbors": [None, Interval(Integral, 1, None, closed="left")],
        "metric": [StrOptions(set(_METRICS))],
        "scale": [None, StrOptions(set(SCALE_OPTIONS))],
        "algorithm": [StrOptions(set(ALGORITHMS))],
        "transformer": [None, HasMethods(["fit", "transform"])],
    }

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        *,
        negative_label: Any = None,
        mode: str = "auto",
        check_positives: bool = True,
        n_neighbors: int | None = None,
        metric: str = "auto",
        scale: str | None = "auto",
        algorithm: str = "auto",
        transformer: BaseEstimator | None = None,
        cv: CrossValidation = 5,
        threshold: float | LabelQualityThreshold | None = None,
        flag_fraction: float | dict[Any, float] | None = None,
        max_flag_rate: float | None = 0.8,
        store_estimators: bool = False,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.estimator = estimator
        self.negative_label = negative_label
        self.mode = mode
        self.check_positives = check_positives
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.scale = scale
        self.algorithm = algorithm
        self.transformer = transformer
        self.cv = cv
        self.threshold = threshold
        self.flag_fraction = flag_fraction
        self.max_flag_rate = max_flag_rate
        self.store_estimators = store_estimators
        self.n_jobs = n_jobs
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = False
        return tags

    def _detect(self, data) -> DetectionResult:
        negative = self._find_negative(data)
        extrinsic = self._resolve_mode(data, negative)
        random_state = private_random_state(self.random_state)
        embedded, transformer = self._embed(data, random_state)
        source = Neighbors(
            self.n_neighbors,
            self.metric,
            self.scale,
            self.algorithm,
            n_jobs=self.n_jobs,
            random_state=random_state,
        )
        neighborhood = source.search(
            data,
            default=5 if extrinsic else 30,
            embedded=embedded,
            voters=data.verified >= 0 if extrinsic else None,
        )
        self.n_neighbors_: int = neighborhood.n_neighbors
        self.metric_: str = neighborhood.metric
        self.scale_: str | None = neighborhood.scale
        model = self.collect_evidence(data)
        votes = source.collect(data, neighborhood)
        self._store(model, votes)
        self._transformer = transformer if self.store_estimators else None
        mask = model.mask & votes.mask
        mean = (model.filled.astype(np.float64, copy=False) + votes.filled) / 2
        evidence = Evidence(np.where(mask[:, None], mean, np.nan), data.classes)

        def quality_of(codes):
            return np.where(mask, self._score(codes, evidence.filled), np.nan)

        errors = mask & (quality_of(data.y) < 0.5)
        if not extrinsic:
            predicted = most_probable(np.where(mask[:, None], model.filled, 1 / len(data.classes)))
            suspect = self._near_missed(data, neighborhood, predicted, negative)
            errors &= suspect | (predicted != negative) | (data.y != negative)
        counted = np.where(data.used & (data.verified < 0), given_labels(data, evidence), -1)
        rule, _ = fit_rule(
            "predicted_neq_given", counted, evidence.filled, weight=data.sample_weight
        )
        joint = rule.weighted_joint
        return complete_result(
            data,
            evidence,
            np.argsort(-class_weights(counted, len(data.classes), data.sample_weight)),
            quality_of,
            errors,
            joint=joint if self.check_positives else _only_row(joint, negative),
            threshold=0.5 if extrinsic else None,
        )

    def _find_negative(self, data) -> int:
        """Code of the negative class."""
        if self.negative_label is not None:
            try:
                code = encode_labels_like([self.negative_label], data.classes, name="y")[0]
            except (TypeError, ValueError):
                code = -1
            if code < 0:
                raise ValueError(
                    f"negative_label={self.negative_label!r} is none of the classes:"
                    f" {', '.join(map(repr, data.classes.tolist()[:10]))}."
                )
        else:
            rows = data.used & (data.y >= 0)
            weight = None if data.sample_weight is None else data.sample_weight[rows]
            total = np.bincount(data.y[rows], weights=weight, minlength=len(data.classes))
            most = np.flatnonzero(total >= total.max() * (1 - 1e-9))
            code = most[0]
            if len(most) > 1:
                # Of equally frequent classes, not the one whose name comes first.
                hashes = data.row_hashes
                code = min(most, key=lambda k: hashes[rows & (data.y == k)].min())
        self.negative_label_: Any = data.classes.tolist()[code]
        self._negative = int(code)
        return int(code)

    def _resolve_mode(self, data, negative) -> bool:
        """Whether only verified rows vote, of which there must be enough."""
        verified = data.verified[data.used & (data.verified >= 0)]
        fewest = min(np.sum(verified == negative), np.sum(verified != negative))
        if self.mode == "extrinsic" and fewest == 0:
            kind = "negative" if np.sum(verified == negative) == 0 else "positive"
            raise ValueError(
                f'mode="extrinsic" needs verified labels of both kinds, and none is {kind}: pass'
                ' verified_labels, or mode="intrinsic".'
            )
        wanted = 5 if self.n_neighbors is None else self.n_neighbors
        extrinsic = self.mode == "extrinsic" or (self.mode == "auto" and fewest >= wanted)
        self.mode_ = "extrinsic" if extrinsic else "intrinsic"
        return extrinsic

    def _embed(self, data, random_state):
        """Numbers in which neighbours are found and the fitted transformer; None for X itself."""
        transformer = self.transformer
        if transformer is None:
            if is_numeric(data.X):
                return None, None
            if not isinstance(self.estimator, Pipeline) or len(self.estimator.steps) < 2:
                check_numeric(data.X, _ADVICE)
            transformer = self.estimator[:-1]
        transformer = clone(transformer)
        set_missing_random_states(transformer, np.random.RandomState(draw_seed(random_state)))
        rows = np.flatnonzero(data.used)
        transformer.fit(safe_indexing(data.X, rows), data.classes[data.y_train[rows]])
        return transformer.transform(data.X), transformer

    def _near_missed(self, data, neighborhood, predicted, negative) -> np.ndarray:
        """Rows near positive ones that the classifier predicts as negative."""
        unique, graph = neighborhood.unique, neighborhood.graph
        missed = data.used & (data.y_train >= 0) & (data.y_train != negative)
        missed &= predicted == negative
        near = np.zeros(len(unique.first), dtype=bool)
        nearest = select_neighbors(graph, np.ones(graph.shape[1], dtype=bool), 5)
        near[nearest[np.unique(unique.of_row[missed])].indices] = True
        return near[unique.of_row]

    def _detect_new(self, X, codes):
        model, votes = self._stored_evidence()
        embedded = X if self._transformer is None else self._transformer.transform(X)
        quality = self._score(codes, (model.predict(X) + votes.predict(embedded)) / 2)
        return quality, quality < 0.5

    def _score(self, codes, pred_proba) -> np.ndarray:
        """Contrast of labels with the strongest other class, of which less counts if positive."""
        quality = score_labels("contrast", np.maximum(codes, 0), pred_proba)
        positive = quality / (quality + _POSITIVE_DOUBT * (1 - quality))
        if not self.check_positives:
            positive = np.full(len(codes), np.nan)
        return np.where(codes == self._negative, quality, positive)


def _only_row(joint: np.ndarray, row: int) -> np.ndarray:
    """Take all rows of a joint but one for right."""
    right = np.diag(joint.sum(axis=1))
    right[row] = joint[row]
    return right
