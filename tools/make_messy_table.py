"""Make a table as untidy as real ones, with label errors whose place is known.

Run ``python tools/make_messy_table.py messy.csv``: it writes the table, and beside it
``messy_truth.csv`` with the true label of every row and whether its label was changed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

LABEL = "team"
CLASSES = ("billing", "repair", "sales")

# Each column alone leaves many rows open; together they settle nearly all of them.
TOPIC_WORDS = {
    "billing": "invoice charged twice refund payment card overdue receipt amount bank".split(),
    "repair": "broken screen battery crash error noise replace faulty leaking repair".split(),
    "sales": "offer upgrade quote discount order catalogue colour stock delivery demo".split(),
}
COMMON_WORDS = (
    "hello please the my customer asked about again since yesterday thanks urgent reply soon"
    " regards still waiting call back number today"
).split()
CHANNELS = ("phone", "e-mail", "chat", "shop", "letter")
CHANNEL_SHARES = {
    "billing": (0.15, 0.40, 0.10, 0.05, 0.30),
    "repair": (0.45, 0.10, 0.15, 0.25, 0.05),
    "sales": (0.10, 0.20, 0.45, 0.20, 0.05),
}
# Mean of the logarithm of the amount, and of the hours of use.
AMOUNT_MEANS = {"billing": 4.0, "repair": 5.0, "sales": 6.2}
USAGE_MEANS = {"billing": 40.0, "repair": 75.0, "sales": 30.0}
# Mean day of the two years at which tickets of a class come in: teams change their load.
DAY_MEANS = {"billing": 220.0, "repair": 400.0, "sales": 520.0}


def _note(rng, team):
    """Write a short text: two to five words on the topic among three to six that say nothing."""
    n_topic = rng.integers(1, 4)
    words = [*rng.choice(TOPIC_WORDS[team], n_topic), *rng.choice(COMMON_WORDS, rng.integers(3, 7))]
    if rng.random() < 0.3:
        # A word from another topic, so that no single word gives the class away.
        words.append(rng.choice(TOPIC_WORDS[rng.choice(CLASSES)]))
    rng.shuffle(words)
    return " ".join(words)


def make_messy_table(n_rows=2000, noise_rate=0.1, random_state=0):
    """Make a table of support tickets with missing values and wrong labels.

    Parameters
    ----------
    n_rows : int, default=2000
        Number of rows.

    noise_rate : float, default=0.1
        Share of the labelled rows whose label is replaced by another class, drawn at random.

    random_state : int, default=0
        Seed of all draws.

    Returns
    -------
    table : DataFrame
        Identifier, dates, categories, numbers, text, a constant, and the label column "team";
        some numbers, categories and labels are missing.

    planted : ndarray of shape (n_rows,), bool
        Where the label is wrong. ``table.attrs["truth"]`` holds the true labels.
    """
    rng = np.random.default_rng(random_state)
    truth = rng.choice(CLASSES, n_rows, p=(0.4, 0.35, 0.25))

    def by_class(means):
        return np.array([means[team] for team in truth])

    amount = np.exp(rng.normal(by_class(AMOUNT_MEANS), 0.9)).round(2)
    usage = rng.normal(by_class(USAGE_MEANS), 16).clip(0).round(1)
    days = rng.normal(by_class(DAY_MEANS), 110).clip(0, 730).astype(int)
    opened = pd.Timestamp("2022-01-01") + pd.to_timedelta(days, unit="D")
    closed = opened + pd.to_timedelta(rng.integers(0, 30, n_rows), unit="D")
    channel = np.array([rng.choice(CHANNELS, p=CHANNEL_SHARES[team]) for team in truth], object)

    table = pd.DataFrame(
        {
            "ticket_id": [f"T-{number:06d}" for number in rng.permutation(n_rows) + 1000],
            "opened": opened.strftime("%Y-%m-%d"),
            "closed": closed.strftime("%Y-%m-%d"),
            "channel": channel,
            "region": rng.choice(["north", "south", "east", "west"], n_rows),
            "amount": amount,
            "hours_of_use": usage,
            "n_contacts": rng.poisson(2.0, n_rows),
            "note": [_note(rng, team) for team in truth],
            "system": "crm",
        }
    )
    table.loc[rng.random(n_rows) < 0.08, "amount"] = np.nan
    table.loc[rng.random(n_rows) < 0.05, "hours_of_use"] = np.nan
    table.loc[rng.random(n_rows) < 0.03, "channel"] = None

    labelled = rng.random(n_rows) >= 0.02
    planted = np.zeros(n_rows, dtype=bool)
    candidates = np.flatnonzero(labelled)
    planted[rng.choice(candidates, round(noise_rate * len(candidates)), replace=False)] = True
    given = truth.astype(object)
    for row in np.flatnonzero(planted):
        given[row] = rng.choice([team for team in CLASSES if team != truth[row]])
    given[~labelled] = None
    table[LABEL] = given
    table.attrs["truth"] = truth.tolist()
    return table, planted


def main(argv=None):
    """Write the table and its truth as two CSV files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="CSV file to write")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--noise-rate", type=float, default=0.1)
    parser.add_argument("--random-state", type=int, default=0)
    options = parser.parse_args(argv)
    table, planted = make_messy_table(options.rows, options.noise_rate, options.random_state)
    truth = pd.DataFrame(
        {"ticket_id": table["ticket_id"], "true_team": table.attrs["truth"], "is_planted": planted}
    )
    truth_path = options.out.with_name(f"{options.out.stem}_truth.csv")
    table.to_csv(options.out, index=False)
    truth.to_csv(truth_path, index=False)
    print(f"{options.out}: {len(table)} rows; {truth_path}: {int(planted.sum())} wrong labels")
    return 0


if __name__ == "__main__":
    sys.exit(main())
