"""Placeholders of attached files: they name what is not imported, and each one is counted."""

from __future__ import annotations

from chatsite.services.transfer.content.markup import file_placeholder, image_placeholder
from chatsite.services.transfer.omissions import Omissions, OmittedKind

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".heic", ".svg", ".bmp")


def mention_attachment(name: object, omitted: Omissions, *, media_type: object = None) -> str:
    """Return what stands for an attached file, and count it in `omitted`.

    It is an image if `media_type` or the end of its name says so. `media_type` may be without its second part.
    """
    if str(media_type).startswith("image") or str(name).lower().endswith(IMAGE_SUFFIXES):
        return mention_image(name, omitted)
    omitted[OmittedKind.FILE] += 1
    return file_placeholder(name)


def mention_image(name: object, omitted: Omissions) -> str:
    """Return what stands for an image, and count it in `omitted`."""
    omitted[OmittedKind.IMAGE] += 1
    return image_placeholder(name)
