/* Servo pulses on up to four pins of D3 to D13 and A0 to A3, each edge placed by the timer to half a microsecond.
 *
 * A frame's pulses begin one after the other, the shortest first and GAP apart, so that no two edges, beginnings
 * or ends, fall into the time that the interrupt needs for one. Frames repeat by themselves: the main loop may be
 * late with the next lengths, never with an edge. */
#ifndef NOD_PULSES_H
#define NOD_PULSES_H

#include "../../core/core.h"

/* Bit n: Arduino's pin n; A0 is 14. D0 and D1 are the line, D2 is the stop line. */
#define PULSES_PINS 0x3FFF8ul
#define PULSES_LED_PIN 13u

void pulses_start(void);

/* After each tick: takes the lengths of the next frame when it is near, and ends all pulses when the core has. */
void pulses_update(const core_t *core);

/* Whether a channel has that pin. */
bool pulses_has_pin(const core_t *core, uint8_t pin);

#endif
