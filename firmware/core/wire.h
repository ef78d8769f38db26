/* Frames: COBS(type, sequence, ack, body, CRC-16 little-endian) 0x00. */
#ifndef NOD_WIRE_H
#define NOD_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "messages.h"

#define FRAME_HEAD_BYTES 3u
#define FRAME_CRC_BYTES 2u
#define MAX_PLAIN_BYTES (FRAME_HEAD_BYTES + MAX_BODY_BYTES + FRAME_CRC_BYTES)
/* COBS adds one byte below 254, and the zero ends the frame. */
#define MAX_WIRE_BYTES (MAX_PLAIN_BYTES + 2u)

typedef struct {
    uint8_t type;
    uint8_t sequence;
    uint8_t ack;
    uint8_t size; /* of the body */
    uint8_t body[MAX_BODY_BYTES];
} frame_t;

typedef struct {
    uint8_t coded[MAX_PLAIN_BYTES + 1u];
    uint8_t used;
    bool overlong;
    uint16_t errors; /* frames thrown away */
} decoder_t;

uint16_t wire_crc(const uint8_t *data, size_t size);

/* Writes a whole frame, returns its length; `out` has room for MAX_WIRE_BYTES. */
uint8_t wire_encode(const frame_t *frame, uint8_t *out);

/* Takes one byte; true when it completed a frame with a right checksum. */
bool wire_decode(decoder_t *decoder, uint8_t byte, frame_t *frame);

/* The same for a byte that is not zero, and so completes nothing. */
void wire_keep(decoder_t *decoder, uint8_t byte);

#endif
