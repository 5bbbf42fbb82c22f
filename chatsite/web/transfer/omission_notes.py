"""What an import left out, and why, in sentences for the report on the site and in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flask_babel import gettext, ngettext

from chatsite.services.transfer.omissions import OmittedKind

NAMED_KINDS = (OmittedKind.IMAGE, OmittedKind.FILE, OmittedKind.RECORDING)
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
    descriptions = {
        OmittedKind.IMAGE: ngettext("%(num)s image", "%(num)s images", count),
        OmittedKind.FILE: ngettext("%(num)s file", "%(num)s files", count),
        OmittedKind.RECORDING: ngettext("%(num)s recording", "%(num)s recordings", count),
        OmittedKind.TOOL_CALL: ngettext("%(num)s tool call", "%(num)s tool calls", count),
        OmittedKind.THOUGHTS: ngettext("%(num)s reasoning step", "%(num)s reasoning steps", count),
        OmittedKind.HIDDEN: ngettext("%(num)s hidden message", "%(num)s hidden messages", count),
        OmittedKind.SUMMARY: ngettext("%(num)s summary", "%(num)s summaries", count),
    }
    return str(descriptions[kind])
