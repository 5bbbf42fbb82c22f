"""Where exports of other products come from: what to import of each, and the page that says how to get it."""

from __future__ import annotations

from typing import NamedTuple

from chatsite.errors import gettext_noop


class ExportSource(NamedTuple):
    """The name of one or more products, what to import of them, and the address of their help, if there is one."""

    product: str
    what: str
    help_url: str = ""


EXPORT_SOURCES = (
    ExportSource(
        "ChatGPT",
        gettext_noop(
            "Settings → Data controls → Export data. Import the .zip you get by email, or the conversations.json in it."
        ),
        "https://help.openai.com/en/articles/7260999-how-do-i-export-my-chatgpt-history-and-data",
    ),
    ExportSource(
        "Claude",
        gettext_noop("Settings → Export data. Import the .zip you get by email, or the conversations.json in it."),
        "https://claude.ai/settings",
    ),
    ExportSource(
        "Open WebUI",
        gettext_noop("Settings → Data controls → Export chats. Import the JSON file, or the file of a single chat."),
        "https://docs.openwebui.com/features/chat-conversations/data-controls/import-export/",
    ),
    ExportSource(
        "Gemini",
        gettext_noop("Choose “My Activity” as JSON in Google Takeout. Import the .zip."),
        "https://takeout.google.com/",
    ),
    ExportSource("DeepSeek, Grok, Qwen", gettext_noop("The archive of your data, or the JSON file in it.")),
    ExportSource("LibreChat, SillyTavern", gettext_noop("Exported chats, one by one or together in a .zip.")),
    ExportSource("chatsite", gettext_noop("An export as JSON or Markdown.")),
    ExportSource("Markdown", gettext_noop("Notes with headings such as “User” and “Assistant”; several in a .zip.")),
    ExportSource("OpenAI, ShareGPT", gettext_noop("Lists of messages as JSON or JSONL.")),
)
