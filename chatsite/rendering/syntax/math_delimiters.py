r"""How deep delimiters stand open in a formula, which decides how long its conversion takes.

math-core 0.9.0 takes twice as long for each delimiter that is not closed in its group: forty `(` take days.
"""

from __future__ import annotations

import re

_NAMES = "angle|vert|Vert|floor|ceil|brack|paren|brace|group|moustache|Angle|lcorner|Brack"
_ANY = r"\s*(?:\\[A-Za-z]+|\\.|.)"
_DELIMITER = re.compile(
    rf"""
    (?P<begin>\{{ | \\left(?![A-Za-z]){_ANY})
    | (?P<end>\}} | \\right(?![A-Za-z]){_ANY})
    | (?P<opening>[(\[⟨⌊⌈⟦⎰] | \\\{{ | \\(?:l(?:{_NAMES}|lbracket|langle)|ulcorner|mathopen)(?![A-Za-z])
        | \\[bB]igg?l(?![A-Za-z]){_ANY})
    | (?P<closing>[)\]⟩⌋⌉⟧⎱] | \\\}} | \\(?:r(?:{_NAMES}|rbracket|rangle)|urcorner)(?![A-Za-z])
        | \\[bB]igg?r(?![A-Za-z]){_ANY})
    | \\(?:middle|[bB]igg?m?)(?![A-Za-z]){_ANY}
    | \\[A-Za-z]+ | \\.
    """,
    re.VERBOSE | re.DOTALL,
)


def max_open_delimiters(latex: str) -> int:
    r"""Return how many delimiters stand open at once in one group, at most.

    A group is what `{…}` and `\left…\right` enclose. Any closing delimiter closes any opening one, as half-open
    intervals have them. What a command takes as its argument is not known here, so this is no wall but spares the wall
    (`render_process.py`) nearly everything. The work is proportional to the length of `latex`.
    """
    open_counts = [0]
    most = 0
    for match in _DELIMITER.finditer(latex):
        if match.lastgroup == "begin":
            open_counts.append(0)
        elif match.lastgroup == "end" and len(open_counts) > 1:
            open_counts.pop()
        elif match.lastgroup == "opening":
            open_counts[-1] += 1
            most = max(most, open_counts[-1])
        elif match.lastgroup == "closing":
            open_counts[-1] = max(0, open_counts[-1] - 1)
    return most
