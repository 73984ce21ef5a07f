"""Lyrics to tokens: languages, spoken forms of numbers and symbols, and the vocabulary."""
