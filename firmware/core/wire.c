#include "wire.h"

#include <string.h>

uint16_t wire_crc(const uint8_t *data, size_t size)
{
    uint16_t crc = 0xFFFFu;
    for (size_t i = 0; i < size; i++) {
        /* all eight bits at once: the polynomial's 5 and 12, and what the four upper bits bring back in */
        uint8_t high = (uint8_t)(crc >> 8 ^ data[i]);
        high ^= (uint8_t)(high >> 4);
        crc = (uint16_t)(crc << 8 ^ (uint16_t)high << 12 ^ (uint16_t)high << 5 ^ high);
    }
    return crc;
}

uint8_t wire_encode(const frame_t *frame, uint8_t *out)
{
    uint8_t plain[MAX_PLAIN_BYTES];
    plain[0] = frame->type;
    plain[1] = frame->sequence;
    plain[2] = frame->ack;
    memcpy(plain + FRAME_HEAD_BYTES, frame->body, frame->size);
    uint8_t size = (uint8_t)(FRAME_HEAD_BYTES + frame->size);
    put_u16(plain + size, wire_crc(plain, size));
    size = (uint8_t)(size + FRAME_CRC_BYTES);

    uint8_t code_at = 0;
    uint8_t used = 1;
    for (uint8_t i = 0; i < size; i++) {
        if (plain[i] == 0) {
            out[code_at] = (uint8_t)(used - code_at);
            code_at = used++;
        } else {
            out[used++] = plain[i];
        }
    }
    out[code_at] = (uint8_t)(used - code_at);
    out[used++] = 0;
    return used;
}

/* COBS to plain bytes in place; 0 if the codes do not add up. */
static uint8_t unstuff(uint8_t *data, uint8_t size)
{
    uint8_t read = 0;
    uint8_t written = 0;
    while (read < size) {
        uint8_t code = data[read++];
        if ((unsigned)read + code - 1u > size) {
            return 0;
        }
        for (uint8_t i = 1; i < code; i++) {
            data[written++] = data[read++];
        }
        if (read < size) {
            data[written++] = 0;
        }
    }
    return written;
}

void wire_keep(decoder_t *decoder, uint8_t byte)
{
    if (decoder->used < sizeof decoder->coded) {
        decoder->coded[decoder->used++] = byte;
    } else {
        decoder->overlong = true;
    }
}

bool wire_decode(decoder_t *decoder, uint8_t byte, frame_t *frame)
{
    if (byte != 0) {
        wire_keep(decoder, byte);
        return false;
    }
    uint8_t used = decoder->used;
    bool overlong = decoder->overlong;
    decoder->used = 0;
    decoder->overlong = false;
    if (used == 0) {
        return false; /* two zeros in a row: a sender may flush the line so */
    }
    uint8_t size = overlong ? 0 : unstuff(decoder->coded, used);
    if (size < FRAME_HEAD_BYTES + FRAME_CRC_BYTES
        || wire_crc(decoder->coded, (size_t)size - FRAME_CRC_BYTES)
            != get_u16(decoder->coded + size - FRAME_CRC_BYTES)) {
        decoder->errors++;
        return false;
    }
    frame->type = decoder->coded[0];
    frame->sequence = decoder->coded[1];
    frame->ack = decoder->coded[2];
    frame->size = (uint8_t)(size - FRAME_HEAD_BYTES - FRAME_CRC_BYTES);
    memcpy(frame->body, decoder->coded + FRAME_HEAD_BYTES, frame->size);
    return true;
}
