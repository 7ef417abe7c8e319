#include "gradsz.h"

size_t gsz_itemsize(int dtype) {
    switch (dtype) {
    case GSZ_INT8: case GSZ_UINT8: case GSZ_BOOL: return 1;
    case GSZ_FLOAT16: case GSZ_BFLOAT16: case GSZ_INT16: case GSZ_UINT16: return 2;
    case GSZ_FLOAT32: case GSZ_INT32: case GSZ_UINT32: return 4;
    case GSZ_FLOAT64: case GSZ_INT64: case GSZ_UINT64: return 8;
    default: return 0;
    }
}
