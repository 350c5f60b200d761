"""Which rows of the class that stands for "none of these" belong to another class?"""

from numbers import Integral

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from skrobust.base import DetectionResult
from skrobust.base._labels import encode_labels_like
from skrobust.detection._corrections import add_corrections
from skrobust.detection._neighbor_detector import (
    DETECTOR_METRICS,
    DETECTOR_SCALES,
    find_neighborhood,
    judged_rows,
)
from skrobust.detection._neighbor_vote import contrast_rows
from skrobust.detection._proba_detector import ProbaDetector, most_probable
from skrobust.detection._rules import fit_rule
from skrobust.evidence._neighbor_index import ALGORITHMS
from skrobust.evidence._neighbor_votes import vote_shares
from skrobust.evidence._neighbors import select_neighbors
from skrobust.noise._confident_joint import class_weights
from skrobust.utils._random import draw_seed, private_random_state, set_missing_random_states
from skrobust.utils._rows import check_numeric, is_numeric, row_hashes
from skrobust.utils._sklearn import HasMethods, Interval, StrOptions, safe_indexing

_METRICS = tuple(sorted(set(DETECTOR_METRICS) - {"precomputed"}))
_ADVICE = (
    "Neighbours are found among numbers: pass a transformer, or an estimator that is a Pipeline"
    " whose first steps make numbers of X, or use ConfidentLearning, which needs no neighbours."
)
# By how much less positive labels are doubted than negative ones. Measured on five tables where a
# quarter of the positive rows became negative: with doubts of 1, .25 and 0, the flags have an F1 of
# .61, .77 and .83; and of .77, .88 and .61 where a tenth of the other labels were wrong as well.
_POSITIVE_DOUBT = 0.25
_MODES = ("auto", "intrinsic", "extrinsic")


class NegativeClassDetector(ProbaDetector):
    """Detect rows that were given the negative class because nobody saw what they are.

    Where one class stands for "none of these", annotators overlook members of the others, and
    most errors are false negatives. A negative row is doubted by two witnesses together: a
    classifier that has not seen its label, and its neighbours.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : classifier with ``predict_proba``, default=None
        Model that supplies probabilities, cloned; see :class:`ConfidentLearning`.
    negative_label : label, default=None
        The class that stands for none of the others. None is the most frequent one.
    mode : {"auto", "intrinsic", "extrinsic"}, default="auto"
        Which neighbours are asked:

        - "intrinsic": all rows. A negative row is flagged if it is besides among the nearest of
          a positive row that the classifier takes for negative, or is taken for positive;
        - "extrinsic": the rows whose label a person verified, some of them positive and some
          negative;
        - "auto": "extrinsic" if at least `n_neighbors` rows of either kind were verified.
    check_positives : bool, default=True
        Whether the labels of positive rows are judged as well, though with a quarter of the doubt:
        what the witnesses have against them is often but the negative class that took over. If
        not, their quality is NaN, and only negative rows are flagged.
    n_neighbors : int, default=None
        Number of distinct rows that vote. None is 30 for "intrinsic" and 5 for "extrinsic", or
        as many as there are.
    metric : {"auto", "cosine", "euclidean", "manhattan"}, default="auto"
        Distance between rows; see :class:`NeighborVote`.
    scale : {"auto", "rank", "standard"} or None, default="auto"
        What becomes of the columns first; see :class:`NeighborVote`.
    algorithm : {"auto", "exact", "approximate"}, default="auto"
        How to search for neighbours; see :class:`NeighborVote`.
    transformer : transformer, default=None
        What makes numbers of X, in which neighbours are found; cloned. None takes X as it is if
        it is a table of numbers, else all steps but the last of `estimator`, if that is a
        Pipeline.
    cv : int, splitter or iterable of (train, test), default=5
        Folds of the probabilities; see :class:`ConfidentLearning`.
    threshold : float or threshold object, default=None
        Flag the rows whose quality is below this, instead of by `mode`; or let an object
        choose, such as :class:`DecoyThreshold`.
    flag_fraction : float or dict, default=None
        Flag this share of the rows, those of the lowest quality, instead of by `mode`. A dict has
        such shares by label, of the rows given each, and no other class is flagged.
    max_flag_rate : float, default=0.8
        Warn when more than this share of a class is flagged. None never warns.
    store_estimators : bool, default=False
        Keep models and rows, for ``detect`` and ``score_labels``.
    n_jobs : int, default=None
        Number of folds, or of threads, at a time.
    random_state : int, RandomState instance or None, default=None
        Seed for models that have none of their own. None draws fresh entropy.

    Attributes
    ----------
    label_quality_ : ndarray of shape (n_samples,)
        How likely each label is right, in [0, 1]: the mean of both witnesses' probabilities for
        it, as a share of it and of the strongest other class, of which a quarter counts against
        a positive label. NaN where the label is missing, or
        is the only one of its class.
    label_errors_ : ndarray of shape (n_samples,) of bool
        Rows whose label is probably wrong.
    suggested_labels_ : ndarray of shape (n_samples,)
        The class that both witnesses together find most likely; in flagged rows, of the others.
        The verified label where there is one.
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
    transition_matrix_ : ndarray of shape (n_classes, n_classes)
        Estimated probability of each given label (columns) for each true class (rows).
    threshold_ : float or None
        The cut of ``label_quality_``; None for rules without a scalar cut.
    negative_label_ : label
        The negative class.
    mode_ : {"intrinsic", "extrinsic"}
        The mode as it was settled.
    n_neighbors_, metric_, scale_ : int, str, str or None
        The parameters as they were settled.
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
    NeighborVote : Judges by neighbours alone.
    ConfidentLearning : Judges by a classifier alone.

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

    # Verified rows vote here, and only labels of the classes looked at may be flagged.
    _calibrate = None

    _parameter_constraints: dict = {
        **ProbaDetector._parameter_constraints,
        "negative_label": "no_validation",
        "mode": [StrOptions(set(_MODES))],
        "check_positives": ["boolean"],
        "n_neighbors": [None, Interval(Integral, 1, None, closed="left")],
        "metric": [StrOptions(set(_METRICS))],
        "scale": [None, StrOptions(set(DETECTOR_SCALES))],
        "algorithm": [StrOptions(set(ALGORITHMS))],
        "transformer": [None, HasMethods(["fit", "transform"])],
    }

    def __init__(
        self,
        estimator=None,
        *,
        negative_label=None,
        mode="auto",
        check_positives=True,
        n_neighbors=None,
        metric="auto",
        scale="auto",
        algorithm="auto",
        transformer=None,
        cv=5,
        threshold=None,
        flag_fraction=None,
        max_flag_rate=0.8,
        store_estimators=False,
        n_jobs=None,
        random_state=None,
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

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = False
        return tags

    def _detect(self, data) -> DetectionResult:
        negative = self._find_negative(data)
        extrinsic = self._settle_mode(data, negative)
        random_state = private_random_state(self.random_state)
        embedded = self._embed(data, random_state)
        units, neighborhood = find_neighborhood(
            self,
            data,
            default=5 if extrinsic else 30,
            random_state=random_state,
            embedded=embedded,
            voters=data.verified >= 0 if extrinsic else None,
        )
        proba = self._gather(data).pred_proba.astype(np.float64, copy=False)
        graph = neighborhood.graph
        class_mass = units.class_mass(data)
        shares = units.per_row(vote_shares(graph, class_mass))
        judged = ~np.isnan(proba[:, 0]) & judged_rows(data, units, graph)
        proba[~judged] = 1 / len(data.classes)
        witness = (proba + shares) / 2
        vars(self).pop("_kept", None)
        if self.store_estimators:
            neighborhood.graph = None
            self._kept = neighborhood, class_mass, self._fitted_transformer
        del self._fitted_transformer
        given = np.where(judged, data.y, -1)

        def quality_of(codes):
            quality = self._weigh_doubts(codes, witness)
            return np.where(judged, quality, np.nan)

        quality = quality_of(data.y)
        errors = judged & (quality < 0.5)
        if not extrinsic:
            suspect = self._near_missed(data, units, graph, proba, negative)
            suspect |= most_probable(proba) != negative
            errors &= suspect | (data.y != negative)
        counted = np.where(data.used & (data.verified < 0), given, -1)
        joint = fit_rule("predicted_neq_given", counted, witness, weight=data.sample_weight)[0]
        joint = joint.joint if self.check_positives else _only_row(joint.joint, negative)
        order = np.argsort(-class_weights(counted, len(data.classes), data.sample_weight))
        result = DetectionResult(
            quality,
            errors,
            np.where(judged, most_probable(witness, order), data.y_train),
            np.where(judged, most_probable(witness, order, without=given), data.y_train),
            joint,
            0.5 if extrinsic else None,
            quality_of,
        )
        return add_corrections(result, data, given, witness, order)

    def _find_negative(self, data) -> int:
        """Work out the code of the negative class."""
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
            mass = np.bincount(data.y[rows], weights=weight, minlength=len(data.classes))
            most = np.flatnonzero(mass >= mass.max() * (1 - 1e-9))
            code = most[0]
            if len(most) > 1:
                # Of equally frequent classes, not the one whose name comes first.
                hashes = row_hashes(data.X)
                code = min(most, key=lambda k: hashes[rows & (data.y == k)].min())
        self.negative_label_ = data.classes.tolist()[code]
        self._negative = int(code)
        return int(code)

    def _settle_mode(self, data, negative) -> bool:
        """Say whether only verified rows vote, and refuse where there are too few."""
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
        """Make numbers of X, if it is none; None if it is."""
        self._fitted_transformer = None
        transformer = self.transformer
        if transformer is None:
            if is_numeric(data.X):
                return None
            if not isinstance(self.estimator, Pipeline) or len(self.estimator.steps) < 2:
                check_numeric(data.X, _ADVICE)
            transformer = self.estimator[:-1]
        transformer = clone(transformer)
        if random_state is not None:
            set_missing_random_states(transformer, np.random.RandomState(draw_seed(random_state)))
        rows = np.flatnonzero(data.used)
        y = data.classes[data.y_train[rows]]
        self._fitted_transformer = transformer.fit(safe_indexing(data.X, rows), y)
        return transformer.transform(data.X)

    def _near_missed(self, data, units, graph, proba, negative) -> np.ndarray:
        """Find the negative rows near positive ones that the classifier takes for negative."""
        missed = data.used & (data.y_train >= 0) & (data.y_train != negative)
        missed &= most_probable(proba) == negative
        near = np.zeros(len(units.first), dtype=bool)
        asked = np.unique(units.of_row[missed])
        nearest = select_neighbors(graph, np.ones(graph.shape[1], dtype=bool), 5)
        near[nearest[asked].indices] = True
        return near[units.of_row]

    def _detect_new(self, X, codes):
        if not hasattr(self, "_kept"):
            raise AttributeError(
                "The models that judge new rows were not kept: fit with store_estimators=True."
            )
        neighborhood, class_mass, transformer = self._kept
        proba = self._predict_mean(X)
        embedded = X if transformer is None else transformer.transform(X)
        witness = (proba + vote_shares(neighborhood.query(embedded), class_mass)) / 2
        quality = self._weigh_doubts(codes, witness)
        return quality, quality < 0.5

    def _weigh_doubts(self, codes, witness) -> np.ndarray:
        """Score labels by what both witnesses say, positive ones with the benefit of doubt."""
        quality = contrast_rows(np.maximum(codes, 0), witness)
        benefit = quality / (quality + _POSITIVE_DOUBT * (1 - quality))
        if not self.check_positives:
            benefit = np.full(len(codes), np.nan)
        return np.where(codes == self._negative, quality, benefit)


def _only_row(joint: np.ndarray, row: int) -> np.ndarray:
    """Take all rows of a joint but one for right."""
    right = np.diag(joint.sum(axis=1))
    right[row] = joint[row]
    return right
