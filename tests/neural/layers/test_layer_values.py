"""What each layer is by itself: widths, directions, information, noise."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import stats

from skrobust.neural.layers import FixedSimplex, HiddenNoise, NestedDropout, VariationalBottleneck


@pytest.fixture(autouse=True)
def _fork(seed):
    """The default generator of torch is put back after each test."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


# Nested dropout ------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma, mean, bound", [(10, 5.97, 18), (100, 56.7, 182)])
def test_distribution_of_widths(sigma, mean, bound):
    """What the published settings amount to."""
    layer = NestedDropout(1000, sigma=sigma)
    widths = np.arange(1, 1001)
    assert layer.proba.sum() == pytest.approx(1)
    assert_allclose(layer.proba[3] / layer.proba[0], np.exp((1 - 16) / sigma**2))
    assert widths @ layer.proba == pytest.approx(mean, rel=2e-3)
    assert layer.proba[: bound + 2].sum() > 0.99 > layer.proba[: bound - 3].sum()


def test_default_and_tiny_sigma():
    assert_allclose(NestedDropout(80).proba, NestedDropout(80, sigma=40.0).proba)
    assert_allclose(NestedDropout(3).proba, NestedDropout(3, sigma=1.5).proba)
    assert_allclose(NestedDropout(3, sigma=1e-3).proba, [1, 0, 0])
    assert_allclose(NestedDropout(1).proba, [1])


def test_widths_are_drawn_from_the_distribution():
    layer = NestedDropout(12, sigma=6.0)
    counts = np.bincount([layer.draw_width() for _ in range(4000)], minlength=13)[1:]
    assert counts.sum() == 4000
    # Must hold for a hundred seeds.
    assert stats.chisquare(counts, 4000 * layer.proba).pvalue > 1e-5


@pytest.mark.parametrize("axis, shape", [(-1, (5, 8)), (1, (5, 8)), (1, (5, 8, 3, 2)), (0, (8,))])
def test_one_prefix_for_the_whole_batch(axis, shape):
    layer = NestedDropout(8, sigma=5.0, axis=axis)
    features = torch.rand(shape) + 1
    for _ in range(30):
        kept = layer(features).movedim(axis, 0)
        whole = features.movedim(axis, 0)
        assert torch.equal(kept[: layer.last_width], whole[: layer.last_width])
        assert (kept[layer.last_width :] == 0).all()


def test_what_is_dropped_may_be_infinite_and_has_no_gradient():
    layer = NestedDropout(4)
    layer.fixed_width = 2
    features = torch.tensor([[1.0, 2.0, torch.inf, torch.nan]], requires_grad=True)
    kept = layer(features)
    kept.sum().backward()
    assert kept.tolist() == [[1, 2, 0, 0]]
    assert features.grad.tolist() == [[1, 1, 0, 0]]


def test_logits_of_all_widths_are_cumulative_sums():
    layer = NestedDropout(6).eval()
    head = torch.nn.Linear(6, 3, bias=False)
    features = torch.randn(5, 6)
    sums = (features.unsqueeze(1) * head.weight).cumsum(dim=2)
    for width in range(1, 7):
        layer.width = width
        torch.testing.assert_close(head(layer(features)), sums[:, :, width - 1])
    layer.width = None
    assert torch.equal(layer(features), features)


def test_two_layers_share_a_width():
    first, second = NestedDropout(50), NestedDropout(50)
    features = torch.ones(2, 50)
    for _ in range(5):
        first.fixed_width = second.fixed_width = first.draw_width()
        assert torch.equal(first(features), second(features))
    # Only in training mode, as `width` counts in evaluation mode only.
    assert torch.equal(first.eval()(features), features)
    first.train().fixed_width = None
    first.width = 3
    assert len({int(first(features).sum()) for _ in range(20)}) > 1


@pytest.mark.parametrize("name", ["width", "fixed_width"])
def test_bad_widths(name):
    layer = NestedDropout(4)
    for value in (0, 5):
        with pytest.raises(ValueError, match=f"^{name} must be from 1 to 4, got {value}"):
            setattr(layer, name, value)
    for value in (2.0, True, "all"):
        with pytest.raises(TypeError, match=f"^{name} must be an integer or None, got {value!r}"):
            setattr(layer, name, value)
    setattr(layer, name, np.int64(2))
    assert type(getattr(layer, name)) is int


# Fixed simplex -------------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3, 10])
@pytest.mark.parametrize("surplus", [0, 5])
def test_directions_are_a_regular_simplex(n_classes, surplus):
    weight = FixedSimplex(n_classes - 1 + surplus, n_classes).weight.double().numpy()
    cosines = np.full((n_classes, n_classes), -1 / (n_classes - 1))
    np.fill_diagonal(cosines, 1)
    assert_allclose(weight @ weight.T, cosines, atol=1e-6)
    assert_allclose(weight.sum(axis=0), 0, atol=1e-6)
    assert (weight[:, n_classes - 1 :] == 0).all()


@pytest.mark.parametrize("n_classes", [2, 3, 100])
def test_default_scale_allows_for_a_sure_class(n_classes):
    layer = FixedSimplex(n_classes, n_classes)
    proba = layer(7.0 * layer.weight).softmax(dim=1)
    assert_allclose(proba.diagonal().numpy(), 0.99, rtol=1e-4)


def test_logits_are_scaled_cosines():
    layer = FixedSimplex(6, 4, scale=3.0)
    features = torch.randn(5, 6)
    cosines = torch.nn.functional.cosine_similarity(
        features.unsqueeze(1), layer.weight.unsqueeze(0), dim=2
    )
    torch.testing.assert_close(layer(features), 3 * cosines)
    torch.testing.assert_close(layer(1e3 * features), layer(features))
    assert layer(features.reshape(1, 5, 6)).shape == (1, 5, 4)


def test_nothing_is_learned_and_the_buffer_moves():
    layer = FixedSimplex(6, 4)
    assert not list(layer.parameters())
    assert list(dict(layer.named_buffers())) == ["weight"]
    assert layer.double().weight.dtype == torch.float64


def test_a_row_of_zeros_has_equal_scores_and_a_moderate_gradient():
    features = torch.zeros(2, 6, requires_grad=True)
    logits = FixedSimplex(6, 4)(features)
    logits[:, 0].sum().backward()
    assert (logits == 0).all()
    assert features.grad.abs().max() < 100


# Bottleneck ----------------------------------------------------------------------------------


def test_information_is_that_of_torch():
    layer = VariationalBottleneck(6, n_latent=3).double()
    features = 3 * torch.randn(7, 6, dtype=torch.float64)
    layer(features)
    mean, log_variance = layer.encoder(features).chunk(2, dim=1)
    passed = torch.distributions.Normal(mean, (log_variance / 2).exp())
    normal = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    wanted = torch.distributions.kl_divergence(passed, normal).sum(dim=1)
    torch.testing.assert_close(layer.kl, wanted)


def test_samples_have_mean_and_variance():
    layer = VariationalBottleneck(4, n_latent=2)
    features = torch.randn(1, 4).repeat(20_000, 1)
    drawn = layer(features)
    mean, log_variance = layer.encoder(features[:1]).detach().chunk(2, dim=1)
    assert_allclose(drawn.mean(dim=0).detach(), mean[0], atol=0.05)
    assert_allclose(drawn.var(dim=0).detach(), log_variance[0].exp(), rtol=0.08)
    torch.testing.assert_close(layer.eval()(features)[:1], mean)


def test_penalty_moves_the_network_and_dual_loss_the_price():
    layer = VariationalBottleneck(4, target_kl=0.5, log_beta=-1.0)
    layer(torch.randn(9, 4))
    excess = layer.kl.mean().item() - 0.5
    assert layer.penalty().item() == pytest.approx(np.exp(-1) * excess, rel=1e-5)
    assert layer.dual_loss().item() == pytest.approx(excess, rel=1e-5)
    layer.penalty().backward()
    assert layer.log_beta.grad is None
    assert layer.encoder.weight.grad.abs().sum() > 0
    layer.zero_grad()
    layer.dual_loss().backward()
    assert layer.encoder.weight.grad is None
    # Descending on it raises the price while too much passes.
    assert layer.log_beta.grad.item() == pytest.approx(-excess, rel=1e-5)


@pytest.mark.parametrize("log_beta, direction", [(-6.0, 1), (4.0, -1)])
def test_the_price_moves_towards_the_target(log_beta, direction):
    """The task wants features as large as can be: the more passes, the lower the price."""
    layer = VariationalBottleneck(3, n_latent=2, target_kl=2.0, log_beta=log_beta)
    features = torch.randn(64, 3)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        gain = (layer(features) * features[:, :2]).sum(dim=1).mean()
        (layer.penalty() + layer.dual_loss() - gain).backward()
        optimizer.step()
    assert direction * (layer.log_beta.item() - log_beta) > 0.5
    assert direction * (layer.kl.mean().item() - 2.0) > 0


def test_no_penalty_before_a_batch():
    with pytest.raises(RuntimeError, match="before a batch"):
        VariationalBottleneck(4).penalty()


# Hidden noise --------------------------------------------------------------------------------


def test_size_of_the_noise_by_hand():
    h = np.array([0.5, -1.0, 2.0, 7.0, 1.0])
    distance = np.abs(h - 1.0)
    mad = np.median(distance)
    factor = min(np.exp(h.var() / h.mean() ** 2), 5)
    wanted = 0.2 * h.std() * mad * np.exp(-0.1 * distance / mad) * factor
    std = HiddenNoise(0.2).noise_std(torch.from_numpy(h)[None])
    assert_allclose(std[0].numpy(), wanted)


def test_noise_has_that_size_and_is_only_added_in_training():
    layer = HiddenNoise(0.1)
    row = torch.randn(1, 8) + 2
    features = row.repeat(20_000, 1)
    noise = layer(features) - features
    std = layer.noise_std(row)[0]
    assert_allclose(noise.std(dim=0), std, rtol=0.05)
    assert (noise.mean(dim=0).abs() < 6 * std / 20_000**0.5).all()
    assert torch.equal(layer.eval()(features), features)


def test_constant_sparse_and_single_features():
    layer = HiddenNoise(0.5)
    for rows in (torch.zeros(3, 4), torch.full((3, 4), -2.0), torch.randn(3, 1), torch.zeros(0, 4)):
        assert torch.equal(layer(rows), rows)
    # Most entries are the same, so that the median distance is zero.
    sparse = torch.tensor([[0.0, 0.0, 0.0, 0.0, 3.0]])
    std = layer.noise_std(sparse)
    assert torch.isfinite(std).all()
    assert (std > 0).all()


def test_noise_of_images_is_by_row_and_has_no_gradient():
    layer = HiddenNoise()
    images = torch.randn(3, 2, 4, 4)
    torch.testing.assert_close(layer.noise_std(images)[1], layer.noise_std(images[1:2])[0])
    images.requires_grad_()
    layer(images).sum().backward()
    assert (images.grad == 1).all()
