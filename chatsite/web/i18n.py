"""Languages: Spanish and English, by what the visitor chose, or else by what the browser asks for."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

from babel.dates import format_skeleton
from flask import Flask, Response, current_app, has_request_context, request
from flask_babel import format_decimal, get_locale, get_timezone, gettext

LANGUAGES = {"en": "English", "es": "Español"}
LANGUAGE_COOKIE = "chatsite_language"
TIMEZONE_COOKIE = "chatsite_timezone"


def locale() -> str:
    """The language of the page under way."""
    default: str = current_app.config["LANGUAGE"]
    if not has_request_context():
        return default
    chosen = request.cookies.get(LANGUAGE_COOKIE)
    return chosen if chosen in LANGUAGES else request.accept_languages.best_match(LANGUAGES, default) or default


def timezone() -> ZoneInfo | None:
    """The visitor's time zone, which their browser told in a cookie; None for the server's."""
    name = request.cookies.get(TIMEZONE_COOKIE, "") if has_request_context() else ""
    return ZoneInfo(name) if name in available_timezones() else None


def init_app(app: Flask) -> None:
    """What templates need to speak the visitor's language."""
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.filters["day"] = day
    app.jinja_env.filters["tenths"] = tenths
    app.jinja_env.filters["number"] = number
    app.jinja_env.filters["translated"] = translated
    app.jinja_env.globals.update(languages=LANGUAGES, locale=lambda: str(get_locale()))
    app.after_request(_vary)


def day(moment: datetime) -> str:
    """The heading of the day of a moment: today, yesterday, or its date."""
    zone = get_timezone()
    that: date = moment.astimezone(zone).date()
    today: date = datetime.now(zone).date()
    if that >= today:
        return str(gettext("Today"))
    if that == today - timedelta(days=1):
        return str(gettext("Yesterday"))
    skeleton = "MMMMd" if that.year == today.year else "yMMMMd"
    return format_skeleton(skeleton, datetime(that.year, that.month, that.day), locale=get_locale())


def tenths(number: float) -> str:
    """A number as people measure it: one decimal below ten, none above."""
    return str(format_decimal(number, "#,##0.0" if number < 10 else "#,##0"))


def number(count: float) -> str:
    """A count as the language writes it."""
    return str(format_decimal(count, "#,##0"))


def translated(text: str) -> str:
    """A text that may be one of ours, in the visitor's language.

    What `_()` gives is taken for safe HTML in a template, and a text that comes from elsewhere is not.
    """
    return str(gettext(text))


def _vary(response: Response) -> Response:
    response.vary.add("Accept-Language")
    response.vary.add("Cookie")
    return response
