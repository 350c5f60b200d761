"""Noise like that of a user's own labels, to be made again on other rows."""

import dataclasses
from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from skrobust._base import TransitionEstimator
from skrobust.evidence._neighbor_index import ALGORITHMS
from skrobust.evidence._neighborhood_choice import (
    DETECTOR_METRICS,
    DETECTOR_SCALES,
    find_neighborhood,
)
from skrobust.evidence._neighbors import (
    Neighborhood,
    Units,
    make_units,
    read_numbers,
    unit_rows,
)
from skrobust.noise._consensus_moments import MAX_CLASSES, count_consensus, solve_consensus
from skrobust.noise._flip import draw_labels, replace_labels
from skrobust.noise._label_counts import check_counted, count_labels
from skrobust.noise._neighbor_transition import (
    LabelTriples,
    label_triples,
    neighbor_disagreement,
    warn_of_ambiguity,
)
from skrobust.noise._region_transitions import (
    TripleTable,
    fit_path,
    fit_regions,
    in_all_regions,
    label_surprise,
    tabulate_triples,
)
from skrobust.noise._regions import REGIONS, find_regions
from skrobust.noise._repeated_labels import encode_repeated_labels, repeated_triples
from skrobust.utils._labels import encode_labels_like, missing_labels
from skrobust.utils._overwritten import labels_look_overwritten, warn_of_overwritten
from skrobust.utils._random import draw_seed, private_random_state
from skrobust.utils._sklearn import (
    Interval,
    StrOptions,
    check_features,
    fit_context,
    num_samples,
)

# Two neighbours are too few to compare ways to measure distance by.
_N_TRIED = 30
_REGION_COUNTS = (2, 4, 8)
_SHRINKAGES = (np.inf, 1000.0, 300.0, 100.0, 30.0, 10.0)
# For choosing among them, rough estimates are as good.
_ROUGH = {"tolerance": 1e-3, "max_iterations": 50}


class NoiseSimulator(TransitionEstimator):
    """Learn how given labels go wrong, in which region how, and make labels wrong like that.

    A benchmark with made-up noise says how methods fare with made-up noise. This one is fitted to
    labels of the kind that is to be dealt with, of which none needs to be known to be right, and
    then makes the labels of other, clean rows wrong in the same way: with a transition matrix for
    each region of X, as far as the data speak for several.

    .. versionadded:: 0.1

    Parameters
    ----------
    regions : {"tree", "clusters"}, default="tree"
        Where noise may differ. "tree": the leaves of a small tree, grown for labels being given
        more or less often than all rows together would have it, whatever the classes. "clusters":
        those of :class:`~sklearn.cluster.KMeans` on standardised columns, or on rows of unit
        length where X is sparse; for embeddings, of which no single column says much.
    n_regions : "auto" or int, default="auto"
        Number of regions, at most. 1 is one matrix for all rows. "auto" is whichever of 1, 2, 4
        and 8 foretells labels best that were left out.
    min_region_size : int, default=50
        Number of distinct rows in a leaf, at least.
    shrinkage : "auto" or float, default="auto"
        Number of rows of each class, with labels as in all regions, that are added to those of
        each region. "auto" is whichever foretells labels best that were left out.
    n_neighbors : int, default=3
        Number of neighbours that are taken to be of the class of a row; not used for rows that
        were labelled three times or more.
    metric : {"auto", "cosine", "euclidean", "manhattan"}, default="auto"
        Distance between rows, as of :class:`NeighborTransition`.
    scale : {"auto", "rank", "standard"} or None, default="auto"
        What becomes of the columns first, as of :class:`NeighborTransition`. It concerns
        neighbours only, not regions.
    algorithm : {"auto", "exact", "approximate"}, default="auto"
        How to search for neighbours. "approximate" needs pynndescent, which
        ``pip install "skrobust[ann]"`` brings. "auto" is exact up to 100 000 distinct rows.
    n_starts : int, default=5
        Number of places that the solver of the matrix of all rows starts from.
    n_jobs : int, default=None
        Number of threads of the search for neighbours.
    random_state : int, RandomState instance or None, default=None
        Seed of starts, clusters, approximate searches, and of samples. None draws fresh entropy.

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
    noise_rate_ : float
        Estimated share of wrong labels.
    region_shares_ : ndarray of shape (n_regions,)
        Share of rows in each region.
    n_regions_ : int
        Number of regions.
    shrinkage_ : float
        The parameter as it was settled; infinite where all regions have one matrix.
    gain_ : float
        Where something was "auto", by how much the log-likelihood of the labels of a row that was
        left out is higher than with one matrix for all regions. 0 says that nothing speaks for
        noise that differs from region to region.
    n_neighbors_, metric_, scale_ : int, str, str or None
        The parameters as they were settled, if neighbours were looked at.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X has names that are all text.

    See Also
    --------
    NeighborTransition : One matrix for all rows, with intervals.
    flip_labels : Makes labels wrong by a matrix.
    flip_labels_instance : Noise that depends on the row, made up.

    Notes
    -----
    What is looked at are three labels of one true class: of a row and its nearest neighbours, or,
    where a row was labelled several times, of the row itself. Two labels of a row are joined by
    one of its nearest neighbour. How often which triples occur tells the matrix, as in
    :class:`NeighborTransition`, from whose least squares the search for the most likely matrices
    sets out. A Dirichlet distribution around the mean of all regions keeps those of small
    regions from following chance. Half of the rows choose regions and matrices by which the labels
    of the other half are foretold, and the other way round; triples stay within their half.

    Where neighbours are often of another class, that looks like label noise, and the estimated
    noise is too high, more so along the boundary of classes. Labels given to the same rows again
    do not suffer from that, as long as those who gave them err independently of one another.

    True classes are named such that most labels of each are right, and a
    :class:`LabelNoiseWarning <skrobust.utils.LabelNoiseWarning>` says where that is doubtful.
    Where there are several regions, no wrong label is more frequent than the right one in any of
    them: otherwise classes could change names from one region to the next.

    References
    ----------
    Zhu, Song and Liu (2021). Clusterability as an alternative to anchor points when learning with
    noisy labels. ICML.

    Examples
    --------
    Labels go wrong where the third column is positive:

    >>> import numpy as np
    >>> from sklearn.datasets import make_blobs
    >>> from skrobust.noise import NoiseSimulator, flip_labels, symmetric_transition
    >>> X, y = make_blobs(3000, centers=[[0, 0, 0], [9, 0, 0], [0, 9, 0]], random_state=0)
    >>> y_given, _ = flip_labels(y, symmetric_transition(3, 0.4), random_state=0)
    >>> y_given = np.where(X[:, 2] > 0, y_given, y)
    >>> simulator = NoiseSimulator(random_state=0).fit(X, y_given)
    >>> bool(simulator.gain_ > 0)
    True

    The same happens to clean labels of other rows:

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
        "metric": [StrOptions(set(DETECTOR_METRICS) - {"precomputed"})],
        "scale": [None, StrOptions(set(DETECTOR_SCALES))],
        "algorithm": [StrOptions(set(ALGORITHMS))],
        "n_starts": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        regions="tree",
        n_regions="auto",
        min_region_size=50,
        shrinkage="auto",
        n_neighbors=3,
        metric="auto",
        scale="auto",
        algorithm="auto",
        n_starts=5,
        n_jobs=None,
        random_state=None,
    ):
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

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, *, repeated_labels=None, verified_labels=None, sample_weight=None):
        """Learn how labels go wrong.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
            Numbers, none missing.
        y : array-like of shape (n_samples,)
            Given labels, some perhaps missing.
        repeated_labels : array-like or DataFrame of shape (n_samples, n_columns), default=None
            What else the rows were labelled, each time independently of the others: by other
            annotators, or by the same one again. Missing where a row was not; all labels are of
            the classes of `y`.
        verified_labels : array-like of shape (n_samples,), default=None
            Labels as checked by a person, missing where nobody looked; `y` stays as it was given,
            not overwritten by them. These rows should not have been chosen because their labels
            look wrong.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights.

        Returns
        -------
        self : object
            Fitted simulator.
        """
        # The contract of the base class knows of one label for each row.
        self._repeated_labels = repeated_labels
        try:
            return super().fit(X, y, verified_labels=verified_labels, sample_weight=sample_weight)
        finally:
            del self._repeated_labels

    def _estimate(self, data) -> np.ndarray:
        n_classes = len(data.classes)
        if n_classes > MAX_CLASSES:
            raise ValueError(
                f"y has {n_classes} classes, and all triples of more than {MAX_CLASSES} are too"
                " many to count."
            )
        rng = private_random_state(self.random_state)
        labels = data.codes[:, None]
        if self._repeated_labels is not None:
            more = encode_repeated_labels(self._repeated_labels, data.classes, data.n_samples)
            labels = np.hstack([labels, more])
            # Labels first, and then what is missing.
            labels = np.take_along_axis(
                labels, np.argsort(labels < 0, axis=1, kind="stable"), axis=1
            )
        # Verified labels do not go wrong as given ones do.
        given = dataclasses.replace(data, codes=labels[:, 0], verified=np.full(len(labels), -1))
        seen = labels[given.used]
        seen = np.bincount(seen[seen >= 0], minlength=n_classes) > 0
        check_counted(seen, data.classes, "counts")
        rows = _Rows(self, given, labels, rng)
        whole = rows.gather()
        counts = whole.triples.count()
        check_counted(counts.sum(axis=(1, 2)) > 0, data.classes, "has two other labels beside it")
        prior, transition, _ = solve_consensus(
            count_consensus(counts), n_starts=self.n_starts, random_state=rng
        )
        start = in_all_regions(*_without_zeros(prior, transition), 1)
        if rows.neighborhood is not None:
            surprise = neighbor_disagreement(given, rows.units, rows.neighborhood.graph)
            if labels_look_overwritten(data, surprise, 1 - prior @ transition.diagonal()):
                warn_of_overwritten(data)
                data = dataclasses.replace(data, verified=given.verified)
        known = rows.verified_counts(data)
        all_rows = np.zeros(num_samples(whole.X), dtype=np.intp)
        everywhere = _fit(whole, all_rows, start, np.inf, known(all_rows, 1))

        seed = draw_seed(rng)
        n_regions, shrinkage = self._choose(rows, everywhere, seed)
        found = self._find_regions(whole, everywhere, n_regions, seed)
        region = found.find(whole.X)
        if found.n_regions == 1:
            fitted = _fit(whole, all_rows, start, np.inf, known(all_rows, 1), dominant=False)
        else:
            counts = whole.table.by_region(region, found.n_regions)
            (fitted,) = fit_path(
                whole.table,
                counts,
                everywhere,
                (shrinkage,),
                known=known(region, found.n_regions),
            )
        self._regions = found
        self.n_regions_ = found.n_regions
        self.shrinkage_ = float(shrinkage) if found.n_regions > 1 else np.inf
        self.transition_matrices_ = np.array(fitted.transitions)
        self.class_priors_ = fitted.priors
        right = np.einsum("rkk->rk", fitted.transitions)
        self.noise_rates_ = 1 - np.sum(fitted.priors * right, axis=1)
        mass = np.bincount(region, weights=whole.mass, minlength=found.n_regions)
        self.region_shares_ = mass / mass.sum()
        joint = self.region_shares_[:, None, None] * fitted.priors[:, :, None] * fitted.transitions
        joint = np.maximum(joint.sum(axis=0), 1e-15)
        warn_of_ambiguity(joint / joint.sum(axis=1, keepdims=True), data.classes, stacklevel=7)
        return joint

    def _find_regions(self, evidence, everywhere, n_regions, seed):
        surprise = label_surprise(
            evidence.triples,
            evidence.unit_of,
            num_samples(evidence.X),
            everywhere.priors[0],
            everywhere.mean,
        )
        return find_regions(
            self.regions,
            evidence.X,
            surprise,
            evidence.mass,
            n_regions,
            min_size=self.min_region_size,
            seed=seed,
        )

    def _choose(self, rows, everywhere, seed) -> tuple[int, float]:
        """Choose numbers by how well one half of the rows foretells the other."""
        vars(self).pop("gain_", None)
        regions = _REGION_COUNTS if self.n_regions == "auto" else (self.n_regions,)
        shrinkages = (np.inf, self.shrinkage) if self.shrinkage != "auto" else _SHRINKAGES
        if self.n_regions == 1 or "auto" not in (self.n_regions, self.shrinkage):
            return self.n_regions, shrinkages[1]
        halves = rows.halves()
        gains = np.zeros((len(regions), len(shrinkages)))
        for train, test in (halves, halves[::-1]) if halves else ():
            start = in_all_regions(everywhere.priors[0], everywhere.mean, 1)
            all_rows = np.zeros(num_samples(train.X), dtype=np.intp)
            learned = _fit(train, all_rows, start, np.inf, **_ROUGH)
            for i, n_regions in enumerate(regions):
                found = self._find_regions(train, learned, n_regions, seed)
                counts, new = (
                    half.table.by_region(found.find(half.X), found.n_regions)
                    for half in (train, test)
                )
                path = fit_path(train.table, counts, learned, shrinkages, **_ROUGH)
                for j, fitted in enumerate(path):
                    gains[i, j] += fitted.log_likelihood(test.table, new) / new.sum() / 2
        gains -= gains[:, :1]
        i, j = np.unravel_index(gains.argmax(), gains.shape)
        self.gain_ = float(gains[i, j])
        if j == 0:
            return (1 if self.n_regions == "auto" else self.n_regions), np.inf
        return regions[i], shrinkages[j]

    def apply(self, X) -> np.ndarray:
        """Number the regions that rows are in.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
            Numbers.

        Returns
        -------
        region : ndarray of shape (n_samples,), dtype intp
            From 0 to ``n_regions_ - 1``: which of ``transition_matrices_`` holds.
        """
        check_is_fitted(self)
        check_features(self, X)
        return self._regions.find(read_numbers(X))

    def sample(self, X, y, *, exact=False, random_state=None) -> tuple[np.ndarray, np.ndarray]:
        """Make true labels wrong as those of ``fit`` were.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
            Numbers.
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
class _Evidence:
    """Triples of labels, and the units that they are of."""

    triples: LabelTriples
    unit_of: np.ndarray
    table: TripleTable
    X: object
    mass: np.ndarray


class _Rows:
    """All rows, from which evidence is gathered: of all of them, or of halves."""

    def __init__(self, simulator, given, labels, rng):
        self.simulator, self.given, self.labels, self.rng = simulator, given, labels, rng
        self.n_classes = len(given.classes)
        weight = given.used * (1.0 if given.sample_weight is None else given.sample_weight)
        n_labels = (labels >= 0).sum(axis=1)
        self.neighborhood = None
        for name in ("n_neighbors_", "metric_", "scale_"):
            vars(simulator).pop(name, None)
        if n_labels[weight > 0].min() >= 3:
            self.units = make_units(given)
        else:
            self.units, self.neighborhood = find_neighborhood(
                simulator, given, n_tried=_N_TRIED, random_state=rng
            )
        self.X = unit_rows(given.X, self.units)
        # On the scale of units, on which equal rows are one.
        total = np.bincount(self.units.of_row, weights=weight)
        self.row_mass = weight / total[total > 0].mean()

    def gather(self, some=None) -> _Evidence:
        """Gather the triples of all units, or of some, without the others."""
        units, X = self.units, self.X
        graph = None if self.neighborhood is None else self.neighborhood.graph
        of_row, class_mass = units.of_row, None
        if some is not None:
            place = np.full(len(units.first), -1)
            place[some] = np.arange(len(some))
            of_row, X = place[of_row], X[some]
            if graph is not None:
                owner = units.owner[some]
                graph = self._neighbors(Units(of_row, some, owner, units.mass[some]), X)
        n_units = X.shape[0]
        if self.labels.shape[1] > 1:
            row_mass = np.where(of_row >= 0, self.row_mass, 0.0)
            triples, unit_of = repeated_triples(
                self.labels, self.n_classes, row_mass, of_row, n_units, graph
            )
        else:
            class_mass = units.class_mass(self.given)
            class_mass = class_mass if some is None else class_mass[some]
            triples = label_triples(graph, class_mass, self.simulator.n_neighbors_)
            unit_of = np.arange(n_units)
        table = tabulate_triples(triples, unit_of, n_units)
        mass = np.asarray(table.mass.sum(axis=1)).ravel()
        return _Evidence(triples, unit_of, table, X, mass)

    def _neighbors(self, units, X):
        simulator = self.simulator
        return Neighborhood(
            units,
            X,
            simulator.n_neighbors_,
            metric=simulator.metric_,
            scale=simulator.scale_,
            algorithm=simulator.algorithm,
            n_jobs=simulator.n_jobs,
            random_state=self.rng,
        ).graph

    def halves(self) -> list[_Evidence]:
        """Gather the triples of both halves of the units, or none if these are too few."""
        voters = self.units.voters
        wanted = 2 * self.simulator.min_region_size
        if self.neighborhood is not None:
            wanted = max(wanted, self.simulator.n_neighbors_ + 1)
        if len(voters) // 2 < wanted:
            return []
        # Units are in the order of hashes, so that every other one is as good as drawn.
        halves = [self.gather(voters[i::2]) for i in (0, 1)]
        return halves if all(half.mass.any() for half in halves) else []

    def verified_counts(self, data):
        """Count labels of verified rows, by region of units."""
        verified = np.where(data.used, data.verified, -1)
        n_labels = np.maximum((self.labels >= 0).sum(axis=1), 1)

        def count(region, n_regions):
            if (verified < 0).all():
                return None
            where = region[self.units.of_row]
            known = np.zeros((n_regions, self.n_classes, self.n_classes))
            for r in range(n_regions):
                here = np.where(where == r, verified, -1)
                for column in self.labels.T:
                    weight = self.row_mass / n_labels
                    known[r] += count_labels(here, column, self.n_classes, weight)
            return known

        return count


def _fit(evidence, region, start, shrinkage, known=None, **options):
    counts = evidence.table.by_region(region, len(start.priors))
    return fit_regions(evidence.table, counts, start, shrinkage=shrinkage, known=known, **options)


def _without_zeros(prior, transition):
    """Leave no entry at zero, where it would stay."""
    prior, transition = np.maximum(prior, 1e-4), np.maximum(transition, 1e-4)
    return prior / prior.sum(), transition / transition.sum(axis=1, keepdims=True)
