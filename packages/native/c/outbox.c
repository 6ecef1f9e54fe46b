#include "outbox.h"

static void store_message(struct seikan_outbox *box)
{
    if (box->messages == 0) return;
    uint32_t at = box->messages - 1;
    box->columns[SEIKAN_BOX_OFFSET * (size_t)box->capacity + at] = box->offset;
    box->columns[SEIKAN_BOX_LENGTH * (size_t)box->capacity + at] = box->length;
    box->columns[SEIKAN_BOX_SEGMENT * (size_t)box->capacity + at] = box->segment;
    box->columns[SEIKAN_BOX_ADDRESS * (size_t)box->capacity + at] = box->address;
}

bool seikan_outbox(napi_env env, const napi_value *argv, struct seikan_outbox *box)
{
    size_t words;

    if (!seikan_bytes(env, argv[0], &box->slab, &box->slab_length) || !seikan_words(env, argv[1], &box->columns, &words))
        return false;
    if (words < SEIKAN_BOX_STATE || (words - SEIKAN_BOX_STATE) % SEIKAN_BOX_COLUMNS != 0 || words > UINT32_MAX
        || box->slab_length > UINT32_MAX) {
        seikan_throw_range(env, "not the columns of an outbox");
        return false;
    }
    box->capacity = (uint32_t)((words - SEIKAN_BOX_STATE) / SEIKAN_BOX_COLUMNS);
    box->state = box->columns + words - SEIKAN_BOX_STATE;
    box->messages = __atomic_load_n(&box->state[SEIKAN_BOX_MESSAGES], __ATOMIC_RELAXED);
    box->bytes = __atomic_load_n(&box->state[SEIKAN_BOX_BYTES], __ATOMIC_RELAXED);
    box->datagrams = __atomic_load_n(&box->state[SEIKAN_BOX_DATAGRAMS], __ATOMIC_RELAXED);
    box->most_segments = __atomic_load_n(&box->state[SEIKAN_BOX_MOST_SEGMENTS], __ATOMIC_RELAXED);
    box->largest_segment = __atomic_load_n(&box->state[SEIKAN_BOX_LARGEST_SEGMENT], __ATOMIC_RELAXED);
    if (box->messages > box->capacity || box->bytes > box->slab_length) {
        seikan_throw_range(env, "the outbox holds more than it can");
        return false;
    }
    if (box->messages > 0) {
        box->offset = seikan_outbox_get(box, SEIKAN_BOX_OFFSET, box->messages - 1);
        box->length = seikan_outbox_get(box, SEIKAN_BOX_LENGTH, box->messages - 1);
        box->segment = seikan_outbox_get(box, SEIKAN_BOX_SEGMENT, box->messages - 1);
        box->address = seikan_outbox_get(box, SEIKAN_BOX_ADDRESS, box->messages - 1);
    }
    return true;
}

bool seikan_outbox_room(const struct seikan_outbox *box, uint32_t count, uint32_t size)
{
    uint32_t each = size == 0 || size > box->largest_segment ? 1 : SEIKAN_MOST_MESSAGE / size;
    if (each > box->most_segments) each = box->most_segments;
    if (each == 0) each = 1;
    /* One message more for what joins none, one for a shorter last datagram. */
    return (uint64_t)box->messages + count / each + 2 <= box->capacity
        && box->bytes + (uint64_t)count * size <= box->slab_length;
}

uint8_t *seikan_outbox_add(struct seikan_outbox *box, uint32_t size, uint32_t address)
{
    uint8_t *place = box->slab + box->bytes;
    bool joins = box->messages > 0 && address == box->address && size <= box->segment && size > 0
        && box->segment <= box->largest_segment && box->length % box->segment == 0
        && box->length / box->segment < box->most_segments && box->length + size <= SEIKAN_MOST_MESSAGE
        && box->offset + box->length == box->bytes;
    if (joins) box->length += size;
    else {
        store_message(box);
        box->messages++;
        box->offset = box->bytes;
        box->length = box->segment = size;
        box->address = address;
    }
    box->bytes += size;
    box->datagrams++;
    return place;
}

void seikan_outbox_store(struct seikan_outbox *box)
{
    store_message(box);
    box->state[SEIKAN_BOX_MESSAGES] = box->messages;
    box->state[SEIKAN_BOX_BYTES] = box->bytes;
    box->state[SEIKAN_BOX_DATAGRAMS] = box->datagrams;
}
