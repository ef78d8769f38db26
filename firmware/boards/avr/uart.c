#include "uart.h"

#include <avr/interrupt.h>
#include <util/atomic.h>

uart_in_t uart_in;

static uint8_t out_data[UART_OUT_BYTES];
static volatile uint8_t out_write;
static volatile uint8_t out_read;

void uart_start(void)
{
    UBRR0 = 1; /* 16 MHz / 16 / 2: exact */
    UCSR0A = 0;
    UCSR0C = 1 << UCSZ01 | 1 << UCSZ00;
    UCSR0B = 1 << RXCIE0 | 1 << RXEN0 | 1 << TXEN0;
}

ISR(USART_RX_vect) { uart_fetch(); }

ISR(USART_UDRE_vect)
{
    uint8_t read = out_read;
    UDR0 = out_data[read];
    read = (uint8_t)((read + 1u) % UART_OUT_BYTES);
    out_read = read;
    if (read == out_write) {
        UCSR0B &= (uint8_t)~(1u << UDRIE0);
    }
}

uint8_t uart_room(void) { return (uint8_t)((out_read - out_write - 1) & (int)(UART_OUT_BYTES - 1u)); }

void uart_give(const uint8_t *data, uint8_t size)
{
    uint8_t write = out_write;
    for (uint8_t i = 0; i < size; i++) {
        out_data[write] = data[i];
        write = (uint8_t)((write + 1u) % UART_OUT_BYTES);
    }
    if (size == 0) {
        return; /* the interrupt sends before it looks */
    }
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE)
    {
        out_write = write;
        UCSR0B |= 1 << UDRIE0;
    }
}
