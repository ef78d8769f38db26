"""Decides: knows people, plans and motion; knows no bytes and no ports."""
