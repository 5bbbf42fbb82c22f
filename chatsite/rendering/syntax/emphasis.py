"""Emphasis beside Chinese, Japanese and Korean letters and punctuation.

CommonMark looks for blanks around punctuation, which these languages do not have, and so leaves many asterisks there.
The rule here is that of markdown-it-cjk-friendly: their punctuation counts as letters do, and their letters as blanks
do where other punctuation is next to a mark. Nothing changes for texts without these letters.
"""

from __future__ import annotations

import re

from markdown_it.common.utils import isMdAsciiPunct, isPunctChar, isWhiteSpace
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.state_inline import Scanned

_CJK = re.compile(
    "[\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef"
    "\U0001b000-\U0001b16f\U00020000-\U0003ffff]"
)


class InlineState(StateInline):
    """What the parser knows of a paragraph, with another rule for marks of emphasis."""

    def scanDelims(self, start: int, canSplitWord: bool) -> Scanned:  # noqa: N802, N803
        """Return whether the marks at `start` may open or close emphasis, and how many they are.

        Marks that may not split a word (`_`) are left to CommonMark. The name is the parent's.
        """
        scanned = super().scanDelims(start, canSplitWord)
        if not canSplitWord:
            return scanned
        before = self.src[start - 1] if start > 0 else " "
        end = start + scanned.length
        after = self.src[end] if end < self.posMax else " "
        is_cjk_before, is_cjk_after = _CJK.match(before) is not None, _CJK.match(after) is not None
        if not (is_cjk_before or is_cjk_after):
            return scanned
        is_blank_before, is_blank_after = isWhiteSpace(ord(before)), isWhiteSpace(ord(after))
        is_mark_before = _is_punctuation(before) and not is_cjk_before
        is_mark_after = _is_punctuation(after) and not is_cjk_after
        can_open = not is_blank_after and (not is_mark_after or is_blank_before or is_mark_before or is_cjk_before)
        can_close = not is_blank_before and (not is_mark_before or is_blank_after or is_mark_after or is_cjk_after)
        return Scanned(can_open, can_close, scanned.length)


def _is_punctuation(character: str) -> bool:
    return isMdAsciiPunct(ord(character)) or isPunctChar(character)
