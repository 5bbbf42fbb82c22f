"""Languages: Spanish and English, by what the visitor chose, or else by what the browser asks for."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from functools import cache, lru_cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from babel.dates import format_date, format_skeleton, format_time
from babel.numbers import format_compact_decimal
from babel.units import format_unit
from flask import Flask, Response, current_app, g, has_request_context, request
from flask_babel import format_decimal, format_timedelta, get_locale, get_timezone, get_translations, gettext

from chatsite.engine import reasons

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
    return ZoneInfo(name) if name and name in _zones() else None


@cache
def _zones() -> set[str]:
    """The names of all time zones; to find them opens hundreds of files."""
    return available_timezones()


def init_app(app: Flask) -> None:
    """What templates need to speak the visitor's language."""
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.install_gettext_callables(  # type: ignore[attr-defined]
        lambda text: _translations().ugettext(text),
        lambda one, many, count: _translations().ungettext(one, many, count),
        newstyle=True,
    )
    app.jinja_env.filters["day"] = day
    app.jinja_env.filters["period"] = period
    app.jinja_env.filters["clock"] = clock
    app.jinja_env.filters["full_date"] = full_date
    app.jinja_env.filters["moment"] = moment
    app.jinja_env.filters["tenths"] = tenths
    app.jinja_env.filters["number"] = number
    app.jinja_env.filters["compact"] = compact
    app.jinja_env.filters["size"] = size
    app.jinja_env.filters["duration"] = duration
    app.jinja_env.filters["language"] = language
    app.jinja_env.filters["translated"] = translated
    app.jinja_env.filters["reason"] = reason
    app.jinja_env.globals.update(languages=LANGUAGES, locale=lambda: str(get_locale()))
    app.after_request(_vary)


def _translations() -> Any:
    """The texts of the page under way: it has hundreds of them, and to ask for its language each time takes longer."""
    if "translations" not in g:
        g.translations = get_translations()
    return g.translations


def day(moment: datetime) -> str:
    """The heading of the day of a moment: today, yesterday, or its date."""
    zone = get_timezone()
    that: date = moment.astimezone(zone).date()
    today: date = datetime.now(zone).date()
    if that >= today:
        return str(gettext("Today"))
    if that == today - timedelta(days=1):
        return str(gettext("Yesterday"))
    return _day("MMMMd" if that.year == today.year else "yMMMMd", that, str(get_locale()))


def period(when: datetime) -> str:
    """The heading that a moment stands under in a long list: a day, then a week, a month, and months by their names."""
    zone = get_timezone()
    that, today = when.astimezone(zone).date(), datetime.now(zone).date()
    age = (today - that).days
    if age <= 1:
        return day(when)
    if age <= 7:
        return str(gettext("Last 7 days"))
    if age <= 30:
        return str(gettext("Last 30 days"))
    language = str(get_locale())
    name = _month(that.month, language) if that.year == today.year else _day("yMMMM", that, language)
    return name[:1].upper() + name[1:]


def moment(when: datetime) -> str:
    """A date with its time, as the language writes them."""
    # What flask_babel has for this knows no time zones of the standard library.
    zone, locale = get_timezone(), get_locale()
    day = format_date(when.astimezone(zone), "medium", locale=locale)
    return f"{day}, {format_time(when, 'short', tzinfo=zone, locale=locale)}"


def clock(when: datetime) -> str:
    """A moment as briefly as it can be told: the time, before today with the day, before this year with the year."""
    zone = get_timezone()
    there, today = when.astimezone(zone), datetime.now(zone).date()
    that, language = there.date(), str(get_locale())
    hour = _time(time(there.hour, there.minute), language)
    if that == today:
        return hour
    return f"{_day('MMMd' if that.year == today.year else 'yMMMd', that, language)}, {hour}"


# A page tells the time of sixty messages and the day of thirty conversations, and Babel takes its time for each.
@lru_cache(2048)
def _day(skeleton: str, that: date, language: str) -> str:
    return str(format_skeleton(skeleton, datetime(that.year, that.month, that.day), locale=language))


@lru_cache(32)
def _month(number: int, language: str) -> str:
    return str(format_date(date(2000, number, 1), "LLLL", locale=language))


@lru_cache(4096)
def _time(hour: time, language: str) -> str:
    return str(format_time(hour, "short", locale=language))


def full_date(when: datetime) -> str:
    """The day of a moment, with its year."""
    return str(format_date(when.astimezone(get_timezone()), "long", locale=get_locale()))


def tenths(number: float) -> str:
    """A number as people measure it: one decimal below ten, none above."""
    return str(format_decimal(number, "#,##0.0" if number < 10 else "#,##0"))


def number(count: float) -> str:
    """A count as the language writes it."""
    return str(format_decimal(count, "#,##0"))


def compact(count: float) -> str:
    """A large count in words, with the digits that matter: 365 million."""
    digits = 1 if count >= 10**9 else 0
    return str(format_compact_decimal(count, format_type="long", fraction_digits=digits, locale=get_locale()))


def size(count: float) -> str:
    """A number of bytes as people speak of it: MB up to a thousand of them, then GB with one decimal."""
    if count >= 999_500_000:
        text = format_unit(count / 10**9, "gigabyte", "short", format="#,##0.0", locale=get_locale())
    else:
        # What is there at all is not nothing.
        least = min(count, 1.0)
        text = format_unit(max(count / 10**6, least), "megabyte", "short", format="#,##0", locale=get_locale())
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def duration(seconds: float) -> str:
    """A span of time in its largest unit: 40 seconds, 3 minutes."""
    return str(format_timedelta(timedelta(seconds=max(seconds, 1)), threshold=1.5))


def language(code: str) -> str:
    """The name of a language in the visitor's own; a code that is none stays as it is."""
    spoken = get_locale()
    return str(spoken.languages.get(code, code)) if spoken else code


def translated(text: str) -> str:
    """A text that may be one of ours, in the visitor's language.

    What `_()` gives is taken for safe HTML in a template, and a text that comes from elsewhere is not.
    """
    # The empty text is where a catalogue keeps its own head.
    return str(gettext(text)) if text else ""


def reason(text: str | None) -> str:
    """Why something failed, as an engine told it in English, in the visitor's language as far as it is ours."""
    found = reasons.taken_apart(text or "")
    if found is None:
        return translated(text or "")
    template, params = found
    return str(gettext(template, **{name: reason(value) for name, value in params.items()}))


def _vary(response: Response) -> Response:
    response.vary.add("Accept-Language")
    response.vary.add("Cookie")
    return response
