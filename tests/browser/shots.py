"""The pictures of the README, taken from a running `make run`.

    python -m tests.browser.shots [DATA_FOLDER] [OUT_FOLDER]

Signs in with what demo.json says and photographs a few pages in both themes.
"""

from __future__ import annotations

import json
import shutil
import sys
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


def main(folder: Path, out: Path) -> None:
    """Write overview, account and integrations as PNG files."""
    facts = json.loads((folder / "demo.json").read_text())
    base = facts["dashboard_url"].rstrip("/")
    request = urllib.request.Request(
        f"{base}/api/v1/customers?band=watch&limit=1",
        headers={"Authorization": f"Bearer {facts['api_key']}"},
    )
    with urllib.request.urlopen(request) as answer:
        customer = json.load(answer)["results"][0]["customer_id"]
    pages = {
        "overview": ("/", "light"),
        "account": (f"/customers/{customer}/", "light"),
        "accounts-dark": ("/customers/", "dark"),
    }
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=ARGS
        )
        for name, (path, theme) in pages.items():
            context = browser.new_context(
                viewport={"width": 1200, "height": 800}, color_scheme=theme
            )
            page = context.new_page()
            page.goto(f"{base}/sign-in/?next={path}")
            page.get_by_label("E-mail").fill(facts["email"])
            page.get_by_label("Password").fill(facts["password"])
            page.keyboard.press("Enter")
            page.wait_for_url(f"**{path}")
            page.wait_for_timeout(1500)
            page.screenshot(path=out / f"{name}.png")
            context.close()
        browser.close()


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:]]
    main(*(given + [Path(".churnguard"), Path("docs/screenshots")][len(given) :]))
