#include "batch.h"

bool seikan_batch(napi_env env, const napi_value *argv, struct seikan_batch *batch)
{
    size_t offsets, lengths;
    int64_t first, count;

    if (!seikan_bytes(env, argv[0], &batch->slab, &batch->slab_length)
        || !seikan_words(env, argv[1], &batch->offsets, &offsets)
        || !seikan_words(env, argv[2], &batch->lengths, &lengths)
        || !seikan_integer(env, argv[3], 0, UINT32_MAX, "first packet", &first)
        || !seikan_integer(env, argv[4], 0, UINT32_MAX, "packet count", &count))
        return false;
    size_t fewest = offsets < lengths ? offsets : lengths;
    if ((uint64_t)first + (uint64_t)count > fewest) {
        seikan_throw_range(env, "the run of packets is longer than its offsets or lengths");
        return false;
    }
    batch->first = (uint32_t)first;
    batch->count = (uint32_t)count;
    return true;
}

bool seikan_batch_slot(const struct seikan_batch *batch, uint32_t at, uint32_t capacity, uint8_t **data)
{
    uint32_t offset = __atomic_load_n(&batch->offsets[at], __ATOMIC_RELAXED);
    if (offset > batch->slab_length || capacity > batch->slab_length - offset) return false;
    *data = batch->slab + offset;
    return true;
}

bool seikan_batch_packet(const struct seikan_batch *batch, uint32_t at, uint8_t **data, uint32_t *length)
{
    *length = __atomic_load_n(&batch->lengths[at], __ATOMIC_RELAXED);
    return seikan_batch_slot(batch, at, *length, data);
}

napi_value seikan_batch_outside(napi_env env)
{
    return seikan_throw_range(env, "a packet's offset and length reach outside the slab");
}
