"""What each loss is by itself: values known exactly, and what it is there for."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from skrobust.neural.losses import (
    CORES,
    ActivePassiveLoss,
    BackwardCorrected,
    Bootstrapping,
    CrossEntropy,
    ForwardCorrected,
    GeneralizedCrossEntropy,
    LabelSmoothing,
    MeanAbsoluteError,
    NormalizedCrossEntropy,
    PeerLoss,
    SoftDice,
    SymmetricCrossEntropy,
    TripletAlignment,
    VolumeMinimizing,
)
from skrobust.noise import random_transition, symmetric_transition, unbiased_labels

# The given label is class 0, with these probabilities.
PROBA = torch.tensor([[0.9, 0.1], [0.5, 0.5], [0.1, 0.9]], dtype=torch.float64)
GIVEN = torch.zeros(3, dtype=torch.int64)
T = np.array([[0.8, 0.2, 0.0], [0.1, 0.7, 0.2], [0.05, 0.05, 0.9]])


def _draw(seed, n_samples=20, n_classes=3):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n_samples, n_classes, generator=generator, dtype=torch.float64)
    codes = torch.randint(n_classes, (n_samples,), generator=generator)
    return 1.5 * logits, codes


@pytest.mark.parametrize(
    "loss, values",
    [
        (CrossEntropy(reduction="none"), [0.105361, 0.693147, 2.302585]),
        (GeneralizedCrossEntropy(0.7, reduction="none"), [0.101569, 0.549183, 1.143534]),
        (SymmetricCrossEntropy(0, 1, reduction="none"), [0.4, 2.0, 3.6]),
        (SymmetricCrossEntropy(0.1, 1, reduction="none"), [0.410536, 2.069315, 3.830259]),
        (MeanAbsoluteError(reduction="none"), [0.2, 1.0, 1.8]),
        (NormalizedCrossEntropy(reduction="none"), [0.043755, 0.5, 0.956245]),
        (ActivePassiveLoss(reduction="none"), [0.443755, 2.5, 4.556245]),
        (ActivePassiveLoss(passive="mae", reduction="none"), [0.243755, 1.5, 2.756245]),
        (LabelSmoothing(0.2, reduction="none"), [0.325083, 0.693147, 2.082863]),
    ],
)
def test_known_values(loss, values):
    assert_allclose(loss(PROBA.log(), GIVEN).numpy(), values, atol=1e-6)


# Cross-entropy, generalized ------------------------------------------------------------------


def test_cross_entropy_is_that_of_torch(seed):
    logits, codes = _draw(seed)
    reference = torch.nn.functional.cross_entropy
    torch.testing.assert_close(CrossEntropy()(logits, codes), reference(logits, codes))
    soft = _draw(seed + 1)[0].softmax(dim=1)
    torch.testing.assert_close(CrossEntropy()(logits, soft), reference(logits, soft))


def test_generalized_cross_entropy_between_its_limits(seed):
    logits, codes = _draw(seed)
    almost_zero = GeneralizedCrossEntropy(1e-7)(logits, codes)
    torch.testing.assert_close(almost_zero, CrossEntropy()(logits, codes), rtol=1e-5, atol=1e-5)
    one = GeneralizedCrossEntropy(1)(logits, codes)
    torch.testing.assert_close(2 * one, MeanAbsoluteError()(logits, codes))


def test_truncation_starts_after_the_warmup():
    loss = GeneralizedCrossEntropy(truncation=0.5, warmup=2, reduction="none")
    plain = GeneralizedCrossEntropy(reduction="none")(PROBA.log(), GIVEN)
    for epoch in (None, 0, 1):
        if epoch is not None:
            loss.on_epoch(epoch)
        assert torch.equal(loss(PROBA.log(), GIVEN), plain)
    loss.on_epoch(2)
    logits = PROBA.log().requires_grad_()
    rows = loss(logits, GIVEN)
    assert_allclose(rows.detach().numpy(), [0.101569, 0.549183, 0.549183], atol=1e-6)
    rows.sum().backward()
    assert (logits.grad[2] == 0).all()
    assert (logits.grad[0] != 0).all()


# Symmetric ones ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "loss, total",
    [
        (MeanAbsoluteError(reduction="none"), 4.0),
        (NormalizedCrossEntropy(reduction="none"), 1.0),
        (SymmetricCrossEntropy(0, 1, reduction="none"), 8.0),
        (ActivePassiveLoss(alpha=2, beta=3, reduction="none"), 26.0),
    ],
)
def test_symmetric_losses_sum_to_a_constant_over_labels(loss, total, seed):
    logits, _ = _draw(seed)
    rows = [loss(logits, torch.full((20,), label)) for label in range(3)]
    torch.testing.assert_close(sum(rows), torch.full((20,), total, dtype=torch.float64))


def test_symmetric_cross_entropy_is_an_active_passive_loss(seed):
    logits, codes = _draw(seed)
    torch.testing.assert_close(
        SymmetricCrossEntropy(0.3, 0.6, log_zero=-5.0)(logits, codes),
        ActivePassiveLoss("ce", "rce", 0.3, 0.6, log_zero=-5.0)(logits, codes),
    )


def test_absolute_error_and_reverse_cross_entropy_of_soft_labels():
    logits = torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64).log()
    soft = torch.tensor([[0.5, 0.499, 0.001]], dtype=torch.float64)
    assert_allclose(MeanAbsoluteError()(logits, soft).item(), 0.2 + 0.299 + 0.099)
    reverse = SymmetricCrossEntropy(0, 1)(logits, soft).item()
    assert_allclose(reverse, -0.7 * np.log(0.5) - 0.2 * np.log(0.499) + 0.1 * 4)


# Other targets -------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [-3.0, -0.2, 0.0, 0.3])
def test_smoothing_is_cross_entropy_of_smoothed_labels(smoothing, seed):
    logits, codes = _draw(seed)
    one_hot = torch.nn.functional.one_hot(codes, 3).double()
    smoothed = (1 - smoothing) * one_hot + smoothing / 3
    torch.testing.assert_close(
        LabelSmoothing(smoothing)(logits, codes), CrossEntropy()(logits, smoothed)
    )


def test_bootstrapping_mixes_in_predictions(seed):
    logits, codes = _draw(seed)
    one_hot = torch.nn.functional.one_hot(codes, 3).double()
    proba = logits.softmax(dim=1)
    hard = torch.nn.functional.one_hot(logits.argmax(dim=1), 3).double()
    for kind, own in (("soft", proba), ("hard", hard)):
        torch.testing.assert_close(
            Bootstrapping(0.6, kind=kind)(logits, codes),
            CrossEntropy()(logits, 0.6 * one_hot + 0.4 * own),
        )
    assert torch.equal(Bootstrapping(1)(logits, codes), CrossEntropy()(logits, codes))


# Transition matrices -------------------------------------------------------------------------


def test_forward_correction_by_hand(seed):
    logits, codes = _draw(seed)
    given = logits.softmax(dim=1) @ torch.from_numpy(T)
    wanted = -given.gather(1, codes[:, None]).log().squeeze(1)
    torch.testing.assert_close(ForwardCorrected(T, reduction="none")(logits, codes), wanted)


@pytest.mark.parametrize("cls", [ForwardCorrected, BackwardCorrected])
def test_identity_is_plain_cross_entropy(cls, seed):
    logits, codes = _draw(seed)
    logits[0] = torch.tensor([1e4, 0.0, -1e4], dtype=torch.float64)
    codes[0] = 2
    rows = cls(np.eye(3), reduction="none")(logits, codes)
    torch.testing.assert_close(rows, CrossEntropy(reduction="none")(logits, codes))


def test_forward_correction_is_minimal_at_the_true_classes():
    noise = torch.from_numpy(T)
    for k in range(3):
        logits = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([logits], max_iter=50, line_search_fn="strong_wolfe")
        loss = ForwardCorrected(T)

        def closure(k=k, logits=logits, optimizer=optimizer, loss=loss):
            optimizer.zero_grad()
            value = loss(logits, noise[[k]])
            value.backward()
            return value

        optimizer.step(closure)
        assert logits.softmax(dim=1)[0, k] > 0.95


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_backward_correction_is_unbiased(n_classes, seed):
    transition = random_transition(n_classes, 0.3, random_state=seed)
    logits, true = _draw(seed, n_classes=n_classes)
    loss = BackwardCorrected(transition, reduction="none")
    costs = torch.stack([loss(logits, torch.full((20,), k)) for k in range(n_classes)], dim=1)
    mean = (torch.from_numpy(transition)[true] * costs).sum(dim=1)
    torch.testing.assert_close(mean, CrossEntropy(reduction="none")(logits, true))


def test_backward_correction_has_the_targets_of_unbiased_labels(seed):
    logits, codes = _draw(seed)
    targets = torch.from_numpy(unbiased_labels(codes.numpy(), T, indicator=True))
    torch.testing.assert_close(BackwardCorrected(T)(logits, codes), CrossEntropy()(logits, targets))


def test_negative_smoothing_undoes_symmetric_noise(seed):
    logits, codes = _draw(seed)
    # All labels are drawn anew with probability .4.
    transition = symmetric_transition(3, 0.4, include_self=True)
    torch.testing.assert_close(
        BackwardCorrected(transition)(logits, codes), LabelSmoothing(-2 / 3)(logits, codes)
    )


def test_transition_may_be_a_tensor_and_is_copied(seed):
    logits, codes = _draw(seed)
    array = T.copy()
    loss = ForwardCorrected(array)
    wanted = loss(logits, codes)
    array[:] = 0
    assert torch.equal(loss(logits, codes), wanted)
    assert torch.equal(ForwardCorrected(torch.from_numpy(T))(logits, codes), wanted)


def test_volume_minimizing_by_hand(seed):
    logits, codes = _draw(seed)
    loss = VolumeMinimizing(3, penalty=0.01, start=-1.0).double()
    with torch.no_grad():
        loss.log_odds += _draw(seed, 3)[0]
    matrix = loss.transition_matrix
    odds = 1 / (1 + np.exp(-loss.log_odds.detach().numpy()))
    np.fill_diagonal(odds, 1)
    assert_allclose(matrix, odds / odds.sum(axis=1, keepdims=True))
    given = (logits.softmax(dim=1) @ torch.from_numpy(matrix)).gather(1, codes[:, None])
    volume = 0.01 * np.log(abs(np.linalg.det(matrix)))
    torch.testing.assert_close(loss(logits, codes), volume - given.log().mean())
    torch.testing.assert_close(loss(logits, codes, torch.full((20,), 7.0)), loss(logits, codes))


def test_volume_minimizing_learns_the_matrix(seed):
    """Rows that surely belong to one class, with labels in the shares of the matrix."""
    wanted = symmetric_transition(3, 0.3)
    logits = 8 * torch.eye(3)
    loss = VolumeMinimizing(3, start=-3.0)
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        loss(logits, torch.from_numpy(wanted)).backward()
        optimizer.step()
    assert_allclose(loss.transition_matrix, wanted, atol=0.01)


@pytest.mark.parametrize("log_odds", [-1e4, 1e4])
def test_volume_minimizing_is_finite_at_its_ends(log_odds):
    loss = VolumeMinimizing(5)
    torch.nn.init.constant_(loss.log_odds, log_odds)
    value = loss(torch.zeros(2, 5), torch.tensor([0, 4]))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(loss.log_odds.grad).all()


# CORES and peer loss -------------------------------------------------------------------------


def test_cores_by_hand(seed):
    logits, codes = _draw(seed)
    loss = CORES(2.0, warmup=0, ramp=0, sieve=1, floor=0, reduction="none")
    costs = -logits.log_softmax(dim=1)
    given = costs.gather(1, codes[:, None]).squeeze(1)
    wanted = given - 2 * costs.mean(dim=1)
    torch.testing.assert_close(loss(logits, codes), wanted)
    loss.on_epoch(1)
    wanted[given > costs.mean(dim=1)] = 0
    torch.testing.assert_close(loss(logits, codes), wanted)


def test_cores_follows_its_schedule():
    loss = CORES(2.0)
    seen = {}
    for epoch in range(60):
        loss.on_epoch(epoch)
        seen[epoch] = (loss.present_beta, loss.sieves)
    assert all(seen[epoch] == (0, False) for epoch in range(11))
    assert_allclose([seen[epoch][0] for epoch in range(10, 41)], np.linspace(0, 2, 31))
    assert seen[29] == (pytest.approx(2 * 19 / 30), False)
    assert all(seen[epoch][1] for epoch in range(30, 60))
    assert all(seen[epoch][0] == 2 for epoch in range(40, 60))


def test_cores_without_calls_is_in_the_first_epoch(seed):
    logits, codes = _draw(seed)
    torch.testing.assert_close(CORES(floor=0)(logits, codes), CrossEntropy()(logits, codes))
    step = CORES(warmup=3, ramp=0, sieve=None)
    betas = []
    for epoch in (2, 3, 100):
        step.on_epoch(epoch)
        betas.append((step.present_beta, step.sieves))
    assert betas == [(0, False), (2, False), (2, False)]


@pytest.mark.parametrize("loss", [CORES(warmup=0, ramp=0, sieve=None), PeerLoss()])
def test_rewards_have_a_limit(loss):
    """However sure the network is, it gains no more than the floor allows."""
    values = [loss(size * torch.eye(3), torch.arange(3)).item() for size in (1e2, 1e4)]
    assert min(values) > 2 * np.log(1e-8)
    assert values[0] == pytest.approx(values[1]) or isinstance(loss, PeerLoss)


def test_peer_loss_draws_from_the_default_generator(seed):
    logits, codes = _draw(seed)
    values = []
    with torch.random.fork_rng(devices=[]):
        for again in (seed, seed, seed + 1):
            torch.manual_seed(again)
            values.append(PeerLoss()(logits, codes).item())
    assert values[0] == values[1] != values[2]
    assert torch.equal(PeerLoss(0, floor=0)(logits, codes), CrossEntropy()(logits, codes))


@pytest.mark.parametrize("weighted", [False, True])
def test_peer_loss_on_average(weighted, seed):
    """Predictions and labels of peers are independent, in the shares of their weights."""
    logits, codes = _draw(seed, 6)
    weight = torch.tensor([0.0, 1.0, 1.0, 2.0, 3.0, 1.0]).double() if weighted else None
    shares = torch.full((6,), 1 / 6).double() if weight is None else weight / weight.sum()
    costs = -logits.log_softmax(dim=1)
    peers = shares @ costs[:, codes] @ shares
    plain = shares @ costs.gather(1, codes[:, None]).squeeze(1)
    loss = PeerLoss(0.5, floor=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        values = torch.stack([loss(logits, codes, weight) for _ in range(1500)])
    error = values.std() / 1500**0.5
    assert abs(values.mean() - (plain - 0.5 * peers)) < 4.5 * error + 1e-12


# Dice and triplets ---------------------------------------------------------------------------


def test_dice_by_hand(seed):
    logits, codes = _draw(seed)
    weight = torch.rand(20, generator=torch.Generator().manual_seed(seed)).double()
    p, y = logits.softmax(dim=1), torch.nn.functional.one_hot(codes, 3).double()
    w = weight[:, None]
    totals = (w * p).sum(0) + (w * y).sum(0) + 0.1
    dice = 1 - ((2 * (w * p * y).sum(0) + 0.1) / totals).mean()
    torch.testing.assert_close(SoftDice(smooth=0.1)(logits, codes, weight), dice)
    robust = ((w * (p - y).abs() ** 1.3).sum(0) / totals).mean()
    loss = SoftDice("robust", gamma=1.3, smooth=0.1)
    torch.testing.assert_close(loss(logits, codes, weight), robust)
    rows = SoftDice("robust", gamma=1.3, smooth=0.1, reduction="none")(logits, codes)
    torch.testing.assert_close(rows.mean(), loss(logits, codes))


def test_dice_of_hard_labels_is_an_absolute_error(seed):
    logits, codes = _draw(seed)
    torch.testing.assert_close(
        SoftDice()(logits, codes), SoftDice("robust", gamma=1)(logits, codes)
    )


def test_dice_of_what_is_right_is_zero_and_of_what_is_wrong_one():
    logits = 50 * torch.eye(3, dtype=torch.float64)
    for kind in ("weighted", "robust"):
        assert SoftDice(kind)(logits, torch.arange(3)) < 1e-4
        assert SoftDice(kind)(logits, torch.tensor([1, 2, 0])) == pytest.approx(1, abs=1e-4)


def test_triplet_bounds_the_hardest_negative(seed):
    generator = torch.Generator().manual_seed(seed)
    cosines = 2 * torch.rand(50, 4, generator=generator, dtype=torch.float64) - 1
    codes = torch.randint(4, (50,), generator=generator)
    own = torch.nn.functional.one_hot(codes, 4).bool()
    hardest = cosines.masked_fill(own, -9).amax(dim=1)
    hinge = (0.1 - cosines[own] + hardest).clamp(min=0)
    rows = TripletAlignment(reduction="none")(cosines, codes)
    assert (rows >= hinge - 1e-12).all()
    assert (rows <= hinge + 0.015 * np.log(3) + 1e-12).all()
    sharp = TripletAlignment(temperature=1e-6, reduction="none")(cosines, codes)
    torch.testing.assert_close(sharp, hinge, atol=1e-5, rtol=0)


def test_triplet_of_soft_labels_is_a_mean_over_labels(seed):
    logits, _ = _draw(seed)
    soft = logits.flip(0).softmax(dim=1)
    loss = TripletAlignment(0.5, temperature=0.3, reduction="none")
    wanted = sum(soft[:, k] * loss(logits, torch.full((20,), k)) for k in range(3))
    torch.testing.assert_close(loss(logits, soft), wanted)
