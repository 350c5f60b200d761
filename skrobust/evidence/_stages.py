"""Statistics of training stages: which labels a model learns late, or never."""

import copy
import dataclasses
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

from skrobust.base import LabelledData
from skrobust.evidence._evidence import Evidence, align_columns
from skrobust.evidence._folds import lone_class_rows, make_folds, row_ids
from skrobust.evidence._recorded_fits import TrainingRows, record_folds
from skrobust.evidence._training_record import last_layer_norms, record_training
from skrobust.utils._parallel import row_blocks
from skrobust.utils._random import private_random_state, set_missing_random_states
from skrobust.utils._typing import CrossValidation

_LEAST_PROBA = 1e-12
# Average precision of boosting with 31 leaves on four tables, 20 % symmetric and 30 % pair noise:
# all 60 stages .898 and .752; the first 15 .893 and .794; until .75, .5 or .35 of the early errors
# are left .912 and .802, .912 and .795, .912 and .789. Boosting that learns more slowly loses up
# to .02 with .75, and .001 with .5.
_MEMORISED = 0.5
_SUMS = ("margin", "logits", "el2n", "loss", "grand", "mean", "squares", "moved", "forgotten")


@dataclasses.dataclass(frozen=True, eq=False)
class Stages:
    """Producer of statistics of the stages of a training.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : classifier
        Model whose training is recorded, cloned: one that :func:`staged_proba` knows, a learner
        with ``partial_fit`` and ``predict_proba``, or a Pipeline that ends with one of these.
    n_stages : int, default=None
        Number of stages that are recorded, the first ones. None is all stages, or 20 passes.
    cv : int, splitter, iterable of (train, test) or None, default=None
        None records how a model learns the very rows that it predicts, in a single training, and
        5 folds of whole groups where the data have groups.
    n_repeats : int, default=1
        Number of trainings with different seeds, of which the mean is taken.
    n_early : int, default=None
        If given, the area under the margin of so many stages, the first ones, is recorded as
        "early_aum", and without `cv` no stage is recorded after half of the labels that these
        contradict are memorised.
    with_norms : bool, default=False
        Whether the length of the input of the last layer is recorded, for "grand".
    order_classes : bool, default=False
        Whether classes are numbered by their first appearance among the training rows, so that
        their names do not change what a stochastic model learns.
    fit_params : dict, default=None
        More keywords for ``fit``; arrays with an entry per row are indexed.
    weighted : bool, default=True
        Whether the weights of the data are passed to ``fit``.
    n_jobs : int, default=None
        Number of folds at a time.
    random_state : int, RandomState instance or None, default=None
        Seed for parts of the estimator that have none. None draws fresh entropy.

    See Also
    --------
    staged_proba : The stages of a fitted model.
    skrobust.detection.TrainingDynamics : Detector by these statistics.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import GradientBoostingClassifier
    >>> from skrobust.base import LabelledData
    >>> from skrobust.evidence import Stages
    >>> X, y = load_iris(return_X_y=True)
    >>> stages = Stages(GradientBoostingClassifier(n_estimators=5), random_state=0)
    >>> sorted(stages.collect(LabelledData.from_arrays(X, y)).statistics)[:3]
    ['aum', 'aum_logits', 'confidence']
    """

    estimator: BaseEstimator
    n_stages: int | None = None
    cv: CrossValidation = None
    _: dataclasses.KW_ONLY
    n_repeats: int = 1
    n_early: int | None = None
    with_norms: bool = False
    order_classes: bool = False
    fit_params: dict[str, Any] | None = None
    weighted: bool = True
    n_jobs: int | None = None
    random_state: int | np.random.RandomState | None = None

    def collect(self, data: LabelledData) -> Evidence:
        """Train models, and record what each stage predicts.

        Parameters
        ----------
        data : LabelledData
            Rows. Models learn from verified labels where there are any, else from given ones;
            statistics are those of the given labels.

        Returns
        -------
        evidence : Evidence
            Mean probabilities over the stages, and statistics of shape (n_samples,): "aum",
            "aum_logits", "el2n", "forgetting", "mean_loss", "oscillation", "confidence",
            "variability", and those that were asked for.
        """
        codes, classes, used = data.y_train, data.classes, data.used
        in_sample = self.cv is None and data.groups is None
        hashes = row_ids(data.row_hashes, np.where(used, codes, -1), data.sample_weight)
        if in_sample:
            rows = np.flatnonzero(used)
            folds = [(rows, rows[~lone_class_rows(hashes[rows], codes[rows])])]
        else:
            y = classes[np.maximum(codes, 0)]
            known = used, data.groups, data.sample_weight
            folds = make_folds(self.cv, data.X, y, codes, *known)
        random_state, models = private_random_state(self.random_state), []
        for _ in range(self.n_repeats):
            model = clone(self.estimator)
            set_missing_random_states(model, random_state)
            models += [model] * len(folds)
        recorded = record_folds(
            _StageRecord(self, data.y, classes, in_sample),
            models,
            data.X,
            codes,
            classes,
            used,
            folds * self.n_repeats,
            hashes=hashes,
            given=data.y,
            sample_weight=data.sample_weight if self.weighted else None,
            fit_params=self.fit_params,
            even=in_sample,
            groups=data.groups,
            n_jobs=self.n_jobs,
        )
        values = recorded.values
        proba = values.pop("mean_proba")
        proba[~recorded.mask | np.isnan(values["aum"])] = np.nan
        return Evidence(proba, classes, recorded.models, values)


@dataclasses.dataclass(frozen=True, eq=False)
class _StageRecord:
    """Trains a model and returns statistics of rows; see :func:`record_folds`."""

    stages: Stages
    given: np.ndarray
    classes: np.ndarray
    in_sample: bool

    def __call__(self, model, training: TrainingRows, X, rows: np.ndarray) -> dict:
        stages, codes, columns = self.stages, self.given, self.classes
        if stages.order_classes:
            # The model draws at random for one class after the other: number them as they appear
            # among the rows, which are in the order of their content, and not by their names.
            rank, order, y = _by_appearance(training.y, self.classes)
            codes, columns = np.where(codes >= 0, rank[codes], -1), np.arange(len(self.classes))
            training = dataclasses.replace(training, y=y)
        place = training.row_of[rows]
        same = self.in_sample and (place >= 0).all()
        same = same and (codes[rows] == codes[training.rows][place]).all()
        trained = None
        if self.in_sample and stages.n_early is not None:
            # One of several equal rows represents all, as in the training.
            known = np.flatnonzero(place >= 0)
            trained = known[np.unique(place[known], return_index=True)[1]]
            trained = np.arange(len(training.rows)) if same else trained
        recorder = StageRecorder(
            training.X if same else X,
            codes[training.rows] if same else codes[rows],
            columns,
            in_sample=same,
            wants_norms=stages.with_norms,
            n_early=stages.n_early,
            trained=trained,
        )
        record_training(
            model,
            training.X,
            training.y,
            recorder,
            weight=training.weight,
            fit_params=training.fit_params,
            n_stages=stages.n_stages,
        )
        recorded = recorder.result()
        if stages.order_classes:
            model.classes_ = self.classes[order]
            recorded["mean_proba"] = recorded["mean_proba"][:, rank]
        return {name: values[place] for name, values in recorded.items()} if same else recorded


def _by_appearance(y, classes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """New number of each class by first appearance, classes in that order, and renumbered y."""
    codes = np.searchsorted(classes, y)
    present, first = np.unique(codes, return_index=True)
    order = present[np.argsort(first)]
    rank = np.full(len(classes), -1, dtype=np.intp)
    rank[order] = np.arange(len(order))
    rank[rank < 0] = np.arange(len(order), len(classes))
    return rank, order, rank[codes]


def norms_of(model, X) -> np.ndarray:
    """Length of the input of the last layer of a fitted model or Pipeline."""
    if isinstance(model, Pipeline):
        return norms_of(model[-1], model[:-1].transform(X) if len(model) > 1 else X)
    return last_layer_norms(model, X)


class StageRecorder:
    """Statistics of labelled rows, added up stage by stage; only two stages are held."""

    def __init__(
        self,
        X,
        codes: np.ndarray,
        classes: np.ndarray,
        *,
        in_sample=False,
        wants_norms=False,
        n_early: int | None = None,
        trained: np.ndarray | None = None,
    ):
        # `trained` are positions of training rows: after the early stages, none is added once the
        # model predicts only half as many of their labels wrongly as had a negative early area.
        self.n_early, self.trained = n_early, trained
        self.X, self.in_sample, self.wants_norms = X, in_sample, wants_norms
        self._classes, self._codes = classes, np.maximum(codes, 0)
        self._state: dict = {"n_stages": 0}

    def with_X(self, X) -> "StageRecorder":
        """Return this recorder for transformed rows; both add to the same sums."""
        other = copy.copy(self)
        other.X = X
        return other

    def add(self, pred_proba, classes, *, norms=None) -> None:
        """Add the probabilities of the rows after one more stage."""
        proba = np.asarray(pred_proba)
        if proba.shape != (len(self._codes), len(classes)):
            raise ValueError(
                f"A stage must have probabilities of shape {(len(self._codes), len(classes))},"
                f" got {proba.shape}."
            )
        if self._state.get("memorised"):
            return
        proba = align_columns(proba, classes, self._classes, "estimator")
        n_classes, n_rows = len(self._classes), len(self._codes)
        state = self._state
        if not state["n_stages"]:
            state.update({name: np.zeros(n_rows) for name in _SUMS})
            state.update({name: np.zeros(n_rows, dtype=bool) for name in ("correct", "ever")})
            state.update({name: np.zeros((n_classes, n_rows)) for name in ("proba", "last")})
        if state["n_stages"] == self.n_early:
            state["early"] = state["margin"] / self.n_early
        state["n_stages"] += 1
        if norms is not None:
            state["norms"] = state.get("norms", 0.0) + norms
        # About five arrays of the size of a block are in use at a time.
        for rows in row_blocks(n_rows, 5 * 8 * n_classes):
            self._add_block(proba[rows], rows, None if norms is None else norms[rows])
        if self.trained is not None and "early" in state:
            n_wrong = np.count_nonzero(~state["correct"][self.trained])
            n_early = np.count_nonzero(state["early"][self.trained] < 0)
            state["memorised"] = n_wrong < _MEMORISED * n_early

    def _add_block(self, block, rows, norms) -> None:
        """Add one stage of some rows."""
        # With rows along the last axis, sums and maxima over few classes are fast.
        proba = np.array(block.T, dtype=np.float64, order="C")
        if not np.isfinite(proba).all():
            raise ValueError("A stage of the training predicted NaN or infinite probabilities.")
        state = self._state
        n_stages = state["n_stages"]
        n_rows = proba.shape[1]
        at = self._codes[rows] * n_rows + np.arange(n_rows)
        flat = proba.reshape(-1)
        logs = np.maximum(proba, _LEAST_PROBA)
        np.log(logs, out=logs)
        last = state["last"][:, rows]
        if n_stages > 1:
            # Divergence of this stage from the previous one.
            np.subtract(logs, last, out=last)
            state["moved"][rows] += np.einsum("kn,kn->n", proba, last)
        last[...] = logs
        own_log = logs.reshape(-1).take(at)
        state["loss"][rows] -= own_log
        # Logarithms of probabilities differ by as much as the logits of a softmax do.
        logs.reshape(-1)[at] = -np.inf
        state["logits"][rows] += own_log - logs.max(axis=0)
        state["proba"][:, rows] += proba
        own = flat.take(at)
        flat[at] = -1.0
        other = proba.max(axis=0)
        flat[at] = own - 1
        distance = np.sqrt(np.einsum("kn,kn->n", proba, proba))
        state["el2n"][rows] += distance
        if norms is not None:
            state["grand"][rows] += norms * distance
        correct = state["correct"][rows]
        state["forgotten"][rows] += correct & (own < other)
        np.greater_equal(own, other, out=correct)
        state["ever"][rows] |= correct
        state["margin"][rows] += own - other
        gap = own - state["mean"][rows]
        state["mean"][rows] += gap / n_stages
        state["squares"][rows] += gap * (own - state["mean"][rows])

    def take(self, statistics: dict) -> None:
        """Take statistics that a model recorded itself, in the form of :meth:`result`."""
        self._state["taken"] = dict(statistics)

    def result(self) -> dict:
        """Return the statistics by name, as means over the stages."""
        state = self._state
        if "taken" in state:
            return state["taken"]
        n_stages = state["n_stages"]
        if not n_stages:
            raise ValueError("The training had no stage, so that there are no statistics.")
        statistics = {
            "aum": state["margin"] / n_stages,
            "aum_logits": state["logits"] / n_stages,
            "el2n": state["el2n"] / n_stages,
            "forgetting": np.where(state["ever"], state["forgotten"], np.inf),
            "mean_loss": state["loss"] / n_stages,
            "oscillation": np.maximum(state["moved"], 0) / max(n_stages - 1, 1),
            "confidence": state["mean"],
            "variability": np.sqrt(state["squares"] / n_stages),
            "mean_proba": state["proba"].T / n_stages,
        }
        if self.n_early is not None:
            statistics["early_aum"] = state.get("early", statistics["aum"])
        if self.trained is not None:
            statistics["n_stages"] = np.full(len(self._codes), float(n_stages))
        if "norms" in state:
            statistics["grand"] = state["grand"] / n_stages
            statistics["norms"] = state["norms"] / n_stages
        return statistics
