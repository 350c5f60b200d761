"""Plans of trainings: what is resolved, refused and scheduled; threads of a training."""

import dataclasses
import functools
import threading

import pytest
import torch

from skrobust.neural import ELRClassifier, NeuralClassifier
from skrobust.neural._elr_classifier import ELRPlan
from skrobust.neural._plan import SCHEDULES, TrainingPlan
from skrobust.neural._training import _limit_threads


def _plan(estimator=None, *, n_rows=1000, n_epochs=10, partial=False, **params):
    estimator = NeuralClassifier() if estimator is None else estimator
    estimator.set_params(**params)
    return estimator._plan_class.of(
        estimator,
        n_rows=n_rows,
        n_epochs=n_epochs,
        device=torch.device("cpu"),
        seed=0,
        partial=partial,
        **estimator._plan_options(),
    )


def test_plan_is_frozen_and_knows_its_method():
    plan = _plan(ELRClassifier(ensemble=True), beta=0.5)
    assert isinstance(plan, ELRPlan)
    assert (plan.beta, plan.ema_decay, plan.mixup) == (0.5, 0.997, 0.2)
    assert type(_plan()) is TrainingPlan
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.beta = 0.1


@pytest.mark.parametrize(
    ("batch_size", "n_rows", "partial", "expected"),
    [("auto", 1000, False, 256), ("auto", 90, False, 90), (64, 90, False, 64), (64, 10, True, 10)],
)
def test_batch_size_is_resolved(batch_size, n_rows, partial, expected):
    plan = _plan(batch_size=batch_size, n_rows=n_rows, partial=partial)
    assert plan.batch_size == expected


def test_batch_size_larger_than_the_rows_is_refused():
    with pytest.raises(ValueError, match="batch_size=64 is larger than the 10 rows"):
        _plan(batch_size=64, n_rows=10)


def test_weight_decay_is_a_penalty_where_the_optimizer_has_none():
    plan = _plan(optimizer=torch.optim.LBFGS, weight_decay=0.1)
    assert (plan.decays, plan.penalty) == (False, 0.1)
    assert "weight_decay" not in plan.optimizer_options([])
    plan = _plan(optimizer="sgd", weight_decay=0.1, optimizer_params={"nesterov": False})
    assert (plan.decays, plan.penalty) == (True, 0.0)
    expected = {"weight_decay": 0.1, "momentum": 0.9, "nesterov": False, "fused": True}
    assert plan.optimizer_options(["head.weight"]) == expected
    (name, group), *others = plan.optimizer_options(["head.weight", "loss.log_odds"])[
        "param_groups"
    ]
    assert (name, group["weight_decay"], group["speed"], others) == ("loss.log_odds", 0.0, 10, [])


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ("constant", [1, 1, 1]),
        ("linear", [1, 0.5, 0]),
        ("cosine", [1, 0.5, 0]),
        ("step", [1, 0.1, 0.01]),
        ("warm_restarts", [1, 0.5, 1]),
        ("one_cycle", [0.04, 0.8117, 0]),
    ],
)
def test_schedules_of_the_learning_rate(schedule, factors):
    plan = _plan(learning_rate_schedule=schedule)
    found = [plan.rate_factor(epoch) for epoch in (0, 5, 10)]
    assert found == pytest.approx(factors, abs=1e-4)
    assert all(0 <= plan.rate_factor(epoch / 4) <= 1 for epoch in range(41))
    assert schedule in SCHEDULES
    assert _plan(learning_rate_schedule=schedule, partial=True).schedule == "constant"


def test_threads_get_their_own_number_of_torch_threads_back(two_threads):
    def call(function):
        found = []
        thread = threading.Thread(target=lambda: found.append(function()))
        thread.start()
        thread.join()
        return found[0]

    small = torch.nn.Linear(2, 2)
    limit = functools.partial(_limit_threads, small, torch.device("cpu"), (2,), 5)
    inside, leave = threading.Event(), threading.Event()
    seen = []

    def hold():
        torch.set_num_threads(3)
        with limit(), limit():
            seen.append(torch.get_num_threads())
            inside.set()
            leave.wait(10)
        seen.append(torch.get_num_threads())

    other = threading.Thread(target=hold)
    with limit():
        other.start()
        assert inside.wait(10)
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    leave.set()
    other.join()
    assert seen == [1, 3]
    assert torch.get_num_threads() == 2
    with limit():  # a thread that starts meanwhile does not inherit the limit
        assert call(torch.get_num_threads) == 2
