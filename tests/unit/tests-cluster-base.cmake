# The tests of what base/ has for the cluster, and of how agents come by a test.
unit_test(digest base)
unit_test(endpoint base)
unit_test(file base)
unit_test(pidlock base)
unit_test(program base)
unit_test(zsocket base)
unit_test(make_rule scenario)
# It loads compiled tests, as molotov-runner does.
unit_test(c_host scenario)
target_link_options(test_c_host PRIVATE
  -Wl,--dynamic-list=${PROJECT_SOURCE_DIR}/runner/exports.txt -Wl,--undefined=mlt_call)
