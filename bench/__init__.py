"""Measurements: `make bench`. The loads of fixtures.py are shared with the tests."""
