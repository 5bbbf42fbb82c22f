"""The README: its figures are those of the benchmarks and of the catalog, and the Spanish one says the same."""

from __future__ import annotations

import re

from chatsite.cli.main import commands as chatsite
from chatsite.engine.catalog.builtin_models import BUILTIN_ENTRIES
from chatsite.settings import ROOT

ENGLISH = (ROOT / "README.md").read_text("utf-8")
SPANISH = (ROOT / "README.es.md").read_text("utf-8")
BENCHMARKS = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
NUMBER = re.compile(r"\d+(?:[.,  ]\d+)*")


def table_rows(heading: str) -> dict[str, list[str]]:
    """The cells of a table in the benchmarks after the first one of each row, by that one."""
    section = BENCHMARKS.split(f"### {heading}", 1)[1].split("\n#", 1)[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return {" | ".join(cells[:2]) if heading.endswith("int8") else cells[0]: cells[1:] for cells in rows}


def two_digits(number: float) -> int:
    """A measured number as a README gives it."""
    return round(round(number, -1)) if number >= 100 else round(number)


def speed(model: str, key: str) -> float:
    """The tokens a second of the site's engine, for one or several requests."""
    return float(table_rows(f"{model}, 40 tokens an answer, int8")[key][2])


def test_the_first_visit_weighs_what_was_measured() -> None:
    requests, kibibytes = table_rows("What a page weighs")["empty"][:2]
    weight = f"{float(kibibytes):.0f} KiB"
    assert f"a first visit loads {weight} in {requests} requests" in ENGLISH
    assert f"| First visit | **{weight}, {requests} requests** |" in ENGLISH
    others = re.search(r"Open WebUI [\d.]+, an empty page: ([\d,]+) KiB .*?, (\d+) requests", BENCHMARKS)
    assert others
    assert f"| {others[1]} KiB, {others[2]} requests |" in ENGLISH


def test_the_list_takes_as_long_as_was_measured() -> None:
    few, _, many, *_ = map(float, table_rows("Pages")["rows of the sidebar"])
    assert f"the list takes {max(two_digits(few), two_digits(many))} ms with 10 chats and with 10,000" in ENGLISH


def test_a_search_takes_as_long_as_was_measured() -> None:
    rows = [cells for name, cells in table_rows("A large store").items() if name.startswith("search")]
    medians = [float(cells[place]) for cells in rows for place in (2, 4)]
    assert len(medians) == 10
    assert f"it takes {two_digits(min(medians))} to {two_digits(max(medians))} ms" in ENGLISH


def test_models_take_what_the_catalog_says_and_write_as_was_measured() -> None:
    by_name = {entry.name: entry for entry in BUILTIN_ENTRIES}
    tiny, larger = by_name["smollm2-135m-instruct"], by_name["qwen2.5-0.5b-instruct"]
    pace = two_digits(speed("SmolLM2-135M", "greedy | 1"))
    speeds = {
        "smollm2-135m-instruct": f"{pace}",
        "blenderbot-400m-distill": f"{two_digits(speed('BlenderBot-400M', '10 beams | 1'))}",
        # As the models page reckons: each token reads all weights once.
        "qwen2.5-0.5b-instruct": f"about {two_digits(pace * tiny.step_bytes / larger.step_bytes)}",
    }
    for name, tokens_per_second in speeds.items():
        entry = by_name[name]
        row = next(line for line in ENGLISH.splitlines() if f"| {entry.title.removesuffix(' Instruct')}" in line)
        download, memory, written = row.split(" | ")[2:5]
        assert (download, memory) == (size(entry.download_bytes), size(entry.memory_bytes_int8)), name
        assert written == f"{tokens_per_second} tokens/s", name


def size(count: int) -> str:
    """A number of bytes as the models page gives it."""
    return f"{count / 10**9:.1f} GB" if count >= 10**9 else f"{count / 10**6:.0f} MB"


def commands(readme: str) -> list[str]:
    """The lines of the code blocks of a README, without their comments."""
    blocks = re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)
    return [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines()]


def prose(readme: str) -> str:
    """The text of a README without code blocks, addresses and tags."""
    return re.sub(r"```.*?```|\]\([^)]*\)|<[^>]*>", "", readme, flags=re.DOTALL)


def figures(readme: str) -> set[str]:
    """All numbers in the text of a README, without the signs between their digits."""
    return {re.sub(r"\D", "", number) for number in NUMBER.findall(re.sub(r"`[^`]*`", "", prose(readme)))}


def test_the_spanish_readme_has_the_same_commands_and_figures() -> None:
    assert len(commands(ENGLISH)) > 8
    assert commands(SPANISH) == commands(ENGLISH)
    code = set(re.findall(r"`([^`]+)`", prose(SPANISH)))
    assert len(code) > 15
    assert code - set(re.findall(r"`([^`]+)`", prose(ENGLISH))) == set()
    assert len(figures(SPANISH)) > 20
    assert figures(SPANISH) - figures(ENGLISH) == set()


def test_commands_in_the_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        found = re.findall(r"```sh\n(.*?)```|`([^`\n]+)`", path.read_text("utf-8"), re.DOTALL)
        code = "\n".join(block or span for block, span in found)
        assert set(re.findall(r"\bchatsite ([a-z]+)\b(?!/)", code)) <= set(chatsite.commands), path
        assert set(re.findall(r"\bmake ([a-z-]+)\b", code)) <= targets, path
