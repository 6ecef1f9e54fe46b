#include "packet-table.h"

bool seikan_table(napi_env env, const napi_value *argv, struct seikan_table *table)
{
    size_t words;

    if (!seikan_bytes(env, argv[0], &table->slab, &table->slab_length)
        || !seikan_words(env, argv[1], &table->columns, &words))
        return false;
    if (words < SEIKAN_TABLE_STATE || (words - SEIKAN_TABLE_STATE) % SEIKAN_COLUMNS != 0
        || words > UINT32_MAX || table->slab_length > UINT32_MAX) {
        seikan_throw_range(env, "not the columns of a packet table");
        return false;
    }
    table->packets = (uint32_t)((words - SEIKAN_TABLE_STATE) / SEIKAN_COLUMNS);
    table->state = table->columns + words - SEIKAN_TABLE_STATE;
    return true;
}

bool seikan_order(napi_env env, const napi_value *argv, struct seikan_order *order)
{
    uint32_t *numbers;
    size_t length;
    int64_t first, count;

    if (!seikan_words(env, argv[0], &numbers, &length)
        || !seikan_integer(env, argv[1], 0, UINT32_MAX, "first packet", &first)
        || !seikan_integer(env, argv[2], 0, UINT32_MAX, "packet count", &count))
        return false;
    if ((uint64_t)first + (uint64_t)count > length) {
        seikan_throw_range(env, "the run of packets is longer than their order");
        return false;
    }
    *order = (struct seikan_order){ numbers + first, (uint32_t)count };
    return true;
}

bool seikan_order_packet(napi_env env, const struct seikan_order *order, uint32_t k, const struct seikan_table *table,
    uint32_t *at, uint8_t **data, uint32_t *length)
{
    *at = __atomic_load_n(&order->numbers[k], __ATOMIC_RELAXED);
    if (*at >= table->packets) {
        seikan_throw_range(env, "the order names a packet that the table does not have");
        return false;
    }
    uint32_t offset = seikan_table_get(table, SEIKAN_OFFSET, *at);
    *length = seikan_table_get(table, SEIKAN_LENGTH, *at);
    if (offset > table->slab_length || *length > table->slab_length - offset) {
        seikan_throw_range(env, "a packet's offset and length reach outside the slab");
        return false;
    }
    *data = table->slab + offset;
    return true;
}
