"""Neighbour votes: by hand, on real features, and what is refused."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.datasets import make_blobs
from sklearn.neighbors import KNeighborsTransformer
from sklearn.pipeline import make_pipeline

from skrobust.detection import NeighborVote
from skrobust.evidence import neighbor_graph
from skrobust.evidence._neighbor_evidence import log_losses, mean_shares, vote_shares
from skrobust.noise import flip_labels
from skrobust.testing._outputs import rank_auc
from skrobust.testing._problems import make_rows


def test_votes_by_hand():
    # Distances 1 and 2: weights 1 - 1 / 2.2 and 1 - 2 / 2.2, and a vote shared by both classes.
    graph = neighbor_graph([[0.0], [1.0], [-2.0], [9.0]], n_neighbors=2)
    class_weight = sparse.csr_matrix([[1.0, 0], [1, 0], [0, 1], [1, 0]])
    shares = vote_shares(graph, class_weight)
    near, far = 1 - 1 / 2.2, 1 - 2 / 2.2
    np.testing.assert_allclose(shares[0], np.array([near + 0.5, far + 0.5]) / (near + far + 1))
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    expected = -(np.log(shares[[0, 1, 3], 0]).sum() + np.log(shares[2, 1])) / 4
    losses = log_losses(shares, class_weight)
    np.testing.assert_allclose(np.average(losses, weights=class_weight.data), expected)
    # Replicates of a row all count, and a row without votes has the prior.
    graph = neighbor_graph([[0.0]] * 3, n_neighbors=2)
    np.testing.assert_allclose(vote_shares(graph, class_weight[:3])[0], [0.5, 0.5])
    np.testing.assert_allclose(vote_shares(sparse.csr_matrix((1, 3)), class_weight[:3]), 0.5)


def test_a_label_takes_no_part_in_the_vote_about_it(seed):
    X, y, _ = make_rows(90, seed=seed)
    quality = NeighborVote(n_neighbors=5, metric="euclidean").fit(X, y).label_quality_
    for row in (3, 40):
        changed = y.copy()
        changed[row] = (y[row] + 1) % 3
        other = NeighborVote(n_neighbors=5, metric="euclidean").fit(X, changed)
        # Two labels of one row share out the votes for both and the strongest other one.
        assert quality[row] + other.label_quality_[row] <= 1 + 1e-9
        same = neighbor_graph(X, n_neighbors=10).toarray()[:, row] == 0
        same[row] = False
        assert np.isclose(quality[same], other.label_quality_[same]).mean() > 0.8


@pytest.mark.parametrize("method", ["vote", "rank", "shapley"])
@pytest.mark.parametrize("n_rounds", [0, 5])
def test_planted_errors_are_found(seed, method, n_rounds):
    X, y, planted = make_rows(300, noise=0.25, seed=seed)
    detector = NeighborVote(method=method, n_rounds=n_rounds, random_state=seed).fit(X, y)
    assert rank_auc(-detector.label_quality_, planted) > 0.97
    assert (detector.label_errors_ == planted).mean() > 0.9
    assert abs(detector.noise_rate_ - 0.25) < 0.1


def test_rank_knows_how_many_labels_of_each_class_are_wrong(seed):
    X, truth, _ = make_rows(900, noise=0, seed=seed, distance=3.0)
    transition = np.array([[1.0, 0.0, 0.0], [0.4, 0.6, 0.0], [0.0, 0.2, 0.8]])
    y = flip_labels(truth, transition, random_state=seed)[0]
    detector = NeighborVote(method="rank").fit(X, y)
    assert np.abs(detector.transition_matrix_ - transition).mean() < 0.06
    assert abs(detector.noise_rate_ - 0.2) < 0.05
    # The confident joint counts where neighbours are too few.
    few = NeighborVote(n_neighbors=1, method="rank").fit(X, y)
    assert (few.label_errors_ == (truth != y)).mean() > 0.6
    assert few.n_neighbors_ == 1


def test_rounds_leave_out_a_tenth(seed):
    X, y, _ = make_rows(100, seed=seed)
    graph = neighbor_graph(X, n_neighbors=15)
    class_weight = sparse.csr_matrix(np.eye(3)[y])
    single = mean_shares(graph, class_weight, 10, n_rounds=0, random_state=None)
    rng = np.random.RandomState(seed)
    many = mean_shares(graph, class_weight, 10, n_rounds=200, random_state=rng)
    assert 0 < np.abs(single - many).mean() < 0.02
    graph = neighbor_graph(X, n_neighbors=10)
    np.testing.assert_allclose(single, vote_shares(graph, class_weight))


def test_distances_are_chosen_by_what_predicts_labels(seed):
    rng = np.random.default_rng(seed)
    y = np.arange(200) % 2
    angle = np.where(y == 0, 0.3, 1.2) + rng.normal(scale=0.15, size=200)
    X = rng.lognormal(sigma=2, size=(200, 1)) * np.column_stack([np.cos(angle), np.sin(angle)])
    detector = NeighborVote().fit(X, y)
    assert (detector.metric_, detector.scale_) == ("cosine", None)
    X = np.column_stack([np.exp(3 * y + rng.normal(size=200)), np.ones(200)])
    X = np.column_stack([X, 1e6 * rng.normal(size=200)])
    detector = NeighborVote().fit(X, y)
    assert (detector.metric_, detector.scale_) == ("euclidean", "rank")
    assert NeighborVote(scale="standard").fit(X, y).metric_ == "euclidean"
    assert NeighborVote(scale=None).fit(X, y).metric_ == "cosine"
    assert NeighborVote(metric="manhattan").fit(X, y).scale_ == "rank"


def test_precomputed_graphs(seed):
    X, y, planted = make_rows(150, seed=seed)
    plain = NeighborVote(n_neighbors=10, metric="euclidean", scale=None, store_estimators=True)
    plain.fit(X, y)
    transformer = KNeighborsTransformer(mode="distance", n_neighbors=12)
    detector = NeighborVote(n_neighbors=10, metric="precomputed", store_estimators=True)
    pipeline = make_pipeline(transformer, detector).fit(X, y)
    np.testing.assert_allclose(pipeline[-1].label_quality_, plain.label_quality_, rtol=1e-4)
    new = X + 0.01
    np.testing.assert_allclose(
        pipeline[-1].score_labels(transformer.transform(new), y),
        plain.score_labels(new, y),
        rtol=1e-3,
    )
    few = NeighborVote(metric="precomputed").fit(transformer.transform(X), y)
    assert few.n_neighbors_ == 12
    with pytest.raises(ValueError, match="n_neighbors=40"):
        NeighborVote(n_neighbors=40, metric="precomputed").fit(transformer.transform(X), y)
    with pytest.raises(ValueError, match="scale='rank'"):
        NeighborVote(metric="precomputed", scale="rank").fit(transformer.transform(X), y)
    # Replicates have no vote for one another: their distances are zero.
    rows = np.repeat(np.arange(150), 1 + planted)
    graph = transformer.fit_transform(X[rows])
    detector = NeighborVote(metric="precomputed").fit(graph, y[rows])
    assert rank_auc(-detector.label_quality_, planted[rows]) > 0.95


def test_too_many_neighbours_are_refused():
    X, y, _ = make_rows(30)
    X, y = np.repeat(X, 2, axis=0), np.repeat(y, 2)
    with pytest.raises(ValueError, match="n_neighbors=30 .*distinct rows.* found 30"):
        NeighborVote(n_neighbors=30).fit(X, y)
    assert NeighborVote(n_neighbors=29).fit(X, y).n_neighbors_ == 29
    assert NeighborVote().fit(X, y).n_neighbors_ == 29


def test_text_is_refused_with_advice():
    texts = ["good film", "bad film", "good book", "bad book"]
    with pytest.raises((TypeError, ValueError), match="ConfidentLearning"):
        NeighborVote().fit(texts, [1, 0, 1, 0])


def test_wide_sparse_rows(seed):
    rng = np.random.default_rng(seed)
    y = np.arange(200) % 2
    X = sparse.csr_matrix(rng.poisson(np.where((np.arange(300) % 2) == y[:, None], 0.2, 0.02)))
    given = np.where(rng.random(200) < 0.2, 1 - y, y)
    detector = NeighborVote().fit(X, given)
    assert detector.metric_ == "cosine"
    assert rank_auc(-detector.label_quality_, given != y) > 0.95
    with pytest.raises(ValueError, match="scale='rank'"):
        NeighborVote(scale="rank").fit(X, given)


def test_verified_labels_vote(seed):
    X, y, planted = make_rows(120, noise=0.4, seed=seed)
    truth = make_rows(120, noise=0, seed=seed)[1]
    looked = np.arange(120) % 2 == 0
    verified = np.where(looked, truth, np.nan)
    rest = ~looked
    plain = NeighborVote().fit(X, y).label_quality_[rest]
    helped = NeighborVote().fit(X, y, verified_labels=verified).label_quality_[rest]
    assert rank_auc(-helped, planted[rest]) >= rank_auc(-plain, planted[rest])


def test_image_features_with_human_errors(data_dir):
    X = np.load(data_dir / "cifar10n" / "features256.npz")["X_train"][:4000].astype(np.float32)
    labels = np.load(data_dir / "cifar10n" / "labels.npz")
    y, truth = labels["worse_label"][:4000], labels["clean_label"][:4000]
    detector = NeighborVote().fit(X, y)
    assert detector.metric_ == "cosine"
    assert rank_auc(-detector.label_quality_, y != truth) > 0.8


def test_plain_distances_are_chosen_where_they_predict_best():
    X, truth = make_blobs(1000, centers=5, random_state=1, cluster_std=0.5)
    y = truth.copy()
    rows = np.random.default_rng(0).choice(1000, 5, replace=False)
    y[rows] = (y[rows] + 1) % 5
    detector = NeighborVote(random_state=0).fit(X, y)
    assert (detector.metric_, detector.scale_) == ("euclidean", None)
    assert_array_equal(np.flatnonzero(detector.label_errors_), np.sort(rows))
    # A column on a scale of its own must not decide alone.
    stretched = np.column_stack([X, np.random.default_rng(1).normal(scale=1000, size=1000)])
    detector = NeighborVote(random_state=0).fit(stretched, y)
    assert (detector.metric_, detector.scale_) == ("euclidean", "rank")
