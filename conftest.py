"""Keep pytest from importing modules whose optional extra is not installed."""

from importlib.util import find_spec

collect_ignore_glob = []

if find_spec("torch") is None or find_spec("skorch") is None:
    collect_ignore_glob += ["skrobust/neural/*", "tests/neural/*"]
