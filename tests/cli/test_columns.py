"""How columns are read, which are left out, and what the user can say about it."""

import numpy as np
import pytest

pytest.importorskip("pandas")
pytest.importorskip("skrub")

import pandas as pd

from skrobust._cli._audit import fit, make_detector
from skrobust._cli._columns import Column, feature_frame
from skrobust._cli._common import CommandError
from skrobust._cli._dates import parse_dates
from tests.cli._tables import audit, read, read_cells, roles, small_table, values, write_columns

N = 40
RNG = np.random.default_rng(0)
SHUFFLED = RNG.permutation(900_000)[:N] + 100_000


def cells(form, low=1, high=99):
    return [form.format(value) for value in RNG.integers(low, high, N)]


@pytest.mark.parametrize(
    "name, column",
    [
        ("income", sorted(cells("{}", 20_000, 90_000), key=int)),
        ("created", [str(1_700_000_000 + 60 * i) for i in range(N)]),
        ("amount", [str(value) for value in SHUFFLED]),
        ("born", [str(1980 + i) for i in range(N)]),
        ("no of visits", [str(i * 3) for i in range(N)]),
        ("number_of_rooms", [str(i * 7) for i in RNG.permutation(N)]),
        ("day", [f"202401{i % 28 + 1:02d}" for i in range(N)]),
        ("price", [f"{i},5" for i in RNG.permutation(N)]),
        ("hour", cells("{:02d}", 0, 24)),
    ],
)
def test_numbers_that_are_no_identifiers(tmp_path, name, column):
    found, _ = read_cells(tmp_path, column, name=name)
    assert (found.role, found.detail) == ("number", "")


@pytest.mark.parametrize(
    "name, column, rule",
    [
        ("n", [str(i + 1) for i in range(N)], "counts the rows from 1"),
        ("n", [str(i) for i in RNG.permutation(N)], "counts the rows from 0"),
        ("customerId", [str(value) for value in SHUFFLED], "its name"),
        ("order no", [str(value) for value in SHUFFLED], "its name"),
        ("Unnamed: 0", [str(5 * i) for i in range(N)], "without a name"),
        ("", [str(5 * i) for i in range(N)], "without a name"),
        ("hex", [f"{value:08x}-1" for value in SHUFFLED], "codes without blanks"),
        ("mail", [f"{chr(97 + i % 26)}{i}@b.org" for i in range(N)], "codes without blanks"),
        ("sku", [f"A{value}" for value in SHUFFLED], "its name"),
        ("id", [f"{value}{'AB'[value % 2]}" for value in SHUFFLED], "its name"),
    ],
)
def test_identifiers(tmp_path, name, column, rule):
    table = {name: column, "z": cells("{}.5"), "label": ["yes", "no"] * (N // 2)}
    found = read(write_columns(tmp_path / "table.csv", table)).reading.columns[0]
    assert found.name == (name or "column 1")
    assert found.role == "identifier"
    assert rule in found.detail


@pytest.mark.parametrize(
    "column, role, detail",
    [
        (cells("{} kg")[:20] + cells("{} m")[:20], "category", "units that cannot be compared"),
        ([f"{i % 3}{'ABCDE'[i % 5]}" for i in range(N)], "category", "cannot be compared"),
        (["10-20", "20-30", "30-40", "40+"] * 10, "category", "4 values"),
        (["1", "2", "3", "4", "5+"] * 8, "category", "80% of the cells are numbers"),
        (["True", "False"] * 20, "category", "2 values"),
        ([f"{i:05d}" for i in RNG.integers(0, 30, N)], "category", "values"),
        ([f"bought {i} apples" for i in range(N + 2)][2:], "category", "40 values"),
        ([f"bought {i} apples" for i in range(60)], "text", ""),
        (["2024-01-31", "2024-02-01"] * 20, "date", ""),
        (["5"] * N, "constant", "always '5'"),
        (["5", "5.0"] * 20, "constant", "always '5'"),
        (["5"] * 39 + [""], "number", ""),
        (["", "NA", "-", " "] * 10, "empty", ""),
    ],
)
def test_other_roles(tmp_path, column, role, detail):
    found, _ = read_cells(tmp_path, column)
    assert found.role == role
    assert detail in found.detail
    assert found.used == (role in ("number", "category", "text", "date"))


def test_odd_cells_are_missing_and_counted(tmp_path):
    column = cells("{}.5")
    column[3], column[7], column[20], column[21] = "#DIV/0!", "?", "bad", ""
    found, _ = read_cells(tmp_path, column)
    assert found.role == "number"
    assert found.odd == {"#DIV/0!": 1, "?": 1, "bad": 1}
    assert np.flatnonzero(np.isnan(found.values)).tolist() == [3, 7, 20, 21]


def test_share_of_numbers(tmp_path):
    numbers = [str(i + 0.5) for i in range(N)]
    found, _ = read_cells(tmp_path, [*numbers[:36], "a", "b", "c", "d"])
    assert (found.role, sum(found.odd.values())) == ("number", 4)
    found, _ = read_cells(tmp_path, [*numbers[:35], "a", "b", "c", "d", "e"])
    assert found.role == "category"
    # One word in many cells stands for something that is no number.
    found, _ = read_cells(tmp_path, [*numbers[:25], *["pending"] * 15])
    assert (found.role, found.odd) == ("number", {"pending": 15})
    # Too few different numbers: these may be grades.
    found, _ = read_cells(tmp_path, [*["1.5", "2.5", "3.5"] * 8, *["pending"] * 16])
    assert found.role == "category"
    # Words for missing values do not count against the numbers, however many there are.
    found, _ = read_cells(tmp_path, [*numbers[:4], *["n/a"] * 36])
    assert (found.role, found.odd) == ("number", {"n/a": 36})


def test_a_total_does_not_turn_a_short_column_into_text(tmp_path):
    found, _ = read_cells(tmp_path, ["5", "7", "8", "Total"])
    assert (found.role, found.odd) == ("number", {"Total": 1})


def test_the_report_names_units_and_odd_cells(quick_fit, tmp_path, capsys):
    n_rows = 60
    table = small_table(n_rows)
    columns = {
        "size": [f"{value} cm" for value in table["x"]],
        "z": ["?" if row % 20 == 0 else str(value) for row, value in enumerate(table["z"])],
        "label": table["label"],
    }
    path = write_columns(tmp_path / "table.csv", columns)
    assert audit(path) == 0
    printed = capsys.readouterr().out
    assert "size    number   in cm" in printed
    assert "z       number   3 cells made missing: '?' 3" in printed


def test_wide_tables_are_summed_up(quick_fit, tmp_path, capsys):
    table = small_table()
    rng = np.random.default_rng(0)
    more = {f"f{i}": rng.normal(size=60) for i in range(60)}
    table = pd.concat([table, pd.DataFrame(more)], axis=1)
    path = tmp_path / "table.csv"
    table.to_csv(path, index=False)
    assert audit(path) == 0
    assert "\n  62 columns  number " in capsys.readouterr().out


def test_roles_can_be_named(tmp_path):
    table = {
        "id": [str(value) for value in SHUFFLED],
        "grade": [str(i % 5) for i in range(N)],
        "code": [f"x{i % 30}" for i in range(N)],
        "size": cells("{} kg")[:30] + cells("{} m")[:10],
        "z": cells("{}.5"),
        "label": ["yes", "no"] * (N // 2),
    }
    path = write_columns(tmp_path / "table.csv", table)
    plain = {"id": "identifier", "grade": "number", "code": "category", "size": "category"}
    assert roles(read(path)) == {**plain, "z": "number"}
    options = ["--keep", "id", "--as-category", "grade", "--as-text", "code", "--as-number", "size"]
    found = read(path, *options, "--drop", "z")
    assert roles(found) == {
        "id": "number",
        "grade": "category",
        "code": "text",
        "size": "number",
        "z": "as asked",
    }
    assert np.isnan(values(found, "size")).tolist() == [False] * 30 + [True] * 10
    # What was asked for is what the models get.
    _, vectorizer = make_detector("forest", found.reading.features)
    frame = feature_frame(found.reading.features)
    names = vectorizer[0].fit(frame).get_feature_names_out()
    assert [name for name in names if name.startswith("grade")] == [
        f"grade_{grade}" for grade in range(5)
    ]
    assert sum(name.startswith("code") for name in names) >= 2
    assert not any(name in ("code_x1", "code_x2") for name in names)


def test_categories_written_as_numbers_stay_categories():
    column = Column("zip", "category", values=np.array(["00100", "00200", None] * 9, object))
    _, vectorizer = make_detector("forest", [column])
    names = vectorizer[0].fit(feature_frame([column])).get_feature_names_out().tolist()
    assert [name for name in names if "nan" not in name.lower()] == ["zip_00100", "zip_00200"]


def test_large_numbers_keep_their_differences():
    """Models compute in float32, where seconds since 1970 are 128 seconds apart."""
    column = Column("t", "number", values=1.7e9 + np.arange(30.0))
    frame = feature_frame([column])
    assert len(np.unique(frame["t"].to_numpy(dtype=np.float32))) == 30


@pytest.mark.parametrize(
    "cells, day_first, first",
    [
        (["2024-01-31", "2024-02-01"], False, "2024-01-31"),
        (["2024-01-31T10:30:00Z", "2024-02-01T08:00:00+02:00"], False, "2024-01-31T10:30"),
        (["31.12.2023", "1.2.2024"], False, "2023-12-31"),
        (["31/12/2023", "01/02/2024"], False, "2023-12-31"),
        (["12/31/2023", "01/02/2024"], True, "2023-12-31"),
        (["01/02/2024", "03/04/2024"], True, "2024-02-01"),
        (["01/02/2024", "03/04/2024"], False, "2024-01-02"),
        (["31.12.2023 12:30", "1.2.2024 08:15"], False, "2023-12-31T12:30"),
        (["1/2/2024 3:04 PM", "1/3/2024 11:00 AM"], False, "2024-01-02T15:04"),
        (["Jan 5, 2024", "Feb 17, 2023"], False, "2024-01-05"),
        (["5 January 2024", "17 March 2023"], False, "2024-01-05"),
    ],
)
def test_dates(cells, day_first, first):
    found = parse_dates(np.array(cells, dtype=object), day_first=day_first)
    assert found[0] == np.datetime64(first)
    assert not np.isnat(found).any()


@pytest.mark.parametrize("cells", [["10-20", "20-30"], ["A-1-2"], ["1.2.3"], ["word"], ["12"]])
def test_no_dates(cells):
    assert parse_dates(np.array(cells, dtype=object)) is None


def test_a_day_above_the_twelfth_beyond_the_sample_decides():
    cells = [f"0{1 + i % 9}/0{1 + i // 9 % 9}/{1900 + i // 81}" for i in range(1000)]
    cells[501] = "25/01/2024"
    found = parse_dates(np.array(cells, dtype=object))
    assert found[501] == np.datetime64("2024-01-25")


def test_nothing_is_left_as_a_feature(tmp_path):
    path = write_columns(tmp_path / "table.csv", {"x": ["1"] * 4, "label": list("aabb")})
    with pytest.raises(CommandError, match="no column that can be a feature"):
        read(path)


def test_no_number_in_a_column_that_is_to_be_one(tmp_path):
    with pytest.raises(CommandError, match="--as-number 'x' holds no number; its cells are like"):
        read_cells(tmp_path, ["a", "b", "c", "d"], "--as-number", "x")


def test_few_numbers_in_a_column_that_is_to_be_one(tmp_path):
    column = [f"word{i}" for i in range(N)]
    column[5] = "7.5"
    assert read_cells(tmp_path, column)[0].role == "identifier"
    found, _ = read_cells(tmp_path, column, "--as-number", "x")
    assert found.role == "number"
    assert np.flatnonzero(found.values == 7.5).tolist() == [5]


def test_a_leading_column_that_counts_is_dropped_before_the_fit(tmp_path):
    """The order of rows often follows the label: a count of rows would give it away."""
    table = small_table().sort_values("label")
    table.insert(0, "", np.arange(len(table)))
    path = tmp_path / "table.csv"
    table.to_csv(path, index=False)
    found = read(path)
    settings = {"estimator": "forest", "n_jobs": None, "random_state": 0}
    settings |= {"precision": None, "flag_fraction": None, "threshold": None}
    options = type("Options", (), settings)
    detector, rows, _ = fit(options, found)
    assert detector.n_features_in_ == 2
    assert len(rows) == len(table)


def test_a_mark_that_nothing_decides_is_noted(tmp_path):
    column = [f"{i},{i + 100}" for i in range(101, 101 + N)]
    labels = {"x": column, "label": ["yes", "no"] * (N // 2)}
    path = write_columns(tmp_path / "table.csv", labels)
    found = read(path)
    assert values(found, "x")[0] == 101_201
    assert "'101,201' in 'x' was read with a thousands mark" in found.notes[0]
    for option in (["--decimal", ","], ["--thousands", "."], ["--decimal", "comma"]):
        found = read(path, *option)
        assert values(found, "x")[0] == 101.201
        assert found.notes == []
    path = write_columns(tmp_path / "table.csv", labels, sep=";")
    found = read(path)
    assert values(found, "x")[0] == 101.201
    assert "was read with a decimal mark" in found.notes[0]


def test_decimal_commas_that_were_found_are_noted(tmp_path):
    column = [f"{i},5" for i in range(N)]
    found, notes = read_cells(tmp_path, column)
    assert found.role == "number"
    assert notes == ["decimal commas in 'x' (see --decimal)"]
    table = {"x": column, "y": column[::-1], "label": ["yes", "no"] * (N // 2)}
    found = read(write_columns(tmp_path / "table.csv", table))
    assert found.notes == ["decimal commas in 'x', 'y' (see --decimal)"]
