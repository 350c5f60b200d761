"""Who finds label errors in the benchmarks: the registries, and how an answer is scored.

A method has a name of the form ``group/what``:

- ``cleanlab/<rule>`` and ``score/<score>``: cleanlab's rules, which only flag, and its scores,
  which only rank, on the out-of-fold probabilities of the base model;
- ``mixture+cleanlab/<rule>`` and ``mixture+score/<score>``: the same on the evidence of the default
  detector;
- ``rule/<rule>``: our rules and scores on the probabilities of the base model;
- ``baseline/...``: what everything must beat, and what nothing can;
- ``probabilities/...``: more functions of labels and those probabilities;
- ``threshold/...``: `ConfidentLearning` on the base model with a threshold object;
- ``detector/...``: detectors, with whatever evidence is theirs.

The registries to fill in are `PROBABILITIES`, `THRESHOLDS` and `DETECTORS`. What does not exist
in the package is left out of a run.
"""

import time
import warnings
from collections.abc import Callable

import numpy as np
from _evidence import Recalled, RecalledEnsemble, recalled
from _tables import Data
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score
from sklearn.pipeline import Pipeline

import skrobust.detection
from skrobust.base import LabelledData
from skrobust.detection import (
    ConfidentLearning,
    DecoyThreshold,
    EnsembleDetector,
    find_label_errors,
    label_quality_scores,
)
from skrobust.evidence import out_of_fold_proba

RULES = (
    "prune_by_noise_rate",
    "prune_by_class",
    "both",
    "confident_learning",
    "low_self_confidence",
    "low_normalized_margin",
    "predicted_neq_given",
)
SCORES = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")


def part(name: str, **options):
    """An object of `skrobust.detection`, or None where there is no such class."""
    found = getattr(skrobust.detection, name, None)
    return None if found is None else found(**options)


# --------------------------------------------------------------------------------------------
# Registry: functions of labels and the base model's out-of-fold probabilities.
# name -> callable(y, pred_proba) -> (quality or None, flags or None)
# --------------------------------------------------------------------------------------------
PROBABILITIES: dict[str, Callable] = {}

# --------------------------------------------------------------------------------------------
# Registry: thresholds on the base model's evidence.
# name -> callable(seed) -> threshold object, or None where it is not available
# --------------------------------------------------------------------------------------------
THRESHOLDS: dict[str, Callable] = {
    "mixture": lambda seed: part("MixtureThreshold"),
    "decoy": lambda seed: part("DecoyThreshold", random_state=seed),
}


# --------------------------------------------------------------------------------------------
# Registry: detectors with evidence of their own.
# name -> callable(seed, data: Data) -> detector, a Pipeline that ends in one, or None where it
# is not available or `data.kind` is not for it. `recalling(data)` is the base model, whose
# predictions are remembered between runs; `data.base` is the base model itself.
# --------------------------------------------------------------------------------------------
def default_detector(seed: int, data: Data):
    """What a user gets who gives nothing where X is numbers, and the base model elsewhere."""
    return ensemble(seed, data)


def ensemble(seed: int, data: Data, **options):
    """The default detector, as `CleaningClassifier` makes it."""
    members = None
    if data.kind == "text":
        # Not recalled: the default models share the first steps of the pipeline itself.
        members = [data.base, "auto"]
    elif data.kind == "probabilities":
        members = [recalling(data)]
    return RecalledEnsemble(members, random_state=seed, max_flag_rate=None, **options)


def own(name, **options):
    """A detector with evidence of its own, for data that are numbers."""
    return lambda seed, data: (
        None
        if data.kind in ("text", "probabilities")
        else part(name, random_state=seed, max_flag_rate=None, **options)
    )


DETECTORS: dict[str, Callable] = {
    "default": default_detector,
    "one round": lambda seed, data: ensemble(seed, data, n_rounds=1),
    "base": lambda seed, data: ConfidentLearning(
        recalling(data), random_state=seed, max_flag_rate=None
    ),
    "default+decoys": lambda seed, data: ensemble(
        seed, data, threshold=DecoyThreshold(random_state=seed)
    ),
    "one_model": lambda seed, data: EnsembleDetector(
        [recalling(data)], random_state=seed, max_flag_rate=None
    ),
    "forest": own("ConfidentLearning"),
    "neighbors": own("NeighborVote"),
    "dynamics": own("TrainingDynamics"),
    "consensus": own("ConsensusMixture"),
    "density": own("DensityDetector"),
    "energy": own("EnergyDetector"),
}
# ------------------------------------------------------------------------ end of the registries

DEFAULT = "detector/default"
"""The method that the targets call the default."""


def recalling(data: Data):
    """The base model, with a memory on disk."""
    return Recalled(data.base)


class Evidence:
    """What the methods of one cell share, made when first asked for."""

    def __init__(self, data: Data, seed: int):
        self.data, self.seed = data, seed
        self._made = {}

    def base(self) -> np.ndarray:
        """Out-of-fold probabilities of the base model."""
        return self._get("base", lambda: out_of_fold_proba(recalling(self.data), *self._xy()))

    def mixture(self) -> np.ndarray:
        """Out-of-sample probabilities of the default detector's mixture of models."""

        def mix():
            detector = ensemble(self.seed, self.data)
            return detector.collect_evidence(LabelledData.from_arrays(*self._xy())).pred_proba

        return self._get("mixture", mix)

    def _xy(self):
        return self.data.X, self.data.y

    def _get(self, name, make):
        if name not in self._made:
            started = self._clock()
            proba = np.array(make(), dtype=np.float64)
            # The only row of its class is left alone by every method.
            lost = np.isnan(proba[:, 0])
            proba[lost] = np.eye(proba.shape[1])[self.data.y[lost]]
            self._made[name] = (proba, self._clock() - started)
        return self._made[name][0]

    def seconds(self, name) -> float:
        """How long some evidence took, also if it was recalled."""
        return self._made[name][1]

    @staticmethod
    def _clock() -> float:
        return time.perf_counter() + recalled["seconds"]


def method_names(data_kind: str, base=None) -> list[str]:
    """All methods that there are for one kind of data, in the order of the printed table."""
    names = [
        *(f"cleanlab/{rule}" for rule in RULES),
        *(f"score/{score}" for score in SCORES),
        *(f"rule/{rule}" for rule in RULES),
        "baseline/nothing",
        "baseline/oracle_threshold",
        *(f"probabilities/{name}" for name in PROBABILITIES),
    ]
    if data_kind not in ("text", "probabilities"):
        names += [f"mixture+cleanlab/{rule}" for rule in RULES]
        names += [f"mixture+score/{score}" for score in SCORES]
    nothing = np.zeros(0)
    data = Data("", data_kind, nothing, nothing, nothing, nothing, nothing, base)
    names += [f"threshold/{name}" for name, make in THRESHOLDS.items() if _exists(make, 0)]
    return names + [
        f"detector/{name}" for name, make in DETECTORS.items() if _exists(make, 0, data)
    ]


def _exists(make, *arguments) -> bool:
    """Whether a registry has something to offer; what cannot even be made is to be reported."""
    try:
        return make(*arguments) is not None
    except Exception:
        return True


def run_method(name: str, evidence: Evidence, scored: np.ndarray, verified_labels=None) -> dict:
    """Run one method on one data set.

    Parameters
    ----------
    name : str
        As of `method_names`.
    evidence : Evidence
        Of the data set.
    scored : ndarray of shape (n_samples,) of bool
        Rows that count.
    verified_labels : ndarray of shape (n_samples,), default=None
        For the methods that take them: thresholds and detectors.

    Returns
    -------
    values : dict
        Scores and "seconds", which include the evidence; {"missing": True} where there is no such
        method for these data; or {"error": message}.
    """
    started = evidence._clock()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = _run_method(name, evidence, verified_labels)
    except Exception as error:  # one method that fails must not end a run of hours
        return {"error": f"{type(error).__name__}: {error}"}
    if result is None:
        return {"missing": True}
    quality, flags, more = result
    seconds = evidence._clock() - started
    group = name.partition("/")[0]
    if group not in ("threshold", "detector"):
        # The first method to ask for evidence paid for it; all are to be charged alike.
        source = "mixture" if group.startswith("mixture+") else "base"
        seconds = max(seconds, evidence.seconds(source) if source in evidence._made else 0.0)
    values = score(evidence.data.wrong, quality, flags, scored)
    return {**values, **more, "seconds": round(seconds, 4)}


def _run_method(name, evidence, verified_labels):
    """Quality, flags and what else there is to record; None where there is no such method."""
    group, _, what = name.partition("/")
    data, seed = evidence.data, evidence.seed
    source, _, kind = group.rpartition("+")
    if kind in ("cleanlab", "score", "rule", "probabilities", "baseline"):
        proba = evidence.mixture() if source else evidence.base()
        return *on_probabilities(kind, what, data, proba), {}
    if group == "threshold":
        threshold = THRESHOLDS[what](seed)
        if threshold is None:
            return None
        detector = ConfidentLearning(
            recalling(data), threshold=threshold, random_state=seed, max_flag_rate=None
        )
    else:
        detector = DETECTORS[what](seed, data)
        if detector is None:
            return None
    detector = fit_detector(detector, data.X, data.y, verified_labels=verified_labels)
    return detector.label_quality_, detector.label_errors_, _estimates(detector)


def on_probabilities(kind: str, what: str, data: Data, proba: np.ndarray):
    """Quality and flags by a function of labels and probabilities."""
    y = data.y
    if kind == "cleanlab":
        from cleanlab.filter import find_label_issues

        return None, find_label_issues(y, proba, filter_by=what, n_jobs=1)
    if kind == "score":
        from cleanlab.rank import get_label_quality_scores

        return get_label_quality_scores(y, proba, method=what), None
    if kind == "rule":
        score = what.removeprefix("low_") if what.startswith("low_") else SCORES[0]
        quality = label_quality_scores(y, proba, method=score)
        return quality, find_label_errors(y, proba, rule=what)
    if kind == "probabilities":
        return PROBABILITIES[what](y, proba)
    quality = np.ones(len(y))
    if what == "nothing":
        return quality, np.zeros(len(y), dtype=bool)
    quality = label_quality_scores(y, proba)
    return quality, quality <= best_threshold(data.wrong[data.checked], quality[data.checked])


def fit_detector(detector, X, y, *, verified_labels=None):
    """Fit a detector, or a Pipeline that ends in one, and return the detector."""
    if not isinstance(detector, Pipeline):
        return detector.fit(X, y, verified_labels=verified_labels)
    name = detector.steps[-1][0]
    options = {} if verified_labels is None else {f"{name}__verified_labels": verified_labels}
    return detector.fit(X, y, **options)[-1]


def _estimates(detector) -> dict:
    """What a threshold says about its own flags."""
    threshold = getattr(detector, "fitted_threshold_", None)
    values = {"estimated_noise_rate": float(getattr(detector, "noise_rate_", np.nan))}
    precision = getattr(threshold, "estimated_precision_", None)
    if precision is not None:
        values["estimated_precision"] = float(precision)
    interval = getattr(threshold, "estimated_precision_interval_", None)
    if interval is not None:
        low, high = interval
        values |= {"precision_low": float(low), "precision_high": float(high)}
    recall = getattr(threshold, "estimated_recall_", None)
    if recall is not None:
        values["estimated_recall"] = float(recall)
    return values


def score(wrong, quality, flags, scored=None) -> dict:
    """Score a ranking and a set of flags.

    Parameters
    ----------
    wrong : ndarray of shape (n_samples,) of bool
        The truth.
    quality : ndarray of shape (n_samples,) or None
        How likely each label is right; NaN is the least suspicious.
    flags : ndarray of shape (n_samples,) of bool or None
        Rows said to be wrong.
    scored : ndarray of shape (n_samples,) of bool, default=None
        Rows that count; None is all.

    Returns
    -------
    values : dict
        "noise", "ap" and "auroc" of the ranking; "f1", "precision", "recall" and "flagged" (the
        share) of the flags.
    """
    scored = np.ones(len(wrong), dtype=bool) if scored is None else scored
    wrong = wrong[scored]
    values = {"noise": wrong.mean()}
    if quality is not None:
        suspicion = 1 - np.nan_to_num(np.asarray(quality, dtype=np.float64)[scored], nan=1.0)
        values["ap"] = average_precision_score(wrong, suspicion)
        values["auroc"] = roc_auc_score(wrong, suspicion)
    if flags is not None:
        flags = np.asarray(flags, dtype=bool)[scored]
        found = int((flags & wrong).sum())
        values["f1"] = 2 * found / max(int(flags.sum() + wrong.sum()), 1)
        # Who flags nothing says nothing wrong, but has no precision to speak of either.
        values["precision"] = found / flags.sum() if flags.any() else float("nan")
        values["recall"] = found / wrong.sum()
        values["flagged"] = flags.mean()
    return {key: float(value) for key, value in values.items()}


def best_threshold(wrong, quality) -> float:
    """The threshold of the quality, itself included, whose flags have the best F1."""
    precision, recall, thresholds = precision_recall_curve(wrong, -quality)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return -thresholds[np.argmax(f1[:-1])]
