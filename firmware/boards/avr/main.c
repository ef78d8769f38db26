/* The core on an ATmega328P at 16 MHz: Arduino Uno and Nano. */
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>
#include <avr/wdt.h>
#include <util/atomic.h>

#include "../../core/core.h"
#include "clock.h"
#include "pulses.h"
#include "uart.h"

#define TICK_COUNTS (CORE_TICK_US * COUNTS_PER_US)
#define SEND_BYTES 16u
#define WATCHDOG WDTO_60MS /* ten times the longest way through the main loop, at any oscillator's error */

static core_t core;
static volatile uint8_t ticks_due;
static uint32_t now_us; /* of the newest reading of the clock */
static uint8_t reset_flags __attribute__((section(".noinit")));

/* Runs before the variables are filled. Optiboot clears the chip's own flags and hands them on in r2. */
void keep_reset_flags(void) __attribute__((naked, used, section(".init3")));
void keep_reset_flags(void)
{
    uint8_t handed_on;
    __asm__ volatile("mov %0, r2" : "=r"(handed_on));
    reset_flags = MCUSR != 0 ? MCUSR : handed_on;
    MCUSR = 0; /* else the watchdog stays at 16 ms after it has bitten */
    wdt_enable(WATCHDOG);
}

static uint8_t reset_cause(void)
{
    uint8_t flags = reset_flags;
    if (flags & ~(1u << WDRF | 1u << BORF | 1u << EXTRF | 1u << PORF)) {
        return RESET_CAUSE_OTHER; /* a boot loader that hands nothing on */
    }
    if (flags & (1u << PORF)) {
        return RESET_CAUSE_POWER;
    }
    /* A boot loader that was entered by the reset pin leaves through the watchdog. */
    return (flags & (1u << WDRF)) && !(flags & (1u << EXTRF)) ? RESET_CAUSE_WATCHDOG : RESET_CAUSE_OTHER;
}

ISR(TIMER1_COMPA_vect)
{
    OCR1A = (uint16_t)(OCR1A + TICK_COUNTS);
    ticks_due++;
}

uint32_t clock_us(void)
{
    static uint16_t last;
    uint16_t passed_us = (uint16_t)(clock_counts() - last) / COUNTS_PER_US;
    last = (uint16_t)(last + passed_us * COUNTS_PER_US);
    now_us += passed_us;
    return now_us;
}

static bool is_stop_line_open(void) { return (PIND & (1u << PD2)) != 0; }

/* Up to the end of a frame, so that no tick waits for two. Only there does the time matter. */
static void take_bytes(void)
{
    uint8_t byte;
    while (uart_take(&byte)) {
        if (byte == 0) {
            core_receive(&core, byte, clock_us());
            break;
        }
        core_receive(&core, byte, now_us);
    }
}

static void give_bytes(void)
{
    uint8_t data[SEND_BYTES];
    uint8_t room = uart_room();
    uart_give(data, (uint8_t)core_transmit(&core, data, room < sizeof data ? room : sizeof data));
}

/* The board's own light, unless its pin drives a servo: dark without pulses, lit with them, blinking when stopped. */
static void show(void)
{
    if (pulses_has_pin(&core, PULSES_LED_PIN)) {
        return;
    }
    bool is_lit = core.state == STATE_STOPPED ? (now_us >> 17 & 1u) != 0 : core.is_attached;
    DDRB |= 1 << PB5;
    if (is_lit) {
        PORTB |= 1 << PB5;
    } else {
        PORTB &= (uint8_t)~(1u << PB5);
    }
}

static void tick(void)
{
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE)
    {
        ticks_due--;
    }
    core_tick(&core, clock_us(), is_stop_line_open());
    pulses_update(&core);
    show();
}

/* Nothing to do until the next interrupt. */
static void rest(void)
{
    cli();
    if (ticks_due == 0 && uart_is_empty()) {
        sleep_enable();
        sei(); /* takes effect after the next instruction, so that no interrupt slips in between */
        sleep_cpu();
        sleep_disable();
    }
    sei();
}

int main(void)
{
    PORTD = 1 << PD2; /* pulled up: a cut wire reads high */
    clock_start();
    uart_start();
    core_init(&core, PULSES_PINS, reset_cause());
    core_tick(&core, clock_us(), is_stop_line_open());
    pulses_start();
    OCR1A = (uint16_t)(clock_counts() + TICK_COUNTS);
    TIMSK1 |= 1 << OCIE1A;
    sei();
    for (;;) {
        wdt_reset();
        take_bytes();
        while (ticks_due != 0) {
            tick();
        }
        give_bytes();
        rest();
    }
}
