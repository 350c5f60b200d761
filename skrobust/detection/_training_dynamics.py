"""Training dynamics: labels that a model learns late, or never."""

import dataclasses
import itertools
from numbers import Integral
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.utils import assert_all_finite

from skrobust.base import DetectionResult, LabelQualityThreshold
from skrobust.base._label_estimator import LabelTags
from skrobust.base._labelled_data import with_mean_weight_one
from skrobust.detection._detect_from import (
    ProbaDetector,
    complete_result,
    given_labels,
    most_probable,
)
from skrobust.evidence import Stages, staged_proba
from skrobust.evidence._folds import row_ids
from skrobust.evidence._out_of_fold import route_fit
from skrobust.evidence._staged import has_stages
from skrobust.evidence._stages import StageRecorder, norms_of
from skrobust.evidence._training_record import check_has_stages, is_stochastic
from skrobust.noise._confident_joint import mean_self_confidence
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._input import as_numbers, check_numeric
from skrobust.utils._random import private_random_state
from skrobust.utils._sklearn import Interval, StrOptions
from skrobust.utils._typing import CrossValidation
from skrobust.utils._weights import threshold_above_lowest

STATISTICS = ("aum", "aum_logits", "el2n", "grand", "forgetting", "mean_loss", "oscillation")
RULES = ("negative_margin", "fake_class")
# Share of the rows with an artificial label that lie below the threshold of "fake_class".
_FAKE_SHARE = 0.9
_STAGES, _SLOW_STAGES = 15, 45
# Statistics that are negative where another class has the higher probability.
_MARGINS = ("aum", "aum_logits")


@fill_docstring
class TrainingDynamics(ProbaDetector):
    """Training dynamics, a detector of label errors by how a model learns them.

    A model that is trained stage by stage learns what rows have in common first and the
    exceptions later: the label of a row that early stages contradict is suspicious. Statistics of
    each row are added up while the model trains; no history is kept.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : classifier, default=None
        Model whose training is recorded, cloned. None is histogram gradient boosting of small
        trees, for numeric feature matrices. Others are

        - those that :func:`~skrobust.evidence.staged_proba` knows: boosting, bags and forests,
          and classes registered there;
        - learners with ``partial_fit`` and ``predict_proba``, such as
          ``SGDClassifier(loss="log_loss")`` and ``MLPClassifier``: one pass over all rows is one
          stage;
        - a Pipeline that ends with one of these: its transformers are fitted once.
    statistic : {"aum", "aum_logits", "el2n", "grand", "forgetting", "mean_loss", "oscillation"}, \
            default="aum"
        Statistic that yields ``label_quality_``, with p the probabilities of a row after a stage:

        - "aum": the area under the margin, the mean of p[y] - max of the other p, which is
          mapped from [-1, 1] to [0, 1];
        - "aum_logits": the same of logits, as it was published: the mean of log p[y] - max of the
          other log p, which for a softmax or a logistic function is the difference of the logits,
          mapped by a logistic function. Late stages count for more than with probabilities;
        - "el2n": the mean length of the error p - onehot(y), of at most ``sqrt(2)``;
        - "grand": the mean length of the gradient with respect to the last layer, which is that
          error times the length of its input. Needs a linear last layer;
        - "forgetting": how often a label was predicted after one stage and not after the next;
          infinite for a label that never was. The mean of p[y] breaks ties;
        - "mean_loss": the mean of -log p[y];
        - "oscillation": the mean divergence of p from that of the previous stage. It finds
          unstable rows, whatever their labels.
    rule : {"negative_margin", "fake_class"}, default="negative_margin"
        Which rows are flagged:

        - "negative_margin": those whose area under the margin is negative, so that another class
          has the higher probability on average over the stages;
        - "fake_class": those of lower quality than nine tenths of some rows that are given the
          label of an artificial class, which no model can learn. Needs a second training. Better
          where few labels are wrong, worse where many are.
    n_stages : int, default=None
        Number of stages that are recorded, the first ones. A learner with ``partial_fit`` makes so
        many passes, of which the first ones and then ever fewer are recorded. None is 15 passes, or
        the stages of a model that keeps them, as boosting and forests do. Late stages memorise
        single rows, so that margins rise for wrong labels too: except for the default model,
        which learns slowly, the first 15 stages determine how many labels the rule
        "negative_margin" flags, and without `cv` none is recorded after the model contradicts only
        half as many labels.
    n_repeats : int, default=1
        Number of trainings with different seeds of which the mean is taken. A model that depends on
        no seed, or has its own, gains nothing from more than one.
    cv : int, splitter, iterable of (train, test) or None, default=None
        None records how a model learns the very rows that it scores, in a single training. With
        folds, each row is scored by the stages of models that do not train on it, which costs one
        training per fold. Where `groups` are given to ``fit``, None is 5 folds of whole groups,
        since otherwise rows of a group would affect one another's scores.
    %(how_many)s
    store_estimators : bool, default=False
        Whether to keep the fitted models, which ``detect`` and ``score_labels`` need. New rows are
        scored by the stages of a model that keeps them, and by the trained model where it does not.
    %(n_jobs)s
    %(random_state)s

    Attributes
    ----------
    %(label_quality_)s
    %(label_errors_)s
    dynamics_ : dict of str to ndarray of shape (n_samples,)
        All statistics: "aum", "aum_logits", "el2n", "forgetting", "mean_loss", "oscillation",
        "grand" where it is asked for, and those of a data map: "confidence" and "variability", the
        mean and the standard deviation of p[y].
    suggested_labels_ : ndarray of shape (n_samples,)
        The label that is most probable on average over the stages: mostly the given one, but
        another one in every flagged row. The verified label where there is one.
    %(detected)s
    %(transition_matrix_)s
    %(estimators_)s

    See Also
    --------
    ConfidentLearning : Scores by the end of a training, on rows that had no part in it.
    skrobust.evidence.staged_proba : The stages of a fitted model.

    Notes
    -----
    Rows come to the model in an order that depends on their content, and equal rows with equal
    labels as one of their summed weight wherever it takes weights. In a single training, where a
    heavy row would get its own label learned, the weight of each class is spread evenly
    over its distinct rows.

    References
    ----------
    Pleiss, Zhang, Elenberg and Weinberger (2020). Identifying mislabeled data using the area
    under the margin ranking. NeurIPS.

    Paul, Ganguli and Dziugaite (2021). Deep learning on a data diet: finding important examples
    early in training. NeurIPS.

    Toneva, Sordoni, Tachet des Combes, Trischler, Bengio and Gordon (2019). An empirical study of
    example forgetting during deep neural network learning. ICLR.

    Swayamdipta, Schwartz, Lourie, Wang, Hajishirzi, Smith and Choi (2020). Dataset cartography:
    mapping and diagnosing datasets with training dynamics. EMNLP.

    Duan, Gu, Ying, Qi, Meng and Shi (2024). PC2: pseudo-classification based pseudo-captioning
    for noisy correspondence learning in cross-modal retrieval. ACM Multimedia.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skrobust.detection import TrainingDynamics
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> X, y = load_iris(return_X_y=True)
    >>> y_noisy, flipped = flip_labels(y, symmetric_transition(3, 0.2), random_state=0)
    >>> detector = TrainingDynamics(random_state=0).fit(X, y_noisy)
    >>> bool((detector.label_errors_ & flipped).sum() > 0.8 * flipped.sum())
    True
    >>> sorted(detector.dynamics_)[:3]
    ['aum', 'aum_logits', 'confidence']
    """

    _parameter_constraints: dict = {
        **ProbaDetector._parameter_constraints,
        "statistic": [StrOptions(set(STATISTICS))],
        "rule": [StrOptions(set(RULES))],
        "n_stages": [None, Interval(Integral, 1, None, closed="left")],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        *,
        statistic: str = "aum",
        rule: str = "negative_margin",
        n_stages: int | None = None,
        n_repeats: int = 1,
        cv: CrossValidation = None,
        threshold: float | LabelQualityThreshold | None = None,
        flag_fraction: float | dict[Any, float] | None = None,
        max_flag_rate: float | None = 0.8,
        store_estimators: bool = False,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.estimator = estimator
        self.statistic = statistic
        self.rule = rule
        self.n_stages = n_stages
        self.n_repeats = n_repeats
        self.cv = cv
        self.threshold = threshold
        self.flag_fraction = flag_fraction
        self.max_flag_rate = max_flag_rate
        self.store_estimators = store_estimators
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _get_estimator(self):
        """Model whose training is recorded."""
        if self.estimator is None:
            return _default_model(self.n_stages or _SLOW_STAGES)
        return self.estimator

    def _n_stages(self) -> int | None:
        """Number of stages to record; None is all."""
        if self.n_stages is not None:
            return self.n_stages
        if self.estimator is None:
            return _SLOW_STAGES
        return None if has_stages(self.estimator) else _STAGES

    def _n_early(self) -> int | None:
        """Number of stages that determine how many labels to flag; None is all."""
        return _STAGES if self._n_stages() is None else None

    def __sklearn_tags__(self) -> LabelTags:
        tags = super().__sklearn_tags__()
        # Otherwise chance, or the order of classes, affects the training.
        tags.exact_outputs = self.estimator is None or not is_stochastic(self.estimator)
        tags.scores_in_sample = self.cv is None
        return tags

    def _detect(self, data) -> DetectionResult:
        random_state = private_random_state(self.random_state)
        source = self._source(data, random_state)
        evidence = source.collect(with_mean_weight_one(data) if self.estimator is None else data)
        self._store(evidence)
        self._n_classes = len(data.classes)
        values = dict(evidence.statistics)
        weight = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight
        if "norms" in values:
            norms = values.pop("norms")
            known = ~np.isnan(norms)
            used = data.used if data.sample_weight is None else weight
            self._scale = float(np.average(norms[known], weights=used[known]))
        early = values.pop("early_aum", values["aum"])
        self._n_recorded = self._n_stages()
        if "n_stages" in values:
            self._n_recorded = round(np.nanmean(values.pop("n_stages")))
        hidden = ~evidence.mask | (data.y < 0)
        self.dynamics_: dict[str, np.ndarray] = {
            name: np.where(hidden, np.nan, v) for name, v in values.items()
        }
        quality = self._quality(self.dynamics_)
        given, proba = given_labels(data, evidence), evidence.filled
        own = mean_self_confidence(np.where(data.used, given, -1), proba, data.sample_weight)
        order = np.argsort(own, kind="stable")
        early = np.where(hidden, np.nan, early)
        errors = self._flag_rows(data, source, quality, early, random_state)
        best = np.where(errors, most_probable(proba, order, without=given), given)
        counted = data.used & (given >= 0) & (data.verified < 0)
        joint = np.zeros((len(data.classes), len(data.classes)))
        np.add.at(joint, (given[counted], best[counted]), weight[counted])
        result = complete_result(
            data,
            evidence,
            order,
            lambda _: quality,
            errors,
            joint=joint if joint.any() else None,
            threshold=self._own_threshold,
            features=self._features(),
            quality_of=None,  # the model has learned from the label
            right_proba=None,
        )
        # Stages that learned from the row itself favour its label: flags are the better count.
        level = result.level
        rate = float(weight[errors & counted].sum() / max(weight[counted].sum(), 1e-300))
        level = dataclasses.replace(level, rate=float(np.clip(rate, level.low, level.high)))
        return dataclasses.replace(result, level=level)

    def _source(self, data, random_state) -> Stages:
        """Producer of the statistics."""
        if self.estimator is None:
            check_numeric(
                data.X,
                f"{type(self).__name__} without an estimator trains a boosting model, which needs"
                " a numeric array. Pass a Pipeline that encodes X and ends with a model that"
                " has stages, or use ConfidentLearning with any classifier that takes X as it is.",
            )
            if not hasattr(data.X, "tocsr"):
                # The model itself would take infinite numbers for large ones.
                assert_all_finite(as_numbers(data.X, np.float64), allow_nan=True, input_name="X")
            routed = {}
        else:
            check_has_stages(self.estimator)
            routed = route_fit(self, self.estimator, data)
        return Stages(
            self._get_estimator(),
            self._n_stages(),
            self.cv,
            n_repeats=self.n_repeats,
            n_early=self._n_early(),
            with_norms=self.statistic == "grand",
            order_classes=self.estimator is None,
            n_jobs=self.n_jobs,
            random_state=random_state,
            **routed,
        )

    def _quality(self, statistics) -> np.ndarray:
        """Quality of labels by the statistic that was asked for."""
        if self.statistic not in statistics:
            raise ValueError(
                f"statistic={self.statistic!r} was not recorded by the model; there are"
                f" {', '.join(sorted(statistics))}."
            )
        scale = self._scale if self.statistic == "grand" else 1.0
        confidence = statistics.get("confidence", 1.0)
        return quality_from(self.statistic, statistics[self.statistic], scale, confidence)

    def _features(self) -> np.ndarray:
        """All statistics, for calibration on verified labels."""
        columns = [
            quality_from(name, values) if name in STATISTICS else values
            for name, values in sorted(self.dynamics_.items())
            if name != "grand"
        ]
        return np.nan_to_num(np.column_stack(columns), nan=0.5)

    def _flag_rows(self, data, source, quality, early, random_state) -> np.ndarray:
        """Flag rows by `rule`, and set the threshold of the quality if there is one."""
        is_margin = self.statistic in _MARGINS
        self._own_threshold = 0.5 if is_margin else None
        if self.rule == "negative_margin":
            if is_margin and not np.array_equal(early, self.dynamics_["aum"], equal_nan=True):
                self._own_threshold = _as_many_as(data, quality, early < 0)
            return quality < self._own_threshold if is_margin else early < 0
        fake = self._draw_fake(data, random_state)
        if not fake.any():
            self._own_threshold = 0.0
            return np.zeros(data.n_samples, dtype=bool)
        with_fake = dataclasses.replace(
            data,
            y=np.where(fake, self._n_classes, data.y_train),
            classes=np.arange(self._n_classes + 1),
            verified=np.full(data.n_samples, -1),
        )
        statistics = source.collect(with_fake).statistics
        fake &= ~np.isnan(statistics["aum"])
        weight = np.ones(fake.sum()) if data.sample_weight is None else data.sample_weight[fake]
        share = _FAKE_SHARE * weight.sum()
        self._own_threshold = threshold_above_lowest(self._quality(statistics)[fake], share, weight)
        return quality < self._own_threshold

    def _draw_fake(self, data, random_state) -> np.ndarray:
        """Draw rows that are given the label of an artificial class."""
        # Equal rows are drawn together, and rows that are not learned from take no part.
        used = np.flatnonzero(data.used)
        trained = np.where(data.used, data.y_train, -1)
        ids = row_ids(data.row_hashes, trained, data.sample_weight)
        block = np.unique(ids[used], return_inverse=True)[1]
        n_blocks = block.max() + 1
        n_fake = max(1, n_blocks // (self._n_classes + 1))
        fake = np.zeros(data.n_samples, dtype=bool)
        fake[used] = np.isin(block, random_state.permutation(n_blocks)[:n_fake])
        fake &= data.verified < 0
        # The other rows must still have all classes, or the model would know fewer.
        for k in range(self._n_classes):
            if not (data.used & ~fake & (data.y_train == k)).any():
                fake &= data.y_train != k
        return fake

    def _detect_new(self, X, codes):
        models, total = self._stored_evidence()[0].models, {}
        with_norms = self.statistic == "grand"
        for model in models:
            recorder = StageRecorder(
                X, codes, self.classes_, wants_norms=with_norms, n_early=self._n_early()
            )
            if has_stages(model):
                for proba in itertools.islice(staged_proba(model, X), self._n_recorded):
                    recorder.add(proba, model.classes_)
            else:
                norms = norms_of(model, X) if with_norms else None
                recorder.add(model.predict_proba(X), model.classes_, norms=norms)
            for name, values in recorder.result().items():
                total[name] = total.get(name, 0.0) + values / len(models)
        quality = self._quality(total)
        if self._own_threshold is not None:
            return quality, quality < self._own_threshold
        return quality, total.get("early_aum", total["aum"]) < 0


def quality_from(
    statistic: str, values: np.ndarray, scale: float = 1.0, confidence=1.0
) -> np.ndarray:
    """Map a statistic of labels to a quality in [0, 1], by a fixed monotone function."""
    if statistic == "aum":
        quality = (values + 1) / 2
    elif statistic == "aum_logits":
        quality = expit(values)
    elif statistic == "el2n":
        quality = 1 - values / np.sqrt(2)
    elif statistic == "grand":  # relative to the typical length of the input
        quality = 1 / (1 + values / scale)
    elif statistic == "forgetting":  # the mean probability of the label breaks ties
        quality = 1 / (2 + values - confidence)
    else:
        quality = np.exp(-values)
    return np.clip(quality, 0.0, 1.0)


def _as_many_as(data, quality, flagged) -> float:
    """Threshold of the quality below which no more total weight lies than is flagged."""
    counted = data.used & ~np.isnan(quality) & (data.verified < 0)
    weight = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight
    return threshold_above_lowest(
        quality[counted], weight[counted & flagged].sum(), weight[counted]
    )


def _default_model(n_stages: int) -> HistGradientBoostingClassifier:
    """Make boosting of small trees with a third of the features at each split."""
    # It memorises single rows late. On six tables with synthetic errors it ranks errors better than
    # trees of 31 leaves, and recorded on the rows that it trains on better than on others.
    return HistGradientBoostingClassifier(
        max_iter=n_stages, max_leaf_nodes=8, max_features=0.3, early_stopping=False
    )
