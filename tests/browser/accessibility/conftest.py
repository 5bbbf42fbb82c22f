"""What the tests with axe-core share: a site whose visitors may do everything, and browsers without motion."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, StorageState, ViewportSize

from tests.browser.conftest import TIMEOUT_SECONDS, serve_site
from tests.browser.full_account import FullAccount, create_full_account
from tests.support.served_site import ServedSite


@pytest.fixture(scope="package")
def managed_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedSite]:
    """A site whose visitors may manage its models."""
    folder: Path = tmp_path_factory.mktemp("axe")
    with serve_site(folder, ALLOW_MODEL_MANAGEMENT="1", STYLEGUIDE="1", SCRIPTED_TOKENS_PER_SECOND="200") as running:
        yield running


@dataclass
class Furnished:
    """Somebody who has one of everything: what signs a browser in as them, and where it is."""

    cookies: StorageState
    life: FullAccount


@contextmanager
def browsing(
    chromium: Browser, site: ServedSite, locale: str = "en-GB", cookies: StorageState | None = None
) -> Iterator[BrowserContext]:
    """A browser of its own; nothing is in motion when it is looked at."""
    size: ViewportSize = {"width": 1280, "height": 800}
    context = chromium.new_context(
        base_url=site.url, locale=locale, reduced_motion="reduce", viewport=size, storage_state=cookies
    )
    context.set_default_timeout(TIMEOUT_SECONDS * 1000)
    yield context
    context.close()


@pytest.fixture(scope="package")
def furnished(chromium: Browser, managed_site: ServedSite) -> Furnished:
    """One visitor for all of these."""
    with browsing(chromium, managed_site) as context:
        life = create_full_account(context, managed_site.url)
        return Furnished(context.storage_state(), life)
