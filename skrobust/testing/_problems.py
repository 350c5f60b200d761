"""Easy problems with planted errors, for labels that are classes, numbers or indicators."""

import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.utils import get_tags

from skrobust.testing._estimators import labels_of, max_classes

Array = npt.NDArray[Any]
Splits = list[tuple[Array, Array]]

CLASS_NAMES = np.array(["ant", "bee", "cow"], dtype=object)


@dataclass(frozen=True)
class Problem:
    """Rows, their given and true labels, and which rows have a wrong label."""

    X: Array
    y: Array
    truth: Array
    planted: Array
    labels: str

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return len(self.y)

    @property
    def has_classes(self) -> bool:
        """Whether labels are classes."""
        return self.labels == "classes"

    @property
    def named(self) -> Array:
        """Given labels, classes by name."""
        return CLASS_NAMES[self.y] if self.has_classes else self.y

    @property
    def named_truth(self) -> Array:
        """True labels, classes by name."""
        return CLASS_NAMES[self.truth] if self.has_classes else self.truth

    @property
    def fold(self) -> Array:
        """Fold of each row, of three; every class is in every fold."""
        if self.has_classes:
            return make_folds_like(self.y)
        return np.random.default_rng(3).permutation(self.n_samples) % 3

    def missing(self, rows: Array) -> Array:
        """Given labels as floats, NaN in some rows."""
        labels = self.y.astype(float)
        labels[rows] = np.nan
        return labels

    def spoiled(self, rows: Array) -> Array:
        """Given labels, others in some rows."""
        labels = self.y.copy()
        n_classes = len(np.unique(self.y))
        labels[rows] = (self.y[rows] + 1) % n_classes if self.has_classes else 1 - self.y[rows]
        return labels


def make_problem(
    estimator: Any, n_samples: int = 120, *, noise: float | None = None, seed: int = 0
) -> Problem:
    """Draw a problem of the kind that an estimator is for."""
    labels = labels_of(estimator)
    if labels == "classes":
        noise = 0.15 if noise is None else noise
        n_classes = max_classes(estimator)
        X, y, planted = make_rows(n_samples, n_classes=n_classes, noise=noise, seed=seed)
        truth = make_rows(n_samples, n_classes=n_classes, noise=0, seed=seed)[1]
        return Problem(X, y, truth, planted, labels)
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, 5))
    planted = np.zeros(n_samples, dtype=bool)
    n_planted = round((0.1 if noise is None else noise) * n_samples)
    planted[rng.choice(n_samples, n_planted, replace=False)] = True
    if labels == "numbers":
        truth = 2 * X[:, 0] - X[:, 1] + 0.2 * rng.normal(size=n_samples)
        shift = rng.uniform(15, 20, size=n_samples) * rng.choice([-1, 1], size=n_samples)
        return Problem(X, np.where(planted, truth + shift, truth), truth, planted, labels)
    truth = rng.integers(2, size=(n_samples, 3)).astype(float)
    X[:, :3] += 6 * truth - 3
    y = truth.copy()
    wrong = np.flatnonzero(planted)
    column = rng.integers(3, size=n_planted)
    y[wrong, column] = 1 - y[wrong, column]
    return Problem(X, y, truth, planted, labels)


def make_rows(
    n_samples: int = 120,
    *,
    n_classes: int = 3,
    noise: float = 0.15,
    seed: int = 0,
    distance: float = 5.0,
) -> tuple[Array, Array, Array]:
    """Draw rows around class centres at right angles; return X, given labels and planted errors."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n_samples) % n_classes
    rng.shuffle(truth)
    X = rng.normal(size=(n_samples, 5))
    X[np.arange(n_samples), truth] += distance
    planted = np.zeros(n_samples, dtype=bool)
    for k in range(n_classes):
        members = np.flatnonzero(truth == k)
        planted[rng.choice(members, round(noise * len(members)), replace=False)] = True
    y = np.where(planted, (truth + 1 + rng.integers(n_classes - 1, size=n_samples)), truth)
    return X, y % n_classes, planted


def make_clean_problem(estimator: Any) -> Problem:
    """Draw a problem without errors; classes are separable with a margin."""
    labels = labels_of(estimator)
    if labels != "classes":
        return make_problem(estimator, 1000, noise=0)
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=999)
    X = rng.uniform(-1, 1, size=(999, 4))
    X[np.arange(999), y] += 4
    return Problem(X, y, y, np.zeros(999, dtype=bool), labels)


def make_folds_like(y: Array, n_folds: int = 3, seed: int = 0) -> Array:
    """Number the fold of each row, such that every class is in every fold."""
    rng = np.random.default_rng(seed)
    fold = np.empty(len(y), dtype=np.intp)
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        fold[rows] = np.arange(len(rows)) % n_folds
    return fold


def splits_of(fold: Array) -> Splits:
    """Make a list of (train, test) from the fold number of each row."""
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in np.unique(fold)]


def frames_of(X: Array, names: list[str]) -> dict[str, Any]:
    """The same table in every library of DataFrames that is installed."""
    frames = {}
    for library in ("pandas", "polars"):
        with contextlib.suppress(ImportError):
            module = __import__(library)
            frames[library] = module.DataFrame({n: X[:, j] for j, n in enumerate(names)})
    return frames


def tables_of(estimator: Any, X: Array, names: list[str]) -> dict[str, Any]:
    """The same table in all containers that an estimator takes."""
    tables = {"array": X, **frames_of(X, names)}
    if get_tags(estimator).input_tags.sparse:
        tables |= {"CSR matrix": sparse.csr_matrix(X), "CSC array": sparse.csc_array(X)}
    return tables


def labels_in_containers(problem: Problem) -> dict[str, Any]:
    """The given labels in all containers that y may have."""
    y = problem.y
    if y.ndim == 2:
        forms = {**frames_of(y, list("abc")), "sparse": sparse.csr_matrix(y)}
        forms["int8"] = y.astype(np.int8)
    else:
        frames = frames_of(y[:, None], ["label"])
        forms = {library: frame["label"] for library, frame in frames.items()}
    if not problem.has_classes:  # check_label_types has all types of classes
        forms |= {"list": y.tolist(), "objects": y.astype(object)}
    return forms
