"""Regions of a table: leaves of a small tree, or clusters."""

import dataclasses

import numpy as np
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.tree import DecisionTreeRegressor

REGIONS = ("tree", "clusters")


@dataclasses.dataclass(frozen=True, eq=False)
class Regions:
    """A way to tell the region of a row.

    Attributes
    ----------
    model : estimator object or None
        A tree, of which leaves are regions, or clusters; None is one region.
    names : ndarray of shape (n_regions,)
        What the model calls the regions.
    scaler : transformer or None
        What rows go through first.
    """

    model: object
    names: np.ndarray
    scaler: object = None

    @property
    def n_regions(self) -> int:
        """Number of regions."""
        return len(self.names)

    def find(self, X) -> np.ndarray:
        """Number the regions of rows.

        Parameters
        ----------
        X : {ndarray, sparse matrix} of shape (n_rows, n_features)
            Numbers.

        Returns
        -------
        region : ndarray of shape (n_rows,), dtype intp
            From 0 to ``n_regions - 1``.
        """
        if self.model is None:
            return np.zeros(X.shape[0], dtype=np.intp)
        if self.scaler is None:
            found = self.model.apply(X)
        else:
            found = self.model.predict(self.scaler.transform(X))
        return np.searchsorted(self.names, found)


def find_regions(
    kind: str, X, surprise, mass, n_regions: int, *, min_size: int, seed: int
) -> Regions:
    """Divide units into regions.

    Parameters
    ----------
    kind : {"tree", "clusters"}
        Leaves of a regression tree for `surprise`, or clusters of `X`.
    X : {ndarray, CSR matrix} of shape (n_units, n_features)
        Numbers.
    surprise : ndarray of shape (n_units, n_classes)
        As of :func:`~skrobust.noise._region_transitions.label_surprise`.
    mass : ndarray of shape (n_units,)
        Weights; units of weight zero take no part.
    n_regions : int
        Number of regions, which there may be fewer of.
    min_size : int
        Number of units in a leaf, at least.
    seed : int
        Random state.

    Returns
    -------
    regions : Regions
        Of so many regions at most.
    """
    some = np.flatnonzero(mass > 0)
    X, surprise, mass = X[some], surprise[some], mass[some]
    if n_regions > 1 and kind == "tree":
        tree = DecisionTreeRegressor(
            max_leaf_nodes=n_regions, min_samples_leaf=min_size, random_state=seed
        )
        tree.fit(X, surprise, sample_weight=mass)
        names = np.unique(tree.apply(X))
        if len(names) > 1:
            return Regions(tree, names)
    elif n_regions > 1 and X.shape[0] >= n_regions:
        scaler = Normalizer() if sparse.issparse(X) else StandardScaler()
        scaled = scaler.fit_transform(X)
        clusters = KMeans(n_clusters=n_regions, n_init=3, random_state=seed)
        clusters.fit(scaled, sample_weight=mass)
        return Regions(clusters, np.arange(n_regions), scaler)
    return Regions(None, np.arange(1))
