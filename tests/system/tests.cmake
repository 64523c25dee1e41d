# Tests of the whole program, in Python: Debian's, whatever else is on the PATH.
set(SYSTEM_PYTHON /usr/bin/python3)

# python_test(NAME FILE seconds labels...): runs a file of unittest classes.
function(python_test name file timeout)
  add_test(NAME ${TEST_PREFIX}${name} COMMAND ${SYSTEM_PYTHON} -B ${file} -v
           WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}/tests/system)
  set(environment MOLOTOV_RUNNER=$<TARGET_FILE:molotov-runner>
                  MOLOTOV_BUILD=${PROJECT_BINARY_DIR})
  if(MOLOTOV_SANITIZE)
    list(APPEND environment MOLOTOV_SANITIZED=${MOLOTOV_SANITIZE})
  endif()
  set_tests_properties(${TEST_PREFIX}${name} PROPERTIES
                       TIMEOUT ${timeout} LABELS "${ARGN}" ENVIRONMENT "${environment}")
endfunction()

# transport_test(NAME FILE seconds transports...): the same on each of these transports.
function(transport_test name file timeout)
  foreach(transport IN LISTS ARGN)
    python_test(${name}.${transport} ${file} ${timeout} system ${transport})
    set_property(TEST ${TEST_PREFIX}${name}.${transport} APPEND PROPERTY
                 ENVIRONMENT MOLOTOV_TEST_TRANSPORT=${transport})
  endforeach()
endfunction()

# What speaks HTTP is tested on each transport by itself. On a cluster of sanitized
# programs one is enough: the cluster does not see which it is.
foreach(file bad_targets bad_code counts features fixtures tls connecting connections names
             transfers)
  transport_test(system.${file} test_${file}.py 300 curl direct)
endforeach()
transport_test(system.system_calls test_system_calls.py 100 direct)
set(cluster_transports direct)
if(NOT MOLOTOV_SANITIZE)
  list(APPEND cluster_transports curl)
endif()
foreach(file counts faults lost_agents)
  transport_test(system.cluster_${file} test_cluster_${file}.py 300 ${cluster_transports})
endforeach()

foreach(file usage auto transports cluster_transports cluster_consoles cluster_bad_code
             cluster_usage)
  python_test(system.${file} test_${file}.py 300 system)
endforeach()
python_test(system.protocol test_protocol.py 300 system)
python_test(system.hostile_peers test_hostile_peers.py 400 system)

# What does not depend on how the program was built is tested once.
if(NOT MOLOTOV_SANITIZE)
  python_test(house.install test_install.py 120 house)
  python_test(house.checks test_checks.py 60 house)
  add_test(NAME house.floors COMMAND ${PROJECT_SOURCE_DIR}/tests/check_floors)
  add_test(NAME house.format COMMAND ${PROJECT_SOURCE_DIR}/tests/check_format)
  set_tests_properties(house.floors house.format PROPERTIES TIMEOUT 60 LABELS house)
  python_test(soak.short ../soak/test_soak.py 300 soak)
  python_test(soak.cluster ../soak/test_cluster_soak.py 300 soak)
endif()
