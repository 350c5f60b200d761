"""Words for a missing value or a total, and normal forms of spellings."""

from __future__ import annotations

import re
import unicodedata

# In a column of labels: what pandas reads as missing, and the error values of spreadsheets.
# "none", "-" and "?" may be classes and are not among them.
MISSING_LABELS = frozenset(
    "NA N/A n/a NaN nan -NaN -nan NaT <NA> None NULL null (null) \\N #N/A #NA #DIV/0! #VALUE! #REF!"
    " #NAME? #NUM! #NULL! 1.#IND -1.#IND 1.#QNAN -1.#QNAN".split()
) | {"#N/A N/A"}
# Spellings that often mark the absence of a label; only the user can decide.
LIKELY_MARKERS = frozenset(
    "? ?? - -- --- . * -1 -9 -99 -999 99 999 none unknown unlabeled unlabelled unsure missing tbd"
    " todo n.a. k.a.".split()
)
# In a column of features, whatever the case.
MISSING_VALUES = (
    frozenset(word.casefold() for word in MISSING_LABELS)
    | frozenset("- -- --- – — ? ?? . .. ... … * n.a. k.a. nil".split())
    | {"", "n. a.", "k. a.", "not available", "not applicable"}
)
TOTALS = frozenset(
    "total totals subtotal sum sums summe gesamt gesamtsumme insgesamt somme suma totale totaal"
    " итого 合计 总计".split()
) | {"grand total"}
# The column that marks rows to verify, and its words.
TO_VERIFY = "to_verify"
WHY = ("suspicious", "doubtful", "random")


def is_total(text: str) -> bool:
    """Whether a cell heads a row of totals."""
    return text.strip().rstrip(":").casefold() in TOTALS


def normal_form(text: str) -> str:
    """Return what spellings of one word share: no case, blanks, leading zeros, ".0" at the end."""
    text = re.sub(r"\s+", "", unicodedata.normalize("NFKC", text)).casefold()
    text = re.sub(r"(?<![\d.,])0+(?=\d)", "", text)
    return re.sub(r"^([-+]?\d+)[.,]0+$", r"\1", text)
