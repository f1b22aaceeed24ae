"""A schedule as a value, in words, as a picture, and in the language of isolationtester."""
