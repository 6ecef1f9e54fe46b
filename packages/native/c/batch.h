/*
 * A run of packets in one slab: what every batch call of the addon works on.
 *
 *   slab     Uint8Array    ...|headroom|packet i ........|...|headroom|packet i+1 ....|...
 *   offsets  Uint32Array   where packet i begins in the slab
 *   lengths  Uint32Array   how many bytes it has
 *   first, count           the run: packets first .. first + count - 1
 *
 * The typed arrays may lie in shared memory that another thread writes meanwhile: each number is read once,
 * checked, and only the checked copy is used.
 */
#ifndef SEIKAN_BATCH_H
#define SEIKAN_BATCH_H

#include "addon.h"

/* The most packets that one call moves; a longer run is moved in part. */
#define SEIKAN_BATCH 256

struct seikan_batch {
    uint8_t *slab;
    size_t slab_length;
    uint32_t *offsets;
    uint32_t *lengths;
    uint32_t first;
    uint32_t count;
};

/* Reads five arguments (slab, offsets, lengths, first, count); throws and returns false when they do not fit together. */
bool seikan_batch(napi_env env, const napi_value *argv, struct seikan_batch *batch);

/* Packet `at` of the arrays. False (nothing thrown) when it reaches outside the slab. */
bool seikan_batch_packet(const struct seikan_batch *batch, uint32_t at, uint8_t **data, uint32_t *length);

/* The slot of packet `at`, `capacity` bytes long. False (nothing thrown) when it reaches outside the slab. */
bool seikan_batch_slot(const struct seikan_batch *batch, uint32_t at, uint32_t capacity, uint8_t **data);

/* Throws the RangeError for a packet outside the slab. Returns NULL. */
napi_value seikan_batch_outside(napi_env env);

#endif
