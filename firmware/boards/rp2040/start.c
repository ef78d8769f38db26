/* From the second stage to main: vectors, zeroed memory, clocks. */
#include <string.h>

#include "chip.h"

#define XOSC_STARTUP_PERIODS 282u /* of 256: 6 ms; a crystal takes 1, those of some boards longer */
#define PLL_TIMES (128u * 12u / CRYSTAL_MHZ) /* to 1536 MHz */
#define PLL_DIVISORS ((6u << 16) | (2u << 12)) /* and down to 128 */

extern uint32_t stack_top[], bss_start[], bss_end[]; /* of the linker */

int main(void);
void on_systick(void);
void on_pwm_wrap(void);
void on_uart0(void);

/* What nobody expects ends here, and the watchdog ends that. */
static void hang(void)
{
    for (;;) {
    }
}

static void wait_for(uint32_t address, uint32_t bits)
{
    while ((REGISTER(address) & bits) != bits) {
    }
}

/* From the ring oscillator to 128 MHz; begins at the beginning also if a debugger comes back here. */
static void start_clocks(void)
{
    REGISTER(CLK_SYS_CTRL) = CLK_SYS_FROM_REF;
    wait_for(CLK_SYS_SELECTED, BIT(CLK_SYS_FROM_REF));
    REGISTER(CLK_REF_CTRL) = CLK_REF_FROM_RING;
    wait_for(CLK_REF_SELECTED, BIT(CLK_REF_FROM_RING));

    const uint32_t blocks
        = BLOCK_IO_BANK0 | BLOCK_PADS_BANK0 | BLOCK_PLL_SYS | BLOCK_PWM | BLOCK_TIMER | BLOCK_UART0;
    SET_BITS(RESETS_RESET) = blocks;
    CLEAR_BITS(RESETS_RESET) = blocks & ~BLOCK_UART0; /* whose clock does not run yet */
    wait_for(RESETS_DONE, blocks & ~BLOCK_UART0);

    REGISTER(XOSC_STARTUP) = XOSC_STARTUP_PERIODS;
    REGISTER(XOSC_CTRL) = XOSC_CTRL_ON;
    wait_for(XOSC_STATUS, XOSC_STATUS_STABLE);
    REGISTER(CLK_REF_CTRL) = CLK_REF_FROM_CRYSTAL;
    wait_for(CLK_REF_SELECTED, BIT(CLK_REF_FROM_CRYSTAL));

    REGISTER(PLL_SYS_CS) = 1; /* divides the crystal by */
    REGISTER(PLL_SYS_FBDIV_INT) = PLL_TIMES;
    CLEAR_BITS(PLL_SYS_PWR) = PLL_PWR_PD | PLL_PWR_VCOPD;
    wait_for(PLL_SYS_CS, PLL_CS_LOCK);
    REGISTER(PLL_SYS_PRIM) = PLL_DIVISORS;
    CLEAR_BITS(PLL_SYS_PWR) = PLL_PWR_POSTDIVPD;
    REGISTER(CLK_SYS_CTRL) = CLK_SYS_FROM_PLL;
    wait_for(CLK_SYS_SELECTED, BIT(CLK_SYS_FROM_PLL));

    REGISTER(CLK_PERI_CTRL) = CLK_PERI_ENABLE;
    CLEAR_BITS(RESETS_RESET) = BLOCK_UART0;
    wait_for(RESETS_DONE, BLOCK_UART0);
    REGISTER(WATCHDOG_TICK) = WATCHDOG_TICK_ENABLE | CRYSTAL_MHZ; /* a tick a microsecond, for the timer too */
}

static void start(void)
{
    memset(bss_start, 0, (uintptr_t)bss_end - (uintptr_t)bss_start);
    start_clocks();
    main();
    hang();
}

typedef void (*handler_t)(void);

typedef struct {
    const uint32_t *stack;
    handler_t exception[15];
    handler_t interrupt[26];
} vectors_t;

__attribute__((section(".vectors"), used, aligned(256))) static const vectors_t vectors = {
    .stack = stack_top,
    .exception = { start, hang, hang, hang, hang, hang, hang, hang, hang, hang, hang, hang, hang, hang, on_systick },
    .interrupt = { hang, hang, hang, hang, on_pwm_wrap, hang, hang, hang, hang, hang, hang, hang, hang, hang, hang,
        hang, hang, hang, hang, hang, on_uart0, hang, hang, hang, hang, hang },
};
