"""Who is trained on wrong labels in the benchmarks: the registry.

A method takes a `Task` and returns a fitted classifier, or None where it is not for that task: it
needs two classes, say, or brings its own model. What does not exist in the package is left out.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from _evidence import RecalledEnsemble
from sklearn.base import clone

import skrobust.linear_model
import skrobust.weighting
import skrobust.wrappers
from skrobust.utils._input import is_numeric
from skrobust.wrappers import CleaningClassifier


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """Rows to train on.

    Attributes
    ----------
    X : array-like of length n_samples
        Input.
    y : ndarray of shape (n_samples,)
        Given labels.
    truth : ndarray of shape (n_samples,)
        True labels.
    wrong : ndarray of shape (n_samples,) of bool
        Rows whose given label is wrong.
    name : str
        Name of the classifier.
    classifier : classifier
        The user's model, not fitted.
    seed : int
        Random state.
    verified : ndarray of shape (n_samples,), default=None
        Verified labels; NaN where there is none.
    """

    X: object
    y: np.ndarray
    truth: np.ndarray
    wrong: np.ndarray
    name: str
    classifier: object
    seed: int
    verified: np.ndarray | None = None

    def detector(self):
        """The default detector, whose evidence is gathered once for all methods of a task."""
        members = None if is_numeric(self.X) else [self.classifier, "auto"]
        return RecalledEnsemble(members, random_state=self.seed, max_flag_rate=None)


def fit_method(what: str, task: Task):
    """Fit a method; None where it is not for this task or does not exist."""
    return METHODS[what](task)


def _plain(task):
    return clone(task.classifier).fit(task.X, _put_right(task))


def _put_right(task) -> np.ndarray:
    """Given labels, or the verified ones where there are any."""
    if task.verified is None:
        return task.y
    verified = ~np.isnan(task.verified)
    return np.where(verified, np.nan_to_num(task.verified), task.y).astype(task.y.dtype)


def _oracle(task):
    right = np.flatnonzero(~task.wrong)
    X = task.X[right] if hasattr(task.X, "shape") else [task.X[i] for i in right]
    return clone(task.classifier).fit(X, task.y[right])


def _clean(task):
    return clone(task.classifier).fit(task.X, task.truth)


def _cleanlab(task):
    from cleanlab.classification import CleanLearning

    # Its own processes do not start inside those of the benchmark.
    options = {"find_label_issues_kwargs": {"n_jobs": 1}, "verbose": False}
    model = CleanLearning(clone(task.classifier), seed=task.seed, **options)
    return model.fit(task.X, _put_right(task))


def _cleaning(action, **options):
    def fit(task):
        detector = task.detector()
        model = CleaningClassifier(clone(task.classifier), detector, action=action, **options)
        return model.fit(task.X, task.y, **_verified(task))

    return fit


def _verified(task) -> dict:
    return {} if task.verified is None else {"verified_labels": task.verified}


def _made(module, name, **options):
    """An object of the package that takes a random state if it can; None if there is none."""
    cls = getattr(module, name, None)
    return None if cls is None else cls(**options)


def _seeded(model, task):
    known = model.get_params(deep=False)
    return model.set_params(random_state=task.seed) if "random_state" in known else model


def _wrapper(name, *, linear_only=False, **options):
    def fit(task):
        if linear_only and task.name != "logistic":
            return None
        model = _made(skrobust.wrappers, name, estimator=clone(task.classifier), **options)
        if model is None:
            return None
        return _seeded(model, task).fit(task.X, task.y, **_verified(task))

    return fit


def _reweighted(name, *, needs_verified=False, **options):
    def fit(task):
        reweighter = _made(skrobust.weighting, name, **options)
        if reweighter is None or (needs_verified and task.verified is None):
            return None
        reweighter = _seeded(reweighter, task)
        if "detector" in reweighter.get_params(deep=False):
            reweighter.set_params(detector=task.detector())
        model = _made(
            skrobust.wrappers,
            "ReweightedClassifier",
            estimator=clone(task.classifier),
            reweighter=reweighter,
        )
        return None if model is None else model.fit(task.X, task.y, **_verified(task))

    return fit


def _linear(name, *, n_classes=None, **options):
    """A linear model in the place of the user's, behind the same scaling."""

    def fit(task):
        if task.name != "logistic" or (n_classes and len(np.unique(task.y)) != n_classes):
            return None
        model = _made(skrobust.linear_model, name, **options)
        if model is None:
            return None
        pipeline = clone(task.classifier)
        pipeline.steps[-1] = ("model", _seeded(model, task))
        options_ = {f"model__{key}": value for key, value in _verified(task).items()}
        return pipeline.fit(task.X, task.y, **options_)

    return fit


BASELINES: dict[str, Callable] = {"plain": _plain, "oracle": _oracle, "clean": _clean}
"""What everything must beat, and what hardly anything can."""

METHODS: dict[str, Callable] = {
    **BASELINES,
    "cleanlab": _cleanlab,
    "cleaning/drop": _cleaning("drop"),
    "cleaning/drop if better": _cleaning("drop", only_if_better=True),
    "cleaning/relabel": _cleaning("relabel"),
    "cleaning/relabel if better": _cleaning("relabel", only_if_better=True),
    "cleaning/reweight": _cleaning("reweight"),
    "corrected/importance": _wrapper("LossCorrectedClassifier", method="importance"),
    "corrected/backward": _wrapper("LossCorrectedClassifier", linear_only=True, method="backward"),
    "corrected/posterior": _wrapper("LossCorrectedClassifier", method="posterior"),
    "reweighted/quality": _reweighted("QualityReweighter"),
    "reweighted/importance": _reweighted("ImportanceReweighter"),
    "reweighted/history": _reweighted("LossHistoryReweighter"),
    "reweighted/pruner": _reweighted("ScorePruner"),
    "reweighted/trusted": _reweighted("TrustedReweighter", needs_verified=True),
    "teacher_student": _wrapper("TeacherStudentClassifier"),
    "noisy_logistic/estimated": _linear("NoisyLogisticRegression"),
    "noisy_logistic/learn": _linear("NoisyLogisticRegression", transition="learn"),
    "instance_flip": _linear("InstanceFlipClassifier", n_classes=2),
}

DEFAULT = "cleaning/relabel if better"
"""The method that the targets are about: what is recommended where nothing is known."""
