"""Who survives real wrong labels? Trained on labels of annotators, rules and heuristics.

CIFAR-10N features (three sets of labels), LabelMe (majority of few annotators), four collections
of texts (labels from rules) and defects of Java programs by release (labels of a heuristic), each
with one plain model: logistic regression on standardised features, on TF-IDF, or on standardised
logarithms. Scored on test rows with true labels: accuracy, and for the programs the area under
the ROC curve, on a third of the release. Again with 2 % of the training rows verified, drawn at
random: methods that take them get them, the plain model has them put right.

    python benchmarks/robust_real.py [--full] [--jobs 2] [--data 'jira/*' ...] [--methods ...]

Without --full: a part of CIFAR-10N, the texts, LabelMe, four releases, one seed. Killed runs go on
where they were; see `_cells.py`. Reads the folder named by SKROBUST_DATA (default
../shared/data).
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # cells run in parallel instead
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import time
import warnings

import numpy as np
import pandas as pd
from _cells import CACHE, add_options, chosen, measured
from _common import environment, write_results
from _robust_methods import METHODS, Task, fit_method
from _tables import PUBLISHED, TEXTS, data_folder, load_real, real_names
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

QUICK = (
    "cifar10n/worse",
    *TEXTS,
    "labelme",
    "jira/activemq-5.0.0",
    "jira/camel-1.4.0",
    "jira/derby-10.2.1.6",
    "jira/groovy-1_5_7",
)
QUICK_ROWS = 6000
VERIFIED_SHARE = 0.02


def load_split(name: str, max_rows: int | None, seed: int):
    """Load rows to train on, and others whose true labels are known.

    Parameters
    ----------
    name : str
        One of `real_names`.
    max_rows : int or None
        Train on so many rows at most.
    seed : int
        For the split of a release, which has no rows of its own for testing.

    Returns
    -------
    data : Data
        Rows to train on.
    rows : ndarray
        Of `data`, those to train on.
    X_test, y_test : array-like of length n_test
        Others, with true labels as codes of `data`; -1 for classes that were never given.
    """
    data = load_real(name, max_rows)
    rows = np.arange(len(data.y))
    family, _, _ = name.partition("/")
    if family == "jira":
        rows, test = train_test_split(rows, test_size=1 / 3, stratify=data.y, random_state=seed)
        return data, rows, data.X[test], data.truth[test]
    X_test, labels = _test_rows(family)
    # Codes are by sorted labels that were given in training, as `load_real` makes them.
    pairs = {label: code for label, code in zip(_given(name), data.y.tolist(), strict=False)}
    return data, rows, X_test, np.array([pairs.get(label, -1) for label in labels])


def _test_rows(family: str):
    if family == "cifar10n":
        folder = data_folder() / "cifar10n"
        with np.load(folder / "features256.npz") as features, np.load(folder / "labels.npz") as y:
            return features["X_test"].astype(np.float32), y["test_label"].tolist()
    if family == "labelme":
        with np.load(data_folder() / "labelme" / "labelme.npz") as file:
            return file["X_test"], file["y_test"].tolist()
    table = _text_table(family)
    table = table[table["split"].isin(("valid", "dev", "test"))]
    return table["text"].to_numpy(dtype=object), table["label"].tolist()


def _text_table(family: str) -> pd.DataFrame:
    file = {"yoruba": "yoruba_news"}.get(family, family)
    return pd.read_csv(data_folder() / "text" / f"{file}.csv.gz")


def _given(name: str) -> list:
    """The given labels of the rows to train on, as they are in the file."""
    family, _, part = name.partition("/")
    if family == "cifar10n":
        column = {"aggre": "aggre_label", "random1": "random_label1", "worse": "worse_label"}[part]
        with np.load(data_folder() / "cifar10n" / "labels.npz") as labels:
            return labels[column].tolist()
    if family == "labelme":
        with np.load(data_folder() / "labelme" / "labelme.npz") as file:
            return file["mv_label"].tolist()
    table = _text_table(family)
    given = table[table["split"] == "train"][TEXTS[family]]
    return [label for label in given if isinstance(label, str) or label >= 0]


def measure(cell: dict, methods: list[str]) -> dict:
    """Measure some methods on one data set, with or without verified rows."""
    data, rows, X_test, y_test = load_split(cell["data"], cell["rows"], cell["seed"])
    known = y_test >= 0
    y_test, X_test = y_test[known], X_test[known]
    X, y, truth = data.X[rows], data.y[rows], data.truth[rows]
    truth = np.where(truth >= 0, truth, y)
    verified = None
    if cell["verified"]:
        rng = np.random.default_rng(cell["seed"])
        looked_at = rng.choice(len(y), round(VERIFIED_SHARE * len(y)), replace=False)
        verified = np.full(len(y), np.nan)
        verified[looked_at] = truth[looked_at]
    measured = {}
    for what in methods:
        task = Task(X, y, truth, y != truth, "logistic", data.base, cell["seed"], verified)
        started = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = fit_method(what, task)
                if model is None:
                    measured[what] = {"missing": True}
                    continue
                score = _score(model, X_test, y_test, area=cell["data"].startswith("jira/"))
        except Exception as error:  # one method that fails must not end a run of hours
            measured[what] = {"error": f"{type(error).__name__}: {error}"}
            continue
        seconds = round(time.perf_counter() - started, 4)
        measured[what] = {"score": score, "noise": float((y != truth).mean()), "seconds": seconds}
    return measured


def _score(model, X, y, *, area: bool) -> float:
    if area:
        return float(roc_auc_score(y, model.predict_proba(X)[:, 1]))
    return float(np.mean(model.predict(X) == y))


def summarise(frame: pd.DataFrame) -> list[dict]:
    """One row per method: its mean score on each collection, with and without verified rows."""
    rows = []
    for verified, part in frame.groupby("verified", sort=False):
        means = part.groupby(["method", "family"], sort=False)["score"].mean().unstack("family")
        for what in METHODS:
            if what not in means.index:
                continue
            row = {"verified": "2 %" if verified else "-", "method": what}
            scores = means.loc[what]
            row |= {name: None if np.isnan(v) else round(float(v), 4) for name, v in scores.items()}
            rows.append({**row, "mean": round(float(scores.mean()), 4)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument("--data", nargs="+", default=None, metavar="PATTERN")
    options = parser.parse_args()
    all_names = [name for name in real_names() if name not in PUBLISHED]
    names = chosen(all_names, options.data) if options.data else None
    if names == []:
        parser.error(f"no data set matches; there are {', '.join(all_names)}")
    cells = []
    for name in names or (all_names if options.full else QUICK):
        rows = QUICK_ROWS if not options.full and name.startswith("cifar10n/") else None
        for verified in (False, True):
            # CIFAR-10N has its own test rows and many of them: one draw says enough.
            draws = 3 if options.full and not name.startswith("cifar10n/") else 1
            cell = {"data": name, "rows": rows, "verified": verified}
            cells += [{**cell, "seed": seed} for seed in range(draws)]
    frame, complete = measured("robust_real", cells, measure, METHODS, options)
    frame["family"] = frame["data"].where(~frame["data"].str.startswith("jira/"), "jira (AUC)")
    whole = options.full and names is None and complete
    folder = None if whole or options.keep else CACHE
    write_results("robust_real", summarise(frame), environment(), folder=folder)


if __name__ == "__main__":
    main()
