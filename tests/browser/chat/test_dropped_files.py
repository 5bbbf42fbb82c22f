"""Files that are dropped or pasted never take the place of the page: texts are written, exports can be imported."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from playwright.sync_api import JSHandle, Page, expect

from tests.browser.conftest import BrowserVisitor, wait_for_script

# Files by their names, types and contents; one that is given as a list is bytes.
TRANSFER = """(files) => {
    const transfer = new DataTransfer();
    for (const [name, type, content] of files) {
        const part = Array.isArray(content) ? new Uint8Array(content) : content;
        transfer.items.add(new File([part], name, { type }));
    }
    return transfer;
}"""
PASTE = """(transfer) => {
    const event = new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true });
    document.activeElement.dispatchEvent(event);
    return event.defaultPrevented;
}"""
PICTURE = ("cat.png", "image/png", [137, 80, 78, 71])
NOTES = ("notes.txt", "text/plain", "\ufeffOne\r\nTwo\r\n")
EXPORT = [
    {
        "title": "From elsewhere",
        "mapping": {
            "a": {"id": "a", "parent": None, "children": ["b"], "message": None},
            "b": {
                "id": "b",
                "parent": "a",
                "children": [],
                "message": {
                    "id": "b",
                    "author": {"role": "user"},
                    "create_time": 1.0,
                    "content": {"content_type": "text", "parts": ["Hello from there"]},
                },
            },
        },
        "current_node": "b",
    }
]


def transfer_of(page: Page, *files: tuple[str, str, object]) -> JSHandle:
    """What the mouse or the clipboard carries."""
    return page.evaluate_handle(TRANSFER, list(files))


def drop(page: Page, *files: tuple[str, str, object], on: str = "main") -> None:
    """Drag files over the page, which shows that they may be dropped, and drop them."""
    transfer = transfer_of(page, *files)
    page.dispatch_event(on, "dragover", {"dataTransfer": transfer})
    expect(page.locator("html")).to_have_class(re.compile("dropping"))
    page.dispatch_event(on, "drop", {"dataTransfer": transfer})
    expect(page.locator("html")).not_to_have_class(re.compile("dropping"))


def test_dropped_and_pasted_text_files_are_written_into_the_message(
    new_visitor: Callable[..., BrowserVisitor],
) -> None:
    page = new_visitor().open_tab()
    box, notice, announcer = page.locator("#text"), page.locator("#notice"), page.locator("#announcer")
    box.fill("What is wrong here?")
    code = "print(`x`)\n```\nno end"
    drop(page, NOTES, ("wrong.py", "text/x-python", code))
    expected = "What is wrong here?\n\nnotes.txt\n```\nOne\nTwo\n```\n\nwrong.py\n````py\n" + code + "\n````\n"
    expect(box).to_have_value(expected)
    expect(box).to_be_focused()
    expect(announcer).to_have_text("Added to the message: notes.txt, wrong.py")
    expect(notice).to_be_empty()

    # The name does not say what is text.
    box.fill("")
    drop(page, ("data.bin", "application/octet-stream", "a;b"), ("song.txt", "text/plain", [0, 255, 1]))
    expect(box).to_have_value("data.bin\n```bin\na;b\n```\n")
    expect(notice).to_have_text("Not a text file: song.txt")
    # Without a name of their own, and where nothing can be written, pasted files go the same way.
    box.fill("")
    page.locator("main").focus()
    assert page.evaluate(PASTE, transfer_of(page, NOTES))
    expect(box).to_have_value("notes.txt\n```\nOne\nTwo\n```\n")
    expect(notice).to_be_empty()
    # A text that brings its picture along is pasted as a text.
    transfer = transfer_of(page, PICTURE)
    transfer.evaluate("(all) => { all.setData('text/plain', 'x'); all.setData('text/html', '<b>x</b>') }")
    assert not page.evaluate(PASTE, transfer)


def test_what_cannot_be_written_gets_a_sentence(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    box, notice = page.locator("#text"), page.locator("#notice")
    box.fill("Mine")
    drop(page, PICTURE, ("paper.pdf", "application/pdf", "%PDF"), ("long.txt", "text/plain", "é" * 4001))
    expect(notice.locator("p")).to_have_text(
        [
            "This model reads text only. Paste the text instead.",
            "Too long for a message of at most 4,000 characters: long.txt",
        ]
    )
    assert page.evaluate(PASTE, transfer_of(page, PICTURE))
    expect(notice).to_have_text("This model reads text only. Paste the text instead.")
    page.evaluate("DataTransferItem.prototype.webkitGetAsEntry = () => ({ isDirectory: true })")
    drop(page, ("photos", "", ""))
    expect(notice).to_have_text("A folder cannot be added. Drop the files in it.")
    expect(box).to_have_value("Mine")
    # Where there is no message to write, and where a field takes files itself.
    page.goto("/imports")
    drop(page, NOTES)
    expect(notice).to_have_text("Open a chat to add files to a message.")
    field = page.locator("#import-files")
    assert field.evaluate("""(field) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File(["x"], "x.json"));
        return field.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
    }""")


def test_dropped_export_is_imported_by_one_button(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    page.dispatch_event("main", "dragover", {"dataTransfer": transfer_of(page, NOTES)})
    wait_for_script(page, "files")
    drop(page, ("conversations.json", "application/json", json.dumps(EXPORT)))
    notice = page.locator("#notice")
    expect(notice.locator("p")).to_have_text("This looks like exported chats.")
    expect(page.locator("#text")).to_have_value("")
    notice.get_by_role("button", name="Import").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("conversations.json")
    expect(page.get_by_role("link", name="From elsewhere").first).to_be_visible()
    # Other JSON is a text as any other.
    page.goto("/")
    drop(page, ("package.json", "application/json", '{"name": "x"}'))
    expect(page.locator("#text")).to_have_value('package.json\n```json\n{"name": "x"}\n```\n')
