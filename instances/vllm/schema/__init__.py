"""The flags that an engine knows, as the engine itself tells them. Knows no Django."""

from .schema import Flag, Schema, Spelling, load, of_engine, shipped

__all__ = ["Flag", "Schema", "Spelling", "load", "of_engine", "shipped"]
