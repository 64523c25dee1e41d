# A host for tests in Python, which proves scenario/host.h by more than C. It takes
# Debian's Python by its pkg-config file: FindPython3 may take another one on the PATH.
pkg_check_modules(PYTHON_EMBED QUIET IMPORTED_TARGET python3-embed>=3.11)
if(NOT PYTHON_EMBED_FOUND)
  set(skipped "skipped: python3-dev is not installed")
elseif(NOT PYTHON_EMBED_PREFIX STREQUAL /usr)
  set(skipped "skipped: pkg-config finds the Python of ${PYTHON_EMBED_PREFIX}")
else()
  set(skipped "")
endif()

if(skipped)
  message(STATUS "spike.python: ${skipped}")
  add_test(NAME ${TEST_PREFIX}spike.python COMMAND ${CMAKE_COMMAND} -E echo ${skipped})
  set_tests_properties(${TEST_PREFIX}spike.python PROPERTIES
                       SKIP_REGULAR_EXPRESSION "^skipped: ")
else()
  add_executable(python_spike ${CMAKE_CURRENT_LIST_DIR}/main.c
                              ${CMAKE_CURRENT_LIST_DIR}/python_host.c)
  target_compile_definitions(python_spike PRIVATE
    SPIKE_FOLDER="${CMAKE_CURRENT_LIST_DIR}"
    SPIKE_PYTHON="${PYTHON_EMBED_PREFIX}/bin/python3")
  target_link_libraries(python_spike PRIVATE
    engine scenario http proto job stats base PkgConfig::PYTHON_EMBED warnings)
  add_test(NAME ${TEST_PREFIX}spike.python
           COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_LIST_DIR}/test_python_spike.py -v)
  set_tests_properties(${TEST_PREFIX}spike.python PROPERTIES LABELS system TIMEOUT 120
                       ENVIRONMENT "PYTHON_SPIKE=$<TARGET_FILE:python_spike>;MOLOTOV_SANITIZED=${MOLOTOV_SANITIZE}")
endif()
