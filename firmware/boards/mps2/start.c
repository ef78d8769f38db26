#include "chip.h"

#include <string.h>

extern uint32_t data_begin, data_end, data_source, bss_begin, bss_end, stack_top;

kept_t kept __attribute__((section(".kept")));

int main(void);

void start(void);
void start(void)
{
    memcpy(&data_begin, &data_source, (size_t)((char *)&data_end - (char *)&data_begin));
    memset(&bss_begin, 0, (size_t)((char *)&bss_end - (char *)&bss_begin));
    main();
}

/* The watchdog's first call: notes it and waits for the second, which is a reset. */
static void on_watchdog(void)
{
    kept.hung = HUNG;
    for (;;) {
    }
}

/* Nothing else is let through; should something come, the watchdog ends it. */
static void on_other(void)
{
    for (;;) {
    }
}

typedef void (*vector_t)(void);

__attribute__((section(".vectors"), used)) static const vector_t vectors[16 + 32] = {
    (vector_t)&stack_top, start, on_watchdog, [3 ... 47] = on_other,
};
