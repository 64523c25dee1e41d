# Built by its own script, with clang; once is enough.
if(NOT MOLOTOV_SANITIZE)
  add_test(NAME fuzz.delta
           COMMAND /bin/sh -c "exec \"$0\" \"$1\" \"\${FUZZ_SECONDS:-10}\""
                   ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/run ${PROJECT_BINARY_DIR}/fuzz)
  set_tests_properties(fuzz.delta PROPERTIES TIMEOUT 300 LABELS fuzz)
endif()
