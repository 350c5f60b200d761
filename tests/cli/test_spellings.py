"""One table written in many ways is read as one table."""

import numpy as np
import pytest
from hypothesis import given

pytest.importorskip("pandas")
pytest.importorskip("skrub")
pytest.importorskip("pyarrow")

from tests.cli._spellings import plain_values, spellings, write_spelled
from tests.cli._tables import read, roles, values


@given(spelling=spellings())
def test_every_spelling_gives_the_same_features(spelling, tmp_path_factory):
    table = plain_values()
    path, options = write_spelled(tmp_path_factory.mktemp("spelled"), spelling, table)
    found = read(path, *options)
    kinds = dict.fromkeys(("price", "balance", "weight", "visits", "share"), "number")
    assert roles(found) == {**kinds, "city": "category", "seen": "date"}
    for name in kinds:
        np.testing.assert_allclose(values(found, name), table[name], rtol=1e-12, err_msg=name)
    np.testing.assert_array_equal(values(found, "seen"), table["seen"].astype("datetime64[us]"))
    assert values(found, "city").tolist() == table["city"].tolist()
    assert found.labels.spelled(found.labels.codes).tolist() == table["label"].tolist()
    if spelling.kind != "parquet":
        assert found.table.source.layout.sep == spelling.sep
