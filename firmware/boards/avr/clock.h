/* Timer 1 runs free at 2 MHz: the one time base of ticks, clock and pulses. */
#ifndef NOD_CLOCK_H
#define NOD_CLOCK_H

#include <avr/io.h>
#include <stdint.h>
#include <util/atomic.h>

#define COUNTS_PER_US 2u

static inline void clock_start(void)
{
    TCCR1A = 0;
    TCCR1B = 1 << CS11; /* 16 MHz / 8 */
}

/* Half microseconds; wraps every 33 ms. Interrupts read the timer too, through the same latch. */
static inline uint16_t clock_counts(void)
{
    uint16_t counts;
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE)
    {
        counts = TCNT1;
    }
    return counts;
}

/* Microseconds since the start, modulo 2^32. For the main loop only, and at least every 30 ms. */
uint32_t clock_us(void);

#endif
