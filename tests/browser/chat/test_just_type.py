"""No reflex is punished: whatever is typed or pasted goes into the message box, and its keys do what people expect."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import CDPSession, Page, expect

from tests.browser.conftest import BrowserVisitor, ask_and_wait, send_question, wait_for_script

FOCUS_BODY = "() => { document.activeElement.blur(); getSelection().removeAllRanges() }"
# A key as Windows tells of AltGr, and others as they come.
ALTERED_KEY = """(key) => {
    const isAltGr = key === "@";
    const modifiers = { modifierAltGraph: isAltGr, ctrlKey: isAltGr, altKey: isAltGr };
    document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, ...modifiers }));
}"""
ALT, CONTROL, META, SHIFT = 1, 2, 4, 8


def press(keyboard: CDPSession, key: str, code: str, text: str = "", modifiers: int = 0) -> None:
    """Press a key as a keyboard of any country does: the letter it writes, the place it is at, and its modifiers."""
    event = {"key": key, "code": code, "modifiers": modifiers, "windowsVirtualKeyCode": ord(code[-1])}
    keyboard.send("Input.dispatchKeyEvent", {"type": "keyDown" if text else "rawKeyDown", "text": text, **event})
    keyboard.send("Input.dispatchKeyEvent", {"type": "keyUp", **event})


def scroll_place(page: Page) -> float:
    """How far the page is from its end."""
    return float(page.evaluate("document.getElementById('main').scrollTop"))


def test_typing_anywhere_writes_into_the_message_box(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(permissions=["clipboard-read", "clipboard-write"]).open_tab()
    ask_and_wait(page, "/say " + "A line.\n\n" * 60)
    box = page.locator("#text")
    page.reload()
    # There is a keyboard, so one can write at once, and reads where one was.
    expect(box).to_be_focused()
    page.evaluate("document.getElementById('main').scrollTop = -300")
    page.evaluate(FOCUS_BODY)
    page.keyboard.type("your recipe")
    expect(box).to_have_value("your recipe")
    assert scroll_place(page) == -300
    # The clipboard has what it had.
    page.evaluate("navigator.clipboard.writeText('mine')")
    box.fill("")
    page.evaluate(FOCUS_BODY)
    page.keyboard.type("how much / day?")
    expect(box).to_have_value("how much / day?")
    assert page.evaluate("navigator.clipboard.readText()") == "mine"
    # A link or a button has no use for letters; Space and Enter are theirs.
    page.get_by_role("button", name="Good answer").focus()
    page.keyboard.type("c")
    expect(box).to_have_value("how much / day?c")
    page.get_by_role("button", name="Good answer").focus()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "true")
    expect(box).to_have_value("how much / day?c")
    # Nor does Space on the page write: it scrolls.
    page.evaluate(FOCUS_BODY)
    page.keyboard.press("Space")
    assert page.evaluate("document.activeElement === document.body")
    # Fields keep what is typed into them, and an open popover what is typed over it.
    page.goto("/settings")
    page.get_by_role("radio", name="Dark").focus()
    page.keyboard.type("x")
    expect(page.get_by_role("radio", name="Dark")).to_be_focused()
    page.go_back()
    page.get_by_role("button", name="Chat menu").click()
    page.keyboard.type("x")
    expect(page.get_by_role("link", name="Rename", exact=True)).to_be_focused()
    expect(box).to_have_value("how much / day?c")
    page.keyboard.press("Escape")
    # What is pasted goes there, too.
    box.fill("")
    page.evaluate(FOCUS_BODY)
    page.keyboard.press("Control+v")
    expect(box).to_have_value("mine")


def test_typing_after_a_click_on_a_box_writes_into_the_message_box(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    box, picker = page.locator("#text"), page.locator("#model-picker-list")
    temporary = page.get_by_role("checkbox", name="Temporary chat")
    temporary.click()
    expect(temporary).to_be_focused()
    page.keyboard.type("a ")
    expect(box).to_have_value("a ")
    expect(temporary).to_be_checked()
    page.locator("#model-picker summary").click()
    for group, typed in (("Model", "b"), ("Style", "c")):
        option = picker.get_by_role("group", name=group, exact=True).get_by_role("radio").last
        option.click()
        expect(option).to_be_focused()
        page.keyboard.type(typed)
        expect(box).to_be_focused()
    expect(box).to_have_value("a bc")
    # Space and arrows are the box's own.
    temporary.focus()
    page.keyboard.press("Space")
    expect(temporary).not_to_be_checked()
    # A list of choices goes by letters itself.
    page.evaluate("document.getElementById('notice').innerHTML = '<select><option>One<option>Two</select>'")
    page.locator("#notice select").focus()
    page.keyboard.type("t")
    expect(page.locator("#notice select")).to_have_value("Two")
    expect(box).to_have_value("a bc")


def test_keyboards_of_all_countries_write_and_command(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(permissions=["clipboard-read", "clipboard-write"]).open_tab()
    ask_and_wait(page, "/say Words to copy")
    box, keyboard = page.locator("#text"), page.context.new_cdp_session(page)
    # Russian, Spanish and German letters, with the first of each from the page.
    for key, code in (("я", "KeyZ"), ("ñ", "Semicolon"), ("ß", "Minus"), ("?", "Minus"), ("/", "Digit7")):
        box.fill("")
        page.evaluate(FOCUS_BODY)
        press(keyboard, key, code, key, SHIFT if key in "?/" else 0)
        expect(box).to_have_value(key)
        expect(box).to_be_focused()
    # AltGr is Ctrl and Alt, and writes. A dead key begins a letter, as does an input method.
    box.fill("")
    for key in ("@", "Dead", "Process"):
        page.evaluate(FOCUS_BODY)
        page.evaluate(ALTERED_KEY, key)
        expect(box).to_be_focused()
    # Commands are no text: neither Ctrl nor Alt with a letter.
    for modifiers in (CONTROL, ALT, META):
        page.evaluate(FOCUS_BODY)
        press(keyboard, "g", "KeyG", "", modifiers)
        assert page.evaluate("document.activeElement === document.body")
    # A shortcut is at the same place of a keyboard that writes other letters.
    press(keyboard, "\u0441", "KeyC", "", CONTROL + SHIFT)
    expect(page.locator("#announcer")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "Words to copy"
    press(keyboard, "л", "KeyK", "", CONTROL)
    expect(page.get_by_role("dialog", name="Search or jump to…")).to_be_visible()


def test_composed_word_goes_into_the_message_box(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    ask_and_wait(page, "/say hello")
    box, keyboard = page.locator("#text"), page.context.new_cdp_session(page)
    page.evaluate(FOCUS_BODY)
    process = {"type": "rawKeyDown", "key": "Process", "code": "KeyH", "windowsVirtualKeyCode": 229}
    keyboard.send("Input.dispatchKeyEvent", process)
    keyboard.send("Input.imeSetComposition", {"text": "へ", "selectionStart": 1, "selectionEnd": 1})
    keyboard.send("Input.insertText", {"text": "変"})
    expect(box).to_have_value("変")
    # ArrowUp chooses among words while one composes, and opens nothing.
    box.fill("")
    keyboard.send("Input.imeSetComposition", {"text": "へ", "selectionStart": 1, "selectionEnd": 1})
    arrow = {"type": "rawKeyDown", "key": "ArrowUp", "code": "ArrowUp", "windowsVirtualKeyCode": 38}
    keyboard.send("Input.dispatchKeyEvent", arrow)
    expect(page.locator(".edit")).to_have_count(0)


def test_touch_screen_keeps_its_keyboard_closed(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(viewport={"width": 390, "height": 780}, has_touch=True, is_mobile=True).open_tab()
    ask_and_wait(page, "/say hello")
    page.reload()
    expect(page.locator("#composer")).to_be_visible()
    page.evaluate("() => new Promise(requestAnimationFrame)")
    assert page.evaluate("document.activeElement === document.body")


def test_arrow_up_edits_last_question_with_keys_of_the_composer(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    ask_and_wait(page, "/say One")
    ask_and_wait(page, "/say Two")
    box, edit = page.locator("#text"), page.get_by_role("textbox", name="Edit question")
    # Not where there is text to go up in.
    box.press_sequentially("Half")
    box.press("ArrowUp")
    expect(box).to_be_focused()
    box.fill("")
    box.press("ArrowUp")
    expect(edit).to_be_focused()
    expect(edit).to_have_value("/say Two")
    assert edit.evaluate("(box) => box.selectionStart") == len("/say Two")
    right = "(each) => Math.round(each.getBoundingClientRect().right)"
    assert edit.evaluate(right) == page.locator(".question").first.evaluate(right)
    edit.press("Escape")
    expect(edit).to_have_count(0)

    box.press("ArrowUp")
    height = edit.evaluate("(box) => box.offsetHeight")
    edit.press("Shift+Enter")
    edit.press_sequentially("and more")
    assert edit.evaluate("(box) => box.offsetHeight") > height
    edit.press("Enter")
    expect(edit).to_have_count(0)
    expect(page.locator(".question").last).to_have_text("/say Two\nand more")
    expect(page.locator(".prose").last).to_contain_text("and more")
    expect(page.get_by_text("2/2")).to_be_visible()

    page.goto("/settings")
    page.locator("[name=enter][value=newline]").check()
    expect(page.locator("#saved-reading")).to_have_text("Saved")
    page.go_back()
    page.reload()
    box.press("ArrowUp")
    edit.press("Enter")
    expect(edit).to_have_value("/say Two\nand more\n")
    edit.press_sequentially("!")
    edit.press("Control+Enter")
    expect(page.locator(".question").last).to_have_text("/say Two\nand more\n!")


def test_escape_stops_an_answer_after_what_is_open(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    send_question(page, "/slow " + "Once upon a time. " * 200)
    expect(page.locator(".prose")).to_contain_text("Once")
    page.keyboard.press("Control+k")
    expect(page.locator("#palette")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#palette")).to_be_hidden()
    page.locator("#model-picker summary").click()
    wait_for_script(page, "model_picker")
    page.keyboard.press("Escape")
    expect(page.locator("#model-picker-list")).to_be_hidden()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    page.locator("#text").press_sequentially("Next")
    page.keyboard.press("Escape")
    expect(page.locator("#announcer")).to_contain_text("You stopped this answer.")
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    expect(page.locator("#text")).to_be_focused()
    expect(page.locator("#text")).to_have_value("Next")
    # From there it leads back to the text, as ever.
    page.keyboard.press("Escape")
    expect(page.locator("#main")).to_be_focused()


def test_message_box_and_last_answer_are_near_the_top(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    for name in ("One", "Two"):
        ask_and_wait(page, f"/say {name}")
    page.evaluate("() => { document.body.tabIndex = -1; document.body.focus() }")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to message box")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to last answer")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("article.message-assistant").last).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.evaluate("document.body.focus()")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#text")).to_be_focused()
