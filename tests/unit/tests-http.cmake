# The tests of http/.
unit_test(target http)
unit_test(header http)

# It counts what a cookie that is set again costs.
unit_test(cookies http)
target_link_options(test_cookies PRIVATE
  -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=reallocarray)

pkg_check_modules(BROTLI_ENCODER REQUIRED IMPORTED_TARGET libbrotlienc)
unit_test(decode http PkgConfig::BROTLI_ENCODER)

unit_test(exchange http)
unit_test(answer http)
unit_test(auto http)
unit_test(curl_addresses http)
unit_test(transport http job)
unit_test(url_cache http)
unit_test(head http)

# It counts what a warm request costs.
unit_test(direct http)
target_link_options(test_direct PRIVATE
  -Wl,--wrap=send -Wl,--wrap=recv -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc
  -Wl,--wrap=reallocarray -Wl,--wrap=exchange_add_line)
