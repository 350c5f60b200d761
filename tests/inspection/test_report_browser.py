"""The review page in a real browser: keys, undo, storage, saving, loading, hostile data, access."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("jinja2")
pytest.importorskip("PIL")
pytest.importorskip("pandas")

from hypothesis import given, settings
from hypothesis import strategies as st

from skrobust.inspection import apply_corrections
from skrobust.inspection._flag_precision import clopper_pearson
from tests.inspection._reports import HOSTILE, digit_report, table_report, text_report

# One worker has the browser.
pytestmark = pytest.mark.xdist_group("browser")

WIDTHS, SCHEMES = (1280, 390), ("light", "dark")


class Page:
    """A page under test, with its requests and errors."""

    def __init__(self, browser, path, context=None, **settings):
        self.context = context or browser.new_context(**settings)
        self.page = self.context.new_page()
        self.complaints, self.requests = [], []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("dialog", self._reply)
        self.page.add_init_script(
            "window.trapped = []; window.alert = (text) => window.trapped.push(text);"
            "document.addEventListener('securitypolicyviolation',"
            " (event) => window.trapped.push(event.violatedDirective));"
        )
        self.dialogs = []
        self.open(path)

    def _reply(self, dialog):
        self.dialogs.append(dialog.type)
        dialog.accept()

    def open(self, path):
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("html[data-ready]", timeout=60_000)
        self.page.click(".start")

    def press(self, keys):
        for key in keys:
            self.page.keyboard.press(key)

    def text(self, selector):
        return self.page.text_content(selector)

    def expect(self, selector):
        from playwright.sync_api import expect

        return expect(self.page.locator(selector))

    def save(self, path):
        with self.page.expect_download() as download:
            self.page.click("#save")
        download.value.save_as(path)
        return path

    def check(self):
        """Nothing was executed, requested or reported as an error."""
        assert self.complaints == []
        assert self.page.evaluate("window.trapped") == []
        strange = [url for url in self.requests if not url.startswith(("file:", "blob:", "data:"))]
        assert strange == []
        assert len([url for url in self.requests if url.startswith("file:")]) >= 1

    def close(self):
        self.context.close()


@pytest.fixture
def open_page(browser, tmp_path):
    pages = []

    def opened(report, name="report.html", context=None, **settings):
        path = tmp_path / name
        report.to_html(path)
        page = Page(browser, path, context, **settings)
        page.path = path
        pages.append(page)
        return page

    yield opened
    for page in pages:
        page.close()


def test_ten_rows_by_keyboard_revert_reload_save_apply(open_page, tmp_path):
    report, y = digit_report()
    page = open_page(report)
    # Two labels are right, four suggestions are, two classes are typed, two are unclear.
    page.press(["r", "s", "s", "7", "u", "c"])
    page.page.keyboard.type("3")
    page.press(["Enter", "s", "r", "s", "u"])
    assert page.text("#progress").startswith("10 of 12 reviewed")
    page.press(["z", "z", "z"])
    assert page.text("#progress").startswith("7 of 12 reviewed")
    page.page.reload()
    page.page.wait_for_selector("html[data-ready]")
    assert page.text("#progress").startswith("7 of 12 reviewed")
    page.press(["y"])
    assert page.text("#progress").startswith("8 of 12 reviewed")
    page.press(["z", "s", "r", "u"])
    assert page.text("#progress").startswith("10 of 12 reviewed")
    result = apply_corrections(y, page.save(tmp_path / "corrections.csv"))
    order = np.arange(0, 60, 5)
    wanted = y.copy()
    suggested = (y + 1) % 10
    for place, label in enumerate("rss7u3ssru"):
        row = order[place]
        if label == "s":
            wanted[row] = suggested[row]
        elif label.isdigit():
            wanted[row] = int(label)
    np.testing.assert_array_equal(result.labels, wanted)
    assert result.report["n_decisions"] == 10
    assert result.report["n_unclear"] == 2
    page.check()


def test_key_shows_a_row_out_of_sight_before_it_decides(open_page):
    page = open_page(digit_report()[0], viewport={"width": 1280, "height": 700})
    page.page.evaluate("window.scrollTo(0, 0)")
    page.press(["s"])
    assert page.text("#progress") == "0 of 12 reviewed"
    page.expect("#card h3").to_be_in_viewport()
    page.press(["s"])
    assert page.text("#progress").startswith("1 of 12 reviewed")
    page.check()


def test_progress_has_the_interval_of_the_report(open_page, tmp_path):
    report, y = digit_report()
    page = open_page(report)
    page.press(["s", "s", "r", "r", "r", "r", "r", "u"])
    low, high = clopper_pearson(2, 7)
    assert page.text("#progress") == (
        "8 of 12 reviewed, 1 unclear · flagged: 2 of 7 wrong"
        f" (28.6 %, 90 % interval {100 * low:.1f} % to {100 * high:.1f} %)"
    )
    assert "Decisions: 8, not saved to a file yet." in page.text("#state")
    with page.page.expect_download() as download:
        page.press(["Control+s"])
    assert "Decisions: 8, saved to corrections.csv." in page.text("#state")
    download.value.save_as(tmp_path / "corrections.csv")
    # The same while something is typed, where other keys are text.
    page.page.locator("#reviewer").fill("s")
    with page.page.expect_download():
        page.press(["Control+s"])
    result = apply_corrections(y, tmp_path / "corrections.csv")
    np.testing.assert_allclose(result.report["flagged_precision_interval"], (low, high), atol=1e-12)


def test_two_classes_have_no_other_label(open_page):
    page = open_page(text_report(["no", "yes"])[0])
    assert "Wrong: it is" in page.text("#card .acts")
    assert "another label" not in page.text("#card .acts")
    page.press(["c"])
    assert page.text("#live") == "There is no other label."
    assert page.text("#card label:has(#note)").startswith("Note on row ")
    page.check()


def test_a_name_entered_late_goes_with_earlier_decisions(open_page, tmp_path):
    report, _ = digit_report()
    page = open_page(report)
    page.page.focus("#list")
    page.press(["s", "r"])
    early = page.save(tmp_path / "early.csv")
    assert pd.read_csv(early)["reviewer"].isna().all()
    page.page.fill("#reviewer", "ann")
    page.page.focus("#list")
    page.press(["s"])
    named = page.save(tmp_path / "named.csv")
    assert pd.read_csv(named)["reviewer"].tolist() == ["ann"] * 3
    # Decisions of another reviewer keep their name, and those without one have none.
    other = open_page(report, name="other.html")
    other.page.fill("#reviewer", "bob")
    other.page.set_input_files("#file", named)
    other.expect("#progress").to_contain_text("3 of 12 reviewed")
    other.page.set_input_files("#file", early)
    other.expect("#live").to_have_text("2 decisions loaded.")
    kept = pd.read_csv(other.save(tmp_path / "kept.csv"))
    assert sorted(kept["reviewer"].fillna("").tolist()) == ["", "", "ann"]
    page.check()
    other.check()


def test_saved_decisions_are_loaded_in_a_new_profile(open_page, browser, tmp_path):
    report, y = digit_report()
    page = open_page(report)
    page.page.fill("#reviewer", 'Zoë, "ann"')
    page.press(["Tab"])
    page.page.focus("#list")
    page.press(["s", "t"])
    page.page.keyboard.type("=1+1, a “note”")
    page.press(["Enter", "s", "u", "r"])
    saved = page.save(tmp_path / "one.csv")
    other = open_page(report, name="other.html")
    assert other.text("#progress").startswith("0 of 12 reviewed")
    other.page.set_input_files("#file", saved)
    other.expect("#progress").to_contain_text("4 of 12 reviewed")
    again = other.save(tmp_path / "two.csv")
    assert again.read_text(encoding="utf-8") == saved.read_text(encoding="utf-8")
    assert apply_corrections(y, again).report["reviewers"] == ['Zoë, "ann"']
    other.press(["z"])
    assert other.text("#progress").startswith("0 of 12 reviewed")
    page.check()
    other.check()


def test_two_reports_do_not_share_decisions(open_page, tmp_path):
    one = open_page(digit_report(seed=0)[0], name="one.html")
    one.press(["s", "s"])
    other = open_page(digit_report(seed=1)[0], name="two.html", context=one.context)
    assert other.text("#progress").startswith("0 of 12 reviewed")
    saved = one.save(tmp_path / "one.csv")
    other.page.set_input_files("#file", saved)
    other.page.wait_for_selector("#banner:not([hidden])")
    assert "line 2 belongs to other labels" in other.text("#banner")
    assert other.text("#progress").startswith("0 of 12 reviewed")
    # The same data under another path: the decisions are there.
    moved = open_page(digit_report(seed=0)[0], name="moved.html", context=one.context)
    assert moved.text("#progress").startswith("2 of 12 reviewed")


@pytest.mark.parametrize("keep", [True, False])
def test_leaving_needs_confirmation_while_decisions_are_not_saved(open_page, tmp_path, keep):
    page = open_page(digit_report()[0])
    page.press(["s"])
    if keep:
        page.save(tmp_path / "corrections.csv")
    page.page.goto("about:blank")
    assert page.dialogs == ([] if keep else ["beforeunload"])


def test_without_storage_the_page_warns_at_once(open_page):
    report, _ = digit_report()
    page = open_page(report)
    assert page.page.is_hidden("#banner")
    page.page.add_init_script(
        "Storage.prototype.setItem = () => { throw new DOMException('full'); };"
    )
    page.page.reload()
    page.page.wait_for_selector("html[data-ready]")
    assert "does not keep decisions" in page.text("#banner")
    page.press(["s"])
    assert page.text("#progress").startswith("1 of 12 reviewed")
    assert page.page.is_visible("#banner")


def test_filter_sort_and_search(open_page):
    report, _ = digit_report()
    page = open_page(report)
    cell = page.page.locator("svg .cell").first
    cell.focus()
    page.press(["Enter"])
    n_rows = int(cell.locator("text").text_content())
    assert page.page.locator("#list .row").count() == n_rows
    page.page.click("#clear")
    page.page.select_option("#show", "all")
    page.page.select_option("#order", "row")
    first = page.page.locator("#list .row .num").first.text_content()
    assert first == "0"
    page.page.fill("#search", "59")
    page.expect("#list .row").to_have_count(1)
    assert page.page.locator("#list .row .num").all_text_contents() == ["59"]
    page.check()


def test_audit_rows_are_mixed_in_on_request(open_page, tmp_path):
    report, y = digit_report(audit_fraction=0.2)
    page = open_page(report)
    page.page.check("#mix")
    assert page.text("#progress").startswith("0 of 22 reviewed")
    page.page.focus("#list")
    page.press(["r"] * 22)
    assert "random sample: 0 of 10 wrong" in page.text("#progress")
    result = apply_corrections(y, page.save(tmp_path / "corrections.csv"))
    assert result.report["n_audit_reviewed"] == 10
    assert result.report["audit_error_rate"] == 0
    # Ten rows stand for the 48 that are not flagged.
    np.testing.assert_allclose(result.verified_weight.sum(), 12 + 48)


def test_nothing_flagged_offers_the_audit(open_page):
    report, _ = text_report(["a", "b"], step=0)
    page = open_page(report)
    assert page.page.is_checked("#mix")
    assert page.text("#map-box") == "No label is flagged."
    page.page.uncheck("#mix")
    assert "No label is flagged" in page.text("#card")
    page.check()


def test_near_duplicates_are_reviewed_and_reverted_together(open_page, tmp_path):
    from skrobust.inspection import LabelReport
    from tests.inspection._reports import detect

    y = np.array(["a", "b"] * 20)
    X = np.random.default_rng(0).normal(size=(40, 3))
    X[[0, 10, 20]] = X[0]
    page = open_page(LabelReport.from_detector(detect(y), X, y))
    assert "review 3 near-duplicates together" in page.text("#card")
    page.press(["b", "s"])
    assert page.text("#progress").startswith("3 of 8 reviewed")
    page.press(["z"])
    assert page.text("#progress").startswith("0 of 8 reviewed")
    page.press(["y"])
    result = apply_corrections(y, page.save(tmp_path / "corrections.csv"))
    assert np.flatnonzero(result.labels != y).tolist() == [0, 10, 20]


def test_hostile_text_is_shown_and_returned_as_it_is(open_page, tmp_path):
    import pandas as pd

    from skrobust.inspection import LabelReport
    from tests.inspection._reports import detect

    n_rows = 2 * len(HOSTILE)
    y = np.array([HOSTILE[row % len(HOSTILE)] for row in range(n_rows)], dtype=object)
    ids = [f"{text}{row}" for row, text in enumerate(HOSTILE * 2)]
    cells = [
        [HOSTILE[(row + j) % len(HOSTILE)] for j in range(len(HOSTILE))] for row in range(n_rows)
    ]
    frame = pd.DataFrame(
        np.array(cells, dtype=object), columns=pd.Index(HOSTILE, dtype=object), dtype=object
    )
    report = LabelReport.from_detector(
        detect(y, step=1), frame, y, row_ids=ids, title=HOSTILE[0],
        annotations=np.stack([y, y], axis=1),
    )  # fmt: skip
    page = open_page(report)
    assert page.page.title() == HOSTILE[0]
    page.page.fill("#reviewer", HOSTILE[1])
    page.page.focus("#list")
    for number in range(n_rows):
        page.press(["s", "r", "c"][number % 3])
        if number % 3 == 2:
            page.press(["ArrowDown"] * (number % 7) + ["Enter"])
    shown = page.page.locator("#card dd").first.text_content()
    assert shown in [text.replace("\ud800", "\ufffd") for text in HOSTILE]
    page.page.locator("svg .cell").first.click()
    saved = page.save(tmp_path / "corrections.csv")
    result = apply_corrections(y, saved, row_ids=ids)
    suggested = detect(y, step=1).suggested_labels_
    for row in range(0, n_rows, 3):
        # The order of the list is that of the rows.
        assert result.labels[row] == suggested[row]
        assert result.labels[row + 1 if row + 1 < n_rows else row] in HOSTILE
    assert result.report["n_verified"] == n_rows
    for line in saved.read_text(encoding="utf-8").splitlines()[1:]:
        assert not any(field.startswith(tuple("=+-@")) for field in line[1:-1].split('","'))
    page.check()


def test_many_classes_and_long_cells(open_page, tmp_path):
    classes = [f"class {k}" for k in range(10_000)]
    y = np.array(classes + classes[:200], dtype=object)
    from skrobust.inspection import LabelReport
    from tests.inspection._reports import detect

    texts = ["x" * 100_000 if row % 5 == 0 else f"text {row}" for row in range(len(y))]
    report = LabelReport.from_detector(detect(y, step=100), texts, y, max_rows=300)
    page = open_page(report)
    assert "9900 are left out" in page.text("#left-out")
    assert page.page.locator("#list .row").count() <= 100
    page.press(["c"])
    page.page.keyboard.type("class 9999")
    page.press(["Enter"])
    result = apply_corrections(y, page.save(tmp_path / "corrections.csv"))
    assert result.labels[0] == "class 9999"
    assert len(page.page.text_content("#card")) < 5_000
    page.check()


def test_single_keys_can_be_turned_off(open_page):
    page = open_page(digit_report()[0])
    page.page.uncheck("#keys")
    page.page.focus("#list")
    page.press(["s", "r", "5"])
    assert page.text("#progress").startswith("0 of 12 reviewed")
    page.page.get_by_role("button", name="Wrong: it is").click()
    assert page.text("#progress").startswith("1 of 12 reviewed")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_accessible_and_looked_at(open_page, tmp_path_factory, scheme, width):
    """No violation of WCAG A and AA; the screenshots are for eyes."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    settings = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
    reports = {
        "digits": digit_report,
        "table": table_report,
        "text": lambda: text_report(["a", "b"]),
    }
    for name, make in reports.items():
        report, _ = make()
        page = open_page(report, name=f"{name}.html", bypass_csp=True, **settings)
        page.page.focus("#list")
        page.press(["s", "u"])
        found = axe.Axe().run(page.page, options=options)
        assert found.violations_count == 0, found.generate_report()
        assert page.page.evaluate("document.documentElement.scrollWidth") <= width
        folder = tmp_path_factory.getbasetemp() / "screenshots"
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}-{width}-{scheme}.png"
        page.page.screenshot(path=path, full_page=True)
        assert path.stat().st_size > 20_000
        page.press(["c"])
        assert axe.Axe().run(page.page, options=options).violations_count == 0


def test_state_changes_are_announced_and_focus_is_visible(open_page):
    page = open_page(digit_report()[0])
    page.page.focus("#list")
    page.press(["s"])
    assert "wrong, the label is" in page.text("#live")
    page.press(["z"])
    assert page.text("#live").startswith("Undone")
    page.press(["Tab"])
    outline = page.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    still = open_page(digit_report()[0], name="still.html", reduced_motion="reduce")
    duration = still.page.evaluate(
        "getComputedStyle(document.querySelector('#bar')).transitionDuration"
    )
    assert duration == "0s"


def test_notebook_frame_keeps_working(open_page, browser, tmp_path):
    """In the frame of a notebook nothing of the surrounding page applies."""
    report, _ = digit_report()
    path = tmp_path / "notebook.html"
    style = "<style>* { color: red } button { border: 9px solid red }</style>"
    path.write_text(f"<!doctype html>{style}{report._repr_html_()}", encoding="utf-8")
    context = browser.new_context()
    page = context.new_page()
    page.goto(path.as_uri())
    frame = page.frame_locator("iframe")
    frame.locator("html[data-ready]").wait_for(state="attached")
    border = frame.locator("#save").evaluate("(node) => getComputedStyle(node).borderTopWidth")
    assert border == "1px"
    frame.locator("#list").focus()
    page.keyboard.press("s")
    assert frame.locator("#progress").text_content().startswith("1 of 12 reviewed")
    context.close()


@settings(max_examples=12)
@given(
    st.lists(
        (st.text(max_size=12) | st.sampled_from(HOSTILE)).filter(str.strip),
        min_size=2, max_size=5, unique=True,
    ),
    st.data(),
)  # fmt: skip
def test_label_page_export_apply_is_the_identity(browser, tmp_path_factory, classes, data):
    """Whatever the labels, those that are chosen in the page are those that come back."""
    folder = tmp_path_factory.mktemp("round")
    report, y = text_report(classes, n_rows=2 * len(classes), step=1)
    names = sorted(classes)
    own_keys = all(name in "0123456789" for name in names)
    wanted = data.draw(st.lists(st.sampled_from(names), min_size=len(y), max_size=len(y)))
    report.to_html(folder / "report.html")
    page = Page(browser, folder / "report.html")
    try:
        page.page.focus("#list")
        for label in wanted:
            page.press([label if own_keys else str(names.index(label) + 1)])
        saved = page.save(folder / "corrections.csv")
        page.check()
    finally:
        page.close()
    assert apply_corrections(y, saved).labels.tolist() == wanted
