"""The line at which warnings of the package are issued."""

import pytest

from skrobust.utils import LabelNoiseWarning
from skrobust.utils._warnings import warn_user


def test_warning_is_issued_at_the_line_that_called_the_package():
    with pytest.warns(LabelNoiseWarning, match="labels look wrong") as found:
        warn_user("labels look wrong")
    assert found[0].filename == __file__


@pytest.mark.parametrize("names", [{}, {"__name__": "skrobust.module"}])
def test_code_without_a_module_name_may_call_the_package(names):
    space = {"warn_user": warn_user, **names}
    with pytest.warns(LabelNoiseWarning, match="labels look wrong") as found:
        exec("warn_user('labels look wrong')", space)
    assert found[0].filename == (__file__ if names else "<string>")
