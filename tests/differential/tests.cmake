# The same answers to two transports, or to one, whole and cut: see differential/main.c.
add_executable(differential
  differential/accepted.c differential/bases.c differential/compare.c
  differential/generate.c differential/main.c differential/play.c
  differential/reference.c differential/script.c differential/server.c)
target_link_libraries(differential PRIVATE http warnings)
target_include_directories(differential PRIVATE ${PROJECT_SOURCE_DIR}/tests)

# differential_test(NAME transports...)
function(differential_test name)
  add_test(NAME ${TEST_PREFIX}differential.${name} COMMAND differential ${ARGN})
  set_tests_properties(${TEST_PREFIX}differential.${name} PROPERTIES
                       TIMEOUT 300 LABELS differential)
endfunction()

differential_test(curl_and_direct curl direct)
differential_test(curl curl)
differential_test(direct direct)
