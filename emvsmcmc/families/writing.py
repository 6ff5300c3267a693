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
