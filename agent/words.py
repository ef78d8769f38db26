"""What a word of the command line is."""

import argparse
from collections.abc import Callable

import msgspec


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """One word of the command line."""

    name: str
    command: Callable[[argparse.Namespace], int]
    text: str
    example: str
    add_options: Callable[[argparse.ArgumentParser], None]
