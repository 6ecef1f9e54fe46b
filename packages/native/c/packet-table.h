/*
 * The packets of one turn of a loop: a slab, and one array that holds a column of numbers for each thing known of a
 * packet (src/packet-table.ts says what each means), and behind the columns a few words of state.
 *
 *   columns  | offset[n] | length[n] | kind[n] | ... | verdict[n] | state[8] |
 *
 * As with batch.h, the arrays may lie in shared memory: a number is read once and the copy checked.
 */
#ifndef SEIKAN_PACKET_TABLE_H
#define SEIKAN_PACKET_TABLE_H

#include "addon.h"

enum seikan_column {
    SEIKAN_OFFSET,
    SEIKAN_LENGTH,
    SEIKAN_KIND,
    SEIKAN_SEGMENTS,
    SEIKAN_SEGMENT_SIZE,
    SEIKAN_HEADER_SIZE,
    SEIKAN_TRANSPORT,
    SEIKAN_SLOT,
    SEIKAN_ADDRESS,
    SEIKAN_ID,
    SEIKAN_ID_HIGH,
    SEIKAN_VERDICT,
    SEIKAN_COLUMNS,
};

#define SEIKAN_TABLE_STATE 8
/* State word: datagrams that found no place. */
#define SEIKAN_TABLE_LOST 0
/* State word: the messages received last were large. */
#define SEIKAN_TABLE_LARGE 1

/* Verdicts. */
#define SEIKAN_FORGED 0
#define SEIKAN_AUTHENTIC 1
#define SEIKAN_REFUSED 2

struct seikan_table {
    uint8_t *slab;
    size_t slab_length;
    uint32_t *columns;
    uint32_t *state;
    uint32_t packets;
};

/* Which packets of a table, and in which order. */
struct seikan_order {
    uint32_t *numbers;
    uint32_t count;
};

/* Reads two arguments (slab, columns); throws and returns false when they are no table. */
bool seikan_table(napi_env env, const napi_value *argv, struct seikan_table *table);

/* Reads three arguments (order, first, count); throws and returns false when the run is longer than the order. */
bool seikan_order(napi_env env, const napi_value *argv, struct seikan_order *order);

/* Packet `k` of the order: its number and its bytes. Throws and returns false when it reaches outside the slab. */
bool seikan_order_packet(napi_env env, const struct seikan_order *order, uint32_t k, const struct seikan_table *table,
    uint32_t *at, uint8_t **data, uint32_t *length);

static inline uint32_t seikan_table_get(const struct seikan_table *table, enum seikan_column column, uint32_t at)
{
    return __atomic_load_n(&table->columns[(size_t)column * table->packets + at], __ATOMIC_RELAXED);
}

static inline void seikan_table_set(
    const struct seikan_table *table, enum seikan_column column, uint32_t at, uint32_t value)
{
    table->columns[(size_t)column * table->packets + at] = value;
}

/* Packet `at` is one plain packet or datagram. */
static inline void seikan_table_set_plain(
    const struct seikan_table *table, uint32_t at, uint32_t offset, uint32_t length, uint32_t address)
{
    seikan_table_set(table, SEIKAN_OFFSET, at, offset);
    seikan_table_set(table, SEIKAN_LENGTH, at, length);
    seikan_table_set(table, SEIKAN_KIND, at, 0);
    seikan_table_set(table, SEIKAN_SEGMENTS, at, 1);
    seikan_table_set(table, SEIKAN_SEGMENT_SIZE, at, 0);
    seikan_table_set(table, SEIKAN_HEADER_SIZE, at, 0);
    seikan_table_set(table, SEIKAN_TRANSPORT, at, 0);
    seikan_table_set(table, SEIKAN_ADDRESS, at, address);
}

#endif
