"""The fuzzer's corpus in one file, an input a line: `corpus.py unpack DIR` before fuzzing, `pack DIR` after it.

After `build/core-fuzz DIR` let `build/core-fuzz -merge=1 NEW DIR` thin it out before it is packed.
"""

import argparse
import base64
import hashlib
from pathlib import Path

FILE = Path(__file__).with_name("corpus.txt")


def unpack(folder: Path) -> list[Path]:
    """Write each input to a file of its own; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for line in FILE.read_text().split():
        data = base64.b64decode(line)
        path = folder / hashlib.sha1(data).hexdigest()
        path.write_bytes(data)
        paths.append(path)
    return paths


def pack(folder: Path) -> None:
    """Take all files of a folder."""
    inputs = sorted((path.read_bytes() for path in folder.iterdir()), key=lambda data: (len(data), data))
    FILE.write_text("".join(base64.b64encode(data).decode() + "\n" for data in inputs if data))


def main() -> None:
    """One of the two."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("word", choices=("unpack", "pack"))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    if options.word == "pack":
        pack(options.folder)
    else:
        unpack(options.folder)


if __name__ == "__main__":
    main()
