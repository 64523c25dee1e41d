# Writes OUTPUT, a C file that holds INPUT byte for byte as molotov_header[].
file(READ ${INPUT} bytes HEX)
string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)"
                     "\\1\n" bytes "${bytes}")
file(WRITE ${OUTPUT} "#include <stddef.h>\n\
extern const char molotov_header[];\n\
extern const size_t molotov_header_size;\n\
const char molotov_header[] = {\n${bytes}};\n\
const size_t molotov_header_size = sizeof(molotov_header);\n")
