"""The web page in a real browser: what a reader of it does and sees. The worker is the test's own, so it is known when
a job waits, runs and has ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.schema import Box, Claim, Detection, ImageSize, PictureFailure, PictureResult, Timings, UrlSource
from shared.store import JobStore
from spotter.address import free_port
from tests import browser
from tests.api.conftest import Serve
from tests.api.test_owners import bearer, make_key
from tests.waiting import until

pytestmark = pytest.mark.skipif(
    browser.command() is None, reason="no Chromium here (Debian: apt-get install chromium): the page is not looked at"
)

PICTURES = Path(__file__).parents[1] / "pictures"
SIZE = ImageSize(width=768, height=576)
TIMINGS = Timings(
    queue_ms=1.5, fetch_ms=0.2, decode_ms=3.1, batch_wait_ms=0.4, infer_ms=7.2, select_ms=0.4, total_ms=12.8,
    batch_size=2, provider="cpu", precision="fp32",
)  # fmt: skip
MARKUP = "<img src=x onerror=alert(1)>"


def found(label: str, confidence: float, x: float, y: float, width: float, height: float) -> Detection:
    return Detection(label=label, class_id=16, confidence=confidence, box=Box(x=x, y=y, width=width, height=height))


def answer(held: Claim, *detections: Detection) -> PictureResult:
    return PictureResult(
        index=held.index, id=held.source.id, status="succeeded", attempts=1, image=SIZE, detections=detections,
        timings=TIMINGS,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Tab]:
    """One browser for all tests here."""
    with browser.opened(tmp_path_factory.mktemp("profile")) as tab:
        tab.look(1280, 900)
        yield tab


@pytest.fixture
def page(tab: browser.Tab, api: httpx.Client, worker: Any) -> Iterator[browser.Tab]:
    """The page of a service that asks for no keys; at the end nothing may have gone wrong in it."""
    worker.announce("m")
    tab.complaints.clear()
    tab.open(str(api.base_url))
    tab.wait("document.querySelector('#model').value === 'm'")
    yield tab
    tab.open("about:blank")
    assert tab.complaints == []


def texts(tab: browser.Tab, selector: str) -> list[str]:
    read: list[str] = tab.run(f"[...document.querySelectorAll({json.dumps(selector)})].map(one => one.innerText)")
    return read


def finish(worker: Any, *detections: Detection) -> None:
    """The picture that waits is answered with these."""
    (held,) = worker.take()
    worker.finish(held, answer(held, *detections))


def send(tab: browser.Tab, *names: str) -> None:
    tab.choose_files("#files", *(PICTURES / name for name in names))
    tab.run("document.querySelector('#send').click()")


def place(tab: browser.Tab, selector: str) -> list[float]:
    """x, y, width and height of an element in the window."""
    found: list[float] = tab.run(
        f"(({{x, y, width, height}}) => [x, y, width, height])"
        f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
    )
    return found


def status(tab: browser.Tab, text: str) -> None:
    tab.wait(f"document.querySelector('.part-head .chip')?.innerText.startsWith({json.dumps(text)})")


def test_a_picture_is_sent_watched_and_shown_with_its_boxes(page: browser.Tab, worker: Any, api: httpx.Client) -> None:
    page.run("document.querySelector('#threshold').value = 0.4")
    page.run("document.querySelector('#threshold').dispatchEvent(new Event('input'))")
    page.run("document.querySelector('#class').value = 'dog'; document.querySelector('#class-add').click()")
    send(page, "dog.jpg")
    status(page, "queued · place 1")
    (held,) = worker.take()
    status(page, "running")
    assert (held.job.options.threshold, held.job.options.classes) == (0.4, ("dog",))
    assert held.data == (PICTURES / "dog.jpg").read_bytes()
    worker.finish(held, answer(held, found("dog", 0.829, 192, 144, 384, 288), found(MARKUP, 0.5, 0, 0, 76.8, 57.6)))
    status(page, "succeeded")
    page.wait("document.querySelectorAll('.part-details details').length === 2")
    assert texts(page, ".found-row .name") == ["dog", MARKUP]
    assert texts(page, ".found-row .value") == ["82.9 %", "50.0 %"]
    assert "Job succeeded. dog.jpg: 1 dog" in page.run("document.querySelector('#said').textContent")
    # The dog's box is the middle half of the picture, in each direction.
    frame, box = (place(page, one) for one in (".frame img", ".box"))
    expected = [frame[0] + frame[2] / 4, frame[1] + frame[3] / 4, frame[2] / 2, frame[3] / 2]
    assert box == pytest.approx(expected, abs=1.5)
    assert frame[2] / frame[3] == pytest.approx(768 / 576, rel=0.01)
    page.run("document.querySelector('.found-row').focus()")
    assert texts(page, ".box.on .label") == ["dog 82.9 %"]
    shown = json.loads(page.run("document.querySelectorAll('.part-details pre')[1].textContent"))
    assert shown == api.get(f"/jobs/{held.job.id}").json()
    command = page.run("document.querySelector('.part-details pre').textContent")
    assert command.startswith(f"curl -s {api.base_url.join('/jobs')} ")
    assert "-F file=@dog.jpg" in command
    assert """--form-string 'options={"threshold":0.4,"classes":["dog"]}'""" in command
    assert page.run("location.hash") == f"#{held.job.id}"


def test_a_job_of_several_pictures_shows_each_and_its_failures(page: browser.Tab, worker: Any) -> None:
    send(page, "dog.jpg", "eagle.jpg", "horses.jpg")
    page.wait("document.querySelectorAll('.strip button').length === 3")
    finish(worker, found("dog", 0.9, 1, 1, 10, 10))
    page.wait("document.querySelector('progress').value === 1")
    failure = PictureFailure(code="invalid_image", title="Not a readable picture", detail="It is damaged.")
    (second,) = worker.take()
    worker.finish(second, PictureResult(index=1, status="failed", attempts=1, error=failure))
    finish(worker)
    status(page, "succeeded")
    page.run("document.querySelectorAll('.strip button')[1].click()")
    page.wait("document.querySelector('.beside .notice strong')?.innerText === 'Not a readable picture'")
    page.run("document.querySelectorAll('.strip button')[2].click()")
    page.wait("document.querySelector('.beside')?.innerText.includes('Nothing was found.')")
    assert "Try again" in texts(page, ".part-head .actions button")


def test_an_earlier_job_is_opened_canceled_tried_again_and_deleted(
    page: browser.Tab, worker: Any, api: httpx.Client
) -> None:
    picture = (PICTURES / "dog.jpg").read_bytes()
    job = api.post("/jobs", content=picture, headers={"content-type": "image/jpeg"}).json()["id"]
    row = f"#jobs [data-job='{job}']"

    def press(text: str) -> None:
        enabled = f'[...document.querySelectorAll("{row} .actions button:enabled")]'
        page.wait(f"{enabled}.some(one => one.innerText === '{text}' && (one.click(), true))")

    page.run("document.dispatchEvent(new Event('visibilitychange'))")
    press("Cancel")
    status(page, "canceled")
    press("Try again")
    status(page, "queued")
    finish(worker, found("cat", 0.7, 10, 10, 50, 50))
    status(page, "succeeded")
    page.wait("document.querySelector('.frame img')?.naturalWidth === 768")  # the upload, from the service
    assert texts(page, ".box .label") == ["cat 70.0 %"]
    press("Delete")
    page.wait("document.querySelector('#sure').open")
    page.press("Escape")
    page.wait("!document.querySelector('#sure').open")
    assert api.get(f"/jobs/{job}").status_code == 200
    press("Delete")
    page.wait("document.querySelector('#sure').open")
    page.run("document.querySelector('#sure button.danger').click()")
    page.wait(f"!document.querySelector(\"{row}\") && document.querySelector('#job-shown').hidden")
    assert api.get(f"/jobs/{job}").status_code == 404


def test_a_data_set_is_downloaded(page: browser.Tab, worker: Any, tmp_path: Path) -> None:
    page.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    send(page, "dog.jpg")
    status(page, "queued")
    finish(worker, found("dog", 0.829, 124, 220, 258, 298))
    page.wait("document.querySelector('.part-head .menu')")
    page.run("document.querySelector('.part-head .menu').open = true")
    page.run("document.querySelector('.part-head .menu button').click()")
    job = page.run("location.hash").removeprefix("#")
    until(lambda: any(path.suffix == ".json" for path in tmp_path.iterdir()))
    (path,) = tmp_path.iterdir()
    assert path.name == f"{job}.coco.json"
    coco = json.loads(path.read_text())
    assert coco["annotations"][0]["bbox"] == [124, 220, 258, 298]
    assert coco["images"][0]["file_name"] == "dog.jpg"


def test_it_is_used_by_keyboard_alone(page: browser.Tab, worker: Any) -> None:
    seen = []
    for _ in range(8):
        page.press("Tab")
        seen.append(page.run("document.activeElement.id || document.activeElement.innerText"))
    assert seen == ["Skip to the result", "docs", "files", "sample", "urls", "model", "threshold", "class"]
    page.run("document.querySelector('#sample').focus()")
    page.press("Enter")
    status(page, "queued")
    finish(worker, found("dog", 0.8, 1, 1, 10, 10))
    page.wait("document.querySelector('.part-head .menu summary')")
    page.run("document.querySelector('.part-head .menu summary').focus()")
    page.press("Enter")
    page.wait("document.querySelector('.part-head .menu').open")
    page.press("Escape")
    page.wait("!document.querySelector('.part-head .menu').open")
    assert page.run("document.activeElement.tagName") == "SUMMARY"


def test_whatever_can_be_used_has_a_name_for_screen_readers(page: browser.Tab, worker: Any) -> None:
    send(page, "dog.jpg", "eagle.jpg")
    page.wait("document.querySelectorAll('.strip button').length === 2")
    finish(worker, found("dog", 0.8, 1, 1, 10, 10))
    finish(worker, found("bird", 0.7, 1, 1, 10, 10))
    page.wait("document.querySelectorAll('.part-details details').length === 2")
    page.choose_files("#files", PICTURES / "horses.jpg")
    page.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    nodes = [one for one in page.send("Accessibility.getFullAXTree")["nodes"] if not one["ignored"]]
    seen = [(one["role"]["value"], one.get("name", {}).get("value", "").strip()) for one in nodes]
    used = {"button", "link", "textbox", "combobox", "slider", "img", "image", "region", "progressbar"}
    without = {role for role, name in seen if role in used and not name}
    assert without == set()
    assert {"button", "link", "textbox", "combobox", "slider", "region"} <= {role for role, _ in seen}
    assert ("image", "dog.jpg: 1 dog") in seen
    levels = page.run(
        "[...document.querySelectorAll('h1, h2, h3')].filter(one => one.offsetParent).map(one => one.tagName)"
    )
    assert levels[0] == "H1"
    assert levels.count("H1") == 1


def test_a_key_is_asked_for_kept_in_the_tab_and_in_no_address(
    tab: browser.Tab, serve: Serve, store: JobStore, worker: Any
) -> None:
    api = serve(auth="keys")
    worker.announce("m")
    key = make_key(store, "shop")
    tab.complaints.clear()
    tab.open(str(api.base_url))
    tab.wait("!document.querySelector('#door').hidden")
    assert tab.run("document.activeElement.id") == "key"
    assert tab.run("getComputedStyle(document.querySelector('#compose')).display") == "none"
    enter = "document.querySelector('#key').value = {}; document.querySelector('#door-form button').click()"
    tab.run(enter.format("'spt_wrong'"))
    tab.wait("document.querySelector('#door-why').innerText === 'That key is not valid here.'")
    tab.run(enter.format(json.dumps(key)))
    tab.wait("document.querySelector('#model').value === 'm' && document.querySelector('#door').hidden")
    send(tab, "dog.jpg")
    status(tab, "queued")
    finish(worker, found("dog", 0.8, 1, 1, 10, 10))  # the stream has the key, too
    status(tab, "succeeded")
    assert tab.run("sessionStorage.getItem('spotter-key')") == key
    assert tab.run("localStorage.length + document.cookie.length") == 0
    addresses = tab.run("[location.href, ...performance.getEntriesByType('resource').map(one => one.name)]")
    assert len(addresses) > 10
    assert not [one for one in addresses if "spt_" in one]
    assert key not in tab.run("document.documentElement.innerText")
    assert {one for one in tab.complaints if "401" not in one} == set()
    tab.run("document.querySelector('#forget').click()")
    tab.wait("document.readyState === 'complete' && document.querySelector('#door')?.hidden === false")
    assert tab.run("sessionStorage.length") == 0


def test_a_refusal_is_shown_in_its_own_words_and_sent_again_when_it_says(
    tab: browser.Tab, serve: Serve, store: JobStore, worker: Any
) -> None:
    api = serve(auth="keys", owner_rate=1, owner_burst=1)
    worker.announce("m")
    key = make_key(store, "shop")
    tab.open(str(api.base_url))
    tab.run(f"sessionStorage.setItem('spotter-key', '{key}')")
    tab.open(f"{api.base_url}/?again")
    tab.wait("document.querySelector('#model').value === 'm'")
    picture: dict[str, Any] = {"content": b"bytes", "headers": bearer(key) | {"content-type": "image/jpeg"}}
    answers = [api.post("/jobs", **picture) for _ in range(2)]
    assert [one.status_code for one in answers] == [202, 429]
    send(tab, "dog.jpg")
    tab.wait("document.querySelector('#compose .notice')?.innerText.includes('Sent again in')")
    shown = tab.run("document.querySelector('#compose .notice').innerText")
    assert answers[1].json()["title"] in shown
    assert answers[1].json()["detail"] in shown
    status(tab, "queued")
    assert tab.run("document.querySelector('#compose .notice') === null")
    assert len(api.get("/jobs", headers=bearer(key)).json()["jobs"]) == 2


def test_a_job_of_many_shows_the_first_of_them_live_and_later(
    page: browser.Tab, worker: Any, api: httpx.Client
) -> None:
    sources = [{"url": f"https://example.com/{number}.jpg"} for number in range(250)]
    job = api.post("/jobs", json={"images": sources}).json()["id"]
    page.run(f"location.hash = '{job}'")
    status(page, "queued")
    taken = worker.take(5)
    for held in taken:
        worker.finish(held)
    page.wait(f"document.querySelector('progress').value === {len(taken)}")
    assert worker.finish_all() == 250 - len(taken)
    for _ in range(2):
        status(page, "succeeded")
        page.wait("document.querySelectorAll('.strip button').length === 200")
        page.wait("document.querySelector('.part-progress').innerText === '250 of 250; the first 200 are shown'")
        page.run("window.earlier = true")
        page.send("Page.reload")
        page.wait("!window.earlier && document.readyState === 'complete'")
    # It did not send them itself, so it asks whether the pictures are kept; those by address are not.
    assert {one.rpartition("/pictures/")[2] for one in page.complaints} == {"0"}
    page.complaints.clear()


BREAKING = """(() => {
  const real = window.fetch;
  window.asked = [];
  window.fetch = async (url, options) => {
    const answer = await real(url, options);
    if (!String(url).endsWith("/events")) return answer;
    window.asked.push(options.headers["Last-Event-ID"] || "");
    if (window.asked.length > 1) return answer;
    const once = new TransformStream({ transform(chunk, to) { to.enqueue(chunk); to.terminate(); } });
    return new Response(answer.body.pipeThrough(once), answer);
  };
})()"""
"""The first stream of events ends after its first bytes, as a connection does that a proxy cuts."""


def test_a_stream_that_breaks_is_taken_up_where_it_ended(page: browser.Tab, worker: Any) -> None:
    page.run(BREAKING)
    send(page, "dog.jpg")
    status(page, "queued")
    page.wait("window.asked.length === 2")
    assert page.run("window.asked") == ["", "0-0-q"]
    finish(worker, found("dog", 0.8, 1, 1, 10, 10))
    status(page, "succeeded")
    assert texts(page, ".box .label") == ["dog 80.0 %"]


def test_a_job_whose_answer_was_lost_is_not_made_twice(page: browser.Tab, api: httpx.Client) -> None:
    page.run("""(() => {
      const real = window.fetch;
      window.fetch = async (url, options) => {
        const answer = await real(url, options);
        if (options?.method !== "POST" || window.lost) return answer;
        window.lost = true;
        throw new TypeError("network error");
      };
    })()""")
    send(page, "dog.jpg")
    page.wait("document.querySelector('#compose .notice strong')?.innerText === 'The service does not answer'")
    status(page, "queued")
    assert len(api.get("/jobs").json()["jobs"]) == 1


def test_a_picture_by_address_is_shown_as_the_service_drew_it(page: browser.Tab, worker: Any) -> None:
    page.run("document.querySelector('#urls').value = ' https://example.com/dog.jpg\\n\\n'")
    page.run("document.querySelector('#send').click()")
    status(page, "queued")
    (held,) = worker.take()
    assert held.source == UrlSource(url="https://example.com/dog.jpg")
    worker.draw(held, (PICTURES / "dog.jpg").read_bytes())
    worker.finish(held, answer(held, found("dog", 0.8, 1, 1, 10, 10)))
    status(page, "succeeded")
    page.wait("document.querySelector('.frame.drawn img')?.naturalWidth === 768")
    command = page.run("document.querySelector('.part-details pre').textContent")
    assert """--json '{"image":{"url":"https://example.com/dog.jpg"},"model":"m","options":{"draw":true}}'""" in command


def test_pictures_are_dropped_and_pasted_and_nothing_else_is(page: browser.Tab) -> None:
    page.run("""(() => {
      const given = (name, type) => {
        const data = new DataTransfer();
        data.items.add(new File(["x"], name, { type }));
        return data;
      };
      const more = { bubbles: true, cancelable: true };
      const [dropped, text] = [given("dropped.png", "image/png"), given("text.txt", "text/plain")];
      document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: dropped, ...more }));
      document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: text, ...more }));
      const clipboardData = given("pasted.webp", "image/webp");
      document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, ...more }));
    })()""")
    assert texts(page, "#chosen .name") == ["dropped.png", "pasted.webp"]
    page.run("document.querySelector('#chosen button').click()")
    assert texts(page, "#chosen .name") == ["pasted.webp"]


def test_what_is_too_large_is_said_in_the_words_of_the_service(tab: browser.Tab, serve: Serve, worker: Any) -> None:
    api = serve(max_body_bytes=50_000, max_image_bytes=50_000)
    worker.announce("m")
    tab.open(str(api.base_url))
    tab.wait("document.querySelector('#model').value === 'm'")
    send(tab, "dog.jpg")
    tab.wait("document.querySelector('#compose .notice strong')?.innerText === 'The body is too large'")


def test_the_browser_itself_keeps_markup_and_foreign_services_away(page: browser.Tab) -> None:
    with pytest.raises(AssertionError, match="TrustedHTML"):
        page.run("document.body.innerHTML = '<b>bold</b>'")
    with pytest.raises(AssertionError, match="Failed to fetch"):
        page.run(f"fetch('http://127.0.0.1:{free_port()}/')")
    page.run("document.body.append(Object.assign(document.createElement('img'), {src: 'http://127.0.0.1/x.png'}))")
    page.run("document.body.setAttribute('style', 'display: none')")
    assert page.run("getComputedStyle(document.body).display") == "block"
    page.run("new Promise(done => setTimeout(done))")
    refused = [one for one in page.complaints if "Content Security Policy" in one]
    assert all(any(directive in one for one in refused) for directive in ("connect-src", "img-src", "style-src"))
    page.complaints.clear()


def test_nothing_is_wider_than_the_window(page: browser.Tab, worker: Any) -> None:
    send(page, "dog.jpg")
    status(page, "queued")
    finish(worker, found("dog", 0.829, 124, 220, 258, 298))
    page.wait("document.querySelectorAll('.part-details details').length === 2")
    page.run("document.querySelectorAll('#job-shown details').forEach(one => one.open = true)")
    try:
        for width in (320, 390, 768, 1024, 1280):
            page.look(width, 800, phone=width < 700)
            assert page.run("document.documentElement.scrollWidth") <= width
    finally:
        page.look(1280, 900)
