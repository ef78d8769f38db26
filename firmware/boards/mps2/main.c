/* The core on a Cortex-M3, for QEMU's machine mps2-an385: another architecture than the AVR and the host, run by other
 * people's simulator. The machine has no servo timers, so pulses are told as records on the second UART; it has no
 * input from outside either, so there is no stop line. */
#include "../../core/core.h"
#include "../host/board.h"
#include "chip.h"

#define ALL_PINS 0xFFFFFFFFu
#define SEND_BYTES 64u
#define WATCHDOG_COUNTS (CHIP_HZ / 20u) /* 50 ms to the interrupt, as much again to the reset */

static board_t board;
static uint64_t now_us;

/* Called at least every 100 s. */
static uint64_t clock_us(void)
{
    static uint32_t last = 0xFFFFFFFFu;
    uint32_t passed_us = (last - TIMER->value) / COUNTS_PER_US;
    last -= passed_us * COUNTS_PER_US;
    now_us += passed_us;
    return now_us;
}

static void take_bytes(void)
{
    while (UART_LINE->state & UART_HAS_BYTE) {
        core_receive(&board.core, (uint8_t)UART_LINE->data, (uint32_t)clock_us());
    }
    UART_LINE->interrupts = UART_RECEIVES;
}

static void give(uart_t *uart, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        while (uart->state & UART_IS_FULL) {
        }
        uart->data = data[i];
    }
}

static void run_ticks(void)
{
    while (board.time_us + CORE_TICK_US <= clock_us()) {
        pwm_record_t record;
        if (board_tick(&board, &record)) {
            give(UART_PULSES, (const uint8_t *)&record, sizeof record);
        }
    }
}

static uint8_t reset_cause(void)
{
    uint8_t cause = kept.ran != RAN ? RESET_CAUSE_POWER
        : kept.hung == HUNG         ? RESET_CAUSE_WATCHDOG
                                    : RESET_CAUSE_OTHER;
    kept.ran = RAN;
    kept.hung = 0;
    return cause;
}

int main(void)
{
    TIMER->reload = TIMER->value = 0xFFFFFFFFu;
    TIMER->control = 1;
    for (uart_t *const *uart = (uart_t *const[]) { UART_LINE, UART_PULSES, NULL }; *uart; uart++) {
        (*uart)->divider = CHIP_HZ / 500000u;
        (*uart)->control = UART_SENDS | UART_RECEIVES | UART_TELLS_BYTES;
    }
    WATCHDOG->load = WATCHDOG_COUNTS;
    WATCHDOG->control = WATCHDOG_BITES;
    now_us = kept.first_us;
    board_init(&board, now_us, reset_cause());
    /* Interrupts wake the chip and are let in nowhere: all work is done here. */
    __asm__ volatile("cpsid i");
    INTERRUPTS_ENABLE = LINE_INTERRUPT;
    SYSTICK_RELOAD = CHIP_HZ / 1000u - 1u;
    SYSTICK_CONTROL = SYSTICK_RUNS;
    for (;;) {
        uint8_t data[SEND_BYTES];
        WATCHDOG->clear = 1;
        take_bytes();
        run_ticks();
        give(UART_LINE, data, core_transmit(&board.core, data, sizeof data));
        INTERRUPT_CONTROL = SYSTICK_CLEAR;
        INTERRUPTS_CLEAR = LINE_INTERRUPT;
        if (!(UART_LINE->state & UART_HAS_BYTE)) {
            __asm__ volatile("wfi");
        }
    }
}
