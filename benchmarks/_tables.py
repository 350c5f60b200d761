"""The data of the benchmarks: clean tables with planted noise, and real data with known errors.

Read from the folder named by SKROBUST_DATA (default: `../shared/data` beside the repository).
"""

import dataclasses
import functools
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from _evidence import Published
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from skrobust.noise import (
    flip_labels,
    flip_labels_instance,
    pair_transition,
    random_transition,
    symmetric_transition,
)

TABLES = (
    "adult",
    "coil2000",
    "kr_vs_kp",
    "mammography",
    "nursery",
    "optdigits",
    "page_blocks",
    "phoneme",
    "pima",
    "satimage",
    "segmentation",
    "spambase",
    "splice",
    "vowel",
    "wine_quality_white",
)
KINDS = ("symmetric", "pair", "random", "instance")
RATES = (0.05, 0.2, 0.35)
MIN_CLASS_SIZE = 20


def data_folder() -> Path:
    """The folder with the data."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("SKROBUST_DATA", default))


@dataclasses.dataclass(frozen=True)
class Data:
    """Rows with given labels of which it is known, for some or all, whether they are wrong.

    Attributes
    ----------
    name : str
        Name of the data set.
    kind : {"table", "embedding", "text", "probabilities"}
        What X is; "probabilities" are published predictions.
    X : array-like of length n_samples
        Input.
    y : ndarray of shape (n_samples,)
        Given labels, as integer codes.
    truth : ndarray of shape (n_samples,)
        True labels; -1 where they are not known, or none of the classes.
    wrong : ndarray of shape (n_samples,) of bool
        Rows whose given label is wrong, as far as is known.
    checked : ndarray of shape (n_samples,) of bool
        Rows for which it is known whether the given label is wrong: only these are scored.
    base : classifier
        The model whose out-of-fold probabilities all methods for probabilities look at.
    """

    name: str
    kind: str
    X: object
    y: np.ndarray
    truth: np.ndarray
    wrong: np.ndarray
    checked: np.ndarray
    base: object


def read_table(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Read a clean table as numbers.

    Parameters
    ----------
    name : str
        One of `TABLES`.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        Categories are one-hot; constant columns and rows of tiny classes are left out.
    y : ndarray of shape (n_samples,)
        Integer codes.
    """
    table = pd.read_csv(data_folder() / "tabular_clean" / f"{name}.csv.gz")
    y = table.pop("target").astype(str).to_numpy()
    text = [c for c in table if not pd.api.types.is_numeric_dtype(table[c])]
    X = table.drop(columns=text).to_numpy(dtype=np.float64)
    if text:
        encoded = OneHotEncoder(sparse_output=False).fit_transform(table[text].astype(str))
        X = np.hstack([X, encoded])
    X = X[:, np.ptp(X, axis=0) > 0]
    counts = pd.Series(y).value_counts()
    enough = np.isin(y, counts[counts >= MIN_CLASS_SIZE].index)
    return X[enough], np.unique(y[enough], return_inverse=True)[1]


@functools.lru_cache(maxsize=4)
def load_table(name: str, max_rows: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """Load a clean table, shuffled, of at most `max_rows` rows."""
    X, y = read_table(name)
    if len(y) > max_rows:
        X, _, y, _ = train_test_split(X, y, train_size=max_rows, stratify=y, random_state=0)
    order = np.random.default_rng(0).permutation(len(y))
    X, y = X[order], y[order]
    return X[:, np.ptp(X, axis=0) > 0], y


def plant(X, y, kind: str, rate: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Make labels wrong.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Features.
    y : ndarray of shape (n_samples,)
        Integer codes.
    kind : {"symmetric", "pair", "random", "instance"}
        Kind of noise.
    rate : float
        Share of wrong labels; for "random" the mean over classes.
    seed : int
        Random state.

    Returns
    -------
    y_noisy : ndarray of shape (n_samples,)
        Given labels.
    wrong : ndarray of shape (n_samples,) of bool
        Rows whose label changed.
    """
    if kind == "instance":
        return flip_labels_instance(X, y, rate, kind="linear", random_state=seed)
    transition = planted_transition(kind, rate, int(y.max()) + 1, seed)
    return flip_labels(y, transition, random_state=seed)


def planted_transition(kind: str, rate: float, n_classes: int, seed: int) -> np.ndarray:
    """The transition matrix by which :func:`plant` makes labels wrong.

    Parameters
    ----------
    kind : {"symmetric", "pair", "random"}
        Kind of noise.
    rate : float
        Share of wrong labels.
    n_classes : int
        Number of classes.
    seed : int
        Random state.

    Returns
    -------
    transition : ndarray of shape (n_classes, n_classes)
        Rows are true classes.
    """
    if kind == "random":
        return random_transition(n_classes, rate, random_state=seed)
    if kind == "pair":
        return pair_transition(n_classes, rate)
    if kind == "symmetric":
        return symmetric_transition(n_classes, rate)
    raise ValueError(f"unknown kind of noise {kind!r}")


def seed_of(name: str, seed: int) -> int:
    """A seed for each table: tables of equal length must not be wrong in the same rows."""
    return zlib.crc32(f"{name} {seed}".encode()) % 2**31


def planted(name: str, kind: str, rate: float, seed: int) -> Data:
    """Load a clean table with planted noise; the base model is gradient boosting."""
    X, truth = load_table(name)
    y, wrong = plant(X, truth, kind, rate, seed_of(name, seed))
    base = HistGradientBoostingClassifier(random_state=seed)
    return Data(name, "table", X, y, truth, wrong, np.ones(len(y), dtype=bool), base)


CIFAR10N = {"aggre": "aggre_label", "random1": "random_label1", "worse": "worse_label"}
TEXTS = {"youtube": "weak_mv", "trec": "weak_mv", "semeval": "weak_mv", "yoruba": "noisy_label"}
PUBLISHED = ("mnist", "20news")


def real_names() -> list[str]:
    """The names of all real data sets."""
    return [
        *(f"cifar10n/{labels}" for labels in CIFAR10N),
        *PUBLISHED,
        *TEXTS,
        "labelme",
        *(f"jira/{release}" for release in _jira()["release"].drop_duplicates()),
    ]


@functools.lru_cache(maxsize=2)
def load_real(name: str, max_rows: int | None = None) -> Data:
    """Load a real data set.

    Parameters
    ----------
    name : str
        One of `real_names`.
    max_rows : int, default=None
        Leave out all rows after so many.

    Returns
    -------
    data : Data
        The data set.
    """
    family, _, part = name.partition("/")
    if family == "cifar10n":
        kind, X, given, truth, base = _load_cifar10n(part)
    elif family in PUBLISHED:
        return _load_published(name)
    elif family in TEXTS:
        kind, X, given, truth, base = _load_text(family)
    elif family == "labelme":
        kind, X, given, truth, base = _load_labelme()
    elif family == "jira":
        kind, X, given, truth, base = _load_jira(part)
    else:
        raise ValueError(f"unknown data set {name!r}")
    X, given, truth = X[:max_rows], np.asarray(given)[:max_rows], np.asarray(truth)[:max_rows]
    classes, y = np.unique(given, return_inverse=True)
    known = {label: code for code, label in enumerate(classes.tolist())}
    true = np.array([known.get(label, -1) for label in truth.tolist()])
    checked = np.ones(len(y), dtype=bool)
    return Data(name, kind, X, y, true, given != truth, checked, base)


def standardised_regression() -> object:
    """Multinomial logistic regression on standardised features."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, random_state=0))


def _load_cifar10n(part: str):
    folder = data_folder() / "cifar10n"
    with np.load(folder / "labels.npz", allow_pickle=False) as labels:
        given, truth = labels[CIFAR10N[part]], labels["clean_label"]
    with np.load(folder / "features256.npz", allow_pickle=False) as features:
        X = features["X_train"].astype(np.float32)
    return "embedding", X, given, truth, standardised_regression()


def _load_published(name: str) -> Data:
    with np.load(data_folder() / "label_errors" / f"{name}.npz", allow_pickle=False) as file:
        outcome, proba = file["is_error"], file["pred_probs"]
        y = file["labels"].astype(np.intp)
        truth = np.where(outcome == 0, y, -1)  # what is right instead, the voters may not agree on
    proba = proba / proba.sum(axis=1, keepdims=True)
    return Data(name, "probabilities", proba, y, truth, outcome == 1, outcome >= 0, Published())


def _load_text(family: str):
    file = {"yoruba": "yoruba_news"}.get(family, family)
    table = pd.read_csv(data_folder() / "text" / f"{file}.csv.gz")
    table = table[table["split"] == "train"]
    given = table[TEXTS[family]].to_numpy()
    covered = np.ones(len(table), dtype=bool) if given.dtype.kind == "O" else given >= 0
    base = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000, random_state=0))
    text = table["text"].to_numpy(dtype=object)
    return "text", text[covered], given[covered], table["label"].to_numpy()[covered], base


def _load_labelme():
    with np.load(data_folder() / "labelme" / "labelme.npz", allow_pickle=False) as file:
        X, given, truth = file["X_train"], file["mv_label"], file["y_train"]
    return "embedding", X, given, truth, standardised_regression()


@functools.lru_cache(maxsize=1)
def _jira() -> pd.DataFrame:
    return pd.read_csv(data_folder() / "tabular_real" / "jira_defects.csv.gz")


def _load_jira(release: str):
    table = _jira()
    table = table[table["release"] == release]
    given, truth = (table[c].to_numpy().astype(np.intp) for c in ("HeuBug", "RealBug"))
    X = table.drop(columns=["release", "File", "HeuBug", "RealBug"]).to_numpy(dtype=np.float64)
    # Counts and sizes, with long tails: their logarithms are what a linear model can use.
    base = make_pipeline(FunctionTransformer(np.log1p), *_steps(standardised_regression()))
    return "table", X, given, truth, base


def _steps(pipeline) -> Iterator:
    return (step for _, step in pipeline.steps)
