# The tests of http/.
unit_test(target http)
unit_test(cookies http)

pkg_check_modules(BROTLI_ENCODER REQUIRED IMPORTED_TARGET libbrotlienc)
unit_test(decode http PkgConfig::BROTLI_ENCODER)

# Its name service, threads and clock are the test's own.
unit_test(names http)
target_link_options(test_names PRIVATE
  -Wl,--wrap=getaddrinfo -Wl,--wrap=pthread_create -Wl,--wrap=clock_gettime)
unit_test(exchange http)
unit_test(answer http)
unit_test(auto http)
unit_test(transport http job)
unit_test(head http)
unit_test(direct http)
