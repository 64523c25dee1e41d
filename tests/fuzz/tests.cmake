# Built by their own script, with clang; once is enough. FUZZ_SECONDS are for all of them.
if(NOT MOLOTOV_SANITIZE)
  foreach(target delta messages answer)
    add_test(NAME fuzz.${target}
             COMMAND /bin/sh -c "exec \"$0\" \"$1\" $((\${FUZZ_SECONDS:-10} / 3)) \"$2\""
                     ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/run ${PROJECT_BINARY_DIR}/fuzz
                     fuzz_${target})
    set_tests_properties(fuzz.${target} PROPERTIES TIMEOUT 300 LABELS fuzz)
  endforeach()
endif()
