"""Operators, one file each; `Stream` has a method for each of them."""
