/* Status codes to text.  The numbers are frozen (gradsz.h). */
#include "common.h"

const char *gsz_status_text(int status) {
    switch (status) {
    case GSZ_OK: return "ok";
    case GSZ_E_MAGIC: return "not a gradsz message";
    case GSZ_E_VERSION: return "written in a format version this library does not know";
    case GSZ_E_RESERVED: return "a reserved value is set: damaged, or written by a newer version";
    case GSZ_E_TRUNCATED: return "the message ends before its end";
    case GSZ_E_HEADER_CHECKSUM: return "checksum mismatch in the header";
    case GSZ_E_SECTION_CHECKSUM: return "checksum mismatch in a section";
    case GSZ_E_HEADER: return "malformed header";
    case GSZ_E_TABLE: return "malformed Huffman table";
    case GSZ_E_STREAM: return "coded symbols do not end where they must";
    case GSZ_E_SECTION: return "malformed section";
    case GSZ_E_TRAILING: return "bytes after the end of the message";
    case GSZ_E_PARAMETER: return "parameter out of range";
    case GSZ_E_DTYPE: return "unsupported dtype";
    case GSZ_E_OUTPUT_SIZE: return "output has the wrong size";
    case GSZ_E_MEMORY: return "out of memory, or over the memory budget";
    case GSZ_E_OUTPUT_LIMIT: return "decoded size is above the limit given";
    case GSZ_E_TOO_LARGE: return "too large for the format or for this platform";
    case GSZ_E_STATE: return "the message was made with a reference or earlier rounds that are not these";
    case GSZ_E_SELFTEST: return "this build does not compute floating point as the format needs";
    default: return "unknown status";
    }
}
