/* From a view into two columns (column_scan.h). */
#include "column_scan.h"

int lsm_scan_rows(lsm_view *view, lsm_rows *keys, lsm_rows *values, size_t count_max, size_t bytes_max) {
    while (keys->count < count_max && keys->size + values->size < bytes_max) {
        lsm_slice key, value;
        int status = lsm_view_next(view, &key, &value);
        if (status != 1) return status;
        if (lsm_rows_reserve(keys, 1, key.size) < 0 || lsm_rows_reserve(values, 1, value.size) < 0)
            return LSM_E_MEMORY;
        lsm_rows_add(keys, key);
        lsm_rows_add(values, value);
    }
    return 1;
}
