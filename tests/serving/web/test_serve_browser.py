"""The page in headless Chromium: what people drop on it, and what they see."""

import shutil
import time

import numpy as np
import pytest
import tensorflow as tf

from dftk.datasets import sample

pytestmark = pytest.mark.slow
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars",
)  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Files by name: good, broken, too large in pixels and in bytes, and no image at all."""
    folder = tmp_path_factory.mktemp("pictures")
    jpeg = sample.draw_jpeg(np.random.default_rng(1), fake=True)
    contents = {
        "good.jpg": jpeg,
        "broken.jpg": jpeg[:900],
        "wide.png": tf.io.encode_png(np.zeros([1000, 1001, 3], np.uint8)).numpy(),
        "heavy.bmp": b"BM" + bytes(10**5),
        "letter.jpg": b"Dear Sir",
        "=1+1 <b>.jpg": jpeg,
        "seventh.jpg": jpeg,
    }
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return folder, list(contents)


@pytest.fixture
def browser(tmp_path):
    """A function that opens Chromium at a width, in a profile of its own."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs pip install selenium")
    if not (CHROMIUM and DRIVER):
        pytest.skip("needs Debian's chromium and chromium-driver")
    opened = []

    def start(width, dark=False):
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}{len(opened)}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        options.add_experimental_option("prefs", {"download.default_directory": str(tmp_path)})
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        opened.append(driver)
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        return driver

    yield start
    for driver in opened:
        driver.quit()


def until(condition):
    """Waits until it is true, at most 30 seconds."""
    for _ in range(300):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("not within 30 seconds")


def find(driver, selector):
    return driver.find_elements("css selector", selector)


def open_page(driver, address):
    driver.get(f"http://{address}/")
    until(lambda: find(driver, "#accepted")[0].text)


def drop(driver, folder, names):
    find(driver, "#files")[0].send_keys("\n".join(str(folder / name) for name in names))
    until(
        lambda: (
            len(find(driver, "#cards article")) == len(names)
            and not find(driver, "#progress")[0].text
        )
    )


def test_one_picture_beside_what_is_known_of_the_model(browser, address, pictures, service):
    driver = browser(1280)
    open_page(driver, address)
    drop(driver, pictures[0], ["good.jpg"])
    probability = service.score((pictures[0] / "good.jpg").read_bytes()).probability
    (card,) = find(driver, "article")
    assert f"{probability:.3f} probability of fake" in card.text
    kind = "fake" if probability >= service.threshold else "real"
    assert kind in card.get_attribute("class").split()
    sizes = "return [...document.querySelectorAll('article img')].map(i => i.naturalWidth)"
    assert driver.execute_script(sizes) == [64, 64]
    assert "nothing about faces" in find(driver, "aside")[0].text
    move = (
        "const e = document.querySelector('#threshold input'); e.value = arguments[0];"
        "e.dispatchEvent(new Event('input')); e.dispatchEvent(new Event('change'))"
    )
    for value, word in ((0, "fake"), (1, "real")):
        driver.execute_script(move, value)
        until(lambda word=word: find(driver, f"article.{word}"))
    assert "0 of 100 real images it calls fake" in find(driver, "#rates")[0].text
    assert not [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]


def test_a_batch_with_every_kind_of_bad_file_and_its_csv(browser, address, pictures, tmp_path):
    driver = browser(1280)
    open_page(driver, address)
    folder, names = pictures
    drop(driver, folder, names)
    text = {card.text.splitlines()[-1]: card.text for card in find(driver, "article.card")
            if not find(card, "img")}  # fmt: skip
    assert "broken or cut" in text["broken.jpg"]
    assert "1,001,000 pixels, more than the 1,000,000" in text["wide.png"]
    assert "more than 0.0954" in text["heavy.bmp"]
    assert "not a JPEG, PNG, GIF or BMP image" in text["letter.jpg"]
    assert "not among the first 6" in text["seventh.jpg"]
    assert "5 not scored" in find(driver, "#summary h2")[0].text
    find(driver, "#summary a")[0].click()
    file = tmp_path / "dftk_results.csv"
    until(file.is_file)
    lines = file.read_text().splitlines()
    assert lines[0] == "filename,probability,label,error"
    assert [line.split(",")[0] for line in lines[1:]] == [
        f"'{name}" if name.startswith("=") else name for name in names
    ]
    assert driver.get_screenshot_as_file(str(tmp_path / "desktop.png"))


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_shows_all_of_it_without_scrolling_sideways(
    browser, address, pictures, tmp_path, dark
):
    driver = browser(390, dark)
    open_page(driver, address)
    drop(driver, pictures[0], ["good.jpg", "=1+1 <b>.jpg"])
    assert driver.execute_script("return document.documentElement.scrollWidth") == 390
    ground = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(16, 23, 30)" if dark else "rgb(246, 248, 250)")
    assert driver.get_screenshot_as_file(str(tmp_path / "phone.png"))
