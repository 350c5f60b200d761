"""The simulator: parts by hand, regions that are found, repeated labels, samples, bad input."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context

from skrobust.noise import (
    NeighborTransition,
    NoiseSimulator,
    flip_labels,
    pair_transition,
    random_transition,
    simulate_annotators,
    symmetric_transition,
)
from skrobust.noise._label_triples import (
    LabelTriples,
    encode_repeated_labels,
    repeated_triples,
)
from skrobust.noise._region_transitions import (
    RegionTransitions,
    _symmetric_start,
    fit_path,
    fit_regions,
    raise_right_labels,
    tabulate_triples,
    transition_residuals,
)
from skrobust.utils import LabelNoiseWarning

LOW, HIGH = symmetric_transition(3, 0.05), np.array([[0.6, 0.3, 0.1], [0, 0.7, 0.3], [0.3, 0, 0.7]])


def _rows(n_samples, seed):
    """Three separable classes; the fourth column determines the noise."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n_samples)
    X = np.column_stack([5 * np.eye(3)[y], np.zeros((n_samples, 2))])
    return X + rng.normal(size=(n_samples, 5)), y


def _matrices(X):
    return np.stack([LOW, HIGH])[(X[:, 3] > 0).astype(int)]


def _flip(X, y, seed):
    draws = np.random.default_rng([seed, 1]).random((len(y), 1))
    return (draws > _matrices(X)[np.arange(len(y)), y].cumsum(axis=1)).sum(axis=1).clip(max=2)


def _error(matrices, X, y):
    """Mean distance in total variation between the rows of matrices that hold for rows of X."""
    gaps = np.abs(matrices - _matrices(X))[np.arange(len(y)), y]
    return gaps.sum(axis=1).mean() / 2


def _triples(labels, n_classes=3):
    """Triples of the labels of each row, (n_rows, 3), one for each."""
    n = len(labels)
    key = np.ravel_multi_index(labels.T, (n_classes,) * 3)
    members = np.tile(np.arange(n), (3, 1))
    return LabelTriples(np.ones(n), members, key, np.ones(n), n_classes)


def _draw(transition, y, n_labels, seed):
    rng = np.random.RandomState(seed)
    return np.stack([flip_labels(y, transition, random_state=rng)[0] for _ in range(n_labels)], 1)


# Regions that are better than one matrix -------------------------------------------------------


def test_regions_are_better_than_one_matrix(seed):
    X, y = _rows(3000, seed)
    given = _flip(X, y, seed)
    simulator = NoiseSimulator(random_state=seed).fit(X, given)
    new, truth = _rows(2000, seed + 1000)
    own = _error(simulator.transition_matrices_[simulator.apply(new)], new, truth)
    single = NeighborTransition(random_state=seed).fit(X, given).transition_matrix_
    assert own < 0.6 * _error(single, new, truth)
    assert own < 0.09
    assert simulator.gain_ > 0.01
    assert simulator.n_regions_ > 1
    # Regions do not straddle the edge: each is nearly all on one side of it.
    region = simulator.apply(new)
    sides = np.bincount(region, weights=new[:, 3] > 0) / np.bincount(region)
    assert np.all((sides < 0.1) | (sides > 0.9))
    # Their mean over all rows fits the rows as well.
    together = np.stack([_matrices(X)[y == k].mean(axis=0)[k] for k in range(3)])
    assert np.abs(simulator.transition_matrix_ - together).mean() < 0.04
    assert_allclose(simulator.noise_rate_, np.mean(given != y), atol=0.06)


@pytest.mark.parametrize("kind", ["tree", "clusters"])
def test_samples_go_wrong_as_the_labels_did(kind, seed):
    X, y = _rows(3000, seed)
    X[:, 3] += np.where(X[:, 3] > 0, 4, -4)  # so that clusters find it, too
    given = _flip(X, y, seed)
    simulator = NoiseSimulator(regions=kind, n_neighbors=5, random_state=seed).fit(X, given)
    new, truth = _rows(20_000, seed + 1000)
    new[:, 3] += np.where(new[:, 3] > 0, 4, -4)
    noisy, flipped = simulator.sample(new, truth)
    assert_array_equal(flipped, noisy != truth)
    for side in (new[:, 3] > 0, new[:, 3] <= 0):
        wanted = 1 - _matrices(new)[np.arange(20_000), truth, truth][side].mean()
        assert flipped[side].mean() == pytest.approx(wanted, abs=0.06)
    exact, _ = simulator.sample(new, truth, exact=True)
    region = simulator.apply(new)
    for r, matrix in enumerate(simulator.transition_matrices_):
        for k in range(3):
            rows = (region == r) & (truth == k)
            found = np.bincount(exact[rows], minlength=3)
            assert_allclose(found, matrix[k] * rows.sum(), atol=1.0)


def test_nothing_speaks_for_regions_where_noise_is_the_same(seed):
    X, y = _rows(2000, seed)
    transition = random_transition(3, 0.25, random_state=seed)
    given, _ = flip_labels(y, transition, random_state=seed)
    simulator = NoiseSimulator(random_state=seed).fit(X, given)
    assert simulator.gain_ < 0.005
    error = np.abs(simulator.transition_matrices_[simulator.apply(X)] - transition)
    single = NeighborTransition(n_neighbors=simulator.n_neighbors, random_state=seed)
    single = np.abs(single.fit(X, given).transition_matrix_ - transition)
    assert error.mean() < single.mean() + 0.015


def test_small_regions_are_drawn_to_the_others(seed):
    X, y = _rows(1200, seed)
    given = _flip(X, y, seed)
    gaps = []
    for shrinkage in (0, 30, 1000, 1e9):
        simulator = NoiseSimulator(n_regions=4, shrinkage=shrinkage, random_state=seed)
        matrices = simulator.fit(X, given).transition_matrices_
        assert not hasattr(simulator, "gain_")
        assert simulator.shrinkage_ == shrinkage
        gaps.append(np.abs(matrices - matrices.mean(axis=0)).max())
    assert gaps[0] > gaps[1] > gaps[2] > gaps[3]
    assert gaps[3] < 1e-4


def test_one_region_is_one_matrix(seed):
    X, y = _rows(1500, seed)
    given, _ = flip_labels(y, LOW, random_state=seed)
    simulator = NoiseSimulator(n_regions=1, n_neighbors=2, random_state=seed).fit(X, given)
    assert simulator.transition_matrices_.shape == (1, 3, 3)
    assert_allclose(simulator.transition_matrices_[0], simulator.transition_matrix_)
    assert not simulator.apply(X).any()
    single = NeighborTransition(random_state=seed).fit(X, given)
    # The most likely matrix instead of that of least squares.
    assert_allclose(simulator.transition_matrix_, single.transition_matrix_, atol=0.03)


def test_few_rows_are_one_region(seed):
    X, y = _rows(150, seed)
    simulator = NoiseSimulator(random_state=seed).fit(X, _flip(X, y, seed))
    assert simulator.n_regions_ == 1
    assert simulator.gain_ == 0
    assert simulator.region_shares_.tolist() == [1.0]


def test_attributes_of_regions(seed):
    X, y = _rows(1500, seed)
    given = _flip(X, y, seed)
    simulator = NoiseSimulator(n_regions=4, random_state=seed).fit(X, given)
    n = simulator.n_regions_
    assert 2 <= n <= 4
    assert_allclose(simulator.region_shares_, np.bincount(simulator.apply(X)) / 1500)
    assert simulator.class_priors_.shape == (n, 3)
    assert_allclose(simulator.class_priors_.sum(axis=1), 1)
    assert_allclose(simulator.transition_matrices_.sum(axis=2), 1)
    shares = simulator.region_shares_[:, None] * simulator.class_priors_
    assert_allclose(simulator.class_prior_, shares.sum(axis=0))
    joint = np.einsum("rk,rkj->kj", shares, simulator.transition_matrices_)
    assert_allclose(simulator.transition_matrix_, joint / joint.sum(axis=1, keepdims=True))
    assert_allclose(simulator.noise_rate_, simulator.region_shares_ @ simulator.noise_rates_)
    for attribute in ("n_neighbors_", "metric_", "scale_"):
        assert hasattr(simulator, attribute)


def test_verified_rows_help_on_average(seed):
    errors = np.zeros(2)
    for draw in range(seed, seed + 6):
        X, y = _rows(600, draw)
        X[:, :3] /= 2  # overlapping
        given = _flip(X, y, draw)
        checked = np.random.default_rng(draw).random(600) < 0.4
        for i, verified in enumerate((None, np.where(checked, y, np.nan))):
            simulator = NoiseSimulator(n_regions=2, random_state=draw)
            simulator.fit(X, given, verified_labels=verified)
            errors[i] += _error(simulator.transition_matrices_[simulator.apply(X)], X, y)
    assert errors[1] < errors[0]


# Repeated labels -------------------------------------------------------------------------------


def test_repeated_labels(seed):
    errors = np.zeros(4)
    for draw in range(seed, seed + 4):
        X, y = _rows(3000, draw)
        X[:, :3] = X[:, :3] / 2  # neighbours are often of another class
        labels = np.stack([_flip(X, y, 100 * draw + column) for column in range(5)], axis=1)
        for i, n_labels in enumerate((1, 2, 3, 5)):
            more = labels[:, 1:n_labels] if n_labels > 1 else None
            simulator = NoiseSimulator(random_state=draw)
            simulator.fit(X, labels[:, 0], repeated_labels=more)
            matrices = simulator.transition_matrices_[simulator.apply(X)]
            errors[i] += _error(matrices, X, y) / 4
            # With three labels of each row, neighbours are not used.
            assert hasattr(simulator, "n_neighbors_") == (n_labels < 3)
    # About .028, .020, .016 and .013. The gap between neighbours among these varies by .003 or
    # less in the mean of four draws, and the other gaps are four times as large as they vary.
    assert np.diff(errors).max() < 0.003
    assert errors[2:].max() < errors[0]
    assert errors[3] < errors[1]
    assert np.all(errors < (0.05, 0.035, 0.028, 0.02))


@pytest.mark.parametrize("container", [list, np.array, pd.DataFrame, pl.DataFrame])
def test_repeated_labels_are_encoded(container):
    rows = [["b", None], ["a", "b"], ["b", "a"]]
    orient = {"orient": "row"} if container is pl.DataFrame else {}
    codes = encode_repeated_labels(container(rows, **orient), np.array(["a", "b"]), 3)
    assert_array_equal(codes, [[1, -1], [0, 1], [1, 0]])
    one = encode_repeated_labels(["b", None, "a"], np.array(["a", "b"]), 3)
    assert_array_equal(one, [[1], [-1], [0]])


def test_containers_of_repeated_labels(seed):
    X, y = _rows(400, seed)
    names = np.array(["ant", "bee", "cow"])
    crowd = simulate_annotators(names[y], 4, ability=0.8, coverage=0.7, random_state=seed)
    crowd.labels[0, 1:] = ["ant", "", np.nan]
    plain = [[None if pd.isna(v) else v for v in row] for row in crowd.labels[:, 1:]]
    results = []
    for more in (
        crowd.labels[:, 1:],
        plain,
        pd.DataFrame(crowd.labels[:, 1:]),
        pl.DataFrame(plain, schema=list("abc"), orient="row"),
    ):
        simulator = NoiseSimulator(n_regions=2, random_state=seed)
        simulator.fit(X, crowd.labels[:, 0], repeated_labels=more)
        results.append(simulator.transition_matrices_)
        assert_array_equal(simulator.classes_, names)
    for result in results[1:]:
        assert_allclose(result, results[0])
    # Which of its labels a row has first makes no difference but for the circle they go in.
    other = NoiseSimulator(n_regions=1, random_state=seed)
    other.fit(X, crowd.labels[:, 1], repeated_labels=crowd.labels[:, [0, 2, 3]])
    one = NoiseSimulator(n_regions=1, random_state=seed)
    one.fit(X, crowd.labels[:, 0], repeated_labels=crowd.labels[:, 1:])
    assert_allclose(other.transition_matrix_, one.transition_matrix_, atol=0.03)


def test_a_single_column_and_missing_first_labels(seed):
    X, y = _rows(500, seed)
    labels = _draw(LOW, y, 3, seed).astype(float)
    one = NoiseSimulator(n_regions=1, random_state=0)
    one.fit(X, labels[:, 0], repeated_labels=labels[:, 1])
    same = NoiseSimulator(n_regions=1, random_state=0)
    same.fit(X, labels[:, 0], repeated_labels=labels[:, [1]])
    assert_array_equal(one.transition_matrix_, same.transition_matrix_)
    # A row whose label is missing has others.
    moved = np.column_stack([labels, np.full(500, np.nan)])
    moved[::3] = moved[::3][:, [3, 0, 1, 2]]
    again = NoiseSimulator(n_regions=1, random_state=0)
    again.fit(X, moved[:, 0], repeated_labels=moved[:, 1:])
    whole = NoiseSimulator(n_regions=1, random_state=0)
    whole.fit(X, labels[:, 0], repeated_labels=labels[:, 1:])
    assert_allclose(again.transition_matrix_, whole.transition_matrix_)


def test_weights_of_repeated_labels(seed):
    X, y = _rows(400, seed)
    labels = _draw(HIGH, y, 3, seed)
    # Of a stream of their own: weights that were the classes would leave two of these, which two
    # columns separate equally well, and which of them a tree splits is a matter of rounding.
    weight = np.random.default_rng([seed, 2]).integers(0, 3, 400)
    rows = np.repeat(np.arange(400), weight)
    for n_labels in (2, 3):
        options = {"n_regions": 2, "shrinkage": 30, "random_state": 0}
        weighed = NoiseSimulator(**options).fit(
            X, labels[:, 0], repeated_labels=labels[:, 1:n_labels], sample_weight=weight
        )
        repeated = NoiseSimulator(**options).fit(
            X[rows], labels[rows, 0], repeated_labels=labels[rows, 1:n_labels]
        )
        for name in ("transition_matrices_", "class_priors_", "region_shares_"):
            assert_allclose(getattr(weighed, name), getattr(repeated, name), atol=1e-5)


def test_repeated_labels_are_metadata():
    X, y = _rows(300, 0)
    labels = _draw(LOW, y, 3, 0)
    with config_context(enable_metadata_routing=True):
        simulator = NoiseSimulator(n_regions=1).set_fit_request(repeated_labels=True)
        request = simulator.get_metadata_routing().fit.requests
        assert request["repeated_labels"] is True
        simulator.fit(X, labels[:, 0], repeated_labels=labels[:, 1:])
    assert "_repeated_labels" not in vars(simulator)


def test_triples_of_repeated_labels_by_hand():
    # Rows with four labels, two, one and none; the units of the last two are their neighbours.
    codes = np.array([[0, 1, 0, 1], [1, 1, -1, -1], [0, -1, -1, -1], [-1, -1, -1, -1]])
    graph = sparse.csr_matrix(
        (np.ones(6), [1, 2, 2, 0, 1, 0], [0, 2, 4, 6, 6]), shape=(4, 4)
    )  # fmt: skip
    triples, unit_of = repeated_triples(codes, 2, np.array([1.0, 1, 2, 5]), np.arange(4), 4, graph)
    table = tabulate_triples(triples, unit_of, 4)
    found = {
        tuple(kind): table.weight.toarray()[:, i].tolist() for i, kind in enumerate(table.labels.T)
    }
    # The first: 010, 101, 010, 101 in a circle. The second: 11 and the label of the third. The
    # third: its own, 1 of the second, and what the first has, half of each.
    assert found == {
        (0, 0, 1): [0.5, 0, 1.0, 0],
        (0, 1, 1): [0.5, 1.0, 1.0, 0],
    }
    alone, _ = repeated_triples(codes, 2, np.array([1.0, 1, 2, 5]), np.arange(4), 4)
    assert_allclose(alone.count().sum(), 1)


# The parts -------------------------------------------------------------------------------------


def test_most_likely_matrices_of_regions(seed):
    region = np.repeat([0, 1], 6000)
    y = np.random.default_rng(seed).integers(0, 3, 12_000)
    labels = np.where(region[:, None] == 0, _draw(LOW, y, 3, seed), _draw(HIGH, y, 3, seed + 1))
    table = tabulate_triples(_triples(labels), np.arange(12_000), 12_000)
    counts = table.by_region(region, 2)
    assert_allclose(counts.sum(axis=1), 6000)
    assert np.all(np.diff(table.labels, axis=0) >= 0)
    truth = RegionTransitions(np.full((2, 3), 1 / 3), np.stack([LOW, HIGH]), (LOW + HIGH) / 2)
    start = _symmetric_start(table, counts)
    fitted = fit_regions(table, counts, start, shrinkage=0)
    assert np.abs(fitted.transitions - truth.transitions).max() < 0.04
    assert_allclose(fitted.priors, 1 / 3, atol=0.04)
    # It went uphill, and beyond what is true.
    rise = [m.log_likelihood(table, counts) for m in (start, truth, fitted)]
    assert rise[0] < rise[1] < rise[2]
    # Nothing near is higher.
    rng = np.random.default_rng(seed)
    for _ in range(10):
        near = fitted.transitions * np.exp(0.02 * rng.normal(size=(2, 3, 3)))
        near /= near.sum(axis=2, keepdims=True)
        other = RegionTransitions(fitted.priors, near, fitted.mean)
        assert other.log_likelihood(table, counts) < rise[2]
    same = fit_regions(table, counts, start, shrinkage=np.inf)
    assert_array_equal(same.transitions[0], same.transitions[1])
    assert_array_equal(same.transitions[0], same.mean)


def test_known_rows_count_as_labels(seed):
    y = np.random.default_rng(seed).integers(0, 3, 900)
    labels = _draw(LOW, y, 3, seed)
    table = tabulate_triples(_triples(labels), np.arange(900), 900)
    counts = table.by_region(np.zeros(900, dtype=int), 1)
    start = _symmetric_start(table, counts)
    other = pair_transition(3, 0.5)
    gaps = []
    for scale in (0, 100, 1e6):
        known = scale * other[None] / 3
        fitted = fit_regions(table, counts, start, shrinkage=0, known=known)
        gaps.append(np.abs(fitted.transitions[0] - other).max())
        assert np.isfinite(fitted.objective(table, counts, 0, known))
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-3


@pytest.mark.parametrize("shrinkage", [0, np.inf])
@pytest.mark.parametrize("scale", [0, 5000])
def test_each_iteration_raises_the_objective(shrinkage, scale, seed):
    y, region = np.random.default_rng(seed).integers(0, 3, 6000), np.repeat([0, 1], 3000)
    labels = np.where(region[:, None] == 0, _draw(LOW, y, 3, seed), _draw(HIGH, y, 3, seed + 1))
    table = tabulate_triples(_triples(labels), np.arange(6000), 6000)
    counts = table.by_region(region, 2)
    # Of what is known of the last class, most is wrong.
    known = scale * np.array([[0.1, 0, 0], [0, 0.1, 0], [0, 0.7, 0.1]])[None].repeat(2, axis=0)
    regions, reached = _symmetric_start(table, counts), []
    for _ in range(200):
        regions = fit_regions(
            table, counts, regions, shrinkage=shrinkage, known=known, max_iterations=1
        )
        reached.append(regions.objective(table, counts, shrinkage, known))
    # But for the row of prior classes, of which it does not know.
    assert np.diff(reached).min() > -5e-3
    assert reached[-1] - reached[0] > 5
    own = np.einsum("rkk->rk", regions.transitions)
    assert np.all(regions.transitions <= own[:, :, None] * (1 + 1e-12))
    if scale:
        assert_allclose(regions.transitions[:, 2, 1], own[:, 2])


@pytest.mark.parametrize("n_classes", [2, 3, 6])
def test_right_labels_lead(n_classes, seed):
    rng = np.random.default_rng(seed)
    weight = rng.gamma(0.5, size=(20, n_classes, n_classes))
    found = raise_right_labels(weight)
    own = np.arange(n_classes)
    right = found[:, own, own]
    assert np.all(found <= right[:, :, None] * (1 + 1e-12))
    assert_allclose(found.sum(axis=2), weight.sum(axis=2))
    # Where they did, nothing changes; elsewhere, more frequent labels get equal weights.
    led = weight.max(axis=2) <= weight[:, own, own]
    assert_array_equal(found[led], weight[led])
    changed = (found != weight) & ~np.eye(n_classes, dtype=bool)
    assert_allclose(found[changed], np.broadcast_to(right[:, :, None], weight.shape)[changed])
    # No other matrix that is so is more likely.
    best = np.sum(weight * np.log(found / found.sum(axis=2, keepdims=True)))
    for _ in range(20):
        other = found * np.exp(0.1 * rng.normal(size=found.shape))
        other[:, own, own] = other.max(axis=2)
        other /= other.sum(axis=2, keepdims=True)
        assert np.sum(weight * np.log(other)) < best


def test_a_rare_class_does_not_lend_its_name(seed):
    # To the frequent class in the noisy region, which fits as well.
    rng = np.random.default_rng(seed)
    y = (rng.random(6000) < 0.02).astype(int)
    region = np.repeat([0, 1], 3000)
    low, high = symmetric_transition(2, 0.05), symmetric_transition(2, 0.4)
    labels = np.where(region[:, None] == 0, _draw(low, y, 3, seed), _draw(high, y, 3, seed + 1))
    table = tabulate_triples(_triples(labels, 2), np.arange(6000), 6000)
    one = table.by_region(np.zeros(6000, dtype=int), 1)
    start = RegionTransitions.constant(np.array([0.9, 0.1]), low, 1)
    pooled = fit_regions(table, one, start, shrinkage=np.inf, dominant=False)
    # With one matrix for both, the second class is nearly the first in the second region.
    assert pooled.mean[1, 0] > 0.45
    assert pooled.priors[0, 1] > 0.3
    counts = table.by_region(region, 2)
    (fitted,) = fit_path(table, counts, pooled, (10.0,))
    assert_allclose(fitted.transitions[:, 0], [low[0], high[0]], atol=0.06)
    assert fitted.priors[:, 0].min() > 0.9


def test_start_by_agreement():
    # One half of the rows agree in all labels, of the other no two.
    labels = np.array([[0, 0, 0], [1, 1, 1], [2, 2, 2], [0, 1, 2], [1, 2, 0], [2, 0, 1]])
    table = tabulate_triples(_triples(labels), np.arange(6), 6)
    start = _symmetric_start(table, table.by_region(np.repeat([0, 1], 3), 2))
    assert_allclose(start.transitions[0], symmetric_transition(3, 0.02))
    assert_allclose(start.transitions[1], symmetric_transition(3, 0.8 * 2 / 3))
    assert_allclose(start.priors, 1 / 3)
    # In expectation, it is the rate itself.
    table = tabulate_triples(_triples(np.argwhere(np.ones((3, 3, 3)))), np.arange(27), 27)
    symmetric = symmetric_transition(3, 0.3)
    shares = np.einsum("ka,kb,kc->abc", *[symmetric] * 3).ravel() / 3
    kinds = np.sort(np.argwhere(np.ones((3, 3, 3))), axis=1)
    counts = np.zeros((1, table.labels.shape[1]))
    for kind, share in zip(kinds, shares, strict=True):
        counts[0, np.flatnonzero((kind == table.labels.T).all(axis=1))] += share
    assert_allclose(_symmetric_start(table, counts).transitions[0], symmetric)


def test_surprise_is_zero_where_nothing_differs(seed):
    region = np.repeat([0, 1], 10_000)
    # Classes of the regions differ, noise does not.
    rng = np.random.default_rng(seed)
    y = np.where(region == 0, rng.choice(3, 20_000, p=[0.7, 0.2, 0.1]), rng.integers(0, 3, 20_000))
    labels = _draw(HIGH, y, 3, seed)
    prior = np.bincount(y) / 20_000
    unit_of = np.arange(20_000)
    surprise = transition_residuals(_triples(labels), unit_of, 20_000, prior, HIGH)
    # By chance, and because the prior is that of both regions.
    assert np.abs(surprise[region == 0].mean(axis=0)).max() < 0.03
    other = np.where(region[:, None] == 0, _draw(LOW, y, 3, seed + 1), labels)
    surprise = transition_residuals(_triples(other), unit_of, 20_000, prior, HIGH)
    assert surprise[region == 0].mean(axis=0).min() > 0
    assert surprise[region == 0].mean(axis=0).max() > 0.08


def test_surprise_of_a_unit_is_the_mean_of_its_rows():
    # Rows with one unit, of which the second counts thrice, beside them the same rows alone; and
    # a unit without rows.
    labels = np.array([[0, 0, 1], [1, 2, 2], [0, 0, 1], [1, 2, 2]])
    key = np.ravel_multi_index(labels.T, (3, 3, 3))
    weight = np.array([1.0, 3.0, 2.0, 5.0])
    triples = LabelTriples(weight, np.tile(np.arange(4), (3, 1)), key, np.ones(4), 3)
    prior = np.array([0.2, 0.3, 0.5])
    surprise = transition_residuals(triples, np.array([0, 0, 1, 2]), 4, prior, HIGH)
    assert np.abs(surprise[:3]).max() > 0.1
    assert_allclose(surprise[0], (surprise[1] + 3 * surprise[2]) / 4)
    assert_array_equal(surprise[3], 0)


# Contracts -------------------------------------------------------------------------------------


def test_samples_repeat_with_the_seed():
    X, y = _rows(400, 0)
    simulator = NoiseSimulator(random_state=3).fit(X, _flip(X, y, 0))
    first, _ = simulator.sample(X, y)
    assert_array_equal(first, simulator.sample(X, y)[0])
    assert_array_equal(first, pickle.loads(pickle.dumps(simulator)).sample(X, y)[0])
    assert not np.array_equal(first, simulator.sample(X, y, random_state=4)[0])
    assert_array_equal(
        simulator.sample(X, y, random_state=4)[0], simulator.sample(X, y, random_state=4)[0]
    )
    unseeded = NoiseSimulator().fit(X, _flip(X, y, 0))
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    assert not np.array_equal(unseeded.sample(X, y)[0], unseeded.sample(X, y)[0])
    assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_samples_of_any_container_and_labels():
    X, y = _rows(500, 0)
    X = np.where(np.abs(X) < 0.3, 0.0, X)
    names = np.array(["ant", "bee", "cow"])
    columns = list("abcde")
    frame = pd.DataFrame(X, columns=columns)
    simulator = NoiseSimulator(n_regions=4, random_state=0).fit(frame, names[_flip(X, y, 0)])
    expected, flipped = simulator.sample(frame, names[y])
    assert set(expected[flipped]) <= set(names)
    plain = NoiseSimulator(n_regions=4, random_state=0).fit(X, names[_flip(X, y, 0)])
    for other in (X, X.tolist(), sparse.csr_matrix(X), X.astype(np.float32)):
        assert_array_equal(plain.sample(other, names[y].tolist())[0], expected)
    assert_array_equal(simulator.sample(pl.DataFrame(X, schema=columns), names[y])[0], expected)
    labels = names[y].astype(object)
    labels[::7] = None
    noisy, flipped = simulator.sample(frame, labels)
    assert all(label is None for label in noisy[::7])
    assert not flipped[::7].any()


def test_wide_sparse_rows(seed):
    rng = np.random.default_rng(seed)
    y = np.arange(600) % 3
    dense = rng.poisson(np.where(np.arange(150) % 3 == y[:, None], 0.5, 0.01))
    dense[:, 0] = rng.random(600) < 0.5
    given = np.where(dense[:, 0] > 0, flip_labels(y, HIGH, random_state=seed)[0], y)
    X = sparse.csr_matrix(dense)
    for kind in ("tree", "clusters"):
        simulator = NoiseSimulator(regions=kind, n_regions=2, random_state=seed).fit(X, given)
        assert simulator.metric_ == "cosine"
        assert len(simulator.apply(X)) == 600
        if kind == "tree":
            assert_array_equal(simulator.apply(X), simulator.apply(dense))


def test_mostly_wrong_labels_warn(seed):
    X, y = _rows(600, seed)
    given, _ = flip_labels(y, [[0.1, 0.8, 0.1], [0, 1, 0], [0, 0, 1]], random_state=seed)
    # Of the first class there is hardly a sign.
    with pytest.warns(LabelNoiseWarning, match="is given .* more often than") as record:
        NoiseSimulator(n_regions=1, random_state=seed).fit(X, given)
    assert record[0].filename == __file__


def test_fits_again():
    X, y = _rows(500, 0)
    labels = _draw(LOW, y, 3, 0)
    simulator = NoiseSimulator(random_state=0).fit(X, labels[:, 0])
    first = simulator.transition_matrices_
    simulator.fit(X, labels[:, 0], repeated_labels=labels[:, 1:])
    assert not hasattr(simulator, "n_neighbors_")
    simulator.set_params(n_regions=1).fit(X[:, :4], labels[:, 0])
    assert not hasattr(simulator, "gain_")
    assert simulator.n_features_in_ == 4
    assert_array_equal(
        simulator.set_params(n_regions="auto").fit(X, labels[:, 0]).transition_matrices_, first
    )


def test_errors():
    X, y = _rows(90, 0)
    simulator = NoiseSimulator(n_regions=1, random_state=0)
    for repeated, message in (
        (y[:-1], "repeated_labels has 89 rows for 90 of y"),
        (np.stack([y, y])[None], r"column for each further label of a row, got shape \(1, 2, 90\)"),
        (np.where(y == 0, 7, y), "repeated_labels holds labels that are not among .* classes: 7"),
        (np.zeros((90, 0)), "repeated_labels has 0 rows for 90 of y"),
    ):
        with pytest.raises(ValueError, match=message):
            simulator.fit(X, y, repeated_labels=repeated)
    with pytest.raises(ValueError, match="class 2 was given to no row that counts"):
        simulator.fit(X, y, sample_weight=(y != 2).astype(float))
    with pytest.raises(ValueError, match="has 101 classes"):
        simulator.fit(np.arange(202.0)[:, None], np.arange(202) % 101)
    with pytest.raises(ValueError, match="encode text and categories first"):
        simulator.fit([[f"row {i}"] for i in range(90)], y)
    simulator.fit(X, y)
    with pytest.raises(ValueError, match="y holds labels that are not among the 3 known .*: 5"):
        simulator.sample(X, np.where(y == 0, 5, y))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        simulator.sample(X, y[:-1])
    with pytest.raises(ValueError, match="features"):
        simulator.sample(X[:, :3], y)
    with pytest.raises(ValueError, match="NaN"):
        simulator.apply(np.where(X > 2, np.nan, X))
