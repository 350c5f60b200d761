"""The transition from neighbours: exact shares, sampled triples, rows, and what is refused."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.optimize import approx_fprime
from sklearn.neighbors import KNeighborsTransformer

from skrobust.evidence import neighbor_graph
from skrobust.noise import NeighborTransition, flip_labels, random_transition
from skrobust.noise._consensus_moments import (
    Consensus,
    ConsensusLoss,
    align_classes,
    count_consensus,
    expected_consensus,
    solve_consensus,
)
from skrobust.noise._label_triples import label_triples
from skrobust.testing._estimators import fit_silently
from skrobust.testing._problems import make_rows
from skrobust.utils import LabelNoiseWarning

TRANSITION = np.array([[0.8, 0.1, 0.1], [0.15, 0.7, 0.15], [0.1, 0.2, 0.7]])
PRIOR = np.array([0.4, 0.35, 0.25])


def _draw(prior, transition, n_triples, seed):
    """Shares in triples of labels of which each is given to a class drawn for the triple."""
    rng = np.random.default_rng(seed)
    k = len(prior)
    table = rng.multinomial(n_triples, _table(prior, transition).ravel())
    return count_consensus(table.reshape(k, k, k))


def _table(prior, transition):
    return np.einsum("k,ki,kj,kl->ijl", prior, transition, transition, transition)


def _solve(consensus, seed, n_starts=5):
    rng = np.random.RandomState(seed)
    return solve_consensus(consensus, n_starts=n_starts, random_state=rng)


def _easy_rows(n_samples, seed, transition=TRANSITION):
    X, y, _ = make_rows(n_samples, noise=0, seed=seed)
    return X, flip_labels(y, transition, random_state=seed)[0]


def test_expected_shares_by_definition(seed):
    consensus = expected_consensus(PRIOR, TRANSITION)
    assert_allclose(consensus.single, TRANSITION.T @ PRIOR)
    assert_allclose(consensus.pair, TRANSITION.T @ np.diag(PRIOR) @ TRANSITION)
    assert_allclose(consensus.triple, _table(PRIOR, TRANSITION))
    counted = count_consensus(7 * consensus.triple)
    for name in ("single", "pair", "triple"):
        assert_allclose(getattr(counted, name), getattr(consensus, name))


def test_counts_are_made_symmetric(seed):
    consensus = count_consensus(np.random.default_rng(seed).random((3, 3, 3)))
    for table in (consensus.single, consensus.pair, consensus.triple):
        assert_allclose(table.sum(), 1)
    assert_allclose(consensus.pair, consensus.pair.T)
    for axes in ((1, 0, 2), (0, 2, 1), (2, 1, 0)):
        assert_allclose(consensus.triple, consensus.triple.transpose(axes))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_gradient_is_that_of_finite_differences(seed, n_classes):
    rng = np.random.default_rng(seed)
    table = rng.dirichlet(np.ones(n_classes**3)).reshape((n_classes,) * 3)
    for known in (None, rng.random((n_classes, n_classes))):
        loss = ConsensusLoss(count_consensus(table), known)
        roots = rng.normal(size=n_classes + n_classes**2)
        _, gradient = loss(roots)
        numeric = approx_fprime(roots, lambda x, loss=loss: loss(x)[0], 1e-7)
        assert_allclose(gradient, numeric, rtol=1e-4, atol=1e-5 * np.abs(gradient).max())


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("draw", range(4))
def test_exact_shares_give_the_transition(seed, n_classes, draw):
    seed = 10 * seed + draw
    prior = np.random.default_rng(seed).dirichlet(np.full(n_classes, 10.0))
    transition = random_transition(n_classes, 0.25, random_state=seed)
    found = _solve(expected_consensus(prior, transition), seed)
    assert_allclose(found[0], prior, atol=1e-6)
    assert_allclose(found[1], transition, atol=1e-6)


def test_zeros_are_found(seed):
    transition = np.array([[0.8, 0.2, 0.0], [0.0, 0.8, 0.2], [0.2, 0.0, 0.8]])
    found = _solve(expected_consensus(PRIOR, transition), seed)[1]
    assert_allclose(found, transition, atol=1e-6)


@pytest.mark.parametrize("n_triples, bound", [(500, 0.045), (10_000, 0.012), (50_000, 0.007)])
def test_sampled_triples(seed, n_triples, bound):
    errors = []
    for draw in range(10):
        consensus = _draw(PRIOR, TRANSITION, n_triples, 100 * seed + draw)
        errors.append(np.abs(_solve(consensus, draw)[1] - TRANSITION).mean())
    assert np.mean(errors) < bound


def test_several_starts_do_not_end_in_a_wrong_minimum(seed):
    wrong = np.zeros(5)
    for draw in range(20):
        consensus = _draw(PRIOR, TRANSITION, 2000, 100 * seed + draw)
        _, found, losses = _solve(consensus, draw)
        wrong += losses > losses.min() + 1e-8
        assert np.abs(found - TRANSITION).mean() < 0.1
    # Each start is right more often than not.
    assert wrong.max() <= 8


def test_permuted_classes_are_aligned(seed):
    order = np.random.default_rng(seed).permutation(3)
    prior, transition = align_classes(PRIOR[order], TRANSITION[order])
    assert_allclose(prior, PRIOR)
    assert_allclose(transition, TRANSITION)
    mostly_wrong = TRANSITION[[1, 2, 0]]
    assert_allclose(align_classes(PRIOR, mostly_wrong[order], mostly_wrong)[1], mostly_wrong)
    # Where a solver ends up, the names of classes have no part in.
    consensus = expected_consensus(PRIOR, TRANSITION)
    renamed = consensus.take(order)
    assert isinstance(renamed, Consensus)
    expected = TRANSITION[np.ix_(order, order)]
    assert_allclose(_solve(renamed, seed)[1], expected, atol=1e-6)


def test_known_pairs_draw_the_transition(seed):
    consensus = expected_consensus(PRIOR, TRANSITION)
    known = np.diag(PRIOR) @ TRANSITION[[1, 0, 2]]
    gaps = []
    for scale in (0.01, 1.0, 1000.0):
        loss = ConsensusLoss(consensus, scale * known)
        _, _, transition = loss.minimize(PRIOR, TRANSITION)
        gaps.append(np.abs(transition - TRANSITION[[1, 0, 2]]).max())
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 0.01


def test_triples_by_hand():
    graph = neighbor_graph([[0.0], [1.0], [3.0], [7.0]], n_neighbors=3)
    class_weight = sparse.csr_matrix([[1.0, 0], [1, 1], [0, 3], [1, 0]])
    counts = label_triples(graph, class_weight, 2).count()
    # The neighbours are 1 and 2, 0 and 2, 1 and 0, 2 and 1.
    expected = np.zeros((2, 2, 2))
    expected[0, :, 1] += [0.5, 0.5]
    expected[:, 0, 1] += [1, 1]
    expected[1, :, 0] += [1.5, 1.5]
    expected[0, 1, :] += [0.5, 0.5]
    assert_allclose(counts, expected)
    more = label_triples(graph, class_weight, 3).count()
    assert_allclose(more.sum(axis=(1, 2)), [3, 4])
    triples = label_triples(graph, class_weight, 2)
    again = dataclasses.replace(triples, weight=2 * triples.weight)
    assert_allclose(again.count(), 2 * triples.count())
    assert_allclose(triples.count(np.ones(4)), triples.count())
    assert_allclose(triples.count(np.array([1, 1, 1, 3])).sum(), 9)


@pytest.mark.parametrize("n_neighbors", [2, 6])
def test_rows(seed, n_neighbors):
    X, y = _easy_rows(3000, seed)
    estimator = NeighborTransition(n_neighbors=n_neighbors, random_state=seed).fit(X, y)
    assert np.abs(estimator.transition_matrix_ - TRANSITION).mean() < 0.04
    assert_allclose(estimator.class_prior_, 1 / 3, atol=0.1)
    assert abs(estimator.noise_rate_ - 0.8 / 3) < 0.05
    assert estimator.n_neighbors_ == n_neighbors
    assert not hasattr(estimator, "transition_interval_")


def test_text_as_labels_and_sparse_rows(seed):
    X, y = _easy_rows(300, seed)
    plain = NeighborTransition(random_state=seed).fit(X, y)
    names = np.array(["wasp", "bee", "ant"])
    named = NeighborTransition(random_state=seed).fit(sparse.csr_matrix(X), names[y])
    assert named.classes_.tolist() == ["ant", "bee", "wasp"]
    expected = plain.transition_matrix_[::-1, ::-1]
    assert_allclose(named.transition_matrix_, expected, atol=1e-6)
    rng = np.random.default_rng(seed)
    wide = rng.poisson(np.where(np.arange(150) % 3 == y[:, None], 0.3, 0.01))
    wide = sparse.csr_matrix(wide)
    assert NeighborTransition().fit(wide, y).metric_ == "cosine"


def test_replicates_are_one_row(seed):
    X, y = _easy_rows(600, seed)
    weight = np.random.default_rng(seed).integers(0, 4, size=600)
    rows = np.repeat(np.arange(600), weight)
    weighed = NeighborTransition(random_state=seed).fit(X, y, sample_weight=weight)
    repeated = NeighborTransition(random_state=seed).fit(X[rows], y[rows])
    assert_allclose(weighed.transition_matrix_, repeated.transition_matrix_, atol=1e-6)
    # Replicated rows with the same wrong label are no neighbours of each other.
    copied = NeighborTransition(random_state=seed).fit(np.repeat(X, 3, axis=0), np.repeat(y, 3))
    single = NeighborTransition(random_state=seed).fit(X, y)
    assert_allclose(copied.transition_matrix_, single.transition_matrix_, atol=1e-6)


def test_precomputed_graph(seed):
    X, y = _easy_rows(200, seed)
    graph = KNeighborsTransformer(n_neighbors=5).fit_transform(X)
    estimator = NeighborTransition(metric="precomputed", random_state=seed).fit(graph, y)
    plain = NeighborTransition(metric="euclidean", scale=None, random_state=seed).fit(X, y)
    assert_allclose(estimator.transition_matrix_, plain.transition_matrix_, atol=1e-6)


def test_intervals_cover(seed):
    inside = []
    for draw in range(4):
        X, y = _easy_rows(900, 10 * seed + draw)
        estimator = NeighborTransition(
            metric="euclidean", scale=None, n_bootstrap=60, random_state=seed
        ).fit(X, y)
        low, high = estimator.transition_interval_
        assert (low <= estimator.transition_matrix_ + 0.02).all()
        assert (high >= estimator.transition_matrix_ - 0.02).all()
        inside.append((low <= TRANSITION) & (high >= TRANSITION))
    assert np.mean(inside) > 0.85
    assert not hasattr(estimator.set_params(n_bootstrap=0).fit(X, y), "transition_interval_")


def test_verified_rows_help(seed):
    X, truth, _ = make_rows(150, noise=0, seed=seed, distance=2.0)
    plain, helped = [], []
    for draw in range(5):
        y = flip_labels(truth, TRANSITION, random_state=10 * seed + draw)[0]
        checked = np.random.default_rng(draw).random(150) < 0.5
        verified = np.where(checked, truth, np.nan)
        estimator = NeighborTransition(random_state=seed)
        for errors, given in ((plain, None), (helped, verified)):
            fit_silently(estimator, X, y, verified_labels=given)
            errors.append(np.abs(estimator.transition_matrix_ - TRANSITION).mean())
    assert np.mean(helped) < np.mean(plain)


def test_what_is_refused():
    X = np.repeat(np.arange(2.0)[:, None], 4, axis=0)
    y = np.arange(8) % 2
    with pytest.raises(ValueError, match="n_neighbors=2 .*distinct rows.* found 2"):
        NeighborTransition().fit(X, y)
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="101 classes.*AnchorTransition"):
        NeighborTransition().fit(rng.normal(size=(303, 2)), np.arange(303) % 101)
    with pytest.raises(ValueError, match="The class 'c' was given to no row that counts"):
        NeighborTransition().fit(
            rng.normal(size=(30, 2)), list("abc") * 10, sample_weight=[1, 1, 0] * 10
        )


def test_mostly_wrong_labels_warn(seed):
    transition = np.array([[0.3, 0.7, 0.0], [0.1, 0.9, 0.0], [0.0, 0.1, 0.9]])
    X, y = _easy_rows(1500, seed, transition)
    with pytest.warns(LabelNoiseWarning, match=r"class 0 is given the label 1 more often than 0"):
        NeighborTransition(n_neighbors=6, random_state=seed).fit(X, y)


def test_many_classes_take_bounded_memory(seed):
    n_classes = 60
    transition = random_transition(n_classes, 0.2, random_state=seed)
    prior = np.full(n_classes, 1 / n_classes)
    loss = ConsensusLoss(expected_consensus(prior, transition))
    start = 0.9 * transition + 0.1 / n_classes
    assert loss(np.sqrt(np.concatenate([prior, start.ravel()])))[0] > 0
    assert_allclose(loss(np.sqrt(np.concatenate([prior, transition.ravel()])))[0], 0, atol=1e-20)
