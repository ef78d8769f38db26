"""Debian packages that one command needs: named, asked for, and never installed silently."""

import os
import shutil
import subprocess
from collections.abc import Sequence

from agent import terminal
from drivers.errors import ConfigError


def need(packages: Sequence[str], what: str, *, is_agreed: bool) -> None:
    """Have packages installed after a yes. Raises ConfigError with the command to type if there is none."""
    if not packages:
        return
    names = " ".join(packages)
    by_hand = f"{what} needs the Debian packages {names}; run `sudo apt install {names}`"
    root = [] if os.geteuid() == 0 else ["sudo"]
    if not shutil.which("apt-get") or (root and not shutil.which("sudo")):
        raise ConfigError(by_hand)
    if not is_agreed and not terminal.ask(f"{what} needs from Debian: {names} (as root). Install?"):
        raise ConfigError(by_hand)
    for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
        terminal.say(f"  apt-get {words[0]} {names if words[0] == 'install' else ''}".rstrip())
        command = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *words]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise ConfigError(f"apt-get {words[0]} failed ({last}); run `sudo apt install {names}`")


def need_program(program: str, package: str, what: str, *, is_agreed: bool) -> None:
    """The same for a package that is missing if its program is."""
    need([] if shutil.which(program) else [package], what, is_agreed=is_agreed)
