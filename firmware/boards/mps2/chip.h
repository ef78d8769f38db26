/* What is used of the machine: addresses and bits from Arm's application note AN385 and the CMSDK's manual. */
#ifndef NOD_CHIP_H
#define NOD_CHIP_H

#include <stdbool.h>
#include <stdint.h>

#define CHIP_HZ 25000000u
#define COUNTS_PER_US (CHIP_HZ / 1000000u)

typedef struct {
    volatile uint32_t data, state, control, interrupts, divider;
} uart_t;
#define UART_LINE ((uart_t *)0x40004000u)
#define UART_PULSES ((uart_t *)0x40005000u)
#define UART_IS_FULL 1u /* state: no room to send */
#define UART_HAS_BYTE 2u
#define UART_SENDS 1u /* control */
#define UART_RECEIVES 2u
#define UART_TELLS_BYTES 8u /* an interrupt for each */

typedef struct {
    volatile uint32_t control, value, reload, interrupts;
} timer_t32;
#define TIMER ((timer_t32 *)0x40000000u) /* counts down */

typedef struct {
    volatile uint32_t load, value, control, clear;
} watchdog_t;
#define WATCHDOG ((watchdog_t *)0x40008000u)
#define WATCHDOG_BITES 3u /* an interrupt first, which cannot be masked, and at the second time a reset */

#define SYSTICK_CONTROL (*(volatile uint32_t *)0xE000E010u)
#define SYSTICK_RELOAD (*(volatile uint32_t *)0xE000E014u)
#define SYSTICK_RUNS 7u
#define INTERRUPT_CONTROL (*(volatile uint32_t *)0xE000ED04u)
#define SYSTICK_CLEAR (1u << 25)
#define INTERRUPTS_ENABLE (*(volatile uint32_t *)0xE000E100u)
#define INTERRUPTS_CLEAR (*(volatile uint32_t *)0xE000E280u)
#define LINE_INTERRUPT 1u /* number 0 */

/* RAM that a reset leaves alone; its address is fixed, so that a simulator can fill it in. */
typedef struct {
    uint32_t first_us; /* what the clock shows at power-on */
    uint32_t ran; /* RAN once the firmware has run since power-on */
    uint32_t hung; /* HUNG when the watchdog has found it so */
} kept_t;
#define RAN 0x4E4F4452u
#define HUNG 0x48554E47u
extern kept_t kept;

#endif
