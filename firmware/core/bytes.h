/* Little-endian numbers in byte arrays. */
#ifndef NOD_BYTES_H
#define NOD_BYTES_H

#include <stdint.h>

static inline uint8_t get_u8(const uint8_t *at) { return at[0]; }

static inline uint16_t get_u16(const uint8_t *at)
{
    return (uint16_t)((uint32_t)at[0] | (uint32_t)at[1] << 8);
}

static inline uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline int16_t get_i16(const uint8_t *at) { return (int16_t)get_u16(at); }

static inline int32_t get_i24(const uint8_t *at)
{
    uint32_t low = (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16;
    return (low & 0x800000u) ? (int32_t)low - 0x1000000 : (int32_t)low;
}

static inline int32_t get_i32(const uint8_t *at) { return (int32_t)get_u32(at); }

static inline void put_u8(uint8_t *at, uint8_t value) { at[0] = value; }

static inline void put_u16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static inline void put_u32(uint8_t *at, uint32_t value)
{
    put_u16(at, (uint16_t)value);
    put_u16(at + 2, (uint16_t)(value >> 16));
}

static inline void put_i24(uint8_t *at, int32_t value)
{
    put_u16(at, (uint16_t)value);
    at[2] = (uint8_t)((uint32_t)value >> 16);
}

#endif
