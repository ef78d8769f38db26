// Parts of the RP2040 as its datasheet describes them, where rp2040js has none or a rough one: what the ROM does
// before the second stage, blocks that are held in reset, the reset's record, and a UART with buffers and a rate.
import { BasePeripheral } from 'rp2040js';

const FLASH_START = 0x10000000;
const STAGE_BYTES = 256;
const STAGE_AT = 0x20041f00;
const RAM_START = 0x20000000;
const UF2_BLOCK_BYTES = 512;
const LINE_BAUD = 500000;
const BAUD_TOLERANCE = 0.02;
const IRQ_UART0 = 20;

// The flash after a UF2 file was copied onto the drive that a Pico shows.
export function flashOf(uf2) {
  const flash = new Uint8Array(2 << 20).fill(0xff);
  for (let at = 0; at < uf2.length; at += UF2_BLOCK_BYTES) {
    const address = uf2.readUInt32LE(at + 12) - FLASH_START;
    flash.set(uf2.subarray(at + 32, at + 32 + uf2.readUInt32LE(at + 16)), address);
  }
  return flash;
}

function crc32(data) {
  let crc = 0xffffffff;
  for (const byte of data) {
    crc ^= byte << 24;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x80000000 ? (crc << 1) ^ 0x04c11db7 : crc << 1;
  }
  return crc >>> 0;
}

// What the ROM does when it finds a second stage in the flash (2.8.1).
export function bootFromFlash(chip, flash) {
  const stage = flash.subarray(0, STAGE_BYTES);
  const sum = new DataView(stage.buffer).getUint32(STAGE_BYTES - 4, true);
  if (crc32(stage.subarray(0, STAGE_BYTES - 4)) !== sum) throw new Error('the ROM finds no second stage');
  chip.flash.set(flash);
  chip.sram.set(stage, STAGE_AT - RAM_START);
  chip.core.SP = STAGE_AT;
  chip.core.LR = 0;
  chip.core.PC = STAGE_AT;
}

// 2.12.8: whether the power came back or the reset pin was pulled.
export class ChipReset extends BasePeripheral {
  constructor(chip, name, hadPower) {
    super(chip, name);
    this.value = hadPower ? 1 << 8 : 1 << 16;
  }

  readUint32(offset) {
    return offset === 8 ? this.value : super.readUint32(offset);
  }
}

// 2.14: blocks begin in reset, and whoever speaks to one that is has made a mistake.
export class Resets extends BasePeripheral {
  constructor(chip, name) {
    super(chip, name);
    this.held = 0x1ffffff;
    const blocks = { 0x40014: 5, 0x4001c: 8, 0x40028: 12, 0x40034: 22, 0x40050: 14, 0x40054: 21 };
    const find = chip.findPeripheral.bind(chip);
    chip.findPeripheral = (address) => {
      const block = blocks[(address >>> 14) << 2];
      if (block !== undefined && this.held & (1 << block)) this.warn(`block ${block} is used while in reset`);
      return find(address);
    };
  }

  readUint32(offset) {
    if (offset === 0) return this.held;
    return offset === 8 ? ~this.held & 0x1ffffff : super.readUint32(offset);
  }

  writeUint32(offset, value) {
    if (offset === 0) this.held = value & 0x1ffffff;
    else super.writeUint32(offset, value);
  }
}

// rp2040js lets a slice count as soon as its divider is written; a chip does when it is enabled, all in one step.
export function countWhenEnabled(chip) {
  for (const channel of chip.pwm.channels) {
    const write = channel.writeRegister.bind(channel);
    channel.writeRegister = (offset, value) => {
      write(offset, value);
      channel.updateEnable();
    };
  }
}

// 4.2: 32 bytes each way, at the rate that the divisors give; interrupts at half full, at half empty as the level
// is passed, and when something waits and nothing more comes for 32 bits.
export class Pl011 extends BasePeripheral {
  constructor(chip, name, onByte) {
    super(chip, name);
    this.onByte = onByte;
    this.onLine = []; // on the way to the chip
    this.rx = [];
    this.tx = [];
    this.raw = 0;
    this.mask = 0;
    this.divisor = 0;
    this.control = 0;
    this.receiving = chip.clock.createAlarm(() => this.take());
    this.pausing = chip.clock.createAlarm(() => this.raise(1 << 6));
    this.sending = chip.clock.createAlarm(() => this.give());
    this.isReceiving = false;
  }

  get isOn() {
    return (this.control & 0x301) === 0x301;
  }

  // A chip at another rate reads and writes something else.
  garble(byte) {
    const baud = this.rp2040.clkPeri / (16 * (this.divisor / 64));
    return Math.abs(baud / LINE_BAUD - 1) < BAUD_TOLERANCE ? byte : byte ^ 0x55;
  }

  receive(data) {
    this.onLine.push(...data);
    if (!this.isReceiving && this.onLine.length > 0) {
      this.isReceiving = true;
      this.receiving.schedule(1e10 / LINE_BAUD);
    }
  }

  take() {
    const byte = this.onLine.shift();
    if (this.isOn && this.rx.length < 32) this.rx.push(this.garble(byte)); // what finds no room is lost
    this.pausing.schedule(32e9 / LINE_BAUD);
    if (this.rx.length >= 16) this.raise(1 << 4);
    this.isReceiving = this.onLine.length > 0;
    if (this.isReceiving) this.receiving.schedule(1e10 / LINE_BAUD);
  }

  give() {
    this.onByte(this.garble(this.tx.shift()));
    if (this.tx.length === 16) this.raise(1 << 5);
    if (this.tx.length > 0) this.sending.schedule(1e10 / LINE_BAUD);
  }

  raise(bit) {
    if (bit !== 1 << 6 || this.rx.length > 0) this.raw |= bit;
    this.rp2040.setInterrupt(IRQ_UART0, (this.raw & this.mask) !== 0);
  }

  readUint32(offset) {
    switch (offset) {
      case 0x00: {
        const byte = this.rx.shift() ?? 0;
        if (this.rx.length < 16) this.raw &= ~(1 << 4);
        if (this.rx.length === 0) this.raw &= ~(1 << 6);
        this.raise(0);
        return byte;
      }
      case 0x18:
        return (this.rx.length === 0 ? 1 << 4 : 0) | (this.tx.length >= 32 ? 1 << 5 : 0);
      case 0x38:
        return this.mask;
      case 0x40:
        return this.raw & this.mask;
      default:
        return super.readUint32(offset);
    }
  }

  writeUint32(offset, value) {
    switch (offset) {
      case 0x00:
        if (!this.isOn || this.tx.length >= 32) this.warn('a byte is written that finds no room');
        else if (this.tx.push(value & 0xff) === 1) this.sending.schedule(1e10 / LINE_BAUD);
        if (this.tx.length > 16) this.raw &= ~(1 << 5);
        this.raise(0);
        break;
      case 0x24:
        this.divisor = (value << 6) | (this.divisor & 0x3f);
        break;
      case 0x28:
        this.divisor = (this.divisor & ~0x3f) | value;
        break;
      case 0x2c:
        if (value !== 0x70) this.warn('not 8N1 with buffers');
        break;
      case 0x30:
        this.control = value;
        break;
      case 0x38:
        this.mask = value;
        this.raise(0);
        break;
      default:
        super.writeUint32(offset, value);
    }
  }
}
