#include "pulses.h"

#include "chip.h"

/* All slices count eighths of a microsecond, in step. A counter of 16 bits ends after 8 ms and a servo's period
 * lasts up to 20, so a period is up to three turns of the counter, and only the first has the pulse: what a slice
 * compares with is latched at the end of a turn, so it is set during the turn before. Slice 0 has no servo; its
 * end of turn is what interrupts. */
#define COUNTS_PER_US 8u
#define DIVIDER_16THS (16u * (CHIP_HZ / (COUNTS_PER_US * 1000000u)))
#define LONGEST_TURN 65536u
#define CLOCK_SLICE 0u
#define ALL_SLICES 0xFFu

static uint32_t pulses[PWM_SLICES]; /* as the compare registers want them */
static uint32_t period_us;
static uint32_t turns = 1; /* in a period */
static uint32_t turn; /* which is under way */

static void set_turns(uint32_t wanted_us)
{
    uint32_t counts = wanted_us * COUNTS_PER_US;
    period_us = wanted_us;
    turns = (counts + LONGEST_TURN - 1u) / LONGEST_TURN;
    for (uint32_t slice = 0; slice < PWM_SLICES; slice++) {
        REGISTER(PWM_TOP(slice)) = counts / turns - 1u;
    }
}

/* For the turn that comes next. */
static void load(void)
{
    bool is_pulse_next = turn + 1u >= turns;
    for (uint32_t slice = 0; slice < PWM_SLICES; slice++) {
        REGISTER(PWM_CC(slice)) = is_pulse_next ? pulses[slice] : 0;
    }
}

void on_pwm_wrap(void)
{
    REGISTER(PWM_INTR) = BIT(CLOCK_SLICE);
    turn = turn + 1u < turns ? turn + 1u : 0;
    load();
}

void pulses_init(void)
{
    for (uint32_t slice = 0; slice < PWM_SLICES; slice++) {
        pulses[slice] = 0;
        REGISTER(PWM_CSR(slice)) = 0;
        REGISTER(PWM_DIV(slice)) = DIVIDER_16THS;
        REGISTER(PWM_CC(slice)) = 0;
        REGISTER(PWM_CTR(slice)) = 0;
    }
    turn = 0;
    set_turns(LONGEST_TURN / COUNTS_PER_US);
    REGISTER(PWM_INTR) = ALL_SLICES;
    REGISTER(PWM_INTE) = BIT(CLOCK_SLICE);
    REGISTER(NVIC_ISER) = BIT(IRQ_PWM_WRAP);
    REGISTER(PWM_EN) = ALL_SLICES;
}

void pulses_update(const core_t *core)
{
    uint32_t wanted[PWM_SLICES] = { 0 };
    for (uint8_t channel = 0; channel < CORE_CHANNELS; channel++) {
        uint32_t us8 = core_pulse_us8(core, channel);
        if (us8 == 0) {
            continue;
        }
        uint32_t pin = core_pin(core, channel);
        wanted[pin / 2u] |= us8 << (16u * (pin % 2u));
        REGISTER(PIN_CTRL(pin)) = PIN_PWM;
    }
    interrupts_off();
    for (uint32_t slice = 0; slice < PWM_SLICES; slice++) {
        pulses[slice] = wanted[slice];
    }
    /* Far from the end of a turn only: a slice that took over another length at another end would run beside
     * the rest for ever. */
    uint32_t wanted_us = core_pulse_period_us(core);
    uint32_t counted = REGISTER(PWM_CTR(CLOCK_SLICE));
    if (wanted_us != period_us && counted < LONGEST_TURN / 4u) {
        set_turns(wanted_us);
    }
    load();
    interrupts_on();
}
