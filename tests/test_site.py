"""The built documentation in a real browser, opened from disk; run by ``make test-site``."""

import os
from pathlib import Path

import pytest

SITE = Path(__file__).resolve().parents[1] / "docs" / "_build" / "html"
PAGES = (
    "index",
    "how_many_labels_are_wrong",
    "generated/skrobust.wrappers.CleaningClassifier",
    "auto_examples/plot_wrap_classifier",
)
# Violations in the markup of the theme and of sphinx-gallery: the rule, and what the element is in.
OF_OTHERS = (("summary-name", "summary"), ("link-name", ".sphx-glr-thumbcontainer"))
INSIDE = "([element, part]) => Boolean(document.querySelector(element).closest(part))"
LARGEST_SITE = 60_000_000  # bytes

# One worker has the browser.
pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture(scope="module")
def site() -> Path:
    if not (SITE / "index.html").exists():
        reason = "The site was not built: make docs."
        if os.environ.get("SKROBUST_REQUIRE_SITE") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return SITE


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_open_from_disk(browser, site, tmp_path_factory, scheme, width):
    """No error, no request to a network, no missing picture, no violation of WCAG A and AA."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
    options = {"runOnly": tags, "preload": False}  # style sheets cannot be fetched from disk
    folder = tmp_path_factory.getbasetemp() / "site"
    folder.mkdir(exist_ok=True)
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    messages, errors, requests, violations = [], [], [], []
    for name in PAGES:
        page = context.new_page()
        page.on("console", lambda message: messages.append((message.type, message.text)))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto((site / f"{name}.html").as_uri())
        page.wait_for_load_state("networkidle")
        missing = "[...document.images].filter((i) => !(i.complete && i.naturalWidth)).length"
        assert page.evaluate(missing) == 0, name
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        violations += [
            (name, found["id"], node["target"])
            for found in axe.Axe().run(page, options=options).response["violations"]
            for node in found["nodes"]
            if not any(
                found["id"] == rule and page.evaluate(INSIDE, [node["target"][0], part])
                for rule, part in OF_OTHERS
            )
        ]
        page.screenshot(path=folder / f"{Path(name).name}-{width}-{scheme}.png", full_page=True)
        page.close()
    context.close()
    assert errors + [message for message in messages if message[0] == "error"] == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert violations == []


def test_formulas_are_drawn_without_a_network(browser, site):
    pages = [path for path in site.glob("*.html") if "MathJax" in path.read_text("utf-8")]
    assert pages
    page = browser.new_page()
    page.goto(pages[0].as_uri())
    page.wait_for_selector("mjx-container svg", timeout=30_000)
    page.close()


@pytest.mark.parametrize("words", ["noisy labels", "wrong labels", "label errors", "mislabeled"])
def test_search_finds_the_words_of_the_field(browser, site, words):
    page = browser.new_page()
    page.goto(f"{(site / 'search.html').as_uri()}?q={words.replace(' ', '+')}")
    page.wait_for_selector("#search-results ul.search li a", timeout=60_000)
    assert page.locator("#search-results ul.search li").count() > 0
    page.close()


def test_site_is_small(browser, site):
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) < LARGEST_SITE
