/* Joints: their limits, the knots ahead, and where each is commanded to be.
 *
 * Whole numbers only, and no division by a variable in what happens a hundred times a second: an 8-bit chip takes
 * a quarter of a millisecond for one of 64 bits. */
#ifndef NOD_MOTION_H
#define NOD_MOTION_H

#include <stdbool.h>
#include <stdint.h>

#include "messages.h"

#define MAX_JOINTS 4u
#define MAX_KNOTS 16u /* at 100 Hz and 50 ms ahead, five are in use */

typedef struct {
    bool is_set;
    uint8_t pin;
    uint16_t pulse_centre_us;
    uint16_t velocity_mrad_s;
    int32_t min_urad;
    int32_t max_urad;
    int32_t rest_urad;
    int32_t acceleration_mrad_s2;
    int32_t pulse_per_rad_ns;
    int32_t pulse_scale; /* 2^29 eighths of a microsecond for one urad */
} joint_t;

typedef struct {
    uint32_t time_us;
    int32_t position_urad[MAX_JOINTS];
    int16_t velocity_mrad_s[MAX_JOINTS];
} knot_t;

/* One joint over the segment under way: start + s (a + s (c2 + s c3)), s from 0 to 1, in urad. */
typedef struct {
    int32_t a, c2, c3;
} cubic_t;

typedef enum { MOTION_STILL, MOTION_GOING, MOTION_RAN_OUT } motion_progress_t;

typedef struct {
    joint_t joint[MAX_JOINTS];
    uint8_t joint_count;
    uint32_t at_us; /* the tick in which the joints were where `position_urad` has them */
    int32_t position_urad[MAX_JOINTS];
    int32_t velocity_urad_s[MAX_JOINTS]; /* kept while braking or parking; on a segment its curve tells */
    knot_t from; /* where the segment under way began */
    cubic_t curve[MAX_JOINTS];
    uint16_t way; /* how far along the segment the joints are, in 1/65536 of it */
    knot_t ahead[MAX_KNOTS];
    uint8_t first;
    uint8_t count;
} motion_t;

/* Takes a joint's limits; REASON_LIMITS or REASON_JOINT if they make no sense. While `attached`, the pose
 * must lie within them and the pulses must stay as they are. */
uint8_t motion_set_limits(motion_t *motion, const limits_t *limits, bool attached);

/* Adds a knot after the last one (or after the present pose), or says why not. Never clamps. */
uint8_t motion_append(motion_t *motion, const knot_t *knot, uint32_t now_us);

/* Time after which a knot must come. */
uint32_t motion_tail_us(const motion_t *motion);

/* Follows the knots to `now_us`. */
motion_progress_t motion_follow(motion_t *motion, uint32_t now_us);

/* Forgets the knots ahead; position and velocity stay as they are. */
void motion_let_go(motion_t *motion);

/* One millisecond of slowing down; true when all joints stand. */
bool motion_brake(motion_t *motion);

/* One millisecond of going slowly to rest; true when there. */
bool motion_park(motion_t *motion);

/* Stands at once, where it is. */
void motion_freeze(motion_t *motion);

/* A joint's pulse, in eighths of a microsecond. */
uint16_t motion_pulse_us8(const motion_t *motion, uint8_t joint);

#endif
