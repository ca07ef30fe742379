"""Segments: who is meant, as an expression with one meaning and two spellings."""
