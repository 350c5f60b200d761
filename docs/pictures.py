"""Pictures of the pages, computed or read from the benchmark results.

`python docs/pictures.py` draws the picture of the README and of the first page anew.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from measured import NETWORKS, WRAPPERS, result_rows
from sklearn.datasets import make_moons
from sklearn.ensemble import HistGradientBoostingClassifier

from skrobust import CleaningClassifier
from skrobust.noise import flip_labels, symmetric_transition

REGIONS = ListedColormap(["#bcd3ea", "#f6d3ad"])
POINTS = np.array(["#1f5a92", "#b4560a"])


def draw_problem(path: Path) -> None:
    """Draw a classifier trained on wrong labels, and the same one trained through the wrapper."""
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
    _save(fig, path)


def draw_gaps(path: Path) -> None:
    """Draw the share of the gap that each method closes, smallest first."""
    synthetic = {
        row["method"]: row["gap closed"] for row in result_rows("robust_synthetic_wrappers")
    }
    networks = {}
    for name in ("neural_tabular", "neural_cifar10n_10000", "neural_cifar10n"):
        for row in result_rows(name):
            networks.setdefault(row["method"], []).append(row["gap closed"])
    panels = {
        "wrappers and linear models, six tables": {
            f"{name} {settings}".strip(): [synthetic[method]]
            for name, settings, *_, method in WRAPPERS
            if method in synthetic
        },
        "networks, tables and CIFAR-10N": {
            f"{name} {settings}".strip(): networks[method]
            for name, settings, method in NETWORKS[1:]
        },
    }
    fig, axes = plt.subplots(2, 1, figsize=(9, 8), layout="constrained", sharex=True)
    for ax, (title, gaps) in zip(axes, panels.items(), strict=True):
        ordered = sorted(gaps.items(), key=lambda item: np.mean(item[1]))
        means = np.array([np.mean(values) for _, values in ordered])
        shown = np.maximum(means, -1)
        ax.barh([name for name, _ in ordered], shown, color=np.where(means > 0, "C0", "C3"))
        for place, (_, values) in enumerate(ordered):
            ax.plot(np.maximum(values, -1), [place] * len(values), "k.", markersize=4)
            if means[place] < -1:
                ax.annotate(f"{means[place]:.1f}", (-0.98, place), color="white", va="center")
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set_title(title)
        ax.tick_params(axis="y", labelsize=8)
    axes[-1].set(xlabel="share of the gap closed (1: as without the wrong rows)", xlim=(-1, 1))
    _save(fig, path)


def draw_memorisation(path: Path) -> None:
    """Draw how many wrong labels networks give back by epoch."""
    rows = result_rows("neural_memorisation")
    fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for method in ("plain", "nested dropout", "ELR", "co-teaching"):
        ax.plot([row["epoch"] for row in rows], [row[method] for row in rows], label=method)
    ax.set(xlabel="epoch", ylabel="share of wrong labels predicted", ylim=(0, 1))
    ax.legend()
    _save(fig, path)


def draw_selection(path: Path) -> None:
    """Draw what a choice by noisy scores costs, by kind of noise."""
    rows = result_rows("model_selection_noise")
    fig, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    places = np.arange(len(rows))
    for shift, (column, label) in zip(
        (-0.2, 0.2), {"noisy off by": "given labels", "corrected off by": "corrected"}.items()
    ):
        axes[0].barh(places + shift, [row[column] for row in rows], 0.38, label=label)
    for shift, (column, label) in zip(
        (-0.27, 0, 0.27),
        {
            "regret, noisy": "given labels",
            "regret, corrected": "corrected",
            "regret, clean": "true labels",
        }.items(),
    ):
        axes[1].barh(places + shift, [row[column] for row in rows], 0.26, label=label)
    for ax in axes:
        ax.set_yticks(places, [row["noise"] for row in rows])
        ax.invert_yaxis()
        ax.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
    axes[0].set_xlabel("error of the score")
    axes[1].set_xlabel("score lost by the choice")
    _save(fig, path)


def _save(fig, path: Path) -> None:
    """Write a figure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=110)
    plt.close(fig)


if __name__ == "__main__":
    draw_problem(Path(__file__).parent / "images" / "problem.png")
