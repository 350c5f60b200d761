"""Rankings on given and on verified labels."""

import numpy as np
import pytest

from skrobust.metrics import noise_corrected_score, rank_flip_prevalence, rank_models


def test_flip_prevalence_by_hand():
    # (1 - v) .80 + v .10 = (1 - v) .78 + v .28 at v = .02 / .20.
    assert rank_flip_prevalence(0.80, 0.10, 0.78, 0.28) == pytest.approx(0.1)
    assert np.isnan(rank_flip_prevalence(0.80, 0.30, 0.78, 0.28))
    assert np.isnan(rank_flip_prevalence(0.80, 0.30, 0.80, 0.30))
    with pytest.raises(ValueError, match="acc_wrong_B must be a number"):
        rank_flip_prevalence(0.8, 0.1, 0.7, 1.2)


def _models(seed, n_rows=2000):
    """One model learned the errors of the labels; the other one did not."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=n_rows)
    wrong = rng.random(n_rows) < 0.2
    given = np.where(wrong, (truth + 1) % 3, truth)
    noise = rng.random(n_rows) < 0.1
    parrot = np.where(noise, (given + 2) % 3, given)
    honest = np.where(rng.random(n_rows) < 0.1, (truth + 2) % 3, truth)
    twin = np.where(rng.random(n_rows) < 0.1, (truth + 2) % 3, truth)
    verified = np.where(rng.random(n_rows) < 0.2, truth, np.nan)
    return truth, given, {"parrot": parrot, "honest": honest, "twin": twin}, verified


def test_given_labels_rank_the_wrong_way_round(seed):
    _, given, predictions, verified = _models(seed)
    ranking = rank_models(given, predictions, verified_labels=verified, random_state=0)
    assert ranking.given_names[0] == "parrot"
    assert ranking.names[-1] == "parrot"
    assert (np.diff(ranking.scores) <= 0).all()
    result = {frozenset((p["first"], p["second"])): p for p in ranking.pairs}
    pair = result[frozenset(("honest", "parrot"))]
    assert pair["result"] == "first is better"
    assert pair["first"] == "honest"
    low, high = pair["interval"]
    assert 0 < low < pair["difference"] < high
    assert result[frozenset(("honest", "twin"))]["result"] == "cannot be told apart"
    for name, score in zip(ranking.names, ranking.scores):
        alone = noise_corrected_score(given, predictions[name], verified_labels=verified)
        assert score == pytest.approx(alone.score)
        assert alone.noisy_score == pytest.approx(ranking.given_scores[ranking.names.index(name)])


def test_difference_of_a_model_and_itself_is_zero(seed):
    _, given, predictions, verified = _models(seed)
    ranking = rank_models(given, [predictions["honest"]] * 2, verified_labels=verified)
    (pair,) = ranking.pairs
    assert pair["difference"] == 0
    assert pair["result"] == "cannot be told apart"
    assert ranking.names == [0, 1]


def test_flip_prevalence_is_where_the_lines_cross(seed):
    truth, given, predictions, _ = _models(seed)
    ranking = rank_models(
        given, {k: predictions[k] for k in ("parrot", "honest")}, verified_labels=truth
    )
    (pair,) = ranking.pairs
    wrong = given != truth
    parts = []
    for name in (pair["first"], pair["second"]):
        right = predictions[name] == truth
        parts += [right[~wrong].mean(), right[wrong].mean()]
    expected = rank_flip_prevalence(*parts)
    assert pair["flip_prevalence"] == pytest.approx(expected, nan_ok=True)


def test_intervals_of_differences_hold():
    held = []
    for seed in range(60):
        _, given, predictions, verified = _models(seed, 800)
        names = ("parrot", "honest")
        ranking = rank_models(
            given, {k: predictions[k] for k in names}, verified_labels=verified, n_bootstrap=2
        )
        (pair,) = ranking.pairs
        expected = 0.9 - 0.9 * 0.8  # rarely, the error of an error is right
        sign = 1 if pair["first"] == "honest" else -1
        low, high = pair["interval"]
        held.append(low <= sign * expected <= high)
    assert np.mean(held) > 0.85


def test_bad_input():
    _, given, predictions, verified = _models(0, 100)
    with pytest.raises(ValueError, match="At least two models"):
        rank_models(given, {"a": predictions["twin"]}, verified_labels=verified)
    with pytest.raises(ValueError, match="got none"):
        rank_models(given, predictions, verified_labels=np.full(100, np.nan))
    with pytest.raises(ValueError, match="as many rows"):
        rank_models(given, {"a": given[:50], "b": given}, verified_labels=verified)
