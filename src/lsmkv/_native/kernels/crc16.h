/* CRC-16/XMODEM (polynomial 1021, no reflection), by which keys are given their slots, as Redis does.
 * Check value: "123456789" -> 31c3.
 */
#ifndef LSMKV_CRC16_H
#define LSMKV_CRC16_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

enum { LSM_SLOT_COUNT = 16384 };

uint16_t lsm_crc16(lsm_slice data);

/* The slot of a key: of what stands between its first '{' and the '}' after it, where that is something, else
 * of all of it. */
uint16_t lsm_slot_of(lsm_slice key);

#endif
