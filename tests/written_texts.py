"""Small collections of texts for tests."""

import random
from pathlib import Path

COOKS = ["soup", "bread", "salt", "oven", "butter", "flour", "onion", "pepper", "sauce", "dough", "rice", "lemon"]
SAILS = ["boat", "wind", "anchor", "harbour", "mast", "rope", "wave", "tide", "deck", "captain", "storm", "island"]
COMMON = ["the", "a", "some", "with", "and", "then", "of", "near", "every", "day"]


def sentences(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Return texts of two classes, of 4 to 16 words, with their class."""
    draw, found = random.Random(seed), []
    for i in range(count):
        name, own = ("cooks", COOKS) if i % 2 else ("sails", SAILS)
        words = [draw.choice(own if draw.random() < 0.5 else COMMON) for _ in range(draw.randint(4, 16))]
        found.append((f"{' '.join(words)} {i}", name))
    return found


def write_table(file: Path, count: int = 120) -> Path:
    """Write a CSV of texts with their class."""
    rows = [f'"{text}",{name}' for text, name in sentences(count)]
    file.write_text("\n".join(["text,label", *rows]) + "\n")
    return file
