"""Mixtures of out-of-sample predictions of several models, with stacking weights."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from skrobust.base import LabelledData
from skrobust.evidence._evidence import Evidence
from skrobust.evidence._out_of_bag import OutOfBag, collect_leaf_sizes, share_trees
from skrobust.evidence._out_of_fold import OutOfFold, collect_out_of_fold, share_first_steps
from skrobust.utils._parallel import step

_N_STEPS = 200
_TOLERANCE = 1e-7
# A smaller probability counts as this much: a few wrong labels must not decide which model is
# better, and a model may predict 0.
_SMALLEST_PROBABILITY = 1e-3
_LEAST_WEIGHT = 1e-9


@dataclasses.dataclass(frozen=True, eq=False)
class Mixture:
    """Producer of a weighted mean of the predictions of several producers.

    Forests that differ in the size of leaves only are grown once, and equal first steps of
    pipelines are fitted once per fold.

    .. versionadded:: 0.1

    Parameters
    ----------
    sources : sequence of producers
        Such as :class:`OutOfFold`, :class:`OutOfBag` and :class:`Neighbors`.
    weights : array-like of shape (n_sources,), default=None
        Mixture weights, none negative. None are those under which the given labels are most
        likely (stacking).
    name : str, default=""
        What the displayed progress calls this mixture.
    keep_models : bool, default=True
        Whether to keep the fitted models, which predict new rows.

    References
    ----------
    Breiman (1996). Stacked regressions. Machine Learning 24.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skrobust.base import LabelledData
    >>> from skrobust.evidence import Mixture, Neighbors, OutOfFold
    >>> X, y = load_iris(return_X_y=True)
    >>> mixture = Mixture([OutOfFold(GaussianNB()), Neighbors()])
    >>> evidence = mixture.collect(LabelledData.from_arrays(X, y))
    >>> len(evidence.parts), round(float(evidence.weights.sum()), 6)
    (2, 1.0)
    """

    sources: Sequence[Any]
    weights: np.ndarray | None = None
    name: str = ""
    keep_models: bool = True

    def collect(self, data: LabelledData) -> Evidence:
        """Collect the predictions of all sources, and mix those that there are of each row.

        Parameters
        ----------
        data : LabelledData
            Rows.

        Returns
        -------
        evidence : Evidence
            The mixture, with one part per source, in single precision.
        """
        groups = list(_shared_fits(self.sources, data))
        parts: list = [None] * len(self.sources)
        for place, group in enumerate(groups, 1):
            some = [self.sources[j] for j in group]
            label = ", ".join(filter(None, [_model_name(some[0]), self.name]))
            with step(label, place, len(groups)):
                found = _collect(some, data)
            for j, one in zip(group, found, strict=True):
                parts[j] = one.as_part(keep_models=self.keep_models)
        return mix(parts, data, self.weights)


def mix(parts: list[Evidence], data, weights: np.ndarray | None = None) -> Evidence:
    """Mix evidence, with stacking weights unless others are given."""
    known = np.stack([part.mask for part in parts], axis=1)
    if weights is None:
        rows = np.flatnonzero(known.all(axis=1) & data.used)
        labels = data.y_train[rows]
        own = np.stack([part.pred_proba[rows, labels] for part in parts], axis=1)
        row_weight = None if data.sample_weight is None else data.sample_weight[rows]
        weights = stacking_weights(own, row_weight)
    # Where only models without any weight have a prediction, theirs is used.
    shares = known * np.maximum(weights, _LEAST_WEIGHT)
    total = shares.sum(axis=1)
    mask = total > 0
    shares[mask] /= total[mask, None]
    proba = np.zeros(parts[0].pred_proba.shape)
    for j, part in enumerate(parts):
        proba += np.where(known[:, j], shares[:, j], 0.0)[:, None] * np.nan_to_num(part.pred_proba)
    proba[~mask] = np.nan
    return Evidence(proba, data.classes, parts=parts, weights=weights)


def stacking_weights(own_proba: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Mixture weights under which the given labels are most likely, by expectation maximisation."""
    # Wrong labels hardly change the likelihood of out-of-sample predictions: a model that has
    # memorised those of other rows predicts the label of this one worse, not better. The likelihood
    # is concave in the weights.
    n_models = own_proba.shape[1]
    weights = np.full(n_models, 1 / n_models)
    if n_models == 1 or len(own_proba) == 0:
        return weights
    likelihood = np.maximum(own_proba, _SMALLEST_PROBABILITY, dtype=np.float64)
    share = np.ones(len(likelihood)) if weight is None else np.asarray(weight, dtype=np.float64)
    share = share / share.sum()
    for _ in range(_N_STEPS):
        updated = weights * (likelihood.T @ (share / (likelihood @ weights)))
        moved = np.abs(updated - weights).max()
        weights = updated
        if moved < _TOLERANCE:
            break
    return weights / weights.sum()


def _shared_fits(sources, data) -> Iterator[list[int]]:
    """Positions of sources that share a fit."""
    groups: list = []
    for j, source in enumerate(sources):
        for group in groups:
            if _share_a_fit(sources[group[0]], source):
                group.append(j)
                break
        else:
            groups.append([j])
    return groups


def _share_a_fit(one, other) -> bool:
    """Whether two sources can be collected by one fit."""
    if isinstance(one, OutOfBag) and isinstance(other, OutOfBag):
        return share_trees(one, other)
    if isinstance(one, OutOfFold) and isinstance(other, OutOfFold):
        return share_first_steps(one, other)
    return False


def _collect(sources, data) -> list[Evidence]:
    """Collect sources that share a fit, or a single one."""
    if len(sources) == 1:
        return [sources[0].collect(data)]
    together = collect_leaf_sizes if isinstance(sources[0], OutOfBag) else collect_out_of_fold
    return together(sources, data)


def _model_name(source) -> str:
    """Name of the model of a source, for a display of progress."""
    source = getattr(source, "source", source)
    model = getattr(source, "estimator", getattr(source, "forest", source))
    model = model.steps[-1][1] if isinstance(model, Pipeline) else model
    return type(model).__name__
