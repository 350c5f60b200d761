"""Candidates of a model selection: predictions that are made once and kept on disk.

So are the out-of-bag probabilities that transitions are estimated from, and the transitions: scores
are corrected in another way without fitting a model anew.
"""

import dataclasses
import functools
from pathlib import Path

import numpy as np
from _cells import CACHE
from _tables import load_table, plant, read_table, seed_of
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skrobust.base import LabelledData
from skrobust.evidence import Evidence
from skrobust.noise import AnchorTransition

N_ROWS = 1000
N_TEST = 4000
N_FOLDS = 5
N_BOOTSTRAP = 100


def candidates(full: bool = True) -> list:
    """Classifiers of three families, from too simple to too flexible."""
    step = 1 if full else 3
    regularisation = np.logspace(-3, 2, 8)[::step]
    neighbors = (1, 3, 5, 9, 15, 25, 45, 80)[::step]
    leaves = (1, 2, 4, 8, 16, 30, 60, 120)[1::step]
    return [
        *(LogisticRegression(C=C, max_iter=200) for C in regularisation),
        *(KNeighborsClassifier(k) for k in neighbors),
        *(DecisionTreeClassifier(min_samples_leaf=m, random_state=0) for m in leaves),
    ]


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Out-of-fold predictions of all candidates, and what transitions are estimated from.

    Attributes
    ----------
    given, truth : ndarray of shape (n_samples,)
        Given and true labels.
    fold : ndarray of shape (n_samples,)
        The fold in which a row is held out.
    pred : ndarray of shape (n_candidates, n_samples)
        Out-of-fold predictions.
    proba : ndarray of shape (n_candidates, n_samples)
        Out-of-fold probabilities of the last class.
    test_counts : ndarray of shape (n_candidates, n_folds, n_classes, n_classes)
        Confusion matrices on clean test rows.
    test_auc : ndarray of shape (n_candidates, n_folds)
        Area under the ROC curve on clean test rows; NaN unless there are two classes.
    bag_proba : ndarray of shape (n_folds, n_samples, n_classes)
        Out-of-bag probabilities of the training rows of each fold; NaN for the rows held out.
    """

    given: np.ndarray
    truth: np.ndarray
    fold: np.ndarray
    pred: np.ndarray
    proba: np.ndarray
    test_counts: np.ndarray
    test_auc: np.ndarray
    bag_proba: np.ndarray


@functools.lru_cache(maxsize=4)
def _split_table(table: str, seed: int):
    """Rows to work with, and clean rows to test on."""
    X, y = load_table(table, N_ROWS + N_TEST) if _is_large(table) else load_table(table, 10**9)
    order = np.random.default_rng(seed_of(table, seed)).permutation(len(y))
    n_rows = min(N_ROWS, 2 * len(y) // 3)
    return X[order[:n_rows]], y[order[:n_rows]], X[order[n_rows:]], y[order[n_rows:]]


def _is_large(table: str) -> bool:
    return len(read_table(table)[1]) > N_ROWS + N_TEST


def collect(table: str, kind: str, rate: float, seed: int, full: bool = True) -> Predictions:
    """Fit all candidates to one table with planted noise, or recall what they predicted."""
    path = _path(table, kind, rate, seed, full)
    if path.exists():
        with np.load(path) as found:
            return Predictions(**found)
    found = _fit_all(table, kind, rate, seed, full)
    _save(path, vars(found))
    return found


def _path(table, kind, rate, seed, full, part: str = "") -> Path:
    name = f"{table}-{kind}-{rate}-{seed}-{'full' if full else 'quick'}{part}.npz"
    return Path(CACHE) / "candidates" / name


def _save(path: Path, arrays: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp.npz")  # a killed run must not leave half a file
    np.savez_compressed(temporary, **arrays)
    temporary.replace(path)


def _fit_all(table, kind, rate, seed, full) -> Predictions:
    X, truth, X_test, y_test = _split_table(table, seed)
    given, _ = plant(X, truth, kind, rate, seed_of(table, seed))
    models = candidates(full)
    n_classes = int(truth.max()) + 1
    labels = np.arange(n_classes)
    fold = np.zeros(len(given), dtype=int)
    pred = np.zeros((len(models), len(given)), dtype=int)
    proba = np.zeros((len(models), len(given)))
    counts = np.zeros((len(models), N_FOLDS, n_classes, n_classes))
    auc = np.full((len(models), N_FOLDS), np.nan)
    bag_proba = np.full((N_FOLDS, len(given), n_classes), np.nan)
    splits = StratifiedKFold(N_FOLDS, shuffle=True, random_state=seed).split(X, given)
    for number, (train, held_out) in enumerate(splits):
        fold[held_out] = number
        data = LabelledData.from_arrays(X[train], given[train])
        evidence = AnchorTransition(random_state=seed).collect_evidence(data)
        bag_proba[number, train] = evidence.pred_proba
        for place, model in enumerate(models):
            fitted = make_pipeline(StandardScaler(), model).fit(X[train], given[train])
            found = fitted.predict_proba(np.vstack([X[held_out], X_test]))
            predicted = fitted.classes_[found.argmax(axis=1)]
            of_fold, of_test = np.split(np.arange(len(found)), [len(held_out)])
            pred[place, held_out] = predicted[of_fold]
            proba[place, held_out] = found[of_fold, -1]
            counts[place, number] = confusion_matrix(y_test, predicted[of_test], labels=labels)
            if n_classes == 2:
                auc[place, number] = roc_auc_score(y_test, found[of_test, 1])
    return Predictions(given, truth, fold, pred, proba, counts, auc, bag_proba)


@dataclasses.dataclass(frozen=True)
class StoredTransition:
    """What scores need of a fitted transition estimator, or the mean of several."""

    transition_matrix_: np.ndarray
    transition_interval_: np.ndarray
    noise_rate_: float
    noise_rate_interval_: np.ndarray

    @property
    def classes_(self) -> np.ndarray:
        """Codes of the classes."""
        return np.arange(len(self.transition_matrix_))

    def fit(self, X, y):
        """Do nothing: the matrix is there."""
        return self


def estimate_transitions(
    table: str, kind: str, rate: float, seed: int, full: bool = True
) -> tuple[StoredTransition, list[StoredTransition]]:
    """Estimate a transition from the training rows of each fold; their mean comes first."""
    path = _path(table, kind, rate, seed, full, "-transitions")
    if not path.exists():
        found = collect(table, kind, rate, seed, full)
        X = _split_table(table, seed)[0]
        fitted = []
        for number, proba in enumerate(found.bag_proba):
            train = found.fold != number
            data = LabelledData.from_arrays(X[train], found.given[train])
            transition = AnchorTransition(n_bootstrap=N_BOOTSTRAP, random_state=seed)
            fitted.append(transition.fit_evidence(data, Evidence(proba[train], data.classes)))
        fields = [field.name for field in dataclasses.fields(StoredTransition)]
        _save(path, {name: [getattr(each, name) for each in fitted] for name in fields})
    with np.load(path) as file:
        values = dict(file)
    by_fold = [
        StoredTransition(**{name: value[number] for name, value in values.items()})
        for number in range(N_FOLDS)
    ]
    return StoredTransition(**{name: v.mean(axis=0) for name, v in values.items()}), by_fold
