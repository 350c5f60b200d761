"""Fixtures and settings shared by all tests.

Environment variables:

- ``SKROBUST_DATA`` is the folder with the development data, and ``SKROBUST_REQUIRE_DATA=1`` makes
  its absence a failure instead of a skip;
- ``SKROBUST_REQUIRE_PEERS=1`` makes the absence of cleanlab a failure instead of a skip;
- ``SKROBUST_TESTS_SEED`` is an integer, or "any" for a seed drawn anew in each run, which the
  header of the run prints;
- ``SKROBUST_TESTS_INSTANCES`` is "first" to let the common checks look at one instance of each
  estimator, or "all" to let them look at slow defaults as well;
- ``SKROBUST_REQUIRE_BROWSER=1`` makes the absence of Chromium or playwright a failure instead of a
  skip, and ``SKROBUST_CHROMIUM`` is the path of the browser where it is not found by itself;
- ``HYPOTHESIS_PROFILE`` is one of the names below.

Tests that ``durations.json`` lists are marked slow, unless they are marked quick; so are those that
say so in their files. ``pytest --record-durations`` measures the tests that it runs, in one
process, and lists those that take at least `SLOW_SECONDS`.
"""

import importlib
import importlib.util
import itertools
import json
import os
import random
import shutil
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from joblib.externals.loky import reusable_executor

ROOT = Path(__file__).resolve().parents[1]

# By the fixture that a test asks for.
MARKERS = {"data_dir": "data", "browser": "browser", "cleanlab": "peers"}
# CPU seconds of slow tests, children that have ended included.
DURATIONS = ROOT / "tests" / "durations.json"
SLOW_SECONDS = 0.5

# No deadline: the machine is shared by all test processes. Derandomized, so that a failure on CI
# belongs to the change that CI runs on.
settings.register_profile(
    "default", deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, database=None)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=1000)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default")
)


def pytest_addoption(parser):
    parser.addoption(
        "--record-durations",
        action="store_true",
        help="write the CPU seconds of the tests that run into tests/durations.json",
    )


class DurationRecorder:
    """Measures the CPU seconds of each test, and writes them when the run ends."""

    def __init__(self):
        self.seconds = {}

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item):
        start = sum(os.times()[:4])
        result = yield
        self.seconds[item.nodeid] = round(sum(os.times()[:4]) - start, 1)
        return result

    def pytest_sessionfinish(self):
        listed = json.loads(DURATIONS.read_text(encoding="utf-8"))
        measured = {_function(nodeid) for nodeid in self.seconds}
        kept = {nodeid: s for nodeid, s in listed.items() if _function(nodeid) not in measured}
        kept |= {nodeid: s for nodeid, s in self.seconds.items() if s >= SLOW_SECONDS}
        text = json.dumps(dict(sorted(kept.items())), indent=0, ensure_ascii=False)
        DURATIONS.write_text(f"{text}\n", encoding="utf-8")


def _function(nodeid: str) -> str:
    """The test function of an item, whatever its parameters."""
    return nodeid.partition("[")[0]


def pytest_configure(config):
    if config.getoption("record_durations"):
        if getattr(config.option, "numprocesses", None):
            raise pytest.UsageError("--record-durations measures in one process: leave out -n.")
        config.pluginmanager.register(DurationRecorder())
    # The environment hands the drawn seed on to the workers of pytest-xdist.
    if os.environ.get("SKROBUST_TESTS_SEED") == "any":
        os.environ["SKROBUST_TESTS_SEED"] = str(random.SystemRandom().randrange(100))


def pytest_report_header(config):
    return f"skrobust: SKROBUST_TESTS_SEED={_seed()}, data folder {_data_folder()}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark whatever is slow, or asks for the data or a browser."""
    seconds = json.loads(DURATIONS.read_text(encoding="utf-8"))
    for item in items:
        listed = item.nodeid in seconds or _function(item.nodeid) in seconds
        if listed and item.get_closest_marker("quick") is None:
            item.add_marker("slow")
        for fixture, marker in MARKERS.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)


def _seed() -> int:
    return int(os.environ.get("SKROBUST_TESTS_SEED", "0"))


def _data_folder() -> Path:
    given = os.environ.get("SKROBUST_DATA")
    return (ROOT / given).resolve() if given else ROOT.parent / "shared" / "data"


@pytest.fixture(autouse=True)
def own_processes():
    """Let no test use the processes of another one.

    joblib keeps processes for the next call, and ends those whose memory has grown, as it does when
    they serve many tests. Now and then it then waits for an answer of one that is gone.
    """
    yield
    executor = reusable_executor._executor
    if executor is not None and not executor._flags.shutdown:
        executor.shutdown(wait=True, kill_workers=True)


class RepeatableEntropy(np.random.SeedSequence):
    """Seeds that are the same in each run of a test, where others come from the system."""

    numbers = iter(())

    def __init__(self, entropy=None, **kwargs):
        super().__init__(next(self.numbers) if entropy is None else entropy, **kwargs)


@pytest.fixture(autouse=True)
def repeatable(request, monkeypatch):
    """Let a test draw the same where no random state is given, whatever ran before it."""
    start = zlib.crc32(request.node.nodeid.encode()) + _seed()
    monkeypatch.setattr(RepeatableEntropy, "numbers", itertools.count(start))
    monkeypatch.setattr(np.random, "SeedSequence", RepeatableEntropy)
    np.random.seed(_seed())  # noqa: NPY002 - the generator of scikit-learn
    if "torch" in sys.modules:
        sys.modules["torch"].default_generator.manual_seed(_seed())


@pytest.fixture
def seed() -> int:
    """An integer for random_state: the test must pass for each of 0 to 99."""
    return _seed()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with the development data; the test is skipped where it is absent."""
    folder = _data_folder()
    if folder.is_dir():
        return folder
    reason = "the development data is not there: set SKROBUST_DATA to its folder"
    if os.environ.get("SKROBUST_REQUIRE_DATA") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def cleanlab():
    """The package that some results are compared with; the test is skipped where it is absent."""
    if importlib.util.find_spec("cleanlab"):
        return importlib.import_module("cleanlab")
    reason = 'cleanlab is not installed: pip install "skrobust[peers]"'
    if os.environ.get("SKROBUST_REQUIRE_PEERS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser():
    """Chromium under playwright; the test is skipped where one of them is absent."""
    path = os.environ.get("SKROBUST_CHROMIUM") or shutil.which("chromium")
    reason = None
    if importlib.util.find_spec("playwright") is None:
        reason = 'playwright is not installed: pip install "skrobust[browser]"'
    elif path is None:
        reason = "chromium is not there: apt-get install chromium, or set SKROBUST_CHROMIUM"
    if reason is not None:
        if os.environ.get("SKROBUST_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # The tests open only files that they wrote, and containers allow no sandbox.
        launched = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield launched
        launched.close()
