"""Make the lock files from pyproject.toml: exact versions with hashes, what is heavy in files of its own.

    .venv/bin/python tools/lock.py

requirements.lock is what the robot needs; requirements-model.lock and requirements-dev.lock hold only what
the language model and the tests need beside it.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OPTIONS = (
    "--quiet --generate-hashes --no-header --strip-extras --allow-unsafe --no-annotate "
    "--no-emit-index-url --no-emit-find-links"
).split()
ENTRY = re.compile(r"^(?=\S)", re.MULTILINE)


def compile_lock(out: Path, *arguments: str) -> None:
    """Resolve pyproject.toml with pip-compile, on the public index alone."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    environment |= {"PIP_CONFIG_FILE": os.devnull}
    command = [
        sys.executable,
        "-m",
        "piptools",
        "compile",
        *OPTIONS,
        *arguments,
        "-o",
        str(out),
        "pyproject.toml",
    ]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def entries(lock: Path) -> list[str]:
    """Packages of a lock file, each with its hashes."""
    return [entry for entry in ENTRY.split(lock.read_text()) if entry.strip()]


def main() -> None:
    """Write the three lock files."""
    with tempfile.TemporaryDirectory() as folder:
        build = Path(folder, "build.in")
        # One builds the package itself, the other shows how far a download is, which Debian's does not.
        build.write_text("setuptools>=80\npip>=25\n")
        core = Path(folder, "core.lock")
        compile_lock(core, str(build))
        (ROOT / "requirements.lock").write_text(core.read_text())
        known = set(entries(core))
        for extra in ("model", "dev"):
            full = Path(folder, f"{extra}.lock")
            compile_lock(full, "--extra", extra, "--constraint", str(core))
            beside = [entry for entry in entries(full) if entry not in known]
            (ROOT / f"requirements-{extra}.lock").write_text("".join(beside))


if __name__ == "__main__":
    main()
