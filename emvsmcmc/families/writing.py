"""Formulas as text: brackets where an operation needs them."""

from __future__ import annotations

import re


def outside(text: str) -> str:
    """The text without what stands in brackets: a sum or product at its top level shows as a space in it."""
    while (shorter := re.sub(r"\([^()\[\]]*\)|\[[^()\[\]]*\]", "", text)) != text:
        text = shorter
    return text


def bracketed(text: str) -> str:
    """Brackets around anything but a single factor."""
    return f"({text})" if " " in outside(text) else text


def grouped(text: str) -> str:
    """Brackets around a sum of terms; a single Σ needs none before a fraction's bar."""
    return f"({text})" if re.search(" [+−] ", outside(text)) else text


class Text(str):
    """The name of a number: a product of two is written as one."""

    def __mul__(self, other: object) -> Text:
        if self == "1" or other == "1":
            return Text(other if self == "1" else self)
        return Text(f"{self} {other}")
