/* CRC-16/XMODEM by table: see crc16.h. */
#include "crc16.h"

#include <string.h>

/* Of a nibble: 32 bytes stay in the cache whatever else goes on, and keys are short. */
static const uint16_t NIBBLES[16] = {
    0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
    0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef,
};

uint16_t lsm_crc16(lsm_slice data) {
    uint16_t crc = 0;
    for (size_t i = 0; i < data.size; i++) {
        crc = (uint16_t)(crc << 4) ^ NIBBLES[(crc >> 12) ^ (data.data[i] >> 4)];
        crc = (uint16_t)(crc << 4) ^ NIBBLES[(crc >> 12) ^ (data.data[i] & 15)];
    }
    return crc;
}

uint16_t lsm_slot_of(lsm_slice key) {
    const uint8_t *open = key.size ? memchr(key.data, '{', key.size) : NULL;
    if (open != NULL) {
        size_t left = key.size - (size_t)(open + 1 - key.data);
        const uint8_t *close = left ? memchr(open + 1, '}', left) : NULL;
        if (close != NULL && close != open + 1) key = (lsm_slice){open + 1, (size_t)(close - open - 1)};
    }
    return lsm_crc16(key) % LSM_SLOT_COUNT;
}
