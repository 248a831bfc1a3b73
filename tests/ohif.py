"""OHIF served to a headless Chromium, over the DICOMweb of a test PACS.

OHIF is the built application of the npm package `@ohif/app`, unpacked by
`tests/install_ohif.sh`; Chromium is Debian's, steered by playwright.
"""

from __future__ import annotations

import http.client
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROOT = Path(__file__).parents[1]
DIST = Path(os.environ.get("CADNODE_OHIF", ROOT / ".cache" / "ohif" / "package" / "dist"))
CHROMIUM = shutil.which("chromium") or ""
# Drawing takes half a minute on a quiet machine with two cores.
DEADLINE_S = 240
# No GPU in a test machine: SwiftShader draws WebGL on the CPU.
_ARGUMENTS = [
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
]
# What the browser has by itself; its PDF viewer is an extension.
_OWN_ADDRESSES = ("blob:", "data:", "chrome:", "chrome-extension:")
_CONFIGURATION = """window.config = {
  routerBasename: null, extensions: [], modes: [], customizationService: {}, showStudyList: true,
  maxNumberOfWebWorkers: 1, showErrorDetails: 'always', disableConfirmationPrompts: true,
  investigationalUseDialog: { option: 'never' },
  strictZSpacingForVolumeViewport: true, defaultDataSourceName: 'pacs',
  maxNumRequests: { interaction: 20, thumbnail: 2, prefetch: 2 },
  dataSources: [{ namespace: '@ohif/extension-default.dataSourcesModule.dicomweb', sourceName: 'pacs',
    configuration: { friendlyName: 'PACS', name: 'pacs', wadoUriRoot: '/dicom-web', qidoRoot: '/dicom-web',
      wadoRoot: '/dicom-web', qidoSupportsIncludeField: true, imageRendering: 'wadors',
      thumbnailRendering: 'wadors', enableStudyLazyLoad: true, bulkDataURI: { enabled: true },
      supportsFuzzyMatching: false,
      supportsWildcard: true, omitQuotationForMultipartRequest: true } }],
};
"""


def missing() -> str:
    """What a machine lacks for these tests; empty where nothing is."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright is not installed"
    if not CHROMIUM:
        return "Debian's chromium is not installed"
    if not (DIST / "index.html").is_file():
        return f"OHIF is not at {DIST}: run tests/install_ohif.sh"
    return ""


class _Handler(SimpleHTTPRequestHandler):
    """Files of OHIF, its configuration, and `/dicom-web` handed on to the PACS."""

    pacs = ""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments, directory=str(DIST))

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""

    def end_headers(self) -> None:
        # SharedArrayBuffer, which OHIF's volumes need, wants the page isolated.
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith("/dicom-web"):
            self._hand_on()
        elif path == "/app-config.js":
            self._answer(200, "text/javascript", _CONFIGURATION.encode())
        elif path != "/" and (DIST / path.lstrip("/")).is_file():
            super().do_GET()
        else:
            self._answer(200, "text/html", (DIST / "index.html").read_bytes())

    def _hand_on(self) -> None:
        connection = http.client.HTTPConnection(self.pacs, timeout=60)
        try:
            # By the host that it is asked for the PACS makes the addresses of bulk data, such as a PDF:
            # they must lead back here.
            wanted = {"Accept": self.headers.get("Accept", "*/*"), "Host": self.headers["Host"]}
            connection.request("GET", self.path, headers=wanted)
            answer = connection.getresponse()
            self._answer(answer.status, answer.headers.get("Content-Type", ""), answer.read())
        finally:
            connection.close()

    def _answer(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that gives up a request is no error."""


@contextmanager
def serve(pacs_http_port: int) -> Iterator[str]:
    """Serve OHIF over the PACS; yields its address."""
    handler = type("Handler", (_Handler,), {"pacs": f"127.0.0.1:{pacs_http_port}"})
    server = _QuietServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)


@contextmanager
def viewer(address: str) -> Iterator[Any]:
    """A headless Chromium that can draw WebGL; yields playwright's page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        try:
            page = browser.new_page(viewport={"width": 1000, "height": 640})
            page.set_default_timeout(DEADLINE_S * 1000)
            # The tour would stand in front of the image, and nothing may be fetched from elsewhere.
            page.add_init_script("localStorage.setItem('shownTours', '[\"basicViewerTour\"]')")
            page.route(
                lambda url: not url.startswith((address, *_OWN_ADDRESSES)), lambda route: route.abort()
            )
            yield page
        finally:
            browser.close()


def picture(page: Any) -> NDArray[np.int16]:
    """What the page shows, RGB `(rows, columns, 3)`."""
    return np.asarray(Image.open(BytesIO(page.screenshot())).convert("RGB")).astype(np.int16)


def colourfulness(shown: NDArray[np.int16]) -> NDArray[np.int16]:
    """How far each pixel is from grey."""
    return np.asarray(shown.max(axis=-1) - shown.min(axis=-1))


def wait_for(page: Any, holds: Callable[[NDArray[np.int16]], bool]) -> NDArray[np.int16]:
    """The first picture of the page for which `holds` is true; the last one at the deadline."""
    from playwright.sync_api import Error

    deadline = time.monotonic() + DEADLINE_S
    while True:
        # While WebGL starts on a busy machine, Chromium may fail to take a picture.
        with suppress(Error):
            shown = picture(page)
            if holds(shown) or time.monotonic() > deadline:
                return shown
        if time.monotonic() > deadline + DEADLINE_S:
            raise TimeoutError("The browser takes no picture of the page.")
        page.wait_for_timeout(1000)
