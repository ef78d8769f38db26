"""An Arduino Uno on a pseudo-terminal, for the flashing tool: its bootloader, then the firmware.

The bootloader speaks STK500 version 1 as far as optiboot does. The firmware behind it is the host board's
process whatever was flashed; `flash` holds what arrived. A pseudo-terminal has no DTR line, so nothing resets
it: the bootloader waits from the first byte on, as the chip does for a second after a reset.
"""

import asyncio
import os
import tty

from sim.board import ProcessBoard

FLASH_BYTES = 32768
SIGNATURE = bytes((0x1E, 0x95, 0x0F))  # ATmega328P
BOOT_S = 1.0  # optiboot's watchdog: without a word from a programmer the firmware starts

_IN_SYNC, _OK, _END = b"\x14", b"\x10", 0x20
_PROGRAM_PAGE, _READ_PAGE, _LOAD_ADDRESS, _LEAVE = 0x64, 0x74, 0x55, 0x51
_READ_SIGNATURE, _UNIVERSAL, _GET_PARAMETER = 0x75, 0x56, 0x41
_VERSIONS = (0x81, 0x82)  # major and minor; to one before 1.11 avrdude speaks otherwise
# Bytes between a command and its end mark; of a page the head only.
_ARGUMENTS = {
    0x30: 0,  # get in sync
    _GET_PARAMETER: 1,
    0x42: 20,  # set device
    0x45: 5,  # set device, extended
    0x50: 0,  # enter programming mode
    _LEAVE: 0,
    _LOAD_ADDRESS: 2,
    _UNIVERSAL: 4,
    _PROGRAM_PAGE: 3,
    _READ_PAGE: 3,
    _READ_SIGNATURE: 0,
}


class Bootloader:
    """Bytes in, answers out, and the flash memory that they fill.

    `bad_byte` is an address that always reads back wrong, as a worn cell does.
    """

    def __init__(self, signature: bytes = SIGNATURE, bad_byte: int | None = None) -> None:
        self.flash = bytearray(b"\xff" * FLASH_BYTES)
        self.is_spoken_to = False
        self.is_left = False
        self._signature = signature
        self._bad_byte = bad_byte
        self._address = 0
        self._waiting = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Answers to every command that these bytes complete; what is none is skipped, as noise."""
        self._waiting += data
        said = b""
        while self._waiting and not self.is_left:
            count = _ARGUMENTS.get(self._waiting[0])
            if count is None:
                del self._waiting[0]
                continue
            size = 1 + count
            if self._waiting[0] == _PROGRAM_PAGE and len(self._waiting) >= size:
                size += int.from_bytes(self._waiting[1:3], "big")
            if len(self._waiting) <= size:
                break
            command, end = bytes(self._waiting[:size]), self._waiting[size]
            if end != _END:
                del self._waiting[0]
                continue
            del self._waiting[: size + 1]
            self.is_spoken_to = True
            said += _IN_SYNC + self._answer(command) + _OK
        return said

    def _answer(self, command: bytes) -> bytes:
        match command[0]:
            case code if code == _LOAD_ADDRESS:
                self._address = int.from_bytes(command[1:3], "little") * 2  # it counts in words
            case code if code == _PROGRAM_PAGE:
                self.flash[self._address : self._address + len(command) - 4] = command[4:]
            case code if code == _READ_PAGE:
                return self._read(int.from_bytes(command[1:3], "big"))
            case code if code == _READ_SIGNATURE:
                return self._signature
            case code if code == _GET_PARAMETER:
                return b"\4" if command[1] in _VERSIONS else b"\3"
            case code if code == _UNIVERSAL:
                return b"\0"
            case code if code == _LEAVE:
                self.is_left = True
        return b""

    def _read(self, count: int) -> bytes:
        page = bytearray(self.flash[self._address : self._address + count])
        if self._bad_byte is not None and 0 <= self._bad_byte - self._address < count:
            page[self._bad_byte - self._address] ^= 0x01
        return bytes(page)


class Uno:
    """The pseudo-terminal `port`, behind it the bootloader until it is left, then the firmware.

    Without `bootloader` it answers no programmer and starts the firmware as late; with `has_firmware` False
    nothing speaks after the bootloader.
    """

    def __init__(
        self, bootloader: Bootloader | None, *, joint_count: int = 4, has_firmware: bool = True
    ) -> None:
        self._bootloader = bootloader
        self._has_firmware = has_firmware
        self._board = ProcessBoard(joint_count)
        self._near = self._far = self._board_port = -1
        self._is_running = False
        self._timer: asyncio.TimerHandle | None = None
        self.port = ""

    async def __aenter__(self) -> "Uno":
        await self._board.__aenter__()
        self._near, self._far = os.openpty()  # the far end stays open, or the near one would fail with it
        tty.setraw(self._far)
        self.port = os.ttyname(self._far)
        self._board_port = os.open(self._board.port, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._board_port)
        for fd, arrived in ((self._near, self._from_host), (self._board_port, self._from_board)):
            os.set_blocking(fd, False)
            asyncio.get_running_loop().add_reader(fd, arrived)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for fd in (self._near, self._board_port):
            asyncio.get_running_loop().remove_reader(fd)
        for fd in (self._near, self._far, self._board_port):
            os.close(fd)
        await self._board.__aexit__()

    def _from_host(self) -> None:
        data = _read(self._near)
        if self._is_running:
            _write(self._board_port, data)
            return
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BOOT_S, self._start)
        if self._bootloader is not None:
            _write(self._near, self._bootloader.feed(data))
            if self._bootloader.is_spoken_to:
                self._timer.cancel()
            if self._bootloader.is_left:
                self._start()

    def _from_board(self) -> None:
        data = _read(self._board_port)
        if self._is_running:
            _write(self._near, data)

    def _start(self) -> None:
        self._is_running = self._has_firmware


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 4096)
    except BlockingIOError:
        return b""


def _write(fd: int, data: bytes) -> None:
    """All of it or, where nobody reads, nothing: as a wire does."""
    if not data:
        return
    try:
        os.write(fd, data)
    except BlockingIOError:
        return
