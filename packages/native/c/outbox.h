/*
 * Sealed datagrams that wait to be sent (src/outbox.ts): a slab, and columns of messages, each a run of datagrams of
 * equal size for one address, the last one shorter or equal.
 *
 *   columns  | offset[n] | length[n] | segment size[n] | address[n] | state[16] |
 */
#ifndef SEIKAN_OUTBOX_H
#define SEIKAN_OUTBOX_H

#include "addon.h"

enum seikan_outbox_column { SEIKAN_BOX_OFFSET, SEIKAN_BOX_LENGTH, SEIKAN_BOX_SEGMENT, SEIKAN_BOX_ADDRESS, SEIKAN_BOX_COLUMNS };

enum seikan_outbox_state {
    SEIKAN_BOX_MESSAGES,
    SEIKAN_BOX_BYTES,
    SEIKAN_BOX_DATAGRAMS,
    SEIKAN_BOX_MOST_SEGMENTS,
    SEIKAN_BOX_LARGEST_SEGMENT,
    SEIKAN_BOX_FALLBACKS,
    SEIKAN_BOX_LOST,
    SEIKAN_BOX_SENT,  /* messages that a ring has sent of those that it sealed */
    SEIKAN_BOX_ERROR, /* the errno that the next one had */
    SEIKAN_BOX_STATE = 16,
};

/* Of one UDP message, with the smaller family's headers. */
#define SEIKAN_MOST_MESSAGE (0xffff - 28)

struct seikan_outbox {
    uint8_t *slab;
    size_t slab_length;
    uint32_t *columns;
    uint32_t *state;
    uint32_t capacity;                                       /* in messages */
    uint32_t messages, bytes, datagrams;                     /* this call's copies: checked, and stored at its end */
    uint32_t most_segments, largest_segment;
    uint32_t offset, length, segment, address;               /* the last message */
};

/* Reads two arguments (slab, columns); throws and returns false when they are no outbox. */
bool seikan_outbox(napi_env env, const napi_value *argv, struct seikan_outbox *box);

/* Whether `count` datagrams of at most `size` bytes find room. */
bool seikan_outbox_room(const struct seikan_outbox *box, uint32_t count, uint32_t size);

/* Where the next datagram of `size` bytes for `address` goes; it has room (seikan_outbox_room). */
uint8_t *seikan_outbox_add(struct seikan_outbox *box, uint32_t size, uint32_t address);

/* Writes back what seikan_outbox_add has changed. */
void seikan_outbox_store(struct seikan_outbox *box);

static inline uint32_t seikan_outbox_get(const struct seikan_outbox *box, enum seikan_outbox_column column, uint32_t at)
{
    return __atomic_load_n(&box->columns[(size_t)column * box->capacity + at], __ATOMIC_RELAXED);
}

#endif
