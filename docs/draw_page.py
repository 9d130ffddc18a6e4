"""Draw docs/images/page*.png: the page in its states, with synthetic radiographs.

    python tools/build_page.py --output_dir exported/page
    python docs/draw_page.py exported/page

It needs Chromium. All radiographs are phantoms.
"""

import io
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "support")]

from browser import Browser  # noqa: E402
from dicom_files import dataset  # noqa: E402
from static_server import serving  # noqa: E402

from chexnet.phantom import draw  # noqa: E402

DESKTOP, PHONE = (1200, 800), (390, 844)
COLORS = 256
PHANTOMS = (("Cardiomegaly", "Effusion"), ("Pneumothorax",), ("Mass",), (), ("Consolidation", "Nodule"))


def make_files(folder: Path) -> dict[str, Path]:
    """Write the images that the pictures show; return name -> file."""
    files = {}
    for number, findings in enumerate(PHANTOMS):
        files[f"phantom{number}"] = folder / f"phantom_{number + 1}.png"
        Image.fromarray(draw(findings, 512, seed=2027, patient=number).image).save(files[f"phantom{number}"])
    chest = draw(("Mass", "Effusion"), 512, seed=2027, patient=20).image
    files["dicom"] = folder / "phantom_12bit.dcm"
    samples = (300 + chest.astype(np.uint16) * 12).astype(np.uint16)
    dataset(samples, BitsStored=12, ViewPosition="PA").save_as(files["dicom"], enforce_file_format=True)
    files["inverted"] = folder / "phantom_inverted.png"
    Image.fromarray(255 - chest).save(files["inverted"])
    files["text"] = folder / "report.txt"
    files["text"].write_text("No image.")
    return files


class Pictures:
    """Takes pictures of a page in a browser."""

    def __init__(self, page: Browser, origin: str) -> None:
        self.page, self._origin = page, origin

    def open(self, *files: Path, wait: bool = True, phone: bool = False, **query: str) -> None:
        """Open the page with files; `wait` until all are done."""
        self._size = PHONE if phone else DESKTOP
        self.page.resize(*self._size, mobile=phone)
        self.page.call("Emulation.setScrollbarsHidden", hidden=phone)
        settings = {"lang": "en", "theme": "light", **query}
        self.page.open(f"{self._origin}/?{'&'.join(f'{name}={value}' for name, value in settings.items())}")
        self.page.wait(
            "document.getElementById('status').textContent || document.getElementById('failure').textContent"
        )
        if files:
            self.page.choose_file("#files", *files)
        if files and wait:
            done = "document.querySelectorAll('.tile:is([data-state=done], [data-state=failed])').length"
            self.page.wait(f"{done} === {len(files)} && document.getElementById('cover').hidden", 300)
            self.page.wait("!document.getElementById('legend').hidden")

    def save(self, name: str) -> None:
        """Save what the window shows as docs/images/<name>.png."""
        self.page.evaluate("document.activeElement.blur(); new Promise((done) => setTimeout(done, 400))")
        picture = Image.open(io.BytesIO(self.page.screenshot(*self._size))).convert("RGB")
        palette = picture.quantize(COLORS, kmeans=1)
        picture.quantize(palette=palette).save(IMAGES / f"{name}.png", optimize=True)

    def click(self, selector: str) -> None:
        """Click an element."""
        self.page.evaluate(f"document.querySelector(`{selector}`).click()")


def draw_pictures(pictures: Pictures, files: dict[str, Path]) -> None:
    """Draw the states of a page that works."""
    chinese = {"lang": "zh", "theme": "dark"}
    several = [files[f"phantom{number}"] for number in range(5)]
    page = pictures.page
    pictures.open()
    pictures.save("page_start")
    pictures.open(**chinese)
    pictures.save("page_start_zh_dark")
    pictures.open(*several, files["dicom"])
    pictures.save("page")
    pictures.open(*several, files["dicom"], **chinese)
    pictures.save("page_zh_dark")

    pictures.open(*several, files["text"], files["inverted"], files["dicom"], wait=False)
    page.wait("document.querySelectorAll('.tile[data-state=done]').length === 2")
    pictures.save("page_queue")
    page.wait("document.querySelectorAll('.tile[data-state=failed]').length === 1", 300)
    pictures.click(".tile:nth-of-type(6) input")
    pictures.save("page_broken")
    page.wait("document.querySelectorAll('.tile[data-state=done]').length === 7", 300)
    pictures.click(".tile:nth-of-type(7) input")
    page.wait("document.getElementById('cover').hidden")
    pictures.save("page_warning")
    pictures.click("#language")
    pictures.click("#theme")
    pictures.save("page_warning_zh_dark")

    pictures.open(files["dicom"], theme="dark")
    page.evaluate("document.getElementById('canvas').focus()")
    for key in ("+", "+", "+"):
        page.key(key, key)
    for name, value in (("center", 1900), ("width", 1400), ("opacity", 60)):
        page.evaluate(f"{{ const slider = document.getElementById('{name}'); slider.value = {value};"
                      "slider.dispatchEvent(new Event('input')); }")  # fmt: skip
    pictures.click("[name=mode][value=window]")
    pictures.save("page_window_dark")

    pictures.open(*several, phone=True)
    pictures.save("page_phone")
    pictures.open(*several, phone=True, **chinese)
    page.evaluate("document.querySelector('.panel').scrollIntoView()")
    pictures.save("page_phone_zh_dark")


def main(built: Path) -> None:
    """Draw all pictures of a built page."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        files = make_files(folder)
        server = stack.enter_context(serving(built))
        page = stack.enter_context(Browser(folder / "profile", "--lang=en-US"))
        draw_pictures(Pictures(page, server.origin), files)
        incomplete = folder / "incomplete"
        shutil.copytree(built, incomplete)
        (incomplete / "model.onnx").unlink()
        pictures = Pictures(page, stack.enter_context(serving(incomplete)).origin)
        pictures.open()
        pictures.save("page_failed")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
