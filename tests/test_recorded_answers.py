"""A change that is not meant to change results leaves every recorded one as it is.

CONTRIBUTING.md says how a deliberate change is recorded.
"""

import importlib.util

import pytest

from tests._instances import public_estimators
from tests._recorded_cases import FUNCTIONS, NEURAL_UNITS, record, units
from tests._recording import as_recorded, differences, read, software, write


@pytest.fixture(scope="module")
def recorded() -> dict:
    """The recorded results; the test is skipped where other software would give other digits."""
    file = read()
    before, now = file["software"], software()
    changed = [f"{k} {before[k]} -> {now[k]}" for k in before if before[k] != now.get(k, before[k])]
    if changed:
        pytest.skip(f"recorded with other software: {', '.join(changed)}")
    return file["results"]


@pytest.mark.parametrize("unit", units())
def test_results_are_as_recorded(recorded, unit):
    if unit in NEURAL_UNITS and not importlib.util.find_spec("skorch"):
        pytest.skip('torch or skorch is not installed: pip install "skrobust[neural]"')
    assert unit in recorded, f"run: python -m tests._recorded_cases {unit!r}"
    before, now = recorded[unit], as_recorded(record(unit))
    lines = [f"no longer recorded: {case}" for case in before if case not in now]
    lines += [f"not in the file: {case}" for case in now if case not in before]
    for case in before:
        if case in now:
            lines += [f"{case}: {line}" for line in differences(before[case], now[case])]
    hint = f"If they are meant: python -m tests._recorded_cases {unit!r}"
    assert not lines, "\n".join([f"{len(lines)} differences in {unit}", *lines[:30], hint])


def test_every_public_estimator_is_recorded():
    missing = {cls.__name__ for cls in public_estimators()} - set(units())
    assert not missing, f"tests/_recorded_cases.py has no arguments for {sorted(missing)}"
    unrecorded = set(units()) ^ set(read()["results"])
    assert not unrecorded, f"run: python -m tests._recorded_cases {' '.join(sorted(unrecorded))}"


def test_a_unit_is_recorded_without_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr("tests._recording.FILE", tmp_path / "results.json.gz")
    write({"a": {"x": 1}, "b": {"x": 2}, "removed": {"x": 3}})
    write({"b": {"x": 4}, "c": {"x": 5}}, keep=["a", "b", "c"])
    assert read()["results"] == {"a": {"x": 1}, "b": {"x": 4}, "c": {"x": 5}}
    monkeypatch.setattr("tests._recording.software", lambda: {"numpy": "0"})
    with pytest.raises(RuntimeError, match="constraints.txt"):
        write({"b": {"x": 6}}, keep=["a", "b"])


def test_differences_are_found():
    before = {"a": {"kind": "f", "shape": [2], "values": [1.0, 100.0]}, "b": {"value": "x"}}
    assert not differences(before, before)
    close = {**before, "a": {"kind": "f", "shape": [2], "values": [1.0 + 5e-11, 100.0]}}
    assert not differences(before, close)
    for changed in (
        {**before, "a": {"kind": "f", "shape": [2], "values": [1.0 + 2e-10, 100.0]}},
        {**before, "a": {"kind": "f", "shape": [2, 1], "values": [1.0, 100.0]}},
        {**before, "a": {"kind": "f", "shape": [2], "values": [float("nan"), 100.0]}},
        {**before, "b": {"value": "y"}},
        {"a": before["a"]},
        {**before, "c": {"value": None}},
    ):
        assert len(differences(before, changed)) == 1


def test_functions_are_recorded_with_results():
    results = read()["results"]
    for unit in FUNCTIONS:
        succeeded = [case for case, found in results[unit].items() if "raises" not in found]
        assert len(succeeded) >= 0.6 * len(results[unit])
