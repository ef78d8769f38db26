"""`nod flash`: builds the image, hands it to the chip's own loader, and asks the board what runs now."""

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

import msgspec

from agent import bringup, packages
from agent.bringup import Show
from drivers.errors import ConfigError, DeviceError, LinkTimeout
from drivers.link import SerialStream
from drivers.messages import TABLE_HASH

FIRMWARE = Path(__file__).resolve().parents[1] / "firmware"
BAUD = 115_200  # of optiboot on an Uno
SYNC_TRIES = (
    3  # of 5 s each: enough for a slow bootloader, and a person does not wait a minute for the bad news
)
DRIVES = ("/media/*/*", "/run/media/*/*", "/media/*", "/mnt/*")
DRIVE_MARK = "INFO_UF2.TXT"  # on the drive of every UF2 bootloader
DRIVE_BOARD = "RPI-RP2"
BLOCK_BYTES = 16_384
RETURN_S = 15.0  # for a board that begins anew to come back as a port

BAR = 50  # characters of avrdude's bar
_PHASE = re.compile(r"(Reading|Writing) \| (#*)")
_SIGNATURE = re.compile(r"signature = 0x([0-9a-f]{6})", re.IGNORECASE)


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A board that can be flashed."""

    image: str  # below firmware/build
    compiler: str
    headers: str  # a file of the compiler's library
    packages: tuple[str, ...]  # with both


KINDS = {
    "avr": Kind(
        image="avr/nod.hex",
        compiler="avr-gcc",
        headers="/usr/lib/avr/include/avr/io.h",
        packages=("gcc-avr", "avr-libc"),
    ),
    "rp2040": Kind(
        image="rp2040/nod.uf2",
        compiler="arm-none-eabi-gcc",
        headers="/usr/lib/arm-none-eabi/include/stdio.h",
        packages=("gcc-arm-none-eabi", "libnewlib-arm-none-eabi"),
    ),
}


def build(board: str, kind: Kind, folder: Path = FIRMWARE, *, is_agreed: bool) -> Path:
    """The image of this tree, made anew. Raises ConfigError if its tools are missing or it cannot be made."""
    missing = [] if shutil.which(kind.compiler) and Path(kind.headers).exists() else list(kind.packages)
    missing += [] if shutil.which("make") else ["make"]
    packages.need(missing, f"building the {board} image", is_agreed=is_agreed)
    command = ["make", "-s", "-C", str(folder), board]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=_environment()
    )
    if "No rule to make target" in done.stdout:
        raise ConfigError(
            f"this version of Nod has no firmware for {board}; give an image of your own with --image"
        )
    image = folder / "build" / kind.image
    if done.returncode != 0 or not image.is_file():
        said = [line.strip() for line in done.stdout.splitlines() if "error" in line.lower()]
        raise ConfigError(f"`make -C firmware {board}` failed: {(said or ['it made no image'])[0]}")
    return image


def _environment() -> dict[str, str]:
    """For programs whose words are read here: in English."""
    return {**os.environ, "LC_ALL": "C.UTF-8"}


async def avr(port: str, image: Path, baud: int, show: Show) -> str:
    """Write and verify with avrdude, then ask the firmware who it is; a line of what runs.

    Raises DeviceError for everything that goes wrong with the board.
    """
    # Open, and so locked, all the while: no robot may take the port in between.
    stream = SerialStream(port)
    try:
        await _avrdude(port, image, baud, show)
        return await _handshake(stream)
    finally:
        await stream.aclose()


async def rp2040(port: str, image: Path, drive: Path | None, show: Show) -> str:
    """Copy the image to the drive that the board shows while BOOTSEL is held, then ask who it is.

    The chip's loader checks every block of 512 bytes and begins anew when it has all. Raises DeviceError.
    """
    target = drive if drive is not None else _find_drive()
    if not _is_board(target):
        raise DeviceError(f"{target}: is no drive of an RP2040 (no {DRIVE_MARK} that names {DRIVE_BOARD})")
    await asyncio.to_thread(_copy, image, target, show)
    return await _handshake(await _returned(port, show))


async def _avrdude(port: str, image: Path, baud: int, show: Show) -> None:
    command = ("avrdude", "-p", "m328p", "-c", "arduino", "-b", str(baud), "-x", f"attempts={SYNC_TRIES}")
    process = await asyncio.create_subprocess_exec(
        *(*command, "-P", port, "-D", "-U", f"flash:w:{image}:i"),
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=PIPE,
        env=_environment(),
    )
    assert process.stderr is not None
    said = ""
    try:
        begun = 0
        show("waiting for the bootloader", 0.0)
        while data := await process.stderr.read(256):  # not in lines: the bar grows within one
            said += data.decode("utf-8", "replace")
            phases = _PHASE.findall(said)
            for name, bar in phases[
                max(begun - 1, 0) :
            ]:  # one may have ended, and another begun, within these bytes
                show("writing" if name == "Writing" else "verifying", len(bar) / BAR)
            begun = len(phases)
        code = await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if code != 0:
        raise DeviceError(f"{port}: {explained(said, baud)}")


def explained(said: str, baud: int) -> str:
    """Why avrdude failed, and what to do, in one line."""
    low = said.lower()
    signature = _SIGNATURE.search(said)
    if "expected signature" in low and signature:
        found = signature[1].upper()
        return f"this chip's signature is {found}, not an ATmega328P's (1E950F); the firmware is for Uno and Nano"
    if "verif" in low and ("mismatch" in low or "verification error" in low):
        found_at = re.search(r"(?:at addr|at byte) (0x[0-9a-f]+)", low)
        where = f" at {found_at[1]}" if found_at else ""
        return f"what was written reads back differently{where}; flash again, and if it stays so the chip is worn"
    if "not in sync" in low or "programmer is not responding" in low:
        other = 57_600 if baud == BAUD else BAUD
        return (
            "no bootloader answers; press the reset button just as it starts, take plugs off pins 0 and 1, "
            f"or try --baud {other} (old Nanos have 57600)"
        )
    lines = [line.strip() for line in said.splitlines() if "error" in line.lower() and "ioctl" not in line]
    return f"avrdude failed: {(lines or ['it gave no reason'])[0]}"


async def _handshake(stream: SerialStream) -> str:
    try:
        await bringup.wake(stream)
    except LinkTimeout as exc:
        raise LinkTimeout(
            f"{stream.name}: flashed and verified, but the firmware does not answer in {bringup.BOOT_S:g} s; "
            "press its reset button, then `nod doctor --port`"
        ) from exc
    return f"{stream.name}: message table {TABLE_HASH:08x} runs, which fits this program"


def _find_drive() -> Path:
    found = {path for pattern in DRIVES for path in Path("/").glob(pattern[1:]) if _is_board(path)}
    if len(found) == 1:
        return found.pop()
    if found:
        names = ", ".join(sorted(map(str, found)))
        raise DeviceError(f"several boards show a drive ({names}); name one with --drive")
    raise DeviceError(
        f"no drive {DRIVE_BOARD} is mounted; hold BOOTSEL while plugging the board in, mount the drive, "
        "or name its folder with --drive"
    )


def _is_board(folder: Path) -> bool:
    try:
        return DRIVE_BOARD in (folder / DRIVE_MARK).read_text(errors="replace")
    except OSError:
        return False


def _copy(image: Path, drive: Path, show: Show) -> None:
    data = image.read_bytes()
    try:
        with (drive / image.name).open("wb") as file:
            for at in range(0, len(data), BLOCK_BYTES):
                file.write(data[at : at + BLOCK_BYTES])
                file.flush()
                os.fsync(file.fileno())
                show("writing", min(1.0, (at + BLOCK_BYTES) / len(data)))
    except OSError as exc:
        raise DeviceError(f"{drive}: the image cannot be copied ({exc.strerror}); plug it in again") from exc


async def _returned(port: str, show: Show) -> SerialStream:
    """The port, once the board has begun anew and shows it."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    while True:
        try:
            return SerialStream(port)
        except DeviceError:
            waited_s = loop.time() - began_s
            if waited_s > RETURN_S:
                raise
            show("waiting for the port", waited_s / RETURN_S)
            await asyncio.sleep(0.2)
