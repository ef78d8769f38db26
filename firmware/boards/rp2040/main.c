/* The core on an RP2040: a tick a millisecond, bytes when they come, asleep in between. */
#include "../../core/core.h"
#include "chip.h"
#include "pulses.h"
#include "uart.h"

#define PIN_STOP 22u /* to ground through a normally closed button */
#define PIN_LED 25u
#define BLINK_US (1u << 17) /* on and off, a quarter of a second together */

/* Longer than anything the loop does, shorter than what a person sees. The counter goes down twice a tick
 * (erratum RP2040-E1). */
#define WATCHDOG_US 100000u
#define WATCHDOG_COUNTS (2u * WATCHDOG_US)
/* The ROM uses the watchdog to start what was just flashed; only what we armed ourselves is a hang. */
#define WATCHDOG_MARK 0x4E4F4421u

static volatile uint32_t ticks_due;

void on_systick(void) { ticks_due = ticks_due + 1u; }

static void feed_watchdog(void) { REGISTER(WATCHDOG_LOAD) = WATCHDOG_COUNTS; }

static void start_watchdog(void)
{
    REGISTER(PSM_WDSEL) = PSM_ALL_BUT_OSCILLATORS;
    REGISTER(WATCHDOG_SCRATCH0) = WATCHDOG_MARK;
    feed_watchdog();
    REGISTER(WATCHDOG_CTRL) = WATCHDOG_ENABLE | WATCHDOG_WAITS_FOR_DEBUGGER;
}

/* A dip in the supply looks like switching on. */
static uint8_t reset_cause(void)
{
    bool is_timer = (REGISTER(WATCHDOG_REASON) & WATCHDOG_REASON_TIMER) != 0;
    if (is_timer) {
        return REGISTER(WATCHDOG_SCRATCH0) == WATCHDOG_MARK ? RESET_CAUSE_WATCHDOG : RESET_CAUSE_OTHER;
    }
    return (REGISTER(CHIP_RESET) & CHIP_RESET_HAD_POWER) ? RESET_CAUSE_POWER : RESET_CAUSE_OTHER;
}

static void init_pins(void)
{
    REGISTER(PAD(PIN_STOP)) = PAD_PULLED_UP;
    REGISTER(PIN_CTRL(PIN_STOP)) = PIN_SIO;
    REGISTER(SIO_OE_SET) = BIT(PIN_LED);
    REGISTER(PIN_CTRL(PIN_LED)) = PIN_SIO;
}

static bool is_stop_line_open(void) { return (REGISTER(SIO_IN) & BIT(PIN_STOP)) != 0; }

/* On while there are pulses, blinking while stopped. */
static void show(const core_t *core, uint32_t now_us)
{
    bool is_on = core->state == STATE_STOPPED ? (now_us & BLINK_US) != 0 : core->is_attached;
    REGISTER(is_on ? SIO_OUT_SET : SIO_OUT_CLEAR) = BIT(PIN_LED);
}

static void tick(core_t *core)
{
    uint32_t now_us = clock_us();
    core_tick(core, now_us, is_stop_line_open());
    pulses_update(core);
    show(core, now_us);
    feed_watchdog();
}

int main(void)
{
    static core_t core;
    uint8_t cause = reset_cause();
    start_watchdog();
    init_pins();
    pulses_init();
    core_init(&core, PULSE_PINS, cause);
    tick(&core);
    uart_init();
    REGISTER(SYSTICK_RVR) = CHIP_HZ / 1000000u * CORE_TICK_US - 1u;
    REGISTER(SYSTICK_CVR) = 0;
    REGISTER(SYSTICK_CSR) = SYSTICK_ON;
    for (;;) {
        uart_receive(&core);
        if (ticks_due > 0) {
            interrupts_off();
            ticks_due = ticks_due - 1u;
            interrupts_on();
            tick(&core);
        }
        uart_transmit(&core);
        interrupts_off(); /* what comes between the look and the sleep ends the sleep */
        if (ticks_due == 0 && !uart_has_bytes()) {
            wait_for_interrupt();
        }
        interrupts_on();
    }
}
