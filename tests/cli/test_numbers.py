"""Numbers as they are written."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

pytest.importorskip("pandas")

from skrobust._cli._numbers import (
    Marks,
    convert_units,
    find_marks,
    parse_numbers,
    split_cell,
    vote,
)
from skrobust._cli._units import common_unit

POINT, COMMA = Marks(default="."), Marks(default=",")


def parse(cells, marks=POINT):
    cells = np.array(cells, dtype=object)
    counts = np.ones(len(cells), dtype=int)
    parsed = parse_numbers(cells, counts, marks)
    unit, converted = convert_units(parsed, counts)
    return parsed.values.tolist(), unit, converted


@pytest.mark.parametrize(
    "cell, value",
    [
        ("$1,234.50", 1234.5),
        ("€12", 12),
        ("12 €", 12),
        ("12,5 EUR", 12.5),
        ("US$ 3", 3),
        ("-$3", -3),
        ("$-3", -3),
        ("- 3", -3),
        ("(3.20)", -3.2),
        ("($3.20)", -3.2),
        ("3-", -3),
        ("−3.5", -3.5),
        ("–3", -3),
        ("+5", 5),
        ("12.3kg", 12.3),
        ("1.2 cm", 1.2),
        ("37°C", 37),
        ("37 ℃", 37),
        ("22.8%", 22.8),
        ("22,8 %", 22.8),
        ("5 mg/dL", 5),
        ("80 m²", 80),
        ("1,234,567", 1234567),
        ("1.234.567,8", 1234567.8),
        ("1 234,5", 1234.5),
        ("1\u2009234\u2009567", 1234567),
        ("1\u00a0234.5", 1234.5),
        ("1'234.50", 1234.5),
        ("1’234", 1234),
        ("12,34,567.5", 1234567.5),
        ("<0.1", 0.1),
        ("≥ 5", 5),
        (">5", 5),
        ("1e5", 1e5),
        ("1,5E+03", 1500),
        ("1.2×10^-3", 0.0012),
        (".5", 0.5),
        (",5", 0.5),
        ("5.", 5),
        ("12.-", 12),
        ("12,--", 12),
        ("Fr. 12.50", 12.5),
        ("'12", 12),
        ("１２", 12),
        ("٣٤", 34),
        ("1:30", 5400),
        ("1:30:15", 5415),
        ("0,123", 0.123),
        ("1234,567", 1234.567),
        ("\u200e12", 12),
    ],
)
def test_a_number(cell, value):
    values, _, _ = parse([cell])
    assert values == [pytest.approx(value, rel=1e-12)]


@pytest.mark.parametrize(
    "cell",
    ["", "-", "?", "n/a", "#DIV/0!", "A12", "10-20", "4/5", "1.2.3", "12.05.2023", "1,2,3", "1 2",
     "192.168.1.1", "3x4", "5'11", "Total", "$", "(3", "3)", "-(3)", "--3", "1..2", "1,,2", "12:99",
     "1,23,4", "030 123 456", "0,123,456", "e5", "0x1F", "1_000"],
)  # fmt: skip
def test_no_number(cell):
    assert np.isnan(parse([cell])[0]).all()


@pytest.mark.parametrize(
    "cells, marks, value",
    [
        (["1,234"], POINT, 1234),
        (["1,234"], COMMA, 1.234),
        (["1.234"], POINT, 1.234),
        (["1.234"], COMMA, 1234),
        # The column itself takes precedence over the rest of the file.
        (["1,234", "1,5"], POINT, 1.234),
        (["1,234", "1,234.5"], COMMA, 1234),
        (["1.234", "5,5"], POINT, 1234),
        # What the user names takes precedence over both.
        (["1,234", "7,5"], Marks(".", None, True, "."), 1234),
        (["1.234", "7.5"], Marks(",", None, True, ","), 1234),
        (["1,234", "8.5"], Marks(None, "'", False, "."), np.nan),
    ],
)
def test_ambiguous_marks(cells, marks, value):
    values, _, _ = parse(cells, marks)
    np.testing.assert_equal(values[0], value)


def test_a_mark_that_was_named_makes_other_cells_odd():
    values, _, _ = parse(["1,5", "2.5", "3"], Marks(".", None, True, "."))
    np.testing.assert_equal(values, [np.nan, 2.5, 3])


def test_marks_are_found_from_all_columns():
    def votes(*columns):
        return [vote(cells, [1] * len(cells)) for cells in columns]

    assert find_marks(votes(["1,5", "2,25"], ["1.234"])).default == ","
    assert find_marks(votes(["1.5", "2.25"], ["1,234"])).default == "."
    assert find_marks(votes(["1,5"], ["1.5"], ["2.5"])).default == "."
    assert find_marks(votes(["1,234"]), sep=";").default == ","
    assert find_marks(votes(["1,234"]), sep=",").default == "."
    # Text with marks has no vote.
    assert find_marks(votes(["a,5", "b,5", "1,5"], ["1.5"])).default == "."
    assert find_marks(votes(["1,5"]), decimal=".") == Marks(".", None, True, ".")
    assert find_marks(votes(["1.5"]), thousands=".") == Marks(",", ".", True, ",")


@pytest.mark.parametrize(
    "cells, values, unit, converted",
    [
        (["500 g", "2 kg", "1 g"], [500, 2000, 1], "g", ["kg"]),
        (["2 kg", "3 KG", "500 g"], [2, 3, 0.5], "kg", ["g"]),
        (["100 cm", "1 m", "20 mm", "3 cm"], [100, 100, 2, 3], "cm", ["m", "mm"]),
        (["10°C", "50 °F", "12 °C"], [10, 10, 12], "°C", ["°F"]),
        (["1 year", "2 years", "3 years"], [1, 2, 3], "years", []),
        (["950", "1.2k", "3M", "7k"], [950, 1200, 3e6, 7000], "", ["k", "M"]),
        (["$1.5M", "$900K", "$2M"], [1.5e6, 9e5, 2e6], "$", ["$M", "$K"]),
        (["€12", "13 EUR", "14"], [12, 13, 14], "€", []),
        (["1st", "2nd", "3rd"], [1, 2, 3], "", []),
        (["1 mW", "2 MW", "3 mW"], [1, 2e9, 3], "mW", ["MW"]),
        (["5 kWh", "5 KWH"], [5, 5], "kWh", []),
        (["5%", "6", "7 %"], [5, 6, 7], "%", []),
    ],
)
def test_units_are_brought_to_one(cells, values, unit, converted):
    found = parse(cells)
    assert found[0] == pytest.approx(values)
    assert found[1:] == (unit, converted)


@pytest.mark.parametrize(
    "cells", [["1 kg", "2 m"], ["€1", "$2"], ["1A", "2B", "3C"], ["1 m", "2 M"]]
)
def test_units_that_cannot_be_compared(cells):
    assert parse(cells)[1] is None


def test_a_bare_number_beside_two_sizes_of_a_unit_is_odd():
    np.testing.assert_equal(parse(["500 g", "2 kg", "7", "1 g"])[0], [500, 2000, np.nan, 1])


def test_a_bare_number_beside_times_of_day_is_odd():
    np.testing.assert_equal(parse(["1:30", "2:00", "7"])[0], [5400, 7200, np.nan])


def test_a_rare_unit_is_odd():
    assert common_unit({"kg": 95, "pcs": 5}) == ("kg", {"": (1.0, 0.0), "kg": (1.0, 0.0)})
    assert common_unit({"": 95, "A": 3, "B": 2}) == ("", {"": (1.0, 0.0)})


@given(st.floats(-1e12, 1e12), st.integers(0, 6))
@example(-0.5, 2)
@example(1234.0, 0)
def test_what_was_formatted_is_read_back(value, decimals):
    text = f"{value:,.{decimals}f}"
    expected = float(text.replace(",", ""))
    german = text.translate(str.maketrans(",.", ".,"))
    assert parse([text, "1.5"], POINT)[0][0] == expected
    assert parse([german, "1,5"], COMMA)[0][0] == expected
    assert parse([text.replace(",", " "), "1.5"], POINT)[0][0] == expected


@given(st.text(max_size=20))
@example("1" * 5000)
@example("1,\n2")
@example("9" * 20 + "e999")
def test_any_text_is_split_or_not(text):
    split = split_cell(text)
    assert split is None or len(split) == 4
    values, _, _ = parse([text])
    assert len(values) == 1


def test_a_million_numbers_are_read_fast(seed):
    import time

    cells = np.random.default_rng(seed).normal(size=200_000).astype(str).astype(object)
    started = time.process_time()
    values = parse_numbers(cells, np.ones(len(cells), dtype=int), POINT).values
    assert time.process_time() - started < 2
    np.testing.assert_allclose(values, cells.astype(float))
