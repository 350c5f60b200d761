"""The checks of estimators: sound ones pass them, and wrong ones fail those that look for it."""

from unittest import SkipTest

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.linear_model import LogisticRegression

from skrobust.linear_model import InstanceFlipClassifier
from skrobust.testing import (
    check_label_error_detector,
    check_reweighter,
    check_robust_classifier,
    check_transition_estimator,
    parametrize_with_robust_checks,
    yield_checks,
)
from skrobust.testing._problems import make_problem
from tests.testing._estimators import (
    AnyParameter,
    BlindToWeights,
    Centroids,
    CountsGuesses,
    CountsRows,
    FarFromCentres,
    GlobalGenerator,
    IgnoresVerifiedLabels,
    IgnoresWeights,
    InSample,
    NearCentres,
    Noisy,
    NoisyAndUnfair,
    OrderOfNames,
    PlainWrapper,
    PrefersTheFirst,
    RandomScores,
    Remembers,
    TaggedRandomScores,
    TooEager,
    Transposed,
    TrustsTheFirstClass,
    WritesIntoX,
)

# Some checks fit pure noise, of which a detector flags whole classes.
pytestmark = pytest.mark.filterwarnings("ignore::skrobust.utils.LabelNoiseWarning")


@pytest.mark.quick
def test_classifiers_of_two_classes_are_checked_on_two():
    binary = InstanceFlipClassifier(fixed_flip_rate=0.1)
    assert np.unique(make_problem(binary).y).tolist() == [0, 1]
    assert np.unique(make_problem(Centroids()).y).tolist() == [0, 1, 2]
    # Which class flips goes by the order of classes: the only check that this one fails.
    assert _fails(binary) == {"check_renamed_classes"}


def _fails(estimator, among=()) -> set[str]:
    """The names of the checks that an estimator fails, of all or of some."""
    failed = set()
    for check in yield_checks(estimator):
        if among and check.__name__ not in among:
            continue
        try:
            with parallel_config(backend="threading"):
                check(estimator)
        except SkipTest:
            continue
        except Exception:
            failed.add(check.__name__)
    return failed


@pytest.mark.quick
@pytest.mark.parametrize("cls", [Centroids, Noisy])
def test_a_sound_detector_passes(cls):
    check_label_error_detector(cls())


@pytest.mark.quick
def test_a_sound_reweighter_passes():
    check_reweighter(NearCentres())


@pytest.mark.quick
def test_a_sound_transition_estimator_passes():
    check_transition_estimator(CountsGuesses())


@pytest.mark.quick
def test_a_sound_classifier_passes():
    with parallel_config(backend="threading"):
        check_robust_classifier(PlainWrapper())


@pytest.mark.quick
def test_random_scores_fail():
    failed = {
        "check_clean_data",
        "check_replicated_errors",
        "check_finds_planted_errors",
        "check_groups",
        "check_permuted_rows",
        "check_ties",
        "check_weights_equal_repeats",
    }
    assert _fails(RandomScores(), among=failed) == failed
    with pytest.raises(AssertionError) as error:
        check_label_error_detector(RandomScores())
    assert any("RandomScores" in note for note in error.value.__notes__)


@pytest.mark.quick
def test_random_scores_fail_even_with_the_tag_of_chance():
    failed = {"check_clean_data", "check_finds_planted_errors", "check_groups"}
    assert _fails(TaggedRandomScores(), among={*failed, "check_permuted_rows"}) == failed


@pytest.mark.quick
def test_scores_in_sample_fail_only_where_they_are_looked_for():
    assert _fails(InSample()) == {"check_scores_out_of_sample"}


@pytest.mark.quick
@pytest.mark.parametrize(
    ("cls", "failed"),
    [
        (NoisyAndUnfair, {"check_permuted_rows"}),
        (BlindToWeights, {"check_weights_equal_repeats", "check_zero_weights"}),
        (TrustsTheFirstClass, {"check_renamed_classes"}),
        (WritesIntoX, {"check_inputs_untouched"}),
        (GlobalGenerator, {"check_global_random_state"}),
        (Remembers, {"check_refit_clone_pickle"}),
        (TooEager, {"check_clean_data"}),
        (AnyParameter, {"check_bad_parameters"}),
        (FarFromCentres, {"check_errors_get_less_weight"}),
        (CountsRows, {"check_weights_equal_repeats", "check_zero_weights"}),
        (Transposed, {"check_transition_is_recovered"}),
        (OrderOfNames, {"check_renamed_classes"}),
        (IgnoresVerifiedLabels, {"check_learns_verified_labels"}),
        (IgnoresWeights, {"check_weights_equal_repeats"}),
        (PrefersTheFirst, {"check_renamed_classes"}),
    ],
)
def test_a_broken_estimator_fails(cls, failed):
    assert _fails(cls(), among=failed) == failed


def test_entry_points_refuse_what_they_are_not_for():
    with pytest.raises(TypeError, match="LogisticRegression is no classifier whose fit takes"):
        check_robust_classifier(LogisticRegression())
    with pytest.raises(TypeError, match="Pass an instance of Centroids"):
        check_label_error_detector(Centroids)
    with pytest.raises(TypeError, match="no checks for LogisticRegression"):
        list(yield_checks(LogisticRegression()))


def test_expected_failures_are_marked():
    def expected(estimator):
        return {"check_clean_data": "it flags a tenth of everything"}

    mark = parametrize_with_robust_checks([TooEager()], expected_failed_checks=expected).mark
    marked = {case.values[1].__name__: case.marks for case in mark.args[1] if case.marks}
    assert list(marked) == ["check_clean_data"]
    assert marked["check_clean_data"][0].kwargs == {"reason": "it flags a tenth of everything"}
