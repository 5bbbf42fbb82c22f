"""What an import left out, and why, in sentences for the report on the site and in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flask_babel import format_decimal, gettext, ngettext

from chatsite.services.transfer.omissions import OmittedKind

NAMED_KINDS = (OmittedKind.IMAGE, OmittedKind.FILE, OmittedKind.RECORDING)
LIMITED_KINDS = (
    OmittedKind.MESSAGE,
    OmittedKind.VERSION,
    OmittedKind.TAG,
    OmittedKind.SOURCE,
    OmittedKind.INSTRUCTIONS,
    OmittedKind.RATING_NOTE,
    OmittedKind.REASONING,
)
UNSPOKEN_KINDS = (OmittedKind.TOOL_CALL, OmittedKind.THOUGHTS, OmittedKind.HIDDEN, OmittedKind.SUMMARY)


def describe_omitted(omitted: Mapping[str, int]) -> list[str]:
    """Return a sentence for each reason why something was left out; `omitted` has the counts by kind."""
    notes = []
    if named := _list_counts(omitted, NAMED_KINDS):
        notes.append(
            gettext(
                "Media and files cannot be imported yet and are only mentioned in the text: %(parts)s.", parts=named
            )
        )
    if unspoken := _list_counts(omitted, UNSPOKEN_KINDS):
        notes.append(gettext("Left out, because only questions and answers are imported: %(parts)s.", parts=unspoken))
    if unknown := omitted.get(OmittedKind.UNKNOWN):
        notes.append(
            ngettext(
                "Left out, because its format is not supported: %(num)s part.",
                "Left out, because their format is not supported: %(num)s parts.",
                unknown,
            )
        )
    if limited := _list_counts(omitted, LIMITED_KINDS):
        notes.append(gettext("Left out, because there is a limit for them: %(parts)s.", parts=limited))
    if between := omitted.get(OmittedKind.BETWEEN):
        not_added = ngettext(
            "%(num)s message was not added, because it belongs between messages that are already here.",
            "%(num)s messages were not added, because they belong between messages that are already here.",
            between,
        )
        advice = gettext("To get everything, delete the chat, empty the trash and import the file again.")
        notes.append(f"{not_added} {advice}")
    return notes


def _list_counts(omitted: Mapping[str, int], kinds: Sequence[OmittedKind]) -> str:
    """Return the counts of some kinds as a list: 2 images, 1 file."""
    return ", ".join(_describe_count(kind, count) for kind in kinds if (count := omitted.get(kind, 0)))


def _describe_count(kind: OmittedKind, count: int) -> str:
    number = format_decimal(count)
    descriptions = {
        OmittedKind.IMAGE: ngettext("%(num)s image", "%(num)s images", count),
        OmittedKind.FILE: ngettext("%(num)s file", "%(num)s files", count),
        OmittedKind.RECORDING: ngettext("%(num)s recording", "%(num)s recordings", count),
        OmittedKind.TOOL_CALL: ngettext("%(num)s tool call", "%(num)s tool calls", count),
        OmittedKind.THOUGHTS: ngettext("%(num)s reasoning step", "%(num)s reasoning steps", count),
        OmittedKind.HIDDEN: ngettext("%(num)s hidden message", "%(num)s hidden messages", count),
        OmittedKind.SUMMARY: ngettext("%(num)s summary", "%(num)s summaries", count),
        OmittedKind.MESSAGE: ngettext("%(number)s message", "%(number)s messages", count, number=number),
        OmittedKind.VERSION: ngettext("%(number)s version", "%(number)s versions", count, number=number),
        OmittedKind.TAG: ngettext("%(number)s tag", "%(number)s tags", count, number=number),
        OmittedKind.SOURCE: ngettext("%(number)s source", "%(number)s sources", count, number=number),
        OmittedKind.INSTRUCTIONS: ngettext(
            "%(number)s character of the instructions",
            "%(number)s characters of the instructions",
            count,
            number=number,
        ),
        OmittedKind.RATING_NOTE: ngettext(
            "%(number)s character of comments on answers",
            "%(number)s characters of comments on answers",
            count,
            number=number,
        ),
        OmittedKind.REASONING: ngettext(
            "%(number)s character of reasoning", "%(number)s characters of reasoning", count, number=number
        ),
    }
    return str(descriptions[kind])
