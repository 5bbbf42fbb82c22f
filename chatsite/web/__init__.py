"""The HTTP layer: check access, call one service, render its result."""

from __future__ import annotations

from flask import Blueprint, Flask

from chatsite import cookies, database_probe
from chatsite.web.accounts import terminal_links
from chatsite.web.chat import (
    answer_menus,
    branches,
    comparisons,
    conversations,
    drafts,
    first_run,
    generation_watcher,
    messages,
    model_choice,
    outlines,
    prompt_reports,
    ratings,
    read_marks,
    settings,
    streams,
    temporary,
    versions,
    waiting_messages,
)
from chatsite.web.core import (
    assets,
    compression,
    errors,
    frame,
    htmx,
    identity,
    method_override,
    security,
    storage_limit,
    sub_path,
    template_cache,
    templating,
)
from chatsite.web.core import preferences as core_preferences
from chatsite.web.core import shortcuts as core_shortcuts
from chatsite.web.models import endpoints, models
from chatsite.web.organize import archive, bulk_actions, tags, trash, undo
from chatsite.web.personas import personas
from chatsite.web.search import chat_search, palette, search
from chatsite.web.sharing import network_budgets, public, shares
from chatsite.web.site import (
    health,
    join,
    offline,
    old_addresses,
    overview,
    preferences,
    pwa_install,
    shortcuts,
    user_data,
    user_settings,
)
from chatsite.web.transfer import dropped_files, exports, file_responses, imports, printing, upload_admission

BLUEPRINTS: tuple[Blueprint, ...] = (
    *(conversations.bp, messages.bp, versions.bp, ratings.bp, comparisons.bp, streams.bp, prompt_reports.bp),
    answer_menus.bp,
    *(read_marks.bp, settings.bp, drafts.bp, temporary.bp, first_run.bp, outlines.bp, branches.bp, chat_search.bp),
    waiting_messages.bp,
    *(models.bp, endpoints.bp, model_choice.bp, personas.bp),
    *(archive.bp, trash.bp, tags.bp, bulk_actions.bp, undo.bp),
    *(search.bp, palette.bp, shares.bp, public.bp, exports.bp, printing.bp, imports.bp, dropped_files.bp),
    *(
        overview.bp,
        preferences.bp,
        user_settings.bp,
        user_data.bp,
        shortcuts.bp,
        offline.bp,
        join.bp,
        pwa_install.bp,
        terminal_links.bp,
        health.bp,
        old_addresses.bp,
    ),
)


def init_app(app: Flask) -> None:
    """Register all hooks, template globals and blueprints of the HTTP layer with the app.

    The order matters. Hooks after a request run in the opposite order, so compression, which is registered first, sees
    the finished response. `security` puts its hooks before all others, and `upload_admission` its own between
    them, since it decides whether a body is read. Macros use the template globals of all other modules, so they come
    last. `sub_path` wraps the assets and the proxy headers, so it comes after them.
    """
    for part in (cookies, compression, htmx, identity, template_cache, templating, security, storage_limit):
        part.init_app(app)
    for part in (assets, errors, sub_path, core_preferences, core_shortcuts, frame):
        part.init_app(app)
    database_probe.init_app(app)
    for feature in (
        generation_watcher,
        streams,
        drafts,
        search,
        upload_admission,
        file_responses,
        method_override,
        network_budgets,
    ):
        feature.init_app(app)
    templating.register_macros(app)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    if app.debug or app.config["STYLEGUIDE"]:
        # Developer tools are not part of a production site, and are not even imported there.
        from chatsite.devtools import styleguide

        styleguide.init_app(app)
