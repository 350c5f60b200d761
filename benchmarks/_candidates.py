"""Candidates of a model selection: predictions that are made once and kept on disk."""

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
    """Out-of-fold predictions of all candidates, and the estimated transitions.

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
    transition : ndarray of shape (n_folds, n_classes, n_classes)
        Estimated on the training rows of each fold.
    interval : ndarray of shape (n_folds, 2, n_classes, n_classes)
        Intervals of its entries.
    """

    given: np.ndarray
    truth: np.ndarray
    fold: np.ndarray
    pred: np.ndarray
    proba: np.ndarray
    test_counts: np.ndarray
    test_auc: np.ndarray
    transition: np.ndarray
    interval: np.ndarray


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
    name = f"{table}-{kind}-{rate}-{seed}-{'full' if full else 'quick'}.npz"
    path = Path(CACHE) / "candidates" / name
    if path.exists():
        with np.load(path) as found:
            return Predictions(**found)
    found = _fit_all(table, kind, rate, seed, full)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp.npz")  # a killed run must not leave half a file
    np.savez_compressed(temporary, **vars(found))
    temporary.replace(path)
    return found


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
    transitions, intervals = [], []
    splits = StratifiedKFold(N_FOLDS, shuffle=True, random_state=seed).split(X, given)
    for number, (train, held_out) in enumerate(splits):
        fold[held_out] = number
        transition = AnchorTransition(n_bootstrap=N_BOOTSTRAP, random_state=seed)
        transition.fit(X[train], given[train])
        transitions.append(transition.transition_matrix_)
        intervals.append(transition.transition_interval_)
        for place, model in enumerate(models):
            fitted = make_pipeline(StandardScaler(), model).fit(X[train], given[train])
            pred[place, held_out] = fitted.predict(X[held_out])
            proba[place, held_out] = fitted.predict_proba(X[held_out])[:, -1]
            counts[place, number] = confusion_matrix(y_test, fitted.predict(X_test), labels=labels)
            if n_classes == 2:
                scores = fitted.predict_proba(X_test)[:, 1]
                auc[place, number] = roc_auc_score(y_test, scores)
    return Predictions(
        given, truth, fold, pred, proba, counts, auc, np.array(transitions), np.array(intervals)
    )
