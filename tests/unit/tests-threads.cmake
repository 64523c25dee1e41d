# The tests of what has threads: those that the thread sanitizer runs, too.

# Its name service, threads and clock are the test's own.
unit_test(names http)
target_link_options(test_names PRIVATE
  -Wl,--wrap=getaddrinfo -Wl,--wrap=pthread_create -Wl,--wrap=clock_gettime)

add_custom_target(thread_tests DEPENDS test_names)
