// The firmware on a simulated RP2040, in lock step: for each line of JSON on stdin one on stdout.
//
//     node simulate.mjs NOD.UF2
//
// Asked: {until_us, receive?, is_stop_line_open?, event?}: bytes for the line in hex, what the stop line does from
// now on, "hang" (the processor runs in a circle with interrupts off), "reset" (the reset pin) or "power" (off and
// on). Answered: {transmit, sent_us, pulses: [[pin, start_us, width_us]], led: [[time_us, is_on]], busy_share, clock_hz,
// boots, complaints}. Time counts from the first boot.
//
// rp2040js has processor, pins, PWM, timers, clocks and watchdog; what it leaves out and this firmware depends on
// is in `models.mjs`.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { GPIOPinState, RP2040 } from 'rp2040js';
import { ChipReset, Pl011, Resets, bootFromFlash, countWhenEnabled, flashOf } from './models.mjs';

const PINS = Array.from({ length: 30 }, (_, pin) => pin);
const PIN_STOP = 22;
const PIN_LED = 25;
const ROUNDING_NS = 0.01;
const WATCHDOG = 0x40058;
const CIRCLE = 0x2003ff00; // a free place for an instruction that jumps to itself
const JUMP_TO_ITSELF = 0xe7fe;

class Bench {
  constructor(uf2) {
    this.flash = flashOf(uf2);
    this.startNs = 0; // of this boot
    this.boots = 0;
    this.isStopLineOpen = false;
    this.pulses = [];
    this.led = [];
    this.transmitted = [];
    this.sentUs = []; // when each of these bytes was through
    this.complaints = new Set();
    this.busyNs = 0;
    this.boot({ hadPower: true, reason: 0, scratch: new Uint32Array(8) });
  }

  get nowNs() {
    return this.startNs + this.chip.clock.nanos;
  }

  boot({ hadPower, reason, scratch }) {
    if (this.chip) {
      for (const pin of PINS) this.edge(pin, false); // a chip in reset lets go of its pins
      this.startNs = this.nowNs;
    }
    this.boots += 1;
    this.isAsleep = false;
    this.hasBitten = false;
    this.rises = new Map();
    const complain = (part, message) => this.complaints.add(`${part}: ${message}`);
    const chip = (this.chip = new RP2040());
    chip.logger = { debug() {}, info() {}, warn: complain, error: complain };
    this.uart = new Pl011(chip, 'UART0', (byte) => {
      this.transmitted.push(byte);
      this.sentUs.push(this.nowNs / 1000);
    });
    chip.peripherals[0x40034] = this.uart;
    chip.peripherals[0x40064] = new ChipReset(chip, 'CHIP_RESET', hadPower);
    chip.peripherals[0x4000c] = new Resets(chip, 'RESETS');
    this.watchdog = chip.peripherals[WATCHDOG];
    this.watchdog.reason = reason;
    this.watchdog.scratchData.set(scratch);
    this.watchdog.onWatchdogTrigger = () => {
      this.hasBitten = true;
      this.watchdog.alarm.enable = false; // it would go off at this moment for ever
    };
    for (const pin of PINS) {
      chip.gpio[pin].addListener((state) => this.edge(pin, state === GPIOPinState.High));
    }
    countWhenEnabled(chip);
    bootFromFlash(chip, this.flash);
  }

  edge(pin, isHigh) {
    const nowUs = this.nowNs / 1000;
    if (pin === PIN_LED) {
      this.led.push([nowUs, isHigh]);
    } else if (isHigh) {
      this.rises.set(pin, nowUs);
    } else if (this.rises.has(pin)) {
      this.pulses.push([pin, this.rises.get(pin), nowUs - this.rises.get(pin)]);
      this.rises.delete(pin);
    }
  }

  happen(event) {
    const { core } = this.chip;
    switch (event) {
      case 'hang':
        this.chip.writeUint16(CIRCLE, JUMP_TO_ITSELF);
        core.PM = true;
        core.PC = CIRCLE;
        this.isAsleep = false;
        break;
      case 'reset':
      case 'power':
        this.boot({ hadPower: event === 'power', reason: 0, scratch: new Uint32Array(8) });
        break;
      default:
        throw new Error(`no such event: ${event}`);
    }
  }

  run(untilNs) {
    while (untilNs - this.nowNs > ROUNDING_NS) {
      const { chip } = this;
      const { core, clock } = chip;
      // A button that is pressed leaves the line to the pull-up, if the firmware has switched it on.
      const stop = chip.gpio[PIN_STOP];
      const isHigh = this.isStopLineOpen && stop.pullupEnabled;
      if (stop.rawInputValue !== isHigh) stop.setInputValue(isHigh);
      if (this.isAsleep) {
        // By the book: what is pending and enabled ends the sleep, whether or not it is held off.
        if (core.pendingSystick || core.pendingInterrupts & core.enabledInterrupts) {
          this.isAsleep = false;
        } else {
          clock.tick(Math.min(clock.nanosToNextAlarm || Infinity, untilNs - this.nowNs));
        }
      } else {
        const ns = (core.executeInstruction() * 1e9) / chip.clkSys;
        this.busyNs += ns;
        clock.tick(ns);
        if (core.waiting) {
          core.waiting = false;
          this.isAsleep = true;
        }
      }
      if (this.hasBitten) {
        this.boot({ hadPower: true, reason: this.watchdog.reason, scratch: this.watchdog.scratchData });
      }
    }
  }

  answer(request) {
    const fromNs = this.nowNs;
    this.busyNs = 0;
    if (request.is_stop_line_open !== undefined) this.isStopLineOpen = request.is_stop_line_open;
    if (request.event !== undefined) this.happen(request.event);
    this.uart.receive(Buffer.from(request.receive ?? '', 'hex'));
    this.run(request.until_us * 1000);
    const answer = {
      transmit: Buffer.from(this.transmitted).toString('hex'),
      sent_us: this.sentUs,
      pulses: this.pulses,
      led: this.led,
      busy_share: this.busyNs / Math.max(this.nowNs - fromNs, 1),
      clock_hz: this.chip.clkSys,
      boots: this.boots,
      complaints: [...this.complaints],
    };
    this.transmitted = [];
    this.sentUs = [];
    this.pulses = [];
    this.led = [];
    return answer;
  }
}

const bench = new Bench(readFileSync(process.argv[2]));
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(bench.answer(JSON.parse(line)))}\n`);
}
