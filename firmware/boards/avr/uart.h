/* The line: USART0, 500,000 Bd, 8N1, a ring of bytes for each direction. */
#ifndef NOD_UART_H
#define NOD_UART_H

#include <avr/io.h>
#include <stdbool.h>
#include <stdint.h>

/* Five milliseconds of line: the main loop is never away for that long. The indices wrap by themselves. */
#define UART_IN_BYTES 256u
#define UART_OUT_BYTES 64u

typedef struct {
    uint8_t data[UART_IN_BYTES];
    volatile uint8_t write;
    volatile uint8_t read;
} uart_in_t;

extern uart_in_t uart_in;

void uart_start(void);

/* One byte from the chip's buffer into the ring, if there is one. With interrupts off. */
__attribute__((always_inline)) static inline void uart_fetch(void)
{
    if (UCSR0A & (1 << RXC0)) {
        uint8_t byte = UDR0;
        uint8_t write = uart_in.write;
        uint8_t next = (uint8_t)(write + 1u);
        if (next != uart_in.read) { /* else it is lost; the frame's checksum tells */
            uart_in.data[write] = byte;
            uart_in.write = next;
        }
    }
}

static inline bool uart_is_empty(void) { return uart_in.read == uart_in.write; }

/* The next byte that came in; false if there is none. */
static inline bool uart_take(uint8_t *byte)
{
    uint8_t read = uart_in.read;
    if (read == uart_in.write) {
        return false;
    }
    *byte = uart_in.data[read];
    uart_in.read = (uint8_t)(read + 1u);
    return true;
}

/* How many bytes uart_give takes now. */
uint8_t uart_room(void);

void uart_give(const uint8_t *data, uint8_t size);

#endif
