"""Languages: Spanish and English, by the visitor's preference, or else by what the browser asks for."""

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

from chatsite import cookies
from chatsite.errors import ChatsiteError
from chatsite.settings import LANGUAGES


def select_locale() -> str:
    """Return the language of the current page."""
    default: str = current_app.config["LANGUAGE"]
    if not has_request_context():
        return default
    chosen = cookies.read_cookie(cookies.LANGUAGE)
    return chosen if chosen in LANGUAGES else request.accept_languages.best_match(LANGUAGES, default) or default


def select_timezone() -> ZoneInfo | None:
    """Return the visitor's time zone from the cookie of their browser; None for the server's."""
    name = cookies.read_cookie(cookies.TIMEZONE) if has_request_context() else ""
    return ZoneInfo(name) if name and name in _timezone_names() else None


@cache
def _timezone_names() -> set[str]:
    """Return the names of all time zones. Cached, because it opens hundreds of files."""
    return available_timezones()


def init_app(app: Flask) -> None:
    """Register the filters that format and translate for templates."""
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.install_gettext_callables(  # type: ignore[attr-defined]
        lambda text: _current_translations().ugettext(text),
        lambda one, many, count: _current_translations().ungettext(one, many, count),
        newstyle=True,
        pgettext=lambda context, text: _current_translations().upgettext(context, text),
        npgettext=lambda context, one, many, count: _current_translations().unpgettext(context, one, many, count),
    )
    app.jinja_env.filters["day_heading"] = format_day_heading
    app.jinja_env.filters["list_heading"] = format_list_heading
    app.jinja_env.filters["short_time"] = format_short_time
    app.jinja_env.filters["long_date"] = format_long_date
    app.jinja_env.filters["datetime"] = format_datetime
    app.jinja_env.filters["one_decimal"] = format_one_decimal
    app.jinja_env.filters["number"] = format_count
    app.jinja_env.filters["compact"] = format_compact
    app.jinja_env.filters["size"] = format_bytes
    app.jinja_env.filters["duration"] = format_duration
    app.jinja_env.filters["language_name"] = language_name
    app.jinja_env.filters["translate"] = translate_text
    app.jinja_env.filters["error_text"] = describe_error
    app.jinja_env.globals.update(languages=LANGUAGES, locale=lambda: str(get_locale()))
    app.after_request(_add_vary)


def _current_translations() -> Any:
    """Return the translations of the current page. Kept, because a page translates hundreds of texts."""
    if "translations" not in g:
        g.translations = get_translations()
    return g.translations


def format_day_heading(timestamp: datetime) -> str:
    """Format the day of a datetime as a heading: today, yesterday, or the date."""
    zone = get_timezone()
    local_date: date = timestamp.astimezone(zone).date()
    today: date = datetime.now(zone).date()
    if local_date >= today:
        return str(gettext("Today"))
    if local_date == today - timedelta(days=1):
        return str(gettext("Yesterday"))
    return _format_skeleton("MMMMd" if local_date.year == today.year else "yMMMMd", local_date, str(get_locale()))


def is_same_day(first: datetime, second: datetime) -> bool:
    """Return whether two datetimes are on the same day where the visitor is."""
    zone = get_timezone()
    return first.astimezone(zone).date() == second.astimezone(zone).date()


def format_list_heading(timestamp: datetime) -> str:
    """Format the heading of a datetime in a long list: a day, then a week, a month, and months by name."""
    zone = get_timezone()
    local_date, today = timestamp.astimezone(zone).date(), datetime.now(zone).date()
    age_days = (today - local_date).days
    if age_days <= 1:
        return format_day_heading(timestamp)
    if age_days <= 7:
        return str(gettext("Last 7 days"))
    if age_days <= 30:
        return str(gettext("Last 30 days"))
    language = str(get_locale())
    name = (
        _month_name(local_date.month, language)
        if local_date.year == today.year
        else _format_skeleton("yMMMM", local_date, language)
    )
    return name[:1].upper() + name[1:]


def format_datetime(timestamp: datetime) -> str:
    """Format a date with its time."""
    # What flask_babel has for this knows no time zones of the standard library.
    local, language = timestamp.astimezone(get_timezone()), str(get_locale())
    return f"{_format_day(local.date(), language)}, {_format_hour(time(local.hour, local.minute), language)}"


def format_short_time(timestamp: datetime) -> str:
    """Format a datetime as briefly as possible: the time, before today with the day, before this year with the year."""
    zone = get_timezone()
    local, today = timestamp.astimezone(zone), datetime.now(zone).date()
    local_date, language = local.date(), str(get_locale())
    hour = _format_hour(time(local.hour, local.minute), language)
    if local_date == today:
        return hour
    return f"{_format_skeleton('MMMd' if local_date.year == today.year else 'yMMMd', local_date, language)}, {hour}"


# A page tells the time of sixty messages and the day of thirty conversations, and Babel takes its time for each.
@lru_cache(2048)
def _format_skeleton(skeleton: str, local_date: date, language: str) -> str:
    return str(format_skeleton(skeleton, datetime(local_date.year, local_date.month, local_date.day), locale=language))


@lru_cache(2048)
def _format_day(local_date: date, language: str) -> str:
    return str(format_date(local_date, "medium", locale=language))


@lru_cache(32)
def _month_name(number: int, language: str) -> str:
    return str(format_date(date(2000, number, 1), "LLLL", locale=language))


@lru_cache(4096)
def _format_hour(hour: time, language: str) -> str:
    return str(format_time(hour, "short", locale=language))


def format_long_date(timestamp: datetime) -> str:
    """Format the day of a datetime, with its year."""
    return str(format_date(timestamp.astimezone(get_timezone()), "long", locale=get_locale()))


def format_one_decimal(number: float) -> str:
    """Format a measured number: one decimal below ten, none above."""
    return str(format_decimal(number, "#,##0.0" if number < 10 else "#,##0"))


def format_count(count: float) -> str:
    """Format a count."""
    return str(format_decimal(count, "#,##0"))


def format_compact(count: float) -> str:
    """Format a large count in words, with three digits: 365 million."""
    digits = 1 if count >= 10**9 else 0
    return str(format_compact_decimal(count, format_type="long", fraction_digits=digits, locale=get_locale()))


def format_bytes(count: float) -> str:
    """Format a number of bytes in the largest unit of which there is one; GB with one decimal."""
    if count >= 999_500_000:
        text = format_unit(count / 10**9, "gigabyte", "short", format="#,##0.0", locale=get_locale())
    elif count >= 999_500:
        text = format_unit(count / 10**6, "megabyte", "short", format="#,##0", locale=get_locale())
    elif count >= 1000:
        text = format_unit(count / 1000, "kilobyte", "short", format="#,##0", locale=get_locale())
    else:
        text = format_unit(count, "byte", "long", format="#,##0", locale=get_locale())
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def format_duration(seconds: float) -> str:
    """Format a span of time in its largest unit: 40 seconds, 3 minutes."""
    return str(format_timedelta(timedelta(seconds=max(seconds, 1)), threshold=1.5))


def format_seconds(seconds: float) -> str:
    """Format how long something took: 12 s, 1 min 5 s. What took no time took a second."""
    minutes, rest = divmod(max(round(seconds), 1), 60)
    # The signs of the units are the same in all languages.
    return f"{format_count(minutes)} min {rest} s" if minutes else f"{rest} s"


def language_name(code: str) -> str:
    """Return the name of a language in the visitor's language; an unknown code stays as it is."""
    spoken = get_locale()
    return str(spoken.languages.get(code, code)) if spoken else code


def translate_text(text: str) -> str:
    """Translate a text that may be one of the site's into the visitor's language.

    What `_()` gives is taken for safe HTML in a template, and a text that comes from elsewhere is not.
    """
    # The empty text is where a catalog keeps its own head.
    return str(gettext(text)) if text else ""


def translate_error(error: ChatsiteError) -> str:
    """Return the message of an error in the reader's language, with the errors that are its reasons."""
    params = {name: _localize_param(value) for name, value in error.params.items()}
    params |= {name: gettext(str(error.params[name])) for name in error.translated_params}
    return str(gettext(error.message_template, **params) if params else gettext(error.message_template))


def _localize_param(value: object) -> object:
    if isinstance(value, ChatsiteError):
        return translate_error(value)
    # Whole numbers in errors are counts: lengths, limits, tokens.
    return format_count(value) if isinstance(value, int) else value


def describe_error(error: ChatsiteError | None) -> str:
    """Describe why something failed, in the reader's language; empty where that is not known."""
    return translate_error(error) if error else ""


def _add_vary(response: Response) -> Response:
    response.vary.add("Accept-Language")
    response.vary.add("Cookie")
    return response
