/* Writing and checking the fixed pieces of table_format.h. Checks trust nothing; sizes come before bytes. */
#include "table_format.h"

#include "crc32c.h"

enum { MAGIC_SIZE = 8, HEADER_CRC_OFFSET = 12 };

static uint32_t header_crc(const uint8_t *p) {
    uint32_t crc = lsm_crc32c(0, p, HEADER_CRC_OFFSET);
    return lsm_crc32c(crc, p + 16, LSM_TABLE_HEADER_SIZE - 16);
}

void lsm_table_header_store(uint8_t *p, const uint8_t *id) {
    memcpy(p, LSM_TABLE_MAGIC, MAGIC_SIZE);
    lsm_store32(p + 8, LSM_TABLE_FORMAT_VERSION);
    memcpy(p + 16, id, LSM_TABLE_ID_SIZE);
    lsm_store32(p + HEADER_CRC_OFFSET, header_crc(p));
}

static int check_version(uint32_t version, uint64_t offset, const char *path, lsm_error *error) {
    if (version == LSM_TABLE_FORMAT_VERSION) return 0;
    return lsm_fail(error, LSM_E_FORMAT, offset, path, "table format version %u, this build reads %d",
                    version, LSM_TABLE_FORMAT_VERSION);
}

int lsm_table_header_check(const uint8_t *p, uint8_t *id, const char *path, lsm_error *error) {
    if (memcmp(p, LSM_TABLE_MAGIC, MAGIC_SIZE) != 0)
        return lsm_fail(error, LSM_E_CORRUPT, 0, path, "not a table: wrong magic");
    if (lsm_load32(p + HEADER_CRC_OFFSET) != header_crc(p))
        return lsm_fail(error, LSM_E_CORRUPT, 0, path, "table header checksum mismatch");
    memcpy(id, p + 16, LSM_TABLE_ID_SIZE);
    return check_version(lsm_load32(p + 8), 0, path, error);
}

static uint32_t footer_crc(const uint8_t *p, const uint8_t *id, uint64_t offset) {
    return lsm_crc32c(lsm_crc32c_seed(id, LSM_TABLE_ID_SIZE, offset), p + 4, LSM_TABLE_FOOTER_SIZE - 4);
}

void lsm_table_footer_store(uint8_t *p, const lsm_table_footer *footer, uint64_t offset) {
    memset(p, 0, LSM_TABLE_FOOTER_SIZE);
    lsm_store32(p + 4, LSM_TABLE_FORMAT_VERSION);
    memcpy(p + 8, footer->id, LSM_TABLE_ID_SIZE);
    lsm_store64(p + 24, footer->file_size);
    lsm_store64(p + 32, footer->tail_size);
    lsm_store64(p + 40, footer->directory_offset);
    lsm_store32(p + 48, footer->directory_size);
    memcpy(p + 56, LSM_TABLE_END_MAGIC, MAGIC_SIZE);
    lsm_store32(p, footer_crc(p, footer->id, offset));
}

int lsm_table_footer_check(const uint8_t *p, uint64_t offset, lsm_table_footer *footer, const char *path,
                           lsm_error *error) {
    if (memcmp(p + 56, LSM_TABLE_END_MAGIC, MAGIC_SIZE) != 0)
        return lsm_fail(error, LSM_E_CORRUPT, offset, path, "no table footer: cut short or overwritten");
    if (lsm_load32(p) != footer_crc(p, p + 8, offset))
        return lsm_fail(error, LSM_E_CORRUPT, offset, path, "table footer checksum mismatch");
    int code = check_version(lsm_load32(p + 4), offset, path, error);
    if (code) return code;
    memcpy(footer->id, p + 8, LSM_TABLE_ID_SIZE);
    footer->file_size = lsm_load64(p + 24);
    footer->tail_size = lsm_load64(p + 32);
    footer->directory_offset = lsm_load64(p + 40);
    footer->directory_size = lsm_load32(p + 48);
    if (lsm_load32(p + 52) != 0)
        return lsm_fail(error, LSM_E_CORRUPT, offset, path, "table footer has bytes that must be zero");
    return 0;
}

static uint32_t stored_crc(const uint8_t *p, size_t size, const uint8_t *id, uint64_t offset) {
    return lsm_crc32c(lsm_crc32c_seed(id, LSM_TABLE_ID_SIZE, offset), p + 4, size - 4);
}

void lsm_stored_seal(uint8_t *p, const lsm_stored_header *header, const uint8_t *id, uint64_t offset) {
    lsm_store32(p + 4, header->stored_size);
    lsm_store32(p + 8, header->raw_size);
    p[12] = header->codec;
    p[13] = header->type;
    lsm_store16(p + 14, 0);
    lsm_store32(p, stored_crc(p, (size_t)LSM_TABLE_BLOCK_HEADER_SIZE + header->stored_size, id, offset));
}

static int check_codec(const uint8_t *payload, const lsm_stored_header *header, uint64_t offset,
                       const char *path, lsm_error *error) {
    if (header->raw_size > LSM_TABLE_PAYLOAD_SIZE_MAX)
        return lsm_fail(error, LSM_E_CORRUPT, offset, path, "a block of %u bytes is beyond the limit",
                        header->raw_size);
    if (header->codec == LSM_CODEC_RAW) {
        if (header->raw_size == header->stored_size) return 0;
        return lsm_fail(error, LSM_E_CORRUPT, offset, path, "a raw block with two sizes, %u and %u",
                        header->stored_size, header->raw_size);
    }
    if (header->codec != LSM_CODEC_ZSTD)
        return lsm_fail(error, LSM_E_FORMAT, offset, path, "unknown block codec %u", header->codec);
    lsm_slice frame = {payload, header->stored_size};
    if (header->raw_size <= header->stored_size || lsm_zstd_content_size(frame) != header->raw_size)
        return lsm_fail(error, LSM_E_CORRUPT, offset, path, "a compressed block contradicts its size of %u",
                        header->raw_size);
    return 0;
}

int lsm_stored_check(const uint8_t *p, size_t size, int type, const uint8_t *id, uint64_t offset,
                     lsm_stored_header *header, const char *path, lsm_error *error) {
    if (size < LSM_TABLE_BLOCK_HEADER_SIZE || lsm_load32(p + 4) != size - LSM_TABLE_BLOCK_HEADER_SIZE)
        return lsm_fail(error, LSM_E_CORRUPT, offset, path, "block size differs from its handle's (%zu)",
                        size);
    if (lsm_load32(p) != stored_crc(p, size, id, offset))
        return lsm_fail(error, LSM_E_CORRUPT, offset, path, "block checksum mismatch");
    header->stored_size = lsm_load32(p + 4);
    header->raw_size = lsm_load32(p + 8);
    header->codec = p[12];
    header->type = p[13];
    if (header->type != type || lsm_load16(p + 14) != 0)
        return lsm_fail(error, LSM_E_CORRUPT, offset, path, "block type %u where %d belongs", header->type,
                        type);
    return check_codec(p + LSM_TABLE_BLOCK_HEADER_SIZE, header, offset, path, error);
}
