"""What the first page shows: a picture of the problem, and a comparison from the benchmarks."""

import json
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from sklearn.datasets import make_moons
from sklearn.ensemble import HistGradientBoostingClassifier

from skrobust import CleaningClassifier
from skrobust.noise import flip_labels, symmetric_transition

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
REGIONS = ListedColormap(["#bcd3ea", "#f6d3ad"])
POINTS = np.array(["#1f5a92", "#b4560a"])


def _rows(name: str) -> list[dict]:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["rows"]


def _value(name: str, column: str, **wanted) -> float:
    """The entry of `column` in the only row of a result file that has these other entries."""
    (row,) = [row for row in _rows(name) if all(row[key] == value for key, value in wanted.items())]
    return row[column]


def _best(name: str, column: str, prefix: str) -> float:
    """The largest entry of `column` over the methods whose name starts with `prefix`."""
    return max(
        row[column]
        for row in _rows(name)
        if row["method"].startswith(prefix) and row[column] is not None
    )


def _text(value: float, scale: int = 1, digits: int = 3) -> str:
    """`value` times `scale` with so many digits, halves rounded up as in the guide."""
    step = Decimal(1).scaleb(-digits)
    return str((Decimal(str(value)) * scale).quantize(step, rounding=ROUND_HALF_UP))


def comparison() -> list[tuple[str, str, str, str]]:
    """Rows of the comparison: what was measured, plain training, cleanlab, skrobust."""
    plain, cleanlab, ours = "plain", "cleanlab", "cleaning/relabel"

    def three(column, scale, digits, **wanted):
        name = "robust_real" if wanted else "robust_synthetic"
        return [
            _text(_value(name, column, method=method, **wanted), scale, digits)
            for method in (plain, cleanlab, ours)
        ]

    def two(noise, column, scale, digits):
        return [
            _text(_value("harm", column, method=method, noise=noise), scale, digits)
            for method in ("cleanlab", "skrobust")
        ]

    return [
        (
            "Synthetic noise on tables: gap between plain training and training without the "
            "wrong rows that is closed, %",
            *three("gap closed", 100, 0),
        ),
        (
            "The same tables without noise: accuracy lost, points",
            *three("lost on clean labels", 100, 2),
        ),
        (
            "Real wrong labels, seven data sets: mean score",
            *three("mean", 1, 3, verified="-"),
        ),
        ("The same with 2 % of the rows verified", *three("mean", 1, 3, verified="2 %")),
        (
            "Synthetic noise: average precision of the ranking (cleanlab: best of its scores)",
            "",
            _text(_best("detection_synthetic", "ap", "score/")),
            _text(_value("detection_synthetic", "ap", method="detector/default")),
        ),
        (
            "Synthetic noise: F1 of the flagged rows (cleanlab: best of its rules)",
            "",
            _text(_best("detection_synthetic", "f1", "cleanlab/")),
            _text(_value("detection_synthetic", "f1", method="detector/default")),
        ),
        ("Errors only where classes meet: average precision", "", *two("boundary", "ap", 1, 3)),
        ("Errors only where classes meet: F1", "", *two("boundary", "f1", 1, 3)),
        (
            "Right labels, all flags corrected: labels made wrong, %",
            "0.0",
            *two("clean", "change", 100, 1),
        ),
    ]


def comparison_tables() -> dict[str, str]:
    """The Markdown tables that pages include, by name."""
    lines = ["| measured | plain training | cleanlab 2.9 | skrobust |", "|---|---|---|---|"]
    lines += ["| " + " | ".join(row) + " |" for row in comparison()]
    return {"comparison": "\n".join(lines) + "\n"}


def draw_problem(path: Path) -> None:
    """Draw a classifier trained on wrong labels, and the same one trained through the wrapper."""
    if path.exists():
        return
    X, truth = make_moons(700, noise=0.2, random_state=0)
    X_new, truth_new = make_moons(4000, noise=0.2, random_state=1)
    y, flipped = flip_labels(truth, symmetric_transition(2, 0.25), random_state=0)
    plain = HistGradientBoostingClassifier(random_state=0)
    models = {
        "trained on the labels as they are": plain.fit(X, y),
        "trained with CleaningClassifier": CleaningClassifier(
            HistGradientBoostingClassifier(random_state=0), random_state=0
        ).fit(X, y),
    }
    horizontal, vertical = np.meshgrid(np.linspace(-1.7, 2.7, 250), np.linspace(-1.2, 1.7, 170))
    grid = np.c_[horizontal.ravel(), vertical.ravel()]
    fig, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    axes[0].set_title(f"the data: {flipped.mean():.0%} of the labels are wrong")
    for ax, (title, model) in zip(axes[1:], models.items(), strict=True):
        zones = model.predict(grid).reshape(horizontal.shape)
        ax.pcolormesh(horizontal, vertical, zones, cmap=REGIONS, rasterized=True)
        ax.set_title(f"{title}\naccuracy on true labels {model.score(X_new, truth_new):.2f}")
    for ax in axes:
        ax.scatter(*X[~flipped].T, c=POINTS[y[~flipped]], s=8, label="right label")
        ax.scatter(*X[flipped].T, c=POINTS[y[flipped]], s=22, marker="x", label="wrong label")
        ax.set(xticks=[], yticks=[], xlim=(-1.7, 2.7), ylim=(-1.2, 1.7))
    axes[0].legend(loc="lower left", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=110)
    plt.close(fig)
