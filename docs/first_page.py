"""The picture of the first page."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from sklearn.datasets import make_moons
from sklearn.ensemble import HistGradientBoostingClassifier

from skrobust import CleaningClassifier
from skrobust.noise import flip_labels, symmetric_transition

REGIONS = ListedColormap(["#bcd3ea", "#f6d3ad"])
POINTS = np.array(["#1f5a92", "#b4560a"])


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
