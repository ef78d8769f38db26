#include "pulses.h"

#include <avr/interrupt.h>
#include <avr/io.h>
#include <util/atomic.h>

#include "clock.h"
#include "uart.h"

/* All in counts of the timer, half a microsecond each. */
#define GAP 8u /* between two edges */
#define LEAD 32u /* the interrupt comes so early: two others may be under way, and it saves many registers */
#define MARGIN 6u /* what it takes to leave the interrupt and to be called again */
#define FETCH 10u /* with so much time before an edge the line is served first: the chip buffers only 40 us */
#define NEAR (1500u * COUNTS_PER_US) /* a tick and a half */

typedef struct {
    uint16_t after; /* the frame's beginning */
    volatile uint8_t *port; /* NULL behind the last edge */
    uint8_t kept; /* of the port's bits */
    uint8_t raised;
} edge_t;

typedef struct {
    uint16_t period;
    uint8_t pulses;
    edge_t edge[2 * CORE_CHANNELS + 1]; /* first the beginnings, then the ends, in order of time */
} train_t;

static train_t trains[2];
static volatile uint8_t running; /* which of them the interrupt follows */
static volatile uint8_t ready; /* which of them it begins next */
static volatile bool is_taken = true; /* it has begun the one that was ready */
static volatile uint16_t next_start;

/* Comes before an edge and waits for its moment; between edges that are near each other it stays. */
ISR(TIMER1_COMPB_vect)
{
    static uint16_t start;
    static const edge_t *next; /* NULL between frames */
    const edge_t *edge = next;
    if (edge == NULL) {
        const train_t *train = &trains[ready];
        running = ready;
        is_taken = true;
        start = next_start;
        next_start = (uint16_t)(start + train->period);
        edge = train->edge;
    }
    for (; edge->port != NULL; edge++) {
        uint16_t at = (uint16_t)(start + edge->after);
        int16_t left = (int16_t)(at - TCNT1);
        if (left > (int16_t)(LEAD + MARGIN)) {
            OCR1B = (uint16_t)(at - LEAD);
            next = edge;
            return;
        }
        if (left > (int16_t)FETCH) {
            uart_fetch();
        }
        volatile uint8_t *port = edge->port;
        uint8_t level = (*port & edge->kept) | edge->raised;
        while ((int8_t)(TCNT1L - (uint8_t)at) < 0) {
        }
        *port = level;
    }
    next = NULL;
    OCR1B = (uint16_t)(next_start - LEAD);
}

void pulses_start(void)
{
    trains[0].period = trains[1].period = 20000u * COUNTS_PER_US;
    next_start = (uint16_t)(clock_counts() + trains[0].period);
    OCR1B = (uint16_t)(next_start - LEAD);
    TIMSK1 |= 1 << OCIE1B;
}

static edge_t rising_edge(uint8_t pin, uint16_t after)
{
    edge_t edge = { .after = after, .kept = 0xFF };
    if (pin < 8) {
        edge.port = &PORTD;
    } else if (pin < 14) {
        edge.port = &PORTB;
        pin = (uint8_t)(pin - 8u);
    } else {
        edge.port = &PORTC;
        pin = (uint8_t)(pin - 14u);
    }
    edge.raised = (uint8_t)(1u << pin);
    *(edge.port - 1) |= edge.raised; /* the register below a port's makes its pins outputs */
    return edge;
}

/* Lays a frame out: the shortest pulse first, so that the ends keep the distance that the beginnings have. */
static void lay_out(train_t *train, const core_t *core)
{
    uint16_t length[CORE_CHANNELS];
    uint8_t pin[CORE_CHANNELS];
    uint8_t count = 0;
    for (uint8_t channel = 0; channel < CORE_CHANNELS; channel++) {
        uint16_t us8 = core_pulse_us8(core, channel);
        if (us8 == 0) {
            continue;
        }
        uint16_t counts = (uint16_t)((us8 + 2u) >> 2);
        uint8_t place = count++;
        for (; place > 0 && length[place - 1] > counts; place--) {
            length[place] = length[place - 1];
            pin[place] = pin[place - 1];
        }
        length[place] = counts;
        pin[place] = core_pin(core, channel);
    }
    train->period = (uint16_t)(core_pulse_period_us(core) * COUNTS_PER_US);
    train->pulses = count;
    for (uint8_t i = 0; i < count; i++) {
        edge_t edge = rising_edge(pin[i], (uint16_t)(i * GAP));
        train->edge[i] = edge;
        edge.after = (uint16_t)(edge.after + length[i]);
        edge.kept = (uint8_t)~edge.raised;
        edge.raised = 0;
        train->edge[count + i] = edge;
    }
    train->edge[2 * count].port = NULL;
}

void pulses_update(const core_t *core)
{
    uint16_t start;
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE)
    {
        start = next_start;
    }
    bool is_near = (uint16_t)(start - clock_counts()) < NEAR;
    bool is_over = !core->is_attached && trains[ready].pulses != 0;
    if (!is_over && !(is_near && is_taken)) {
        return;
    }
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE)
    {
        ready = running; /* so that the other one stays free while it is written */
    }
    uint8_t spare = running ^ 1u;
    lay_out(&trains[spare], core);
    is_taken = false;
    ready = spare;
}

bool pulses_has_pin(const core_t *core, uint8_t pin)
{
    for (uint8_t channel = 0; channel < core->motion.joint_count; channel++) {
        if (core_pin(core, channel) == pin) {
            return true;
        }
    }
    return false;
}
