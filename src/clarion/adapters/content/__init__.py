"""Liquid, the forms of a locale and the edges of graphemes, each behind its port."""
