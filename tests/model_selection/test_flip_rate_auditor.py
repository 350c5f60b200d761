"""Audits: draws, weights, intervals, what is refused."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skrobust.metrics import noise_corrected_score
from skrobust.model_selection import FlipRateAuditor


def _data(seed, n_rows=5000, flips=(0.05, 0.3)):
    rng = np.random.default_rng(seed)
    truth = (rng.random(n_rows) < 0.3).astype(int)
    flip = rng.random(n_rows) < np.where(truth == 1, flips[1], flips[0])
    pred = np.where(rng.random(n_rows) < 0.85, truth, 1 - truth)
    return np.where(flip, 1 - truth, truth), pred, truth


def test_everything_verified_gives_the_exact_rates(seed):
    given, pred, truth = _data(seed, 300)
    auditor = FlipRateAuditor(random_state=seed).fit(given, pred)
    rows = auditor.draw(1000)
    assert rows.tolist() == list(range(300))
    auditor.partial_fit(rows, truth)
    assert auditor.noise_rate_ == pytest.approx(np.mean(given != truth))
    assert auditor.noise_rate_interval_ == pytest.approx((auditor.noise_rate_,) * 2)
    expected = [[np.mean(given[truth == k] == j) for j in (0, 1)] for k in (0, 1)]
    assert_allclose(auditor.flip_rates_, expected)
    assert_allclose(auditor.error_rates_, [np.mean(truth[given == k] != k) for k in (0, 1)])
    assert auditor.rows_needed_for(0.1) == 0
    assert not len(auditor.draw(10))


@pytest.mark.parametrize("strata", ["predicted", None])
def test_intervals_hold(strata):
    held, widths = [], []
    for seed in range(60):
        given, pred, truth = _data(seed)
        auditor = FlipRateAuditor(strata=strata, random_state=seed).fit(given, pred)
        for _ in range(2):
            rows = auditor.draw(60)
            auditor.partial_fit(rows, truth[rows])
        low, high = auditor.noise_rate_interval_
        ends = auditor.flip_rate_intervals_
        held.append(
            [
                low <= np.mean(given != truth) <= high,
                ends[0, 0, 1] <= np.mean(given[truth == 0] == 1) <= ends[1, 0, 1],
                ends[0, 1, 0] <= np.mean(given[truth == 1] == 0) <= ends[1, 1, 0],
            ]
        )
        widths.append(high - low)
    assert (np.mean(held, axis=0) > 0.85).all()
    assert np.mean(widths) < 0.2


def test_rows_where_labels_are_doubtful_are_drawn_more_often(seed):
    given, pred, _ = _data(seed)
    auditor = FlipRateAuditor(random_state=seed).fit(given, pred)
    rows = auditor.draw(200)
    assert len(np.unique(rows)) == 200
    assert np.mean(given[rows] != pred[rows]) > 1.3 * np.mean(given != pred)
    again = auditor.draw(200)
    assert not set(rows) & set(again)
    same = FlipRateAuditor(random_state=seed).fit(given, pred).draw(200)
    assert rows.tolist() == same.tolist()


def test_weights_serve_a_verified_score(seed):
    given, pred, truth = _data(seed)
    auditor = FlipRateAuditor(random_state=seed).fit(given, pred)
    rows = auditor.draw(300)
    auditor.partial_fit(rows, truth[rows])
    assert auditor.verified_weight_.sum() == pytest.approx(len(given))
    found = noise_corrected_score(
        given,
        pred,
        verified_labels=auditor.verified_labels_,
        verified_weight=auditor.verified_weight_,
    )
    assert abs(found.score - np.mean(pred == truth)) < 4 * found.standard_error


def test_rows_needed_are_enough(seed):
    given, pred, truth = _data(seed, 20_000)
    auditor = FlipRateAuditor(random_state=seed).fit(given, pred)
    rows = auditor.draw(100)
    auditor.partial_fit(rows, truth[rows])
    needed = auditor.rows_needed_for(0.03)
    assert needed > 100
    rows = auditor.draw(needed)
    auditor.partial_fit(rows, truth[rows])
    low, high = auditor.noise_rate_interval_
    assert 0.02 < high - low < 0.04


def test_decay_follows_a_stream(seed):
    rng = np.random.default_rng(seed)
    given = rng.integers(2, size=20_000)
    plain = FlipRateAuditor(random_state=0).fit(given)
    fading = FlipRateAuditor(decay=0.5, random_state=0).fit(given)
    for rate in (0.0, 0.0, 0.4, 0.4, 0.4):
        for auditor in (plain, fading):
            rows = auditor.draw(200)
            truth = np.where(rng.random(len(rows)) < rate, 1 - given[rows], given[rows])
            auditor.partial_fit(rows, truth)
    assert plain.noise_rate_ < 0.3 < fading.noise_rate_


def test_labels_of_text_and_classes_never_seen():
    given = np.array(["a", "a", "b", "b", "c", "c"])
    auditor = FlipRateAuditor(random_state=0).fit(given)
    auditor.draw(6)
    auditor.partial_fit([0, 1, 2, 3], ["a", "b", "b", "b"])
    assert auditor.classes_.tolist() == ["a", "b", "c"]
    assert np.isnan(auditor.flip_rates_).any()  # nothing is known of c
    auditor.partial_fit([4, 5], ["c", "c"])
    assert auditor.flip_rates_[1].tolist() == pytest.approx([1 / 3, 2 / 3, 0])
    assert auditor.verified_labels_.tolist() == ["a", "b", "b", "b", "c", "c"]
    assert repr(auditor) == "FlipRateAuditor(strata='predicted')"


def test_bad_labels_are_refused(seed):
    given, pred, truth = _data(seed, 500)
    auditor = FlipRateAuditor(random_state=seed)
    with pytest.raises(ValueError, match="call fit"):
        auditor.draw(5)
    rows = auditor.fit(given, pred).draw(20)
    other = np.setdiff1d(np.arange(500), rows)[:1]
    with pytest.raises(ValueError, match="was not drawn by this audit"):
        auditor.partial_fit(other, truth[other])
    with pytest.raises(ValueError, match="was not drawn"):
        auditor.partial_fit([900], [0])
    auditor.partial_fit(rows, truth[rows]).partial_fit(rows, truth[rows])
    with pytest.raises(ValueError, match="two different verified labels"):
        auditor.partial_fit(rows[:1], 1 - truth[rows[:1]])
    row = auditor.draw(1)
    with pytest.raises(ValueError, match="two different verified labels"):
        auditor.partial_fit(np.repeat(row, 2), [0, 1])
    with pytest.raises(ValueError, match="not among the 2 known classes"):
        auditor.partial_fit(rows[:1], [7])
    with pytest.raises(ValueError, match="missing entries"):
        auditor.partial_fit(rows[:1], [np.nan])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strata": "given"}, "strata must be"),
        ({"confidence_level": 1}, "confidence_level must be"),
        ({"decay": 0}, "decay must be"),
    ],
)
def test_bad_parameters_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        FlipRateAuditor(**options).fit([0, 1])


def test_bad_data_are_refused():
    with pytest.raises(ValueError, match="none that is missing"):
        FlipRateAuditor().fit([0, 1, np.nan])
    with pytest.raises(ValueError, match="have a prediction"):
        FlipRateAuditor().fit([0, 1, 1], [0, 1])
    auditor = FlipRateAuditor().fit([0, 1, 1])
    for width in (0, 1, "wide"):
        with pytest.raises(ValueError, match="width must be"):
            auditor.rows_needed_for(width)
    for n_rows in (0, 2.5, True):
        with pytest.raises(ValueError, match="n_rows must be"):
            auditor.draw(n_rows)
