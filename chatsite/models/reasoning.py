"""Table of reasoning: what models thought before they answered."""

from __future__ import annotations

from sqlalchemy import Float, ForeignKey, Integer, Text
from sqlalchemy.orm import Mapped, mapped_column

from chatsite.database import Base


class MessageReasoning(Base):
    """What a model thought before it wrote an answer. An answer has one at most; most have none.

    A table of its own, so that nothing reads it by accident: no prompt, search or share. `token_count` and `seconds`
    are how long it is and took; None if nobody knows, as of some imported ones.
    """

    __tablename__ = "reasoning"

    message_id: Mapped[int] = mapped_column(
        ForeignKey("message.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    text: Mapped[str] = mapped_column(Text)
    token_count: Mapped[int | None] = mapped_column(Integer)
    seconds: Mapped[float | None] = mapped_column(Float)
