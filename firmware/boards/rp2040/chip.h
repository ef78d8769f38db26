/* What this board needs of the RP2040: addresses and bits, by section of its datasheet, and our clock.
 *
 * Writing to an address + 0x2000 sets the bits that are one, + 0x3000 clears them. */
#ifndef NOD_RP2040_CHIP_H
#define NOD_RP2040_CHIP_H

#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define SET_BITS(address) REGISTER((address) + 0x2000u)
#define CLEAR_BITS(address) REGISTER((address) + 0x3000u)
#define BIT(number) (1u << (number))

/* 128 MHz divides without rest into the line's rate and into eighths of a microsecond. */
#define CHIP_HZ 128000000u
#define CRYSTAL_MHZ 12u

/* 2.14: blocks held in reset until let go of */
#define RESETS_RESET 0x4000C000u
#define RESETS_DONE 0x4000C008u
#define BLOCK_IO_BANK0 BIT(5)
#define BLOCK_PADS_BANK0 BIT(8)
#define BLOCK_PLL_SYS BIT(12)
#define BLOCK_PWM BIT(14)
#define BLOCK_TIMER BIT(21)
#define BLOCK_UART0 BIT(22)

/* 2.16: crystal */
#define XOSC_CTRL 0x40024000u
#define XOSC_CTRL_ON ((0xFABu << 12) | 0xAA0u) /* enable, 1 to 15 MHz */
#define XOSC_STATUS 0x40024004u
#define XOSC_STATUS_STABLE BIT(31)
#define XOSC_STARTUP 0x4002400Cu /* in 256 periods of the crystal */

/* 2.18: PLL */
#define PLL_SYS_CS 0x40028000u
#define PLL_CS_LOCK BIT(31)
#define PLL_SYS_PWR 0x40028004u
#define PLL_PWR_PD BIT(0)
#define PLL_PWR_POSTDIVPD BIT(3)
#define PLL_PWR_VCOPD BIT(5)
#define PLL_SYS_FBDIV_INT 0x40028008u
#define PLL_SYS_PRIM 0x4002800Cu /* bits 18:16 and 14:12, the divisors after the oscillator */

/* 2.15: who runs from which clock */
#define CLK_REF_CTRL 0x40008030u
#define CLK_REF_SELECTED 0x40008038u
#define CLK_REF_FROM_RING 0u
#define CLK_REF_FROM_CRYSTAL 2u
#define CLK_SYS_CTRL 0x4000803Cu
#define CLK_SYS_SELECTED 0x40008044u
#define CLK_SYS_FROM_REF 0u
#define CLK_SYS_FROM_PLL 1u /* the auxiliary source, which is the PLL when bits 7:5 are zero */
#define CLK_PERI_CTRL 0x40008048u
#define CLK_PERI_ENABLE BIT(11) /* from clk_sys when bits 7:5 are zero */

/* 2.13: which blocks a watchdog's reset takes with it */
#define PSM_WDSEL 0x40010008u
#define PSM_ALL_BUT_OSCILLATORS 0x1FFFCu

/* 4.7: watchdog; it also makes the microsecond tick */
#define WATCHDOG_CTRL 0x40058000u
#define WATCHDOG_ENABLE BIT(30)
#define WATCHDOG_WAITS_FOR_DEBUGGER (BIT(24) | BIT(25) | BIT(26))
#define WATCHDOG_LOAD 0x40058004u
#define WATCHDOG_REASON 0x40058008u
#define WATCHDOG_REASON_TIMER BIT(0)
#define WATCHDOG_SCRATCH0 0x4005800Cu
#define WATCHDOG_TICK 0x4005802Cu
#define WATCHDOG_TICK_ENABLE BIT(9)

/* 2.12.8 */
#define CHIP_RESET 0x40064008u
#define CHIP_RESET_HAD_POWER BIT(8)

/* 4.6: the microseconds' low half, in one read */
#define TIMER_RAW_LOW 0x40054028u

/* 2.19: pins */
#define PIN_CTRL(pin) (0x40014004u + 8u * (pin))
#define PIN_UART 2u
#define PIN_PWM 4u
#define PIN_SIO 5u
#define PAD(pin) (0x4001C004u + 4u * (pin))
#define PAD_OUTPUT 0x56u /* as after reset: input on, 4 mA, pulled down while nobody drives it */
#define PAD_PULLED_UP 0x4Au

/* 2.3.1: pins as bits */
#define SIO_IN 0xD0000004u
#define SIO_OUT_SET 0xD0000014u
#define SIO_OUT_CLEAR 0xD0000018u
#define SIO_OE_SET 0xD0000024u

/* 4.2: a PL011, whose buffers hold 32 bytes each way */
#define UART0_DR 0x40034000u
#define UART0_FR 0x40034018u
#define UART_FR_RX_EMPTY BIT(4)
#define UART_FR_TX_FULL BIT(5)
#define UART0_IBRD 0x40034024u
#define UART0_FBRD 0x40034028u
#define UART0_LCR_H 0x4003402Cu
#define UART_LCR_8N1_BUFFERED ((3u << 5) | BIT(4))
#define UART0_CR 0x40034030u
#define UART_CR_ON (BIT(9) | BIT(8) | BIT(0))
#define UART0_IMSC 0x40034038u
#define UART0_MIS 0x40034040u
#define UART_RX BIT(4) /* half full */
#define UART_TX BIT(5) /* half empty */
#define UART_RX_PAUSE BIT(6) /* something there, and nothing more for 32 bits */

/* 4.5: eight PWM slices with two outputs each */
#define PWM_CSR(slice) (0x40050000u + 0x14u * (slice))
#define PWM_DIV(slice) (0x40050004u + 0x14u * (slice)) /* in sixteenths */
#define PWM_CTR(slice) (0x40050008u + 0x14u * (slice))
#define PWM_CC(slice) (0x4005000Cu + 0x14u * (slice)) /* output A low, B high half */
#define PWM_TOP(slice) (0x40050010u + 0x14u * (slice))
#define PWM_EN 0x400500A0u
#define PWM_INTR 0x400500A4u
#define PWM_INTE 0x400500A8u
#define PWM_SLICES 8u

/* Cortex-M0+ */
#define SYSTICK_CSR 0xE000E010u
#define SYSTICK_ON 7u /* counts the chip's clock, interrupts */
#define SYSTICK_RVR 0xE000E014u
#define SYSTICK_CVR 0xE000E018u
#define NVIC_ISER 0xE000E100u
#define IRQ_PWM_WRAP 4u
#define IRQ_UART0 20u

static inline uint32_t clock_us(void) { return REGISTER(TIMER_RAW_LOW); }

static inline void interrupts_off(void) { __asm__ volatile("cpsid i" ::: "memory"); }

static inline void interrupts_on(void) { __asm__ volatile("cpsie i" ::: "memory"); }

/* Sleeps until an interrupt is pending, also one that is held off. */
static inline void wait_for_interrupt(void) { __asm__ volatile("dsb\n\twfi" ::: "memory"); }

#endif
