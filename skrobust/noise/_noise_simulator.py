"""Simulator of label noise like that of given labels, by region of the feature space."""

import dataclasses
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from skrobust.base import LabelledData, TransitionEstimator
from skrobust.base._fitted_attributes import labels_overwritten, warn_of_overwritten
from skrobust.base._labelled_data import set_fitted
from skrobust.base._labels import encode_labels_like, missing_labels
from skrobust.evidence._neighbor_evidence import (
    METRIC_OPTIONS,
    SCALE_OPTIONS,
    UniqueRows,
    find_unique_rows,
    search_neighborhood,
    unique_numbers,
)
from skrobust.evidence._neighbors import ALGORITHMS, read_numbers
from skrobust.noise._consensus_moments import MAX_CLASSES, count_consensus, solve_consensus
from skrobust.noise._flip import draw_labels, replace_labels
from skrobust.noise._label_triples import (
    LabelTriples,
    encode_repeated_labels,
    label_triples,
    repeated_triples,
)
from skrobust.noise._neighbor_transition import (
    N_TRIED,
    neighbor_disagreement,
    neighbors_of,
    set_neighbor_parameters,
    warn_of_ambiguity,
)
from skrobust.noise._noise_model import check_counted, count_labels
from skrobust.noise._proba_transition import DOCUMENTATION
from skrobust.noise._region_transitions import (
    REGIONS,
    Regions,
    RegionTransitions,
    TripleTable,
    find_regions,
    fit_path,
    fit_regions,
    tabulate_triples,
    transition_residuals,
)
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._input import check_features
from skrobust.utils._random import draw_seed, private_random_state
from skrobust.utils._sklearn import Interval, StrOptions, Tags, fit_context, num_samples
from skrobust.utils._typing import CSRMatrix, LabelsLike

_REGION_COUNTS = (2, 4, 8)
_SHRINKAGES = (np.inf, 1000.0, 300.0, 100.0, 30.0, 10.0)
# Options of the fits among which numbers of regions and shrinkages are selected.
_ROUGH = {"tolerance": 1e-3, "max_iterations": 50}


@fill_docstring(**DOCUMENTATION)
class NoiseSimulator(TransitionEstimator):
    """Region-dependent label-noise model, fitted to given labels and sampled from.

    A benchmark with synthetic noise measures methods on synthetic noise. This estimator is fitted
    to given labels, none of which needs to be verified, and then draws wrong labels for other,
    clean rows: by a transition matrix for each region of the feature space, if the data support
    several.

    .. versionadded:: 0.1

    Parameters
    ----------
    regions : {"tree", "clusters"}, default="tree"
        Partition of the feature space. "tree": leaves of a small regression tree, grown for the
        difference between observed and expected labels. "clusters": those of
        :class:`~sklearn.cluster.KMeans` on standardised columns, or on rows of unit length where X
        is sparse; for embeddings, no single column of which is informative.
    n_regions : "auto" or int, default="auto"
        Maximum number of regions, at least 1. 1 is one matrix for all rows. "auto" selects 1, 2, 4
        or 8 by the held-out likelihood of the labels.
    min_region_size : int, default=50
        Minimum number of distinct rows in a leaf, at least 1.
    shrinkage : "auto" or float, default="auto"
        Weight of the prior, the mean of all regions, in rows of each class, at least 0. "auto"
        selects it by the held-out likelihood of the labels.
    n_neighbors : int, default=3
        Number of neighbours that are assumed to be of the class of a row, at least 2; not used for
        rows with three labels or more.
    metric : {"auto", "cosine", "euclidean", "manhattan"}, default="auto"
        Distance between rows, as of :class:`NeighborTransition`.
    scale : {"auto", "rank", "standard"} or None, default="auto"
        Transformation of the columns for the distances, as of :class:`NeighborTransition`. Regions
        do not depend on it.
    %(algorithm)s
    n_starts : int, default=5
        Number of starts of the solver of the matrix of all rows.
    %(n_jobs)s
    %(random_state)s

    Attributes
    ----------
    transition_matrices_ : ndarray of shape (n_regions, n_classes, n_classes)
        Probability of each given label (last axis) for each true class, by region.
    transition_matrix_ : ndarray of shape (n_classes, n_classes)
        The same for all rows.
    class_priors_ : ndarray of shape (n_regions, n_classes)
        Shares of the true classes in each region.
    class_prior_ : ndarray of shape (n_classes,)
        Shares of the true classes.
    noise_rates_ : ndarray of shape (n_regions,)
        Estimated share of wrong labels in each region.
    %(noise_rate_)s
    region_shares_ : ndarray of shape (n_regions,)
        Share of rows in each region.
    n_regions_ : int
        Number of regions.
    shrinkage_ : float
        The parameter with "auto" resolved; infinite where all regions have one matrix.
    gain_ : float
        Where something was "auto", the gain in held-out log likelihood of the labels of a row by
        several matrices; 0 where one matrix for all rows is selected.
    n_neighbors_, metric_, scale_ : int, str, str or None
        The parameters with "auto" resolved, if neighbours are used.
    %(classes_)s
    %(features_in)s

    See Also
    --------
    NeighborTransition : One matrix for all rows, with intervals.
    flip_labels : Draws wrong labels by a matrix.
    flip_labels_instance : Synthetic noise that depends on the row.

    Notes
    -----
    The observations are triples of labels of one true class: of a row and its nearest neighbours,
    or, where a row was labelled several times, of the row itself. Two labels of a row are combined
    with one of its nearest neighbour. The shares of triples determine the matrix, as in
    :class:`NeighborTransition`, whose least-squares solution is the start of the
    maximum-likelihood fit. A Dirichlet prior around the mean of all regions reduces the variance
    in small regions. For "auto", regions and matrices are fitted to one half of the rows and
    evaluated on the other, in both directions; triples do not cross the halves.

    Neighbours of another class look like label noise: where they are frequent, the estimated noise
    is too high, more so near the boundary of classes. Repeated labels of the same rows do not have
    that error, provided that annotators err independently.

    True classes are named such that most labels of each are right; a :class:`LabelNoiseWarning
    <skrobust.utils.LabelNoiseWarning>` is issued where that is doubtful. Where there are several
    regions, no wrong label is more frequent than the right one in any of them: otherwise classes
    could exchange names between regions.

    References
    ----------
    Zhu, Song and Liu (2021). Clusterability as an alternative to anchor points when learning with
    noisy labels. ICML.

    Examples
    --------
    Labels are wrong where the third column is positive:

    >>> import numpy as np
    >>> from sklearn.datasets import make_blobs
    >>> from skrobust.noise import NoiseSimulator, flip_labels, symmetric_transition
    >>> X, y = make_blobs(3000, centers=[[0, 0, 0], [9, 0, 0], [0, 9, 0]], random_state=0)
    >>> y_given, _ = flip_labels(y, symmetric_transition(3, 0.4), random_state=0)
    >>> y_given = np.where(X[:, 2] > 0, y_given, y)
    >>> simulator = NoiseSimulator(random_state=0).fit(X, y_given)
    >>> bool(simulator.gain_ > 0)
    True

    The same noise in the clean labels of other rows:

    >>> X, y = make_blobs(3000, centers=[[0, 0, 0], [9, 0, 0], [0, 9, 0]], random_state=1)
    >>> y_noisy, flipped = simulator.sample(X, y)
    >>> bool(flipped[X[:, 2] > 0].mean() > 4 * flipped[X[:, 2] <= 0].mean())
    True
    """

    _parameter_constraints: dict = {
        "regions": [StrOptions(set(REGIONS))],
        "n_regions": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "min_region_size": [Interval(Integral, 1, None, closed="left")],
        "shrinkage": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "n_neighbors": [Interval(Integral, 2, None, closed="left")],
        "metric": [StrOptions(set(METRIC_OPTIONS) - {"precomputed"})],
        "scale": [None, StrOptions(set(SCALE_OPTIONS))],
        "algorithm": [StrOptions(set(ALGORITHMS))],
        "n_starts": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        regions: str = "tree",
        n_regions: int | str = "auto",
        min_region_size: int = 50,
        shrinkage: float | str = "auto",
        n_neighbors: int = 3,
        metric: str = "auto",
        scale: str | None = "auto",
        algorithm: str = "auto",
        n_starts: int = 5,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.regions = regions
        self.n_regions = n_regions
        self.min_region_size = min_region_size
        self.shrinkage = shrinkage
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.scale = scale
        self.algorithm = algorithm
        self.n_starts = n_starts
        self.n_jobs = n_jobs
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: LabelsLike,
        *,
        repeated_labels: Any = None,
        verified_labels: LabelsLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Fit the noise model.

        Parameters
        ----------
        %(X_matrix)s
        %(y)s
        repeated_labels : array-like or DataFrame of shape (n_samples, n_columns), default=None
            Further labels of the rows, each given independently of the others, by other
            annotators or by the same one; missing where there are fewer. All are of the classes
            of `y`.
        verified_labels : array-like of shape (n_samples,), default=None
            Labels as verified by a reviewer, missing where a row was not reviewed. `y` holds the
            given labels, not overwritten by these. Verified rows should not be chosen because
            their labels look wrong.
        %(sample_weight)s

        Returns
        -------
        %(returns_self)s
        """
        data = LabelledData.from_arrays(
            X, y, verified_labels=verified_labels, sample_weight=sample_weight
        )
        return self._fit_joint(data, self._estimate(data, repeated_labels))

    def _estimate(self, data: LabelledData, repeated_labels: Any = None) -> np.ndarray:
        """Estimate the joint weight of true and given classes, and the matrix of each region."""
        n_classes = len(data.classes)
        if n_classes > MAX_CLASSES:
            raise ValueError(
                f"y has {n_classes} classes, and all triples of more than {MAX_CLASSES} are too"
                " many to count."
            )
        rng = private_random_state(self.random_state)
        labels = data.y[:, None]
        if repeated_labels is not None:
            more = encode_repeated_labels(repeated_labels, data.classes, data.n_samples)
            labels = np.hstack([labels, more])
            # Missing labels last.
            labels = np.take_along_axis(
                labels, np.argsort(labels < 0, axis=1, kind="stable"), axis=1
            )
        # Verified labels do not have the noise of given ones.
        given = dataclasses.replace(data, y=labels[:, 0], verified=np.full(len(labels), -1))
        counted = labels[given.used]
        counted = np.bincount(counted[counted >= 0], minlength=n_classes) > 0
        check_counted(counted, data.classes, "counts")
        source = _TripleSource(self, given, labels, rng)
        rows = source.gather()
        counts = rows.triples.count()
        check_counted(counts.sum(axis=(1, 2)) > 0, data.classes, "has two other labels beside it")
        prior, transition, _ = solve_consensus(
            count_consensus(counts), n_starts=self.n_starts, random_state=rng
        )
        start = RegionTransitions.constant(*_without_zeros(prior, transition), 1)
        if source.neighborhood is not None:
            disagreement = neighbor_disagreement(given, source.units, source.neighborhood.graph)
            if labels_overwritten(data, disagreement, 1 - prior @ transition.diagonal()):
                warn_of_overwritten(data)
                data = dataclasses.replace(data, verified=given.verified)
        known = source.verified_counts(data)
        one_region = np.zeros(num_samples(rows.X), dtype=np.intp)
        overall = _fit(rows, one_region, start, np.inf, known(one_region, 1))

        seed = draw_seed(rng)
        n_regions, shrinkage, gain = self._select(source, overall, seed)
        set_fitted(self, gain_=gain)
        found = self._find_regions(rows, overall, n_regions, seed)
        region = found.find(rows.X)
        if found.n_regions == 1:
            fitted = _fit(rows, one_region, start, np.inf, known(one_region, 1), dominant=False)
        else:
            counts = rows.table.by_region(region, found.n_regions)
            of_regions = known(region, found.n_regions)
            (fitted,) = fit_path(rows.table, counts, overall, (shrinkage,), known=of_regions)
        self._regions = found
        self.n_regions_: int = found.n_regions
        self.shrinkage_: float = float(shrinkage) if found.n_regions > 1 else np.inf
        self.transition_matrices_: np.ndarray = np.array(fitted.transitions)
        self.class_priors_: np.ndarray = fitted.priors
        right = np.einsum("rkk->rk", fitted.transitions)
        self.noise_rates_: np.ndarray = 1 - np.sum(fitted.priors * right, axis=1)
        weight = np.bincount(region, weights=rows.weight, minlength=found.n_regions)
        self.region_shares_: np.ndarray = weight / weight.sum()
        joint = self.region_shares_[:, None, None] * fitted.priors[:, :, None] * fitted.transitions
        joint = np.maximum(joint.sum(axis=0), 1e-15)
        warn_of_ambiguity(joint / joint.sum(axis=1, keepdims=True), data.classes)
        return joint

    def _find_regions(
        self, rows: "_TripleRows", overall: RegionTransitions, n_regions: int, seed: int
    ) -> Regions:
        """Partition the units by their differences from the matrix of all rows."""
        residuals = transition_residuals(
            rows.triples, rows.unit_of, num_samples(rows.X), overall.priors[0], overall.mean
        )
        return find_regions(
            self.regions,
            rows.X,
            residuals,
            rows.weight,
            n_regions,
            min_size=self.min_region_size,
            seed=seed,
        )

    def _select(
        self, source: "_TripleSource", overall: RegionTransitions, seed: int
    ) -> tuple[int, float, float | None]:
        """Select number of regions and shrinkage by held-out likelihood; return its gain too."""
        n_tried = _REGION_COUNTS if self.n_regions == "auto" else (self.n_regions,)
        shrinkages = (np.inf, self.shrinkage) if self.shrinkage != "auto" else _SHRINKAGES
        if self.n_regions == 1 or "auto" not in (self.n_regions, self.shrinkage):
            return self.n_regions, shrinkages[1], None
        halves = source.halves()
        gains = np.zeros((len(n_tried), len(shrinkages)))
        for train, test in (halves, halves[::-1]) if halves else ():
            start = RegionTransitions.constant(overall.priors[0], overall.mean, 1)
            one_region = np.zeros(num_samples(train.X), dtype=np.intp)
            fitted = _fit(train, one_region, start, np.inf, **_ROUGH)
            for i, n_regions in enumerate(n_tried):
                found = self._find_regions(train, fitted, n_regions, seed)
                counts, held_out = (
                    half.table.by_region(found.find(half.X), found.n_regions)
                    for half in (train, test)
                )
                path = fit_path(train.table, counts, fitted, shrinkages, **_ROUGH)
                for j, regions in enumerate(path):
                    likelihood = regions.log_likelihood(test.table, held_out)
                    gains[i, j] += likelihood / held_out.sum() / 2
        gains -= gains[:, :1]
        i, j = np.unravel_index(gains.argmax(), gains.shape)
        gain = float(gains[i, j])
        if j == 0:
            return (1 if self.n_regions == "auto" else self.n_regions), np.inf, gain
        return n_tried[i], shrinkages[j], gain

    def apply(self, X: Any) -> np.ndarray:
        """Return the region of each row.

        Parameters
        ----------
        %(X_matrix)s

        Returns
        -------
        region : ndarray of shape (n_samples,), dtype intp
            From 0 to ``n_regions_ - 1``, the index in ``transition_matrices_``.
        """
        check_is_fitted(self)
        check_features(self, X)
        return self._regions.find(read_numbers(X))

    def sample(
        self,
        X: Any,
        y: LabelsLike,
        *,
        exact: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw labels with the fitted noise for rows with true labels.

        Parameters
        ----------
        %(X_matrix)s
        y : array-like of shape (n_samples,)
            True labels, of the classes of ``fit``. Missing ones stay missing.
        exact : bool, default=False
            Whether the number of labels of each class that become each other label is, in each
            region, the expected one, rounded, instead of drawn.
        random_state : int, RandomState instance or None, default=None
            Seed. None is that of the constructor.

        Returns
        -------
        y_noisy : ndarray of shape (n_samples,)
            Labels, some of them wrong.
        flipped : ndarray of shape (n_samples,) of bool
            True where the label changed.
        """
        region = self.apply(X)
        values, missing = missing_labels(y)
        codes = encode_labels_like(y, self.classes_, name="y")
        check_consistent_length(region, codes)
        seed = self.random_state if random_state is None else random_state
        rng = private_random_state(seed)
        noisy = codes.copy()
        for r, transition in enumerate(self.transition_matrices_):
            rows = np.flatnonzero(region == r)
            noisy[rows] = draw_labels(codes[rows], transition, exact=exact, rng=rng)
        return replace_labels(values, missing, self.classes_, codes, noisy)


@dataclasses.dataclass(frozen=True, eq=False)
class _TripleRows:
    """Units, their features, and their triples of labels, whose members are of units `unit_of`."""

    triples: LabelTriples
    unit_of: np.ndarray
    table: TripleTable
    X: object
    weight: np.ndarray


class _TripleSource:
    """All rows of a data set, of which triples are gathered: of all units, or of halves."""

    def __init__(
        self,
        simulator: NoiseSimulator,
        given: LabelledData,
        labels: np.ndarray,
        rng: np.random.RandomState,
    ) -> None:
        self.simulator, self.given, self.labels, self.rng = simulator, given, labels, rng
        self.n_classes = len(given.classes)
        weight = given.used * (1.0 if given.sample_weight is None else given.sample_weight)
        n_labels = (labels >= 0).sum(axis=1)
        if n_labels[weight > 0].min() >= 3:
            set_fitted(simulator, n_neighbors_=None, metric_=None, scale_=None)
            self.units, self.neighborhood = find_unique_rows(given), None
        else:
            self.neighborhood = neighbors_of(simulator, rng).search(given, n_tried=N_TRIED)
            set_neighbor_parameters(simulator, self.neighborhood)
            self.units = self.neighborhood.unique
        self.X = unique_numbers(given.X, self.units)
        # On the scale of units, on which replicated rows are one.
        total = np.bincount(self.units.of_row, weights=weight)
        self.row_weight = weight / total[total > 0].mean()

    def gather(self, some: np.ndarray | None = None) -> _TripleRows:
        """Gather the triples of all units, or of some, without the others."""
        units, X = self.units, self.X
        graph = None if self.neighborhood is None else self.neighborhood.graph
        of_row = units.of_row
        if some is not None:
            place = np.full(len(units.first), -1)
            place[some] = np.arange(len(some))
            of_row, X = place[of_row], X[some]
            if graph is not None:
                own = UniqueRows(of_row, some, units.group[some], units.weight[some])
                graph = self._neighbors(own, X)
        n_units = X.shape[0]
        if self.labels.shape[1] > 1:
            row_weight = np.where(of_row >= 0, self.row_weight, 0.0)
            triples, unit_of = repeated_triples(
                self.labels, self.n_classes, row_weight, of_row, n_units, graph
            )
        else:
            class_weight = units.class_weight(self.given)
            class_weight = class_weight if some is None else class_weight[some]
            triples = label_triples(graph, class_weight, self.simulator.n_neighbors_)
            unit_of = np.arange(n_units)
        table = tabulate_triples(triples, unit_of, n_units)
        weight = np.asarray(table.weight.sum(axis=1)).ravel()
        return _TripleRows(triples, unit_of, table, X, weight)

    def _neighbors(self, units: UniqueRows, X: Any) -> CSRMatrix:
        """Search the neighbours of some units."""
        simulator = self.simulator
        return search_neighborhood(
            units,
            X,
            simulator.n_neighbors_,
            metric=simulator.metric_,
            scale=simulator.scale_,
            algorithm=simulator.algorithm,
            n_jobs=simulator.n_jobs,
            random_state=self.rng,
        ).graph

    def halves(self) -> list[_TripleRows]:
        """Gather the triples of both halves of the units; none if these are too small."""
        voters = self.units.voters
        wanted = 2 * self.simulator.min_region_size
        if self.neighborhood is not None:
            wanted = max(wanted, self.simulator.n_neighbors_ + 1)
        if len(voters) // 2 < wanted:
            return []
        # Units are in the order of hashes, so that every other one is a random half.
        halves = [self.gather(voters[i::2]) for i in (0, 1)]
        return halves if all(half.weight.any() for half in halves) else []

    def verified_counts(self, data: LabelledData) -> Callable[[np.ndarray, int], np.ndarray | None]:
        """Return a function that counts labels of verified rows by region, of each unit."""
        verified = np.where(data.used, data.verified, -1)
        n_labels = np.maximum((self.labels >= 0).sum(axis=1), 1)

        def count(region: np.ndarray, n_regions: int) -> np.ndarray | None:
            if (verified < 0).all():
                return None
            row_region = region[self.units.of_row]
            counts = np.zeros((n_regions, self.n_classes, self.n_classes))
            for r in range(n_regions):
                true = np.where(row_region == r, verified, -1)
                for column in self.labels.T:
                    weight = self.row_weight / n_labels
                    counts[r] += count_labels(true, column, self.n_classes, weight)
            return counts

        return count


def _fit(
    rows: _TripleRows,
    region: np.ndarray,
    start: RegionTransitions,
    shrinkage: float,
    known: np.ndarray | None = None,
    **options,
) -> RegionTransitions:
    """Fit the transition matrices of regions of units."""
    counts = rows.table.by_region(region, len(start.priors))
    return fit_regions(rows.table, counts, start, shrinkage=shrinkage, known=known, **options)


def _without_zeros(prior: np.ndarray, transition: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Raise zeros, which expectation-maximisation would keep."""
    prior, transition = np.maximum(prior, 1e-4), np.maximum(transition, 1e-4)
    return prior / prior.sum(), transition / transition.sum(axis=1, keepdims=True)
