/* The second stage of booting: the chip's ROM loads these 256 bytes from the beginning of the flash, checks their
 * CRC-32 and jumps to them. They set the flash interface to the one command that every flash chip knows, copy the
 * image behind them into RAM and start it there; after that the flash is not read any more. */
    .syntax unified
    .cpu cortex-m0plus
    .thumb

#define SSI 0x18000000 /* datasheet 4.10 */
#define SSI_CTRLR0 0x00
#define SSI_CTRLR1 0x04
#define SSI_SSIENR 0x08
#define SSI_SER 0x10
#define SSI_BAUDR 0x14
#define SSI_SPI_CTRLR0 0x180000F4
#define VTOR 0xE000ED08
#define IMAGE_IN_FLASH 0x10000100

    .section .boot2, "ax", %progbits
    .global boot2
    .thumb_func
boot2:
    cpsid i
    ldr r0, =SSI
    movs r1, #0
    str r1, [r0, #SSI_SSIENR] /* off while it is set up */
    movs r1, #4 /* slow enough for any flash, also at 128 MHz, where a debugger may have left the clock */
    str r1, [r0, #SSI_BAUDR]
    ldr r1, =(31 << 16) | (3 << 8) /* one line, frames of 32 bits, a command before each read */
    str r1, [r0, #SSI_CTRLR0]
    movs r1, #0 /* one frame a read */
    str r1, [r0, #SSI_CTRLR1]
    ldr r2, =SSI_SPI_CTRLR0
    ldr r1, =(0x03 << 24) | (2 << 8) | (6 << 2) /* 03h: read; 8 bits of command, 24 of address */
    str r1, [r2]
    movs r1, #1
    str r1, [r0, #SSI_SER]
    str r1, [r0, #SSI_SSIENR]

    ldr r0, =IMAGE_IN_FLASH
    ldr r1, =image_start
    ldr r2, =image_end
copy:
    ldmia r0!, {r3}
    stmia r1!, {r3}
    cmp r1, r2
    blo copy

    ldr r0, =image_start /* begins with the vectors: stack, then entry */
    ldr r1, =VTOR
    str r0, [r1]
    ldr r1, [r0]
    msr msp, r1
    ldr r1, [r0, #4]
    bx r1
    .ltorg
