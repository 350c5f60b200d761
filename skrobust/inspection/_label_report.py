"""Report in which a reviewer inspects suspicious labels and corrects them."""

from __future__ import annotations

import html
import json
import tempfile
import webbrowser
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from skrobust.inspection._render import render_markdown, render_page, write_file
from skrobust.inspection._report_data import build_report
from skrobust.utils._typing import LabelsLike


class LabelReport:
    """Report of label errors, and a page in which they are reviewed.

    The page is one HTML file that loads nothing and opens from disk. It states how many labels are
    wrong, where they are, and lists the suspicious rows. A reviewer decides on each with one key
    and saves the decisions to a file, which :func:`apply_corrections` takes. Reports are made by
    :meth:`from_detector`.

    .. versionadded:: 0.1

    Parameters
    ----------
    data : dict
        Content of the report, as :meth:`to_json` writes it.
    images : dict, default=None
        Images of the rows, packed into sheets.

    Attributes
    ----------
    fingerprint : str
        Fingerprint of the given labels in their order, by which corrections recognise them.

    See Also
    --------
    apply_corrections : Applies the decisions to the labels.

    Notes
    -----
    Decisions are kept by the browser (``localStorage``) under the fingerprint of the labels. Where
    it keeps none, the page shows a warning. They are saved to ``corrections.csv``, which the page
    can load again, also in another browser.

    ``to_json`` documents the content, schema 1:

    ================  ================================================================
    key               content
    ================  ================================================================
    schema            1; increases when the meaning of a key changes
    skrobust          version of the package; also created, title, detector
    table             name of the file that was audited, null if there is none
    options           options with which ``skrobust apply`` reads that file as it was read
    fingerprint       of the labels
    counts            rows, labelled, missing, flagged, verified, listed, left_out,
                      flagged_left_out
    noise             rate, low, high, reliability, reason: share of wrong labels
    precision         estimate, low, high, reliability, reason: share of flagged labels
                      that are wrong, null where it cannot be estimated
    audit             rows drawn at random from `sampled_from` rows without a flag
    classes           text of the classes; the numbers below are positions in it
    per_class         for each class: rows, flagged, precision
    pairs             [given, suggested, number of flagged rows]
    rows              columns: row (position from 0), id, given, suggested, quality,
                      flagged, audit, verified, group (near-duplicates). Entries after
                      the first `counts.listed` are reference rows of `near`
    row_names         kind ("line" or "row") and names, one for each row, by which the
                      page calls them; null calls them by position
    content           kind ("none", "text", "fields", "images"), and what it shows
    votes             for each listed row [class, number of models that predict it]
    near              for each listed row the entries of the nearest rows of the given
                      and of the suggested class, -1 for none
    annotations       names of annotators, and [annotator, label] for each listed row
    ================  ================================================================

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skrobust.detection import EnsembleDetector
    >>> from skrobust.inspection import LabelReport
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> data = load_iris(as_frame=True)
    >>> y, _ = flip_labels(data.target, symmetric_transition(3, 0.1), random_state=0)
    >>> detector = EnsembleDetector(random_state=0).fit(data.data, y)
    >>> report = LabelReport.from_detector(detector, data.data, y, title="Iris")
    >>> page = report.to_html()
    >>> page[:15]
    '<!doctype html>'
    """

    def __init__(self, data: dict[Any, Any], images: dict[Any, Any] | None = None):
        self._data = data
        self._images = images

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the given labels in their order."""
        return self._data["fingerprint"]

    @classmethod
    def from_detector(
        cls,
        detector: Any,
        X: Any,
        y: LabelsLike,
        *,
        raw: ArrayLike | None = None,
        row_ids: ArrayLike | None = None,
        max_rows: int = 10_000,
        title: str | None = None,
        annotations: ArrayLike | None = None,
        verified_labels: LabelsLike | None = None,
        audit_fraction: float = 0.05,
        n_large: int = 200,
        random_state: int | np.random.RandomState | None = 0,
    ) -> Self:
        """Make the report of a fitted detector.

        Parameters
        ----------
        detector : LabelErrorDetector
            Fitted to `X` and `y`.
        X : array-like of length n_samples, or None
            Input of ``fit``. Near rows are searched in it where it is a matrix of numbers.
        y : array-like of shape (n_samples,)
            Given labels, as in ``fit``.
        raw : array-like of length n_samples, default=None
            What a reviewer inspects: texts; images, as an array of shape (n_samples, height, width)
            or with channels, or as a list of arrays, Pillow images, paths or bytes, with None for
            rows without one; or a data frame, of which the columns are shown that speak most
            against the given label. None shows `X`.
        row_ids : array-like of shape (n_samples,), default=None
            Ids of the rows, all different. None uses positions.
        max_rows : int, default=10000
            Largest number of rows to list. The page states how many are left out.
        title : str, default=None
            Title of the page.
        annotations : array-like of shape (n_samples, n_annotators), default=None
            Labels by annotators, missing where one has not seen a row; columns of a data frame are
            their names.
        verified_labels : array-like of shape (n_samples,), default=None
            Labels that were verified before, as in ``fit``. These rows are shown as such and not
            queued.
        audit_fraction : float, default=0.05
            Share of the rows without a flag, in [0, 1], that are drawn at random. The page mixes
            them in on request, so that the share of wrong labels among rows without a flag is
            estimated without bias. At most a tenth of `max_rows` are drawn.
        n_large : int, default=200
            Number of rows with a large copy of their image.
        random_state : int, RandomState instance or None, default=0
            Seed of that draw.

        Returns
        -------
        report : LabelReport
            The report.

        Raises
        ------
        ValueError
            If the inputs do not belong together, a parameter is out of range, or an image cannot be
            used.
        sklearn.exceptions.NotFittedError
            If the detector is not fitted.
        """
        for name, value, least in (("max_rows", max_rows, 1), ("n_large", n_large, 0)):
            if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}.")
        if not isinstance(audit_fraction, Real) or not 0 <= audit_fraction <= 1:
            raise ValueError(f"audit_fraction must be a number in [0, 1], got {audit_fraction!r}.")
        if title is not None and not isinstance(title, str):
            raise TypeError(f"title must be text or None, got {title!r}.")
        data, images = build_report(
            detector, X, y, raw=raw, row_ids=row_ids, max_rows=max_rows,
            title="Labels under review" if title is None else title, annotations=annotations,
            verified_labels=verified_labels, audit_fraction=audit_fraction, n_large=n_large,
            random_state=random_state,
        )  # fmt: skip
        return cls(data, images)

    def to_html(self, path: str | Path | None = None) -> str | Path:
        """Write the page.

        Parameters
        ----------
        path : path-like, default=None
            File to write; an existing one is replaced when the new one is complete. None returns
            the page as text.

        Returns
        -------
        page : str or Path
            The page, or the path of the file.
        """
        page = render_page(self._data, self._images)
        return page if path is None else write_file(path, page)

    def to_json(self) -> str:
        """Return the content as JSON, without the images.

        Returns
        -------
        content : str
            A JSON object with the keys listed above.
        """
        return json.dumps(self._data, allow_nan=False)

    def to_markdown(self) -> str:
        """Return the findings and the most suspicious rows as markdown.

        Returns
        -------
        text : str
            Markdown with two tables.
        """
        return render_markdown(self._data)

    def open(self) -> Path:
        """Write the page to a temporary file and show it in the default browser.

        Returns
        -------
        path : Path
            The file, which is not removed.
        """
        folder = Path(tempfile.mkdtemp(prefix="skrobust-"))
        path = write_file(folder / "report.html", render_page(self._data, self._images))
        webbrowser.open(path.as_uri())
        return path

    def __repr__(self) -> str:
        counts = self._data["counts"]
        return f"LabelReport({counts['flagged']} of {counts['labelled']} labels flagged)"

    def _repr_html_(self) -> str:
        page = html.escape(render_page(self._data, self._images))
        return (
            f'<iframe title="{html.escape(self._data["title"])}" srcdoc="{page}"'
            ' style="width: 100%; height: 60rem; border: 0"></iframe>'
        )
