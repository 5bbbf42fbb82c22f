"""HTTP and nothing else: access, one service call, render."""

from __future__ import annotations

from importlib import import_module

from flask import Flask

# What requests and templates need, in the order in which it is bound to the app.
PARTS = (
    *("compression", "htmx", "i18n", "access", "fragments", "security", "assets", "ahead", "errors", "hub", "streams"),
    *("receipts", "choosing", "cards", "wishes", "drafts", "comparisons", "reading", "search", "versions", "shares"),
    *("undoing", "imports", "preferences", "telling", "shortcuts", "palette", "method", "welcome", "styleguide"),
)
# One noun, one blueprint, one file.
NOUNS = (
    *("conversations", "messages", "versions", "ratings", "comparisons", "streams", "receipts", "answerers"),
    *("settings", "drafts", "shelves", "trash", "tags", "selections", "undos", "library", "search", "exports"),
    *("imports", "shares", "shared", "temporary", "personas", "models", "preferences", "links", "health", "styleguide"),
    *("palette", "shortcuts", "offline", "installing"),
)


def init_app(app: Flask) -> None:
    """Bind everything that speaks HTTP to the app."""
    for name in PARTS:
        import_module(f"chatsite.web.{name}").init_app(app)
    import_module("chatsite.web.fragments").share_macros(app)
    for name in NOUNS:
        app.register_blueprint(import_module(f"chatsite.web.{name}").bp)
