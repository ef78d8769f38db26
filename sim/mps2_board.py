"""The Cortex-M3 image in QEMU, as a process like nod-host.

    python -m sim.mps2_board [--first-us T] [--gdb SOCKET] --pwm-fd N

Prints the path to open on its first line. Servo frames go to N, 16 bytes each, in the machine's own time. A debugger
may come through SOCKET. SIGHUP resets the chip. It has no stop line: SIGUSR1 and SIGUSR2 end it. So does SIGTERM.
"""

import argparse
import asyncio
import ctypes
import os
import pty
import shutil
import signal
import struct
import sys
import tty

from drivers.errors import ConfigError
from sim.board import CHANNELS, built

FIRST_US_AT = 0x2000_0000  # where the image looks for what its clock shows at power-on
_RECORD = struct.Struct(f"<Q{CHANNELS}H")
_PDEATHSIG = 1  # prctl: a signal to this process when its parent ends


def mps2_command(first_us: int = 0, gdb: str = "") -> tuple[str, ...]:
    """The program that runs the image in real time, for `ProcessBoard`. Raises ConfigError without image or QEMU."""
    built("mps2/nod.elf", "mps2")
    if shutil.which("qemu-system-arm") is None:
        raise ConfigError("there is no qemu-system-arm; on Debian: apt install qemu-system-arm")
    more = ("--gdb", gdb) if gdb else ()
    return sys.executable, "-m", "sim.mps2_board", "--first-us", str(first_us), *more


def main() -> int:
    """Run until told to end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--first-us", type=int, default=0)
    parser.add_argument("--gdb", default="")
    parser.add_argument("--pwm-fd", type=int, required=True)
    options = parser.parse_args()
    return asyncio.run(_run(options.first_us, options.gdb, options.pwm_fd))


async def _run(first_us: int, gdb: str, pwm: int) -> int:
    # QEMU holds the near end of our own pseudo-terminal: its own would wait up to a second for a host to come.
    near_end, far_end = pty.openpty()
    tty.setraw(far_end)
    records, records_end = os.pipe()
    command = [
        *(
            "qemu-system-arm",
            "-M",
            "mps2-an385",
            "-display",
            "none",
            "-kernel",
            built("mps2/nod.elf", "mps2"),
        ),
        *("-device", f"loader,addr={FIRST_US_AT:#x},data={first_us},data-len=4"),
        *("-add-fd", f"fd={near_end},set=1", "-chardev", "serial,id=line,path=/dev/fdset/1"),
        *("-chardev", f"file,id=pulses,path=/dev/fd/{records_end}"),
        *("-serial", "chardev:line", "-serial", "chardev:pulses", "-monitor", "stdio"),
    ]
    if gdb:
        command += ["-gdb", f"unix:{gdb},server=on,wait=off"]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        pass_fds=(near_end, records_end),
        preexec_fn=lambda: ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL),
    )
    os.close(near_end)
    os.close(records_end)
    loop = asyncio.get_running_loop()
    assert process.stdin is not None
    loop.add_signal_handler(signal.SIGTERM, process.kill)
    loop.add_signal_handler(signal.SIGHUP, process.stdin.write, b"system_reset\n")
    loop.add_reader(records, _Pulses(records, pwm).hand_on)
    sys.stdout.write(os.ttyname(far_end) + "\n")
    sys.stdout.flush()
    code = await process.wait()
    return 0 if code == -signal.SIGKILL else code


class _Pulses:
    """Servo frames in the chip's time become such in the machine's: the one that was told fastest tells how these
    compare."""

    def __init__(self, records: int, pwm: int) -> None:
        self._records = records
        self._pwm = pwm
        self._rest = b""
        self._offset_us: int | None = None
        self._last_us = 0

    def hand_on(self) -> None:
        """Whatever has come."""
        machine_us = round(asyncio.get_running_loop().time() * 1e6)
        data = self._rest + os.read(self._records, 65536)
        whole = len(data) // _RECORD.size * _RECORD.size
        self._rest = data[whole:]
        for time_us, *pulse_us in _RECORD.iter_unpack(data[:whole]):
            offset_us = machine_us - time_us
            is_reset = time_us < self._last_us
            if self._offset_us is None or is_reset or offset_us < self._offset_us:
                self._offset_us = offset_us
            self._last_us = time_us
            os.write(self._pwm, _RECORD.pack(time_us + self._offset_us, *pulse_us))


if __name__ == "__main__":
    sys.exit(main())
